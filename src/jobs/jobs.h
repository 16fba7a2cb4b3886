/*
 * Jobs: inferences that are accepted now and run later. A job is a record in the store and a
 * message in a queue, written in one transaction; whoever leases the message (worker/worker.h) runs
 * it and writes the result and the acknowledgement in one transaction again.
 *
 *   jobs = jobs_new(&options);
 *   jobs_attach(jobs, queues, store);                // when they are open
 *   TRY(jobs_prepare(jobs, err));                    // makes the queues; blocks
 *   ...
 *   submission->record.model = STR("doubleit"); ...
 *   job_submit(submission);                          // submission->done comes
 *
 * The queues, made by jobs_prepare: slipway-jobs (standard: delay and priority), slipway-jobs.fifo
 * (jobs of a group, in order), and behind each a dead-letter queue; slipway-callbacks for what is
 * to be told to others.
 *
 * What may not be kept as it came (store/privacy.h) is not in the record: the input is whole in the
 * message, which is deleted with the job's end, and only if it is too large for that on loan in the
 * record, until the same moment. An answer is on loan for result_ttl_ns, since its job is over
 * before it can be fetched. A failed job's message lies in the dead-letter queue as it came.
 *
 * The message: the body is the request's bytes as they came. Attributes: `job` (the record's id),
 * `model`, `version`, `type` (media type, jobs/payload.h), `header-size`, `trace`; `input` is
 * "record" if the bytes were too many for a message and lie in the record only. Its id is the
 * job's, as a UUID; that of a retry is new.
 *
 * Threads: any. `done` comes on a thread of the database, maybe from inside the call.
 */
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H

#include "base/tally.h"
#include "jobs/bell.h"
#include "jobs/callback.h"
#include "jobs/chain.h"
#include "jobs/payload.h"
#include "store/privacy.h"

#define JOBS_QUEUE "slipway-jobs"
#define JOBS_QUEUE_FIFO "slipway-jobs.fifo"
#define JOBS_DEAD "slipway-jobs-dead"
#define JOBS_DEAD_FIFO "slipway-jobs-dead.fifo"
#define JOBS_CALLBACKS "slipway-callbacks"
#define JOBS_CALLBACKS_DEAD "slipway-callbacks-dead"
/* Queues whose names begin so are the product's own. */
#define JOBS_RESERVED "slipway-"

enum {
    JOB_MESSAGE_ID_SIZE = 36,
    JOB_ATTRIBUTES = 7,                   /* of a message, at most */
    JOB_BODY_IN_MESSAGE_MAX = 960 * 1024, /* more lies in the record only */
    JOB_PRIORITY = 4,                     /* of who asks for none */
    JOB_DELAY_MS_MAX = 7 * 24 * 3600 * 1000,
    JOB_GROUP_MAX = QUEUE_ID_MAX,
    JOB_ATTEMPTS_MARGIN = 10,
    JOB_ARENA_MAX = 2 * 1024 * 1024,
    JOB_RECORD_MAX = 3 * RECORD_PAYLOAD_MAX + JOB_ARENA_MAX, /* input, output, loan */
};

_Static_assert(JOB_BODY_IN_MESSAGE_MAX + 8192 < QUEUE_MESSAGE_SIZE_MAX,
               "attributes fit behind the largest body");
_Static_assert((int)JOB_ATTRIBUTES <= (int)QUEUE_ATTRIBUTES_MAX, "a message takes our attributes");

struct jobs_options {
    uint32_t attempts_max;  /* runs of one job until it has failed; 0: 5 */
    uint64_t visibility_ms; /* of a lease, extended while it is worked on; 0: 30 s */
    /* Whom a job's end may be told to; NULL: nobody. Borrowed, as the secret is. */
    const struct callback_rules *callback_rules;
    struct str callback_secret;
    uint32_t callback_tries;      /* of one callback; 0: 10 */
    uint64_t callback_timeout_ns; /* of one try; 0: 10 s */
    /* What may be kept; redact lists are borrowed. A model's own rules go over it (jobs/keep.h). */
    struct privacy input;
    struct privacy output;
    /* How long an answer that may not be kept whole is there to be fetched; 0: not at all. */
    uint64_t result_ttl_ns;
};

/* What happened to jobs in this process, by model. */
enum job_count {
    JOB_COUNT_SUBMITTED,
    JOB_COUNT_SUCCEEDED,
    JOB_COUNT_FAILED,
    JOB_COUNT_CANCELLED,
    JOB_COUNT_EXPIRED,
    JOB_COUNT_RETRIED, /* put back after a failure, or run again by request */
    JOB_COUNT_KINDS,
};

