/* Latencies by value. */
#include "cli/histogram.h"

#include "base/mem.h"

_Static_assert(1 << LATENCY_FIRST_OCTAVE == LATENCY_LINEAR, "octaves begin where exactness ends");

void latency_reset(struct latency *latency)
{
    memset(latency, 0, sizeof *latency);
    latency->min_ns = UINT64_MAX;
}

struct latency *latency_new(void)
{
    struct latency *latency = mem_new(sizeof *latency);
    latency_reset(latency);
    return latency;
}

/* An octave is parted by the 7 bits behind the leading one. */
enum { PART_BITS = 7 };
_Static_assert(1 << PART_BITS == LATENCY_PER_OCTAVE, "as many parts as bits tell apart");

static size_t index_of(uint64_t ns)
{
    if (ns < LATENCY_LINEAR) return ns;
    unsigned octave = 63U - (unsigned)__builtin_clzll(ns);
    if (octave > LATENCY_LAST_OCTAVE) return LATENCY_BUCKETS - 1;
    size_t part = (ns >> (octave - PART_BITS)) & (LATENCY_PER_OCTAVE - 1);
    return LATENCY_LINEAR + (octave - LATENCY_FIRST_OCTAVE) * LATENCY_PER_OCTAVE + part;
}

/* The largest value that falls into a bucket. */
static uint64_t last_of(size_t index)
{
    if (index < LATENCY_LINEAR) return index;
    size_t above = index - LATENCY_LINEAR;
    size_t octave = above / LATENCY_PER_OCTAVE + LATENCY_FIRST_OCTAVE;
    uint64_t part = above % LATENCY_PER_OCTAVE;
    return ((LATENCY_PER_OCTAVE + part + 1) << (octave - PART_BITS)) - 1;
}

void latency_add(struct latency *latency, uint64_t ns)
{
    latency->buckets[index_of(ns)]++;
    latency->count++;
    latency->sum_ns += ns;
    latency->min_ns = MIN(latency->min_ns, ns);
    latency->max_ns = MAX(latency->max_ns, ns);
}

uint64_t latency_quantile_ns(const struct latency *latency, double share)
{
    assert(share >= 0 && share <= 1);
    if (latency->count == 0) return 0;
    /* The smallest value such that at least this many are not above it. */
    double exact = share * (double)latency->count;
    uint64_t wanted = (uint64_t)exact;
    if ((double)wanted < exact || wanted == 0) wanted++;
    uint64_t below = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        below += latency->buckets[i];
        if (below >= wanted) return MAX(MIN(last_of(i), latency->max_ns), latency->min_ns);
    }
    return latency->max_ns;
}

double latency_mean_ns(const struct latency *latency)
{
    return latency->count ? (double)latency->sum_ns / (double)latency->count : 0;
}
