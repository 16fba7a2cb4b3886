/* The threads between tasks and a database: gathering, committing once for many, telling. */
#include "db/database.h"

#include "base/mem.h"
#include "loop/mailbox.h"

#include <pthread.h>

/* How long a writer waits for others to come back with more work: for so many that are expected as
 * long as a commit takes, for fewer a part of that, and at most. For a few not at all: to fall
 * asleep and be woken would cost more. */
enum {
    GATHER_COUNT_MIN = 8,
    GATHER_COUNT = 32,
    GATHER_COUNT_MAX = 64,
    GATHER_NS_MAX = 500 * 1000,
};

/* Tasks that wait for one kind of thread. */
struct task_line {
    pthread_mutex_t mutex;
    pthread_cond_t ready;    /* for threads that have nothing to do */
    pthread_cond_t gathered; /* for the one that lets more work come together */
    struct list waiting;     /* of first tasks of chains */
    uint32_t count;
    uint32_t idle;   /* threads that sleep on `ready` */
    uint32_t wanted; /* the gathering thread is woken when so many wait; 0: none gathers */
    bool ending;
};

struct database_thread {
    struct database *database;
    struct task_line *line;
    struct database_session session;
    bool started;
    pthread_t thread;
    uint64_t commit_ns; /* running mean */
    uint32_t expected;  /* chains of the last commit, and what waited when it was over */
};

struct database {
    const struct database_ops *ops;
    void *state;
    struct clock *clock;
    bool clock_given;
    uint32_t batch_max;
    uint64_t wall_start_ms;
    uint64_t monotonic_start_ns;
    struct task_line writes;
    struct task_line reads;
    struct database_thread *threads;
    uint32_t thread_count;
    _Atomic uint64_t commits;
    _Atomic uint64_t commit_failures;
    _Atomic uint64_t tasks;
    _Atomic uint64_t tasks_failed;
    _Atomic uint64_t commit_ns;
};

/* --- lines ------------------------------------------------------------------------------------ */

static void line_init(struct task_line *line)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes); /* these cannot fail on Linux */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&line->mutex, NULL);
    (void)pthread_cond_init(&line->ready, &attributes);
    (void)pthread_cond_init(&line->gathered, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    list_init(&line->waiting);
}

static void line_clear(struct task_line *line)
{
    assert(list_is_empty(&line->waiting));
    (void)pthread_cond_destroy(&line->gathered);
    (void)pthread_cond_destroy(&line->ready);
    (void)pthread_mutex_destroy(&line->mutex);
}

static bool line_add(struct task_line *line, struct database_task *task)
{
    (void)pthread_mutex_lock(&line->mutex);
    bool fits = line->count < DATABASE_TASKS_MAX;
    if (fits) {
        list_add_last(&line->waiting, &task->link);
        line->count++;
    }
    pthread_cond_t *sleeper = NULL;
    if (line->idle > 0)
        sleeper = &line->ready;
    else if (line->wanted > 0 && line->count >= line->wanted)
        sleeper = &line->gathered;
    (void)pthread_mutex_unlock(&line->mutex);
    if (sleeper) (void)pthread_cond_signal(sleeper);
    return fits;
}

static uint64_t gather_ns(const struct database_thread *thread)
{
    uint64_t count = MIN(thread->expected, (uint32_t)GATHER_COUNT_MAX);
    return MIN(thread->commit_ns * count / GATHER_COUNT, (uint64_t)GATHER_NS_MAX);
}

/*
 * A commit costs the same for one as for many, so whoever sent together is let come together again:
 * after a commit for many, the first of them is back long before the last. A part of those that are
 * expected is left to the next commit; they come in while this one waits for the disk.
 */
static void line_gather(struct database_thread *thread)
{
    struct task_line *line = thread->line;
    uint32_t wanted = MIN(thread->expected - thread->expected / 4, (uint32_t)DATABASE_BATCH_MAX);
    if (thread->expected < GATHER_COUNT_MIN || line->wanted > 0 || line->idle > 0) return;
    uint64_t until_ns = clock_monotonic_ns() + gather_ns(thread);
    struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
    line->wanted = wanted;
    while (line->count < wanted && !line->ending)
        if (pthread_cond_timedwait(&line->gathered, &line->mutex, &until) != 0) break;
    line->wanted = 0;
}

/* After a commit for `count`. Of one that came alone nobody is expected: it would wait for naught.
 */
static void line_expect(struct database_thread *thread, uint32_t count)
{
    struct task_line *line = thread->line;
    (void)pthread_mutex_lock(&line->mutex);
    uint32_t waiting = line->count;
    (void)pthread_mutex_unlock(&line->mutex);
    thread->expected = count + waiting;
}