_Static_assert((int)JOB_COUNT_KINDS <= (int)TALLY_KINDS, "a row has room for what is counted");

struct jobs {
    struct jobs_options options;
    struct tally tally; /* kinds: enum job_count. Any thread */
    struct queue_store *queues;
    struct store *store;
    struct bell *bell;
    _Atomic bool ready; /* queues and store are set and stay, and what is in them is made */
};

/* Makes it; nothing is read or written yet, and nothing else may be asked of it but
 * jobs_are_ready. */
struct jobs *jobs_new(const struct jobs_options *options);

/* Gives it what jobs are kept in, borrowed for its life. Once; jobs_prepare comes next. */
void jobs_attach(struct jobs *jobs, struct queue_store *queues, struct store *store);
void jobs_free(struct jobs *jobs);

/* Creates the queues that are missing. Blocks; no loop's or database's thread. */
enum status jobs_prepare(struct jobs *jobs, struct error *err) FALLIBLE;

/* One of the queues above: not for clients to delete, since results are written together with what
 * is sent there. */
bool jobs_owns_queue(struct str name);

/* True from the first jobs_prepare on that went well. Any thread; other threads ask for nothing
 * below before. */
bool jobs_are_ready(struct jobs *jobs);

/* Creates a queue with a dead-letter queue behind it ("x-dead", "x-dead.fifo"), or leaves the one
 * that is there. Blocks. */
enum status jobs_create_queue(struct jobs *jobs, struct str name, uint32_t max_receive_count,
                              struct error *err) FALLIBLE;

/* The clock of records and messages. */
uint64_t jobs_now_ms(struct jobs *jobs);

/* --- the message ------------------------------------------------------------------------------ */

/* What a message says of its job. Views of the message. */
struct job_ticket {
    struct str job; /* id of the record */
    struct str model;
    struct str version;
    struct str type;
    struct str trace_id;
    uint64_t header_size;
    bool input_in_record;
};

/* False if it is no job's message. */
bool job_ticket_read(const struct queue_message *message, struct job_ticket *ret_ticket);

/* A message's id from a record's. */
void job_message_id(const char *record_id, char ret_id[JOB_MESSAGE_ID_SIZE + 1]);

/* The value of an attribute; data NULL if it is not there. */
struct str job_attribute(const struct queue_message *message, struct str name);

/* A message for a record, whose input is whole. Its memory is the caller's. */
struct job_message {
    char id[JOB_MESSAGE_ID_SIZE + 1];
    char header_size[24];
    char deduplication_id[RECORD_ID_SIZE + 16];
    struct queue_attribute attributes[JOB_ATTRIBUTES];
    struct queue_new_message message;
    struct queue_sent sent;
};

/* `attempt` is 0 of a new job; a retry gets a new id and deduplication id. Borrows the record. */
void job_message_make(struct job_message *job, const struct record *record, uint64_t now_ms,
                      uint32_t attempt);

/* The queue that a record's messages go to. */
struct str job_queue(const struct record *record);
struct str job_dead_queue(const struct record *record);

/* A message that has a job's end told. The caller's memory. */
struct job_notice {
    struct queue_attribute attribute;
    struct queue_new_message message;
    struct queue_sent sent;
};

/* Adds it to the chain that ends the job, if its record asks for it. Borrows the record's id. */
void job_notice_add(struct job_notice *notice, const struct record *record, struct chain *chain,
                    struct arena *arena);

/* --- submission ------------------------------------------------------------------------------- */

struct job_submission;
typedef void job_submitted_function(struct job_submission *submission, enum status status,
                                    const struct error *err);

/* The caller's memory until `done`. */
struct job_submission {
    struct jobs *jobs;
    /*
     * Model, version, key, trace, request id, group, input (bytes, type, header_size), priority,
     * start, expiry, callback; the rest is set by job_submit. What it points to stays until `done`.
     */
    struct record record;
    /* What its record may keep of the input; NULL: all. */
    const struct record_payload *kept;
    job_submitted_function *done;
    void *context;

    /* for `done` */
    bool existing;       /* the key was known, with the same input */
    struct record found; /* then; in the submission's arena */

    /* its own */
    struct arena arena;
    struct chain chain;
    struct job_message message;
    struct error failure;
};

/*
 * Writes record and message. With a key that is known: OK and `existing` for the same input,
 * ALREADY_EXISTS for another.
 */
void job_submit(struct job_submission *submission);

/* Frees what it holds, after `done`. */
void job_submission_clear(struct job_submission *submission);

#endif
