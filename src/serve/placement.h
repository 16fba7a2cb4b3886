/*
 * Where a model's calls run: inline on the loop's thread, or on its runners. Pure.
 *
 * The running mean follows each engine call with weight 1/8. One that took long is cut to four
 * times the limit first, so that a single preemption does not move a model. One that took longer
 * than `stall` moves it at once, because the loop stood still for that long, and keeps it away
 * longer each time: dwell doubles, at most 64 times.
 *
 *            mean > limit, or a stall          (at least `dwell` after the last move,
 *   INLINE ----------------> RUNNER             except for a stall)
 *          <----------------
 *            mean < limit / 2
 */
#ifndef SERVE_PLACEMENT_H
#define SERVE_PLACEMENT_H

#include "base/base.h"

enum placement_mode { PLACEMENT_AUTO, PLACEMENT_INLINE, PLACEMENT_RUNNER };

struct placement_rule {
    enum placement_mode mode;
    uint64_t limit_ns;
    uint64_t dwell_ns;
    uint64_t stall_ns;
};

struct placement {
    uint64_t mean_ns;
    uint64_t moved_ns; /* when it moved last; 0: never */
    uint32_t stalls;   /* that moved it, as far as they count */
    bool runs_inline;
};

/* `cost_ns` is what the warm-up measured; 0 if there was none: then a runner tries it first. */
void placement_init(struct placement *placement, const struct placement_rule *rule,
                    uint64_t cost_ns);

/* One engine call took `cost_ns`. True if the model moved. */
bool placement_observe(struct placement *placement, const struct placement_rule *rule,
                       uint64_t cost_ns, uint64_t now_ns);

/* It stalled elsewhere, or does so now: off the loop with it. True if the model moved. */
bool placement_stalled(struct placement *placement, const struct placement_rule *rule,
                       uint64_t now_ns);

#endif
