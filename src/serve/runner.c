/* Threads that run the engine for calls that lanes handed over. */
#include "serve/runner.h"

#include "base/clock.h"
#include "base/mem.h"
#include "serve/lane.h"

#include <pthread.h>

struct runner {
    struct runners *runners;
    pthread_t thread;
    struct engine_instance *instance;
    struct execute_memory memory;
    _Atomic uint64_t busy_since_ns; /* 0: idle */
};

struct runners {
    struct model *model;
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct batch_queue queue; /* under the mutex, as all below */
    uint32_t idle;
    bool stopping;
    uint32_t started;
    uint32_t count;
    struct runner runner[];
};

/* --- parts ---------------------------------------------------------------------------------- */

void runner_part_release(struct runner_part *part)
{
    struct runner_batch *batch = part->batch;
    if (atomic_fetch_sub_explicit(&batch->parts_left, 1, memory_order_acq_rel) != 1) return;
    if (batch->status == STATUS_OK) engine_result_release(&batch->result);
    mem_free(batch);
}

static struct serve_call *call_of(struct list *link)
{
    return CONTAINER_OF(link, struct serve_call, item.link);
}

static struct runner_part *part_of(struct runner_batch *batch, struct serve_lane *lane)
{
    for (uint32_t i = 0; i < batch->part_count; i++)
        if (batch->parts[i].lane == lane) return &batch->parts[i];
    struct runner_part *part = &batch->parts[batch->part_count++];
    part->batch = batch;
    part->lane = lane;
    part->first = batch->part_count == 1;
    list_init(&part->calls);
    return part;
}

static struct runner_batch *batch_new(struct runners *runners, uint32_t count)
{
    uint32_t parts = MIN(count, runners->model->lane_count);
    struct runner_batch *batch = mem_new(sizeof *batch + parts * sizeof(struct runner_part));
    batch->model = runners->model;
    batch->status = STATUS_OK;
    batch->expired = false;
    batch->count = count;
    batch->part_count = 0;
    return batch;
}

/* Sends the calls home, each to its lane. The batch is the lanes' from here on. */
static void batch_post(struct runner_batch *batch, struct list *calls)
{
    LIST_EACH_SAFE(link, calls)
    {
        list_remove(link);
        list_add_last(&part_of(batch, call_of(link)->lane)->calls, link);
    }
    uint32_t parts = batch->part_count;
    assert(parts > 0);
    atomic_init(&batch->parts_left, parts);
    struct runner_part *part = batch->parts;
    for (uint32_t i = 0; i < parts; i++) {
        part[i].mail.receive = lane_receive_part;
        loop_post(part[i].lane->loop, &part[i].mail);
    }
}

/* --- running -------------------------------------------------------------------------------- */

static struct runner_batch *execute(struct runner *runner, struct list *calls, int64_t rows,
                                    uint32_t count)
{
    struct runners *runners = runner->runners;
    struct runner_batch *batch = batch_new(runners, count);
    batch->rows = rows;
    batch->start_ns = clock_monotonic_ns();
    atomic_store_explicit(&runner->busy_since_ns, batch->start_ns, memory_order_relaxed);
    batch->status = execute_calls(&runners->model->plan, runner->instance, calls, rows,
                                  &runner->memory, &batch->result, &batch->error);
    batch->end_ns = clock_monotonic_ns();
    atomic_store_explicit(&runner->busy_since_ns, 0, memory_order_relaxed);
    batch->gathered_ns = runner->memory.gathered_ns ? runner->memory.gathered_ns : batch->start_ns;
    return batch;
}

/* One poisoned row must not fail its neighbours: each call once more, alone. */
static void execute_one_by_one(struct runner *runner, struct list *calls)
{
    struct list *link;
    while ((link = list_take_first(calls))) {
        struct list alone;
        list_init(&alone);
        list_add_last(&alone, link);
        batch_post(execute(runner, &alone, call_of(link)->item.rows, 1), &alone);
    }
}

static void run_batch(struct runner *runner, struct batch_taken *taken)
{
    struct runner_batch *batch = execute(runner, &taken->items, taken->rows, taken->count);
    if (batch->status != STATUS_INVALID_ARGUMENT || taken->count == 1) {
        batch_post(batch, &taken->items);
        return;
    }
    mem_free(batch);
    execute_one_by_one(runner, &taken->items);
}

static void post_expired(struct runners *runners, struct list *expired)
{
    uint32_t count = 0;
    LIST_EACH(link, expired) count += link != NULL;
    struct runner_batch *batch = batch_new(runners, count);
    batch->expired = true;
    batch->status = fail(&batch->error, STATUS_UNAVAILABLE, "Request timeout expired");
    batch_post(batch, expired);
}

static void mark_running(struct list *calls)
{
    LIST_EACH(link, calls) call_of(link)->state = SERVE_CALL_RUNNING;
}

/* Under the mutex. */
static void wait_for_work(struct runners *runners, uint64_t wake_ns)
{
    runners->idle++;
    if (wake_ns == UINT64_MAX) {
        pthread_cond_wait(&runners->work, &runners->mutex);
    } else {
        struct timespec until = {(time_t)(wake_ns / NS_PER_S), (long)(wake_ns % NS_PER_S)};
        (void)pthread_cond_timedwait(&runners->work, &runners->mutex, &until); /* late or not */
    }
    runners->idle--;
}

