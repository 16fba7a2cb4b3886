/* A lane: finding models, taking calls, giving them back when they are late or not wanted. */
#include "serve/lane.h"

#include "base/mem.h"
#include "serve/cache.h"
#include "serve/core.h"

/* --- life ----------------------------------------------------------------------------------- */

static loop_timer_function deadline_passed;
static loop_hook_function lane_clean;

static void enlist(struct serve *serve, struct serve_lane *lane)
{
    pthread_mutex_lock(&serve->mutex);
    while (lane->index < serve->options.lane_count && serve->lanes[lane->index]) lane->index++;
    assert(lane->index < serve->options.lane_count);
    serve->lanes[lane->index] = lane;
    lane->plan = serve->plan;
    plan_ref(lane->plan);
    pthread_mutex_unlock(&serve->mutex);
}

struct serve_lane *serve_lane_new(struct serve *serve, struct loop *loop)
{
    struct serve_lane *lane = MEM_NEW(struct serve_lane);
    lane->serve = serve;
    lane->loop = loop;
    list_init(&lane->ready);
    list_init(&lane->hits);
    list_init(&lane->orphans);
    list_init(&lane->flushes);
    deadlines_init(&lane->deadlines);
    execute_memory_init(&lane->memory);
    execute_memory_init(&lane->views);
    atomic_init(&lane->next_plan, NULL);
    enlist(serve, lane);
    loop_hook_add(loop, LOOP_PHASE_RUN, lane_run, lane);
    loop_hook_add(loop, LOOP_PHASE_CLEANUP, lane_clean, lane);
    lane->timer.on_time = deadline_passed;
    return lane;
}

void serve_lane_free(struct serve_lane *lane)
{
    if (!lane) return;
    assert(counter_get(&lane->in_flight) == 0 && lane->held_count == 0);
    assert(lane->flights.count == 0);
    pthread_mutex_lock(&lane->serve->mutex);
    lane->serve->lanes[lane->index] = NULL;
    pthread_mutex_unlock(&lane->serve->mutex);
    loop_timer_stop(lane->loop, &lane->timer);
    loop_hook_remove(lane->loop, LOOP_PHASE_RUN, lane_run, lane);
    loop_hook_remove(lane->loop, LOOP_PHASE_CLEANUP, lane_clean, lane);
    plan_unref(atomic_load(&lane->next_plan));
    plan_unref(lane->parked);
    plan_unref(lane->plan);
    deadlines_clear(&lane->deadlines);
    execute_memory_clear(&lane->memory);
    execute_memory_clear(&lane->views);
    mem_free(lane);
}

/* --- plans ---------------------------------------------------------------------------------- */

/* Wakes the lane, so that it lets go of the old plan even when nobody asks for anything. */
static void receive_nudge(struct mail *mail)
{
    mem_free(mail);
}

void lane_offer_plan(struct serve_lane *lane, struct plan *plan)
{
    plan_unref(atomic_exchange(&lane->next_plan, plan));
    struct mail *nudge = MEM_NEW(struct mail);
    nudge->receive = receive_nudge;
    loop_post(lane->loop, nudge);
}

/* A model that left the plan while the lane still has calls on it keeps a reference for them. */
static void give_up(struct serve_lane *lane, struct plan *plan)
{
    for (size_t i = 0; i < plan->model_count; i++) {
        struct serve_model *model = lane_model(lane, plan->models[i]);
        if (model->generation == lane->plan->generation || model->holds == 0) continue;
        if (model->retired) continue;
        model->retired = true;
        model_ref(plan->models[i]);
    }
    plan_unref(plan);
}

static void adopt(struct serve_lane *lane)
{
    if (lane->parked) return; /* one change per turn; the rest waits for lane_clean */
    struct plan *plan = atomic_exchange_explicit(&lane->next_plan, NULL, memory_order_acquire);
    if (!plan) return;
    for (size_t i = 0; i < plan->model_count; i++)
        lane_model(lane, plan->models[i])->generation = plan->generation;
    lane->parked = lane->plan;
    lane->plan = plan;
}

static inline void look_for_plan(struct serve_lane *lane)
{
    if (UNLIKELY(atomic_load_explicit(&lane->next_plan, memory_order_relaxed))) adopt(lane);
}

static void lane_clean(void *context)
{
    struct serve_lane *lane = context;
    look_for_plan(lane);
    if (LIKELY(!lane->parked)) return;
    give_up(lane, TAKE(lane->parked));
    look_for_plan(lane);
    if (lane->parked) give_up(lane, TAKE(lane->parked));
}

