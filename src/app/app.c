/* Settings to parts. */
#include "app/app.h"

#include "base/mem.h"
#include "config/model_rules.h"
#include "engine/host.h"
#include "net/client_web.h"
#include "queue/queue_sqs.h"

static uint32_t choose_thread_count(const struct config *config)
{
    uint64_t wanted = config->http_threads ? config->http_threads : host_processor_count("");
    return (uint32_t)MIN(wanted, (uint64_t)SERVE_LANES_MAX - 1);
}

static enum serve_control control_of(const struct config *config)
{
    switch ((enum config_control)config->model_control_mode) {
    case CONFIG_CONTROL_NONE: return SERVE_CONTROL_NONE;
    case CONFIG_CONTROL_POLL: return SERVE_CONTROL_POLL;
    case CONFIG_CONTROL_EXPLICIT: return SERVE_CONTROL_EXPLICIT;
    }
    return SERVE_CONTROL_NONE;
}

/* What --model-repository names, then what was given without the flag. The list is the caller's. */
static const char **list_repositories(const struct config *config, size_t *ret_count)
{
    size_t named = config->model_repository.count, plain = config->positionals.count;
    const char **list = mem_new_zeroed(named + plain + 1, sizeof *list);
    for (size_t i = 0; i < named; i++) list[i] = config->model_repository.items[i];
    for (size_t i = 0; i < plain; i++) list[named + i] = config->positionals.items[i];
    *ret_count = named + plain;
    return list;
}

static struct serve_options serve_options_of(const struct config *config, const struct app *app)
{
    return (struct serve_options){
        .engines = app->engines,
        .control = control_of(config),
        .startup = config->model_load.items,
        .startup_count = config->model_load.count,
        .poll_interval_ms = config->model_poll_interval_ns / NS_PER_MS,
        .lane_count = app->thread_count + 1, /* and the worker's */
        .load_threads = (uint32_t)config->model_load_threads,
        .trial_program = config->model_trial_load ? "/proc/self/exe" : NULL,
        .engine_threads = (uint32_t)config->engine_threads,
        .queue_size_max = (uint32_t)config->queue_size_max,
        .queue_timeout_ns = config->queue_timeout_ns,
        .ready_despite_failures = !config->model_ready_requires_all,
        .bytes_in_flight_max = config->memory_request_bytes_max,
        .cache_size_max = config->cache_bytes_max,
        .load_size_max = config->model_load_bytes_max,
        .inline_cost_max_ns = MAX(config->inline_cost_max_ns, UINT64_C(1)), /* 0 is "none" here */
        .inline_turn_max_ns = config->inline_turn_max_ns,
        .inline_stall_max_ns = config->inline_stall_max_ns,
        .execution_limit_ns = config->model_execution_limit_ns,
    };
}

/* --- records ---------------------------------------------------------------------------------- */

static struct store *find_store(void *context)
{
    struct app *app = context;
    struct data_parts parts;
    struct error err;
    return data_get(app->data, &parts, &err) == STATUS_OK ? parts.store : NULL;
}

static enum status read_redact(const struct config *config, struct app *app, struct error *err)
{
    const struct config_list *list = &config->record_redact;
    if (list->count > PRIVACY_REDACT_GENERAL_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "record.redact has %zu entries: at most %d",
                    list->count, PRIVACY_REDACT_GENERAL_MAX);
    for (size_t i = 0; i < list->count; i++) {
        app->redact[i] = str_of(list->items[i]);
        TRY(fail_while(err, model_config_check_redact(app->redact[i], err), "record.redact"));
    }
    return STATUS_OK;
}

static struct privacy privacy_of(const struct config *config, const struct app *app, int keep)
{
    return (struct privacy){.keep = (enum record_keep)keep,
                            .bytes_max = config->record_bytes_max,
                            .redact = app->redact,
                            .redact_count = config->record_redact.count};
}

/* In memory what is over must not take the room of what is to be done. */
static uint64_t keep_bytes(const struct config *config, const struct app *app)
{
    uint64_t wanted = config->record_keep_bytes, room = config->data_memory_bytes / 2;
    if (!data_is_memory(app->data)) return wanted;
    return wanted ? MIN(wanted, room) : room;
}

static enum status open_recorder(const struct config *config, struct app *app, struct error *err)
{
    struct recorder_options options = {
        .sync = (enum recorder_sync)config->record_sync,
        .sample_rate = config->record_sample_rate,
        .rate_max = config->record_rate_max,
        .keep_age_ns = config->record_keep_age_ns,
        .keep_bytes = keep_bytes(config, app),
        .ring_count = app->thread_count,
        .loan_ns = config->jobs_result_ttl_ns,
        .input = privacy_of(config, app, config->record_input),
        .output = privacy_of(config, app, config->record_output),
        .store = find_store,
        .context = app,
    };
    if (data_is_off(app->data)) return STATUS_OK;
    return recorder_new(&options, &app->recorder, err);
}

static struct queue_store *find_queues(void *context)
{
    struct app *app = context;
    struct data_parts parts;
    struct error err;
    return data_get(app->data, &parts, &err) == STATUS_OK ? parts.queues : NULL;
}

