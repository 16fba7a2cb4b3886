/* What is one per process: the newest plan, the thread that unloads, drain and statistics. */
#include "serve/core.h"

#include "base/clock.h"
#include "base/mem.h"
#include "serve/cache.h"

#include <malloc.h>
#include <sched.h>

/* --- unloading ------------------------------------------------------------------------------ */

void serve_dispose(struct serve *serve, struct model *model)
{
    pthread_mutex_lock(&serve->dispose_mutex);
    list_add_last(&serve->disposed, &model->dispose_link);
    pthread_cond_signal(&serve->dispose_work);
    pthread_mutex_unlock(&serve->dispose_mutex);
}

/* Under dispose_mutex, which is open while a model unloads. */
static void unload_all(struct serve *serve)
{
    struct list *link;
    bool unloaded = false;
    while ((link = list_take_first(&serve->disposed))) {
        pthread_mutex_unlock(&serve->dispose_mutex);
        model_free(CONTAINER_OF(link, struct model, dispose_link));
        unloaded = true;
        pthread_mutex_lock(&serve->dispose_mutex);
        serve->unload_count++;
    }
    if (!unloaded) return;
    pthread_mutex_unlock(&serve->dispose_mutex);
    malloc_trim(0); /* what the model had goes back to the system, not only to the allocator */
    pthread_mutex_lock(&serve->dispose_mutex);
}

static void *dispose_main(void *context)
{
    struct serve *serve = context;
    (void)pthread_setname_np(pthread_self(), "unload"); /* only a help in top */
    pthread_mutex_lock(&serve->dispose_mutex);
    for (;;) {
        unload_all(serve);
        if (!list_is_empty(&serve->disposed)) continue;
        if (serve->dispose_stopping) break;
        pthread_cond_wait(&serve->dispose_work, &serve->dispose_mutex);
    }
    pthread_mutex_unlock(&serve->dispose_mutex);
    return NULL;
}

/* --- life ----------------------------------------------------------------------------------- */

#define DEFAULT_OF(member, value)                                                                  \
    do {                                                                                           \
        if (options->member == 0) options->member = (value);                                       \
    } while (0)

static void fill_defaults(struct serve_options *options)
{
    DEFAULT_OF(poll_interval_ms, 15000);
    DEFAULT_OF(lane_count, 1);
    DEFAULT_OF(load_threads, 2);
    DEFAULT_OF(queue_size_max, 16384);
    DEFAULT_OF(bytes_in_flight_max, UINT64_C(1) << 30);
    DEFAULT_OF(load_size_max, UINT64_C(1) << 30);
    DEFAULT_OF(inline_cost_max_ns, 100 * NS_PER_US);
    DEFAULT_OF(inline_turn_max_ns, NS_PER_MS);
    DEFAULT_OF(inline_stall_max_ns, 10 * NS_PER_MS);
    DEFAULT_OF(placement_dwell_ns, NS_PER_S);
    DEFAULT_OF(execution_limit_ns, 60 * NS_PER_S);
}

static enum status check_options(const struct serve_options *options, struct error *err)
{
    if (options->lane_count > SERVE_LANES_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "%u lanes wanted, at most %d are possible",
                    options->lane_count, SERVE_LANES_MAX);
    if (options->repository_count > SERVE_REPOSITORIES_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "%zu model repositories given, at most %d are possible",
                    options->repository_count, SERVE_REPOSITORIES_MAX);
    return STATUS_OK;
}

enum status serve_core_new(const struct serve_options *options, struct serve **ret_serve,
                           struct error *err)
{
    TRY(check_options(options, err));
    struct serve *serve = MEM_NEW(struct serve);
    serve->options = *options;
    fill_defaults(&serve->options);
    serve->bytes_per_lane = serve->options.bytes_in_flight_max / serve->options.lane_count;
    pthread_mutex_init(&serve->mutex, NULL);
    pthread_mutex_init(&serve->dispose_mutex, NULL);
    pthread_cond_init(&serve->dispose_work, NULL);
    list_init(&serve->disposed);
    serve->plan = plan_new(NULL, 0, NULL, 0, serve->generation);
    if (serve->options.cache_size_max) serve->cache = cache_new(serve->options.cache_size_max);
    int problem = pthread_create(&serve->dispose_thread, NULL, dispose_main, serve);
    if (problem != 0) {
        plan_unref(serve->plan);
        cache_free(serve->cache);
        mem_free(serve);
        return fail_errno(err, problem, "starting a thread");
    }
    *ret_serve = serve;
    return STATUS_OK;
}

void serve_core_free(struct serve *serve)
{
    if (!serve) return;
    for (size_t i = 0; i < SERVE_LANES_MAX; i++) assert(!serve->lanes[i]);
    plan_unref(serve->plan);
    pthread_mutex_lock(&serve->dispose_mutex);
    serve->dispose_stopping = true;
    pthread_cond_signal(&serve->dispose_work);
    pthread_mutex_unlock(&serve->dispose_mutex);
    pthread_join(serve->dispose_thread, NULL);
    cache_free(serve->cache);
    pthread_cond_destroy(&serve->dispose_work);
    pthread_mutex_destroy(&serve->dispose_mutex);
    pthread_mutex_destroy(&serve->mutex);
    mem_free(serve);
}

/* --- plans ---------------------------------------------------------------------------------- */

