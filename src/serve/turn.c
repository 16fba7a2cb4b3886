/* The RUN phase: batches of what waits, run here or handed over; and what comes back. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/cache.h"
#include "serve/core.h"

enum { SINGLES_MAX = 16 }; /* engine calls between two looks at the clock */

static struct serve_call *call_of(struct list *link)
{
    return CONTAINER_OF(link, struct serve_call, item.link);
}

/* --- answering ------------------------------------------------------------------------------ */

/* An engine call that is over, as its calls see it. */
struct outcome {
    enum status status;
    const struct error *error;
    const struct engine_result *result;
    int64_t rows;
    uint64_t start_ns;
    uint64_t end_ns;
};

/* True if the call's part of the answer was given; false if it is parked, its link free. */
static bool deliver(struct serve_lane *lane, struct serve_call *call, enum status status,
                    const struct error *err)
{
    if (call->answered) return true;
    if (!order_may_answer(call)) {
        order_park(call, status, err);
        return false;
    }
    lane_answer(lane, call, status, err);
    return true;
}

/* Of a model that caches or keeps the order. What `call` got, its followers get, also if it has
 * been answered otherwise in the meantime. */
static bool answer_special(struct serve_lane *lane, struct serve_call *call,
                           const struct outcome *outcome)
{
    struct flight *flight = flight_land(lane, call);
    if (outcome->status == STATUS_OK && (flight || !call->answered)) {
        execute_view(&call->model->model->plan, outcome->result, outcome->rows, call, &lane->views);
        if (call->cache_key) cache_store(lane->serve->cache, call);
    }
    const struct flight_answer shown = {.status = outcome->status,
                                        .outputs = call->outputs,
                                        .output_count = call->output_count,
                                        .batch_rows = outcome->rows,
                                        .start_ns = outcome->start_ns,
                                        .end_ns = outcome->end_ns};
    bool given = deliver(lane, call, outcome->status, outcome->error);
    flight_answer(lane, flight, &shown);
    return given;
}

/* False if the call is parked: it comes back by itself. */
static bool answer(struct serve_lane *lane, struct serve_call *call, const struct outcome *outcome)
{
    const struct model *model = call->model->model;
    call->times.compute_start_ns = outcome->start_ns;
    call->times.compute_end_ns = outcome->end_ns;
    call->batch_rows = outcome->rows;
    if (UNLIKELY(call->special)) return answer_special(lane, call, outcome);
    if (call->answered) return true;
    if (UNLIKELY(outcome->status != STATUS_OK)) {
        lane_answer(lane, call, outcome->status, outcome->error);
        return true;
    }
    execute_view(&model->plan, outcome->result, outcome->rows, call, &lane->views);
    lane_answer(lane, call, STATUS_OK, NULL);
    return true;
}

/* --- results that stay ---------------------------------------------------------------------- */

struct serve_outputs {
    struct serve_lane *lane;
    struct serve_model *model;   /* held: loaded as long as its results are there */
    struct engine_result result; /* if part is NULL */
    struct runner_part *part;
    uint32_t references; /* the lane's own while answers are given, and each holder's */
};

struct serve_outputs *serve_outputs_hold(struct serve_call *call)
{
    struct serve_lane *lane = call->lane;
    if (call->cached) return NULL;
    if (UNLIKELY(call->special) && call->parked) {
        struct serve_outputs *held = order_outputs(call);
        held->references++;
        return held;
    }
    assert(lane->shown && call->outputs);
    if (!lane->held) {
        lane->held = MEM_NEW(struct serve_outputs);
        *lane->held = (struct serve_outputs){.lane = lane, .model = call->model, .references = 1};
        serve_model_hold(call->model);
        lane->held_count++;
    }
    lane->held->references++;
    return lane->held;
}

void serve_outputs_release(struct serve_outputs *outputs)
{
    assert(outputs->references > 0);
    if (--outputs->references > 0) return;
    if (outputs->part)
        runner_part_release(outputs->part);
    else
        engine_result_release(&outputs->result);
    outputs->lane->held_count--;
    serve_model_release(outputs->model);
    mem_free(outputs);
}

