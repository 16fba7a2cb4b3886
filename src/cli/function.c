/* The function's life, and the frame of an invocation. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/console.h"
#include "cli/function_private.h"
#include "cli/places.h"
#include "config/environment.h"
#include "net/client.h"
#include "net/client_web.h"

/* --- opening ---------------------------------------------------------------------------------- */

static bool is_set(const struct config *config, enum config_option option)
{
    return config->origins[option] != CONFIG_FROM_DEFAULT;
}

/*
 * A store that nobody named would be a file on a disk that ends with the sandbox: results that look
 * kept and are not.
 */
static enum status check_store(struct function *function, struct error *err)
{
    struct config *config = &function->config;
    bool named =
        is_set(config, CONFIG_OPTION_data_url) || is_set(config, CONFIG_OPTION_data_directory);
    bool stores = config->lambda_results == CONFIG_LAMBDA_RESULTS_STORE;
    if (config->lambda_local) return STATUS_OK; /* here a file is what it seems */
    bool none = !named || strcmp(config->data_url, "none") == 0;
    if (stores && none && !*config->data_results_url)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "there is no store for results: set data.results_url or data.url "
                    "(SLIPWAY_DATA_RESULTS_URL), or give up on keeping them with lambda.results "
                    "print or none");
    if (!named) config->data_url = "none";
    return STATUS_OK;
}

static void *open_data(void *context)
{
    struct function *function = context;
    function->data_status = data_open(function->app->data, false, &function->data_error);
    return NULL;
}

static enum status start_data(struct function *function, struct error *err)
{
    if (data_is_off(function->app->data)) return STATUS_OK;
    int problem = pthread_create(&function->data_thread, NULL, open_data, function);
    function->data_started = problem == 0;
    if (problem) return fail_errno(err, problem, "starting the thread that opens the data store");
    return STATUS_OK;
}

static void join_data(struct function *function)
{
    if (function->data_started) (void)pthread_join(function->data_thread, NULL);
    function->data_started = false;
}

static enum status finish_data(struct function *function, struct error *err)
{
    struct data_parts parts;
    if (data_is_off(function->app->data)) return STATUS_OK;
    join_data(function);
    if (function->data_status != STATUS_OK) return fail_again(err, &function->data_error);
    TRY(data_get(function->app->data, &parts, err));
    if (function->config.lambda_results != CONFIG_LAMBDA_RESULTS_STORE) return STATUS_OK;
    function->results = (struct lambda_results){
        .store = parts.store,
        .input = &function->app->jobs->options.input,
        .output = &function->app->jobs->options.output,
    };
    return STATUS_OK;
}

static const char *repository_name(const struct config *config)
{
    if (config->positionals.count > 0) return config->positionals.items[0];
    return config->model_repository.items[0];
}

static enum status check_index(struct function *function, struct error *err)
{
    const struct serve_index *index = local_index(function->local);
    size_t ready = 0;
    const char *reason = NULL, *name = NULL;
    for (size_t i = 0; i < index->count; i++) {
        struct serve_model *model;
        struct error failure;
        if (local_find(function->local, str_of(index->rows[i].name), &model, &failure) ==
            STATUS_OK) {
            ready++;
        } else {
            reason = index->rows[i].reason;
            name = index->rows[i].name;
        }
    }
    if (reason && function->config.model_ready_requires_all)
        return fail(err, STATUS_FAILED_PRECONDITION, "model '%s' could not be loaded: %s", name,
                    reason);
    if (ready == 0)
        return fail(err, STATUS_FAILED_PRECONDITION, "there is no model in '%s'",
                    repository_name(&function->config));
    return STATUS_OK;
}

/* A hook asks another function, and needs no models of its own. */
static bool needs_none(const struct config *config)
{
    return *config->lambda_hook_target &&
           config->positionals.count + config->model_repository.count == 0;
}

static enum status load(struct function *function, struct error *err)
{
    const struct config *config = &function->config;
    if (needs_none(config)) return STATUS_OK;
    if (config->positionals.count + config->model_repository.count == 0)
        return fail(
            err, STATUS_INVALID_ARGUMENT,
            "name a model, as in 'slipway lambda models/doubleit', or set model.repository");
    const struct local_options options = {.path = repository_name(config),
                                          .serve = function->app->serve};
    enum log_level level = log_get_level();
    enum status status = local_open(&options, &function->local, err);
    log_set_level(level); /* local_open is for commands with a person in front of them */
    return status == STATUS_OK ? check_index(function, err) : status;
}

static void init_metrics(struct function *function)
{
    const struct config *config = &function->config;
    const struct lambda_metrics_options options = {
        .service = config->lambda_service,
        .environment = config->lambda_environment,
        .variant = config->lambda_variant,
        .function_version = environment_get("AWS_LAMBDA_FUNCTION_VERSION"),
    };
    lambda_metrics_init(&function->metrics, &options);
}

