/* What is asked of the function itself: tasks of a workflow, and CodeDeploy's hook. */
#include "base/log.h"
#include "cli/check.h"
#include "cli/function_private.h"
#include "lambda/hook.h"
#include "serve/layout.h"

/* --- check ------------------------------------------------------------------------------------ */

static enum status check_path(struct function *function, const char *path, struct report *report,
                              struct error *err)
{
    const struct check_options options = {
        .path = layout_place_of(path).path,
        .engines = function->app->engines,
        .engine_threads = (uint32_t)function->config.engine_threads,
        .cases = function->config.check_cases,
        .runs = function->config.check_runs,
        .latency_p50_max_ns = function->config.check_latency_p50_max_ns,
        .latency_p99_max_ns = function->config.check_latency_p99_max_ns,
        .memory_max = function->config.check_memory_max,
    };
    return check_run(&options, report, err);
}

static enum status run_checks(struct function *function, struct report *report, struct error *err)
{
    const struct config *config = &function->config;
    for (size_t i = 0; i < config->model_repository.count; i++)
        TRY(check_path(function, config->model_repository.items[i], report, err));
    for (size_t i = 0; i < config->positionals.count; i++)
        TRY(check_path(function, config->positionals.items[i], report, err));
    return STATUS_OK;
}

/* What `slipway check` would say of the models that are loaded here. */
static enum status check(struct function *function, bool *ret_ok, struct buffer *text,
                         struct error *err)
{
    struct report report;
    report_init(&report);
    (void)pthread_mutex_lock(&function->owner->checks);
    enum log_level level = log_get_level();
    enum status status = run_checks(function, &report, err);
    log_set_level(level);
    (void)pthread_mutex_unlock(&function->owner->checks);
    *ret_ok = report_count(&report, VERDICT_FAIL) == 0;
    if (status == STATUS_OK) report_print_json(&report, text);
    report_clear(&report);
    return status;
}

static enum status answer_check(struct function *function, struct error *err)
{
    struct json_writer writer;
    bool ok;
    buffer_reset(&function->line);
    if (!function->local)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "there are no models here to check: this function is a hook of CodeDeploy");
    TRY(check(function, &ok, &function->line, err));
    if (!ok) function_notify(function, "The models did not pass their check");
    struct str report = buffer_view(&function->line);
    while (report.size > 0 && json_is_space(report.data[report.size - 1])) report.size--;
    json_writer_init(&writer, &function->answer);
    json_begin_object(&writer);
    json_put_bool(&writer, STR("ok"), ok);
    json_add_name(&writer, STR("report"));
    json_add_raw(&writer, report);
    json_end_object(&writer);
    return STATUS_OK;
}

static enum status answer_ping(struct function *function)
{
    size_t count = function->local ? local_index(function->local)->count : 0;
    struct json_writer writer;
    json_writer_init(&writer, &function->answer);
    json_begin_object(&writer);
    json_put_bool(&writer, STR("ok"), true);
    json_put_u64(&writer, STR("models"), count);
    json_end_object(&writer);
    return STATUS_OK;
}

enum status function_run_task(struct function *function, struct str task, struct error *err)
{
    if (str_equal(task, STR("check"))) return answer_check(function, err);
    if (str_equal(task, STR("ping"))) return answer_ping(function);
    function->error_type = "Function.UnknownEvent";
    return fail(err, STATUS_INVALID_ARGUMENT,
                "the task '%.*s' is unknown: there are check and ping",
                (int)MIN(task.size, (size_t)64), task.data);
}

enum status function_answer_task(struct function *function, struct str event, struct error *err)
{
    struct arena *arena = &function->event_arena;
    struct str order = lambda_event_member(event, STR("slipway"), arena);
    struct str task = lambda_event_text(order, STR("task"), arena);
    struct str token = lambda_event_text(order, STR("token"), arena);
    if (!task.data) task = STR_EMPTY;
    if (token.data) return function_answer_with_token(function, task, token, err);
    return function_run_task(function, task, err);
}

/* --- CodeDeploy ------------------------------------------------------------------------------- */

static enum status check_target(struct function *function, bool *ret_ok, struct error *err)
{
    const char *target = function->config.lambda_hook_target;
    struct str answer;
    uint64_t left_us;
    if (!*target) {
        buffer_reset(&function->line);
        return check(function, ret_ok, &function->line, err);
    }
    TRY(function_time_left(function, &left_us, err));
    TRY(lambda_hook_invoke(target, STR("{\"slipway\":{\"task\":\"check\"}}"),
                           MIN(left_us, UINT64_C(900000000)) * 1000, &function->arena, &answer,
                           err));
    struct str ok = lambda_event_member(answer, STR("ok"), &function->arena);
    *ret_ok = ok.data && str_equal(ok, STR("true"));
    if (!*ret_ok) log_error("the new version did not pass its check", LOG_STR("answer", answer));
    return STATUS_OK;
}

static enum status answer_hook(struct function *function, struct lambda_hook *hook,
                               struct error *err)
{
    struct error failure;
    struct json_writer writer;
    bool ok = false;
    arena_reset(&function->arena);
    if (check_target(function, &ok, &failure) != STATUS_OK)
        log_error("the new version could not be checked", LOG_TEXT("error", failure.message));
    hook->succeeded = ok;
    if (!ok) function_notify(function, "A new version did not pass its check");
    TRY(lambda_hook_report(hook, &function->arena, err));
    json_writer_init(&writer, &function->answer);
    json_begin_object(&writer);
    json_put_string(&writer, STR("status"), ok ? STR("Succeeded") : STR("Failed"));
    json_end_object(&writer);
    return STATUS_OK;
}

/* Whatever happens is reported: a hook that says nothing holds a deployment up for an hour. */
enum status function_answer_hook(struct function *function, struct error *err)
{
    struct arena *arena = &function->event_arena;
    struct str event = function->invocation->event;
    struct lambda_hook hook = {
        .deployment = lambda_event_text(event, STR("DeploymentId"), arena),
        .execution = lambda_event_text(event, STR("LifecycleEventHookExecutionId"), arena),
    };
    if (!hook.deployment.data || !hook.execution.data)
        return fail(err, STATUS_INVALID_ARGUMENT, "the CodeDeploy hook's ids are no texts");
    return answer_hook(function, &hook, err);
}
