/*
 * What an invocation counts, as CloudWatch's embedded metric format: one line of JSON on standard
 * output with nothing before or behind it, which Lambda's log turns into metrics.
 *
 *   struct lambda_metrics metrics;
 *   lambda_metrics_init(&metrics, &(struct lambda_metrics_options){.service = "iris", ...});
 *   lambda_metrics_add(&metrics, LAMBDA_METRIC_InferenceSucceeded, 1);
 *   lambda_metrics_add(&metrics, LAMBDA_METRIC_InferenceLatency, 1.25);
 *   lambda_metrics_write(&metrics, &context, &line);        // and forgets them
 *
 * The metrics are the rows of lambda/metrics.def. Pure; one thread.
 */
#ifndef LAMBDA_METRICS_H
#define LAMBDA_METRICS_H

#include "base/str.h"

enum lambda_metric {
#define METRIC(name, unit, help) LAMBDA_METRIC_##name,
#include "lambda/metrics.def"
#undef METRIC
    LAMBDA_METRIC_COUNT
};

enum {
    LAMBDA_VALUES_MAX = 100,      /* of one metric in one line: CloudWatch's limit */
    LAMBDA_LINE_MAX = 256 * 1024, /* the same */
    LAMBDA_DIMENSION_MAX = 1024,
};

/* Borrowed; dimensions that are NULL or empty are left out. */
struct lambda_metrics_options {
    const char *service;
    const char *environment;
    const char *function_version;
    const char *variant;
};

struct lambda_metrics {
    struct lambda_metrics_options options;
    struct {
        double values[LAMBDA_VALUES_MAX]; /* of a Count: the first is the sum */
        size_t count;
        uint64_t dropped; /* more than a line can hold, or no number */
    } metrics[LAMBDA_METRIC_COUNT];
};

/* What goes with the line, to be searched for; no dimensions. */
struct lambda_metrics_context {
    uint64_t now_ms; /* wall clock */
    const char *request_id;
    const char *trace_id;
};

void lambda_metrics_init(struct lambda_metrics *metrics,
                         const struct lambda_metrics_options *options);

/* Counts add up, also by 0; times are kept one by one. What is not finite is dropped. */
void lambda_metrics_add(struct lambda_metrics *metrics, enum lambda_metric metric, double value);

/* Appends the line with its end, if there is anything to say, and begins anew. */
void lambda_metrics_write(struct lambda_metrics *metrics,
                          const struct lambda_metrics_context *context, struct buffer *out);

#endif
