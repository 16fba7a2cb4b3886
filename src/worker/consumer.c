/* Leases of one queue: taking them, looking their records up, holding them. */
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "worker/parts.h"

struct consumer *consumer_new(struct worker *worker, struct queue_store *queues, struct str name)
{
    struct consumer *consumer = MEM_NEW(struct consumer);
    assert(name.size <= QUEUE_NAME_MAX);
    consumer->worker = worker;
    consumer->queues = queues;
    consumer->is_foreign = queues == worker->options.sqs;
    consumer->refresh_ns = clock_monotonic_ns() + REFRESH_MS * NS_PER_MS;
    memcpy(consumer->name, name.data, name.size);
    consumer->is_jobs = !consumer->is_foreign && str_starts_with(name, STR(JOBS_RESERVED));
    list_init(&consumer->leases);
    return consumer;
}

void consumer_free(struct consumer *consumer)
{
    assert(consumer_is_idle(consumer));
    mem_free(consumer->model);
    mem_free(consumer->reply_to);
    mem_free(consumer);
}

void consumer_configure(struct consumer *consumer, const struct queue_settings *settings)
{
    consumer->fifo = settings->fifo;
    consumer->max_receive_count = settings->max_receive_count;
    consumer->has_dead_letter = settings->max_receive_count > 0 && *settings->dead_letter;
    consumer->visibility_ms = consumer->is_jobs ? consumer->worker->jobs->options.visibility_ms
                                                : MAX(settings->visibility_s, 1u) * UINT64_C(1000);
}

bool consumer_is_idle(const struct consumer *consumer)
{
    return !consumer->leasing && list_is_empty(&consumer->leases) && !consumer->beating &&
           !consumer->refreshing;
}

/* --- leases ----------------------------------------------------------------------------------- */

static void lease_free(struct lease *lease)
{
    for (size_t i = 0; i < lease->count; i++) {
        arena_clear(&lease->works[i].arena);
        buffer_clear(&lease->works[i].output);
    }
    mem_free(lease->works);
    mem_free(lease->groups);
    arena_clear(&lease->arena);
    mem_free(lease);
}

/* Messages of one group follow each other in its list; without a group each is one. */
static struct group *group_for(struct lease *lease, struct work *work)
{
    for (size_t i = 0; lease->consumer->fifo && i < lease->group_count; i++)
        if (str_equal(lease->groups[i].first->message->group, work->message->group))
            return &lease->groups[i];
    return &lease->groups[lease->group_count++];
}

static void add_work(struct lease *lease, size_t index)
{
    struct work *work = &lease->works[index];
    work->lease = lease;
    work->message = &lease->call.lease.messages[index];
    arena_init(&work->arena, WORK_MEMORY_MAX);
    buffer_init(&work->output, RECORD_PAYLOAD_MAX);
    work->group = group_for(lease, work);
    if (work->group->last)
        work->group->last->next = work;
    else
        work->group->first = work;
    work->group->last = work;
    work_open(work);
}

static void lease_start(struct lease *lease)
{
    for (size_t i = 0; i < lease->count; i++)
        if (lease->works[i].state == WORK_WAITING) work_start(&lease->works[i]);
    for (size_t i = 0; i < lease->group_count; i++) group_advance(&lease->groups[i]);
}

static void receive_looked_up(struct mail *mail)
{
    struct lease *lease = CONTAINER_OF(mail, struct lease, mail);
    struct worker *worker = lease->consumer->worker;
    lease_start(lease);
    worker_end_call(worker);
}

static void look_up_done(struct lease *lease)
{
    if (atomic_fetch_sub(&lease->looking, 1) != 1) return;
    lease->mail.receive = receive_looked_up;
    loop_post(lease->consumer->worker->loop, &lease->mail);
}

static void found(struct store_call *call, enum status status, const struct error *err UNUSED)
{
    struct work *work = call->context;
    work->found = status == STATUS_OK;
    work->lookup_failed = status != STATUS_OK && status != STATUS_NOT_FOUND;
    if (work->found) work->record = call->get.record;
    look_up_done(work->lease);
}