static enum status open_depths(const struct config *config, struct app *app, struct error *err)
{
    struct depths_options options = {
        .interval_ns = config->metrics_queues_interval_ns,
        .own = STR(JOBS_RESERVED),
        .queues = find_queues,
        .context = app,
    };
    if (data_is_off(app->data) || !config->metrics_enabled || options.interval_ns == 0)
        return STATUS_OK;
    return depths_new(&options, &app->depths, err);
}

static enum status make_jobs(struct app *app, const struct config *config, struct error *err)
{
    const struct config_list *allow = &config->jobs_callback_allow;
    if (allow->count > 0 && !*config->jobs_callback_secret)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "jobs.callback_allow is set, but jobs.callback_secret, by which receivers tell "
                    "that a callback is from here, is not");
    if (allow->count > 0) {
        TRY(callback_rules_new(allow->items, allow->count, &app->callback_rules, err));
        /* Before an engine brings libraries of the same names as curl's, but less in them. */
        TRY(client_web_start(err));
    }
    TRY(read_redact(config, app, err));
    struct jobs_options options = {
        .attempts_max = (uint32_t)config->jobs_attempts_max,
        .visibility_ms = config->worker_visibility_ns / NS_PER_MS,
        .callback_rules = app->callback_rules,
        .callback_secret = str_of(config->jobs_callback_secret),
        .callback_tries = (uint32_t)config->jobs_callback_tries,
        .callback_timeout_ns = config->jobs_callback_timeout_ns,
        .input = privacy_of(config, app, config->record_input),
        .output = privacy_of(config, app, config->record_output),
        .result_ttl_ns = config->jobs_result_ttl_ns,
    };
    /* A default that nobody chose does not take an answer from who comes back for it. */
    bool unlimited = config->origins[CONFIG_OPTION_record_bytes_max] == CONFIG_FROM_DEFAULT;
    options.input.inline_unlimited = options.output.inline_unlimited = unlimited;
    app->jobs = jobs_new(&options);
    return STATUS_OK;
}

/* --- queues of others ------------------------------------------------------------------------- */

#define SQS_PREFIX "sqs:"

static enum status open_sqs(const struct config *config, struct app *app, struct error *err)
{
    struct queue_sqs_options options = {.poll_ns = config->worker_sqs_poll_ns};
    if (app->sqs) return STATUS_OK;
    /* Before an engine brings libraries of the same names as curl's, but less in them. */
    TRY(client_web_start(err));
    return queue_sqs_new(&options, &app->sqs, err);
}

/* However a queue of SQS is called, its name is what counts from here on. */
static enum status add_consumed(const struct config *config, struct app *app, const char *text,
                                struct error *err)
{
    char name[QUEUE_NAME_MAX + 1];
    if (!str_starts_with(str_of(text), STR(SQS_PREFIX))) {
        app->consume[app->consume_count++] = mem_copy_text(text);
        return STATUS_OK;
    }
    TRY(open_sqs(config, app, err));
    TRY(queue_sqs_name(app->sqs, str_of(text + strlen(SQS_PREFIX)), name, err));
    app->consume[app->consume_count++] = mem_format(SQS_PREFIX "%s", name);
    return STATUS_OK;
}

static enum status list_consumed(const struct config *config, struct app *app, struct error *err)
{
    bool named = config->work_queue.count > 0;
    const struct config_list *list = named ? &config->work_queue : &config->queue_consume;
    app->consume = mem_new_zeroed(list->count + 1, sizeof *app->consume);
    for (size_t i = 0; i < list->count; i++)
        TRY(fail_while(err, add_consumed(config, app, list->items[i], err), "%s",
                       named ? "--queue" : "queue.consume"));
    return STATUS_OK;
}

enum status app_open(const struct config *config, struct app **ret_app, struct error *err)
{
    struct app *app = MEM_NEW(struct app);
    const char *directory = config->engine_directory;
    app->thread_count = choose_thread_count(config);
    app->data = data_new(config);
    app->engines = engine_registry_new(*directory ? directory : NULL);
    struct serve_options options = serve_options_of(config, app);
    const char **repositories = list_repositories(config, &options.repository_count);
    options.repositories = repositories;
    enum status status = make_jobs(app, config, err);
    if (status == STATUS_OK) status = list_consumed(config, app, err);
    if (status == STATUS_OK) status = serve_new(&options, &app->serve, err);
    mem_free(repositories);
    if (status == STATUS_OK) status = open_recorder(config, app, err);
    if (status == STATUS_OK) status = open_depths(config, app, err);
    if (status != STATUS_OK) {
        app_close(app);
        return status;
    }
    *ret_app = app;
    return STATUS_OK;
}

void app_close(struct app *app)
{
    if (!app) return;
    depths_free(app->depths);
    recorder_free(app->recorder);
    serve_free(app->serve);
    engine_registry_free(app->engines);
    jobs_free(app->jobs);
    queue_store_free(app->sqs);
    for (size_t i = 0; i < app->consume_count; i++) mem_free((void *)(uintptr_t)app->consume[i]);
    mem_free(app->consume);
    callback_rules_free(app->callback_rules);
    data_free(app->data);
    mem_free(app);
}
