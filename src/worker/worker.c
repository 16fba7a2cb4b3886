/* The worker's thread, its tick, and the queues it leases from. */
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "worker/parts.h"

#include <errno.h>

enum {
    IN_FLIGHT_DEFAULT = 256,
    LEASE_DEFAULT = 64,
    RECEIVES_DEFAULT = 5, /* of a queue that is created here */
    DISCOVERY_MEMORY_MAX = 64 * 1024 * 1024,
    DISCOVERY_PAGE = 1000,
    VISIBILITY_S_WANTED = 10,
};

bool worker_pattern_fits(struct str pattern, struct str name)
{
    /* The last star and what it stood for: the only place to go back to. */
    size_t at = 0, in = 0, star = SIZE_MAX, after = 0;
    while (in < name.size) {
        if (at < pattern.size && pattern.data[at] == '*') {
            star = at++;
            after = in;
        } else if (at < pattern.size &&
                   (pattern.data[at] == '?' || pattern.data[at] == name.data[in])) {
            at++;
            in++;
        } else if (star != SIZE_MAX) {
            at = star + 1;
            in = ++after;
        } else {
            return false;
        }
    }
    while (at < pattern.size && pattern.data[at] == '*') at++;
    return at == pattern.size;
}

/* --- the end ---------------------------------------------------------------------------------- */

static void check_drained(struct worker *worker)
{
    if (!worker->draining || worker->pending > 0) return;
    LIST_EACH(link, &worker->consumers)
    if (!consumer_is_idle(CONTAINER_OF(link, struct consumer, link))) return;
    (void)pthread_mutex_lock(&worker->lock);
    worker->drained = true;
    (void)pthread_cond_signal(&worker->changed);
    (void)pthread_mutex_unlock(&worker->lock);
}

void worker_begin_call(struct worker *worker)
{
    worker->pending++;
}

void worker_end_call(struct worker *worker)
{
    assert(worker->pending > 0);
    worker->pending--;
    worker->advanced = true;
}

/* --- consumers -------------------------------------------------------------------------------- */

/* What is said of this queue by "QUEUE=VALUE"; NULL if nothing is. */
static char *value_for(const char *const *list, size_t count, struct str queue)
{
    for (size_t i = 0; i < count; i++) {
        struct str rest = str_of(list[i]);
        struct str name = str_cut(&rest, '=');
        if (rest.data && worker_pattern_fits(name, queue)) return str_copy(rest);
    }
    return NULL;
}

static struct consumer *consumer_find(struct worker *worker, struct queue_store *queues,
                                      struct str name)
{
    LIST_EACH(link, &worker->consumers)
    {
        struct consumer *consumer = CONTAINER_OF(link, struct consumer, link);
        if (consumer->queues == queues && str_equal(str_of(consumer->name), name)) return consumer;
    }
    return NULL;
}

static struct consumer *consumer_add(struct worker *worker, struct queue_store *queues,
                                     struct str name)
{
    if (worker->consumer_count == WORKER_CONSUMERS_MAX) return NULL;
    struct consumer *consumer = consumer_new(worker, queues, name);
    const struct worker_options *options = &worker->options;
    consumer->model = value_for(options->models, options->model_count, name);
    consumer->reply_to = value_for(options->reply_to, options->reply_to_count, name);
    list_add_last(&worker->consumers, &consumer->link);
    worker->consumer_count++;
    log_info("leasing from queue", LOG_STR("queue", name),
             LOG_TEXT("kind", queue_store_kind(queues)));
    return consumer;
}

static bool is_foreign(const char *consume)
{
    return str_starts_with(str_of(consume), STR(WORKER_SQS));
}

static bool is_own(struct str name)
{
    return str_equal(name, STR(JOBS_QUEUE)) || str_equal(name, STR(JOBS_QUEUE_FIFO));
}

static bool is_wanted(const struct worker *worker, struct str name)
{
    if (is_own(name)) return true;
    if (str_starts_with(name, STR(JOBS_RESERVED))) return false;
    for (size_t i = 0; i < worker->options.consume_count; i++)
        if (!is_foreign(worker->options.consume[i]) &&
            worker_pattern_fits(str_of(worker->options.consume[i]), name))
            return true;
    return false;
}

