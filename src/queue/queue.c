/* Calls on their way to a database and back; long polls; housekeeping. */
#include "queue/queue.h"

#include "base/mem.h"
#include "queue/rules.h"

#include <pthread.h>

enum {
    MAINTAIN_MS = 1000,   /* between two looks at what is due or expired */
    MAINTAIN_BUSY_MS = 5, /* while there is more to do */
    MAINTAIN_WORK_MAX = 1000,
    LOOK_MS = 1000,  /* a waiting long poll looks again: another process may have sent something */
    LOOK_SPREAD = 1, /* ms more for each that waits, so that many do not keep the database busy */
    WAITING_BUCKETS = 1024, /* a power of two */
};

/* What all kinds have in front of them. */
struct queue_front {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* Long polls that found nothing, by their queue's name: a send looks at those of its own queue,
     * and at the few that share a bucket with it. Each bucket in the order they came. */
    struct list waiting[WAITING_BUCKETS];
    uint32_t waiting_count;
    uint32_t active; /* calls whose `done` has not returned */
    uint64_t wakes;
    bool ending;
    bool maintaining; /* the task below is on its way */
    bool maintain_more;
    uint64_t maintain_at_ns;
    struct database_task maintain_task;
    struct queue_store *queues;
    pthread_t thread; /* only before a database */
    struct tally tally;
};

_Static_assert((int)QUEUE_COUNT_KINDS <= (int)TALLY_KINDS, "a row has room for what is counted");

static void lock(struct queue_front *front)
{
    (void)pthread_mutex_lock(&front->mutex);
}

static void unlock(struct queue_front *front)
{
    (void)pthread_mutex_unlock(&front->mutex);
}

static void count_call(const struct queue_call *call);

/* --- the end of a call -------------------------------------------------------------------------
 */

static void finish(struct queue_call *call, enum status status, const struct error *err)
{
    struct queue_front *front = call->queues->front;
    call->done(call, status, err);
    lock(front);
    front->active--;
    if (front->ending) (void)pthread_cond_broadcast(&front->changed);
    unlock(front);
}

void queue_store_finish(struct queue_call *call, enum status status, const struct error *err)
{
    assert(!call->queues->database);
    if (status == STATUS_OK) count_call(call);
    finish(call, status, err);
}

static struct queue_call *call_of(struct list *link)
{
    return CONTAINER_OF(link, struct queue_call, link);
}

static struct list *waiting_in(struct queue_front *front, struct str queue)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < queue.size; i++) hash = (hash ^ (uint8_t)queue.data[i]) * 16777619u;
    return &front->waiting[(hash ^ hash >> 16) % WAITING_BUCKETS];
}

static void take_from(struct queue_front *front, struct list *bucket, struct str queue,
                      size_t count_max, struct list *taken)
{
    LIST_EACH_SAFE(link, bucket)
    {
        if (count_max == 0) return;
        if (queue.size > 0 && !str_equal(call_of(link)->queue, queue)) continue;
        list_remove(link);
        front->waiting_count--;
        list_add_last(taken, link);
        count_max--;
    }
}

/* Takes long polls of a queue out of the waiting, `count_max` at most; "" for all of any queue. */
static void take_waiting(struct queue_front *front, struct str queue, size_t count_max,
                         struct list *taken)
{
    front->wakes++;
    if (front->waiting_count == 0) return;
    if (queue.size > 0) {
        take_from(front, waiting_in(front, queue), queue, count_max, taken);
        return;
    }
    assert(count_max == SIZE_MAX);
    for (size_t i = 0; i < WAITING_BUCKETS; i++)
        take_from(front, &front->waiting[i], queue, count_max, taken);
}

static void look_again(struct list *taken)
{
    struct list *link;
    struct error err;
    while ((link = list_take_first(taken))) {
        struct queue_call *call = call_of(link);
        if (database_submit(call->queues->database, &call->task, &err) != STATUS_OK)
            finish(call, err.status, &err);
    }
}

static void wake(struct queue_front *front, struct str queue, size_t count_max)
{
    struct list taken;
    list_init(&taken);
    lock(front);
    take_waiting(front, queue, count_max, &taken);
    unlock(front);
    look_again(&taken);
}

void queue_store_wake(struct queue_store *queues, struct str queue)
{
    wake(queues->front, queue, SIZE_MAX);
}