enum status serve_find(struct serve_lane *lane, struct str name, struct str version,
                       struct serve_model **ret_model, struct error *err)
{
    look_for_plan(lane);
    struct model *model;
    TRY(plan_find(lane->plan, name, version, &model, err));
    *ret_model = lane_model(lane, model);
    return STATUS_OK;
}

void serve_model_hold(struct serve_model *model)
{
    model->holds++;
}

void serve_model_release(struct serve_model *model)
{
    assert(model->holds > 0);
    if (--model->holds > 0 || LIKELY(!model->retired)) return;
    /* What it was listed for is gone with its last call, and soon the model is as well. */
    list_remove(&model->ready_link);
    list_remove(&model->flush_link);
    model->retired = false;
    model_unref(model->model);
}

size_t serve_versions(struct serve_lane *lane, struct str name, const struct str **ret_versions)
{
    look_for_plan(lane);
    const struct plan_name *entry = plan_find_name(lane->plan, name);
    if (!entry) return 0;
    *ret_versions = &lane->plan->versions[entry->first];
    return entry->count;
}

void serve_models_each(struct serve_lane *lane, serve_model_visit_function *visit, void *context)
{
    look_for_plan(lane);
    const struct plan *plan = lane->plan;
    for (size_t i = 0; i < plan->model_count; i++)
        visit(context, lane_model(lane, plan->models[i]));
}

bool serve_model_ready(struct serve_lane *lane, struct str name, struct str version)
{
    struct serve_model *model;
    struct error err;
    if (serve_find(lane, name, version, &model, &err) != STATUS_OK) return false;
    struct runners *runners = model->model->runners;
    uint64_t now_ns = clock_monotonic_ns(), limit_ns = lane->serve->options.execution_limit_ns;
    if (!runners || now_ns < limit_ns) return true;
    return runners_stuck(runners, now_ns - limit_ns) < runners_count(runners);
}

/* --- deadlines ------------------------------------------------------------------------------ */

static void arm_timer(struct serve_lane *lane)
{
    const struct deadline *first = deadlines_first(&lane->deadlines);
    if (!first) return; /* a timer without a reason does no harm */
    if (loop_timer_is_started(&lane->timer) && lane->timer.when_ns <= first->at_ns) return;
    if (!loop_timer_start(lane->loop, &lane->timer, first->at_ns)) loop_hurry(lane->loop);
}

/* When the call must be looked at next; 0: never. */
static uint64_t next_deadline_ns(const struct serve_call *call, uint64_t after_ns)
{
    const struct batch_policy *policy = &call->model->model->settings.policy;
    uint64_t expires_ns = call->item.expires_ns;
    if (expires_ns <= after_ns || policy->levels[call->item.level].timeout_delays) expires_ns = 0;
    if (expires_ns == 0 || call->deadline_ns == 0) return expires_ns | call->deadline_ns;
    return MIN(expires_ns, call->deadline_ns);
}

static void watch_deadline(struct serve_lane *lane, struct serve_call *call, uint64_t after_ns)
{
    uint64_t at_ns = next_deadline_ns(call, after_ns);
    if (at_ns == 0) return;
    deadlines_set(&lane->deadlines, &call->deadline, at_ns);
    arm_timer(lane);
}

/* Out of whatever queue it waits in; false if it is running. */
static bool take_out(struct serve_call *call)
{
    if (call->handed_over && !(call->special && call->parked)) /* `state` is its runners' */
        return runners_remove(call->model->model->runners, call);
    switch (call->state) {
    case SERVE_CALL_WAITING:
        if (call->cached)
            list_remove(&call->item.link);
        else
            batch_queue_remove(&call->model->queue, &call->item);
        break;
    case SERVE_CALL_FOLLOWING: list_remove(&call->item.link); break;
    case SERVE_CALL_PARKED: break;
    case SERVE_CALL_IDLE:
    case SERVE_CALL_QUEUED:
    case SERVE_CALL_RUNNING: return false;
    }
    call->state = SERVE_CALL_IDLE;
    return true;
}

/* False for one that no longer waits for an engine, or waits for one that has begun. */
static bool may_expire(const struct serve_call *call)
{
    if (LIKELY(!call->special)) return true;
    return !call->parked && flight_may_expire(call);
}

