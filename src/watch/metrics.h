/*
 * The metrics page: what GET /metrics answers, as Prometheus' text format 0.0.4 or OpenMetrics 1.0.
 * Pure: from values to text; watch/scrape.h gathers the values of a running server.
 *
 *   enum metrics_form form = metrics_form_for(accept_header);
 *   metrics_write(&input, form, &out);
 *   if (buffer_failed(&out)) ...                        // beyond the buffer's ceiling
 *   answer(metrics_content_type(form), buffer_view(&out));
 *
 * metrics.def has one row per metric: name, type, labels, help. The page's order, the metadata
 * lines and docs/metrics.md follow from it; the compiler misses write_NAME for a row without
 * samples. Any thread.
 */
#ifndef WATCH_METRICS_H
#define WATCH_METRICS_H

#include "base/str.h"
#include "base/tally.h"
#include "db/database.h"
#include "serve/serve.h"
#include "watch/depths.h"
#include "watch/recorder.h"

/* Enough for SERVE_MODELS_MAX models at about 10 KiB each; a ceiling for the caller's buffer. */
enum { METRICS_SIZE_MAX = 128 * 1024 * 1024 };

enum metrics_form { METRICS_PROMETHEUS, METRICS_OPENMETRICS };

/* The HTTP server's counters, summed over its threads. */
struct metrics_http {
    uint64_t connections_accepted;
    uint64_t connections_refused;
    uint64_t connections_open;
    uint64_t connections_timed_out;
    uint64_t requests;
    uint64_t requests_rejected;
    uint64_t requests_aborted;
    uint64_t bytes_received;
    uint64_t bytes_sent;
    uint64_t responses[6]; /* by class of status: [2] is 2xx */
};

/* What the system says of this process. */
struct metrics_process {
    uint64_t cpu_ns;
    uint64_t resident_bytes;
    uint64_t virtual_bytes;
    uint64_t open_descriptors;
    uint64_t descriptors_max;
    uint64_t threads;
    double start_seconds; /* since 1970 */
};

/* What the worker of this process did, and the callbacks that it sent. */
struct metrics_worker {
    uint64_t leased;
    uint64_t lease_failures;
    uint64_t extended;
    uint64_t lost;
    uint64_t succeeded;
    uint64_t failed;
    uint64_t retried;
    uint64_t returned;
    uint64_t skipped;
    uint64_t in_flight;
    uint64_t queues; /* that it leases from */
    uint64_t replies_sent;
    uint64_t replies_refused;
    uint64_t callbacks_delivered;
    uint64_t callbacks_retried;
    uint64_t callbacks_given_up;
};

/* Counts by name; kinds as the one who counts has them. */
struct metrics_counts {
    struct tally_row rows[TALLY_ROWS_MAX];
    size_t count;
};

/* Queues, jobs and the data store; zeros where there are none. */
struct metrics_data {
    struct metrics_counts queues; /* enum queue_count */
    struct metrics_counts jobs;   /* as metrics_job_states names them */
    struct depths_page depths;
    struct metrics_worker worker;
    struct database_counters database;
};

/* Kinds of data.jobs, in this order. */
extern const char *const metrics_job_states[TALLY_KINDS];

struct metrics_input {
    const struct serve_statistics *statistics; /* by name, then version */
    const struct serve_totals *totals;
    const struct metrics_http *http;
    const struct metrics_process *process;
    const struct recorder_counters *recorder; /* zeros if nothing is recorded */
    const char *version;                      /* the server's */
    const struct metrics_data *data;
};

/* OpenMetrics if the header prefers it or names only that; Prometheus for anything else. */
enum metrics_form metrics_form_for(struct str accept);

/* The value of Content-Type. */
const char *metrics_content_type(enum metrics_form form);

/* Appends the page. Allocates nothing but the buffer. Borrows everything. */
void metrics_write(const struct metrics_input *input, enum metrics_form form, struct buffer *out);

/* Appends docs/metrics.md. */
void metrics_write_document(struct buffer *out);

#endif