/* How many long polls a finished operation may have made something ready for. */
static size_t wakes_of(const struct queue_call *call)
{
    enum queue_operation operation = call->operation;
    if (operation == QUEUE_SEND) return call->send.count - MIN(call->served, call->send.count);
    if (operation == QUEUE_NACK || operation == QUEUE_EXTEND) return call->receipts.count;
    if (operation == QUEUE_ACK || operation == QUEUE_BURY) /* a group may go on */
        return rules_is_fifo_name(call->queue) ? call->receipts.count : 0;
    if (operation == QUEUE_LEASE) return call->lease.count == call->lease.count_max ? 1 : 0;
    return 0;
}

/* --- counting ----------------------------------------------------------------------------------
 */

static size_t count_sent(const struct queue_send *send)
{
    size_t count = 0;
    for (size_t i = 0; i < send->count; i++)
        count += send->sent[i].status == STATUS_OK && !send->sent[i].duplicate;
    return count;
}

static size_t count_receipts(const struct queue_receipts *receipts, bool buried)
{
    size_t count = 0;
    for (size_t i = 0; i < receipts->count; i++) {
        const struct queue_receipt *one = &receipts->receipts[i];
        count += one->status == STATUS_OK && one->buried == buried;
    }
    return count;
}

static void count_lease(struct tally *tally, const struct queue_call *call)
{
    const struct queue_lease *lease = &call->lease;
    if (lease->count > 0) tally_add(tally, call->queue, QUEUE_COUNT_RECEIVED, lease->count);
    if (lease->dead_lettered > 0)
        tally_add(tally, call->queue, QUEUE_COUNT_DEAD_LETTERED, lease->dead_lettered);
}

/* What has been committed. */
static void count_call(const struct queue_call *call)
{
    struct tally *tally = &call->queues->front->tally;
    enum queue_operation operation = call->operation;
    if (operation == QUEUE_SEND)
        tally_add(tally, call->queue, QUEUE_COUNT_SENT, count_sent(&call->send));
    if (operation == QUEUE_LEASE) count_lease(tally, call);
    if (operation == QUEUE_ACK || operation == QUEUE_CANCEL || operation == QUEUE_BURY)
        tally_add(tally, call->queue, QUEUE_COUNT_DELETED, count_receipts(&call->receipts, false));
    if (operation == QUEUE_BURY)
        tally_add(tally, call->queue, QUEUE_COUNT_DEAD_LETTERED,
                  count_receipts(&call->receipts, true));
    if (operation == QUEUE_CREATE) tally_add(tally, call->queue, QUEUE_COUNT_SENT, 0);
}

struct tally *queue_store_tally(struct queue_store *queues)
{
    return &queues->front->tally;
}

/* --- long polls --------------------------------------------------------------------------------
 */

static bool waits(const struct queue_call *call)
{
    return call->operation == QUEUE_LEASE && call->lease.count == 0 && call->deadline_ns > 0 &&
           clock_monotonic_ns() < call->deadline_ns && !call->cancelled;
}

/* True if the call waits from now on, or looks again at once because something came in between. */
static bool park(struct queue_call *call)
{
    struct queue_front *front = call->queues->front;
    struct list again;
    list_init(&again);
    lock(front);
    bool parked = waits(call) && !front->ending && front->waiting_count < QUEUE_WAITERS_MAX;
    if (parked && call->wakes != front->wakes)
        list_add_last(&again, &call->link);
    else if (parked) {
        list_add_last(waiting_in(front, call->queue), &call->link);
        front->waiting_count++;
        (void)pthread_cond_broadcast(&front->changed);
    }
    unlock(front);
    look_again(&again);
    return parked;
}

static uint64_t wakes_now(struct queue_front *front)
{
    lock(front);
    uint64_t wakes = front->wakes;
    unlock(front);
    return wakes;
}

/* When the call looks again if nobody wakes it: what is hidden comes back, another process sends.
 */
static enum status plan_look(struct queue_call *call, struct database_session *session,
                             struct error *err)
{
    struct queue_store *queues = call->queues;
    uint64_t due_ms, wait_ms = LOOK_MS + LOOK_SPREAD * (uint64_t)queues->front->waiting_count;
    TRY(queues->ops->next_due(queues, session, call->queue, &due_ms, err));
    if (due_ms < session->now_ms + wait_ms)
        wait_ms = due_ms > session->now_ms ? due_ms - session->now_ms : 1;
    call->look_ns = clock_monotonic_ns() + wait_ms * NS_PER_MS;
    return STATUS_OK;
}

/* Once: a wait of -1 is the queue's, which the implementation puts in its place. */
static void set_deadline(struct queue_call *call)
{
    if (call->deadline_ns == 0 && call->lease.wait_ms > 0)
        call->deadline_ns = clock_monotonic_ns() + (uint64_t)call->lease.wait_ms * NS_PER_MS;
}

