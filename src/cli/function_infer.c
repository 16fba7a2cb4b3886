/* Inferences of the function: records of queues, direct requests, EventBridge's details. */
#include "base/clock.h"
#include "base/log.h"
#include "cli/console.h"
#include "cli/function_private.h"

/* Kept of the margin for the answer itself, when the store is asked again. */
enum { STORE_MARGIN_MS = LAMBDA_MARGIN_MS / 2 };

/* --- one inference ---------------------------------------------------------------------------- */

/* Runs result->input; the output lies in function->output, what it needs in function->arena. */
static enum status infer(struct function *function, struct lambda_result *result, uint64_t left_us,
                         struct error *err)
{
    struct infer_request request;
    const struct infer_spec *spec = serve_model_spec(result->model);
    infer_request_init(&request, &function->arena);
    buffer_reset(&function->output);
    TRY(payload_read(&result->input, spec, &request, err));
    if (left_us != UINT64_MAX && (!request.timeout_us || request.timeout_us > left_us))
        request.timeout_us = left_us;
    struct local_call call = {.model = result->model, .request = &request};
    local_run(function->local, &call, 1);
    if (call.status != STATUS_OK) return fail_again(err, &call.err);
    TRY(payload_write(&result->input, &call.reply, &function->arena, &function->output,
                      &result->output_type, &result->output_header_size, err));
    result->output = buffer_view(&function->output);
    return STATUS_OK;
}

/* What nobody waits for, where no store is: Lambda keeps standard output. A line per record. */
static enum status print(struct function *function, const struct lambda_result *result,
                         struct error *err)
{
    struct json_writer writer;
    if (result->output_header_size > 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "binary outputs cannot be printed: keep results "
                    "in a store, or ask for outputs as JSON");
    buffer_reset(&function->line);
    json_writer_init(&writer, &function->line);
    json_begin_object(&writer);
    json_put_string(&writer, STR("request_id"), result->request_id);
    json_put_string(&writer, STR("message_id"), result->message_id);
    json_put_string(&writer, STR("key"), result->key);
    json_put_string(&writer, STR("model"), serve_model_name(result->model));
    if (result->trace_id.size > 0) json_put_string(&writer, STR("trace_id"), result->trace_id);
    json_add_name(&writer, STR("output"));
    json_add_raw(&writer, result->output);
    json_end_object(&writer);
    buffer_add_byte(&function->line, '\n');
    return console_flush(&function->line, function->context->out, err);
}

static enum status store_failure(struct function *function, struct lambda_result *result,
                                 const struct error *failure)
{
    struct error err;
    bool existing;
    bool keeps = function->results.store && result->model && lambda_failure_is_permanent(failure);
    if (!keeps) return failure->status;
    result->failure = failure;
    if (lambda_results_keep(&function->results, result, &function->arena, &existing, &err) !=
        STATUS_OK)
        log_warning("a failure was not recorded", LOG_STR("key", result->key),
                    LOG_TEXT("error", err.message));
    result->failure = NULL; /* it was the caller's */
    return failure->status;
}

static enum status keep(struct function *function, struct lambda_result *result, struct error *err)
{
    bool existing;
    if (function->config.lambda_results == CONFIG_LAMBDA_RESULTS_PRINT)
        return print(function, result, err);
    if (!function->results.store) return STATUS_OK;
    TRY(fail_while(
        err, lambda_results_keep(&function->results, result, &function->arena, &existing, err),
        "keeping the result"));
    if (existing) lambda_metrics_add(&function->metrics, LAMBDA_METRIC_ResultsReused, 1);
    return STATUS_OK;
}

/*
 * Runs it and keeps what came of it. What comes for the first time is not looked for: the one write
 * that keeps it finds out.
 */
