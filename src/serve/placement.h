/*
 * Where a model's calls run: inline on the loop's thread, or on its runners. Pure.
 *
 * The running mean follows each engine call with weight 1/8. One that took long is cut to four
 * times the limit first, so that a single preemption does not move a model; from a hundred times
 * the limit on it moves at once, because the loop stood still for that long.
 *
 *            mean > limit                      (at least `dwell` after the last move,
 *   INLINE ----------------> RUNNER             except for a call beyond 100 x limit)
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
};

struct placement {
    uint64_t mean_ns;
    uint64_t moved_ns; /* when it moved last; 0: never */
    bool runs_inline;
};

/* `cost_ns` is what the warm-up measured; 0 if there was none: then a runner tries it first. */
void placement_init(struct placement *placement, const struct placement_rule *rule,
                    uint64_t cost_ns);

/* One engine call took `cost_ns`. True if the model moved. */
bool placement_observe(struct placement *placement, const struct placement_rule *rule,
                       uint64_t cost_ns, uint64_t now_ns);

#endif