/* Before an engine brings libraries of the same names as curl's, but less in them. */
static enum status prepare_web(const struct function *function, struct error *err)
{
    const char *name = environment_get("AWS_LAMBDA_FUNCTION_NAME");
    bool hook = name && str_starts_with(str_of(name), STR("CodeDeployHook_"));
    bool dynamodb = *function->config.data_results_url ||
                    str_starts_with(str_of(function->config.data_url), STR("dynamodb:"));
    bool told = function->config.lambda_task_tokens || *function->config.lambda_notify_topic;
    if (!hook && !dynamodb && !told && !*function->config.lambda_hook_target) return STATUS_OK;
    return client_web_start(err);
}

static enum status open_parts(struct function *function, const _Atomic bool *stop,
                              struct error *err)
{
    TRY(check_store(function, err));
    TRY(prepare_web(function, err));
    TRY(places_fetch(&function->config, &function->paths, stop, err));
    TRY(app_open(&function->config, &function->app, err));
    TRY(start_data(function, err));
    TRY(load(function, err));
    return finish_data(function, err);
}

static void begin_own(struct function *function)
{
    arena_init(&function->event_arena, FUNCTION_EVENT_MEMORY_MAX);
    arena_init(&function->arena, FUNCTION_REQUEST_MEMORY_MAX);
    buffer_init(&function->output, FUNCTION_ANSWER_SIZE_MAX);
    buffer_init(&function->line, FUNCTION_ANSWER_SIZE_MAX);
    buffer_init(&function->answer, FUNCTION_ANSWER_SIZE_MAX);
    init_metrics(function);
}

static void end_own(struct function *function)
{
    client_free(function->stream_client);
    local_close(function->local);
    buffer_clear(&function->answer);
    buffer_clear(&function->line);
    buffer_clear(&function->output);
    arena_clear(&function->arena);
    arena_clear(&function->event_arena);
}

enum status function_open(struct command_context *context, const struct function_options *options,
                          struct function **ret_function, struct error *err)
{
    struct function *function = MEM_NEW(struct function);
    function->context = context;
    function->owner = function;
    function->opened_ns = clock_monotonic_ns();
    function->config = *context->config;
    function->config.http_threads = 1 + options->peers_max; /* and so lanes: one more than these */
    (void)pthread_mutex_init(&function->lock, NULL);
    (void)pthread_mutex_init(&function->checks, NULL);
    arena_init(&function->paths, PLACES_ARENA_MAX);
    begin_own(function);
    enum status status = open_parts(function, options->stop, err);
    if (status != STATUS_OK) {
        function_close(function);
        return status;
    }
    *ret_function = function;
    return STATUS_OK;
}

void function_close(struct function *function)
{
    if (!function) return;
    if (function->owner == function) {
        join_data(function);
        server_stop(function->server);
    }
    end_own(function);
    if (function->owner == function) {
        app_close(function->app);
        arena_clear(&function->paths);
        (void)pthread_mutex_destroy(&function->checks);
        (void)pthread_mutex_destroy(&function->lock);
    }
    mem_free(function);
}

enum status function_share(struct function *owner, struct function **ret_function,
                           struct error *err)
{
    struct function *function = MEM_NEW(struct function);
    function->context = owner->context;
    function->config = owner->config;
    function->app = owner->app;
    function->results = owner->results;
    function->opened_ns = owner->opened_ns;
    function->owner = owner;
    begin_own(function);
    enum status status =
        owner->local ? local_share(owner->local, &function->local, err) : STATUS_OK;
    if (status != STATUS_OK) {
        function_close(function);
        return status;
    }
    *ret_function = function;
    return STATUS_OK;
}

enum status function_data(struct function *function, struct data_parts *ret_parts,
                          struct error *err)
{
    return data_get(function->app->data, ret_parts, err);
}

/* --- what every event needs ------------------------------------------------------------------- */

enum status function_find_model(struct function *function, struct str name,
                                struct serve_model **ret_model, struct error *err)
{
    struct serve_model *model = NULL;
    if (!function->local)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "there are no models here: this function is a hook of CodeDeploy");
    if (name.size == 0) name = str_of(function->config.lambda_model);
    for (size_t i = 0; i < function->model_count && !model; i++)
        if (name.size == 0 ? function->model_count == 1
                           : str_equal(serve_model_name(function->models[i]), name))
            model = function->models[i];
    if (!model) {
        TRY(name.size > 0 ? local_find(function->local, name, &model, err)
                          : local_only(function->local, &model, err));
        if (function->model_count < FUNCTION_MODELS_MAX)
            function->models[function->model_count++] = model;
    }
    *ret_model = model;
    return STATUS_OK;
}

enum status function_time_left(const struct function *function, uint64_t *ret_us, struct error *err)
{
    uint64_t deadline_ms = function->invocation->deadline_ms;
    uint64_t now_ms = clock_wall_ns() / NS_PER_MS;
    if (deadline_ms > 0 && now_ms + LAMBDA_MARGIN_MS >= deadline_ms)
        return fail(err, STATUS_DEADLINE_EXCEEDED,
                    "less than %d ms of the invocation's time are left", LAMBDA_MARGIN_MS);
    *ret_us = deadline_ms > 0 ? (deadline_ms - now_ms - LAMBDA_MARGIN_MS) * 1000 : UINT64_MAX;
    return STATUS_OK;
}