static void show_result(struct serve_lane *lane, const struct engine_result *result)
{
    assert(!lane->held);
    lane->shown = result;
}

/* All answers are given: the result goes, or belongs to those who hold it. `part`: NULL for one
 * that ran inline. */
static void end_result(struct serve_lane *lane, const struct outcome *outcome,
                       struct engine_result *result, struct runner_part *part)
{
    struct serve_outputs *held = TAKE(lane->held);
    lane->shown = NULL;
    if (held) {
        held->part = part;
        if (!part) held->result = *result;
        serve_outputs_release(held);
    } else if (part) {
        runner_part_release(part);
    } else if (outcome->status == STATUS_OK) {
        engine_result_release(result);
    }
}

/* Answered without a run of its own: by the cache, or with the call that it followed. */
static void count_shared(const struct serve_call *call, uint64_t total_ns)
{
    struct statistics *statistics = call->model->statistics;
    statistics_duration_add(&statistics->cache_hit, 1, total_ns);
    statistics_duration_add(&statistics->success, 1, total_ns);
    histogram_add(&statistics->total_time, total_ns, 1);
}

/* `done_ns`: after the last answer was encoded. */
void lane_count(const struct serve_call *call, uint64_t calls, enum status status, uint64_t done_ns)
{
    struct statistics *statistics = call->model->statistics;
    uint64_t total_ns = done_ns - call->times.received_ns;
    if (UNLIKELY(call->counted)) return;
    if (UNLIKELY(status != STATUS_OK)) {
        for (uint64_t i = 0; i < calls; i++) statistics_add_failure(statistics, total_ns);
        return;
    }
    if (UNLIKELY(call->special) && call->shares) {
        count_shared(call, total_ns);
        return;
    }
    uint64_t start_ns = MAX(call->times.compute_start_ns, call->times.queued_ns);
    statistics_add_success(statistics, calls, start_ns - call->times.queued_ns, total_ns);
    if (UNLIKELY(call->cache_key))
        statistics_duration_add(&statistics->cache_miss, calls, calls * total_ns);
}

static bool counts_like(const struct serve_call *call, const struct serve_call *other)
{
    return call->times.received_ns == other->times.received_ns &&
           call->times.queued_ns == other->times.queued_ns && !call->cache_key == !other->cache_key;
}

/* Most calls of a batch came in the same turn: neighbours that are alike are counted at once. */
static void count_all(struct list *calls, enum status status, uint64_t done_ns)
{
    const struct serve_call *first = NULL;
    uint64_t count = 0;
    LIST_EACH(link, calls)
    {
        const struct serve_call *call = call_of(link);
        if (UNLIKELY(call->counted)) continue;
        if (LIKELY(first && counts_like(call, first))) {
            count++;
            continue;
        }
        if (first) lane_count(first, count, status, done_ns);
        first = call;
        count = 1;
    }
    if (first) lane_count(first, count, status, done_ns);
}

static void answer_all(struct serve_lane *lane, struct list *calls, const struct outcome *outcome)
{
    LIST_EACH_SAFE(link, calls) answer(lane, call_of(link), outcome); /* takes out what it parks */
}

static void let_all_go(struct serve_lane *lane, struct list *calls, enum status status,
                       uint64_t done_ns)
{
    struct list *link;
    count_all(calls, status, done_ns);
    while ((link = list_take_first(calls))) lane_let_go(lane, call_of(link));
}

static void reject_all(struct serve_lane *lane, struct list *calls, enum status status,
                       enum statistics_rejection reason, const char *message)
{
    struct list *link;
    while ((link = list_take_first(calls))) {
        lane_reject(lane, call_of(link), status, reason, message);
        lane_let_go(lane, call_of(link));
    }
}

/* --- where it runs -------------------------------------------------------------------------- */

