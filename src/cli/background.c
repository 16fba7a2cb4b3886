/* The data store, then the worker. */
#include "cli/background.h"

#include "base/log.h"
#include "base/mem.h"
#include "watch/cloudwatch.h"
#include "worker/worker.h"

#include <pthread.h>

/* How often the end is looked for while the store is waited for; between tries of what failed. */
enum { LOOK_MS = 50, AGAIN_MS = 2000 };

struct background {
    struct app *app;
    const struct config *config;
    bool works;
    pthread_t thread;
    bool started;
    bool joined;
    _Atomic bool ending;
    struct worker *worker;         /* the thread's until it has ended */
    struct cloudwatch *cloudwatch; /* NULL: it is not told */
    pthread_mutex_t lock;
    struct worker *shown; /* the worker while it may be asked for its numbers; under the lock */
};

static struct worker_options worker_options_of(const struct background *background)
{
    const struct config *config = background->config;
    return (struct worker_options){
        .serve = background->app->serve,
        .jobs = background->app->jobs,
        .consume = background->app->consume,
        .consume_count = background->app->consume_count,
        .sqs = background->app->sqs,
        .reply_to = config->queue_reply_to.items,
        .reply_to_count = config->queue_reply_to.count,
        .reply_allow = config->queue_reply_allow.items,
        .reply_allow_count = config->queue_reply_allow.count,
        .models = config->queue_models.items,
        .model_count = config->queue_models.count,
        .in_flight_max = (uint32_t)config->worker_in_flight_max,
        .lease_max = (uint32_t)config->worker_lease_max,
    };
}

/* False at the end. */
static bool wait_for_data(struct background *background, struct data_parts *parts)
{
    struct error err;
    while (!atomic_load(&background->ending))
        if (data_wait(background->app->data, LOOK_MS * NS_PER_MS) &&
            data_get(background->app->data, parts, &err) == STATUS_OK)
            return parts->queues || (background->works && background->app->sqs);
    return false;
}

static void show(struct background *background, struct worker *worker)
{
    (void)pthread_mutex_lock(&background->lock);
    background->shown = worker;
    (void)pthread_mutex_unlock(&background->lock);
}

static enum status start_work(struct background *background, struct error *err)
{
    if (!background->works) return jobs_prepare(background->app->jobs, err);
    struct worker_options options = worker_options_of(background);
    TRY(worker_start(&options, &background->worker, err));
    show(background, background->worker);
    return STATUS_OK;
}

static void pause_between(struct background *background)
{
    struct timespec pause = {0, LOOK_MS * (long)NS_PER_MS};
    for (int waited = 0; waited < AGAIN_MS && !atomic_load(&background->ending); waited += LOOK_MS)
        (void)nanosleep(&pause, NULL); /* interrupted: a shorter pause */
}

static void *background_run(void *context)
{
    struct background *background = context;
    struct data_parts parts;
    struct error err, told = {0};
    if (!wait_for_data(background, &parts)) return NULL;
    jobs_attach(background->app->jobs, parts.queues, parts.store);
    while (!atomic_load(&background->ending)) {
        if (start_work(background, &err) == STATUS_OK) return NULL;
        if (strcmp(told.message, err.message) != 0)
            log_error("jobs are not run", LOG_TEXT("error", err.message));
        told = err;
        pause_between(background);
    }
    return NULL;
}

struct background *background_new(struct app *app, const struct config *config, bool works)
{
    struct background *background = MEM_NEW(struct background);
    background->app = app;
    background->config = config;
    background->works = works;
    (void)pthread_mutex_init(&background->lock, NULL);
    return background;
}

static void read_counters(void *context, struct metrics_worker *ret_counters)
{
    background_counters_read(context, ret_counters);
}

static enum status start_telling(struct background *background, struct error *err)
{
    const struct config *config = background->config;
    const struct cloudwatch_options options = {
        .namespace = config->metrics_cloudwatch,
        .dimensions = config->metrics_cloudwatch_dimensions.items,
        .dimension_count = config->metrics_cloudwatch_dimensions.count,
        .interval_ns = config->metrics_cloudwatch_interval_ns,
        .read = read_counters,
        .context = background,
    };
    if (!background->works || !*config->metrics_cloudwatch) return STATUS_OK;
    return fail_while(err, cloudwatch_new(&options, &background->cloudwatch, err),
                      "metrics.cloudwatch");
}

enum status background_start(struct background *background, struct error *err)
{
    struct data *data = background->app->data;
    TRY(start_telling(background, err));
    TRY(data_start(data, err));
    if (data_is_off(data)) return STATUS_OK;
    int problem = pthread_create(&background->thread, NULL, background_run, background);
    background->started = problem == 0;
    if (problem) return fail_errno(err, problem, "starting the background thread");
    return STATUS_OK;
}

static void read_courier(const struct courier_counters *courier, struct metrics_worker *counters)
{
    if (!courier) return;
    counters->callbacks_delivered = atomic_load(&courier->delivered);
    counters->callbacks_retried = atomic_load(&courier->retried);
    counters->callbacks_given_up = atomic_load(&courier->given_up);
}

void background_counters_read(struct background *background, struct metrics_worker *ret_counters)
{
    struct metrics_worker read = {0};
    (void)pthread_mutex_lock(&background->lock);
    if (background->shown) {
        const struct worker_counters *counters = worker_counters(background->shown);
        read = (struct metrics_worker){
            .leased = counter_get(&counters->leased),
            .lease_failures = counter_get(&counters->lease_failures),
            .extended = counter_get(&counters->extended),
            .replies_sent = counter_get(&counters->replied),
            .replies_refused = counter_get(&counters->replies_refused),
            .lost = counter_get(&counters->lost),
            .succeeded = counter_get(&counters->succeeded),
            .failed = counter_get(&counters->failed),
            .retried = counter_get(&counters->retried),
            .returned = counter_get(&counters->returned),
            .skipped = counter_get(&counters->skipped),
            .in_flight = counter_get(&counters->in_flight),
            .queues = counter_get(&counters->consumers),
        };
        read_courier(worker_courier_counters(background->shown), &read);
    }
    (void)pthread_mutex_unlock(&background->lock);
    *ret_counters = read;
}

static void join(struct background *background)
{
    if (!background->started || background->joined) return;
    atomic_store(&background->ending, true);
    (void)pthread_join(background->thread, NULL);
    background->joined = true;
}

void background_drain(struct background *background)
{
    if (!background) return;
    join(background);
    if (background->worker) worker_drain(background->worker);
}

bool background_wait(struct background *background, uint64_t timeout_ns)
{
    return !background || !background->worker || worker_wait(background->worker, timeout_ns);
}

void background_stop(struct background *background)
{
    join(background);
    cloudwatch_free(background->cloudwatch);
    background->cloudwatch = NULL;
    show(background, NULL);
    worker_stop(background->worker);
    background->worker = NULL;
}

void background_free(struct background *background)
{
    if (!background) return;
    (void)pthread_mutex_destroy(&background->lock);
    mem_free(background);
}
