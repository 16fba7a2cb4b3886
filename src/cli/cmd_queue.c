/* `slipway queue`: how deep a server's queues are; moves dead letters back, empties a queue. */
#include "base/json.h"
#include "base/mem.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/remote.h"

enum {
    PAGE_SIZE = 1000,
    TEXT_SIZE_MAX = 64 * 1024 * 1024,
    MEMORY_MAX = 256 * 1024 * 1024,
};

struct work {
    struct command_context *context;
    const struct config *config;
    struct remote *remote;
    struct arena arena;
    struct buffer text; /* what is printed */
};

/* --- the protocol ------------------------------------------------------------------------------
 */

/* The text of {"message":...}; empty if there is none. */
static struct str fault_text(struct str body, struct arena *arena)
{
    struct json_reader reader;
    struct error ignored;
    struct str key, text = STR_EMPTY;
    bool more;
    json_reader_init(&reader, body, arena);
    if (json_open_object(&reader, &ignored) != STATUS_OK) return text;
    while (json_next_member(&reader, &key, &more, &ignored) == STATUS_OK && more) {
        bool found = str_equal(key, STR("message"));
        enum status status =
            found ? json_read_string(&reader, &text, &ignored) : json_skip(&reader, &ignored);
        if (found || status != STATUS_OK) break;
    }
    return text;
}

static enum status fault(struct work *work, const struct client_response *response,
                         struct error *err)
{
    struct str text = fault_text(response->body, &work->arena);
    enum status status =
        response->status == 403 ? STATUS_PERMISSION_DENIED : STATUS_FAILED_PRECONDITION;
    if (text.size == 0) return remote_fail(response, err);
    return fail(err, status, "the server answered %d: %.*s%s", response->status, STR_ARGS(text),
                response->status == 403
                    ? "; with sqs.access_keys this command cannot sign: use the AWS command line"
                    : "");
}

/* One operation; the answer lasts as long as the arena. */
static enum status call(struct work *work, const char *operation, const struct buffer *body,
                        struct str *ret_answer, struct error *err)
{
    char target[64];
    int size = snprintf(target, sizeof target, "AmazonSQS.%s", operation);
    struct client_field field = {STR("X-Amz-Target"), {target, (size_t)size}};
    struct client_request request = {
        .method = "POST",
        .path = "/",
        .content_type = "application/x-amz-json-1.0",
        .fields = &field,
        .field_count = 1,
        .body = buffer_view(body),
    };
    struct client_response response;
    if (buffer_failed(body)) return fail(err, STATUS_EXHAUSTED, "the request is too large");
    TRY(remote_send(work->remote, &request, &response, err));
    if (response.status != 200) return fault(work, &response, err);
    *ret_answer = arena_try_copy(&work->arena, response.body);
    if (!ret_answer->data)
        return fail(err, STATUS_EXHAUSTED, "an answer of %zu bytes is too large",
                    response.body.size);
    return STATUS_OK;
}

/* An operation whose parameters are texts: {"NAME": "VALUE", ...}. */
struct parameter {
    const char *name;
    struct str value; /* empty: left out */
};

static void write_parameters(const struct parameter *parameters, size_t count,
                             struct json_writer *json)
{
    for (size_t i = 0; i < count; i++)
        if (parameters[i].value.size > 0)
            json_put_string(json, str_of(parameters[i].name), parameters[i].value);
}

static enum status call_with(struct work *work, const char *operation,
                             const struct parameter *parameters, size_t count,
                             struct str *ret_answer, struct error *err)
{
    struct buffer body CLEANUP(buffer_clear);
    struct json_writer json;
    buffer_init(&body, TEXT_SIZE_MAX);
    json_writer_init(&json, &body);
    json_begin_object(&json);
    write_parameters(parameters, count, &json);
    json_end_object(&json);
    return call(work, operation, &body, ret_answer, err);
}

