/*
 * Durable queues with the semantics of SQS: standard and FIFO, visibility time-outs, delays,
 * deduplication, dead-letter queues, long polling. One interface over three kinds of storage
 * (SQLite's file, SQLite without a file by sqlite_memory_new, PostgreSQL), and over SQS itself.
 *
 *   struct queue_store  all the queues of one database, or of one region of AWS (queue_sqlite.h,
 *                       queue_postgres.h, queue_sqs.h make one; only app names those)
 *   struct queue_call   one operation on its way: what is asked, what came of it
 *
 *   call->operation = QUEUE_SEND;
 *   call->queue = STR("inference-dev");
 *   call->send = (struct queue_send){.messages = &message, .count = 1};
 *   call->done = sent;                               // when it is durable
 *   TRY(queue_submit(queues, call, err));            // any thread, does not block
 *
 * Semantics, the same for every kind (tests/conform/queue holds each to them; the reference is what
 * AWS does; what SQS lets nobody do is listed in queue_sqs.h):
 *
 *   standard  a waiting message is leased in order of (priority, arrival), at least once. It is
 *             hidden for the visibility time-out of its receive, then comes back, its receive count
 *             one higher.
 *   FIFO      messages with one group id keep their order. Of a group, what may be leased is the
 *             prefix before its first message that is hidden (in flight or delayed). A lease
 *             prefers many of one group: a1 b1 a2 a3 is leased as a1 a2 a3 b1.
 *   dedup     FIFO: a send with the same deduplication id within 5 minutes of the first accepted
 *             one returns that one's id and stores nothing, also after the message was deleted;
 *             purge forgets the ids. Scope: the queue, or the message group.
 *   dead      a message whose receive count has reached max_receive_count is moved to the
 *             dead-letter queue by the lease that would exceed it, with id, body and attributes
 *             kept (and does not hold up its group or its neighbours). FIFO: its deduplication id
 *             becomes its message id and its retention clock starts again.
 *   retention a message older than retention_s is gone, in flight or not.
 *
 * Durable: a call's `done` with OK means committed, that is fsynced (but in memory). Whatever fails
 * leaves nothing behind.
 *
 * Long polling: a QUEUE_LEASE with wait_ms > 0 that finds nothing waits in this process, without a
 * thread, until a message may be there (a send here, a notice from another process on PostgreSQL, a
 * time-out or delay that ends) or the time is over.
 *
 * Together. queue_call_chain(call, task) makes a database task part of the same transaction: the
 * acknowledgement of a message and the result it led to. NULL in queue_store_database: this kind
 * cannot, and the caller does the task first, then the acknowledgement.
 *
 * Threads: `done` comes on a thread of the database. What the call points to as input is borrowed
 * until then. Outputs lie in call->arena, which belongs to the call while it is on its way.
 */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include "base/arena.h"
#include "base/str.h"
#include "base/tally.h"
#include "db/database.h"

enum {
    QUEUE_NAME_MAX = 80,
    QUEUE_MESSAGE_SIZE_MAX = 1048576, /* body and attributes */
    QUEUE_BATCH_MAX = 10,             /* entries of one send, ack or extend over SQS's protocol */
    QUEUE_LEASE_MAX = 1024,           /* messages of one lease in process */
    QUEUE_SEND_MAX = 1024,            /* messages of one send in process */
    QUEUE_ATTRIBUTES_MAX = 10,        /* of one message */
    QUEUE_ATTRIBUTE_NAME_MAX = 256,
    QUEUE_ID_MAX = 128, /* group, deduplication id, receive attempt id */
    QUEUE_QUEUES_MAX = 10000,
    QUEUE_TAGS_MAX = 50,
    QUEUE_WAITERS_MAX = 16384,    /* long polls at the same time */
    QUEUE_IN_FLIGHT_MAX = 120000, /* of one queue; a lease beyond it finds nothing */
    QUEUE_PRIORITY_MAX = 9,       /* 0 is served first; 4 is the default of jobs */
    QUEUE_WAIT_MS_MAX = 60000,
    QUEUE_DEDUPLICATION_MS = 5 * 60 * 1000,
    QUEUE_VISIBILITY_S_MAX = 43200, /* also in total, from the receive on */
    QUEUE_DELAY_S_MAX = 900,        /* by SQS's protocol; jobs may be delayed longer */
    QUEUE_RETENTION_S_MIN = 60,
    QUEUE_RETENTION_S_MAX = 1209600,
    QUEUE_RECEIPT_MAX = 1024, /* characters of a receipt handle that are looked at */
};

struct queue_store;
struct queue_call;

