/* `slipway invoke`: a model and events, as a Lambda function would run them. */
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/function.h"
#include "cli/local.h"
#include "cli/remote.h"
#include "lambda/event.h"
#include "protocol/bare.h"
#include "protocol/oip_json.h"
#include "protocol/sqs_event.h"
#include "store/record.h"

enum {
    EVENT_SIZE_MAX = 64 * 1024 * 1024,
    EVENT_MEMORY_MAX = 256 * 1024 * 1024,
    RECORD_MEMORY_MAX = 1024 * 1024 * 1024,
    ANSWER_SIZE_MAX = 1024 * 1024 * 1024,
};

struct invocation {
    struct command_context *context;
    struct local *local; /* for a queue's records; NULL before the first */
    struct serve_model *model;
    struct arena arena;        /* of one record */
    struct function *function; /* for events of other shapes; NULL before the first */
    struct command_context function_context;
    struct config function_config;
    uint64_t failures;
};

/* A protocol request if the body is an object, else the bare array. */
static enum status read_body(struct invocation *invocation, struct str body,
                             struct infer_request *request, struct error *err)
{
    struct str text = body;
    while (text.size > 0 && json_is_space(*text.data)) text = str_from(text, 1);
    if (text.size > 0 && *text.data == '{') return oip_json_read(body, STR_EMPTY, request, err);
    return bare_read(body, serve_model_spec(invocation->model), request, err);
}

static enum status answer(struct invocation *invocation, struct str body, struct buffer *out,
                          struct error *err)
{
    struct infer_request request;
    infer_request_init(&request, &invocation->arena);
    TRY(read_body(invocation, body, &request, err));
    struct local_call call = {.model = invocation->model, .request = &request};
    local_run(invocation->local, &call, 1);
    if (call.status != STATUS_OK) return fail_again(err, &call.err);
    return bare_write(&call.reply, out, err);
}

/* A queue's own check of what it stored. Edited test events often carry a stale one. */
static void check_digest(const struct sqs_record *record)
{
    char digest[MD5_HEX_SIZE];
    if (record->body_md5.size == 0 || !md5_hex(record->body, digest)) return;
    if (str_equal_ignoring_case(record->body_md5, str_of(digest))) return;
    log_warning("md5OfBody is not that of the body: the event was changed after it was recorded",
                LOG_STR("message_id", record->message_id), LOG_STR("md5OfBody", record->body_md5),
                LOG_TEXT("actual", digest));
}

/* One line per record: the answer, or null with the reason in the log, so that lines and records
 * stay aligned. */
static enum status run_record(struct invocation *invocation, const struct sqs_record *record,
                              struct error *err)
{
    struct buffer line;
    buffer_init(&line, ANSWER_SIZE_MAX);
    check_digest(record);
    struct error failure;
    if (answer(invocation, record->body, &line, &failure) != STATUS_OK) {
        invocation->failures++;
        log_error("record failed", LOG_STR("message_id", record->message_id),
                  LOG_TEXT("error", failure.message));
        buffer_reset(&line);
        buffer_add(&line, STR("null"));
    }
    buffer_add_byte(&line, '\n');
    arena_reset(&invocation->arena);
    return console_flush(&line, invocation->context->out, err);
}

static enum status open_local(struct invocation *invocation, struct error *err)
{
    const struct config *config = invocation->context->config;
    struct local_options options = {.path = config->positionals.items[0],
                                    .engine_directory = config->engine_directory,
                                    .engine_threads = (uint32_t)config->engine_threads};
    if (invocation->local) return STATUS_OK;
    TRY(local_open(&options, &invocation->local, err));
    return local_only(invocation->local, &invocation->model, err);
}

static enum status run_records(struct invocation *invocation, struct str text, struct arena *arena,
                               struct error *err)
{
    struct sqs_event event;
    TRY(open_local(invocation, err));
    TRY(sqs_event_open(&event, text, arena, err));
    for (;;) {
        struct sqs_record record;
        bool more;
        TRY(sqs_event_next(&event, &record, &more, err));
        if (!more) return STATUS_OK;
        TRY(run_record(invocation, &record, err));
    }
}

/* --- events of other shapes ------------------------------------------------------------------- */

/* Nothing is left behind: no results, no metrics. */
static enum status open_function(struct invocation *invocation, struct error *err)
{
    struct config *config = &invocation->function_config;
    if (invocation->function) return STATUS_OK;
    *config = *invocation->context->config;
    config->positionals.count = 1; /* the model; events follow it */
    config->lambda_results = CONFIG_LAMBDA_RESULTS_NONE;
    config->lambda_metrics = false;
    invocation->function_context = *invocation->context;
    invocation->function_context.config = config;
    return function_open(&invocation->function_context, &(struct function_options){0},
                         &invocation->function, err);
}

