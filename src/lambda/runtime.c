/* The Runtime API. */
#include "lambda/runtime.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "net/client.h"

/* A frozen process may wait for days. */
#define WAIT_NS (UINT64_C(366) * 86400 * NS_PER_S)

enum { PATH_SIZE = LAMBDA_REQUEST_ID_MAX + 64, FAILURE_SIZE_MAX = 8 * 1024 };

struct lambda_runtime {
    struct client *client;
    struct client *waiting; /* for events: `stop` ends it, and never an answer half sent */
    struct buffer failure;  /* the body of an error */
    struct buffer cause;    /* what X-Ray is told of it */
};

enum status lambda_runtime_new(const char *address, int stop, struct lambda_runtime **ret_runtime,
                               struct error *err)
{
    char *host CLEANUP(mem_freep) = NULL;
    char *url CLEANUP(mem_freep) = mem_format("http://%s", address);
    uint16_t port;
    struct str path;
    TRY(client_parse_url(url, &host, &port, &path, err));
    struct lambda_runtime *runtime = MEM_NEW(struct lambda_runtime);
    struct client_options options = {.host = host,
                                     .port = port,
                                     .timeout_ns = WAIT_NS,
                                     .body_size_max = LAMBDA_EVENT_SIZE_MAX,
                                     .stop_descriptor = stop};
    buffer_init(&runtime->failure, FAILURE_SIZE_MAX);
    buffer_init(&runtime->cause, LAMBDA_CAUSE_SIZE_MAX);
    enum status status = client_new(&options, &runtime->waiting, err);
    options.stop_descriptor = 0;
    if (status == STATUS_OK) status = client_new(&options, &runtime->client, err);
    if (status != STATUS_OK) {
        lambda_runtime_free(runtime);
        return status;
    }
    *ret_runtime = runtime;
    return STATUS_OK;
}

void lambda_runtime_free(struct lambda_runtime *runtime)
{
    if (!runtime) return;
    client_free(runtime->client);
    client_free(runtime->waiting);
    buffer_clear(&runtime->failure);
    buffer_clear(&runtime->cause);
    mem_free(runtime);
}

/* It becomes a part of paths. */
static bool is_request_id(struct str id)
{
    if (id.size == 0 || id.size > LAMBDA_REQUEST_ID_MAX) return false;
    for (size_t i = 0; i < id.size; i++) {
        char byte = id.data[i];
        bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                     (byte >= '0' && byte <= '9') || byte == '-' || byte == '_';
        if (!plain) return false;
    }
    return true;
}

enum status lambda_runtime_next(struct lambda_runtime *runtime,
                                struct lambda_invocation *ret_invocation, struct error *err)
{
    const struct client_request request = {.path = "/2018-06-01/runtime/invocation/next"};
    struct client_response response;
    TRY(fail_while(err, client_request(runtime->waiting, &request, &response, err),
                   "waiting for an event of the Runtime API"));
    if (response.status != 200)
        return fail(err, STATUS_DATA_LOSS, "the Runtime API answered %d instead of an event",
                    response.status);
    struct str id = client_response_field(&response, STR("Lambda-Runtime-Aws-Request-Id"));
    if (!is_request_id(id))
        return fail(err, STATUS_DATA_LOSS, "the Runtime API sent an event without a request id");
    struct lambda_invocation invocation = {
        .trace_id = client_response_field(&response, STR("Lambda-Runtime-Trace-Id")),
        .event = response.body,
    };
    memcpy(invocation.request_id, id.data, id.size);
    struct str deadline = client_response_field(&response, STR("Lambda-Runtime-Deadline-Ms"));
    if (!deadline.data || !num_read_u64(deadline, &invocation.deadline_ms))
        invocation.deadline_ms = 0;
    if (!invocation.trace_id.data) invocation.trace_id = STR_EMPTY;
    invocation.function_arn =
        client_response_field(&response, STR("Lambda-Runtime-Invoked-Function-Arn"));
    if (!invocation.function_arn.data) invocation.function_arn = STR_EMPTY;
    *ret_invocation = invocation;
    return STATUS_OK;
}

/* A refusal concerns this invocation only: the platform knows of it, and the next one may come. */
static enum status post(struct lambda_runtime *runtime, const struct client_request *request,
                        struct error *err)
{
    struct client_response response;
    TRY(fail_while(err, client_request(runtime->client, request, &response, err),
                   "answering the Runtime API"));
    if (response.status >= 200 && response.status < 300) return STATUS_OK;
    if (response.status >= 500)
        return fail(err, STATUS_INTERNAL, "the Runtime API failed with %d", response.status);
    log_warning("the Runtime API did not take an answer", LOG_TEXT("path", request->path),
                LOG_U64("status", (uint64_t)response.status), LOG_U64("bytes", request->body.size));
    return STATUS_OK;
}

enum status lambda_runtime_respond(struct lambda_runtime *runtime,
                                   const struct lambda_invocation *invocation, struct str answer,
                                   struct error *err)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "/2018-06-01/runtime/invocation/%s/response",
                   invocation->request_id);
    const struct client_request request = {
        .method = "POST", .path = path, .content_type = "application/json", .body = answer};
    return post(runtime, &request, err);
}

/* --- failures --------------------------------------------------------------------------------- */