static void look_at(struct serve_lane *lane, struct serve_call *call, uint64_t now_ns)
{
    bool late = call->deadline_ns != 0 && now_ns >= call->deadline_ns;
    bool waited = (late || may_expire(call)) && take_out(call);
    if (!late && !waited) { /* its queue time-out passed, but an engine has it */
        watch_deadline(lane, call, now_ns);
        return;
    }
    if (late)
        lane_reject(lane, call, STATUS_DEADLINE_EXCEEDED, STATISTICS_REJECTED_DEADLINE,
                    "the request's deadline passed before it was answered");
    else
        lane_reject(lane, call, STATUS_UNAVAILABLE, STATISTICS_REJECTED_QUEUE_TIMEOUT,
                    "Request timeout expired");
    if (waited) lane_let_go(lane, call);
}

static void deadline_passed(struct loop_timer *timer)
{
    struct serve_lane *lane = CONTAINER_OF(timer, struct serve_lane, timer);
    uint64_t now_ns = loop_now_ns(lane->loop);
    struct deadline *first;
    while ((first = deadlines_first(&lane->deadlines)) && first->at_ns <= now_ns) {
        deadlines_remove(&lane->deadlines, first);
        look_at(lane, CONTAINER_OF(first, struct serve_call, deadline), now_ns);
    }
    arm_timer(lane);
}

/* --- calls ---------------------------------------------------------------------------------- */

void lane_answer(struct serve_lane *lane, struct serve_call *call, enum status status,
                 const struct error *err)
{
    if (call->answered) return;
    call->answered = true;
    deadlines_remove(&lane->deadlines, &call->deadline);
    if (UNLIKELY(call->special)) order_leave(lane, call);
    call->on_done(call, status, err);
}

void lane_reject(struct serve_lane *lane, struct serve_call *call, enum status status,
                 enum statistics_rejection reason, const char *message)
{
    struct error err;
    (void)fail(&err, status, "%s", message);
    uint64_t total_ns = loop_now_ns(lane->loop) - call->times.received_ns;
    if (!call->counted) statistics_add_rejection(call->model->statistics, reason, total_ns);
    call->counted = true;
    lane_answer(lane, call, status, &err);
}

/* Everything beyond the plain way from queue to engine. */
static void let_go_of_special(struct serve_lane *lane, struct serve_call *call)
{
    flight_leave(lane, call);
    order_leave(lane, call);
    order_forget(call);
    cache_let_go(call);
}

void lane_let_go(struct serve_lane *lane, struct serve_call *call)
{
    struct serve_model *model = call->model;
    assert(call->answered && call->deadline.place == 0);
    if (UNLIKELY(call->special)) let_go_of_special(lane, call);
    call->state = SERVE_CALL_IDLE;
    counter_subtract(&lane->in_flight, 1);
    counter_subtract(&lane->bytes, call->input_bytes);
    counter_subtract(&model->statistics->in_flight, 1);
    call->on_release(call);
    serve_model_release(model);
}

static enum status refuse(struct serve_call *call, enum statistics_rejection reason,
                          enum status status, const char *message, struct error *err)
{
    statistics_add_rejection(call->model->statistics, reason, 0);
    return fail(err, status, "%s", message);
}

static void prepare_special(struct serve_call *call)
{
    call->shares = false;
    call->runs_alone = false;
    call->flight = NULL;
    call->parked = NULL;
    list_init(&call->order_link);
}

static void prepare(struct serve_lane *lane, struct serve_call *call)
{
    const struct model *model = call->model->model;
    call->lane = lane;
    call->deadline.place = 0;
    call->cached = NULL;
    call->cache_key = NULL;
    call->special = model->settings.caches || model->settings.keeps_order;
    if (UNLIKELY(call->special)) prepare_special(call);
    call->handed_over = false;
    call->answered = false;
    call->counted = false;
    call->outputs = NULL;
    call->output_count = 0;
    call->batch_rows = 0;
    call->input_bytes = execute_input_bytes(&call->bound, model->spec.input_count);
    call->item.rows = call->bound.batch_size;
    call->item.priority = call->priority;
    call->item.timeout_us = call->timeout_us;
    call->item.shape_key =
        model->settings.shapes_vary ? execute_shape_key(&call->bound, model->spec.input_count) : 0;
}

static void count_in(struct serve_lane *lane, struct serve_call *call)
{
    struct serve_model *model = call->model;
    model->holds++;
    counter_add(&lane->in_flight, 1);
    counter_add(&lane->bytes, call->input_bytes);
    counter_add(&model->statistics->in_flight, 1);
    if (UNLIKELY(lane->running)) loop_run_again(lane->loop);
}