/* The text of one member of an answer; empty if it is not there. */
static enum status find_text(struct work *work, struct str answer, struct str name,
                             struct str *ret_text, struct error *err)
{
    struct json_reader reader;
    struct str key, text = STR_EMPTY;
    bool more;
    json_reader_init(&reader, answer, &work->arena);
    TRY(json_open_object(&reader, err));
    for (;;) {
        TRY(json_next_member(&reader, &key, &more, err));
        if (!more) break;
        if (str_equal(key, name) && json_peek(&reader) == JSON_STRING)
            TRY(json_read_string(&reader, &text, err));
        else
            TRY(json_skip(&reader, err));
    }
    *ret_text = text;
    return STATUS_OK;
}

static enum status find_url(struct work *work, const char *name, struct str *ret_url,
                            struct error *err)
{
    const struct parameter parameter = {"QueueName", str_of(name)};
    struct str answer;
    TRY(fail_while(err, call_with(work, "GetQueueUrl", &parameter, 1, &answer, err), "queue '%s'",
                   name));
    return find_text(work, answer, STR("QueueUrl"), ret_url, err);
}

/* --- depth -------------------------------------------------------------------------------------
 */

struct queue {
    struct str name, url, arn, dead_letter;
    struct str visible, in_flight, delayed;
};

static enum status read_attribute(struct work *work, struct json_reader *reader, struct str key,
                                  struct queue *queue, struct error *err)
{
    struct str value;
    const struct {
        struct str name;
        struct str *value;
    } texts[] = {
        {STR("ApproximateNumberOfMessages"), &queue->visible},
        {STR("ApproximateNumberOfMessagesNotVisible"), &queue->in_flight},
        {STR("ApproximateNumberOfMessagesDelayed"), &queue->delayed},
        {STR("QueueArn"), &queue->arn},
    };
    TRY(json_read_string(reader, &value, err));
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (str_equal(key, texts[i].name)) *texts[i].value = value;
    if (!str_equal(key, STR("RedrivePolicy"))) return STATUS_OK;
    return find_text(work, value, STR("deadLetterTargetArn"), &queue->dead_letter, err);
}

/* Puts the reader before the value of that member of an answer; false if it has none. */
static enum status find_member(struct work *work, struct str answer, struct str name,
                               struct json_reader *reader, bool *ret_found, struct error *err)
{
    json_reader_init(reader, answer, &work->arena);
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key;
        TRY(json_next_member(reader, &key, ret_found, err));
        if (!*ret_found || str_equal(key, name)) return STATUS_OK;
        TRY(json_skip(reader, err));
    }
}

static enum status read_attributes(struct work *work, struct str answer, struct queue *queue,
                                   struct error *err)
{
    struct json_reader reader;
    struct str key;
    bool more;
    TRY(find_member(work, answer, STR("Attributes"), &reader, &more, err));
    if (!more) return STATUS_OK;
    TRY(json_open_object(&reader, err));
    for (;;) {
        TRY(json_next_member(&reader, &key, &more, err));
        if (!more) return STATUS_OK;
        TRY(read_attribute(work, &reader, key, queue, err));
    }
}

/* The last part of a URL or of an ARN. */
static struct str last_part(struct str text, char separator)
{
    size_t at = text.size;
    while (at > 0 && text.data[at - 1] != separator) at--;
    return str_from(text, at);
}

static enum status describe(struct work *work, struct str url, struct queue *ret_queue,
                            struct error *err)
{
    struct buffer body CLEANUP(buffer_clear);
    struct json_writer json;
    struct str answer;
    *ret_queue = (struct queue){.url = url, .name = last_part(url, '/')};
    buffer_init(&body, TEXT_SIZE_MAX);
    json_writer_init(&json, &body);
    json_begin_object(&json);
    json_put_string(&json, STR("QueueUrl"), url);
    json_add_name(&json, STR("AttributeNames"));
    json_begin_array(&json);
    json_add_string(&json, STR("All"));
    json_end_array(&json);
    json_end_object(&json);
    TRY(call(work, "GetQueueAttributes", &body, &answer, err));
    return fail_while(err, read_attributes(work, answer, ret_queue, err),
                      "reading the server's answer");
}

