/*
 * The worker: leases messages, runs them through serve, and writes each result together with the
 * acknowledgement of its message.
 *
 *   TRY(worker_start(&options, &worker, err));      // a thread of its own, with a lane of serve
 *   ...
 *   worker_drain(worker);                           // leases no more
 *   if (worker_wait(worker, grace_ns)) worker_stop(worker);
 *
 * What it runs: the jobs of jobs/jobs.h, where there are queues for them, and what others send to
 * the queues that `consume` names, its own or SQS's.
 * All messages of one lease are submitted in one turn of its loop, so the scheduler makes batches
 * of them.
 *
 * What becomes of a message:
 *
 *   answered      record and acknowledgement in one transaction, if the lease still holds: a result
 *                 is written once, whoever else ran the message meanwhile. Queues that share no
 *                 database with the store: the record first (its id follows from the message, so a
 *                 second run finds it), then the acknowledgement.
 *   poison        (input that is no input of the model, unknown model): the record says so, the
 *                 message goes to the dead-letter queue; its neighbours do not notice
 *   transient     (engine, overload): back in the queue after a pause that doubles, until its
 *                 receives or attempts are used up; then as poison
 *   answered before, cancelled, expired   acknowledged, not run
 *
 * A queue of SQS buries nothing at once: poison is recorded, then left to come back until its
 * receives are used up, when SQS moves it; it is not run again meanwhile.
 *
 * Which record belongs to a message of others: the one with its key, which is the attribute
 * 'idempotency-key'; else, of a FIFO queue, group and deduplication id, if the sender chose that;
 * else the one whose id follows from the message's. So a message that is sent twice is run twice at
 * worst, and answered once. The attribute 'reply-to' has the answer sent to a queue too, at least
 * once, before the message is acknowledged.
 *
 * Messages of one group are run together but take effect in order: the result of the second is
 * written with or after that of the first. If the first has to be retried, the others are given
 * back unharmed, and the group goes on with it.
 *
 * Long work is hidden from others for as long as it takes: every third of the visibility time-out
 * the leases are extended. When the process dies, they run out, and the messages come back.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "base/counter.h"
#include "jobs/jobs.h"
#include "serve/serve.h"
#include "worker/courier.h"

enum {
    WORKER_PATTERNS_MAX = 256,
    WORKER_CONSUMERS_MAX = 256, /* queues that are leased from */
    WORKER_IN_FLIGHT_MAX = QUEUE_LEASE_MAX,
};

/* What stands before the name of a queue of SQS. */
#define WORKER_SQS "sqs:"

struct worker;

struct worker_options {
    struct serve *serve; /* borrowed, as all of it; has a lane for the worker */
    struct jobs *jobs;
    /*
     * Queues to lease from beside the jobs': names, with * and ? as wild cards. A name without them
     * that is missing is created, with a dead-letter queue. Dead-letter queues are never leased
     * from.
     */
    const char *const *consume;
    size_t consume_count;
    /*
     * Queues of SQS among those: "sqs:NAME" (queue_sqs.h; the names are plain by now). They are
     * there already, and stay as they are. NULL: there are none.
     */
    struct queue_store *sqs;
    const char *const *reply_to; /* "QUEUE=QUEUE": where answers go that no message says */
    size_t reply_to_count;
    /* Queues that a message may have its answer sent to (attribute 'reply-to'): names, with * and
     * ? as wild cards, of where the message came from. */
    const char *const *reply_allow;
    size_t reply_allow_count;
    const char *const *models; /* "QUEUE=MODEL": the model of messages that name none */
    size_t model_count;
    uint32_t in_flight_max; /* messages of one queue; 0: 256 */
    uint32_t lease_max;     /* messages of one lease; 0: 64 */
};

/* Since the start. The worker's thread writes, any thread reads. */
struct worker_counters {
    struct counter leased;
    struct counter succeeded;
    struct counter failed;
    struct counter retried;  /* put back after a failure */
    struct counter returned; /* put back without having been run to the end */
    struct counter skipped;  /* acknowledged without a run: answered before, cancelled, expired */
    struct counter lost;     /* the lease ran out first: somebody else's now */
    struct counter extended; /* leases, so that long work stays hidden from others */
    struct counter replied;  /* answers sent to who asked for one */
    struct counter replies_refused; /* whose queue is not there, or does not take them */
    struct counter lease_failures;  /* tries to lease that the queue's storage refused */
    struct counter in_flight;
    struct counter consumers;
};

/* Creates missing queues (blocks), then starts. */
enum status worker_start(const struct worker_options *options, struct worker **ret_worker,
                         struct error *err) FALLIBLE;

/* Leases no more, gives back what is not begun, finishes the rest. Any thread; once. */
void worker_drain(struct worker *worker);

/* True once nothing is in flight any more; false when the time is over. */
bool worker_wait(struct worker *worker, uint64_t timeout_ns);

/*
 * After worker_wait has returned true (else engines may still write where this would free: end the
 * process instead). Before serve and queues are freed. Accepts NULL.
 */
void worker_stop(struct worker *worker);

const struct worker_counters *worker_counters(const struct worker *worker);

/* Of the callbacks, which the worker sends as well where any are allowed; else NULL. */
const struct courier_counters *worker_courier_counters(const struct worker *worker);

/* True if the name fits the pattern: * is any text, ? any character. */
bool worker_pattern_fits(struct str pattern, struct str name);

#endif
