/* What AWS is told of a task's end: Step Functions, where a workflow waits for it, and a topic. */
#include "aws/calls.h"
#include "aws/service.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/function_private.h"
#include "config/environment.h"

enum { DESCRIPTION_SIZE_MAX = 2048, NOTICE_SIZE_MAX = 8 * DESCRIPTION_SIZE_MAX };

#define TELL_NS_MAX (20 * NS_PER_S)

/* --- heartbeats ------------------------------------------------------------------------------- */

/* While the task runs, on a thread of its own. */
struct heart {
    struct aws_client *states;
    struct str token;
    uint64_t interval_ns;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ended; /* under the lock */
    bool failed;
    struct error err; /* the last one; logged at the end, since a check sets the log's level */
};

/* False: the task has ended. */
static bool heart_rests(struct heart *heart)
{
    uint64_t until_ns = clock_monotonic_ns() + heart->interval_ns;
    const struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
    int result = 0;
    (void)pthread_mutex_lock(&heart->lock);
    while (!heart->ended && result == 0)
        result = pthread_cond_timedwait(&heart->changed, &heart->lock, &until);
    bool goes_on = !heart->ended;
    (void)pthread_mutex_unlock(&heart->lock);
    return goes_on;
}

static void *heart_run(void *context)
{
    struct heart *heart = context;
    const struct aws_task task = {
        .state = AWS_TASK_GOES_ON, .token = heart->token, .timeout_ns = TELL_NS_MAX};
    while (heart_rests(heart)) {
        enum status status = aws_task_tell(heart->states, &task, &heart->err);
        heart->failed |= status != STATUS_OK;
        if (status != STATUS_OK && !status_retryable(status)) return NULL; /* nobody waits */
    }
    return NULL;
}

static void heart_start(struct heart *heart)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes); /* these cannot fail on Linux */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&heart->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&heart->lock, NULL);
    heart->started = pthread_create(&heart->thread, NULL, heart_run, heart) == 0;
    if (!heart->started) log_warning("no heartbeats: no thread can be made");
}

static void heart_end(struct heart *heart)
{
    (void)pthread_mutex_lock(&heart->lock);
    heart->ended = true;
    (void)pthread_cond_signal(&heart->changed);
    (void)pthread_mutex_unlock(&heart->lock);
    if (heart->started) (void)pthread_join(heart->thread, NULL);
    (void)pthread_cond_destroy(&heart->changed);
    (void)pthread_mutex_destroy(&heart->lock);
    if (heart->failed)
        log_warning("a heartbeat was not taken", LOG_TEXT("error", heart->err.message));
}

/* --- the task --------------------------------------------------------------------------------- */

static uint64_t time_to_tell_ns(const struct function *function)
{
    uint64_t left_us;
    struct error ignored;
    if (function_time_left(function, &left_us, &ignored) != STATUS_OK) return NS_PER_S / 20;
    return MIN(left_us, TELL_NS_MAX / 1000) * 1000;
}

/* The workflow knows of a failure from then on: the answer only repeats it. */
static void answer_failure(struct function *function, const struct error *failure)
{
    struct json_writer writer;
    buffer_reset(&function->answer);
    json_writer_init(&writer, &function->answer);
    json_begin_object(&writer);
    json_put_bool(&writer, STR("ok"), false);
    json_put_string(&writer, STR("error"), str_of(failure->message));
    json_end_object(&writer);
}

static enum status tell(struct function *function, struct aws_client *states, struct str token,
                        enum status status, const struct error *failure, struct error *err)
{
    struct str answer = buffer_view(&function->answer);
    struct str ok = lambda_event_member(answer, STR("ok"), &function->event_arena);
    struct aws_task task = {.state = AWS_TASK_SUCCEEDED,
                            .token = token,
                            .output = answer,
                            .timeout_ns = time_to_tell_ns(function)};
    if (answer.size > AWS_TASK_OUTPUT_MAX) task.output = STR("{\"ok\":true}");
    if (status != STATUS_OK) {
        task.state = AWS_TASK_FAILED;
        task.error = STR("Slipway.TaskFailed");
        task.cause = str_of(failure->message);
    } else if (!ok.data || !str_equal(ok, STR("true"))) {
        task.state = AWS_TASK_FAILED;
        task.error = STR("Slipway.CheckFailed");
        task.cause = answer;
    }
    return aws_task_tell(states, &task, err);
}