static void add_number(struct json_writer *json, struct str name, struct str text)
{
    uint64_t number;
    json_add_name(json, name);
    if (num_read_u64(text, &number))
        json_add_u64(json, number);
    else
        json_add_null(json);
}

static void add_queue(struct work *work, const struct queue *queue, struct table *table)
{
    struct str dead = last_part(queue->dead_letter, ':');
    if (!work->config->queues_json) {
        const struct str cells[] = {queue->name, queue->visible, queue->in_flight, queue->delayed,
                                    dead.size > 0 ? dead : STR("-")};
        for (size_t i = 0; i < COUNT_OF(cells); i++)
            table_add_format(table, "%.*s", STR_ARGS(cells[i]));
        return;
    }
    struct json_writer json;
    json_writer_init(&json, &work->text);
    json_begin_object(&json);
    json_put_string(&json, STR("name"), queue->name);
    add_number(&json, STR("visible"), queue->visible);
    add_number(&json, STR("in_flight"), queue->in_flight);
    add_number(&json, STR("delayed"), queue->delayed);
    if (dead.size > 0) json_put_string(&json, STR("dead_letter"), dead);
    json_end_object(&json);
    buffer_add_byte(&work->text, '\n');
}

static void begin_table(struct table *table)
{
    static const char *const columns[] = {"name", "visible", "in flight", "delayed", "dead letter"};
    table_init(table, COUNT_OF(columns));
    for (size_t i = 0; i < COUNT_OF(columns); i++) table_add(table, columns[i]);
}

static enum status end_table(struct work *work, struct table *table, enum status status)
{
    if (status == STATUS_OK && !work->config->queues_json) table_print(table, &work->text);
    table_clear(table);
    return status;
}

static enum status add_urls(struct work *work, struct str answer, struct table *table,
                            struct error *err)
{
    struct json_reader reader;
    struct str url;
    struct queue queue;
    bool more;
    TRY(find_member(work, answer, STR("QueueUrls"), &reader, &more, err));
    if (!more) return STATUS_OK;
    TRY(json_open_array(&reader, err));
    for (;;) {
        TRY(json_next_element(&reader, &more, err));
        if (!more) return STATUS_OK;
        TRY(json_read_string(&reader, &url, err));
        TRY(describe(work, url, &queue, err));
        add_queue(work, &queue, table);
    }
}

static enum status list_queues(struct work *work, struct table *table, struct error *err)
{
    const char *prefix =
        work->config->positionals.count > 1 ? work->config->positionals.items[1] : "";
    struct str next = STR_EMPTY, answer;
    do {
        struct buffer body CLEANUP(buffer_clear);
        struct json_writer json;
        const struct parameter parameters[] = {{"QueueNamePrefix", str_of(prefix)},
                                               {"NextToken", next}};
        buffer_init(&body, TEXT_SIZE_MAX);
        json_writer_init(&json, &body);
        json_begin_object(&json);
        json_put_u64(&json, STR("MaxResults"), PAGE_SIZE);
        write_parameters(parameters, COUNT_OF(parameters), &json);
        json_end_object(&json);
        TRY(call(work, "ListQueues", &body, &answer, err));
        TRY(find_text(work, answer, STR("NextToken"), &next, err));
        TRY(add_urls(work, answer, table, err));
    } while (next.size > 0);
    return STATUS_OK;
}

static enum status run_list(struct work *work, struct error *err)
{
    struct table table;
    begin_table(&table);
    return end_table(work, &table, list_queues(work, &table, err));
}

static enum status describe_each(struct work *work, struct table *table, struct error *err)
{
    const struct config_list *names = &work->config->positionals;
    for (size_t i = 1; i < names->count; i++) {
        struct queue queue;
        struct str url;
        TRY(find_url(work, names->items[i], &url, err));
        TRY(describe(work, url, &queue, err));
        add_queue(work, &queue, table);
    }
    return STATUS_OK;
}

