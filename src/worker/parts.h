/*
 * What the files of the worker share. Everything on the worker's thread but where a member says
 * otherwise.
 *
 *   worker -- consumers (one a queue) -- leases -- groups -- works (one a message)
 *
 *   consumer.c  leases, looks the records up, heartbeats
 *   identity.c  tells which record a message of others belongs to
 *   work.c      decides what a message needs, runs it
 *   settle.c    writes what came of it, in the order of the group
 *   reply.c     tells who asked for it
 *   worker.c    the thread, the tick, which queues there are
 */
#ifndef WORKER_PARTS_H
#define WORKER_PARTS_H

#include "base/hash.h"
#include "base/rand.h"
#include "serve/reply.h"
#include "worker/worker.h"

#include <pthread.h>

enum {
    REPLY_SIZE_MAX = QUEUE_MESSAGE_SIZE_MAX - 4096, /* attributes fit behind it */
    TICK_MS = 100,
    RUNNING_AFTER_MS = 200, /* a job that takes longer than this is seen as running */
    LEASE_WAIT_MS = 20000,
    DISCOVERY_MS = 2000,
    REFRESH_MS = 15 * 1000,               /* settings of a queue of SQS, which others may change */
    DESCRIPTION_MEMORY_MAX = 1024 * 1024, /* of one queue */
    WORK_MEMORY_MAX = 512 * 1024 * 1024,
    LEASE_MEMORY_MAX = 1100 * 1024 * 1024, /* the largest lease of the largest messages */
    RETRY_MS_MIN = 500,
    RETRY_MS_MAX = 5 * 60 * 1000,
    AGAIN_MS = 500, /* when the server was too full to begin */
};

enum work_state {
    WORK_WAITING, /* for its record, or to be started */
    WORK_RUNNING, /* serve has it */
    WORK_DECIDED, /* its outcome is known, and serve has let go of it */
    WORK_SETTLING,
    WORK_FINISHED,
};

enum work_outcome {
    OUTCOME_SUCCEEDED,
    OUTCOME_FAILED,
    OUTCOME_EXPIRED,
    OUTCOME_RETRY,  /* after retry_ms; counts as an attempt */
    OUTCOME_RETURN, /* after retry_ms; does not */
    OUTCOME_SKIP,   /* acknowledge */
    OUTCOME_LEAVE,  /* failed before: for its queue to bury, which only its receives do */
    OUTCOME_DROP,   /* leave alone: not ours any more */
};

struct group;
struct lease;

/* An answer on its way; memory of the settlement. */
struct reply {
    struct queue_attribute attributes[2];
    struct queue_new_message message;
    struct queue_sent sent;
    char deduplication_id[RECORD_ID_SIZE + 1];
};

struct work {
    struct lease *lease;
    struct group *group;
    struct work *next; /* of the group */
    struct queue_message *message;
    bool is_job;
    struct job_ticket ticket;
    char id[RECORD_ID_SIZE + 1];
    /* Of a message that others sent: what makes it the same as another one; empty: its id does. */
    struct str key;
    uint8_t key_hash[SHA256_SIZE]; /* of its input */
    struct str reply_to;           /* a queue's name; data NULL: nobody wants an answer */
    struct str correlation;        /* that the answer is told by */
    char trace_id[33];             /* W3C's, of the message's trace; "": none */
    bool reply_refused;            /* by its queue: the result counts without it */
    bool reruns;                   /* its record is there, of a run that failed */
    enum work_state state;
    enum work_outcome outcome;
    bool decided; /* the outcome stands, though serve may still hold the call */
    uint64_t retry_ms;
    struct error error; /* of FAILED, RETRY, EXPIRED */
    enum status error_status;

    struct arena arena;
    struct store_call get;
    bool found; /* the record below */
    bool lookup_failed;
    bool looked_again; /* after a settlement that did not fit the record */
    struct record record;

    struct infer_request request;
    struct payload payload;
    struct serve_call call;
    struct buffer output;
    struct str output_type;
    uint64_t output_header_size;
    /* What the record may keep, and what it needs whole for a while; made while the model is there.
     */
    struct record_payload kept_input; /* of a message that others sent */
    struct record_payload kept_output;
    struct record_payload loan; /* bytes.data NULL: none */
    char version[24];           /* that ran */
    uint64_t started_us;
    uint64_t started_ns; /* of the loop's clock */
    bool marked;         /* as running, or that is on its way */
    bool refused;        /* the store did not take its result as it was */
};