/* A line: what the platform would get. */
static enum status run_function(struct invocation *invocation, struct str text, struct error *err)
{
    uint64_t now_ms = clock_wall_ns() / NS_PER_MS;
    uint64_t time_ms = invocation->context->config->lambda_timeout_ns / NS_PER_MS;
    struct lambda_invocation one = {.event = text,
                                    .deadline_ms = now_ms + time_ms,
                                    .trace_id = STR_EMPTY,
                                    .function_arn = STR_EMPTY};
    struct function_answer answer;
    struct buffer line;
    TRY(open_function(invocation, err));
    record_id_make(now_ms, one.request_id);
    TRY(function_run(invocation->function, &one, &answer, err));
    buffer_init(&line, ANSWER_SIZE_MAX);
    buffer_add(&line, answer.body);
    buffer_add_byte(&line, '\n');
    return console_flush(&line, invocation->context->out, err);
}

static enum status run_event(struct invocation *invocation, struct str text, struct arena *arena,
                             struct error *err)
{
    struct lambda_event event;
    TRY(lambda_event_read(text, arena, &event, err));
    if (event.shape == LAMBDA_SQS || event.shape == LAMBDA_RECORDS)
        return run_records(invocation, text, arena, err);
    return run_function(invocation, text, err);
}

static enum status run_file(struct invocation *invocation, const char *path, struct error *err)
{
    struct buffer text;
    struct arena arena;
    buffer_init(&text, EVENT_SIZE_MAX);
    arena_init(&arena, EVENT_MEMORY_MAX);
    enum status status = console_read_file(path, EVENT_SIZE_MAX, &text, err);
    if (status == STATUS_OK)
        status = fail_while(err, run_event(invocation, buffer_view(&text), &arena, err),
                            "event '%s'", path);
    arena_clear(&arena);
    buffer_clear(&text);
    return status;
}

static enum status run_files(struct invocation *invocation, const struct config_list *arguments,
                             struct error *err)
{
    for (size_t i = 1; i < arguments->count; i++)
        TRY(run_file(invocation, arguments->items[i], err));
    if (invocation->failures > 0)
        invocation->context->exit_code = status_exit_code(STATUS_INVALID_ARGUMENT);
    return STATUS_OK;
}

/* --- a function elsewhere ----------------------------------------------------------------------
 */

#define INVOKE_PATH "/2015-03-31/functions/function/invocations"
#define INVOKE_TIMEOUT_NS (900 * NS_PER_S) /* Lambda's own */

/* The answer is a line; one that says {"errorType":...} is the function's failure, and is told as
 * the answer that it is. */
static enum status send_event(struct invocation *invocation, struct remote *remote,
                              struct str event, struct error *err)
{
    struct client_response response;
    const struct client_request request = {
        .method = "POST", .path = INVOKE_PATH, .content_type = "application/json", .body = event};
    TRY(remote_send(remote, &request, &response, err));
    if (response.status != 200) return remote_fail(&response, err);
    bool failed = memmem(response.body.data, response.body.size, "\"errorType\":", 12) != NULL;
    invocation->failures += failed;
    (void)fwrite(response.body.data, 1, response.body.size, invocation->context->out);
    (void)fputc('\n', invocation->context->out); /* flushed and checked by main */
    return STATUS_OK;
}

static enum status send_file(struct invocation *invocation, struct remote *remote, const char *path,
                             struct error *err)
{
    struct buffer text;
    buffer_init(&text, EVENT_SIZE_MAX);
    enum status status = console_read_file(path, EVENT_SIZE_MAX, &text, err);
    if (status == STATUS_OK)
        status = fail_while(err, send_event(invocation, remote, buffer_view(&text), err),
                            "event '%s'", path);
    buffer_clear(&text);
    return status;
}

static enum status send_files(struct invocation *invocation, const struct config *config,
                              struct error *err)
{
    struct remote *remote;
    if (config->positionals.count == 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "name an event, as in 'slipway invoke --url %s event.json'",
                    config->invoke_url);
    TRY(remote_open(config->invoke_url, INVOKE_TIMEOUT_NS, &remote, err));
    enum status status = STATUS_OK;
    for (size_t i = 0; i < config->positionals.count && status == STATUS_OK; i++)
        status = send_file(invocation, remote, config->positionals.items[i], err);
    remote_close(remote);
    if (invocation->failures > 0)
        invocation->context->exit_code = status_exit_code(STATUS_INVALID_ARGUMENT);
    return status;
}

enum status cmd_invoke(struct command_context *context, struct error *err)
{
    const struct config *config = context->config;
    if (*config->invoke_url)
        return send_files(&(struct invocation){.context = context}, config, err);
    if (config->positionals.count < 2)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "name a model and an event, as in 'slipway invoke models/doubleit event.json'");
    struct invocation invocation = {.context = context};
    arena_init(&invocation.arena, RECORD_MEMORY_MAX);
    enum status status = run_files(&invocation, &config->positionals, err);
    arena_clear(&invocation.arena);
    function_close(invocation.function);
    if (invocation.local) local_close(invocation.local);
    return status;
}
