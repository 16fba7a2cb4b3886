/*
 * The runners of a model: one thread per instance, all taking batches from one queue. For models
 * too slow for the loop's thread, and for batches that wait for company.
 *
 *   lanes --runners_add: one lock, one wake-up per turn--> queue --> runner: engine call
 *   lanes <--one message per batch and lane--------------- struct runner_part
 *
 * Threads start with the first call. A runner waits for the batch's delay by itself; time-outs and
 * deadlines are the lanes' timers, which take calls out of the queue by runners_remove.
 */
#ifndef SERVE_RUNNER_H
#define SERVE_RUNNER_H

#include "loop/mailbox.h"
#include "serve/model.h"

struct runner_batch;

/* The calls of one engine call that came from one lane. Posted to the lane's mailbox. */
struct runner_part {
    struct mail mail;
    struct runner_batch *batch;
    struct serve_lane *lane;
    struct list calls; /* by item.link */
    bool first;        /* this lane counts the execution */
};

/* One engine call, or what kept it from being made. Freed with its last part. */
struct runner_batch {
    _Atomic uint32_t parts_left;
    struct model *model;
    enum status status;
    struct error error; /* if status is not OK */
    struct engine_result result;
    bool expired; /* never run: queue time-outs */
    int64_t rows;
    uint32_t count;
    uint64_t start_ns;
    uint64_t gathered_ns;
    uint64_t end_ns;
    uint32_t part_count;
    struct runner_part parts[];
};

/* After this call the part, and with the last one the batch and its result, are gone. */
void runner_part_release(struct runner_part *part);

/*
 * Makes the instances; starts no thread. Control thread. The model outlives it. `count` at most
 * MODEL_INSTANCES_MAX.
 */
enum status runners_new(struct model *model, uint32_t count, struct runners **ret_runners,
                        struct error *err) FALLIBLE;

/* Ends the threads, waiting for an engine call that runs. The queue is empty. Accepts NULL. */
void runners_free(struct runners *runners);

/*
 * Queues calls (by item.link) of one lane; those that found no room are left in `calls`. Fails,
 * with all of them left, if no thread can be started.
 */
enum status runners_add(struct runners *runners, struct list *calls, uint64_t now_ns,
                        struct error *err) FALLIBLE;

/* Takes a call out. False if it is with an engine already: it will come back by message. */
bool runners_remove(struct runners *runners, struct serve_call *call);

/* True if a call that was handed over is not with an engine yet. */
bool runners_has_waiting(struct runners *runners, const struct serve_call *call);

/* How many runners have been in one engine call since before `since_ns`. Any thread. */
uint32_t runners_stuck(const struct runners *runners, uint64_t since_ns);
/* Calls in the queue now. Any thread. */
uint32_t runners_waiting(struct runners *runners);
/* Before the threads run: for the warm-up. */
struct engine_instance *runners_instance(struct runners *runners, uint32_t index);
uint32_t runners_count(const struct runners *runners);

#endif