void lane_wake(struct serve_lane *lane)
{
    if (lane->running)
        loop_run_again(lane->loop);
    else
        loop_hurry(lane->loop);
}

bool lane_enqueue(struct serve_lane *lane, struct serve_call *call, uint64_t now_ns)
{
    struct serve_model *model = call->model;
    if (UNLIKELY(!batch_queue_add(&model->queue, &call->item, now_ns))) return false;
    call->state = SERVE_CALL_WAITING;
    if (!list_is_linked(&model->ready_link)) list_add_last(&lane->ready, &model->ready_link);
    return true;
}

/* Finds the answer in the cache or waits behind a call like it, or else waits to be run. */
static bool enqueue_special(struct serve_lane *lane, struct serve_call *call, uint64_t now_ns)
{
    const struct model_settings *settings = &call->model->model->settings;
    if (settings->keeps_order && !order_enter(call)) return false;
    if (settings->caches && cache_find(lane->serve->cache, call)) {
        call->shares = true;
        call->state = SERVE_CALL_WAITING;
        call->item.level = 0; /* it waits for no engine, so for no time-out */
        call->item.expires_ns = 0;
        list_add_last(&lane->hits, &call->item.link);
        return true;
    }
    if (settings->caches && flight_follow(lane, call, now_ns)) return true;
    if (lane_enqueue(lane, call, now_ns)) return true;
    let_go_of_special(lane, call);
    return false;
}

enum status serve_submit(struct serve_lane *lane, struct serve_call *call, struct error *err)
{
    uint64_t now_ns = loop_now_ns(lane->loop);
    prepare(lane, call);
    call->times.queued_ns = now_ns;
    if (UNLIKELY(atomic_load_explicit(&lane->serve->draining, memory_order_relaxed)))
        return refuse(call, STATISTICS_REJECTED_SHUTDOWN, STATUS_UNAVAILABLE,
                      "the server is shutting down", err);
    if (UNLIKELY(call->input_bytes > lane->serve->bytes_per_lane - counter_get(&lane->bytes)))
        return refuse(call, STATISTICS_REJECTED_BYTES_IN_FLIGHT, STATUS_EXHAUSTED,
                      "too many bytes of inputs in flight, try again later", err);
    if (UNLIKELY(call->special ? !enqueue_special(lane, call, now_ns)
                               : !lane_enqueue(lane, call, now_ns)))
        return refuse(call, STATISTICS_REJECTED_QUEUE_FULL, STATUS_UNAVAILABLE,
                      "Exceeds maximum queue size", err);
    count_in(lane, call);
    if (UNLIKELY((call->item.expires_ns | call->deadline_ns) != 0)) watch_deadline(lane, call, 0);
    return STATUS_OK;
}

void serve_cancel(struct serve_lane *lane, struct serve_call *call)
{
    if (call->answered) return;
    call->answered = true;
    deadlines_remove(&lane->deadlines, &call->deadline);
    uint64_t total_ns = loop_now_ns(lane->loop) - call->times.received_ns;
    statistics_add_rejection(call->model->statistics, STATISTICS_REJECTED_CANCELLED, total_ns);
    call->counted = true;
    if (UNLIKELY(call->special)) order_leave(lane, call);
    if (take_out(call)) lane_let_go(lane, call);
}

/* --- what a model is ------------------------------------------------------------------------ */

const struct infer_spec *serve_model_spec(const struct serve_model *model)
{
    return &model->model->spec;
}

const struct model_config *serve_model_config(const struct serve_model *model)
{
    return model->model->config;
}

struct str serve_model_name(const struct serve_model *model)
{
    return model->model->name_text;
}

struct str serve_model_version(const struct serve_model *model)
{
    return model->model->version_str;
}

const uint8_t *serve_model_digest(const struct serve_model *model)
{
    return model->model->digest;
}

const struct oip_json_texts *serve_model_texts(const struct serve_model *model)
{
    return &model->model->texts;
}

const char *serve_model_platform(const struct serve_model *model)
{
    return engine_model_info(model->model->engine_model)->platform;
}

size_t serve_model_labels(const struct serve_model *model, size_t index,
                          const struct str **ret_labels)
{
    const struct model *shared = model->model;
    if (!shared->labels || index >= shared->spec.output_count) return 0;
    *ret_labels = shared->labels[index].lines;
    return shared->labels[index].count;
}