static void log_stall(const struct serve_lane *lane, const struct serve_model *model,
                      const char *what, uint64_t took_ns)
{
    log_warning(what, LOG_TEXT("model", model->model->name),
                LOG_TEXT("version", model->model->version_text), LOG_U64("thread", lane->index),
                LOG_U64("took_ms", took_ns / NS_PER_MS), LOG_TEXT("placement", "runner"));
}

static void show_placement(struct serve_model *model)
{
    counter_set(&model->runs_inline, model->placement.runs_inline);
}

static void observe(struct serve_model *model, uint64_t cost_ns, uint64_t now_ns)
{
    const struct placement_rule *rule = &model->model->settings.placement;
    if (UNLIKELY(placement_observe(&model->placement, rule, cost_ns, now_ns)))
        show_placement(model);
}

/* What ran on this thread, per call, and how long the thread stood still for it. */
static void observe_inline(struct serve_lane *lane, struct serve_model *model, uint64_t cost_ns,
                           uint64_t held_ns, uint64_t now_ns)
{
    const struct placement_rule *rule = &model->model->settings.placement;
    counter_set(&model->running_since_ns, 0);
    if (LIKELY(held_ns <= rule->stall_ns)) {
        observe(model, cost_ns, now_ns);
        return;
    }
    counter_add(&model->stalls, 1);
    if (!placement_stalled(&model->placement, rule, now_ns)) return;
    show_placement(model);
    log_stall(lane, model, "a model held its thread", held_ns);
}

/* The longest that another lane has been in the model's engine, and how many calls of all lanes
 * were too long. */
static uint64_t look_at_lanes(const struct serve_model *model, uint64_t now_ns,
                              uint64_t *ret_stalls)
{
    uint64_t longest_ns = 0, stalls = 0;
    for (uint32_t i = 0; i < model->model->lane_count; i++) {
        const struct serve_model *lane = &model->model->lanes[i];
        uint64_t since_ns = counter_get(&lane->running_since_ns);
        stalls += counter_get(&lane->stalls);
        if (since_ns != 0 && since_ns < now_ns) longest_ns = MAX(longest_ns, now_ns - since_ns);
    }
    *ret_stalls = stalls;
    return longest_ns;
}

/* A model that holds one network thread is not to hold the next: now and then, before it runs. */
static void learn_from_lanes(struct serve_lane *lane, struct serve_model *model)
{
    const struct placement_rule *rule = &model->model->settings.placement;
    uint64_t now_ns = loop_now_ns(lane->loop), stalls;
    uint64_t longest_ns = look_at_lanes(model, now_ns, &stalls);
    bool stalled = longest_ns > rule->stall_ns || stalls != model->known_stalls;
    model->look_ns = now_ns + rule->stall_ns;
    model->known_stalls = stalls;
    if (!stalled || !placement_stalled(&model->placement, rule, now_ns)) return;
    show_placement(model);
    log_stall(lane, model, "a model held another thread", longest_ns);
}

/* --- inline --------------------------------------------------------------------------------- */

static void mark_running(struct list *calls)
{
    LIST_EACH(link, calls) call_of(link)->state = SERVE_CALL_RUNNING;
}

static void count_execution(struct serve_model *model, const struct outcome *outcome,
                            uint64_t calls, uint64_t gathered_ns, uint64_t done_ns)
{
    if (outcome->status != STATUS_OK) return;
    uint64_t infer_from_ns = gathered_ns ? gathered_ns : outcome->start_ns;
    struct statistics_execution execution = {.times = 1,
                                             .rows = (uint64_t)outcome->rows,
                                             .calls = calls,
                                             .input_ns = infer_from_ns - outcome->start_ns,
                                             .infer_ns = outcome->end_ns - infer_from_ns,
                                             .output_ns = done_ns - outcome->end_ns,
                                             .wall_ms = clock_wall_ns() / NS_PER_MS};
    statistics_add_execution(model->statistics, &execution);
}

static void run_singles(struct serve_lane *lane, struct serve_model *model, struct list *calls);