/* All queues there are, page by page. */
struct discovery {
    struct worker *worker;
    struct queue_description *queues;
    size_t count;
    struct arena arena;
    struct queue_call call;
    struct mail mail;
    enum status status;
};

static bool is_dead_letter(const struct discovery *discovery, struct str name)
{
    for (size_t i = 0; i < discovery->count; i++)
        if (str_equal(str_of(discovery->queues[i].settings.dead_letter), name)) return true;
    return false;
}

static void consumer_notice(struct worker *worker, const struct queue_description *queue)
{
    struct queue_store *queues = worker->jobs->queues;
    struct consumer *consumer = consumer_find(worker, queues, queue->name);
    if (!consumer) consumer = consumer_add(worker, queues, queue->name);
    if (!consumer) return;
    consumer->seen = true;
    consumer->gone = false;
    consumer_configure(consumer, &queue->settings);
}

static void notice_all(struct worker *worker, const struct discovery *discovery)
{
    LIST_EACH(link, &worker->consumers)
    CONTAINER_OF(link, struct consumer, link)->seen = false;
    for (size_t i = 0; i < discovery->count; i++) {
        const struct queue_description *queue = &discovery->queues[i];
        if (is_wanted(worker, queue->name) && !is_dead_letter(discovery, queue->name))
            consumer_notice(worker, queue);
    }
    LIST_EACH(link, &worker->consumers)
    {
        struct consumer *consumer = CONTAINER_OF(link, struct consumer, link);
        if (consumer->seen || consumer->is_foreign) continue;
        consumer->gone = true;
        if (consumer->leasing) queue_cancel_wait(consumer->queues, &consumer->leasing->call);
    }
}

static void discovered(struct queue_call *call, enum status status, const struct error *err UNUSED)
{
    struct discovery *discovery = call->context;
    discovery->status = status;
    loop_post(discovery->worker->loop, &discovery->mail);
}

static void ask_for_page(struct discovery *discovery, struct str after)
{
    struct error err;
    discovery->call = (struct queue_call){
        .operation = QUEUE_LIST,
        .arena = &discovery->arena,
        .done = discovered,
        .context = discovery,
        .page = {.count_max = DISCOVERY_PAGE, .after = after},
    };
    if (queue_submit(discovery->worker->jobs->queues, &discovery->call, &err) == STATUS_OK) return;
    discovery->status = err.status;
    log_warning("queues cannot be listed", LOG_TEXT("error", err.message));
    loop_post(discovery->worker->loop, &discovery->mail);
}

static void add_page(struct discovery *discovery)
{
    const struct queue_page *page = &discovery->call.page;
    size_t count = discovery->count + page->count;
    discovery->queues = mem_resize(discovery->queues, (count + 1) * sizeof *discovery->queues);
    for (size_t i = 0; i < page->count; i++)
        discovery->queues[discovery->count++] = page->queues[i];
}

static void receive_discovery(struct mail *mail)
{
    struct discovery *discovery = CONTAINER_OF(mail, struct discovery, mail);
    struct worker *worker = discovery->worker;
    if (discovery->status == STATUS_OK) {
        add_page(discovery);
        if (discovery->call.page.more && discovery->call.page.count > 0) {
            ask_for_page(discovery, discovery->queues[discovery->count - 1].name);
            return;
        }
    }
    worker->discovering = false;
    if (discovery->status == STATUS_OK && !worker->draining) notice_all(worker, discovery);
    arena_clear(&discovery->arena);
    mem_free(discovery->queues);
    mem_free(discovery);
    worker_end_call(worker);
}

static void discover(struct worker *worker)
{
    struct discovery *discovery = MEM_NEW(struct discovery);
    discovery->worker = worker;
    discovery->mail.receive = receive_discovery;
    arena_init(&discovery->arena, DISCOVERY_MEMORY_MAX);
    worker->discovering = true;
    worker_begin_call(worker);
    ask_for_page(discovery, STR_EMPTY);
}

/* --- turns ------------------------------------------------------------------------------------ */

static void reap(struct worker *worker)
{
    LIST_EACH_SAFE(link, &worker->consumers)
    {
        struct consumer *consumer = CONTAINER_OF(link, struct consumer, link);
        consumer_reap(consumer);
        consumer_lease(consumer);
        if (!consumer->gone || !consumer_is_idle(consumer)) continue;
        list_remove(&consumer->link);
        worker->consumer_count--;
        consumer_free(consumer);
    }
    counter_set(&worker->counters.consumers, worker->consumer_count);
}

