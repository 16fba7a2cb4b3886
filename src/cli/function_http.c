/* HTTP requests as events: the server's own routes answer them, over a pair of sockets. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/function_private.h"
#include "lambda/http_event.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* No deadline: as long as Lambda's longest. */
#define LONGEST_NS (900 * NS_PER_S)

struct server *function_server(struct function *function)
{
    struct function *owner = function->owner;
    (void)pthread_mutex_lock(&owner->lock);
    struct server *server = owner->server;
    (void)pthread_mutex_unlock(&owner->lock);
    return server;
}

/* Listens on nothing. */
static enum status make_server(const struct function *function, struct server **ret_server,
                               struct error *err)
{
    const struct config *config = &function->config;
    const struct app *app = function->app;
    const struct server_options options = {
        .serve = app->serve,
        .data = app->data,
        .jobs = app->jobs,
        .recorder = app->recorder,
        .name = config->server_name,
        .address = NULL,
        .thread_count = 1,
        .metrics = config->metrics_enabled,
        .sqs = {config->sqs_account, config->sqs_region, config->sqs_access_keys.items,
                config->sqs_access_keys.count},
        .http = {.body_size_max = config->http_body_bytes_max,
                 .header_size_max = CLIENT_HEAD_SIZE_MAX},
    };
    return server_start(&options, ret_server, err);
}

/* Made for the first request: most functions never see one. */
static enum status start_server(struct function *function, struct error *err)
{
    struct function *owner = function->owner;
    enum status status = STATUS_OK;
    (void)pthread_mutex_lock(&owner->lock);
    if (!owner->server) status = make_server(owner, &owner->server, err);
    (void)pthread_mutex_unlock(&owner->lock);
    return status;
}

/* One end of a pair for the server's thread, the other for a client: a fresh pair for each request,
 * since a frozen process knows nothing of the age of what is left over. */
static enum status connect_pair(struct function *function, struct client *client, struct error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        return fail_errno(err, errno, "making a pair of sockets");
    client_adopt(client, ends[0]);
    server_adopt(function_server(function), ends[1]);
    return STATUS_OK;
}

static bool has_field(const struct lambda_http_request *request, struct str name)
{
    for (size_t i = 0; i < request->field_count; i++)
        if (str_equal_ignoring_case(request->fields[i].name, name)) return true;
    return false;
}

/* W3C's own wins over X-Ray's. */
static void add_trace(const struct function *function, struct lambda_http_request *request,
                      char parent[LAMBDA_TRACEPARENT_SIZE + 1])
{
    lambda_trace_parent(&function->trace, parent);
    if (!*parent || request->field_count == LAMBDA_HTTP_FIELDS_MAX) return;
    if (has_field(request, STR("traceparent"))) return;
    request->fields[request->field_count++] =
        (struct client_field){STR("traceparent"), str_of(parent)};
}

/* --- streams ---------------------------------------------------------------------------------- */

/* The answer goes on for longer than the invocation may take: it ends with what there is. */
static enum status read_rest(struct function *function, struct str *ret_piece, struct error *err)
{
    uint64_t left_us;
    TRY(fail_while(err, function_time_left(function, &left_us, err), "sending the answer"));
    return client_read(function->stream_client, ret_piece, err);
}

/* First what lies in `answer`. The invocation ends before its stream does. */
static enum status pass_on(void *context, struct str *ret_piece, struct error *err)
{
    struct function *function = context;
    enum status status = STATUS_OK;
    *ret_piece = STR_EMPTY;
    if (!function->answer_passed)
        *ret_piece = buffer_view(&function->answer);
    else if (function->stream_client)
        status = read_rest(function, ret_piece, err);
    function->answer_passed = true;
    if (status != STATUS_OK || ret_piece->size == 0) function_finish(function, status, err);
    return status;
}

static bool streams(const struct function *function, enum lambda_shape shape)
{
    return function->config.lambda_stream && shape == LAMBDA_HTTP_V2;
}

static enum status write_answer(struct function *function, enum lambda_shape shape,
                                const struct client_response *response, struct error *err)
{
    const struct lambda_http_answer answer = {
        .status = response->status,
        .fields = response->fields,
        .field_count = response->field_count,
        .body = response->body,
    };
    if (!streams(function, shape)) return lambda_http_write(&answer, shape, &function->answer, err);
    function->stream = (struct lambda_stream){LAMBDA_HTTP_STREAM_TYPE, pass_on, function};
    return lambda_http_write_stream(&answer, &function->answer, err);
}

/* --- the request ------------------------------------------------------------------------------ */

/* A streamed answer's client is the function's from then on. */
static enum status ask(struct function *function, struct client **client, enum lambda_shape shape,
                       struct lambda_http_request *request, struct error *err)
{
    char parent[LAMBDA_TRACEPARENT_SIZE + 1];
    struct client_response response;
    add_trace(function, request, parent);
    const struct client_request sent = {.method = request->method,
                                        .path = request->target,
                                        .fields = request->fields,
                                        .field_count = request->field_count,
                                        .body = request->body};
    TRY(connect_pair(function, *client, err));
    TRY(streams(function, shape) ? client_begin(*client, &sent, &response, err)
                                 : client_request(*client, &sent, &response, err));
    uint64_t failed = response.status >= 500;
    lambda_metrics_add(&function->metrics, LAMBDA_METRIC_InferenceFailed, (double)failed);
    lambda_metrics_add(&function->metrics, LAMBDA_METRIC_InferenceSucceeded, (double)!failed);
    TRY(write_answer(function, shape, &response, err));
    if (streams(function, shape)) function->stream_client = TAKE(*client);
    return STATUS_OK;
}

/* A request that is none is the caller's fault, and is told to the caller, not to the platform. */
static enum status answer_wrong(struct function *function, enum lambda_shape shape,
                                const struct error *failure, struct error *err)
{
    struct buffer body CLEANUP(buffer_clear);
    struct json_writer writer;
    const struct client_field type = {STR("content-type"), STR("application/json")};
    buffer_init(&body, 8192);
    json_writer_init(&writer, &body);
    json_begin_object(&writer);
    json_put_string(&writer, STR("error"), str_of(failure->message));
    json_end_object(&writer);
    const struct client_response response = {.status = status_http(failure->status),
                                             .fields = &type,
                                             .field_count = 1,
                                             .body = buffer_view(&body)};
    return write_answer(function, shape, &response, err);
}

enum status function_answer_http(struct function *function, enum lambda_shape shape,
                                 struct error *err)
{
    struct lambda_http_request *request = MEM_NEW(struct lambda_http_request);
    struct client *client = NULL;
    struct error failure;
    uint64_t left_us = 0, start_ns = clock_monotonic_ns();
    struct client_options options = {.host = "localhost"};
    enum status status = start_server(function, err);
    if (status == STATUS_OK) status = function_time_left(function, &left_us, err);
    options.timeout_ns = left_us == UINT64_MAX ? LONGEST_NS : left_us * 1000;
    if (status == STATUS_OK) status = client_new(&options, &client, err);
    if (status == STATUS_OK) {
        status = lambda_http_read(function->invocation->event, shape, &function->event_arena,
                                  request, &failure);
        status = status == STATUS_OK ? ask(function, &client, shape, request, err)
                                     : answer_wrong(function, shape, &failure, err);
    }
    client_free(client);
    mem_free(request);
    lambda_metrics_add(&function->metrics, LAMBDA_METRIC_InferenceLatency,
                       (double)(clock_monotonic_ns() - start_ns) / NS_PER_MS);
    return status;
}
