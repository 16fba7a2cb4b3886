/* `slipway invoke`: a model and a queue's event, as a Lambda function would run them. */
#include "base/hash.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/local.h"
#include "cli/remote.h"
#include "protocol/bare.h"
#include "protocol/oip_json.h"
#include "protocol/sqs_event.h"

enum {
    EVENT_SIZE_MAX = 64 * 1024 * 1024,
    EVENT_MEMORY_MAX = 256 * 1024 * 1024,
    RECORD_MEMORY_MAX = 1024 * 1024 * 1024,
    ANSWER_SIZE_MAX = 1024 * 1024 * 1024,
};

struct invocation {
    struct command_context *context;
    struct local *local;
    struct serve_model *model;
    struct arena arena; /* of one record */
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

static enum status run_event(struct invocation *invocation, struct str text, struct arena *arena,
                             struct error *err)
{
    struct sqs_event event;
    TRY(sqs_event_open(&event, text, arena, err));
    for (;;) {
        struct sqs_record record;
        bool more;
        TRY(sqs_event_next(&event, &record, &more, err));
        if (!more) return STATUS_OK;
        TRY(run_record(invocation, &record, err));
    }
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
    TRY(local_only(invocation->local, &invocation->model, err));
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
    struct local_options options = {.path = config->positionals.items[0],
                                    .engine_directory = config->engine_directory,
                                    .engine_threads = (uint32_t)config->engine_threads};
    TRY(local_open(&options, &invocation.local, err));
    arena_init(&invocation.arena, RECORD_MEMORY_MAX);
    enum status status = run_files(&invocation, &config->positionals, err);
    arena_clear(&invocation.arena);
    local_close(invocation.local);
    return status;
}