/* Under the mutex, which is open while the engine runs. */
static void run_once(struct runner *runner)
{
    struct runners *runners = runner->runners;
    struct batch_taken taken;
    batch_queue_take(&runners->queue, clock_monotonic_ns(), &taken);
    mark_running(&taken.items);
    mark_running(&taken.expired);
    if (taken.count == 0 && list_is_empty(&taken.expired)) {
        wait_for_work(runners, taken.wake_ns);
        return;
    }
    /* Lanes wake one runner; if there is more to do, the next is ours to wake. */
    if (runners->queue.count > 0 && runners->idle > 0) pthread_cond_signal(&runners->work);
    pthread_mutex_unlock(&runners->mutex);
    if (!list_is_empty(&taken.expired)) post_expired(runners, &taken.expired);
    if (taken.count > 0) run_batch(runner, &taken);
    pthread_mutex_lock(&runners->mutex);
}

static void *runner_main(void *context)
{
    struct runner *runner = context;
    struct runners *runners = runner->runners;
    (void)pthread_setname_np(pthread_self(), "runner"); /* only a help in top */
    pthread_mutex_lock(&runners->mutex);
    while (!runners->stopping) run_once(runner);
    pthread_mutex_unlock(&runners->mutex);
    return NULL;
}

/* --- life ----------------------------------------------------------------------------------- */

enum status runners_new(struct model *model, uint32_t count, struct runners **ret_runners,
                        struct error *err)
{
    assert(count >= 1 && count <= MODEL_INSTANCES_MAX);
    struct runners *runners = mem_new_zeroed(1, sizeof *runners + count * sizeof(struct runner));
    runners->model = model;
    runners->count = count;
    pthread_mutex_init(&runners->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&runners->work, &attributes);
    pthread_condattr_destroy(&attributes);
    batch_queue_init(&runners->queue, &model->settings.policy);
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        runners->runner[i].runners = runners;
        execute_memory_init(&runners->runner[i].memory);
        status = engine_instance_new(model->engine_model, &runners->runner[i].instance, err);
    }
    if (status == STATUS_OK)
        *ret_runners = runners;
    else
        runners_free(runners);
    return status;
}

void runners_free(struct runners *runners)
{
    if (!runners) return;
    assert(runners->queue.count == 0);
    pthread_mutex_lock(&runners->mutex);
    runners->stopping = true;
    pthread_cond_broadcast(&runners->work);
    pthread_mutex_unlock(&runners->mutex);
    for (uint32_t i = 0; i < runners->started; i++) pthread_join(runners->runner[i].thread, NULL);
    for (uint32_t i = 0; i < runners->count; i++) {
        engine_instance_free(runners->runner[i].instance);
        execute_memory_clear(&runners->runner[i].memory);
    }
    pthread_cond_destroy(&runners->work);
    pthread_mutex_destroy(&runners->mutex);
    mem_free(runners);
}

/* Under the mutex. Fewer threads than instances will do. */
static enum status start_threads(struct runners *runners, struct error *err)
{
    while (runners->started < runners->count) {
        struct runner *runner = &runners->runner[runners->started];
        int problem = pthread_create(&runner->thread, NULL, runner_main, runner);
        if (problem != 0 && runners->started > 0) return STATUS_OK;
        if (problem != 0)
            return fail_errno(err, problem, "starting a thread for model '%s'",
                              runners->model->name);
        runners->started++;
    }
    return STATUS_OK;
}

static void queue_calls(struct runners *runners, struct list *calls, uint64_t now_ns)
{
    LIST_EACH_SAFE(link, calls)
    {
        struct serve_call *call = call_of(link);
        list_remove(link);
        if (batch_queue_add(&runners->queue, &call->item, now_ns))
            call->state = SERVE_CALL_QUEUED;
        else
            list_add_before(link_next, link);
    }
}

enum status runners_add(struct runners *runners, struct list *calls, uint64_t now_ns,
                        struct error *err)
{
    pthread_mutex_lock(&runners->mutex);
    enum status status = STATUS_OK;
    if (UNLIKELY(runners->started < runners->count)) status = start_threads(runners, err);
    if (status == STATUS_OK) {
        queue_calls(runners, calls, now_ns);
        if (runners->idle > 0) pthread_cond_signal(&runners->work);
    }
    pthread_mutex_unlock(&runners->mutex);
    return status;
}

bool runners_remove(struct runners *runners, struct serve_call *call)
{
    pthread_mutex_lock(&runners->mutex);
    bool waiting = call->state == SERVE_CALL_QUEUED;
    if (waiting) {
        batch_queue_remove(&runners->queue, &call->item);
        call->state = SERVE_CALL_IDLE;
    }
    pthread_mutex_unlock(&runners->mutex);
    return waiting;
}

bool runners_has_waiting(struct runners *runners, const struct serve_call *call)
{
    pthread_mutex_lock(&runners->mutex);
    bool waiting = call->state == SERVE_CALL_QUEUED;
    pthread_mutex_unlock(&runners->mutex);
    return waiting;
}

uint32_t runners_stuck(const struct runners *runners, uint64_t since_ns)
{
    uint32_t stuck = 0;
    for (uint32_t i = 0; runners && i < runners->count; i++) {
        uint64_t busy_ns =
            atomic_load_explicit(&runners->runner[i].busy_since_ns, memory_order_relaxed);
        stuck += busy_ns != 0 && busy_ns < since_ns;
    }
    return stuck;
}

uint32_t runners_waiting(struct runners *runners)
{
    if (!runners) return 0;
    pthread_mutex_lock(&runners->mutex);
    uint32_t count = runners->queue.count;
    pthread_mutex_unlock(&runners->mutex);
    return count;
}

struct engine_instance *runners_instance(struct runners *runners, uint32_t index)
{
    assert(index < runners->count && runners->started == 0);
    return runners->runner[index].instance;
}

uint32_t runners_count(const struct runners *runners)
{
    return runners ? runners->count : 0;
}