/* One engine call for all of them. */
static uint64_t run_batch(struct serve_lane *lane, struct serve_model *model,
                          struct batch_taken *taken)
{
    struct engine_result result;
    struct error err;
    struct outcome outcome = {.rows = taken->rows, .result = &result, .error = &err};
    mark_running(&taken->items);
    outcome.start_ns = clock_monotonic_ns();
    counter_set(&model->running_since_ns, outcome.start_ns);
    outcome.status = execute_calls(&model->model->plan, model->instance, &taken->items, taken->rows,
                                   &lane->memory, &result, &err);
    outcome.end_ns = clock_monotonic_ns();
    if (UNLIKELY(outcome.status == STATUS_INVALID_ARGUMENT && taken->count > 1)) {
        run_singles(lane, model, &taken->items); /* one poisoned row must not fail the others */
        return clock_monotonic_ns();
    }
    show_result(lane, &result);
    answer_all(lane, &taken->items, &outcome);
    end_result(lane, &outcome, &result, NULL);
    uint64_t done_ns = clock_monotonic_ns();
    count_execution(model, &outcome, taken->count, lane->memory.gathered_ns, done_ns);
    observe_inline(lane, model, outcome.end_ns - outcome.start_ns,
                   outcome.end_ns - outcome.start_ns, done_ns);
    let_all_go(lane, &taken->items, outcome.status, done_ns);
    return done_ns;
}

/* Some engine calls back to back, then their answers: kinder to the caches, and to the clock. */
struct singles {
    size_t count;
    struct serve_call *calls[SINGLES_MAX];
    enum status statuses[SINGLES_MAX];
    struct engine_result results[SINGLES_MAX];
    struct error errors[SINGLES_MAX];
};

static void execute_singles(struct serve_lane *lane, struct serve_model *model,
                            struct singles *singles)
{
    for (size_t i = 0; i < singles->count; i++) {
        struct serve_call *call = singles->calls[i];
        struct list alone;
        list_init(&alone);
        list_add_last(&alone, &call->item.link);
        call->state = SERVE_CALL_RUNNING;
        singles->statuses[i] =
            execute_calls(&model->model->plan, model->instance, &alone, call->item.rows,
                          &lane->memory, &singles->results[i], &singles->errors[i]);
        list_remove(&call->item.link);
    }
}

/* Neighbours of as many rows are counted at once: each took the same share of the time. */
static void count_singles(struct serve_model *model, const struct singles *singles,
                          uint64_t each_ns)
{
    uint64_t wall_ms = clock_wall_ns() / NS_PER_MS;
    for (size_t i = 0, next; i < singles->count; i = next) {
        int64_t rows = singles->calls[i]->item.rows;
        for (next = i; next < singles->count; next++)
            if (singles->statuses[next] != STATUS_OK || singles->calls[next]->item.rows != rows)
                break;
        struct statistics_execution execution = {.times = next - i,
                                                 .rows = (uint64_t)rows,
                                                 .calls = 1,
                                                 .infer_ns = each_ns,
                                                 .wall_ms = wall_ms};
        if (next > i) statistics_add_execution(model->statistics, &execution);
        next += next == i; /* a failure is no execution */
    }
}

static void answer_singles(struct serve_lane *lane, struct serve_model *model,
                           struct singles *singles, uint64_t start_ns)
{
    uint64_t end_ns = clock_monotonic_ns();
    uint64_t each_ns = (end_ns - start_ns) / singles->count;
    count_singles(model, singles, each_ns);
    for (size_t i = 0; i < singles->count; i++) {
        struct outcome outcome = {.status = singles->statuses[i],
                                  .error = &singles->errors[i],
                                  .result = &singles->results[i],
                                  .rows = singles->calls[i]->item.rows,
                                  .start_ns = start_ns + i * each_ns,
                                  .end_ns = start_ns + (i + 1) * each_ns};
        show_result(lane, &singles->results[i]);
        if (!answer(lane, singles->calls[i], &outcome)) singles->calls[i] = NULL;
        end_result(lane, &outcome, &singles->results[i], NULL);
    }
    uint64_t done_ns = clock_monotonic_ns();
    observe_inline(lane, model, each_ns, end_ns - start_ns, done_ns);
    for (size_t i = 0; i < singles->count; i++) {
        if (UNLIKELY(!singles->calls[i])) continue;
        lane_count(singles->calls[i], 1, singles->statuses[i], done_ns);
        lane_let_go(lane, singles->calls[i]);
    }
}