void serve_publish(struct serve *serve, struct model **models, size_t model_count,
                   struct plan_unready *unready, size_t unready_count)
{
    pthread_mutex_lock(&serve->mutex);
    struct plan *old = serve->plan;
    serve->plan = plan_new(models, model_count, unready, unready_count, ++serve->generation);
    for (size_t i = 0; i < SERVE_LANES_MAX; i++) {
        if (!serve->lanes[i]) continue;
        plan_ref(serve->plan);
        lane_offer_plan(serve->lanes[i], serve->plan);
    }
    pthread_mutex_unlock(&serve->mutex);
    plan_unref(old);
}

struct plan *serve_plan(struct serve *serve)
{
    pthread_mutex_lock(&serve->mutex);
    struct plan *plan = serve->plan;
    plan_ref(plan);
    pthread_mutex_unlock(&serve->mutex);
    return plan;
}

/* --- drain ---------------------------------------------------------------------------------- */

void serve_drain(struct serve *serve)
{
    atomic_store(&serve->draining, true);
}

uint64_t serve_in_flight(struct serve *serve)
{
    uint64_t total = 0;
    pthread_mutex_lock(&serve->mutex);
    for (size_t i = 0; i < SERVE_LANES_MAX; i++)
        if (serve->lanes[i]) total += counter_get(&serve->lanes[i]->in_flight);
    pthread_mutex_unlock(&serve->mutex);
    return total;
}

bool serve_drain_wait(struct serve *serve, uint64_t grace_ns)
{
    serve_drain(serve);
    uint64_t start_ns = clock_monotonic_ns();
    const struct timespec pause = {0, 1000000};
    while (serve_in_flight(serve) > 0) {
        if (clock_monotonic_ns() - start_ns >= grace_ns) return false;
        (void)nanosleep(&pause, NULL); /* shorter is fine */
    }
    return true;
}

/* --- statistics ----------------------------------------------------------------------------- */

static void read_lanes(const struct serve *serve, const struct model *model, uint64_t now_ns,
                       struct serve_statistics_row *row)
{
    row->lane_count = model->lane_count;
    row->lanes = MEM_NEW_ARRAY(struct serve_lane_row, model->lane_count);
    for (uint32_t i = 0; i < model->lane_count; i++) {
        const struct serve_model *lane = &model->lanes[i];
        uint64_t since_ns = counter_get(&lane->running_since_ns);
        uint64_t running_ns = since_ns && now_ns > since_ns ? now_ns - since_ns : 0;
        row->lanes[i].runs_inline = counter_get(&lane->runs_inline) != 0;
        row->lanes[i].stalls = counter_get(&lane->stalls);
        row->lanes[i].stalled_ns = running_ns > serve->options.inline_stall_max_ns ? running_ns : 0;
    }
    row->runs_inline = row->lanes[0].runs_inline;
}

static void read_row(const struct serve *serve, struct model *model,
                     struct serve_statistics_row *row)
{
    uint64_t now_ns = clock_monotonic_ns(), limit_ns = serve->options.execution_limit_ns;
    memset(row, 0, sizeof *row);
    row->name = mem_copy_text(model->name);
    row->version = mem_copy_text(model->version_text);
    row->load_ns = model->load_ns;
    row->weight_bytes = engine_model_info(model->engine_model)->weight_bytes;
    if (now_ns > limit_ns) row->hung = runners_stuck(model->runners, now_ns - limit_ns);
    for (uint32_t i = 0; i < model->lane_count; i++)
        statistics_read(&row->values, model->lanes[i].statistics);
    read_lanes(serve, model, now_ns, row);
    row->values.waiting = runners_waiting(model->runners);
}

void serve_statistics_read(struct serve *serve, struct str name, struct str version,
                           struct serve_statistics *ret_statistics)
{
    struct plan *plan = serve_plan(serve);
    ret_statistics->rows = MEM_NEW_ARRAY(struct serve_statistics_row, plan->model_count);
    ret_statistics->count = 0;
    for (size_t i = 0; i < plan->model_count; i++) {
        struct model *model = plan->models[i];
        if (name.size && !str_equal(name, model->name_text)) continue;
        if (version.size && plan_parse_version(version) != model->version) continue;
        read_row(serve, model, &ret_statistics->rows[ret_statistics->count++]);
    }
    plan_unref(plan);
}

void serve_statistics_clear(struct serve_statistics *statistics)
{
    for (size_t i = 0; i < statistics->count; i++) {
        mem_free(statistics->rows[i].name);
        mem_free(statistics->rows[i].version);
        mem_free(statistics->rows[i].lanes);
        statistics_snapshot_clear(&statistics->rows[i].values);
    }
    mem_free(statistics->rows);
    memset(statistics, 0, sizeof *statistics);
}

void serve_totals_read(struct serve *serve, struct serve_totals *ret_totals)
{
    struct serve_totals totals = {.load_success = atomic_load(&serve->load_success),
                                  .load_failure = atomic_load(&serve->load_failure)};
    pthread_mutex_lock(&serve->dispose_mutex);
    totals.unload_count = serve->unload_count;
    pthread_mutex_unlock(&serve->dispose_mutex);
    pthread_mutex_lock(&serve->mutex);
    for (size_t i = 0; i < SERVE_LANES_MAX; i++)
        if (serve->lanes[i]) totals.bytes_in_flight += counter_get(&serve->lanes[i]->bytes);
    pthread_mutex_unlock(&serve->mutex);
    if (serve->cache) {
        struct cache_totals cache;
        cache_read_totals(serve->cache, &cache);
        totals.cache_bytes = cache.bytes;
        totals.cache_entries = cache.entries;
        totals.cache_hits = cache.hits;
        totals.cache_misses = cache.misses;
        totals.cache_evictions = cache.evictions;
    }
    *ret_totals = totals;
}
