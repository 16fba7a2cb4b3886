/*
 * A database and the threads that talk to it: SQL comes in tasks, and many tasks share one commit.
 *
 *   struct save { struct database_task task; ... };
 *   save->task = (struct database_task){.run = insert_row, .done = row_saved};
 *   TRY(database_submit(database, &save->task, err));       // any thread, never waits for a disk
 *
 *   static enum status insert_row(struct database_task *task, struct database_session *session,
 *                                 struct error *err)         // a database thread, in a transaction
 *   static void row_saved(struct database_task *task, enum status status, const struct error *err)
 *                                                            // after the commit: it is durable
 *
 * Group commit. A writer thread takes all chains that wait (DATABASE_BATCH_MAX), runs them in one
 * transaction, commits once, and only then calls their `done`. While it commits, the next ones
 * gather. SQLite has one writer; PostgreSQL one per connection.
 *
 * A chain is what commits together or not at all: tasks linked by `together`, run in order. So an
 * acknowledged message and its result are one transaction, although queue and store know nothing of
 * each other.
 *
 * The rule of `run`: check first, write then. A task that fails before it wrote anything is told so
 * alone. One that fails after a write sets session->dirty (the wrappers of sqlite.h and postgres.h
 * do when a statement that writes fails): the transaction is rolled back, and each of its chains is
 * run again in a transaction of its own. So `run` may be called twice and starts from its inputs
 * each time. A commit that fails fails all its tasks: nothing of them is kept.
 *
 * Several writers. A `run` that finds what it needs locked by another transaction sets
 * session->busy and fails: if it wrote nothing, its chain is run in the next transaction, after
 * this one's commit, and the others are not held up; else, alone, up to DATABASE_TRIES_MAX times.
 * So whoever already holds a lock need not wait for another, and there are no deadlocks.
 *
 * Readers: tasks with `reads` go to threads with sessions of their own and see what was committed.
 * With SQLite's WAL and PostgreSQL they do not wait for the writer.
 *
 * Time. database_now_ms is the queue's and the store's only clock. It starts as the wall clock, or
 * as the latest time that the database knows of if that is later; it goes on with the monotonic
 * clock and never goes back, so a jump of the wall clock moves nothing. On PostgreSQL it is the
 * server's, the same for all.
 */
#ifndef DB_DATABASE_H
#define DB_DATABASE_H

#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"

#include <stdatomic.h>

enum {
    DATABASE_TASKS_MAX = 1 << 16, /* waiting at the same time, writers and readers each */
    DATABASE_BATCH_MAX = 1024,    /* chains of one commit */
    DATABASE_CHAIN_MAX = 16,      /* tasks of one chain */
    DATABASE_WRITERS_MAX = 64,
    DATABASE_READERS_MAX = 16,
    DATABASE_TRIES_MAX = 10, /* of a chain that finds others in its way */
};

struct database;
struct database_task;

struct database_session;

/*
 * What has gathered in memory during a transaction (counts, say) and is written once, before its
 * commit. Part of the owner's object; one transaction at a time.
 */
struct database_flush {
    enum status (*run)(struct database_flush *flush, struct database_session *session,
                       struct error *err);
    /* The transaction is over: kept, or rolled back, and then what memory says of it is wrong. */
    void (*forget)(struct database_flush *flush, bool kept);

    /* database's own */
    struct database_flush *next;
    bool linked;
};

/* One connection of one thread, in a transaction. What it wraps is known to sqlite.c, postgres.c.
 */
struct database_session {
    struct database *database;
    uint64_t now_ms;  /* of this transaction, or of this run of a chain: see database_now_ms */
    bool dirty;       /* a write failed: only a rollback helps */
    bool busy;        /* another transaction is in the way: see below */
    void *connection; /* struct sqlite *, struct postgres * */
    struct database_flush *flushes;
    struct list joined; /* first tasks of chains that database_join added */
};

/* Has `flush` run before this transaction's commit; once, however often it is asked for. */
void database_flush_add(struct database_session *session, struct database_flush *flush);

typedef enum status database_run_function(struct database_task *task,
                                          struct database_session *session, struct error *err);

/* On a database thread, after the commit; `err` is NULL on STATUS_OK. May free the task, may
 * submit; does not block: it posts mail or signals. Called for each task of a chain, in order. */