/* Runs all calls of a list one by one. */
static void run_singles(struct serve_lane *lane, struct serve_model *model, struct list *calls)
{
    struct singles singles;
    while (!list_is_empty(calls)) {
        struct list *link;
        for (singles.count = 0; singles.count < SINGLES_MAX; singles.count++) {
            if (!(link = list_take_first(calls))) break;
            singles.calls[singles.count] = call_of(link);
            call_of(link)->state = SERVE_CALL_RUNNING;
        }
        uint64_t start_ns = clock_monotonic_ns();
        counter_set(&model->running_since_ns, start_ns);
        execute_singles(lane, model, &singles);
        answer_singles(lane, model, &singles, start_ns);
    }
}

static void reject_expired(struct serve_lane *lane, struct batch_taken *taken)
{
    reject_all(lane, &taken->expired, STATUS_UNAVAILABLE, STATISTICS_REJECTED_QUEUE_TIMEOUT,
               "Request timeout expired");
}

/* Takes up to SINGLES_MAX calls of a model that is not batchable. */
static void run_some_singles(struct serve_lane *lane, struct serve_model *model, uint64_t now_ns)
{
    struct batch_taken taken;
    batch_queue_take_singles(&model->queue, now_ns, SINGLES_MAX, &taken);
    mark_running(&taken.items);
    reject_expired(lane, &taken);
    run_singles(lane, model, &taken.items);
}

/* Until nothing waits or the turn's share is used up; what is left comes in the next turn. */
static void run_inline(struct serve_lane *lane, struct serve_model *model)
{
    uint64_t now_ns = loop_now_ns(lane->loop);
    uint64_t until_ns = 0, done_ns;
    while (model->queue.count > 0 && model->placement.runs_inline) {
        if (model->model->settings.policy.rows_max == 0) {
            run_some_singles(lane, model, now_ns);
            done_ns = clock_monotonic_ns();
        } else {
            struct batch_taken taken;
            batch_queue_take(&model->queue, now_ns, &taken);
            reject_expired(lane, &taken);
            done_ns = taken.count > 0 ? run_batch(lane, model, &taken) : now_ns;
        }
        if (until_ns == 0) until_ns = now_ns + lane->serve->options.inline_turn_max_ns;
        if (done_ns >= until_ns) return;
    }
}

/* --- handing over --------------------------------------------------------------------------- */

static void hand_over(struct serve_lane *lane, struct serve_model *model)
{
    struct list calls;
    struct error err;
    list_init(&calls);
    batch_queue_drain(&model->queue, &calls);
    LIST_EACH(link, &calls) call_of(link)->handed_over = true;
    enum status status = runners_add(model->model->runners, &calls, loop_now_ns(lane->loop), &err);
    if (LIKELY(list_is_empty(&calls))) return;
    LIST_EACH(link, &calls) call_of(link)->handed_over = false;
    mark_running(&calls); /* in no queue: cancelling one now must not look for it */
    if (status == STATUS_OK)
        reject_all(lane, &calls, STATUS_UNAVAILABLE, STATISTICS_REJECTED_QUEUE_FULL,
                   "Exceeds maximum queue size");
    else
        reject_all(lane, &calls, status, STATISTICS_REJECTED_QUEUE_FULL, err.message);
}

void lane_deliver_shared(struct serve_lane *lane, struct serve_call *call)
{
    if (!deliver(lane, call, STATUS_OK, NULL)) return;
    lane_count(call, 1, STATUS_OK, clock_monotonic_ns());
    lane_let_go(lane, call);
}

