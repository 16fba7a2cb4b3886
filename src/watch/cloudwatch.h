/*
 * What alarms watch, told to Amazon CloudWatch from outside Lambda: the worker's counts, sent once
 * an interval by PutMetricData, zeros too, so that an alarm has data while nothing goes wrong.
 *
 *   TRY(cloudwatch_new(&options, &cloudwatch, err));       // starts a thread
 *   ...
 *   cloudwatch_free(cloudwatch);                           // sends what is left, within seconds
 *
 * What could not be sent is not lost: it is part of the next. A failure is logged once until it
 * changes. `read` is called on the thread, and from cloudwatch_free.
 */
#ifndef WATCH_CLOUDWATCH_H
#define WATCH_CLOUDWATCH_H

#include "watch/metrics.h"

enum {
    CLOUDWATCH_DIMENSIONS_MAX = 30,
    CLOUDWATCH_TEXT_MAX = 255, /* characters of a namespace, or of a dimension's name */
    CLOUDWATCH_VALUE_MAX = 1024,
    CLOUDWATCH_REQUEST_MAX = 512 * 1024,
};

struct cloudwatch;

struct cloudwatch_options {
    const char *namespace;         /* borrowed, as all of it */
    const char *const *dimensions; /* "Name=Value": of every metric */
    size_t dimension_count;
    uint64_t interval_ns;
    void (*read)(void *context, struct metrics_worker *ret_counters);
    void *context;
};

/* Asks nobody yet. INVALID_ARGUMENT: a name that CloudWatch does not take, or no region. */
enum status cloudwatch_new(const struct cloudwatch_options *options,
                           struct cloudwatch **ret_cloudwatch, struct error *err) FALLIBLE;

/* Accepts NULL. */
void cloudwatch_free(struct cloudwatch *cloudwatch);

/* The request of PutMetricData about what was added from `before` to `now`. Pure. */
void cloudwatch_write(const struct cloudwatch_options *options, const struct metrics_worker *before,
                      const struct metrics_worker *now, uint64_t now_s, struct buffer *out);

/* What the options may be. Pure. */
enum status cloudwatch_check(const struct cloudwatch_options *options, struct error *err) FALLIBLE;

#endif