typedef void database_done_function(struct database_task *task, enum status status,
                                    const struct error *err);

/* Part of the submitter's object, which stays until `done`. */
struct database_task {
    database_run_function *run;
    database_done_function *done;
    struct database_task *together; /* the next of the chain, NULL at its end */
    bool reads;                     /* nothing is written; of the first of a chain */

    /* database's own */
    struct list link;
    enum status status;
    struct error error;
};

/* What a kind of database does. One static const table each; all on the thread of the session. */
struct database_ops {
    const char *name; /* "sqlite", "postgres", "memory" */
    /* Opens the connection of one thread, and of `reads` a read-only one. */
    enum status (*session_open)(struct database *database, bool reads,
                                struct database_session *session, struct error *err);
    void (*session_close)(struct database_session *session);
    enum status (*begin)(struct database_session *session, struct error *err);
    enum status (*commit)(struct database_session *session, struct error *err);
    void (*rollback)(struct database_session *session);
    /* Between transactions, when nothing waits: checkpoints and the like. May be NULL. */
    void (*idle)(struct database_session *session);
    /* Migrations: creates the table of notes if need be, locks out other processes until the end of
     * the transaction, and says how far `room` is (0: nothing applied). Then the steps' SQL, then
     * the notes. */
    enum status (*schema_read)(struct database_session *session, const char *room,
                               int64_t *ret_number, struct error *err);
    enum status (*schema_script)(struct database_session *session, const char *sql,
                                 struct error *err);
    enum status (*schema_note)(struct database_session *session, const char *room, int64_t number,
                               const char *name, struct error *err);
    /* The database's own clock; NULL: the options' one. */
    uint64_t (*now_ms)(struct database_session *session);
    void (*close)(struct database *database); /* the last: frees what `state` is */
};

struct database_options {
    struct clock *clock;   /* borrowed; NULL: the system's (PostgreSQL: the server's) */
    uint32_t writer_count; /* 0: 1 (SQLite: always 1) */
    uint32_t reader_count; /* 0: 1 */
    uint32_t batch_max;    /* chains of one commit; 0: DATABASE_BATCH_MAX. 1 where a commit is
                              nothing, and chains waited for each other in vain */
};

/*
 * Starts the threads over an implementation's `state`, which it takes, also on failure. Callers use
 * sqlite_database_open, sqlite_memory_new or postgres_database_open instead.
 */
enum status database_new(const struct database_ops *ops, void *state,
                         const struct database_options *options, struct database **ret_database,
                         struct error *err) FALLIBLE;

/* Runs what waits, ends the threads, closes. Accepts NULL. Nobody submits any more.
 */
void database_free(struct database *database);

/* Queues a chain by its first task. Any thread. EXHAUSTED if too much waits: not taken. */
enum status database_submit(struct database *database, struct database_task *task,
                            struct error *err) FALLIBLE;

/*
 * In a task's `run`: a chain that what this task wrote may help, as if it had been submitted right
 * behind it, in the same transaction if that can be. It is run and told even if this task's chain
 * fails after all.
 */
void database_join(struct database_session *session, struct database_task *task);

/* Submits and waits; `done` is not called (its field is overwritten). Not on a loop or database
 * thread. The status is that of the chain's first task that failed. */
enum status database_run(struct database *database, struct database_task *task,
                         struct error *err) FALLIBLE;

/* Milliseconds since 1970, never backwards. Any thread; of the local clock only (on PostgreSQL
 * session->now_ms counts). */
uint64_t database_now_ms(struct database *database);

/* For an implementation, in session_open of its first writer: it was so late here already. */
void database_time_at_least(struct database *database, uint64_t now_ms);

const char *database_kind(const struct database *database); /* ops->name */
void *database_state(const struct database *database);      /* for the implementation */
const struct database_ops *database_operations(const struct database *database); /* for migrate */

/* Numbers for /metrics and benchmarks. Any thread. */
struct database_counters {
    uint64_t commits;
    uint64_t commit_failures;
    uint64_t tasks; /* committed */
    uint64_t tasks_failed;
    uint64_t tasks_waiting; /* now */
    uint64_t commit_ns;     /* sum of the time in commit */
};
void database_counters_read(struct database *database, struct database_counters *ret_counters);

#endif