/* What a queue is set to. queue_settings_init gives AWS's defaults. */
struct queue_settings {
    bool fifo; /* the name ends in ".fifo" */
    bool content_based_deduplication;
    bool deduplicate_by_group;  /* DeduplicationScope messageGroup */
    bool throughput_per_group;  /* FifoThroughputLimit perMessageGroupId; told back, no effect */
    uint32_t visibility_s;      /* 30 */
    uint32_t delay_s;           /* 0 */
    uint32_t retention_s;       /* 345,600 */
    uint32_t wait_s;            /* ReceiveMessageWaitTimeSeconds, 0 */
    uint32_t message_size_max;  /* QUEUE_MESSAGE_SIZE_MAX */
    uint32_t max_receive_count; /* 0: no dead-letter queue */
    char dead_letter[QUEUE_NAME_MAX + 1]; /* name of the dead-letter queue, "" */
    /* RedriveAllowPolicy, policy and the like as the client gave them: kept and told back. The
     * names of source queues in redrive_allow are enforced when a RedrivePolicy names this queue.
     */
    struct str redrive_allow; /* JSON or empty */
    struct str other;         /* JSON object of attributes without effect here: Policy, Kms... */
};

void queue_settings_init(struct queue_settings *settings, bool fifo);

/* A typed attribute of a message. `type` with its suffix: "Number.int". */
struct queue_attribute {
    struct str name;
    struct str type;  /* begins with String, Number or Binary */
    struct str value; /* bytes; of Binary decoded */
};

/* --- operations: inputs first, then what `done` finds ------------------------------------------
 */

struct queue_new_message {
    struct str body;
    const struct queue_attribute *attributes; /* by name, ascending, in what is stored */
    size_t attribute_count;
    struct str trace_header;     /* AWSTraceHeader; empty: none */
    struct str group;            /* FIFO: required. Standard: kept, no effect */
    struct str deduplication_id; /* empty: by content if the queue says so */
    int64_t delay_ms;            /* -1: the queue's. FIFO: -1 or 0 only */
    uint32_t priority;           /* 0 to QUEUE_PRIORITY_MAX; 0 if nobody cares */
    struct str id; /* a message id the caller made (36 characters); empty: made here */
};

struct queue_sent {
    enum status status; /* of this message: a batch may fail in parts */
    const char *reason; /* in the arena; NULL on OK */
    struct str id;
    uint64_t sequence; /* FIFO: rises with every message of the queue */
    bool duplicate;    /* nothing new was stored: id is the first one's */
};

struct queue_send {
    const struct queue_new_message *messages;
    size_t count;            /* 1 to QUEUE_SEND_MAX */
    struct queue_sent *sent; /* `count` of them, the caller's */
};

/* A message that was leased. Everything in the call's arena. */
struct queue_message {
    struct str id;
    struct str body;
    struct queue_attribute *attributes;
    size_t attribute_count;
    struct str trace_header;
    struct str group;
    struct str deduplication_id;
    struct str receipt;            /* the handle of this receive: text, new each time */
    struct str dead_letter_source; /* name of the queue it was moved from; empty */
    uint64_t sequence;
    uint64_t sent_ms;
    uint64_t first_received_ms;
    uint64_t visible_ms; /* when it comes back unless extended */
    uint32_t receive_count;
    uint32_t priority;
};

struct queue_lease {
    uint32_t count_max;             /* 1 to QUEUE_LEASE_MAX */
    int64_t visibility_ms;          /* -1: the queue's; 0: stays visible (the count still rises) */
    int64_t wait_ms;                /* -1: the queue's */
    struct str attempt_id;          /* FIFO: ReceiveRequestAttemptId; empty: none */
    struct queue_message *messages; /* in the arena */
    size_t count;
    size_t dead_lettered; /* found with their receives used up, and moved */
};

/* For ack, extend, nack: each receipt has a status of its own. */
struct queue_receipt {
    struct str receipt;
    int64_t visibility_ms; /* extend, nack: from now; ack: ignored */
    /*
     * OK; INVALID_ARGUMENT (no handle of this queue); FAILED_PRECONDITION (expired: FIFO, the
     * message was or may be leased again), NOT_FOUND (extend of a message that is gone). Deleting
     * twice, and on a standard queue by an old handle, is OK.
     */
    enum status status;
    const char *reason; /* in the arena; NULL on OK */
    /* ack with this set: the whole call fails with FAILED_PRECONDITION, writing nothing (nor what
     * is chained), if the message is not in flight by this very receipt. For effectively once. */
    bool must_hold;
    bool buried; /* out, BURY: it is in the dead-letter queue now; else it was deleted */
};

