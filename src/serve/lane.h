/*
 * A lane's inside. All of it belongs to the lane's thread but `next_plan` and the counters.
 *
 *   serve_submit -> model->queue, model on lane->ready        READ phase
 *   lane_run     -> inline: batches, answers                  RUN phase (turn.c)
 *                   or runners_add; later lane_receive_part   READ phase of a later turn
 *   lane_clean   -> gives up the old plan                     CLEANUP phase
 */
#ifndef SERVE_LANE_H
#define SERVE_LANE_H

#include "base/counter.h"
#include "loop/loop.h"
#include "serve/flight.h"
#include "serve/order.h"
#include "serve/plan.h"
#include "serve/runner.h"

struct serve_lane {
    struct serve *serve;
    struct loop *loop;
    uint32_t index;
    struct plan *plan;
    struct plan *parked; /* the plan before, until the turn's end: pointers found in it stay good */
    _Atomic(struct plan *) next_plan; /* published and not adopted yet; holds a reference */
    struct list ready;                /* serve_models with waiting calls, by ready_link */
    struct list hits;                 /* calls answered by the cache, by item.link */
    struct list orphans;              /* calls whose leader is gone, by item.link */
    struct list flushes;              /* serve_models with parked answers to give, by flush_link */
    struct flights flights;
    struct deadlines deadlines;
    struct loop_timer timer; /* for the earliest of them */
    struct execute_memory memory;
    struct execute_memory views;
    const struct engine_result *shown; /* what on_done sees now */
    struct serve_outputs *held;        /* of `shown`: somebody keeps it */
    uint64_t held_count;               /* of all kept, until they are released */
    bool running;                      /* inside lane_run */
    struct counter in_flight;          /* calls */
    struct counter bytes;              /* of their inputs */
};

/* The lane's part of a model. */
static inline struct serve_model *lane_model(const struct serve_lane *lane, struct model *model)
{
    assert(lane->index < model->lane_count);
    return &model->lanes[lane->index];
}

/* --- lane.c --- */

/*
 * Offers a plan to the lane, which adopts it when it next looks at one; takes over one reference.
 * Any thread.
 */
void lane_offer_plan(struct serve_lane *lane, struct plan *plan);

/* Calls on_done unless the call was answered or cancelled before. */
void lane_answer(struct serve_lane *lane, struct serve_call *call, enum status status,
                 const struct error *err);

/* The call's end: counts it out, lets go of its model, calls on_release. Its link is free. */
void lane_let_go(struct serve_lane *lane, struct serve_call *call);

/* lane_answer, counted as a rejection. */
void lane_reject(struct serve_lane *lane, struct serve_call *call, enum status status,
                 enum statistics_rejection reason, const char *message);

/* Has the RUN phase come round, in this turn or at once in the next. Lane's thread. */
void lane_wake(struct serve_lane *lane);

/* Has the call wait in its model's queue; false if that is full. */
bool lane_enqueue(struct serve_lane *lane, struct serve_call *call, uint64_t now_ns) FALLIBLE;

/* --- turn.c --- */

/* `calls` like this one, answered at `done_ns`. */
void lane_count(const struct serve_call *call, uint64_t calls, enum status status,
                uint64_t done_ns);

/* Answers a call with what it shows of somebody else's run, or parks it. */
void lane_deliver_shared(struct serve_lane *lane, struct serve_call *call);

loop_hook_function lane_run;
mail_receive_function lane_receive_part;

#endif
