/* Counting, logging and sending answers. */
#include "server/answer.h"

#include "base/json.h"
#include "base/log.h"
#include "loop/loop.h"

enum {
    ERROR_BODY_SIZE_MAX = 8 * ERROR_MESSAGE_SIZE, /* every byte escaped */
    FAILURE_LINES_PER_SECOND = 100,
    ANSWER_FIELDS_MAX = 4, /* header fields that an answer of ours has */
};

/* A full queue is empty again within a turn or two; a second is the header's unit. */
static const char retry_after_seconds[] = "1";

static const char *const method_names[] = {"GET",    "HEAD",  "POST",    "PUT",
                                           "DELETE", "PATCH", "OPTIONS", "OTHER"};

static void note(struct server_thread *thread, const struct http_exchange *exchange, int status)
{
    counter_add(&thread->responses[MIN(status / 100, 5)], 1);
    if (LIKELY(!atomic_load_explicit(thread->access_log, memory_order_relaxed))) return;
    char peer[TCP_ADDRESS_SIZE];
    http_exchange_peer(exchange, peer);
    uint64_t now = clock_monotonic_ns();
    log_info("request", LOG_TEXT("method", method_names[exchange->method]),
             LOG_STR("path", exchange->path), LOG_I64("status", status),
             LOG_U64("us", (now - exchange->received_ns) / NS_PER_US), LOG_TEXT("peer", peer),
             LOG_STR("traceparent", http_exchange_header(exchange, HTTP_HEADER_TRACEPARENT)));
}

/* The caller's trace context goes back with the answer, so that proxies and clients can join them.
 */
static void respond_traced(struct http_exchange *exchange, const struct http_response *response,
                           struct str traceparent)
{
    struct http_field fields[ANSWER_FIELDS_MAX + 1];
    struct http_response traced = *response;
    assert(response->field_count <= ANSWER_FIELDS_MAX);
    for (size_t i = 0; i < response->field_count; i++) fields[i] = response->fields[i];
    fields[traced.field_count++] = (struct http_field){STR("traceparent"), traceparent};
    traced.fields = fields;
    http_respond(exchange, &traced);
}

void answer_response(struct server_thread *thread, struct http_exchange *exchange,
                     const struct http_response *response)
{
    note(thread, exchange, response->status);
    struct str traceparent = http_exchange_header(exchange, HTTP_HEADER_TRACEPARENT);
    if (UNLIKELY(traceparent.data != NULL))
        respond_traced(exchange, response, traceparent);
    else
        http_respond(exchange, response);
}

void answer_stream_start(struct server_thread *thread, struct http_exchange *exchange,
                         const struct http_response *response)
{
    note(thread, exchange, response->status);
    http_stream_start(exchange, response);
}

void answer_json(struct server_thread *thread, struct http_exchange *exchange, struct str body)
{
    if (UNLIKELY(http_exchange_header(exchange, HTTP_HEADER_TRACEPARENT).data != NULL)) {
        answer_text(thread, exchange, 200, "application/json", body);
        return;
    }
    note(thread, exchange, 200);
    http_respond_json(exchange, 200, body);
}

void answer_text(struct server_thread *thread, struct http_exchange *exchange, int status,
                 const char *content_type, struct str body)
{
    struct http_response response = {
        .status = status, .content_type = str_of(content_type), .body = body};
    answer_response(thread, exchange, &response);
}

/*
 * A flood of failures must not become a flood of lines: so many a second and thread are written,
 * the rest is counted and told of in one line.
 */
static bool may_log(struct server_thread *thread)
{
    struct failure_lines *lines = &thread->failure_lines;
    uint64_t second = loop_now_ns(thread->loop) / NS_PER_S;
    if (second != lines->second) {
        if (lines->suppressed > 0)
            log_warning("more requests failed than were logged",
                        LOG_U64("not_logged", lines->suppressed));
        *lines = (struct failure_lines){.second = second};
    }
    if (lines->written++ < FAILURE_LINES_PER_SECOND) return true;
    lines->suppressed++;
    return false;
}

/* The client's mistakes are for information, the server's are warnings. */
void answer_log_failure(struct server_thread *thread, const struct http_exchange *exchange,
                        const struct failure *failure)
{
    enum log_level level = failure->status >= 500 ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;
    if (!log_wants(level) || !may_log(thread)) return;
    struct str id = failure->request_id;
    if (id.size == 0) id = http_exchange_header(exchange, HTTP_HEADER_X_REQUEST_ID);
    const struct log_field fields[] = {
        LOG_TEXT("error", failure->err->message),
        LOG_I64("status", failure->status),
        LOG_STR("path", exchange->path),
        LOG_STR("request_id", id),
        LOG_STR("traceparent", http_exchange_header(exchange, HTTP_HEADER_TRACEPARENT)),
    };
    log_write(level, "request failed", fields, COUNT_OF(fields));
}

void answer_failure_of(struct server_thread *thread, struct http_exchange *exchange,
                       const struct failure *failure)
{
    answer_log_failure(thread, exchange, failure);
    struct buffer body;
    buffer_init(&body, ERROR_BODY_SIZE_MAX);
    buffer_add(&body, STR("{\"error\":"));
    json_print_string(&body, str_of(failure->err->message));
    buffer_add_byte(&body, '}');
    struct http_field fields[] = {{STR("Retry-After"), str_of(retry_after_seconds)}};
    struct http_response response = {
        .status = failure->status,
        .content_type = STR("application/json"),
        .fields = fields,
        .field_count = failure->status == 503 ? 1 : 0,
        .body = buffer_view(&body),
    };
    answer_response(thread, exchange, &response);
    buffer_clear(&body);
}

void answer_failure(struct server_thread *thread, struct http_exchange *exchange,
                    const struct error *err)
{
    struct failure failure = {status_http(err->status), STR_EMPTY, err};
    answer_failure_of(thread, exchange, &failure);
}

void answer_wrong_method(struct server_thread *thread, struct http_exchange *exchange,
                         unsigned allowed)
{
    static const struct {
        enum route_method method;
        const char *name;
    } names[] = {{ROUTE_GET, "GET, HEAD"},
                 {ROUTE_POST, "POST"},
                 {ROUTE_PUT, "PUT"},
                 {ROUTE_DELETE, "DELETE"}};
    struct buffer allow;
    buffer_init(&allow, 64);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (!(allowed & (unsigned)names[i].method)) continue;
        if (allow.size) buffer_add(&allow, STR(", "));
        buffer_add_text(&allow, names[i].name);
    }
    struct http_field fields[] = {{STR("Allow"), buffer_view(&allow)}};
    struct http_response response = {
        .status = 405,
        .content_type = STR("application/json"),
        .fields = fields,
        .field_count = 1,
        .body = STR("{\"error\":\"Method Not Allowed\"}"),
    };
    answer_response(thread, exchange, &response);
    buffer_clear(&allow);
}
