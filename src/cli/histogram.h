/*
 * Latencies by value: counts in buckets whose bounds differ by less than 1 %, from a nanosecond to
 * an hour, in constant memory (G. Tene's HdrHistogram has the idea). Recording is a few
 * instructions; percentiles are exact to a bucket. One thread.
 *
 *   struct latency *latency = latency_new();
 *   latency_add(latency, ns);
 *   uint64_t p99_ns = latency_quantile_ns(latency, 0.99);
 */
#ifndef CLI_HISTOGRAM_H
#define CLI_HISTOGRAM_H

#include "base/base.h"

enum {
    LATENCY_LINEAR = 256,     /* values below are exact */
    LATENCY_PER_OCTAVE = 128, /* buckets per power of two above */
    LATENCY_FIRST_OCTAVE = 8, /* 2^8 = LATENCY_LINEAR */
    LATENCY_LAST_OCTAVE = 41, /* 2^42 ns is more than an hour; more counts as that */
    LATENCY_BUCKETS =
        LATENCY_LINEAR + (LATENCY_LAST_OCTAVE - LATENCY_FIRST_OCTAVE + 1) * LATENCY_PER_OCTAVE,
};

struct latency {
    uint64_t buckets[LATENCY_BUCKETS];
    uint64_t count;
    uint64_t sum_ns;
    uint64_t min_ns; /* exact; UINT64_MAX: nothing was recorded */
    uint64_t max_ns;
};

/* Empty. Owned, freed by mem_free. */
struct latency *latency_new(void);
void latency_reset(struct latency *latency);
void latency_add(struct latency *latency, uint64_t ns);

/* The largest value of the bucket that the share falls into, 0 <= share <= 1; 0 if it is empty. */
uint64_t latency_quantile_ns(const struct latency *latency, double share);
double latency_mean_ns(const struct latency *latency);

#endif