static enum status run_depth(struct work *work, struct error *err)
{
    struct table table;
    begin_table(&table);
    return end_table(work, &table, describe_each(work, &table, err));
}

/* --- redrive and purge -------------------------------------------------------------------------
 */

/* Of a queue with a dead-letter queue: that one's messages come back to it. Else the queue is a
 * dead-letter queue itself, and each of its messages goes where it came from. */
static enum status run_redrive(struct work *work, struct error *err)
{
    const char *name = work->config->positionals.items[1];
    struct queue queue;
    struct str url, answer;
    TRY(find_url(work, name, &url, err));
    TRY(describe(work, url, &queue, err));
    bool in_front = queue.dead_letter.size > 0;
    const struct parameter parameters[] = {
        {"SourceArn", in_front ? queue.dead_letter : queue.arn},
        {"DestinationArn", in_front ? queue.arn : STR_EMPTY},
    };
    TRY(fail_while(
        err,
        call_with(work, "StartMessageMoveTask", parameters, COUNT_OF(parameters), &answer, err),
        "queue '%s'", name));
    struct str source = last_part(parameters[0].value, ':');
    buffer_add_format(&work->text, "the messages of %.*s are moved back to %s\n", STR_ARGS(source),
                      in_front ? name : "where they came from");
    return STATUS_OK;
}

static enum status run_purge(struct work *work, struct error *err)
{
    const char *name = work->config->positionals.items[1];
    struct parameter parameter = {"QueueUrl", STR_EMPTY};
    struct str answer;
    if (!work->config->queues_yes)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "this deletes every message of '%s' for good: say --yes if that is meant",
                    name);
    TRY(find_url(work, name, &parameter.value, err));
    TRY(fail_while(err, call_with(work, "PurgeQueue", &parameter, 1, &answer, err), "queue '%s'",
                   name));
    buffer_add_format(&work->text, "%s is empty\n", name);
    return STATUS_OK;
}

/* --- the command -------------------------------------------------------------------------------
 */

static const struct verb {
    const char *name;
    size_t least, most; /* arguments, the verb counted in */
    const char *usage;
    enum status (*run)(struct work *work, struct error *err);
} verbs[] = {
    {"list", 1, 2, "list [PREFIX]", run_list},
    {"depth", 2, SIZE_MAX, "depth NAME...", run_depth},
    {"redrive", 2, 2, "redrive NAME", run_redrive},
    {"purge", 2, 2, "purge NAME --yes", run_purge},
};

static enum status find_verb(const struct config *config, const struct verb **ret_verb,
                             struct error *err)
{
    const struct config_list *arguments = &config->positionals;
    const char *name = arguments->count > 0 ? arguments->items[0] : "";
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        const struct verb *verb = &verbs[i];
        if (strcmp(verb->name, name) != 0) continue;
        if (arguments->count < verb->least || arguments->count > verb->most)
            return fail(err, STATUS_INVALID_ARGUMENT, "usage: slipway queue %s", verb->usage);
        *ret_verb = verb;
        return STATUS_OK;
    }
    return fail(err, STATUS_INVALID_ARGUMENT, "'%s' is none of list, depth, redrive, purge", name);
}

enum status cmd_queue(struct command_context *context, struct error *err)
{
    struct work work = {.context = context, .config = context->config};
    const struct verb *verb;
    TRY(find_verb(work.config, &verb, err));
    TRY(remote_open(work.config->queues_url, 0, &work.remote, err));
    arena_init(&work.arena, MEMORY_MAX);
    buffer_init(&work.text, TEXT_SIZE_MAX);
    enum status status = verb->run(&work, err);
    if (status == STATUS_OK) status = console_flush(&work.text, context->out, err);
    buffer_clear(&work.text);
    arena_clear(&work.arena);
    remote_close(work.remote);
    return status;
}
