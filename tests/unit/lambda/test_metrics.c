#include "lambda/metrics.c"
#include "test.h"

static struct lambda_metrics metrics;
static struct buffer out;
static const struct lambda_metrics_context context = {.now_ms = 1700000000123, .request_id = "r"};

TEST(a_line_of_metrics)
{
    buffer_init(&out, LAMBDA_LINE_MAX);
    lambda_metrics_init(&metrics, &(struct lambda_metrics_options){
                                      .service = "s", .environment = "e", .function_version = "7"});
    lambda_metrics_add(&metrics, LAMBDA_METRIC_InferenceFailed, 0);
    lambda_metrics_add(&metrics, LAMBDA_METRIC_InferenceSucceeded, 1);
    lambda_metrics_add(&metrics, LAMBDA_METRIC_InferenceSucceeded, 2);
    lambda_metrics_add(&metrics, LAMBDA_METRIC_InferenceLatency, 1.5);
    lambda_metrics_add(&metrics, LAMBDA_METRIC_InferenceLatency, 2);
    lambda_metrics_write(&metrics, &context, &out);
    EXPECT_TEXT(
        buffer_text(&out),
        "{\"_aws\":{\"Timestamp\":1700000000123,\"CloudWatchMetrics\":[{\"Namespace\":"
        "\"Slipway\",\"Dimensions\":[[\"Service\",\"Env\"],[\"Service\",\"Env\","
        "\"FunctionVersion\"]],\"Metrics\":[{\"Name\":\"InferenceSucceeded\",\"Unit\":"
        "\"Count\"},{\"Name\":\"InferenceFailed\",\"Unit\":\"Count\"},{\"Name\":"
        "\"InferenceLatency\",\"Unit\":\"Milliseconds\"}]}]},\"Service\":\"s\",\"Env\":\"e\","
        "\"FunctionVersion\":\"7\",\"RequestId\":\"r\",\"InferenceSucceeded\":3.0,"
        "\"InferenceFailed\":0.0,\"InferenceLatency\":[1.5,2.0]}\n");
    buffer_reset(&out);
    lambda_metrics_write(&metrics, &context, &out);
    EXPECT_INT(out.size, 0);
    buffer_clear(&out);
}

TEST(what_is_too_much_or_no_number_is_dropped_and_counted)
{
    buffer_init(&out, LAMBDA_LINE_MAX);
    lambda_metrics_init(&metrics, &(struct lambda_metrics_options){.service = "s", .variant = "c"});
    for (int i = 0; i < LAMBDA_VALUES_MAX + 3; i++)
        lambda_metrics_add(&metrics, LAMBDA_METRIC_InferenceLatency, i);
    lambda_metrics_add(&metrics, LAMBDA_METRIC_InferenceLatency, NAN);
    lambda_metrics_add(&metrics, LAMBDA_METRIC_InferenceFailed, INFINITY);
    EXPECT_INT(metrics.metrics[LAMBDA_METRIC_InferenceLatency].count, LAMBDA_VALUES_MAX);
    EXPECT_INT(metrics.metrics[LAMBDA_METRIC_InferenceFailed].count, 0);
    lambda_metrics_write(&metrics, &context, &out);
    EXPECT(strstr(buffer_text(&out), "\"ValuesDropped\":5,"));
    EXPECT(strstr(buffer_text(&out), "[[\"Service\",\"Env\"],[\"Service\",\"Env\",\"Variant\"]]"));
    EXPECT(!strstr(buffer_text(&out), "FunctionVersion"));
    buffer_clear(&out);
}
