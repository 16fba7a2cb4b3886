/* Two calls of AWS. */
#include "lambda/hook.h"

#include "aws/service.h"
#include "base/json.h"
#include "base/mem.h"

enum { NAME_MAX_SIZE = 256, REQUEST_SIZE_MAX = 4096 };

/* "arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]" or "NAME[:QUALIFIER]". An ARN in a path
 * would bring its colons along. */
static enum status split_name(const char *function, struct str *ret_name, struct str *ret_qualifier,
                              struct error *err)
{
    struct str rest = str_of(function);
    if (str_starts_with(rest, STR("arn:")))
        for (int i = 0; i < 6 && rest.data; i++) (void)str_cut(&rest, ':');
    struct str name = rest.data ? str_cut(&rest, ':') : STR_EMPTY;
    bool plain = name.size > 0 && name.size < NAME_MAX_SIZE;
    for (size_t i = 0; i < name.size; i++) plain &= strchr("/?#% ", name.data[i]) == NULL;
    if (!plain)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%s' names no function: give its ARN, or NAME:VERSION", function);
    *ret_name = name;
    *ret_qualifier = rest.data ? rest : STR_EMPTY;
    return STATUS_OK;
}

static enum status invoke(struct aws_client *client, const char *function, struct str request,
                          uint64_t timeout_ns, struct arena *arena, struct aws_reply *reply,
                          struct error *err)
{
    struct str name, qualifier;
    TRY(split_name(function, &name, &qualifier, err));
    char *path CLEANUP(mem_freep) =
        mem_format("/2015-03-31/functions/%.*s/invocations", STR_ARGS(name));
    struct buffer query CLEANUP(buffer_clear);
    buffer_init(&query, REQUEST_SIZE_MAX);
    if (qualifier.size > 0) {
        buffer_add(&query, STR("Qualifier="));
        sigv4_encode(&query, qualifier);
    }
    const struct sigv4_field type = {STR("Content-Type"), STR("application/json")};
    const struct aws_request call = {.path = str_of(path),
                                     .query = buffer_view(&query),
                                     .fields = &type,
                                     .field_count = 1,
                                     .body = request,
                                     .timeout_ns = timeout_ns,
                                     .attempt_timeout_ns = timeout_ns};
    return aws_client_call(client, &call, arena, reply, err);
}

enum status lambda_hook_invoke(const char *function, struct str request, uint64_t timeout_ns,
                               struct arena *arena, struct str *ret_answer, struct error *err)
{
    struct aws_service lambda;
    struct aws_reply reply;
    TRY(aws_service_open("lambda", NULL, &lambda, err));
    enum status status = invoke(lambda.client, function, request, timeout_ns, arena, &reply, err);
    aws_service_close(&lambda);
    TRY(fail_while(err, status, "invoking '%s'", function));
    if (aws_reply_field(&reply, "X-Amz-Function-Error").data)
        return fail(err, STATUS_FAILED_PRECONDITION, "'%s' failed: %.*s", function,
                    (int)MIN(reply.body.size, (size_t)300), reply.body.data);
    *ret_answer = reply.body;
    return STATUS_OK;
}

static void write_report(const struct lambda_hook *hook, struct buffer *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_put_string(&writer, STR("deploymentId"), hook->deployment);
    json_put_string(&writer, STR("lifecycleEventHookExecutionId"), hook->execution);
    json_put_string(&writer, STR("status"), hook->succeeded ? STR("Succeeded") : STR("Failed"));
    json_end_object(&writer);
}

enum status lambda_hook_report(const struct lambda_hook *hook, struct arena *arena,
                               struct error *err)
{
    struct aws_service codedeploy;
    struct buffer body CLEANUP(buffer_clear);
    struct aws_reply reply;
    buffer_init(&body, REQUEST_SIZE_MAX);
    write_report(hook, &body);
    const struct aws_json_request request = {
        .target = "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus",
        .version = "1.1",
        .body = buffer_view(&body)};
    TRY(aws_service_open("codedeploy", NULL, &codedeploy, err));
    enum status status = aws_json_call(codedeploy.client, &request, arena, &reply, err);
    aws_service_close(&codedeploy);
    return fail_while(err, status, "telling CodeDeploy how the hook went");
}
