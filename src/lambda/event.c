/* Shapes of events. */
#include "lambda/event.h"

enum { KEYS_MAX = 6, KEY_SHOWN_MAX = 32 };

struct marks {
    bool records;
    bool sqs;
    bool request_context;
    bool version_two;
    bool http_method;
    bool deployment;
    bool hook;
    bool detail_type;
    bool task;
    bool request;      /* inputs, or instances */
    struct str source; /* of records */
    struct str keys[KEYS_MAX];
    size_t key_count;
};

static const char *const shape_texts[] = {
    [LAMBDA_DIRECT] = "a direct request",
    [LAMBDA_TASK] = "a task",
    [LAMBDA_SQS] = "an SQS event",
    [LAMBDA_RECORDS] = "records of a source other than SQS",
    [LAMBDA_HTTP_V1] = "a request of an API Gateway REST API",
    [LAMBDA_HTTP_V2] = "a request of a Function URL or HTTP API",
    [LAMBDA_CODE_DEPLOY] = "a CodeDeploy hook",
    [LAMBDA_EVENTBRIDGE] = "an EventBridge event",
    [LAMBDA_UNKNOWN] = "neither an object nor an array",
};

/* The string that stands next; another value is skipped. */
static enum status read_text(struct json_reader *reader, struct str *ret_text, struct error *err)
{
    if (json_peek(reader) != JSON_STRING) return json_skip(reader, err);
    return json_read_string(reader, ret_text, err);
}

static enum status look_at_record(struct json_reader *reader, struct marks *marks,
                                  struct error *err)
{
    if (json_peek(reader) != JSON_OBJECT) return json_skip(reader, err);
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return STATUS_OK;
        /* SNS has a capital there. */
        if (str_equal(key, STR("eventSource")) || str_equal(key, STR("EventSource")))
            TRY(read_text(reader, &marks->source, err));
        else
            TRY(json_skip(reader, err));
    }
}

/* All records of an event are of one source: the last one tells. */
static enum status look_at_records(struct json_reader *reader, struct marks *marks,
                                   struct error *err)
{
    if (json_peek(reader) != JSON_ARRAY) return json_skip(reader, err);
    marks->records = true;
    TRY(json_open_array(reader, err));
    for (;;) {
        bool more;
        TRY(json_next_element(reader, &more, err));
        if (!more) break;
        TRY(look_at_record(reader, marks, err));
    }
    marks->sqs = str_equal(marks->source, STR("aws:sqs"));
    return STATUS_OK;
}

static enum status look_at_member(struct json_reader *reader, struct str key, struct marks *marks,
                                  struct error *err)
{
    if (marks->key_count < KEYS_MAX) marks->keys[marks->key_count] = key;
    marks->key_count++;
    if (str_equal(key, STR("Records"))) return look_at_records(reader, marks, err);
    if (str_equal(key, STR("version"))) {
        struct str version = STR_EMPTY;
        TRY(read_text(reader, &version, err));
        marks->version_two = str_equal(version, STR("2.0"));
        return STATUS_OK;
    }
    marks->request_context |= str_equal(key, STR("requestContext"));
    marks->http_method |= str_equal(key, STR("httpMethod"));
    marks->deployment |= str_equal(key, STR("DeploymentId"));
    marks->hook |= str_equal(key, STR("LifecycleEventHookExecutionId"));
    marks->detail_type |= str_equal(key, STR("detail-type"));
    marks->task |= str_equal(key, STR("slipway"));
    marks->request |= str_equal(key, STR("inputs")) || str_equal(key, STR("instances"));
    return json_skip(reader, err);
}

static enum lambda_shape decide(const struct marks *marks)
{
    if (marks->records) return marks->sqs ? LAMBDA_SQS : LAMBDA_RECORDS;
    if (marks->request_context && marks->version_two) return LAMBDA_HTTP_V2;
    if (marks->request_context && marks->http_method) return LAMBDA_HTTP_V1;
    if (marks->deployment && marks->hook) return LAMBDA_CODE_DEPLOY;
    if (marks->detail_type) return LAMBDA_EVENTBRIDGE;
    if (marks->task) return LAMBDA_TASK;
    return marks->request ? LAMBDA_DIRECT : LAMBDA_UNKNOWN;
}

