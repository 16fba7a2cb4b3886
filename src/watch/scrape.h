/*
 * The metrics page of a running server: reads serve's statistics and the process, and writes.
 */
#ifndef WATCH_SCRAPE_H
#define WATCH_SCRAPE_H

#include "watch/metrics.h"

/* Where the values are; borrowed. NULL for what there is not, but serve and http. */
struct scrape_source {
    struct serve *serve;
    const struct metrics_http *http; /* the caller's sums */
    const struct recorder *recorder;
    struct tally *queues; /* kinds: enum queue_count */
    struct tally *sqs;    /* the same of queues of SQS, which are shown as "sqs:NAME" */
    struct tally *jobs;   /* kinds: metrics_job_states */
    struct depths *depths;
    struct database *database;
    struct metrics_worker worker;
};

/* Appends the page. Any thread; takes about 10 us per model, and waits for no database. */
void scrape_write(const struct scrape_source *source, enum metrics_form form, struct buffer *out);

#endif