/* --- one invocation --------------------------------------------------------------------------- */

static enum status refuse(struct function *function, const struct lambda_event *event,
                          struct error *err)
{
    function->error_type = "Function.UnknownEvent";
    return fail(err, STATUS_INVALID_ARGUMENT,
                "the event is %s; what is answered: SQS events, requests of a Function URL or API "
                "Gateway, EventBridge events, CodeDeploy hooks, {\"slipway\":{\"task\":...}}, and "
                "requests of the Open Inference Protocol or arrays",
                event->what);
}

static enum status answer(struct function *function, struct error *err)
{
    struct lambda_event event;
    TRY(lambda_event_read(function->invocation->event, &function->event_arena, &event, err));
    switch (event.shape) {
    case LAMBDA_SQS: return function_answer_batch(function, err);
    case LAMBDA_DIRECT: return function_answer_direct(function, err);
    case LAMBDA_TASK: return function_answer_task(function, function->invocation->event, err);
    case LAMBDA_HTTP_V1:
    case LAMBDA_HTTP_V2: return function_answer_http(function, event.shape, err);
    case LAMBDA_CODE_DEPLOY: return function_answer_hook(function, err);
    case LAMBDA_EVENTBRIDGE: return function_answer_eventbridge(function, err);
    case LAMBDA_RECORDS:
    case LAMBDA_UNKNOWN: break;
    }
    return refuse(function, &event, err);
}

static void begin(struct function *function, const struct lambda_invocation *invocation)
{
    function->invocation = invocation;
    function->start_ns = clock_monotonic_ns();
    function->finished = function->answer_passed = false;
    function->stream = (struct lambda_stream){0};
    function->error_type = NULL;
    lambda_trace_read(invocation->trace_id, &function->trace);
    buffer_reset(&function->answer);
    arena_reset(&function->event_arena);
    if (atomic_exchange(&function->owner->told_init, true)) return;
    lambda_metrics_add(&function->metrics, LAMBDA_METRIC_InitLatency,
                       (double)(clock_monotonic_ns() - function->opened_ns) / NS_PER_MS);
}

static void write_metrics(struct function *function)
{
    struct error err;
    const struct lambda_metrics_context context = {
        .now_ms = clock_wall_ns() / NS_PER_MS,
        .request_id = function->invocation->request_id,
        .trace_id = function->trace.trace_id,
    };
    buffer_reset(&function->line);
    lambda_metrics_write(&function->metrics, &context, &function->line);
    if (!function->config.lambda_metrics || function->config.lambda_local) return;
    if (console_flush(&function->line, function->context->out, &err) != STATUS_OK)
        log_warning("metrics not written", LOG_TEXT("error", err.message));
}

static void flush_records(struct function *function)
{
    uint64_t left_us;
    struct error err;
    if (!function->app->recorder || !function_server(function)) return;
    if (function_time_left(function, &left_us, &err) != STATUS_OK) left_us = 0;
    if (!recorder_flush(function->app->recorder, MIN(left_us, UINT64_C(5000000)) * 1000))
        log_warning("results not recorded in time",
                    LOG_TEXT("request_id", function->invocation->request_id));
}

void function_finish(struct function *function, enum status status, const struct error *failure)
{
    if (function->finished) return;
    function->finished = true;
    lambda_metrics_add(&function->metrics, LAMBDA_METRIC_InvocationsFailed, status != STATUS_OK);
    if (status != STATUS_OK)
        log_error("invocation failed", LOG_TEXT("request_id", function->invocation->request_id),
                  LOG_TEXT("trace_id", function->trace.trace_id),
                  LOG_TEXT("status", status_name(status)), LOG_TEXT("error", failure->message));
    flush_records(function);
    lambda_metrics_add(&function->metrics, LAMBDA_METRIC_InvocationLatency,
                       (double)(clock_monotonic_ns() - function->start_ns) / NS_PER_MS);
    write_metrics(function);
    /* From the answer on the process may be frozen, or killed: nothing is left for later. */
    if (fflush(function->context->out) != 0)
        log_warning("output not written", LOG_TEXT("request_id", function->invocation->request_id));
}

void function_end_answer(struct function *function)
{
    struct error err;
    client_free(function->stream_client);
    function->stream_client = NULL;
    if (function->finished) return;
    function_finish(function, fail(&err, STATUS_CANCELLED, "the answer was not taken to its end"),
                    &err);
}

enum status function_run(struct function *function, const struct lambda_invocation *invocation,
                         struct function_answer *ret_answer, struct error *err)
{
    begin(function, invocation);
    enum status status = answer(function, err);
    bool streams = status == STATUS_OK && function->stream.type;
    if (!streams) function_finish(function, status, err);
    *ret_answer = (struct function_answer){.body = buffer_view(&function->answer),
                                           .stream = streams ? &function->stream : NULL,
                                           .error_type = function->error_type};
    return status;
}