static void answer_hits(struct serve_lane *lane)
{
    struct list hits, *link;
    list_init(&hits);
    list_move_all(&hits, &lane->hits);
    while ((link = list_take_first(&hits))) {
        call_of(link)->state = SERVE_CALL_RUNNING;
        cache_show(call_of(link));
        lane_deliver_shared(lane, call_of(link));
    }
}

/* What is left to do for calls that do not simply run; not much, most of the time. */
static void run_special(struct serve_lane *lane)
{
    answer_hits(lane);
    order_flush(lane);
    flight_run_orphans(lane);
}

static bool has_special(const struct serve_lane *lane)
{
    return !list_is_empty(&lane->hits) || !list_is_empty(&lane->flushes) ||
           !list_is_empty(&lane->orphans);
}

/*
 * Models take turns: those that wait now are run once each; new calls, and what an inline model
 * left over, come when the RUN phase comes round again.
 */
void lane_run(void *context)
{
    struct serve_lane *lane = context;
    struct list ready, *link;
    bool special = has_special(lane);
    if (LIKELY(list_is_empty(&lane->ready) && !special)) return;
    lane->running = true;
    if (UNLIKELY(special)) run_special(lane);
    list_init(&ready);
    list_move_all(&ready, &lane->ready);
    while ((link = list_take_first(&ready))) {
        struct serve_model *model = CONTAINER_OF(link, struct serve_model, ready_link);
        serve_model_hold(model);
        if (UNLIKELY(loop_now_ns(lane->loop) >= model->look_ns)) learn_from_lanes(lane, model);
        if (model->placement.runs_inline) run_inline(lane, model);
        if (!model->placement.runs_inline && model->queue.count > 0) hand_over(lane, model);
        if (model->queue.count > 0 && !list_is_linked(&model->ready_link)) {
            list_add_last(&lane->ready, &model->ready_link);
            loop_hurry(lane->loop);
        }
        serve_model_release(model);
    }
    lane->running = false;
}

/* --- coming back ---------------------------------------------------------------------------- */

static void count_part(struct serve_lane *lane, struct serve_model *model,
                       const struct runner_part *part, const struct outcome *outcome,
                       uint64_t done_ns)
{
    const struct runner_batch *batch = part->batch;
    if (part->first)
        count_execution(model, outcome, batch->count, batch->gathered_ns,
                        outcome->end_ns + (done_ns - loop_now_ns(lane->loop)));
    observe(model, batch->end_ns - batch->start_ns, done_ns);
}

static void receive_batch(struct serve_lane *lane, struct runner_part *part)
{
    struct runner_batch *batch = part->batch;
    struct serve_model *model = lane_model(lane, batch->model);
    struct outcome outcome = {.status = batch->status,
                              .error = &batch->error,
                              .result = &batch->result,
                              .rows = batch->rows,
                              .start_ns = batch->start_ns,
                              .end_ns = batch->end_ns};
    struct list calls;
    list_init(&calls);
    list_move_all(&calls, &part->calls);
    show_result(lane, &batch->result);
    answer_all(lane, &calls, &outcome);
    uint64_t done_ns = clock_monotonic_ns();
    count_part(lane, model, part, &outcome, done_ns);
    end_result(lane, &outcome, &batch->result, part);
    let_all_go(lane, &calls, outcome.status, done_ns);
}

void lane_receive_part(struct mail *mail)
{
    struct runner_part *part = CONTAINER_OF(mail, struct runner_part, mail);
    if (!part->batch->expired) {
        receive_batch(part->lane, part);
        return;
    }
    struct serve_lane *lane = part->lane;
    struct list calls;
    list_init(&calls);
    list_move_all(&calls, &part->calls);
    runner_part_release(part);
    reject_all(lane, &calls, STATUS_UNAVAILABLE, STATISTICS_REJECTED_QUEUE_TIMEOUT,
               "Request timeout expired");
}
