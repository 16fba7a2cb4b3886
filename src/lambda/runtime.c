/* The Runtime API. */
#include "lambda/runtime.h"

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
    struct buffer failure; /* the body of an error */
};

enum status lambda_runtime_new(const char *address, struct lambda_runtime **ret_runtime,
                               struct error *err)
{
    char *host = NULL;
    uint16_t port;
    struct str path;
    char *url = mem_format("http://%s", address);
    enum status status = client_parse_url(url, &host, &port, &path, err);
    if (status == STATUS_OK) {
        struct client *client;
        const struct client_options options = {.host = host,
                                               .port = port,
                                               .timeout_ns = WAIT_NS,
                                               .body_size_max = LAMBDA_EVENT_SIZE_MAX};
        status = client_new(&options, &client, err);
        if (status == STATUS_OK) {
            *ret_runtime = MEM_NEW(struct lambda_runtime);
            (*ret_runtime)->client = client;
            buffer_init(&(*ret_runtime)->failure, FAILURE_SIZE_MAX);
        }
    }
    mem_free(host);
    mem_free(url);
    return status;
}

void lambda_runtime_free(struct lambda_runtime *runtime)
{
    if (!runtime) return;
    client_free(runtime->client);
    buffer_clear(&runtime->failure);
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
    TRY(fail_while(err, client_request(runtime->client, &request, &response, err),
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

/* The platform knows names of this form only: (Runtime|Function).Letters. */
static struct str error_type(enum status status)
{
    if (status == STATUS_DEADLINE_EXCEEDED) return STR("Function.DeadlineExceeded");
    if (status_retryable(status)) return STR("Function.Unavailable");
    if (status == STATUS_INVALID_ARGUMENT || status == STATUS_OUT_OF_RANGE)
        return STR("Function.BadInput");
    if (status == STATUS_NOT_FOUND) return STR("Function.NotFound");
    if (status == STATUS_UNIMPLEMENTED) return STR("Function.NotSupported");
    if (status == STATUS_FAILED_PRECONDITION) return STR("Function.NotReady");
    return STR("Function.Failed");
}

static enum status post_failure(struct lambda_runtime *runtime, const char *path,
                                const struct error *cause, struct error *err)
{
    struct str type = error_type(cause->status);
    struct json_writer writer;
    buffer_reset(&runtime->failure);
    json_writer_init(&writer, &runtime->failure);
    json_begin_object(&writer);
    json_put_string(&writer, STR("errorMessage"), str_of(cause->message));
    json_put_string(&writer, STR("errorType"), type);
    json_add_name(&writer, STR("stackTrace"));
    json_begin_array(&writer);
    json_end_array(&writer);
    json_end_object(&writer);
    const struct client_field field = {STR("Lambda-Runtime-Function-Error-Type"), type};
    const struct client_request request = {.method = "POST",
                                           .path = path,
                                           .content_type = "application/json",
                                           .fields = &field,
                                           .field_count = 1,
                                           .body = buffer_view(&runtime->failure)};
    return post(runtime, &request, err);
}

enum status lambda_runtime_fail(struct lambda_runtime *runtime,
                                const struct lambda_invocation *invocation,
                                const struct error *cause, struct error *err)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "/2018-06-01/runtime/invocation/%s/error",
                   invocation->request_id);
    return post_failure(runtime, path, cause, err);
}

enum status lambda_runtime_fail_init(struct lambda_runtime *runtime, const struct error *cause,
                                     struct error *err)
{
    return post_failure(runtime, "/2018-06-01/runtime/init/error", cause, err);
}