/* At the end of a turn in which something moved: what is finished goes, what has room leases. */
static void after_turn(void *context)
{
    struct worker *worker = context;
    if (!worker->advanced) return;
    worker->advanced = false;
    reap(worker);
    check_drained(worker);
}

static void on_tick(struct loop_timer *timer)
{
    struct worker *worker = CONTAINER_OF(timer, struct worker, tick);
    uint64_t now_ns = loop_now_ns(worker->loop);
    if (!worker->ready) worker->ready = serve_wait_started(worker->options.serve, 0);
    LIST_EACH(link, &worker->consumers)
    consumer_tick(CONTAINER_OF(link, struct consumer, link));
    if (worker->ready && !worker->discovering && !worker->draining && worker->jobs->queues &&
        now_ns >= worker->discovery_ns) {
        worker->discovery_ns = now_ns + DISCOVERY_MS * NS_PER_MS;
        discover(worker);
    }
    bool started = loop_timer_start(worker->loop, timer, now_ns + TICK_MS * NS_PER_MS);
    assert(started); /* the only timers of this loop are serve's and this one */
}

static void *thread_run(void *context)
{
    struct worker *worker = context;
    (void)pthread_setname_np(pthread_self(), "worker"); /* only for people who look at threads */
    loop_run(worker->loop);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

static bool is_plain(struct str name)
{
    return str_find(name, '*') == SIZE_MAX && str_find(name, '?') == SIZE_MAX;
}

static enum status create_queues(const struct worker_options *options, struct error *err)
{
    if (options->consume_count > WORKER_PATTERNS_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "%zu names of queues to lease from: at most %d",
                    options->consume_count, WORKER_PATTERNS_MAX);
    if (!options->jobs->queues) return STATUS_OK;
    TRY(jobs_prepare(options->jobs, err));
    for (size_t i = 0; i < options->consume_count; i++) {
        struct str name = str_of(options->consume[i]);
        if (name.size > 0 && is_plain(name) && !is_foreign(options->consume[i]))
            TRY(jobs_create_queue(options->jobs, name, RECEIVES_DEFAULT, err));
    }
    return STATUS_OK;
}

/* What a queue that somebody else has made lacks. */
static void warn_of_settings(struct str name, const struct queue_settings *settings)
{
    if (settings->max_receive_count == 0)
        log_warning("the queue has no redrive policy: messages that fail for good are deleted, "
                    "their records stay",
                    LOG_STR("queue", name));
    if (settings->visibility_s < VISIBILITY_S_WANTED)
        log_warning("the queue's visibility time-out is short: messages of a worker that stalls "
                    "for a moment are run again",
                    LOG_STR("queue", name), LOG_U64("seconds", settings->visibility_s));
}

static enum status add_foreign(struct worker *worker, struct str name, struct error *err)
{
    struct queue_store *sqs = worker->options.sqs;
    struct arena arena;
    arena_init(&arena, DESCRIPTION_MEMORY_MAX);
    struct queue_call call = {.operation = QUEUE_DESCRIBE, .queue = name, .arena = &arena};
    enum status status = queue_run(sqs, &call, err);
    if (status == STATUS_OK && !consumer_find(worker, sqs, name)) {
        struct consumer *consumer = consumer_add(worker, sqs, name);
        if (consumer)
            consumer_configure(consumer, &call.description.settings);
        else
            status = fail(err, STATUS_EXHAUSTED, "more than %d queues", WORKER_CONSUMERS_MAX);
        if (consumer) warn_of_settings(name, &call.description.settings);
    }
    arena_clear(&arena);
    return fail_while(err, status, "queue '" WORKER_SQS "%.*s'", STR_ARGS(name));
}

/* Asked before the worker starts: a queue that is not there, or that this key may not read, is
 * somebody's mistake. */
static enum status add_all_foreign(struct worker *worker, struct error *err)
{
    const struct worker_options *options = &worker->options;
    for (size_t i = 0; options->sqs && i < options->consume_count; i++)
        if (is_foreign(options->consume[i]))
            TRY(add_foreign(worker, str_from(str_of(options->consume[i]), strlen(WORKER_SQS)),
                            err));
    return STATUS_OK;
}

static void worker_free(struct worker *worker)
{
    LIST_EACH_SAFE(link, &worker->consumers)
    consumer_free(CONTAINER_OF(link, struct consumer, link));
    courier_stop(worker->courier);
    if (worker->lane) serve_lane_free(worker->lane);
    loop_free(worker->loop);
    (void)pthread_cond_destroy(&worker->changed);
    (void)pthread_mutex_destroy(&worker->lock);
    mem_free(worker);
}

static struct worker *worker_new(const struct worker_options *options)
{
    struct worker *worker = MEM_NEW(struct worker);
    pthread_condattr_t attributes;
    worker->options = *options;
    worker->jobs = options->jobs;
    if (!worker->options.in_flight_max) worker->options.in_flight_max = IN_FLIGHT_DEFAULT;
    if (!worker->options.lease_max) worker->options.lease_max = LEASE_DEFAULT;
    assert(worker->options.in_flight_max <= WORKER_IN_FLIGHT_MAX);
    list_init(&worker->consumers);
    prng_seed(&worker->prng, prng_seed_from_system());
    (void)pthread_mutex_init(&worker->lock, NULL); /* these cannot fail on Linux */
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&worker->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return worker;
}

static enum status start(struct worker *worker, struct error *err)
{
    TRY(create_queues(&worker->options, err));
    TRY(add_all_foreign(worker, err));
    if (worker->jobs->options.callback_rules && worker->jobs->queues)
        TRY(courier_start(worker->jobs, &worker->courier, err));
    TRY(loop_new(&(struct loop_options){0}, &worker->loop, err));
    worker->lane = serve_lane_new(worker->options.serve, worker->loop);
    loop_hook_add(worker->loop, LOOP_PHASE_CLEANUP, after_turn, worker);
    worker->tick.on_time = on_tick;
    bool ticks = loop_timer_start(worker->loop, &worker->tick, loop_now_ns(worker->loop));
    assert(ticks);
    int problem = pthread_create(&worker->thread, NULL, thread_run, worker);
    if (problem) return fail_errno(err, problem, "starting the worker's thread");
    worker->thread_started = true;
    return STATUS_OK;
}

enum status worker_start(const struct worker_options *options, struct worker **ret_worker,
                         struct error *err)
{
    struct worker *worker = worker_new(options);
    enum status status = start(worker, err);
    if (status != STATUS_OK) {
        worker_free(worker);
        return status;
    }
    *ret_worker = worker;
    return STATUS_OK;
}

static void receive_drain(struct mail *mail)
{
    struct worker *worker = CONTAINER_OF(mail, struct worker, drain_mail);
    worker->draining = true;
    worker->advanced = true;
    LIST_EACH(link, &worker->consumers)
    {
        struct consumer *consumer = CONTAINER_OF(link, struct consumer, link);
        if (consumer->leasing) queue_cancel_wait(consumer->queues, &consumer->leasing->call);
    }
}

void worker_drain(struct worker *worker)
{
    if (worker->courier) courier_drain(worker->courier);
    worker->drain_mail.receive = receive_drain;
    loop_post(worker->loop, &worker->drain_mail);
}

bool worker_wait(struct worker *worker, uint64_t timeout_ns)
{
    uint64_t end = clock_monotonic_ns() + timeout_ns;
    struct timespec until = {(time_t)(end / NS_PER_S), (long)(end % NS_PER_S)};
    (void)pthread_mutex_lock(&worker->lock);
    while (!worker->drained)
        if (pthread_cond_timedwait(&worker->changed, &worker->lock, &until) == ETIMEDOUT) break;
    bool drained = worker->drained;
    (void)pthread_mutex_unlock(&worker->lock);
    return drained;
}

void worker_stop(struct worker *worker)
{
    if (!worker) return;
    loop_stop(worker->loop);
    if (worker->thread_started) (void)pthread_join(worker->thread, NULL);
    worker_free(worker);
}

const struct worker_counters *worker_counters(const struct worker *worker)
{
    return &worker->counters;
}

const struct courier_counters *worker_courier_counters(const struct worker *worker)
{
    return worker->courier ? courier_counters(worker->courier) : NULL;
}
