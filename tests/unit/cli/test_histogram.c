#include "base/mem.h"
#include "base/rand.h"
#include "cli/histogram.c"
#include "test.h"

TEST(buckets_hold_their_values)
{
    uint64_t before = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        uint64_t last = last_of(i);
        EXPECT_INT(index_of(last), i);
        if (i > 0) {
            EXPECT_INT(index_of(before + 1), i);
            EXPECT(last > before);
        }
        before = last;
    }
    EXPECT_INT(index_of(UINT64_MAX), LATENCY_BUCKETS - 1);
}

TEST(quantiles_are_within_one_percent)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct latency *latency = latency_new();
    enum { COUNT = 2000 };
    static uint64_t values[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t value = prng_u64(&prng) >> (prng_below(&prng, 40) + 23);
        latency_add(latency, value);
        size_t at = i;
        for (; at > 0 && values[at - 1] > value; at--) values[at] = values[at - 1];
        values[at] = value;
    }
    for (int step = 0; step <= 1000; step++) {
        double share = step / 1000.0;
        size_t rank = (size_t)(share * COUNT);
        if ((double)rank < share * COUNT || rank == 0) rank++;
        uint64_t exact = values[rank - 1], got = latency_quantile_ns(latency, share);
        EXPECT(got >= exact);
        EXPECT((double)got <= (double)exact * 1.01);
    }
    EXPECT_INT(latency_quantile_ns(latency, 1), values[COUNT - 1]);
    EXPECT_INT(latency->min_ns, values[0]);
    mem_free(latency);
}

TEST(an_empty_one_says_nothing)
{
    struct latency *latency = latency_new();
    EXPECT_INT(latency_quantile_ns(latency, 0.99), 0);
    EXPECT(latency_mean_ns(latency) == 0);
    latency_add(latency, 7);
    EXPECT_INT(latency_quantile_ns(latency, 0), 7);
    EXPECT_INT(latency_quantile_ns(latency, 1), 7);
    latency_reset(latency);
    EXPECT_INT(latency->count, 0);
    mem_free(latency);
}
