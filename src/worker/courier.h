/*
 * The courier: takes what is to be told to others out of the queue slipway-callbacks and tells them
 * (jobs/callback.h). A few threads that block on the network, apart from the worker's loop.
 *
 * What is not taken by a 2xx is tried again after a pause that doubles from 5 seconds to an hour,
 * callback_tries times in all; then, or if the receiver says that it never will be (4xx but 408,
 * 425 and 429), it goes to the dead-letter queue, from where a redrive sends it again. A redirect
 * is a failure. At least once: receivers tell repetitions by Slipway-Event-Id.
 */
#ifndef WORKER_COURIER_H
#define WORKER_COURIER_H

#include "jobs/jobs.h"

struct courier;

struct courier_counters {
    _Atomic uint64_t delivered;
    _Atomic uint64_t retried;
    _Atomic uint64_t given_up;
};

/* Borrows the jobs, whose queues exist. */
enum status courier_start(struct jobs *jobs, struct courier **ret_courier,
                          struct error *err) FALLIBLE;

/* No more are begun. Any thread. */
void courier_drain(struct courier *courier);

/* Waits for what is under way: a few seconds more than the time-out of one try. Accepts NULL. */
void courier_stop(struct courier *courier);

const struct courier_counters *courier_counters(const struct courier *courier);

#endif
