#include "serve/placement.c"
#include "test.h"

static const struct placement_rule automatic = {PLACEMENT_AUTO, 100000, NS_PER_S, 10 * NS_PER_MS};

TEST(the_warm_up_decides_first)
{
    struct placement placement;
    placement_init(&placement, &automatic, 2000);
    EXPECT(placement.runs_inline);
    placement_init(&placement, &automatic, 200000);
    EXPECT(!placement.runs_inline);
    placement_init(&placement, &automatic, 0); /* not known: the first call shows */
    EXPECT(!placement.runs_inline);
    EXPECT(placement_observe(&placement, &automatic, 2000, 1));
    EXPECT(placement.runs_inline);
}

TEST(it_moves_off_when_it_stops_being_cheap_and_back_later)
{
    struct placement placement;
    placement_init(&placement, &automatic, 2000);
    uint64_t now = NS_PER_S;
    int calls = 0;
    while (!placement_observe(&placement, &automatic, 150000, now)) calls++;
    EXPECT(calls >= 5 && calls <= 20);
    EXPECT(!placement.runs_inline);
    for (int i = 0; i < 1000; i++)
        EXPECT(!placement_observe(&placement, &automatic, 2000, now + NS_PER_S / 2)); /* dwells */
    EXPECT(placement_observe(&placement, &automatic, 2000, now + NS_PER_S));
    EXPECT(placement.runs_inline);
}

TEST(between_half_the_limit_and_the_limit_it_stays_where_it_is)
{
    struct placement placement;
    for (int inline_first = 0; inline_first < 2; inline_first++) {
        placement_init(&placement, &automatic, inline_first ? 2000 : 200000);
        for (uint64_t i = 0; i < 1000; i++)
            EXPECT(!placement_observe(&placement, &automatic, 75000, i * NS_PER_S));
    }
}

TEST(one_preemption_does_not_move_a_model_but_a_stuck_loop_does)
{
    struct placement placement;
    placement_init(&placement, &automatic, 2000);
    EXPECT(!placement_observe(&placement, &automatic, 9 * NS_PER_MS, NS_PER_S));
    placement_init(&placement, &automatic, 2000);
    EXPECT(placement_observe(&placement, &automatic, 11 * NS_PER_MS, NS_PER_S));
    EXPECT(!placement_observe(&placement, &automatic, 2000, NS_PER_S));
}

TEST(stalls_keep_a_model_away_longer_each_time)
{
    struct placement placement;
    uint64_t now = NS_PER_S, away_before = 0;
    placement_init(&placement, &automatic, 2000);
    for (int stall = 0; stall < 10; stall++) {
        EXPECT(placement_observe(&placement, &automatic, NS_PER_S, now));
        EXPECT(!placement_stalled(&placement, &automatic, now)); /* it is away already */
        uint64_t left = now;
        while (!placement_observe(&placement, &automatic, 2000, now)) now += NS_PER_S / 10;
        uint64_t away = now - left;
        EXPECT(stall < 6 ? away > away_before : away == away_before);
        away_before = away;
    }
    EXPECT_INT(away_before, 64 * NS_PER_S);
}

TEST(a_stall_elsewhere_moves_it_as_well)
{
    struct placement placement;
    placement_init(&placement, &automatic, 2000);
    EXPECT(placement_stalled(&placement, &automatic, NS_PER_S));
    EXPECT(!placement.runs_inline);
    EXPECT(!placement_observe(&placement, &automatic, 2000, NS_PER_S + 1));
}

TEST(a_forced_model_never_moves)
{
    struct placement placement;
    struct placement_rule rule = {PLACEMENT_INLINE, 100000, 0, 10 * NS_PER_MS};
    placement_init(&placement, &rule, NS_PER_S);
    EXPECT(placement.runs_inline && !placement_observe(&placement, &rule, NS_PER_S, 1));
    EXPECT(!placement_stalled(&placement, &rule, 1));
    rule.mode = PLACEMENT_RUNNER;
    placement_init(&placement, &rule, 1);
    EXPECT(!placement.runs_inline && !placement_observe(&placement, &rule, 1, NS_PER_S));
}