struct queue_receipts {
    struct queue_receipt *receipts;
    size_t count;
};

struct queue_depth {
    uint64_t visible;
    uint64_t in_flight;
    uint64_t delayed;
    uint64_t oldest_ms; /* age of the oldest message; 0 if empty */
};

/* A queue as it is listed and described. In the arena. */
struct queue_description {
    struct str name;
    struct queue_settings settings;
    uint64_t created_ms;
    uint64_t modified_ms;
    const struct queue_attribute *tags; /* name and value */
    size_t tag_count;
};

struct queue_page {
    struct str prefix;
    struct str after; /* a name: what follows it; empty: from the start */
    uint32_t count_max;
    struct str dead_letter;           /* only queues whose dead-letter queue is this; empty: all */
    struct queue_description *queues; /* by name, in the arena */
    size_t count;
    bool more;
};

/* A redrive: messages of a dead-letter queue go back, as new ones, in the background. */
struct queue_move {
    struct str source;
    struct str destination; /* empty: each to the queue it came from */
    uint32_t rate_max;      /* messages a second; 0: as fast as it goes */
    struct str handle;      /* of the task; input of a cancel */
    const char *state;      /* "RUNNING" "COMPLETED" "CANCELLING" "CANCELLED" "FAILED" */
    const char *failure;    /* or NULL */
    uint64_t moved;
    uint64_t to_move;
    uint64_t started_ms;
};

struct queue_moves {
    struct str source;
    uint32_t count_max; /* the newest first */
    struct queue_move *moves;
    size_t count;
};

enum queue_operation {
    QUEUE_CREATE,   /* settings, tags. The same again is OK; ALREADY_EXISTS names the attribute that
                       differs; ABORTED within 60 s of its deletion if strict_deletion is set */
    QUEUE_DELETE,   /* the queue and what is in it */
    QUEUE_DESCRIBE, /* description */
    QUEUE_CONFIGURE, /* settings; a changed delay_s of a FIFO queue acts on what waits */
    QUEUE_TAG,       /* replaces the tags by settings' */
    QUEUE_LIST,      /* page; call->queue is not used */
    QUEUE_SEND,
    QUEUE_LEASE,
    QUEUE_EXTEND, /* receipts: hidden for visibility_ms from now; total at most 12 h */
    QUEUE_ACK,    /* receipts: deleted */
    QUEUE_NACK, /* receipts: back after visibility_ms, the receive not counted against the message:
                   work that was never begun */
    QUEUE_BURY, /* receipts: to the dead-letter queue at once, deleted if the queue has none at this
                   moment; FAILED_PRECONDITION, and it stays, if that was deleted. For poison that
                   no retry can heal */
    QUEUE_CANCEL, /* ids: deletes messages that are not in flight; NOT_FOUND else */
    QUEUE_DEPTH,
    QUEUE_PURGE, /* ABORTED within 60 s of the last */
    QUEUE_MOVE_START,
    QUEUE_MOVE_LIST,
    QUEUE_MOVE_CANCEL,
};

typedef void queue_done_function(struct queue_call *call, enum status status,
                                 const struct error *err);

/* One operation. Zeroed but for what is asked; the caller's memory, until `done`. */
struct queue_call {
    enum queue_operation operation;
    struct str queue;    /* its name. NOT_FOUND of the call: there is none */
    struct arena *arena; /* for outputs */
    queue_done_function *done;
    void *context; /* the caller's */
    union {
        struct queue_send send;
        struct queue_lease lease;
        struct queue_receipts receipts; /* EXTEND ACK NACK BURY; CANCEL: receipt is a message id */
        struct queue_description description; /* CREATE CONFIGURE TAG DESCRIBE */
        struct queue_page page;
        struct queue_depth depth;
        struct queue_move move;
        struct queue_moves moves;
    };

    /* the queue room's own */
    struct queue_store *queues;
    struct database_task task;
    struct list link;     /* of the long polls */
    uint64_t deadline_ns; /* of a long poll, monotonic; 0: none */
    uint64_t look_ns;     /* when a waiting long poll looks again by itself */
    uint64_t wakes;       /* the front's count when the queue was looked at */
    size_t served;        /* of a send: long polls that looked in its own transaction */
    bool joined;          /* of a long poll: it looks in the transaction of a send */
    _Atomic bool cancelled;
};

/* --- the room's functions ----------------------------------------------------------------------
 */

/* Starts an operation. What is wrong with its arguments (names, ranges, sizes, characters) is
 * refused at once, `done` is not called then. Any thread; never waits. */