/* Nothing waits: lets the implementation tidy up, without the lock. */
static void run_idle(struct database_thread *thread)
{
    struct database *database = thread->database;
    if (!database->ops->idle) return;
    (void)pthread_mutex_unlock(&thread->line->mutex);
    database->ops->idle(&thread->session);
    (void)pthread_mutex_lock(&thread->line->mutex);
}

/* The next chains to commit together; 0: the end. */
static uint32_t line_take(struct database_thread *thread, struct list *batch)
{
    struct task_line *line = thread->line;
    (void)pthread_mutex_lock(&line->mutex);
    if (line->count == 0) run_idle(thread);
    while (line->count == 0 && !line->ending) {
        line->idle++;
        (void)pthread_cond_wait(&line->ready, &line->mutex);
        line->idle--;
    }
    if (line->count > 0) line_gather(thread);
    uint32_t count = 0;
    for (; count < thread->database->batch_max && !list_is_empty(&line->waiting); count++)
        list_add_last(batch, list_take_first(&line->waiting));
    line->count -= count;
    (void)pthread_mutex_unlock(&line->mutex);
    return count;
}

/* --- transactions ----------------------------------------------------------------------------- */

static struct database_task *task_of(struct list *link)
{
    return CONTAINER_OF(link, struct database_task, link);
}

static void chain_fail(struct database_task *chain, const struct error *err)
{
    for (struct database_task *task = chain; task; task = task->together) {
        task->error = *err;
        task->status = err->status;
    }
}

static void batch_fail(struct list *batch, const struct error *err)
{
    LIST_EACH(link, batch) chain_fail(task_of(link), err);
}

/* Runs a chain's tasks in order, up to the first that fails; that is the failure of them all. */
static void chain_run(struct database_task *chain, struct database_session *session)
{
    struct error err;
    session->busy = false;
    for (struct database_task *task = chain; task; task = task->together) {
        task->status = task->run(task, session, &err);
        if (task->status == STATUS_OK) continue;
        if (task != chain) session->dirty = true; /* those before it may have written */
        chain_fail(chain, &err);
        return;
    }
}

void database_flush_add(struct database_session *session, struct database_flush *flush)
{
    if (flush->linked) return;
    flush->linked = true;
    flush->next = session->flushes;
    session->flushes = flush;
}

static enum status flushes_run(struct database_session *session, struct error *err)
{
    for (struct database_flush *flush = session->flushes; flush; flush = flush->next)
        TRY(flush->run(flush, session, err));
    return STATUS_OK;
}

static void flushes_forget(struct database_session *session, bool kept)
{
    while (session->flushes) {
        struct database_flush *flush = session->flushes;
        session->flushes = flush->next;
        flush->linked = false;
        flush->forget(flush, kept);
    }
}

static void rollback(struct database_session *session)
{
    flushes_forget(session, false);
    session->database->ops->rollback(session);
}

static enum status begin(struct database_session *session, struct error *err)
{
    struct database *database = session->database;
    session->dirty = false;
    TRY(database->ops->begin(session, err));
    session->now_ms = database->ops->now_ms && !database->clock_given
                          ? database->ops->now_ms(session)
                          : database_now_ms(database);
    return STATUS_OK;
}

static enum status commit(struct database_thread *thread, struct error *err)
{
    struct database *database = thread->database;
    uint64_t start = clock_monotonic_ns();
    enum status status = flushes_run(&thread->session, err);
    if (status == STATUS_OK) status = database->ops->commit(&thread->session, err);
    uint64_t took = clock_monotonic_ns() - start;
    thread->commit_ns += took / 8 - thread->commit_ns / 8;
    atomic_fetch_add_explicit(&database->commit_ns, took, memory_order_relaxed);
    atomic_fetch_add_explicit(&database->commits, 1, memory_order_relaxed);
    if (status == STATUS_OK) {
        flushes_forget(&thread->session, true);
        return STATUS_OK;
    }
    atomic_fetch_add_explicit(&database->commit_failures, 1, memory_order_relaxed);
    rollback(&thread->session);
    return status;
}

/* A chain in a transaction of its own. */
static void chain_try(struct database_thread *thread, struct database_task *chain)
{
    struct error err;
    thread->session.busy = false;
    if (begin(&thread->session, &err) != STATUS_OK) {
        chain_fail(chain, &err);
        return;
    }
    chain_run(chain, &thread->session);
    if (chain->status != STATUS_OK)
        rollback(&thread->session);
    else if (commit(thread, &err) != STATUS_OK)
        chain_fail(chain, &err);
}

/* As above, again while others are in its way: its failure is its own. */
static void chain_transact(struct database_thread *thread, struct database_task *chain)
{
    int tries = 0;
    do chain_try(thread, chain);
    while (chain->status != STATUS_OK && thread->session.busy && ++tries < DATABASE_TRIES_MAX);
}

