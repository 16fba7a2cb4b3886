/*
 * What happened to a model's calls: counts, durations, histograms.
 *
 * Each lane has one `struct statistics` per model and is its only writer, so counting is a plain
 * load, add and store; any thread may add the lanes' up into a `struct statistics_snapshot`, which
 * is what /v2/models/stats and /metrics are rendered from. The blocks belong to the model and die
 * with it.
 *
 *   statistics_add_call(statistics, &sample);
 *   statistics_read(&snapshot, statistics);      // any thread, adds
 *
 * Histograms have four buckets per power of two, from 1,024 ns up: a bucket's bounds differ by a
 * quarter at most, and every power of two is a bound, so that fewer buckets can be shown exactly.
 *
 *   index 0: < 1024 | 1: < 1280 | 2: < 1536 | 3: < 1792 | 4: < 2048 | 5: < 2560 | ... | last: the
 * rest
 */
#ifndef SERVE_STATISTICS_H
#define SERVE_STATISTICS_H

#include "base/base.h"
#include "base/counter.h"

enum {
    HISTOGRAM_FIRST_OCTAVE = 10, /* 2^10 ns */
    HISTOGRAM_LAST_OCTAVE = 36,  /* 2^37 ns, 137 s, ends the last bucket but one */
    HISTOGRAM_PER_OCTAVE = 4,
    HISTOGRAM_BUCKETS =
        (HISTOGRAM_LAST_OCTAVE - HISTOGRAM_FIRST_OCTAVE + 1) * HISTOGRAM_PER_OCTAVE + 2,
    STATISTICS_BATCH_ROWS_MAX = 1024, /* larger batches count as this size */
};

struct histogram {
    struct counter buckets[HISTOGRAM_BUCKETS];
    struct counter sum_ns;
};

/* The bucket of a value; the value is below histogram_bound_ns of it. */
static inline size_t histogram_index(uint64_t ns)
{
    if (ns < (UINT64_C(1) << HISTOGRAM_FIRST_OCTAVE)) return 0;
    unsigned octave = 63U - (unsigned)__builtin_clzll(ns);
    if (octave > HISTOGRAM_LAST_OCTAVE) return HISTOGRAM_BUCKETS - 1;
    unsigned part = (unsigned)(ns >> (octave - 2)) & 3U;
    return 1 + (octave - HISTOGRAM_FIRST_OCTAVE) * HISTOGRAM_PER_OCTAVE + part;
}

/* The exclusive upper bound of a bucket; UINT64_MAX for the last. */
uint64_t histogram_bound_ns(size_t index);

static inline void histogram_add(struct histogram *histogram, uint64_t ns, uint64_t times)
{
    counter_add(&histogram->buckets[histogram_index(ns)], times);
    counter_add(&histogram->sum_ns, ns * times);
}

/* Why a call was not run. X(name, label of the metric) */
#define STATISTICS_REJECTION_TABLE(X)                                                              \
    X(QUEUE_FULL, "queue_full")                                                                    \
    X(QUEUE_TIMEOUT, "queue_timeout")                                                              \
    X(DEADLINE, "deadline")                                                                        \
    X(CANCELLED, "cancelled")                                                                      \
    X(BYTES_IN_FLIGHT, "bytes_in_flight")                                                          \
    X(SHUTDOWN, "shutdown")

enum statistics_rejection {
#define X(name, label) STATISTICS_REJECTED_##name,
    STATISTICS_REJECTION_TABLE(X)
#undef X
        STATISTICS_REJECTIONS
};

/* "queue_full". Never NULL. */
const char *statistics_rejection_label(enum statistics_rejection reason);

/* The protocol's inference_stats. X(name) */
#define STATISTICS_DURATION_TABLE(X)                                                               \
    X(success)                                                                                     \
    X(fail)                                                                                        \
    X(queue)                                                                                       \
    X(compute_input)                                                                               \
    X(compute_infer)                                                                               \
    X(compute_output)                                                                              \
    X(cache_hit)                                                                                   \
    X(cache_miss)