/*
 * Long polls look in the same transaction as the send that they waited for: sent and received is
 * one commit, and a lone message is with its receiver a commit earlier.
 */
static void serve_waiting(struct queue_call *call, struct database_session *session)
{
    struct queue_front *front = call->queues->front;
    struct list taken;
    list_init(&taken);
    call->served = 0; /* it may be the second run */
    lock(front);
    if (front->waiting_count > 0)
        take_from(front, waiting_in(front, call->queue), call->queue, call->send.count, &taken);
    unlock(front);
    for (struct list *link; (link = list_take_first(&taken)); call->served++) {
        call_of(link)->joined = true;
        database_join(session, &call_of(link)->task);
    }
}

static enum status run_call(struct database_task *task, struct database_session *session,
                            struct error *err)
{
    struct queue_call *call = CONTAINER_OF(task, struct queue_call, task);
    struct queue_store *queues = call->queues;
    bool leases = call->operation == QUEUE_LEASE;
    if (leases) call->wakes = wakes_now(queues->front);
    if (leases) call->lease.dead_lettered = 0;
    TRY(queues->ops->run(queues, session, call, err));
    if (call->operation == QUEUE_SEND) serve_waiting(call, session);
    if (!leases || call->lease.count > 0) return STATUS_OK;
    set_deadline(call); /* if the wait was the queue's to say, it has said it now */
    return call->deadline_ns > 0 ? plan_look(call, session, err) : STATUS_OK;
}

/* A wait that was cancelled while its first look was on its way: it would have begun now. */
static bool is_cancelled(const struct queue_call *call)
{
    struct queue_front *front = call->queues->front;
    lock(front);
    bool cancelled = call->cancelled || front->ending;
    unlock(front);
    return cancelled && call->operation == QUEUE_LEASE && call->lease.count == 0;
}

static void finish_cancelled(struct queue_call *call)
{
    struct error err;
    finish(call, fail(&err, STATUS_CANCELLED, "the wait was cancelled"), &err);
}

/* What went wrong with a send is not the fault of those who waited for it: they go on waiting. */
static bool waits_on(struct queue_call *call, enum status status)
{
    bool failed = call->joined && status != STATUS_OK;
    call->joined = false;
    if (!failed) return false;
    call->lease.count = 0;
    return park(call);
}

static void call_done(struct database_task *task, enum status status, const struct error *err)
{
    struct queue_call *call = CONTAINER_OF(task, struct queue_call, task);
    struct queue_front *front = call->queues->front;
    if (status == STATUS_OK) count_call(call);
    if (waits_on(call, status)) return;
    if (status == STATUS_OK && call->deadline_ns > 0) {
        if (park(call)) return;
        if (is_cancelled(call)) {
            finish_cancelled(call);
            return;
        }
    }
    size_t count = status == STATUS_OK ? wakes_of(call) : 0;
    if (count > 0) wake(front, call->queue, count);
    finish(call, status, err);
}

/* --- starting calls ----------------------------------------------------------------------------
 */

static bool only_reads(enum queue_operation operation)
{
    return operation == QUEUE_DESCRIBE || operation == QUEUE_LIST || operation == QUEUE_DEPTH ||
           operation == QUEUE_MOVE_LIST;
}

/* What a kind of queue may be unable to do. */
static const char *const operation_texts[] = {
    [QUEUE_CREATE] = "be created",
    [QUEUE_DELETE] = "be deleted",
    [QUEUE_DESCRIBE] = "be described",
    [QUEUE_CONFIGURE] = "be configured",
    [QUEUE_TAG] = "have their tags replaced",
    [QUEUE_LIST] = "be listed",
    [QUEUE_SEND] = "take messages",
    [QUEUE_LEASE] = "lease messages",
    [QUEUE_EXTEND] = "extend leases",
    [QUEUE_ACK] = "delete messages",
    [QUEUE_NACK] = "take messages back",
    [QUEUE_BURY] = "move a message to the dead-letter queue at once",
    [QUEUE_CANCEL] = "delete a message by its id",
    [QUEUE_DEPTH] = "tell how many messages they hold",
    [QUEUE_PURGE] = "be purged",
    [QUEUE_MOVE_START] = "start a redrive",
    [QUEUE_MOVE_LIST] = "list redrives",
    [QUEUE_MOVE_CANCEL] = "cancel a redrive",
};

bool queue_store_can(const struct queue_store *queues, enum queue_operation operation)
{
    return !(queues->ops->missing >> operation & 1);
}

