/* Where a model's calls run. */
#include "serve/placement.h"

enum { WEIGHT = 8, CUT = 4, STALLS_MAX = 6 };

void placement_init(struct placement *placement, const struct placement_rule *rule,
                    uint64_t cost_ns)
{
    placement->mean_ns = cost_ns;
    placement->moved_ns = 0;
    placement->stalls = 0;
    bool cheap = cost_ns > 0 && cost_ns <= rule->limit_ns;
    placement->runs_inline = rule->mode == PLACEMENT_AUTO ? cheap : rule->mode == PLACEMENT_INLINE;
}

static uint64_t follow(uint64_t mean_ns, uint64_t cost_ns)
{
    return mean_ns - mean_ns / WEIGHT + cost_ns / WEIGHT;
}

static bool may_move(const struct placement *placement, const struct placement_rule *rule,
                     uint64_t now_ns)
{
    uint64_t dwell_ns = rule->dwell_ns << placement->stalls;
    return placement->moved_ns == 0 || now_ns - placement->moved_ns >= dwell_ns;
}

bool placement_observe(struct placement *placement, const struct placement_rule *rule,
                       uint64_t cost_ns, uint64_t now_ns)
{
    placement->mean_ns = follow(placement->mean_ns, MIN(cost_ns, rule->limit_ns * CUT));
    if (rule->mode != PLACEMENT_AUTO) return false;
    bool cheap = placement->runs_inline ? placement->mean_ns <= rule->limit_ns
                                        : placement->mean_ns < rule->limit_ns / 2;
    if (cost_ns > rule->stall_ns && placement->runs_inline)
        return placement_stalled(placement, rule, now_ns);
    if (cheap == placement->runs_inline || !may_move(placement, rule, now_ns)) return false;
    placement->runs_inline = !placement->runs_inline;
    placement->moved_ns = MAX(now_ns, UINT64_C(1));
    return true;
}

bool placement_stalled(struct placement *placement, const struct placement_rule *rule,
                       uint64_t now_ns)
{
    if (rule->mode != PLACEMENT_AUTO || !placement->runs_inline) return false;
    placement->mean_ns = rule->limit_ns * CUT;
    placement->stalls = MIN(placement->stalls + 1, (uint32_t)STALLS_MAX);
    placement->runs_inline = false;
    placement->moved_ns = MAX(now_ns, UINT64_C(1));
    return true;
}