/* The platform knows names of this form only: (Runtime|Function).Letters. */
static const char *error_type(enum status status)
{
    if (status == STATUS_DEADLINE_EXCEEDED) return "Function.DeadlineExceeded";
    if (status_retryable(status)) return "Function.Unavailable";
    if (status == STATUS_INVALID_ARGUMENT || status == STATUS_OUT_OF_RANGE)
        return "Function.BadInput";
    if (status == STATUS_NOT_FOUND) return "Function.NotFound";
    if (status == STATUS_UNIMPLEMENTED) return "Function.NotSupported";
    if (status == STATUS_FAILED_PRECONDITION) return "Function.NotReady";
    return "Function.Failed";
}

static void write_failure(struct buffer *out, struct str type, struct str message)
{
    struct json_writer writer;
    buffer_reset(out);
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_put_string(&writer, STR("errorMessage"), message);
    json_put_string(&writer, STR("errorType"), type);
    json_add_name(&writer, STR("stackTrace"));
    json_begin_array(&writer);
    json_end_array(&writer);
    json_end_object(&writer);
}

/* It travels in a header field: what is not ASCII is left out of it. */
static struct str ascii_of(struct str text, char *room, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size && count < size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte >= 0x20 && byte < 0x7F)
            room[count++] = (char)byte;
        else if (byte >= 0xC0)
            room[count++] = '?';
    }
    return (struct str){room, count};
}

/* X-Ray's own form; a C program has no stack to show. */
static void write_cause(struct buffer *out, struct str type, struct str message)
{
    char room[sizeof(struct error)];
    struct json_writer writer;
    buffer_reset(out);
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_put_string(&writer, STR("working_directory"), STR_EMPTY);
    json_add_name(&writer, STR("exceptions"));
    json_begin_array(&writer);
    json_begin_object(&writer);
    json_put_string(&writer, STR("message"), ascii_of(message, room, sizeof room));
    json_put_string(&writer, STR("type"), type);
    json_add_name(&writer, STR("stack"));
    json_begin_array(&writer);
    json_end_array(&writer);
    json_end_object(&writer);
    json_end_array(&writer);
    json_add_name(&writer, STR("paths"));
    json_begin_array(&writer);
    json_end_array(&writer);
    json_end_object(&writer);
}

static enum status post_failure(struct lambda_runtime *runtime, const char *path,
                                const struct error *cause, const char *type, struct error *err)
{
    struct str name = str_of(type ? type : error_type(cause->status));
    struct str message = str_of(cause->message);
    write_failure(&runtime->failure, name, message);
    write_cause(&runtime->cause, name, message);
    const struct client_field fields[] = {
        {STR("Lambda-Runtime-Function-Error-Type"), name},
        {STR("Lambda-Runtime-Function-XRay-Error-Cause"), buffer_view(&runtime->cause)},
    };
    const struct client_request request = {.method = "POST",
                                           .path = path,
                                           .content_type = "application/json",
                                           .fields = fields,
                                           .field_count = COUNT_OF(fields),
                                           .body = buffer_view(&runtime->failure)};
    return post(runtime, &request, err);
}

enum status lambda_runtime_fail(struct lambda_runtime *runtime,
                                const struct lambda_invocation *invocation,
                                const struct error *cause, const char *type, struct error *err)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "/2018-06-01/runtime/invocation/%s/error",
                   invocation->request_id);
    return post_failure(runtime, path, cause, type, err);
}

enum status lambda_runtime_fail_init(struct lambda_runtime *runtime, const struct error *cause,
                                     struct error *err)
{
    return post_failure(runtime, "/2018-06-01/runtime/init/error", cause, NULL, err);
}

/* --- streams ---------------------------------------------------------------------------------- */

struct passing {
    struct lambda_runtime *runtime;
    const struct lambda_stream *stream;
};

static enum status next_piece(void *context, struct str *ret_piece, struct error *err)
{
    const struct passing *passing = context;
    return passing->stream->next(passing->stream->context, ret_piece, err);
}

/* After the answer has begun there is no other way to tell of a failure. */
static void add_trailers(void *context, const struct error *failure, struct buffer *out)
{
    const struct passing *passing = context;
    struct buffer *body = &passing->runtime->failure;
    if (!failure) return;
    const char *type = error_type(failure->status);
    write_failure(body, str_of(type), str_of(failure->message));
    buffer_add_format(out, "Lambda-Runtime-Function-Error-Type: %s\r\n", type);
    buffer_add(out, STR("Lambda-Runtime-Function-Error-Body: "));
    base64_encode(out, buffer_view(body));
    buffer_add(out, STR("\r\n"));
}

enum status lambda_runtime_stream(struct lambda_runtime *runtime,
                                  const struct lambda_invocation *invocation,
                                  const struct lambda_stream *stream, struct error *err)
{
    char path[PATH_SIZE];
    struct passing passing = {runtime, stream};
    const struct client_field fields[] = {
        {STR("Lambda-Runtime-Function-Response-Mode"), STR("streaming")},
        {STR("Trailer"),
         STR("Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body")},
    };
    const struct client_source source = {next_piece, add_trailers, &passing};
    (void)snprintf(path, sizeof path, "/2018-06-01/runtime/invocation/%s/response",
                   invocation->request_id);
    const struct client_request request = {.method = "POST",
                                           .path = path,
                                           .content_type = stream->type,
                                           .fields = fields,
                                           .field_count = COUNT_OF(fields),
                                           .source = &source};
    return post(runtime, &request, err);
}