enum status queue_call_prepare(struct queue_store *queues, struct queue_call *call,
                               struct error *err)
{
    struct queue_front *front = queues->front;
    TRY(rules_check(call, err));
    if (!queue_store_can(queues, call->operation))
        return fail(err, STATUS_UNIMPLEMENTED, "queues of the kind '%s' cannot %s",
                    queues->ops->name, operation_texts[call->operation]);
    lock(front);
    bool ending = front->ending;
    front->active += !ending;
    unlock(front);
    if (ending) return fail(err, STATUS_UNAVAILABLE, "the queues are being closed");
    call->queues = queues;
    call->cancelled = false;
    call->joined = false;
    call->served = 0;
    call->task.run = run_call;
    call->task.done = call_done;
    call->task.reads = only_reads(call->operation);
    if (call->operation == QUEUE_LEASE) call->lease.messages = NULL;
    call->deadline_ns = 0;
    if (call->operation == QUEUE_LEASE) set_deadline(call);
    list_init(&call->link);
    return STATUS_OK;
}

enum status queue_submit(struct queue_store *queues, struct queue_call *call, struct error *err)
{
    TRY(queue_call_prepare(queues, call, err));
    enum status status = queues->database ? database_submit(queues->database, &call->task, err)
                                          : queues->ops->submit(queues, call, err);
    if (status == STATUS_OK) return STATUS_OK;
    lock(queues->front);
    queues->front->active--;
    unlock(queues->front);
    return status;
}

void queue_call_chain(struct queue_call *call, struct database_task *task)
{
    struct database_task *last = &call->task;
    while (last->together) last = last->together;
    last->together = task;
}

/* A thread that waits for its call. */
struct run_waiter {
    pthread_mutex_t mutex;
    pthread_cond_t finished;
    bool over;
    enum status status;
    struct error error;
};

static void run_finished(struct queue_call *call, enum status status, const struct error *err)
{
    struct run_waiter *waiter = call->context;
    (void)pthread_mutex_lock(&waiter->mutex);
    waiter->over = true;
    waiter->status = status;
    if (err) waiter->error = *err;
    (void)pthread_cond_signal(&waiter->finished);
    (void)pthread_mutex_unlock(&waiter->mutex);
}

enum status queue_run(struct queue_store *queues, struct queue_call *call, struct error *err)
{
    struct run_waiter waiter = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                                .finished = PTHREAD_COND_INITIALIZER};
    void *context = call->context;
    call->done = run_finished;
    call->context = &waiter;
    enum status status = queue_submit(queues, call, err);
    if (status == STATUS_OK) {
        (void)pthread_mutex_lock(&waiter.mutex);
        while (!waiter.over) (void)pthread_cond_wait(&waiter.finished, &waiter.mutex);
        (void)pthread_mutex_unlock(&waiter.mutex);
        status = waiter.status;
        if (status != STATUS_OK) *err = waiter.error;
    }
    call->context = context;
    return status;
}

void queue_cancel_wait(struct queue_store *queues, struct queue_call *call)
{
    struct queue_front *front = queues->front;
    lock(front);
    call->cancelled = true;
    (void)pthread_cond_broadcast(&front->changed);
    unlock(front);
}

struct database *queue_store_database(struct queue_store *queues)
{
    return queues->database;
}

const char *queue_store_kind(const struct queue_store *queues)
{
    return queues->ops->name;
}

/* --- the thread in front ------------------------------------------------------------------------
 */

static enum status maintain_run(struct database_task *task, struct database_session *session,
                                struct error *err)
{
    struct queue_front *front = CONTAINER_OF(task, struct queue_front, maintain_task);
    return front->queues->ops->maintain(front->queues, session, MAINTAIN_WORK_MAX,
                                        &front->maintain_more, err);
}

/* A failure shows in the calls of clients too; here the next look is simply the next try. */
static void maintain_done(struct database_task *task, enum status status,
                          const struct error *err UNUSED)
{
    struct queue_front *front = CONTAINER_OF(task, struct queue_front, maintain_task);
    lock(front);
    bool busy = status == STATUS_OK && front->maintain_more;
    front->maintain_at_ns =
        clock_monotonic_ns() + (busy ? MAINTAIN_BUSY_MS : MAINTAIN_MS) * NS_PER_MS;
    front->maintaining = false;
    (void)pthread_cond_broadcast(&front->changed);
    unlock(front);
}