/* "an object with 'a', 'b' and 3 more"; what stands in an event's values is nobody's business. */
static void describe_object(const struct marks *marks, struct buffer *out)
{
    size_t shown = MIN(marks->key_count, (size_t)KEYS_MAX);
    buffer_add_text(out, shown == 0 ? "an empty object" : "an object with ");
    for (size_t i = 0; i < shown; i++)
        buffer_add_format(out, "%s'%.*s'", i ? ", " : "",
                          (int)MIN(marks->keys[i].size, (size_t)KEY_SHOWN_MAX),
                          marks->keys[i].data);
    if (marks->key_count > shown) buffer_add_format(out, " and %zu more", marks->key_count - shown);
}

static void describe(const struct marks *marks, bool object, struct lambda_event *event)
{
    struct buffer text CLEANUP(buffer_clear);
    buffer_init(&text, LAMBDA_WHAT_SIZE - 1);
    if (event->shape == LAMBDA_UNKNOWN && object)
        describe_object(marks, &text);
    else if (event->shape == LAMBDA_RECORDS && marks->source.size > 0)
        buffer_add_format(&text, "records of '%.*s'", (int)MIN(marks->source.size, (size_t)64),
                          marks->source.data);
    else
        buffer_add_text(&text, shape_texts[event->shape]);
    (void)snprintf(event->what, sizeof event->what, "%s", buffer_text(&text));
}

enum status lambda_event_read(struct str text, struct arena *arena, struct lambda_event *ret_event,
                              struct error *err)
{
    struct json_reader reader;
    struct marks marks = {.source = STR_EMPTY};
    json_reader_init(&reader, text, arena);
    enum json_kind kind = json_peek(&reader);
    if (kind != JSON_OBJECT) {
        TRY(json_skip(&reader, err));
    } else {
        TRY(json_open_object(&reader, err));
        for (;;) {
            struct str key;
            bool more;
            TRY(json_next_member(&reader, &key, &more, err));
            if (!more) break;
            TRY(look_at_member(&reader, key, &marks, err));
        }
    }
    TRY(json_end(&reader, err));
    ret_event->shape = kind == JSON_OBJECT  ? decide(&marks)
                       : kind == JSON_ARRAY ? LAMBDA_DIRECT
                                            : LAMBDA_UNKNOWN;
    describe(&marks, kind == JSON_OBJECT, ret_event);
    return STATUS_OK;
}

struct str lambda_event_member(struct str text, struct str name, struct arena *arena)
{
    const struct str none = {NULL, 0};
    struct json_reader reader;
    struct str value = none;
    struct error err;
    json_reader_init(&reader, text, arena);
    if (json_peek(&reader) != JSON_OBJECT) return none;
    if (json_open_object(&reader, &err) != STATUS_OK) return none;
    for (;;) {
        struct str key;
        bool more;
        if (json_next_member(&reader, &key, &more, &err) != STATUS_OK) return none;
        if (!more) return value;
        struct str raw;
        json_skip_space(&reader);
        if (json_read_raw(&reader, &raw, &err) != STATUS_OK) return none;
        if (str_equal(key, name)) value = raw;
    }
}

struct str lambda_event_text(struct str text, struct str name, struct arena *arena)
{
    const struct str none = {NULL, 0};
    struct str raw = lambda_event_member(text, name, arena);
    struct json_reader reader;
    struct error err;
    struct str value;
    if (!raw.data) return none;
    json_reader_init(&reader, raw, arena);
    if (json_peek(&reader) != JSON_STRING) return none;
    return json_read_string(&reader, &value, &err) == STATUS_OK ? value : none;
}
