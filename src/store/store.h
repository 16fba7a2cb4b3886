/*
 * The results store: every inference leaves a record (store/record.h). One interface over SQLite
 * and PostgreSQL (and memory, for tests); later DynamoDB.
 *
 *   struct store_call call = {.operation = STORE_GET, .arena = arena, .done = found,
 *                             .get = {.id = id}};
 *   TRY(store_submit(store, &call, err));      // any thread, does not block
 *
 * A call is a database task: store_call_prepare lets it be chained into a transaction with queue
 * calls (db/database.h): a job's record and its message, a result and its acknowledgement.
 *
 * What a write promises:
 *   PUT      records as they are; an id that exists already is left alone (the same again), and
 *            so is a record with a key that its model has: keys are ADMIT's
 *   ADMIT    one new record with an idempotency key: if (model, key) is known, nothing is written,
 *            and the known record is returned: the same input hash OK with existing set, another
 *            one ALREADY_EXISTS. A key is forgotten with its record.
 *   CHANGE   a record from one of some states to another, with what goes with it: FAILED_
 *            PRECONDITION if it is in none of them (nothing written): a late worker cannot
 *            overwrite a result, so a message's second run leaves no second result
 *   All are durable when `done` says OK.
 *
 * Threads and memory as in queue/queue.h: `done` on a database thread, inputs borrowed until then,
 * outputs in call->arena.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "db/database.h"
#include "store/record.h"

enum {
    STORE_PUT_MAX = 1024,   /* records of one put */
    STORE_LIST_MAX = 1000,  /* of one page */
    STORE_CURSOR_MAX = 256, /* characters */
};

struct store;
struct store_call;

struct store_put {
    const struct record *records;
    size_t count;
};

struct store_admit {
    const struct record *record; /* its key and key_hash are set */
    bool existing;               /* the record below was there before */
    struct record found;         /* in the arena, if existing */
};

/* What changes; a field that is not to change is zero (data NULL). */
struct store_change {
    struct str id;
    unsigned from; /* bits 1u << enum record_state */
    enum record_state to;
    uint64_t queued_us;
    uint64_t started_us;
    uint64_t done_us;
    bool set_status; /* status and error as below */
    enum status status;
    struct str error;
    struct str version;
    struct str digest;
    struct str variant;
    struct str message_id;
    const struct record_payload *output; /* NULL: not */
    /* Goes with a final state: a change to one ends the loan there was, and begins this one. */
    const struct record_payload *loan;
    bool clear_output; /* a retry begins anew: done_us goes to 0 as well, unless given */
    int attempts_add;
    double progress;       /* set if >= 0; give -1 to leave it */
    enum record_state was; /* result: the state that was found */
};

struct store_get {
    struct str id;    /* or, if empty: */
    struct str model; /* model and key */
    struct str key;
    bool without_payloads;
    struct record record; /* in the arena. NOT_FOUND: there is none */
};

/* Everything that is set must hold. Newest first unless ascending. */
struct store_filter {
    struct str model;
    struct str version;
    struct str variant;
    struct str group;
    struct str queue;
    struct str key;
    struct str trace_id;
    unsigned states;  /* bits; 0: any */
    unsigned sources; /* bits; 0: any */
    bool failed_only; /* status is not OK */
    /* When the record began, as its id tells it, to the millisecond: [since, until); 0: open. */
    uint64_t since_us;
    uint64_t until_us;
};

/*
 * Pages by cursor: each record that was there when the first page was asked for comes once, however
 * many are written meanwhile. A filter that few records pass ends a page early rather than looking
 * through all of them at once: a page may be short, even empty, and have a next one.
 */
struct store_list {
    struct store_filter filter;
    struct str cursor; /* of the page before; empty: the first. INVALID_ARGUMENT if it is none */
    uint32_t count_max;
    bool ascending;
    bool without_payloads;
    struct record *records; /* in the arena */
    size_t count;
    struct str next; /* cursor of the next page; empty: that was all */
};

struct store_label {
    struct str id;
    struct str label; /* JSON; empty: takes the label away */
};

struct store_statistics {
    uint64_t records;
    uint64_t bytes; /* that records take, about; what queues take is not counted */
    uint64_t oldest_us;
    uint64_t by_state[RECORD_STATE_COUNT];
};

/* Deletes the oldest finished records: those done before `before_us`, and as many as it takes to be
 * below bytes_max; at most count_max of them. Ends the loans, at most count_max as well, of records
 * that were done before `loans_before_us`; the records stay. */
struct store_prune {
    uint64_t before_us; /* 0: none by age */
    uint64_t bytes_max; /* 0: none by size */
    uint64_t loans_before_us;
    uint32_t count_max;
    uint64_t deleted;
    uint64_t loans_ended;
    bool more;
};

enum store_operation {
    STORE_PUT,
    STORE_ADMIT,
    STORE_CHANGE,
    STORE_LABEL, /* NOT_FOUND */
    STORE_PRUNE,
    STORE_GET, /* reads from here on */
    STORE_LIST,
    STORE_STATISTICS,
};

typedef void store_done_function(struct store_call *call, enum status status,
                                 const struct error *err);

/* Zeroed but for what is asked; the caller's memory, until `done`. */
struct store_call {
    enum store_operation operation;
    struct arena *arena; /* for outputs; may be NULL for PUT, CHANGE, LABEL, PRUNE */
    store_done_function *done;
    void *context;
    union {
        struct store_put put;
        struct store_admit admit;
        struct store_change change;
        struct store_label label;
        struct store_prune prune;
        struct store_get get;
        struct store_list list;
        struct store_statistics statistics;
    };

    /* the store's own */
    struct store *store;
    struct database_task task;
};

/* Wrong arguments are refused at once, without `done`. Any thread; never waits. */
enum status store_submit(struct store *store, struct store_call *call, struct error *err) FALLIBLE;

/* Submits and waits; call->done is overwritten. Not on loop or database threads. */
enum status store_run(struct store *store, struct store_call *call, struct error *err) FALLIBLE;

/* Makes call->task ready to be chained (task.together) into a transaction of store_database. */
enum status store_call_prepare(struct store *store, struct store_call *call,
                               struct error *err) FALLIBLE;

struct database *store_database(struct store *store);
const char *store_kind(const struct store *store);

/* No call is on its way any more. The database goes on. Accepts NULL. */
void store_free(struct store *store);

/* --- for implementations -----------------------------------------------------------------------
 */

/* Runs on a database thread inside a transaction, arguments checked. */
struct store_ops {
    const char *name;
    enum status (*run)(struct store *store, struct database_session *session,
                       struct store_call *call, struct error *err);
    void (*close)(struct store *store);
};

/* The first member of each implementation's struct. */
struct store {
    const struct store_ops *ops;
    struct database *database; /* borrowed, outlives the store */
};

#endif
