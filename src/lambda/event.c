/* Shapes of events. */
#include "lambda/event.h"

struct marks {
    bool records;
    bool sqs;
    bool request_context;
    bool version_two;
    bool http_method;
    bool deployment;
    bool hook;
    bool detail_type;
};

const char *lambda_shape_text(enum lambda_shape shape)
{
    static const char *const texts[] = {
        [LAMBDA_DIRECT] = "a direct request",
        [LAMBDA_SQS] = "an SQS event",
        [LAMBDA_RECORDS] = "records of a source other than SQS",
        [LAMBDA_HTTP_V1] = "a request of an API Gateway REST API",
        [LAMBDA_HTTP_V2] = "a request of a Function URL or HTTP API",
        [LAMBDA_CODE_DEPLOY] = "a CodeDeploy hook",
        [LAMBDA_EVENTBRIDGE] = "an EventBridge event",
    };
    return texts[shape];
}

/* True if the string that stands next is that; another value is skipped. */
static enum status read_is(struct json_reader *reader, struct str wanted, bool *ret_is,
                           struct error *err)
{
    struct str text;
    if (json_peek(reader) != JSON_STRING) return json_skip(reader, err);
    TRY(json_read_string(reader, &text, err));
    *ret_is = str_equal(text, wanted);
    return STATUS_OK;
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
        if (str_equal(key, STR("eventSource")))
            TRY(read_is(reader, STR("aws:sqs"), &marks->sqs, err));
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
        if (!more) return STATUS_OK;
        TRY(look_at_record(reader, marks, err));
    }
}

static enum status look_at_member(struct json_reader *reader, struct str key, struct marks *marks,
                                  struct error *err)
{
    if (str_equal(key, STR("Records"))) return look_at_records(reader, marks, err);
    if (str_equal(key, STR("version")))
        return read_is(reader, STR("2.0"), &marks->version_two, err);
    marks->request_context |= str_equal(key, STR("requestContext"));
    marks->http_method |= str_equal(key, STR("httpMethod"));
    marks->deployment |= str_equal(key, STR("DeploymentId"));
    marks->hook |= str_equal(key, STR("LifecycleEventHookExecutionId"));
    marks->detail_type |= str_equal(key, STR("detail-type"));
    return json_skip(reader, err);
}

static enum lambda_shape decide(const struct marks *marks)
{
    if (marks->records) return marks->sqs ? LAMBDA_SQS : LAMBDA_RECORDS;
    if (marks->request_context && marks->version_two) return LAMBDA_HTTP_V2;
    if (marks->request_context && marks->http_method) return LAMBDA_HTTP_V1;
    if (marks->deployment && marks->hook) return LAMBDA_CODE_DEPLOY;
    if (marks->detail_type) return LAMBDA_EVENTBRIDGE;
    return LAMBDA_DIRECT;
}

enum status lambda_event_shape(struct str text, struct arena *arena, enum lambda_shape *ret_shape,
                               struct error *err)
{
    struct json_reader reader;
    struct marks marks = {0};
    json_reader_init(&reader, text, arena);
    if (json_peek(&reader) != JSON_OBJECT) {
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
    *ret_shape = decide(&marks);
    return STATUS_OK;
}
