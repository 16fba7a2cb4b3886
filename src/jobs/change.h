/*
 * What may be done to a job from outside: it is cancelled, or run once more. The record is read,
 * then changed together with its message.
 *
 *   change->jobs = jobs; change->kind = JOB_CANCEL; change->id = id; change->done = changed;
 *   job_change(change);                   // `done` comes, maybe from inside
 */
#ifndef JOBS_CHANGE_H
#define JOBS_CHANGE_H

#include "jobs/jobs.h"

enum job_change_kind {
    JOB_CANCEL, /* pending, running -> cancelled; cancelled already is OK */
    JOB_RETRY,  /* failed, cancelled -> pending, with a message of its own */
};

struct job_change;

/*
 * NOT_FOUND: there is no such job. FAILED_PRECONDITION: its state, or what was kept of it, does not
 * allow it. On a thread of a database.
 */
typedef void job_changed_function(struct job_change *change, enum status status,
                                  const struct error *err);

/* The caller's memory until `done`; cleared by job_change_clear. */
struct job_change {
    struct jobs *jobs;
    enum job_change_kind kind;
    struct str id; /* borrowed */
    job_changed_function *done;
    void *context;

    /* its own */
    struct arena arena;
    struct store_call get;
    struct chain chain;
    struct job_message message;
    struct queue_receipt receipt;
    struct job_notice notice;
};

void job_change(struct job_change *change);
void job_change_clear(struct job_change *change);

#endif
