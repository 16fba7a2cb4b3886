#include "serve/statistics.c"
#include "test.h"

TEST(buckets_are_ascending_and_hold_their_values)
{
    for (size_t i = 1; i < HISTOGRAM_BUCKETS; i++)
        EXPECT(histogram_bound_ns(i) > histogram_bound_ns(i - 1));
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int i = 0; i < 100000; i++) {
        uint64_t value = prng_u64(&prng) >> prng_below(&prng, 64);
        size_t index = histogram_index(value);
        REQUIRE(index < HISTOGRAM_BUCKETS);
        EXPECT(value < histogram_bound_ns(index) || index == HISTOGRAM_BUCKETS - 1);
        EXPECT(index == 0 || value >= histogram_bound_ns(index - 1));
    }
}

TEST(every_power_of_two_is_a_bound)
{
    for (unsigned octave = HISTOGRAM_FIRST_OCTAVE; octave <= HISTOGRAM_LAST_OCTAVE; octave++)
        EXPECT(histogram_bound_ns(histogram_index((UINT64_C(1) << octave) - 1)) == UINT64_C(1)
                                                                                       << octave);
}

TEST(lanes_add_up)
{
    struct statistics *one = statistics_new(8), *two = statistics_new(8);
    struct statistics_execution execution = {.times = 1,
                                             .rows = 3,
                                             .calls = 2,
                                             .input_ns = 10,
                                             .infer_ns = 2000,
                                             .output_ns = 5,
                                             .wall_ms = 7};
    statistics_add_execution(one, &execution);
    statistics_add_success(one, 1, 100, 3000);
    statistics_add_success(one, 1, 200, 3000);
    execution.rows = 80, execution.wall_ms = 6;
    statistics_add_execution(two, &execution);
    statistics_add_success(two, 3, 10, 1000);
    statistics_add_failure(two, 50);
    statistics_add_rejection(two, STATISTICS_REJECTED_QUEUE_FULL, 1);
    struct statistics_snapshot snapshot = {0};
    statistics_read(&snapshot, one);
    statistics_read(&snapshot, two);
    EXPECT_INT(snapshot.success.count, 5);
    EXPECT_INT(snapshot.success.ns, 9000);
    EXPECT_INT(snapshot.fail.count, 2);
    EXPECT_INT(snapshot.queue.ns, 330);
    EXPECT_INT(snapshot.inference_count, 83);
    EXPECT_INT(snapshot.execution_count, 2);
    EXPECT_INT(snapshot.last_inference_ms, 7);
    EXPECT_INT(snapshot.compute_infer.ns, 8000);
    EXPECT_INT(snapshot.batches[2].count, 1);
    EXPECT_INT(snapshot.batches[7].count, 1); /* larger ones count as the largest */
    EXPECT_INT(snapshot.rejected[STATISTICS_REJECTED_QUEUE_FULL], 1);
    EXPECT_INT(snapshot.total_time.count, 6);
    statistics_snapshot_clear(&snapshot);
    statistics_free(one);
    statistics_free(two);
}

TEST(executions_that_are_alike_count_as_each_for_itself)
{
    struct statistics *once = statistics_new(8), *each = statistics_new(8);
    struct statistics_execution execution = {.times = 3,
                                             .rows = 2,
                                             .calls = 2,
                                             .input_ns = 1,
                                             .infer_ns = 2000,
                                             .output_ns = 5,
                                             .wall_ms = 7};
    statistics_add_execution(once, &execution);
    execution.times = 1;
    for (int i = 0; i < 3; i++) statistics_add_execution(each, &execution);
    struct statistics_snapshot a = {0}, b = {0};
    statistics_read(&a, once);
    statistics_read(&b, each);
    EXPECT_INT(a.execution_count, 3);
    EXPECT_INT(a.execution_count, b.execution_count);
    EXPECT_INT(a.inference_count, b.inference_count);
    EXPECT_INT(a.compute_input.ns, b.compute_input.ns);
    EXPECT_INT(a.compute_infer.count, b.compute_infer.count);
    EXPECT_INT(a.compute_output.ns, b.compute_output.ns);
    EXPECT_INT(a.compute_time.count, b.compute_time.count);
    EXPECT_INT(a.batches[1].count, b.batches[1].count);
    EXPECT_INT(a.batches[1].compute_infer_ns, b.batches[1].compute_infer_ns);
    statistics_snapshot_clear(&a);
    statistics_snapshot_clear(&b);
    statistics_free(once);
    statistics_free(each);
}

TEST(quantiles_lie_within_a_bucket_of_the_truth)
{
    struct statistics *statistics = statistics_new(0);
    for (uint64_t i = 1; i <= 1000; i++) statistics_add_success(statistics, 1, 0, i * 10000);
    struct statistics_snapshot snapshot = {0};
    statistics_read(&snapshot, statistics);
    uint64_t median = histogram_quantile_ns(&snapshot.total_time, 0.5);
    uint64_t last = histogram_quantile_ns(&snapshot.total_time, 0.99);
    EXPECT(median > 4000000 && median < 6000000);
    EXPECT(last > 8000000 && last < 12000000);
    EXPECT_INT(histogram_quantile_ns(&(struct histogram_value){0}, 0.5), 0);
    statistics_snapshot_clear(&snapshot);
    statistics_free(statistics);
}