/* Messages that take effect in order; on a standard queue each is a group. */
struct group {
    struct work *first; /* that is not finished */
    struct work *last;
    bool settling;
    bool single;  /* one at a time: together they did not go */
    bool stopped; /* what is left goes back */
    bool lost;    /* what is left is not ours any more */
    uint32_t tries;
    uint64_t again_ns; /* not before; 0: now */
};

struct lease {
    struct list link; /* of the consumer */
    struct consumer *consumer;
    struct arena arena;
    struct queue_call call;
    struct mail mail;
    enum status status;
    struct error error;
    struct work *works;
    struct group *groups;
    size_t count;
    size_t group_count;
    size_t unfinished;
    _Atomic uint32_t looking; /* records that are looked up; any thread */
};

struct consumer {
    struct list link;
    struct worker *worker;
    struct queue_store *queues; /* its queue is one of */
    bool is_foreign;            /* of SQS: named by the user, never looked for */
    char name[QUEUE_NAME_MAX + 1];
    char *model;    /* of messages that name none; NULL */
    char *reply_to; /* of messages that name none: where their answers go; NULL */
    bool is_jobs;
    bool fifo;
    bool seen; /* by the discovery that runs */
    bool gone; /* leases no more */
    bool has_dead_letter;
    uint32_t max_receive_count;
    uint64_t visibility_ms;
    struct lease *leasing;
    struct list leases;
    uint32_t in_flight;
    uint64_t again_ns; /* no lease before */
    uint32_t failures; /* in a row, of leasing */
    uint64_t beat_ns;
    bool beating;
    uint64_t refresh_ns; /* of a queue of SQS: when its settings are asked for again */
    bool refreshing;
};

struct worker {
    struct worker_options options;
    struct jobs *jobs;
    struct loop *loop;
    struct serve_lane *lane;
    struct courier *courier;
    pthread_t thread;
    bool thread_started;
    struct list consumers;
    uint32_t consumer_count;
    struct loop_timer tick;
    bool ready; /* the models are loaded as far as they can be */
    bool draining;
    uint32_t pending; /* calls on their way that come back as mail, leases apart */
    uint64_t discovery_ns;
    bool discovering;
    bool advanced; /* a group has moved: leases may be made */
    struct prng prng;
    struct worker_counters counters;

    struct mail drain_mail;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool drained; /* under the lock */
};

/* consumer.c */
struct consumer *consumer_new(struct worker *worker, struct queue_store *queues, struct str name);
void consumer_free(struct consumer *consumer);
void consumer_configure(struct consumer *consumer, const struct queue_settings *settings);
void consumer_lease(struct consumer *consumer); /* if there is room */
void consumer_reap(struct consumer *consumer);  /* frees leases that are finished */
void consumer_tick(struct consumer *consumer);
bool consumer_is_idle(const struct consumer *consumer);
void lease_look_up(struct work *work);
void work_finish(struct work *work);

/* identity.c: which record a message of others belongs to, and who wants to know */
void work_identify(struct work *work);
/* What the message asks for that cannot be had. */
enum status work_check(const struct work *work, struct error *err) FALLIBLE;
/* True if the record that was found is of another input with the same key. */
bool work_conflicts(const struct work *work);

/* reply.c: the answer to a message that wants one; added to a chain before its receipt. */
bool work_wants_reply(const struct work *work);
void reply_add(struct reply *reply, struct work *work, struct chain *chain);

/* work.c */
enum status work_name_model(struct work *work, struct error *err) FALLIBLE;
void work_open(struct work *work);  /* what the message says; before the look-up */
void work_start(struct work *work); /* after the look-up */
void work_abandon(struct work *work);
void work_mark_running(struct work *work);
void work_decide(struct work *work, enum work_outcome outcome);

/* settle.c */
void group_advance(struct group *group);

/* worker.c */
void worker_begin_call(struct worker *worker);
void worker_end_call(struct worker *worker);

#endif
