/* The table of routes. */
#include "server/routes.h"

#include "protocol/oip_binary.h"
#include "server/answer.h"
#include "server/routes_jobs.h"
#include "server/routes_sqs.h"

#define LITERAL ROUTE_LITERAL

/* The busiest first; a literal before the capture that would take it. */
static const struct route table[] = {
    {ROUTE_POST, {LITERAL("/v2/models/"), LITERAL("/infer")}, "infer", infer_handle_oip},
    {ROUTE_POST, {LITERAL("/models/"), LITERAL("")}, "bare", infer_handle_bare},
    {ROUTE_POST, {LITERAL("/v1/models/"), LITERAL(":predict")}, "predict", infer_handle_v1},
    {ROUTE_POST,
     {LITERAL("/v2/models/"), LITERAL("/versions/"), LITERAL("/infer")},
     "infer",
     infer_handle_oip},
    {ROUTE_POST,
     {LITERAL("/v1/models/"), LITERAL("/versions/"), LITERAL(":predict")},
     "predict",
     infer_handle_v1},
    {ROUTE_GET, {LITERAL("/v2/health/live")}, "live", server_handle_live},
    {ROUTE_GET, {LITERAL("/v2/health/ready")}, "ready", server_handle_ready},
    {ROUTE_GET, {LITERAL("/metrics")}, "metrics", server_handle_metrics},
    {ROUTE_GET, {LITERAL("/v2")}, "metadata", server_handle_metadata},
    {ROUTE_GET, {LITERAL("/v2/models")}, "models", model_handle_list},
    {ROUTE_GET, {LITERAL("/v2/models/stats")}, "statistics", model_handle_statistics},
    {ROUTE_GET, {LITERAL("/v2/models/"), LITERAL("")}, "model", model_handle_metadata},
    {ROUTE_GET, {LITERAL("/v2/models/"), LITERAL("/ready")}, "model ready", model_handle_ready},
    {ROUTE_GET, {LITERAL("/v2/models/"), LITERAL("/config")}, "model config", model_handle_config},
    {ROUTE_GET, {LITERAL("/v2/models/"), LITERAL("/stats")}, "statistics", model_handle_statistics},
    {ROUTE_GET,
     {LITERAL("/v2/models/"), LITERAL("/versions/"), LITERAL("")},
     "model",
     model_handle_metadata},
    {ROUTE_GET,
     {LITERAL("/v2/models/"), LITERAL("/versions/"), LITERAL("/ready")},
     "model ready",
     model_handle_ready},
    {ROUTE_GET,
     {LITERAL("/v2/models/"), LITERAL("/versions/"), LITERAL("/config")},
     "model config",
     model_handle_config},
    {ROUTE_GET,
     {LITERAL("/v2/models/"), LITERAL("/versions/"), LITERAL("/stats")},
     "statistics",
     model_handle_statistics},
    {ROUTE_POST, {LITERAL("/v2/models/"), LITERAL("/jobs")}, "job submit", jobs_handle_submit},
    {ROUTE_POST,
     {LITERAL("/v2/models/"), LITERAL("/versions/"), LITERAL("/jobs")},
     "job submit",
     jobs_handle_submit},
    {ROUTE_GET, {LITERAL("/v2/jobs")}, "jobs", jobs_handle_list},
    {ROUTE_GET, {LITERAL("/v2/jobs/"), LITERAL("")}, "job", jobs_handle_get},
    {ROUTE_DELETE, {LITERAL("/v2/jobs/"), LITERAL("")}, "job cancel", jobs_handle_cancel},
    {ROUTE_GET, {LITERAL("/v2/jobs/"), LITERAL("/result")}, "job result", jobs_handle_result},
    {ROUTE_GET, {LITERAL("/v2/jobs/"), LITERAL("/events")}, "job events", jobs_handle_events},
    {ROUTE_POST, {LITERAL("/v2/jobs/"), LITERAL("/cancel")}, "job cancel", jobs_handle_cancel},
    {ROUTE_POST, {LITERAL("/v2/jobs/"), LITERAL("/retry")}, "job retry", jobs_handle_retry},
    {ROUTE_POST, {LITERAL("/v2/repository/index")}, "index", repository_handle_index},
    {ROUTE_POST,
     {LITERAL("/v2/repository/models/"), LITERAL("/load")},
     "load",
     repository_handle_load},
    {ROUTE_POST,
     {LITERAL("/v2/repository/models/"), LITERAL("/unload")},
     "unload",
     repository_handle_unload},
    {ROUTE_POST, {LITERAL("/v2/repository/"), LITERAL("/index")}, "index", repository_handle_named},
    {ROUTE_POST,
     {LITERAL("/v2/repository/"), LITERAL("/models/"), LITERAL("/load")},
     "load",
     repository_handle_named},
    {ROUTE_POST,
     {LITERAL("/v2/repository/"), LITERAL("/models/"), LITERAL("/unload")},
     "unload",
     repository_handle_named},
    {ROUTE_GET, {LITERAL("/v2/results")}, "results", results_handle_list},
    {ROUTE_GET, {LITERAL("/v2/results/"), LITERAL("")}, "result", results_handle_get},
    {ROUTE_POST, {LITERAL("/v2/results/"), LITERAL("/label")}, "label", results_handle_label},
    {ROUTE_GET | ROUTE_POST, {LITERAL("/v2/logging")}, "logging", server_handle_logging},
    {ROUTE_GET, {LITERAL("/v1/models")}, "v1 models", model_handle_v1_list},
    {ROUTE_GET, {LITERAL("/v1/models/"), LITERAL("")}, "v1 model", model_handle_v1_status},
    {ROUTE_GET,
     {LITERAL("/v1/models/"), LITERAL("/versions/"), LITERAL("")},
     "v1 model",
     model_handle_v1_status},
    {ROUTE_GET, {LITERAL("/")}, "root", server_handle_root},
};