static enum status run_and_keep(struct function *function, struct lambda_result *result,
                                uint64_t left_us, struct error *err)
{
    bool found = false;
    struct error failure;
    if (function->results.store && result->attempts != 1)
        TRY(lambda_results_find(&function->results, result, &function->arena, &found, err));
    if (found) {
        lambda_metrics_add(&function->metrics, LAMBDA_METRIC_ResultsReused, 1);
        return STATUS_OK;
    }
    if (infer(function, result, left_us, &failure) != STATUS_OK) {
        (void)store_failure(function, result, &failure);
        return fail_again(err, &failure);
    }
    return keep(function, result, err);
}

static void count(struct function *function, enum status status, uint64_t start_ns)
{
    double ms = (double)(clock_monotonic_ns() - start_ns) / NS_PER_MS;
    lambda_metrics_add(&function->metrics, LAMBDA_METRIC_InferenceSucceeded, status == STATUS_OK);
    lambda_metrics_add(&function->metrics, LAMBDA_METRIC_InferenceFailed, status != STATUS_OK);
    lambda_metrics_add(&function->metrics, LAMBDA_METRIC_InferenceLatency, ms);
}

static uint64_t store_until_ms(const struct function *function)
{
    uint64_t deadline_ms = function->invocation->deadline_ms;
    return deadline_ms > STORE_MARGIN_MS ? deadline_ms - STORE_MARGIN_MS : 0;
}

static void begin_result(struct function *function, struct str body, struct lambda_result *result)
{
    *result = (struct lambda_result){
        .model_name = STR_EMPTY,
        .key = STR_EMPTY,
        .request_id = str_of(function->invocation->request_id),
        .trace_id = str_of(function->trace.trace_id),
        .queue = STR_EMPTY,
        .message_id = STR_EMPTY,
        .group = STR_EMPTY,
        .started_us = clock_wall_ns() / NS_PER_US,
        .input = {.face = payload_guess(body), .body = body},
        .until_ms = store_until_ms(function),
    };
}

/* --- queues ----------------------------------------------------------------------------------- */

static enum status try_record(struct function *function, const struct sqs_record *record,
                              uint64_t left_us, struct error *err)
{
    struct lambda_result result;
    struct lambda_trace trace;
    arena_reset(&function->arena);
    begin_result(function, record->body, &result);
    lambda_trace_read(record->trace_header, &trace); /* the record's own wins */
    if (*trace.trace_id) result.trace_id = str_of(trace.trace_id);
    TRY(sqs_event_attribute(record, STR("model"), &function->arena, &result.model_name, err));
    if (!result.model_name.data) result.model_name = STR_EMPTY;
    TRY(lambda_result_key(record, &function->arena, &result.key, err));
    TRY(function_find_model(function, result.model_name, &result.model, err));
    result.queue = lambda_queue_name(record->event_source_arn);
    result.message_id = record->message_id;
    result.group = record->group_id;
    result.sent_ms = record->sent_ms;
    result.attempts = (uint32_t)MIN(record->receive_count, (uint64_t)UINT32_MAX);
    return run_and_keep(function, &result, left_us, err);
}

static enum status run_record(void *context, const struct sqs_record *record, uint64_t left_us,
                              struct error *err)
{
    struct function *function = context;
    uint64_t start_ns = clock_monotonic_ns();
    enum status status = try_record(function, record, left_us, err);
    count(function, status, start_ns);
    return status;
}

static void tell_batch(struct function *function, const struct lambda_batch_counts *counts)
{
    struct lambda_metrics *metrics = &function->metrics;
    /* Digests that were wrong were not run: they are failures all the same. */
    lambda_metrics_add(metrics, LAMBDA_METRIC_InferenceFailed, (double)counts->refused);
    lambda_metrics_add(metrics, LAMBDA_METRIC_BatchRecords, (double)counts->records);
    lambda_metrics_add(metrics, LAMBDA_METRIC_BatchDeferred, (double)counts->deferred);
    lambda_metrics_add(metrics, LAMBDA_METRIC_ResultsReused, 0);
    log_info("batch", LOG_TEXT("request_id", function->invocation->request_id),
             LOG_TEXT("trace_id", function->trace.trace_id), LOG_U64("records", counts->records),
             LOG_U64("succeeded", counts->succeeded), LOG_U64("failed", counts->failed),
             LOG_U64("deferred", counts->deferred));
}

