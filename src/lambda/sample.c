/* Sample events, shape by shape. */
#include "lambda/sample.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/rand.h"

#define REGION "eu-west-1"
#define ACCOUNT "000000000000"

enum { TEXT_SIZE = 192, UUID_SIZE = 37 };

struct sampling {
    const struct lambda_sample *sample;
    struct json_writer writer;
    struct buffer *out;
    struct prng prng;
};

static const char *const names[LAMBDA_SAMPLE_KINDS] = {
    [LAMBDA_SAMPLE_DIRECT] = "direct",
    [LAMBDA_SAMPLE_TASK] = "task",
    [LAMBDA_SAMPLE_SQS] = "sqs",
    [LAMBDA_SAMPLE_SQS_FIFO] = "sqs-fifo",
    [LAMBDA_SAMPLE_FUNCTION_URL] = "function-url",
    [LAMBDA_SAMPLE_HTTP_API] = "http-api",
    [LAMBDA_SAMPLE_REST_API] = "rest-api",
    [LAMBDA_SAMPLE_EVENTBRIDGE] = "eventbridge",
    [LAMBDA_SAMPLE_CODE_DEPLOY] = "code-deploy",
};

bool lambda_sample_find(struct str name, enum lambda_sample_kind *ret_kind)
{
    for (size_t i = 0; i < LAMBDA_SAMPLE_KINDS; i++) {
        if (!str_equal(name, str_of(names[i]))) continue;
        *ret_kind = (enum lambda_sample_kind)i;
        return true;
    }
    return false;
}

const char *lambda_sample_name(enum lambda_sample_kind kind)
{
    return names[kind];
}

/* --- parts ------------------------------------------------------------------------------------ */

/* Version 4, as SQS, EventBridge and API Gateway name what they send. */
static const char *uuid(struct sampling *sampling, char text[UUID_SIZE])
{
    uint64_t high = prng_u64(&sampling->prng), low = prng_u64(&sampling->prng);
    (void)snprintf(text, UUID_SIZE, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(high >> 32),
                   (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xfff),
                   (unsigned)(0x8000 | (low >> 48 & 0x3fff)),
                   (unsigned long long)(low & 0xffffffffffff));
    return text;
}

static void put_text(struct sampling *sampling, const char *name, const char *value)
{
    json_put_string(&sampling->writer, str_of(name), str_of(value));
}

static void put_uuid(struct sampling *sampling, const char *name)
{
    char text[UUID_SIZE];
    put_text(sampling, name, uuid(sampling, text));
}

/* Numbers that AWS sends as texts. */
static void put_number_text(struct sampling *sampling, const char *name, uint64_t value)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_text(sampling, name, text);
}

static void begin(struct sampling *sampling, const char *name)
{
    if (name) json_add_name(&sampling->writer, str_of(name));
    json_begin_object(&sampling->writer);
}

static void end(struct sampling *sampling)
{
    json_end_object(&sampling->writer);
}

static void put_time(struct sampling *sampling, const char *name)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format_utc(sampling->sample->now_ms * NS_PER_MS, text);
    put_text(sampling, name, text);
}

/* --- queues ----------------------------------------------------------------------------------- */

static void put_attributes(struct sampling *sampling, size_t index)
{
    const struct lambda_sample *sample = sampling->sample;
    char deduplication_id[UUID_SIZE], sequence[32];
    begin(sampling, "attributes");
    put_text(sampling, "ApproximateReceiveCount", "1");
    put_number_text(sampling, "SentTimestamp", sample->now_ms);
    put_text(sampling, "SenderId", "AIDAEXAMPLE");
    put_number_text(sampling, "ApproximateFirstReceiveTimestamp", sample->now_ms + 5);
    if (sample->kind == LAMBDA_SAMPLE_SQS_FIFO) {
        (void)snprintf(sequence, sizeof sequence, "%020llu", (unsigned long long)index + 1);
        put_text(sampling, "SequenceNumber", sequence);
        json_put_string(&sampling->writer, STR("MessageGroupId"), sample->group);
        put_text(sampling, "MessageDeduplicationId", uuid(sampling, deduplication_id));
    }
    end(sampling);
}