enum status function_answer_with_token(struct function *function, struct str task, struct str token,
                                       struct error *err)
{
    struct aws_service states;
    struct error failure;
    if (!function->config.lambda_task_tokens)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "the task has a token, but Step Functions is not told: set "
                    "lambda.task_tokens");
    TRY(aws_service_open("states", NULL, &states, err));
    struct heart heart = {.states = states.client,
                          .token = token,
                          .interval_ns = function->config.lambda_heartbeat_ns};
    heart_start(&heart);
    enum status status = function_run_task(function, task, &failure);
    heart_end(&heart);
    if (status != STATUS_OK) answer_failure(function, &failure);
    status = fail_while(err, tell(function, states.client, token, status, &failure, err),
                        "telling Step Functions how the task went");
    aws_service_close(&states);
    function->error_type = NULL; /* of the task, which has been told */
    return status;
}

/* --- notices ---------------------------------------------------------------------------------- */

/* As Amazon Q in chat applications shows it; an e-mail has it as it is. */
static void write_notice(struct str title, struct str description, struct buffer *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_put_string(&writer, STR("version"), STR("1.0"));
    json_put_string(&writer, STR("source"), STR("custom"));
    json_add_name(&writer, STR("content"));
    json_begin_object(&writer);
    json_put_string(&writer, STR("textType"), STR("client-markdown"));
    json_put_string(&writer, STR("title"), title);
    json_put_string(&writer, STR("description"), description);
    json_end_object(&writer);
    json_end_object(&writer);
}

/* "eu-west-3" of "arn:aws:sns:eu-west-3:123456789012:topic"; owned; NULL: it is no such ARN. */
static char *region_of(const char *arn)
{
    struct str rest = str_of(arn), part = STR_EMPTY;
    for (int i = 0; i < 4 && rest.data; i++) part = str_cut(&rest, ':');
    return rest.data && part.size > 0 ? str_copy(part) : NULL;
}

static enum status publish(struct function *function, struct str title, struct str description,
                           struct error *err)
{
    const char *topic = function->config.lambda_notify_topic;
    char *region CLEANUP(mem_freep) = region_of(topic);
    struct buffer message CLEANUP(buffer_clear);
    struct aws_service sns;
    buffer_init(&message, NOTICE_SIZE_MAX);
    if (!region)
        return fail(
            err, STATUS_INVALID_ARGUMENT,
            "lambda.notify_topic '%s' is no ARN of a topic: arn:aws:sns:REGION:ACCOUNT:NAME",
            topic);
    write_notice(title, description, &message);
    if (buffer_failed(&message)) return fail(err, STATUS_EXHAUSTED, "no memory for a notice");
    TRY(aws_service_open("sns", region, &sns, err));
    const struct aws_notice notice = {str_of(topic), title, buffer_view(&message)};
    enum status status = aws_publish(sns.client, &notice, err);
    aws_service_close(&sns);
    return status;
}

void function_notify(struct function *function, const char *what)
{
    const struct config *config = &function->config;
    const char *name = environment_get("AWS_LAMBDA_FUNCTION_NAME");
    const char *version = environment_get("AWS_LAMBDA_FUNCTION_VERSION");
    char title[AWS_NOTICE_SUBJECT_MAX + 1], description[DESCRIPTION_SIZE_MAX];
    struct error err;
    if (!*config->lambda_notify_topic) return;
    (void)snprintf(title, sizeof title, "%s in %s: a check failed", config->lambda_service,
                   config->lambda_environment);
    (void)snprintf(description, sizeof description,
                   "%s, asked of %s version %s; its log has the findings, request %s", what,
                   name ? name : "slipway", version ? version : "$LATEST",
                   function->invocation->request_id);
    if (publish(function, str_of(title), str_of(description), &err) != STATUS_OK)
        log_error("a notice was not sent", LOG_TEXT("error", err.message));
}