static void maintain_if_due(struct queue_front *front, uint64_t now_ns)
{
    struct error err;
    if (front->maintaining || now_ns < front->maintain_at_ns) return;
    front->maintaining = true;
    front->maintain_task = (struct database_task){.run = maintain_run, .done = maintain_done};
    if (database_submit(front->queues->database, &front->maintain_task, &err) == STATUS_OK) return;
    front->maintaining = false;
    front->maintain_at_ns = now_ns + MAINTAIN_MS * NS_PER_MS;
}

/* Of one bucket. */
static uint64_t sort_bucket(struct queue_front *front, struct list *bucket, uint64_t now_ns,
                            struct list *over, struct list *again)
{
    uint64_t next_ns = UINT64_MAX;
    LIST_EACH_SAFE(link, bucket)
    {
        struct queue_call *call = call_of(link);
        bool ends = front->ending || call->cancelled || now_ns >= call->deadline_ns;
        if (!ends && now_ns < call->look_ns) {
            next_ns = MIN(next_ns, MIN(call->look_ns, call->deadline_ns));
            continue;
        }
        list_remove(link);
        front->waiting_count--;
        list_add_last(ends ? over : again, link);
    }
    return next_ns;
}

/* Sorts out who has waited long enough, who looks again, and when the next of them is due. */
static uint64_t sort_waiting(struct queue_front *front, uint64_t now_ns, struct list *over,
                             struct list *again)
{
    uint64_t next_ns = front->maintaining ? UINT64_MAX : front->maintain_at_ns;
    for (size_t i = 0; i < WAITING_BUCKETS && front->waiting_count > 0; i++)
        next_ns = MIN(next_ns, sort_bucket(front, &front->waiting[i], now_ns, over, again));
    return next_ns;
}

static void end_waits(struct queue_front *front, struct list *over)
{
    struct list *link;
    while ((link = list_take_first(over))) {
        struct queue_call *call = call_of(link);
        if (front->ending || call->cancelled)
            finish_cancelled(call);
        else
            finish(call, STATUS_OK, NULL);
    }
}

static void front_wait(struct queue_front *front, uint64_t until_ns)
{
    struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
    if (until_ns == UINT64_MAX)
        (void)pthread_cond_wait(&front->changed, &front->mutex);
    else
        (void)pthread_cond_timedwait(&front->changed, &front->mutex, &until);
}

static bool is_over(const struct queue_front *front)
{
    return front->ending && front->active == 0 && !front->maintaining;
}

static void *front_run(void *context)
{
    struct queue_front *front = context;
    struct list over, again;
    list_init(&over);
    list_init(&again);
    lock(front);
    while (!is_over(front)) {
        uint64_t now_ns = clock_monotonic_ns();
        if (!front->ending) maintain_if_due(front, now_ns);
        uint64_t next_ns = sort_waiting(front, now_ns, &over, &again);
        if (list_is_empty(&over) && list_is_empty(&again)) {
            front_wait(front, front->ending ? UINT64_MAX : next_ns);
            continue;
        }
        unlock(front);
        end_waits(front, &over);
        look_again(&again);
        lock(front);
    }
    unlock(front);
    return NULL;
}

/* --- life ---------------------------------------------------------------------------------------
 */

void queue_store_init(struct queue_store *queues, const struct queue_ops *ops,
                      struct database *database)
{
    struct queue_front *front = MEM_NEW(struct queue_front);
    pthread_condattr_t attributes;
    *queues = (struct queue_store){.ops = ops, .database = database, .front = front};
    front->queues = queues;
    for (size_t i = 0; i < WAITING_BUCKETS; i++) list_init(&front->waiting[i]);
    tally_init(&front->tally);
    (void)pthread_condattr_init(&attributes); /* these cannot fail on Linux */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&front->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&front->mutex, NULL);
    if (!database) return; /* long polls and housekeeping are somebody else's */
    int problem = pthread_create(&front->thread, NULL, front_run, front);
    assert(problem == 0); /* at the start: there is nothing to serve without it */
}

void queue_store_free(struct queue_store *queues)
{
    if (!queues) return;
    struct queue_front *front = queues->front;
    if (queues->ops->ending) queues->ops->ending(queues);
    lock(front);
    front->ending = true;
    (void)pthread_cond_broadcast(&front->changed);
    unlock(front);
    if (queues->database) (void)pthread_join(front->thread, NULL);
    assert(front->active == 0);
    (void)pthread_cond_destroy(&front->changed);
    (void)pthread_mutex_destroy(&front->mutex);
    tally_clear(&front->tally);
    mem_free(front);
    queues->ops->close(queues);
}