static void put_message_attributes(struct sampling *sampling)
{
    struct str model = sampling->sample->model;
    begin(sampling, "messageAttributes");
    if (model.size > 0) {
        begin(sampling, "model");
        json_put_string(&sampling->writer, STR("stringValue"), model);
        put_text(sampling, "dataType", "String");
        end(sampling);
    }
    end(sampling);
}

static void put_record(struct sampling *sampling, size_t index)
{
    struct str body = sampling->sample->bodies[index], queue = sampling->sample->queue;
    char digest[MD5_HEX_SIZE], source[TEXT_SIZE];
    (void)snprintf(source, sizeof source, "arn:aws:sqs:" REGION ":" ACCOUNT ":%.*s",
                   STR_ARGS(queue));
    begin(sampling, NULL);
    put_uuid(sampling, "messageId");
    put_uuid(sampling, "receiptHandle");
    json_put_string(&sampling->writer, STR("body"), body);
    put_attributes(sampling, index);
    put_message_attributes(sampling);
    if (md5_hex(body, digest)) put_text(sampling, "md5OfBody", digest);
    put_text(sampling, "eventSource", "aws:sqs");
    put_text(sampling, "eventSourceARN", source);
    put_text(sampling, "awsRegion", REGION);
    end(sampling);
}

static void write_records(struct sampling *sampling)
{
    begin(sampling, NULL);
    json_add_name(&sampling->writer, STR("Records"));
    json_begin_array(&sampling->writer);
    for (size_t i = 0; i < sampling->sample->body_count; i++) put_record(sampling, i);
    json_end_array(&sampling->writer);
    end(sampling);
}

/* --- HTTP ------------------------------------------------------------------------------------- */

static void put_headers(struct sampling *sampling, const char *host, bool capitals)
{
    begin(sampling, "headers");
    put_text(sampling, capitals ? "Content-Type" : "content-type", "application/json");
    put_text(sampling, capitals ? "Host" : "host", host);
    put_text(sampling, capitals ? "X-Forwarded-For" : "x-forwarded-for", "192.0.2.7");
    put_text(sampling, capitals ? "X-Forwarded-Proto" : "x-forwarded-proto", "https");
    end(sampling);
}

static void put_http_body(struct sampling *sampling)
{
    json_put_string(&sampling->writer, STR("body"), sampling->sample->bodies[0]);
    json_put_bool(&sampling->writer, STR("isBase64Encoded"), false);
}

/* Payload 2.0. A Function URL's is an HTTP API's with another domain. */
static void write_http_v2(struct sampling *sampling)
{
    const struct lambda_sample *sample = sampling->sample;
    bool url = sample->kind == LAMBDA_SAMPLE_FUNCTION_URL;
    const char *host = url ? "abcdefghij.lambda-url." REGION ".on.aws"
                           : "abcdefghij.execute-api." REGION ".amazonaws.com";
    begin(sampling, NULL);
    put_text(sampling, "version", "2.0");
    put_text(sampling, "routeKey", "$default");
    json_put_string(&sampling->writer, STR("rawPath"), sample->path);
    put_text(sampling, "rawQueryString", "");
    put_headers(sampling, host, false);
    begin(sampling, "requestContext");
    put_text(sampling, "accountId", url ? "anonymous" : ACCOUNT);
    put_text(sampling, "apiId", "abcdefghij");
    put_text(sampling, "domainName", host);
    put_text(sampling, "domainPrefix", "abcdefghij");
    begin(sampling, "http");
    put_text(sampling, "method", "POST");
    json_put_string(&sampling->writer, STR("path"), sample->path);
    put_text(sampling, "protocol", "HTTP/1.1");
    put_text(sampling, "sourceIp", "192.0.2.7");
    put_text(sampling, "userAgent", "slipway");
    end(sampling);
    put_uuid(sampling, "requestId");
    put_text(sampling, "routeKey", "$default");
    put_text(sampling, "stage", "$default");
    json_put_u64(&sampling->writer, STR("timeEpoch"), sample->now_ms);
    end(sampling);
    put_http_body(sampling);
    end(sampling);
}