static enum route_method method_of(const struct http_exchange *exchange)
{
    switch (exchange->method) {
    case HTTP_METHOD_GET:
    case HTTP_METHOD_HEAD: return ROUTE_GET;
    case HTTP_METHOD_POST: return ROUTE_POST;
    case HTTP_METHOD_PUT: return ROUTE_PUT;
    case HTTP_METHOD_DELETE: return ROUTE_DELETE;
    case HTTP_METHOD_PATCH:
    case HTTP_METHOD_OPTIONS:
    case HTTP_METHOD_OTHER: return ROUTE_OTHER;
    }
    return ROUTE_OTHER;
}

static void refuse_name(struct server_thread *thread, struct http_exchange *exchange)
{
    struct error err;
    fail(&err, STATUS_INVALID_ARGUMENT,
         "invalid model name in '%.*s', model name must not contain path traversal characters",
         STR_ARGS(exchange->path));
    answer_failure(thread, exchange, &err);
}

void routes_answer(struct server_thread *thread, struct http_exchange *exchange)
{
    struct route_match match;
    enum route_outcome outcome = router_find(table, COUNT_OF(table), method_of(exchange),
                                             exchange->path, exchange->arena, &match);
    if (UNLIKELY(outcome != ROUTE_FOUND) && sqs_is_request(exchange)) {
        sqs_handle(thread, exchange);
        return;
    }
    switch (outcome) {
    case ROUTE_FOUND: match.route->handler(thread, exchange, &match); return;
    case ROUTE_WRONG_METHOD: answer_wrong_method(thread, exchange, match.allowed); return;
    case ROUTE_UNSAFE_NAME: refuse_name(thread, exchange); return;
    case ROUTE_NOT_FOUND:
        answer_text(thread, exchange, 404, "application/json", STR("{\"error\":\"Not Found\"}"));
        return;
    }
}

void routes_prepare(struct server_thread *thread UNUSED, struct http_exchange *exchange)
{
    struct str value = http_exchange_header(exchange, HTTP_HEADER_INFERENCE_HEADER_CONTENT_LENGTH);
    if (UNLIKELY(exchange->path.size == 1)) sqs_prepare(exchange);
    if (LIKELY(!value.data)) return;
    struct error err;
    size_t size;
    /* A wrong value is refused when the request is read; here it only is no hint. */
    if (oip_binary_header_size(value, SIZE_MAX, &size, &err) == STATUS_OK)
        exchange->body_alignment_offset = size;
}
