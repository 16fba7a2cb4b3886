/*
 * Single flight: of calls that ask the same thing of a model whose answers are cached, one runs,
 * the leader, and those that come while it is under way, its followers, get its answer.
 *
 *   submit   flight_follow(lane, call, now)  true: it waits behind a leader; false: it runs, and
 *                                            leads, if there is room in the table
 *   answer   flight_land(lane, call)         the leader's flight, closed to others
 *            flight_answer(lane, flight, &shown)  each follower gets what the leader got; after a
 *                                            failure each runs for itself, without company
 *   gone     flight_leave(lane, call)        the leader was cancelled, or was late in the queue:
 *                                            the next of its followers takes its place
 *
 * A flight belongs to one lane: no lock, and the same question runs at most once per lane at a
 * time. Followers keep their own deadline and time-out, the latter as long as the leader waits
 * as well; a call does not follow one that is less urgent. What a leader's client does (hang up,
 * run out of time) never reaches a follower.
 */
#ifndef SERVE_FLIGHT_H
#define SERVE_FLIGHT_H

#include "serve/serve.h"

enum {
    FLIGHTS_MAX = 4096,          /* of one lane; beyond it calls run without followers */
    FLIGHT_FOLLOWERS_MAX = 1024, /* of one leader; beyond it calls run for themselves */
    FLIGHT_BUCKETS = 256,
};

struct flight;

struct flights {
    struct flight *buckets[FLIGHT_BUCKETS];
    uint32_t count;
};

/* What a leader's answer looks like to its followers. Borrowed for the call. */
struct flight_answer {
    enum status status;
    const struct slipway_tensor *outputs; /* if status is OK */
    size_t output_count;
    int64_t batch_rows;
    uint64_t start_ns, end_ns;
};

/*
 * `call` has a cache_key. True if it now waits behind a leader, its level and time-out set as by
 * batch_queue_add; its state is FOLLOWING. False: the caller queues it, or calls flight_leave.
 */
bool flight_follow(struct serve_lane *lane, struct serve_call *call, uint64_t now_ns);

/* False if the call follows one that an engine has: its queue time-out does not count. */
bool flight_may_expire(const struct serve_call *call);

/* Takes the flight that `call` leads out of the table; NULL if it leads none. */
struct flight *flight_land(struct serve_lane *lane, struct serve_call *call);
bool flight_is_empty(const struct flight *flight);

/* Answers the followers, or has them run for themselves; frees the flight. Accepts NULL. */
void flight_answer(struct serve_lane *lane, struct flight *flight,
                   const struct flight_answer *answer);

/* `call` goes, as a leader or a follower or neither. */
void flight_leave(struct serve_lane *lane, struct serve_call *call);

/* RUN phase: queues what lost its leader. */
void flight_run_orphans(struct serve_lane *lane);

#endif