/* Payload 1.0. */
static void write_http_v1(struct sampling *sampling)
{
    const struct lambda_sample *sample = sampling->sample;
    begin(sampling, NULL);
    put_text(sampling, "resource", "/{proxy+}");
    json_put_string(&sampling->writer, STR("path"), sample->path);
    put_text(sampling, "httpMethod", "POST");
    put_headers(sampling, "abcdefghij.execute-api." REGION ".amazonaws.com", true);
    json_add_name(&sampling->writer, STR("multiValueHeaders"));
    json_add_null(&sampling->writer);
    json_add_name(&sampling->writer, STR("queryStringParameters"));
    json_add_null(&sampling->writer);
    json_add_name(&sampling->writer, STR("multiValueQueryStringParameters"));
    json_add_null(&sampling->writer);
    begin(sampling, "requestContext");
    put_text(sampling, "accountId", ACCOUNT);
    put_text(sampling, "apiId", "abcdefghij");
    put_text(sampling, "httpMethod", "POST");
    json_put_string(&sampling->writer, STR("path"), sample->path);
    put_text(sampling, "protocol", "HTTP/1.1");
    put_uuid(sampling, "requestId");
    json_put_u64(&sampling->writer, STR("requestTimeEpoch"), sample->now_ms);
    put_text(sampling, "stage", "prod");
    end(sampling);
    put_http_body(sampling);
    end(sampling);
}

/* --- the others ------------------------------------------------------------------------------- */

static void write_direct(struct sampling *sampling)
{
    buffer_add(sampling->out, sampling->sample->bodies[0]);
}

static void write_task(struct sampling *sampling)
{
    begin(sampling, NULL);
    begin(sampling, "slipway");
    put_text(sampling, "task", "check");
    end(sampling);
    end(sampling);
}

static void write_eventbridge(struct sampling *sampling)
{
    const struct lambda_sample *sample = sampling->sample;
    begin(sampling, NULL);
    put_text(sampling, "version", "0");
    put_uuid(sampling, "id");
    put_text(sampling, "detail-type", "Inference Requested");
    put_text(sampling, "source", "example.orders");
    put_text(sampling, "account", ACCOUNT);
    put_time(sampling, "time");
    put_text(sampling, "region", REGION);
    json_add_name(&sampling->writer, STR("resources"));
    json_begin_array(&sampling->writer);
    json_end_array(&sampling->writer);
    begin(sampling, "detail");
    if (sample->model.size > 0) json_put_string(&sampling->writer, STR("model"), sample->model);
    json_add_name(&sampling->writer, STR("request"));
    json_add_raw(&sampling->writer, sample->bodies[0]);
    end(sampling);
    end(sampling);
}

static void write_code_deploy(struct sampling *sampling)
{
    char execution[UUID_SIZE];
    begin(sampling, NULL);
    put_text(sampling, "DeploymentId", "d-ABCDEFGHI");
    put_text(sampling, "LifecycleEventHookExecutionId", uuid(sampling, execution));
    end(sampling);
}

void lambda_sample_write(const struct lambda_sample *sample, struct buffer *out)
{
    static void (*const writers[LAMBDA_SAMPLE_KINDS])(struct sampling *) = {
        [LAMBDA_SAMPLE_DIRECT] = write_direct,
        [LAMBDA_SAMPLE_TASK] = write_task,
        [LAMBDA_SAMPLE_SQS] = write_records,
        [LAMBDA_SAMPLE_SQS_FIFO] = write_records,
        [LAMBDA_SAMPLE_FUNCTION_URL] = write_http_v2,
        [LAMBDA_SAMPLE_HTTP_API] = write_http_v2,
        [LAMBDA_SAMPLE_REST_API] = write_http_v1,
        [LAMBDA_SAMPLE_EVENTBRIDGE] = write_eventbridge,
        [LAMBDA_SAMPLE_CODE_DEPLOY] = write_code_deploy,
    };
    assert(sample->body_count > 0);
    struct sampling sampling = {.sample = sample, .out = out};
    prng_seed(&sampling.prng, sample->seed);
    json_writer_init(&sampling.writer, out);
    writers[sample->kind](&sampling);
    buffer_add_byte(out, '\n');
}
