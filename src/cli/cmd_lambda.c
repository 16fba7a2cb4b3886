/* `slipway lambda`: the model as a function of AWS Lambda. */
#include "base/log.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/local.h"
#include "config/environment.h"
#include "lambda/batch.h"
#include "lambda/event.h"
#include "lambda/runtime.h"
#include "protocol/bare.h"
#include "protocol/oip_json.h"

enum {
    EVENT_MEMORY_MAX = 256 * 1024 * 1024,
    REQUEST_MEMORY_MAX = 1024 * 1024 * 1024,
    ANSWER_SIZE_MAX = 256 * 1024 * 1024,
};

struct function {
    struct command_context *context;
    struct lambda_runtime *runtime;
    const struct lambda_invocation *invocation;
    struct local *local;
    struct serve_model *model;
    struct arena event_arena; /* of one event */
    struct arena arena;       /* of one request */
    struct buffer output;     /* of one request */
    struct buffer line;
    struct buffer answer;
};

static bool is_object(struct str text)
{
    while (text.size > 0 && json_is_space(*text.data)) text = str_from(text, 1);
    return text.size > 0 && *text.data == '{';
}

/* A request of the protocol is answered by the protocol's reply, a bare array by an array. */
static enum status infer(struct function *function, struct str body, uint64_t timeout_us,
                         struct buffer *out, struct error *err)
{
    struct infer_request request;
    bool object = is_object(body);
    arena_reset(&function->arena);
    infer_request_init(&request, &function->arena);
    TRY(object ? oip_json_read(body, STR_EMPTY, &request, err)
               : bare_read(body, serve_model_spec(function->model), &request, err));
    if (timeout_us != UINT64_MAX && (!request.timeout_us || request.timeout_us > timeout_us))
        request.timeout_us = timeout_us;
    struct local_call call = {.model = function->model, .request = &request};
    local_run(function->local, &call, 1);
    if (call.status != STATUS_OK) return fail_again(err, &call.err);
    return object ? oip_json_write(&call.reply, out, err) : bare_write(&call.reply, out, err);
}

/* What nobody waits for goes to standard output, which Lambda keeps: a line per record. */
static enum status run_record(void *context, const struct sqs_record *record, uint64_t timeout_us,
                              struct error *err)
{
    struct function *function = context;
    struct json_writer writer;
    buffer_reset(&function->output);
    buffer_reset(&function->line);
    TRY(infer(function, record->body, timeout_us, &function->output, err));
    json_writer_init(&writer, &function->line);
    json_begin_object(&writer);
    json_put_string(&writer, STR("request_id"), str_of(function->invocation->request_id));
    json_put_string(&writer, STR("message_id"), record->message_id);
    json_put_string(&writer, STR("model"), serve_model_name(function->model));
    json_add_name(&writer, STR("output"));
    json_add_raw(&writer, buffer_view(&function->output));
    json_end_object(&writer);
    buffer_add_byte(&function->line, '\n');
    return console_flush(&function->line, function->context->out, err);
}

static enum status answer_batch(struct function *function, struct error *err)
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
    log_info("batch", LOG_TEXT("request_id", function->invocation->request_id),
             LOG_U64("records", counts.records), LOG_U64("succeeded", counts.succeeded),
             LOG_U64("failed", counts.failed), LOG_U64("deferred", counts.deferred));
    return STATUS_OK;
}

static enum status answer_direct(struct function *function, struct error *err)
{
    uint64_t deadline_ms = function->invocation->deadline_ms, left_us = UINT64_MAX;
    if (deadline_ms > 0) {
        uint64_t now_ms = clock_wall_ns() / NS_PER_MS;
        if (now_ms + LAMBDA_MARGIN_MS >= deadline_ms)
            return fail(err, STATUS_DEADLINE_EXCEEDED,
                        "less than %d ms of the invocation's time are left", LAMBDA_MARGIN_MS);
        left_us = (deadline_ms - now_ms - LAMBDA_MARGIN_MS) * 1000;
    }
    return infer(function, function->invocation->event, left_us, &function->answer, err);
}

static enum status answer(struct function *function, struct error *err)
{
    enum lambda_shape shape;
    TRY(lambda_event_shape(function->invocation->event, &function->event_arena, &shape, err));
    if (shape == LAMBDA_SQS) return answer_batch(function, err);
    if (shape == LAMBDA_DIRECT) return answer_direct(function, err);
    return fail(err, STATUS_UNIMPLEMENTED,
                "the event is %s; send an SQS event, a request of the Open Inference Protocol, or "
                "an array",
                lambda_shape_text(shape));
}

static enum status serve_one(struct function *function, struct error *err)
{
    struct lambda_invocation invocation;
    struct error failure;
    TRY(lambda_runtime_next(function->runtime, &invocation, err));
    function->invocation = &invocation;
    buffer_reset(&function->answer);
    arena_reset(&function->event_arena);
    if (answer(function, &failure) == STATUS_OK)
        return lambda_runtime_respond(function->runtime, &invocation,
                                      buffer_view(&function->answer), err);
    log_error("invocation failed", LOG_TEXT("request_id", invocation.request_id),
              LOG_STR("trace_id", invocation.trace_id),
              LOG_TEXT("status", status_name(failure.status)), LOG_TEXT("error", failure.message));
    return lambda_runtime_fail(function->runtime, &invocation, &failure, err);
}

static enum status load(struct function *function, struct error *err)
{
    const struct config *config = function->context->config;
    const struct local_options options = {.path = config->positionals.items[0],
                                          .engine_directory = config->engine_directory,
                                          .engine_threads = (uint32_t)config->engine_threads};
    TRY(local_open(&options, &function->local, err));
    return local_only(function->local, &function->model, err);
}

static enum status run(struct function *function, struct error *err)
{
    enum log_level level = log_get_level();
    enum status status = load(function, err);
    log_set_level(level); /* local_open is for commands with a person in front of them */
    if (status != STATUS_OK) {
        struct error told;
        if (lambda_runtime_fail_init(function->runtime, err, &told) != STATUS_OK)
            log_error("the failure could not be reported", LOG_TEXT("error", told.message));
        return status;
    }
    while (status == STATUS_OK) status = serve_one(function, err);
    return status;
}

enum status cmd_lambda(struct command_context *context, struct error *err)
{
    const char *address = environment_get("AWS_LAMBDA_RUNTIME_API");
    if (!address || !*address)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "AWS_LAMBDA_RUNTIME_API is not set: this command runs inside AWS Lambda or its "
                    "emulator; use 'slipway invoke' to replay an event");
    if (context->config->positionals.count != 1)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "name one model, as in 'slipway lambda models/doubleit'");
    struct function function = {.context = context};
    TRY(lambda_runtime_new(address, &function.runtime, err));
    arena_init(&function.event_arena, EVENT_MEMORY_MAX);
    arena_init(&function.arena, REQUEST_MEMORY_MAX);
    buffer_init(&function.output, ANSWER_SIZE_MAX);
    buffer_init(&function.line, ANSWER_SIZE_MAX);
    buffer_init(&function.answer, ANSWER_SIZE_MAX);
    enum status status = run(&function, err);
    buffer_clear(&function.answer);
    buffer_clear(&function.line);
    buffer_clear(&function.output);
    arena_clear(&function.arena);
    arena_clear(&function.event_arena);
    local_close(function.local);
    lambda_runtime_free(function.runtime);
    return status;
}