enum status queue_submit(struct queue_store *queues, struct queue_call *call,
                         struct error *err) FALLIBLE;

/* Submits and waits for the answer; call->done is overwritten. For commands, tests, control
 * threads. */
enum status queue_run(struct queue_store *queues, struct queue_call *call,
                      struct error *err) FALLIBLE;

/* Before queue_submit: `task` commits with the call (a chain of its own is appended). Its `done`
 * comes after the call's. Only where queue_store_database is not NULL. */
void queue_call_chain(struct queue_call *call, struct database_task *task);

/*
 * The other way round: makes the call ready to be chained behind a task of the caller's own, which
 * is then submitted by database_submit. Checks arguments like queue_submit.
 */
enum status queue_call_prepare(struct queue_store *queues, struct queue_call *call,
                               struct error *err) FALLIBLE;

/* False: this kind has no such operation, and refuses it with UNIMPLEMENTED. */
bool queue_store_can(const struct queue_store *queues, enum queue_operation operation);

/* The database whose transactions a call can share; NULL if this kind has none. */
struct database *queue_store_database(struct queue_store *queues);

/* For a long poll whose client is gone: `done` comes soon, with CANCELLED if it was still waiting.
 * A lease that is being taken is taken. Any thread. */
void queue_cancel_wait(struct queue_store *queues, struct queue_call *call);

/* Ends the long polls (CANCELLED) and the background work. No call is on its way any more when it
 * returns. The database goes on. Accepts NULL. */
void queue_store_free(struct queue_store *queues);

const char *queue_store_kind(const struct queue_store *queues);

/* What this process did to its queues, by name; a queue that is created has its row from then on.
 * Messages, committed ones only. */
enum queue_count {
    QUEUE_COUNT_SENT,
    QUEUE_COUNT_RECEIVED,
    QUEUE_COUNT_DELETED,       /* acknowledged, or cancelled before they were received */
    QUEUE_COUNT_DEAD_LETTERED, /* moved from this queue to its dead-letter queue */
    QUEUE_COUNT_KINDS,
};

/* Any thread; lives as long as the queues. */
struct tally *queue_store_tally(struct queue_store *queues);

/* --- for implementations -----------------------------------------------------------------------
 */

/*
 * One static const table each. Every function runs on a database thread inside a transaction, with
 * arguments already checked (queue/rules.h); it writes outputs to call->arena. The rule of `run`
 * in db/database.h holds: check, then write, and be ready to be called twice.
 */
struct queue_ops {
    const char *name;
    uint32_t missing; /* bits 1u << enum queue_operation that it does not have */
    /*
     * Kinds without a database have this, `ending` and `close`, and nothing of the rest: takes a
     * call whose arguments are checked, and ends it by queue_store_finish, on any thread. Long
     * polls are theirs; they look at call->cancelled (under no lock: it only becomes true).
     */
    enum status (*submit)(struct queue_store *queues, struct queue_call *call, struct error *err);
    enum status (*run)(struct queue_store *queues, struct database_session *session,
                       struct queue_call *call, struct error *err);
    /*
     * Bounded housekeeping (expired messages and ids, moves), at most `work_max` rows; *ret_more is
     * true if there is more to do.
     */
    enum status (*maintain)(struct queue_store *queues, struct database_session *session,
                            uint32_t work_max, bool *ret_more, struct error *err);
    /* When the next hidden message of this queue becomes visible: ms, UINT64_MAX for never. */
    enum status (*next_due)(struct queue_store *queues, struct database_session *session,
                            struct str queue, uint64_t *ret_due_ms, struct error *err);
    /* Before anything else ends: nothing calls queue_store_wake any more. May be NULL. Without a
     * database: no call is on its way any more when it returns. */
    void (*ending)(struct queue_store *queues);
    void (*close)(struct queue_store *queues); /* frees the implementation's struct */
};

/* The first member of each implementation's struct; queue_store_init starts housekeeping. */
struct queue_front;
struct queue_store {
    const struct queue_ops *ops;
    struct database *database; /* borrowed, outlives the queues; NULL: none */
    struct queue_front *front; /* long polls and housekeeping: queue.c */
};

/* Borrows the database, and housekeeping runs on a thread of its own; NULL for kinds without. */
void queue_store_init(struct queue_store *queues, const struct queue_ops *ops,
                      struct database *database);

/* For kinds without a database: counts what was done, and calls `done`. */
void queue_store_finish(struct queue_call *call, enum status status, const struct error *err);

/* A message may be leasable in this queue ("" = in any): wakes its long polls. Any thread. */
void queue_store_wake(struct queue_store *queues, struct str queue);

#endif
