/* STS, SNS, Step Functions. */
#include "aws/calls.h"

#include "base/json.h"

enum {
    ARENA_MAX = 1024 * 1024,
    FORM_SIZE_MAX = 3 * AWS_NOTICE_SIZE_MAX + 16 * 1024, /* a byte may become three */
    BODY_SIZE_MAX = 6 * AWS_TASK_OUTPUT_MAX + 64 * 1024, /* and in JSON six */
};

/* --- STS -------------------------------------------------------------------------------------- */

enum status aws_caller_identity(struct aws_client *sts, struct arena *arena,
                                struct aws_identity *ret_identity, struct error *err)
{
    struct aws_reply reply;
    struct aws_identity identity;
    TRY(aws_query_call(sts, STR("Action=GetCallerIdentity&Version=2011-06-15"), arena, &reply,
                       err));
    if (!aws_xml_text(reply.body, "Arn", arena, &identity.arn) ||
        !aws_xml_text(reply.body, "Account", arena, &identity.account))
        return fail(err, STATUS_DATA_LOSS, "GetCallerIdentity: the answer names nobody");
    *ret_identity = identity;
    return STATUS_OK;
}

/* --- SNS -------------------------------------------------------------------------------------- */

/* Line ends and what is not ASCII would make SNS refuse the whole. */
static struct str clean_subject(struct str subject, char room[AWS_NOTICE_SUBJECT_MAX])
{
    size_t size = MIN(subject.size, (size_t)AWS_NOTICE_SUBJECT_MAX);
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)subject.data[i];
        room[i] = byte >= 0x20 && byte < 0x7F ? (char)byte : '?';
    }
    return (struct str){room, size};
}

static void add_parameter(struct buffer *form, const char *name, struct str value)
{
    buffer_add_format(form, "&%s=", name);
    sigv4_encode(form, value);
}

static enum status send_form(struct aws_client *client, struct buffer *form, struct error *err)
{
    struct arena arena;
    struct aws_reply reply;
    if (buffer_failed(form)) return fail(err, STATUS_EXHAUSTED, "no memory for a notice");
    arena_init(&arena, ARENA_MAX);
    enum status status = aws_query_call(client, buffer_view(form), &arena, &reply, err);
    arena_clear(&arena);
    return status;
}

enum status aws_publish(struct aws_client *sns, const struct aws_notice *notice, struct error *err)
{
    char room[AWS_NOTICE_SUBJECT_MAX];
    struct buffer form CLEANUP(buffer_clear);
    buffer_init(&form, FORM_SIZE_MAX);
    if (notice->message.size == 0 || notice->message.size > AWS_NOTICE_SIZE_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "a notice of %zu bytes: SNS takes 1 to %d",
                    notice->message.size, AWS_NOTICE_SIZE_MAX);
    buffer_add_text(&form, "Action=Publish&Version=2010-03-31");
    add_parameter(&form, "TopicArn", notice->topic);
    add_parameter(&form, "Message", notice->message);
    if (notice->subject.size > 0)
        add_parameter(&form, "Subject", clean_subject(notice->subject, room));
    return send_form(sns, &form, err);
}

/* --- Step Functions --------------------------------------------------------------------------- */

/* What a text is called in the request, and how much of it is taken. */
struct task_field {
    const char *name;
    size_t offset; /* in struct aws_task */
    size_t size_max;
};

static const struct {
    const char *target;
    struct task_field fields[3];
} task_calls[] = {
    [AWS_TASK_SUCCEEDED] = {"AWSStepFunctions.SendTaskSuccess",
                            {{"output", offsetof(struct aws_task, output), AWS_TASK_OUTPUT_MAX}}},
    [AWS_TASK_FAILED] = {"AWSStepFunctions.SendTaskFailure",
                         {{"error", offsetof(struct aws_task, error), AWS_TASK_ERROR_MAX},
                          {"cause", offsetof(struct aws_task, cause), AWS_TASK_CAUSE_MAX}}},
    [AWS_TASK_GOES_ON] = {"AWSStepFunctions.SendTaskHeartbeat", {{0}}},
};

/* Not in the middle of a character. */
static struct str cut_text(struct str text, size_t size_max)
{
    size_t size = MIN(text.size, size_max);
    while (size < text.size && size > 0 && ((unsigned char)text.data[size] & 0xC0) == 0x80) size--;
    return (struct str){text.data, size};
}

static void write_task(const struct aws_task *task, struct buffer *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_put_string(&writer, STR("taskToken"), task->token);
    for (const struct task_field *field = task_calls[task->state].fields; field->name; field++) {
        const struct str *text = (const struct str *)((const char *)task + field->offset);
        json_put_string(&writer, str_of(field->name), cut_text(*text, field->size_max));
    }
    json_end_object(&writer);
}

enum status aws_task_tell(struct aws_client *states, const struct aws_task *task, struct error *err)
{
    struct buffer body CLEANUP(buffer_clear);
    struct arena arena;
    struct aws_reply reply;
    buffer_init(&body, BODY_SIZE_MAX);
    if (task->token.size == 0 || task->token.size > AWS_TASK_TOKEN_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "a task's token has 1 to %d bytes, not %zu",
                    AWS_TASK_TOKEN_MAX, task->token.size);
    if (task->state == AWS_TASK_SUCCEEDED && task->output.size > AWS_TASK_OUTPUT_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "a task's output of %zu bytes: %d are taken",
                    task->output.size, AWS_TASK_OUTPUT_MAX);
    write_task(task, &body);
    if (buffer_failed(&body)) return fail(err, STATUS_EXHAUSTED, "no memory for a task's output");
    const struct aws_json_request request = {.target = task_calls[task->state].target,
                                             .body = buffer_view(&body),
                                             .timeout_ns = task->timeout_ns};
    arena_init(&arena, ARENA_MAX);
    enum status status = aws_json_call(states, &request, &arena, &reply, err);
    arena_clear(&arena);
    return status;
}