void lease_look_up(struct work *work)
{
    struct error err;
    work->get = (struct store_call){
        .operation = STORE_GET,
        .arena = &work->arena,
        .done = found,
        .context = work,
        .get = {.id = str_of(work->id), .without_payloads = !work->ticket.input_in_record},
    };
    if (work->key.size > 0)
        work->get.get = (struct store_get){.model = work->ticket.model, .key = work->key};
    if (!work->is_job) work->get.get.without_payloads = !work->reply_to.data;
    if (store_submit(work->lease->consumer->worker->jobs->store, &work->get, &err) == STATUS_OK)
        return;
    work->lookup_failed = true;
    look_up_done(work->lease);
}

/* All records of a lease are looked up before the first is run, so that all run in one turn. */
static void look_all_up(struct lease *lease)
{
    worker_begin_call(lease->consumer->worker);
    atomic_store(&lease->looking, (uint32_t)lease->count + 1);
    for (size_t i = 0; i < lease->count; i++) lease_look_up(&lease->works[i]);
    look_up_done(lease);
}

static void lease_open(struct lease *lease)
{
    struct consumer *consumer = lease->consumer;
    lease->count = lease->unfinished = lease->call.lease.count;
    lease->works = MEM_NEW_ARRAY(struct work, lease->count);
    lease->groups = MEM_NEW_ARRAY(struct group, lease->count);
    for (size_t i = 0; i < lease->count; i++) add_work(lease, i);
    if (list_is_empty(&consumer->leases)) consumer->beat_ns = loop_now_ns(consumer->worker->loop);
    list_add_last(&consumer->leases, &lease->link);
    consumer->in_flight += (uint32_t)lease->count;
    counter_add(&consumer->worker->counters.leased, lease->count);
    counter_add(&consumer->worker->counters.in_flight, lease->count);
    look_all_up(lease);
}

/* The queue is gone, or its storage does not answer: said once, tried again. */
static void lease_failed(struct consumer *consumer, const struct lease *lease)
{
    if (lease->status == STATUS_CANCELLED) return;
    if (lease->status == STATUS_NOT_FOUND && !consumer->is_foreign) {
        consumer->gone = true;
        return;
    }
    counter_add(&consumer->worker->counters.lease_failures, 1);
    if (consumer->failures++ == 0)
        log_warning("messages cannot be leased", LOG_TEXT("queue", consumer->name),
                    LOG_TEXT("error", lease->error.message));
    uint64_t pause_ms = MIN(UINT64_C(100) << MIN(consumer->failures, 6u), UINT64_C(5000));
    consumer->again_ns = loop_now_ns(consumer->worker->loop) + pause_ms * NS_PER_MS;
}

static void receive_leased(struct mail *mail)
{
    struct lease *lease = CONTAINER_OF(mail, struct lease, mail);
    struct consumer *consumer = lease->consumer;
    struct worker *worker = consumer->worker;
    consumer->leasing = NULL;
    if (lease->status == STATUS_OK) consumer->failures = 0;
    if (lease->status != STATUS_OK) lease_failed(consumer, lease);
    if (lease->status == STATUS_OK && lease->call.lease.count > 0)
        lease_open(lease);
    else
        lease_free(lease);
    consumer_lease(consumer);
    worker_end_call(worker);
}

static void leased(struct queue_call *call, enum status status, const struct error *err)
{
    struct lease *lease = call->context;
    lease->status = status;
    if (status != STATUS_OK) lease->error = *err;
    loop_post(lease->consumer->worker->loop, &lease->mail);
}

void consumer_lease(struct consumer *consumer)
{
    struct worker *worker = consumer->worker;
    uint32_t room = worker->options.in_flight_max - consumer->in_flight;
    if (consumer->leasing || consumer->gone || worker->draining || !worker->ready || room == 0 ||
        loop_now_ns(worker->loop) < consumer->again_ns)
        return;
    struct lease *lease = MEM_NEW(struct lease);
    struct error err;
    lease->consumer = consumer;
    lease->mail.receive = receive_leased;
    arena_init(&lease->arena, LEASE_MEMORY_MAX);
    lease->call = (struct queue_call){
        .operation = QUEUE_LEASE,
        .queue = str_of(consumer->name),
        .arena = &lease->arena,
        .done = leased,
        .context = lease,
        .lease = {.count_max = MIN(room, worker->options.lease_max),
                  .visibility_ms = (int64_t)consumer->visibility_ms,
                  .wait_ms = LEASE_WAIT_MS},
    };
    consumer->leasing = lease;
    worker_begin_call(worker);
    /* Taken: the lease is `leased`'s from then on, which may have been called already. */
    if (queue_submit(consumer->queues, &lease->call, &err) == STATUS_OK) return;
    lease->status = err.status;
    lease->error = err;
    loop_post(worker->loop, &lease->mail);
}