struct statistics_duration {
    struct counter count;
    struct counter ns;
};

struct statistics_batch {
    struct counter count; /* executions with this number of rows */
    struct counter compute_input_ns;
    struct counter compute_infer_ns;
    struct counter compute_output_ns;
};

struct statistics {
#define X(name) struct statistics_duration name;
    STATISTICS_DURATION_TABLE(X)
#undef X
    struct counter inference_count; /* rows */
    struct counter execution_count;
    struct counter last_inference_ms; /* wall clock, 0: never */
    struct counter rejected[STATISTICS_REJECTIONS];
    struct counter in_flight; /* calls now */
    struct histogram queue_time;
    struct histogram compute_time;
    struct histogram total_time;
    size_t batch_count; /* entries of `batches`: sizes 1..batch_count */
    struct statistics_batch *batches;
};

/* `batch_rows_max` is the model's, 0 if it is not batchable. Owned, freed by statistics_free. */
struct statistics *statistics_new(uint64_t batch_rows_max);
void statistics_free(struct statistics *statistics);

static inline void statistics_duration_add(struct statistics_duration *duration, uint64_t count,
                                           uint64_t ns)
{
    counter_add(&duration->count, count);
    counter_add(&duration->ns, ns);
}

/* One engine call of `rows` rows for `calls` calls; times are of the whole batch. */
struct statistics_execution {
    uint64_t times; /* so many executions like this one */
    uint64_t rows;
    uint64_t calls;
    uint64_t input_ns;
    uint64_t infer_ns;
    uint64_t output_ns;
    uint64_t wall_ms;
};

void statistics_add_execution(struct statistics *statistics,
                              const struct statistics_execution *execution);

/* `calls` that were run: how long each of them waited, and from reception to answer. */
static inline void statistics_add_success(struct statistics *statistics, uint64_t calls,
                                          uint64_t queue_ns, uint64_t total_ns)
{
    statistics_duration_add(&statistics->success, calls, calls * total_ns);
    statistics_duration_add(&statistics->queue, calls, calls * queue_ns);
    histogram_add(&statistics->queue_time, queue_ns, calls);
    histogram_add(&statistics->total_time, total_ns, calls);
}

void statistics_add_failure(struct statistics *statistics, uint64_t total_ns);
void statistics_add_rejection(struct statistics *statistics, enum statistics_rejection reason,
                              uint64_t total_ns);

/* --- reading -------------------------------------------------------------------------------- */

struct statistics_duration_value {
    uint64_t count;
    uint64_t ns;
};

struct histogram_value {
    uint64_t buckets[HISTOGRAM_BUCKETS]; /* not cumulative */
    uint64_t count;
    uint64_t sum_ns;
};

struct statistics_batch_value {
    uint64_t count;
    uint64_t compute_input_ns;
    uint64_t compute_infer_ns;
    uint64_t compute_output_ns;
};

struct statistics_snapshot {
#define X(name) struct statistics_duration_value name;
    STATISTICS_DURATION_TABLE(X)
#undef X
    uint64_t inference_count;
    uint64_t execution_count;
    uint64_t last_inference_ms;
    uint64_t rejected[STATISTICS_REJECTIONS];
    uint64_t in_flight;
    uint64_t waiting; /* in the runners' queue now; not statistics_read's */
    struct histogram_value queue_time;
    struct histogram_value compute_time;
    struct histogram_value total_time;
    size_t batch_count;
    struct statistics_batch_value
        *batches; /* sizes 1..batch_count; those never seen have count 0 */
};

/* Zeroed snapshot -> add any number of blocks -> clear. Any thread. */
void statistics_read(struct statistics_snapshot *snapshot, const struct statistics *statistics);
void statistics_snapshot_clear(struct statistics_snapshot *snapshot);

/*
 * The value below which a share of the counted ones lies, 0 < share <= 1, linear inside a bucket;
 * 0 if nothing was counted.
 */
uint64_t histogram_quantile_ns(const struct histogram_value *histogram, double share);

#endif
