/* Counting with one writer per block, and adding the blocks up. */
#include "serve/statistics.h"

#include "base/mem.h"

_Static_assert(HISTOGRAM_PER_OCTAVE == 4, "histogram_index takes two bits below the leading one");

static const char *const rejection_labels[] = {
#define X(name, label) label,
    STATISTICS_REJECTION_TABLE(X)
#undef X
};

const char *statistics_rejection_label(enum statistics_rejection reason)
{
    assert(reason < STATISTICS_REJECTIONS);
    return rejection_labels[reason];
}

uint64_t histogram_bound_ns(size_t index)
{
    assert(index < HISTOGRAM_BUCKETS);
    if (index == HISTOGRAM_BUCKETS - 1) return UINT64_MAX;
    if (index == 0) return UINT64_C(1) << HISTOGRAM_FIRST_OCTAVE;
    size_t octave = (index - 1) / HISTOGRAM_PER_OCTAVE + HISTOGRAM_FIRST_OCTAVE;
    uint64_t part = (index - 1) % HISTOGRAM_PER_OCTAVE;
    return (HISTOGRAM_PER_OCTAVE + part + 1) << (octave - 2);
}

struct statistics *statistics_new(uint64_t batch_rows_max)
{
    struct statistics *statistics = mem_try_new_aligned(64, sizeof *statistics);
    if (!statistics) return NULL;
    memset(statistics, 0, sizeof *statistics);
    statistics->batch_count =
        (size_t)MAX(UINT64_C(1), MIN(batch_rows_max, (uint64_t)STATISTICS_BATCH_ROWS_MAX));
    statistics->batches = MEM_NEW_ARRAY(struct statistics_batch, statistics->batch_count);
    return statistics;
}

void statistics_free(struct statistics *statistics)
{
    if (!statistics) return;
    mem_free(statistics->batches);
    mem_free(statistics);
}

void statistics_add_execution(struct statistics *statistics,
                              const struct statistics_execution *execution)
{
    uint64_t times = execution->times;
    assert(execution->calls > 0 && times > 0);
    counter_add(&statistics->execution_count, times);
    counter_add(&statistics->inference_count, times * execution->rows);
    counter_set(&statistics->last_inference_ms, execution->wall_ms);
    /* As in Triton: each call of a batch was in it for all of the batch's time. */
    uint64_t calls = times * execution->calls;
    statistics_duration_add(&statistics->compute_input, calls, execution->input_ns * calls);
    statistics_duration_add(&statistics->compute_infer, calls, execution->infer_ns * calls);
    statistics_duration_add(&statistics->compute_output, calls, execution->output_ns * calls);
    histogram_add(&statistics->compute_time, execution->infer_ns, calls);
    size_t size = (size_t)MAX(UINT64_C(1), MIN(execution->rows, statistics->batch_count));
    struct statistics_batch *batch = &statistics->batches[size - 1];
    counter_add(&batch->count, times);
    counter_add(&batch->compute_input_ns, times * execution->input_ns);
    counter_add(&batch->compute_infer_ns, times * execution->infer_ns);
    counter_add(&batch->compute_output_ns, times * execution->output_ns);
}

void statistics_add_failure(struct statistics *statistics, uint64_t total_ns)
{
    statistics_duration_add(&statistics->fail, 1, total_ns);
    histogram_add(&statistics->total_time, total_ns, 1);
}

void statistics_add_rejection(struct statistics *statistics, enum statistics_rejection reason,
                              uint64_t total_ns)
{
    assert(reason < STATISTICS_REJECTIONS);
    counter_add(&statistics->rejected[reason], 1);
    statistics_duration_add(&statistics->fail, 1, total_ns);
}

static void read_histogram(struct histogram_value *value, const struct histogram *histogram)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count = counter_get(&histogram->buckets[i]);
        value->buckets[i] += count;
        value->count += count;
    }
    value->sum_ns += counter_get(&histogram->sum_ns);
}

static void read_batches(struct statistics_snapshot *snapshot, const struct statistics *statistics)
{
    if (!snapshot->batches) {
        snapshot->batch_count = statistics->batch_count;
        snapshot->batches = MEM_NEW_ARRAY(struct statistics_batch_value, snapshot->batch_count);
    }
    assert(snapshot->batch_count == statistics->batch_count);
    for (size_t i = 0; i < snapshot->batch_count; i++) {
        struct statistics_batch_value *value = &snapshot->batches[i];
        const struct statistics_batch *batch = &statistics->batches[i];
        value->count += counter_get(&batch->count);
        value->compute_input_ns += counter_get(&batch->compute_input_ns);
        value->compute_infer_ns += counter_get(&batch->compute_infer_ns);
        value->compute_output_ns += counter_get(&batch->compute_output_ns);
    }
}

void statistics_read(struct statistics_snapshot *snapshot, const struct statistics *statistics)
{
#define X(name)                                                                                    \
    snapshot->name.count += counter_get(&statistics->name.count);                                  \
    snapshot->name.ns += counter_get(&statistics->name.ns);
    STATISTICS_DURATION_TABLE(X)
#undef X
    snapshot->inference_count += counter_get(&statistics->inference_count);
    snapshot->execution_count += counter_get(&statistics->execution_count);
    snapshot->last_inference_ms =
        MAX(snapshot->last_inference_ms, counter_get(&statistics->last_inference_ms));
    for (size_t i = 0; i < STATISTICS_REJECTIONS; i++)
        snapshot->rejected[i] += counter_get(&statistics->rejected[i]);
    snapshot->in_flight += counter_get(&statistics->in_flight);
    read_histogram(&snapshot->queue_time, &statistics->queue_time);
    read_histogram(&snapshot->compute_time, &statistics->compute_time);
    read_histogram(&snapshot->total_time, &statistics->total_time);
    read_batches(snapshot, statistics);
}

void statistics_snapshot_clear(struct statistics_snapshot *snapshot)
{
    mem_free(snapshot->batches);
    memset(snapshot, 0, sizeof *snapshot);
}

uint64_t histogram_quantile_ns(const struct histogram_value *histogram, double share)
{
    assert(share > 0 && share <= 1);
    if (histogram->count == 0) return 0;
    double wanted = share * (double)histogram->count, before = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        double here = (double)histogram->buckets[i];
        if (here > 0 && before + here >= wanted) {
            uint64_t low = i == 0 ? 0 : histogram_bound_ns(i - 1);
            if (i == HISTOGRAM_BUCKETS - 1) return low;
            uint64_t width = histogram_bound_ns(i) - low;
            return low + (uint64_t)((double)width * ((wanted - before) / here));
        }
        before += here;
    }
    return histogram_bound_ns(HISTOGRAM_BUCKETS - 2);
}