void work_finish(struct work *work)
{
    struct lease *lease = work->lease;
    struct consumer *consumer = lease->consumer;
    struct worker *worker = consumer->worker;
    assert(work->state != WORK_FINISHED && work->state != WORK_RUNNING);
    assert(work->group->first == work);
    work->group->first = work->next;
    work->state = WORK_FINISHED;
    consumer->in_flight--;
    counter_subtract(&worker->counters.in_flight, 1);
    worker->advanced = true;
    lease->unfinished--;
}

void consumer_reap(struct consumer *consumer)
{
    LIST_EACH_SAFE(link, &consumer->leases)
    {
        struct lease *lease = CONTAINER_OF(link, struct lease, link);
        if (lease->unfinished > 0) continue;
        list_remove(&lease->link);
        lease_free(lease);
    }
}

/* --- heartbeats --------------------------------------------------------------------------------
 */

struct beat {
    struct consumer *consumer;
    struct arena arena;
    struct queue_call call;
    struct queue_receipt *receipts;
    struct mail mail;
    enum status status;
};

static void lose(struct lease *lease, struct str receipt)
{
    for (size_t i = 0; i < lease->count; i++) {
        struct work *work = &lease->works[i];
        if (work->state == WORK_FINISHED || work->state == WORK_SETTLING ||
            !str_equal(work->message->receipt, receipt))
            continue;
        work->group->lost = true;
        group_advance(work->group);
        return;
    }
}

static void receive_beat(struct mail *mail)
{
    struct beat *beat = CONTAINER_OF(mail, struct beat, mail);
    struct consumer *consumer = beat->consumer;
    consumer->beating = false;
    for (size_t i = 0; beat->status == STATUS_OK && i < beat->call.receipts.count; i++) {
        bool extended = beat->receipts[i].status == STATUS_OK;
        counter_add(&consumer->worker->counters.extended, extended);
        /* What may pass is tried again by the next beat. */
        if (extended || status_retryable(beat->receipts[i].status)) continue;
        LIST_EACH(link, &consumer->leases)
        lose(CONTAINER_OF(link, struct lease, link), beat->receipts[i].receipt);
    }
    arena_clear(&beat->arena);
    mem_free(beat->receipts);
    mem_free(beat);
    worker_end_call(consumer->worker);
}

static void beaten(struct queue_call *call, enum status status, const struct error *err UNUSED)
{
    struct beat *beat = call->context;
    beat->status = status;
    loop_post(beat->consumer->worker->loop, &beat->mail);
}

static size_t list_receipts(const struct consumer *consumer, struct arena *arena,
                            struct queue_receipt *receipts)
{
    size_t count = 0;
    LIST_EACH(link, &consumer->leases)
    {
        const struct lease *lease = CONTAINER_OF(link, struct lease, link);
        for (size_t i = 0; i < lease->count; i++) {
            const struct work *work = &lease->works[i];
            if (work->state == WORK_FINISHED || work->state == WORK_SETTLING || work->group->lost)
                continue;
            /* Copied: the lease may be freed before the beat is back. */
            struct str copy = arena_try_copy(arena, work->message->receipt);
            if (!copy.data) return count;
            receipts[count++] = (struct queue_receipt){
                .receipt = copy, .visibility_ms = (int64_t)consumer->visibility_ms};
        }
    }
    return count;
}