void database_join(struct database_session *session, struct database_task *task)
{
    list_add_last(&session->joined, &task->link);
}

/* Chains in the open transaction; false if a write failed: it was rolled back. What found others in
 * its way is moved to `later`. */
static bool chains_run(struct database_thread *thread, struct list *chains, struct list *later)
{
    struct database_session *session = &thread->session;
    LIST_EACH_SAFE(link, chains)
    {
        struct database_task *chain = task_of(link);
        chain_run(chain, session);
        if (session->dirty) {
            rollback(session);
            return false;
        }
        if (chain->status == STATUS_OK || !session->busy) continue;
        list_remove(link);
        list_add_last(later, link);
    }
    return true;
}

/* All of a batch in one transaction, and behind them those that joined: they become part of it. */
static bool batch_run(struct database_thread *thread, struct list *batch, struct list *later)
{
    struct list joined;
    list_init(&joined);
    if (!chains_run(thread, batch, later)) return false;
    list_move_all(&joined, &thread->session.joined);
    bool kept = chains_run(thread, &joined, later);
    list_move_all(batch, &joined);
    return kept;
}

static void batch_fail_if_ok(struct list *batch, const struct error *err)
{
    LIST_EACH(link, batch)
    if (task_of(link)->status == STATUS_OK) chain_fail(task_of(link), err);
}

static void batch_transact(struct database_thread *thread, struct list *batch, struct list *later)
{
    struct error err;
    if (begin(&thread->session, &err) != STATUS_OK)
        batch_fail(batch, &err);
    else if (!batch_run(thread, batch, later)) {
        list_move_all(batch, later);
        LIST_EACH(link, batch) chain_transact(thread, task_of(link));
    } else if (commit(thread, &err) != STATUS_OK)
        batch_fail_if_ok(batch, &err);
}

/* A task may be freed by its `done`, and the whole chain by that of its last. */
static void chain_tell(struct database *database, struct database_task *chain)
{
    for (struct database_task *task = chain, *next; task; task = next) {
        next = task->together;
        bool ok = task->status == STATUS_OK;
        atomic_fetch_add_explicit(ok ? &database->tasks : &database->tasks_failed, 1,
                                  memory_order_relaxed);
        task->done(task, task->status, ok ? NULL : &task->error);
    }
}

/* All of them, then their receivers' bells: whoever wakes finds every answer of this commit. */
static void batch_tell(struct database *database, struct list *batch)
{
    mailbox_hold_bells();
    while (!list_is_empty(batch)) chain_tell(database, task_of(list_take_first(batch)));
    mailbox_ring_held();
}

static void *thread_run(void *context)
{
    struct database_thread *thread = context;
    struct list batch, later;
    list_init(&batch);
    list_init(&later);
    for (;;) {
        uint32_t count = list_is_empty(&batch) ? line_take(thread, &batch) : 1;
        if (count == 0) break;
        batch_transact(thread, &batch, &later);
        line_expect(thread, count);
        batch_tell(thread->database, &batch);
        list_move_all(&later, &thread->session.joined);
        list_move_all(&batch, &later);
    }
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

static enum status thread_start(struct database_thread *thread, bool reads, struct error *err)
{
    struct database *database = thread->database;
    thread->line = reads ? &database->reads : &database->writes;
    thread->session.database = database;
    list_init(&thread->session.joined);
    TRY(database->ops->session_open(database, reads, &thread->session, err));
    int problem = pthread_create(&thread->thread, NULL, thread_run, thread);
    if (problem != 0) {
        database->ops->session_close(&thread->session);
        return fail_errno(err, problem, "starting a database thread");
    }
    thread->started = true;
    return STATUS_OK;
}

static enum status threads_start(struct database *database, uint32_t writers, uint32_t readers,
                                 struct error *err)
{
    database->threads = MEM_NEW_ARRAY(struct database_thread, writers + readers);
    database->thread_count = writers + readers;
    for (uint32_t i = 0; i < writers + readers; i++) {
        database->threads[i].database = database;
        TRY(thread_start(&database->threads[i], i >= writers, err));
    }
    return STATUS_OK;
}

enum status database_new(const struct database_ops *ops, void *state,
                         const struct database_options *options, struct database **ret_database,
                         struct error *err)
{
    struct database *database = MEM_NEW(struct database);
    database->ops = ops;
    database->state = state;
    database->clock_given = options->clock != NULL;
    database->batch_max = options->batch_max ? options->batch_max : DATABASE_BATCH_MAX;
    database->clock = options->clock ? options->clock : &clock_system;
    database->wall_start_ms = database->clock->wall_ns(database->clock) / NS_PER_MS;
    database->monotonic_start_ns = database->clock->monotonic_ns(database->clock);
    line_init(&database->writes);
    line_init(&database->reads);
    uint32_t writers = MIN(MAX(options->writer_count, 1u), (uint32_t)DATABASE_WRITERS_MAX);
    uint32_t readers = MIN(MAX(options->reader_count, 1u), (uint32_t)DATABASE_READERS_MAX);
    enum status status = threads_start(database, writers, readers, err);
    if (status != STATUS_OK) {
        database_free(database);
        return status;
    }
    *ret_database = database;
    return STATUS_OK;
}

static void line_end(struct task_line *line)
{
    (void)pthread_mutex_lock(&line->mutex);
    line->ending = true;
    (void)pthread_mutex_unlock(&line->mutex);
    (void)pthread_cond_broadcast(&line->ready);
    (void)pthread_cond_broadcast(&line->gathered);
}

void database_free(struct database *database)
{
    if (!database) return;
    line_end(&database->writes);
    line_end(&database->reads);
    for (uint32_t i = 0; i < database->thread_count; i++) {
        struct database_thread *thread = &database->threads[i];
        if (!thread->started) continue;
        (void)pthread_join(thread->thread, NULL);
        database->ops->session_close(&thread->session);
    }
    database->ops->close(database);
    line_clear(&database->writes);
    line_clear(&database->reads);
    mem_free(database->threads);
    mem_free(database);
}

/* --- use -------------------------------------------------------------------------------------- */

enum status database_submit(struct database *database, struct database_task *task,
                            struct error *err)
{
    assert(task->run && task->done);
    if (line_add(task->reads ? &database->reads : &database->writes, task)) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED,
                "the database is behind: %d operations wait already; try again later",
                DATABASE_TASKS_MAX);
}

