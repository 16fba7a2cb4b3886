/*
 * A few threads for what blocks: files, checkpoints, resolving a host's name. A job runs on one of
 * them, and its result comes back to a loop as mail.
 *
 *   struct reading { struct pool_job job; char *path; struct buffer bytes; };
 *   reading->job = (struct pool_job){.run = read_file, .done = have_file, .loop = loop};
 *   TRY(pool_submit(pool, &reading->job, err));
 *
 * The job lies inside the submitter's object, which stays until `done` has been called. The queue
 * is bounded; a full one refuses.
 */
#ifndef LOOP_POOL_H
#define LOOP_POOL_H

#include "base/list.h"
#include "loop/mailbox.h"

enum { POOL_THREADS_MAX = 64 };

struct loop;
struct pool;
struct pool_job;

typedef void pool_job_function(struct pool_job *job);

struct pool_job {
    pool_job_function *run;  /* on a thread of the pool */
    pool_job_function *done; /* on the loop's thread; NULL: nobody wants to know */
    struct loop *loop;       /* where `done` is called; NULL only if `done` is */

    /* the pool's own */
    struct list link;
    struct mail mail;
};

/* Starts the threads: 1 to POOL_THREADS_MAX. Jobs waiting at the same time: queue_size_max. */
enum status pool_new(uint32_t thread_count, size_t queue_size_max, struct pool **ret_pool,
                     struct error *err) FALLIBLE;

/* Runs what waits, posts the results, ends the threads. Accepts NULL. No thread submits any more.
 */
void pool_free(struct pool *pool);

/* EXHAUSTED if the queue is full. Any thread. */
enum status pool_submit(struct pool *pool, struct pool_job *job, struct error *err) FALLIBLE;

/* True if the job had not begun and neither `run` nor `done` will be called. Any thread. */
bool pool_cancel(struct pool *pool, struct pool_job *job);

#endif