enum status function_answer_batch(struct function *function, struct error *err)
{
    struct lambda_batch_counts counts;
    const struct lambda_batch_options options = {
        .run = run_record,
        .context = function,
        .clock = &clock_system,
        .deadline_ms = function->invocation->deadline_ms,
    };
    TRY(lambda_batch_run(&options, function->invocation->event, &function->event_arena,
                         &function->answer, &counts, err));
    tell_batch(function, &counts);
    return STATUS_OK;
}

/* --- direct ----------------------------------------------------------------------------------- */

static enum status try_direct(struct function *function, struct error *err)
{
    struct str event = function->invocation->event;
    struct lambda_result result;
    uint64_t left_us;
    arena_reset(&function->arena);
    begin_result(function, event, &result);
    struct str name = lambda_event_text(event, STR("model_name"), &function->event_arena);
    TRY(function_time_left(function, &left_us, err));
    TRY(function_find_model(function, name.data ? name : STR_EMPTY, &result.model, err));
    TRY(infer(function, &result, left_us, err));
    if (result.output_header_size > 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "binary outputs cannot be the answer of a direct request: ask for JSON, or by "
                    "HTTP");
    buffer_add(&function->answer, result.output);
    if (!buffer_failed(&function->answer)) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED, "no memory for an answer of %zu bytes", result.output.size);
}

enum status function_answer_direct(struct function *function, struct error *err)
{
    uint64_t start_ns = clock_monotonic_ns();
    enum status status = try_direct(function, err);
    count(function, status, start_ns);
    return status;
}

/* --- EventBridge ------------------------------------------------------------------------------ */

static enum status try_detail(struct function *function, struct str detail, struct error *err)
{
    struct str event = function->invocation->event, source;
    struct arena *arena = &function->event_arena;
    struct str inner = lambda_event_member(detail, STR("request"), arena);
    struct lambda_result result;
    uint64_t left_us;
    arena_reset(&function->arena);
    begin_result(function, inner.data ? inner : detail, &result);
    result.message_id = result.key = lambda_event_text(event, STR("id"), arena);
    if (!result.key.data || result.key.size == 0 || result.key.size > RECORD_KEY_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "the EventBridge event has no id");
    source = lambda_event_text(event, STR("source"), arena);
    result.queue = source.data ? source : STR_EMPTY;
    result.model_name = lambda_event_text(detail, STR("model"), arena);
    if (!result.model_name.data) result.model_name = STR_EMPTY;
    TRY(function_time_left(function, &left_us, err));
    TRY(function_find_model(function, result.model_name, &result.model, err));
    TRY(run_and_keep(function, &result, left_us, err));
    struct json_writer writer;
    json_writer_init(&writer, &function->answer);
    json_begin_object(&writer);
    json_put_string(&writer, STR("key"), result.key);
    json_put_string(&writer, STR("model"), serve_model_name(result.model));
    json_end_object(&writer);
    return STATUS_OK;
}

enum status function_answer_eventbridge(struct function *function, struct error *err)
{
    struct str event = function->invocation->event;
    struct str detail = lambda_event_member(event, STR("detail"), &function->event_arena);
    if (!detail.data)
        return fail(err, STATUS_INVALID_ARGUMENT, "the EventBridge event has no detail");
    if (lambda_event_member(detail, STR("slipway"), &function->event_arena).data)
        return function_answer_task(function, detail, err);
    uint64_t start_ns = clock_monotonic_ns();
    enum status status = try_detail(function, detail, err);
    count(function, status, start_ns);
    return status;
}