/* One thread that waits for a chain. */
struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t finished;
    bool over;
};

/* The waiter of the chain this thread submitted, found through the last task's place in it. */
struct waited_task {
    struct database_task task; /* runs last and does nothing: its `done` is the chain's end */
    struct waiter *waiter;
};

static enum status run_nothing(struct database_task *task UNUSED,
                               struct database_session *session UNUSED, struct error *err UNUSED)
{
    return STATUS_OK;
}

static void ignore_done(struct database_task *task UNUSED, enum status status UNUSED,
                        const struct error *err UNUSED)
{
}

static void wake_waiter(struct database_task *task, enum status status UNUSED,
                        const struct error *err UNUSED)
{
    struct waiter *waiter = CONTAINER_OF(task, struct waited_task, task)->waiter;
    (void)pthread_mutex_lock(&waiter->mutex);
    waiter->over = true;
    (void)pthread_cond_signal(&waiter->finished);
    (void)pthread_mutex_unlock(&waiter->mutex);
}

enum status database_run(struct database *database, struct database_task *task, struct error *err)
{
    struct waiter waiter = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    struct waited_task end = {.task = {.run = run_nothing, .done = wake_waiter}, .waiter = &waiter};
    struct database_task *last = task;
    for (last->done = ignore_done; last->together; last->done = ignore_done) last = last->together;
    last->together = &end.task;
    enum status status = database_submit(database, task, err);
    if (status == STATUS_OK) {
        (void)pthread_mutex_lock(&waiter.mutex);
        while (!waiter.over) (void)pthread_cond_wait(&waiter.finished, &waiter.mutex);
        (void)pthread_mutex_unlock(&waiter.mutex);
        status = task->status;
        if (status != STATUS_OK) *err = task->error;
    }
    last->together = NULL;
    return status;
}

uint64_t database_now_ms(struct database *database)
{
    uint64_t passed_ns =
        database->clock->monotonic_ns(database->clock) - database->monotonic_start_ns;
    return database->wall_start_ms + passed_ns / NS_PER_MS;
}

void database_time_at_least(struct database *database, uint64_t now_ms)
{
    database->wall_start_ms = MAX(database->wall_start_ms, now_ms);
}

const char *database_kind(const struct database *database)
{
    return database->ops->name;
}

void *database_state(const struct database *database)
{
    return database->state;
}

void database_counters_read(struct database *database, struct database_counters *ret_counters)
{
    struct task_line *lines[] = {&database->writes, &database->reads};
    uint64_t waiting = 0;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        (void)pthread_mutex_lock(&lines[i]->mutex);
        waiting += lines[i]->count;
        (void)pthread_mutex_unlock(&lines[i]->mutex);
    }
    *ret_counters = (struct database_counters){
        .commits = atomic_load(&database->commits),
        .commit_failures = atomic_load(&database->commit_failures),
        .tasks = atomic_load(&database->tasks),
        .tasks_failed = atomic_load(&database->tasks_failed),
        .tasks_waiting = waiting,
        .commit_ns = atomic_load(&database->commit_ns),
    };
}

const struct database_ops *database_operations(const struct database *database)
{
    return database->ops;
}
