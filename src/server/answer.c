/* Counting, logging and sending answers. */
#include "server/answer.h"

#include "base/json.h"
#include "base/log.h"
#include "loop/loop.h"

enum { ERROR_BODY_SIZE_MAX = 8 * ERROR_MESSAGE_SIZE };

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

void answer_json(struct server_thread *thread, struct http_exchange *exchange, struct str body)
{
    note(thread, exchange, 200);
    http_respond_json(exchange, 200, body);
}

void answer_response(struct server_thread *thread, struct http_exchange *exchange,
                     const struct http_response *response)
{
    note(thread, exchange, response->status);
    http_respond(exchange, response);
}

void answer_text(struct server_thread *thread, struct http_exchange *exchange, int status,
                 const char *content_type, struct str body)
{
    struct http_response response = {
        .status = status, .content_type = str_of(content_type), .body = body};
    answer_response(thread, exchange, &response);
}

static void log_failure(const struct http_exchange *exchange, int status, const struct error *err)
{
    enum log_level level = status >= 500 && status != 503 ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG;
    if (!log_wants(level)) return;
    const struct log_field fields[] = {
        LOG_TEXT("error", err->message),
        LOG_TEXT("status", status_name(err->status)),
        LOG_STR("path", exchange->path),
        LOG_STR("request_id", http_exchange_header(exchange, HTTP_HEADER_X_REQUEST_ID)),
        LOG_STR("traceparent", http_exchange_header(exchange, HTTP_HEADER_TRACEPARENT)),
    };
    log_write(level, "request failed", fields, COUNT_OF(fields));
}

void answer_failure_as(struct server_thread *thread, struct http_exchange *exchange, int status,
                       const struct error *err)
{
    log_failure(exchange, status, err);
    struct buffer body;
    buffer_init(&body, ERROR_BODY_SIZE_MAX);
    buffer_add(&body, STR("{\"error\":"));
    json_print_string(&body, str_of(err->message));
    buffer_add_byte(&body, '}');
    struct http_field fields[] = {{STR("Retry-After"), str_of(retry_after_seconds)}};
    struct http_response response = {
        .status = status,
        .content_type = STR("application/json"),
        .fields = fields,
        .field_count = status == 503 ? 1 : 0,
        .body = buffer_view(&body),
    };
    answer_response(thread, exchange, &response);
    buffer_clear(&body);
}

void answer_failure(struct server_thread *thread, struct http_exchange *exchange,
                    const struct error *err)
{
    answer_failure_as(thread, exchange, status_http(err->status), err);
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
