/*
 * A chain: calls of the queues and of the store that belong together, a job's record and its
 * message, a result and its acknowledgement.
 *
 *   chain_init(&chain, jobs->store, jobs->queues);
 *   struct store_call *put = chain_add_store(&chain);
 *   put->operation = STORE_PUT; ...
 *   struct queue_call *send = chain_add_queue(&chain);
 *   send->operation = QUEUE_SEND; ...
 *   chain.done = submitted;
 *   chain_submit(&chain);                   // any thread; `done` always comes, maybe from inside
 *
 * Where queues and store share a database, all of it is one transaction. Where they do not, the
 * calls are made one after the other, in order, up to the first that fails: put what must not be
 * lost first. `done` comes when the last of them is through, on a thread of a database.
 *
 * More than the calls' own statuses decides: an admission that found another record, a message that
 * was not taken, a receipt that does not hold any more fail the chain (with ALREADY_EXISTS, or the
 * part's own status), and where it is one transaction leave nothing behind. A cancelled message
 * that is not there is no failure.
 *
 * The caller's memory, until `done`; zeroed by chain_init.
 */
#ifndef JOBS_CHAIN_H
#define JOBS_CHAIN_H

#include "queue/queue.h"
#include "store/store.h"

enum { CHAIN_STEPS_MAX = DATABASE_CHAIN_MAX - 1 /* and the check at its end */ };

struct chain;

/* `err` is NULL on STATUS_OK. May free the chain. */
typedef void chain_done_function(struct chain *chain, enum status status, const struct error *err);

struct chain_step {
    bool is_queue;
    union {
        struct store_call store;
        struct queue_call queue;
    };
};

struct chain {
    struct store *store;
    struct queue_store *queues;
    chain_done_function *done;
    struct chain_step steps[CHAIN_STEPS_MAX];
    size_t count;

    /* its own */
    size_t next; /* of those made one after the other */
    bool shared;
    struct database_task check;
};

/* Both borrowed. `queues` may be NULL if no queue call is added. */
void chain_init(struct chain *chain, struct store *store, struct queue_store *queues);

/* The next call, zeroed but for what the chain sets; at most CHAIN_STEPS_MAX of both. */
struct store_call *chain_add_store(struct chain *chain);
struct queue_call *chain_add_queue(struct chain *chain);

void chain_submit(struct chain *chain);

#endif