static void beat(struct consumer *consumer)
{
    struct beat *beat = MEM_NEW(struct beat);
    struct error err;
    beat->consumer = consumer;
    beat->mail.receive = receive_beat;
    arena_init(&beat->arena, LEASE_MEMORY_MAX);
    beat->receipts = MEM_NEW_ARRAY(struct queue_receipt, consumer->in_flight + 1);
    beat->call = (struct queue_call){
        .operation = QUEUE_EXTEND,
        .queue = str_of(consumer->name),
        .arena = &beat->arena,
        .done = beaten,
        .context = beat,
        .receipts = {.receipts = beat->receipts,
                     .count = list_receipts(consumer, &beat->arena, beat->receipts)},
    };
    consumer->beating = true;
    worker_begin_call(consumer->worker);
    beat->status = STATUS_UNAVAILABLE;
    if (beat->call.receipts.count == 0 ||
        queue_submit(consumer->queues, &beat->call, &err) != STATUS_OK)
        loop_post(consumer->worker->loop, &beat->mail);
}

/* --- settings of a queue of SQS --------------------------------------------------------------- */

struct refresh {
    struct consumer *consumer;
    struct queue_call call;
    struct arena arena;
    struct mail mail;
    enum status status;
};

/* What cannot be read stays as it was known: the next lease says what is wrong. */
static void receive_refresh(struct mail *mail)
{
    struct refresh *refresh = CONTAINER_OF(mail, struct refresh, mail);
    struct consumer *consumer = refresh->consumer;
    consumer->refreshing = false;
    if (refresh->status == STATUS_OK)
        consumer_configure(consumer, &refresh->call.description.settings);
    arena_clear(&refresh->arena);
    mem_free(refresh);
    worker_end_call(consumer->worker);
}

static void refreshed(struct queue_call *call, enum status status, const struct error *err UNUSED)
{
    struct refresh *refresh = call->context;
    refresh->status = status;
    loop_post(refresh->consumer->worker->loop, &refresh->mail);
}

static void refresh(struct consumer *consumer, uint64_t now_ns)
{
    struct refresh *refresh = MEM_NEW(struct refresh);
    struct error err;
    consumer->refresh_ns = now_ns + REFRESH_MS * NS_PER_MS;
    consumer->refreshing = true;
    refresh->consumer = consumer;
    refresh->mail.receive = receive_refresh;
    arena_init(&refresh->arena, DESCRIPTION_MEMORY_MAX);
    refresh->call = (struct queue_call){.operation = QUEUE_DESCRIBE,
                                        .queue = str_of(consumer->name),
                                        .arena = &refresh->arena,
                                        .done = refreshed,
                                        .context = refresh};
    worker_begin_call(consumer->worker);
    if (queue_submit(consumer->queues, &refresh->call, &err) == STATUS_OK) return;
    refresh->status = err.status;
    loop_post(consumer->worker->loop, &refresh->mail);
}

/* --- the tick ----------------------------------------------------------------------------------
 */

static void lease_tick(struct lease *lease, uint64_t now_ns)
{
    for (size_t i = 0; i < lease->count; i++) {
        struct work *work = &lease->works[i];
        if (work->state == WORK_RUNNING && work->is_job && !work->marked &&
            now_ns - work->started_ns > RUNNING_AFTER_MS * NS_PER_MS)
            work_mark_running(work);
    }
    for (size_t i = 0; i < lease->group_count; i++)
        if (lease->groups[i].again_ns && now_ns >= lease->groups[i].again_ns)
            group_advance(&lease->groups[i]);
}

void consumer_tick(struct consumer *consumer)
{
    uint64_t now_ns = loop_now_ns(consumer->worker->loop);
    LIST_EACH_SAFE(link, &consumer->leases)
    {
        struct lease *lease = CONTAINER_OF(link, struct lease, link);
        lease_tick(lease, now_ns);
    }
    if (!list_is_empty(&consumer->leases) && !consumer->beating &&
        now_ns - consumer->beat_ns >= consumer->visibility_ms * NS_PER_MS / 3) {
        consumer->beat_ns = now_ns;
        beat(consumer);
    }
    if (consumer->is_foreign && !consumer->refreshing && !consumer->worker->draining &&
        now_ns >= consumer->refresh_ns)
        refresh(consumer, now_ns);
    consumer_lease(consumer);
}
