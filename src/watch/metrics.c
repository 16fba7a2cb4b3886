/* From values to the metrics page. */
#include "watch/metrics.h"

#include "base/num.h"
#include "base/shortest.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_INFO };

struct writer {
    struct buffer *out;
    const struct metrics_input *input;
    const struct metric *metric; /* the one whose samples are being written */
    enum metrics_form form;
};

/* One row of the table, as data. */
struct metric {
    const char *name;
    enum metric_type type;
    const char *labels;
    const char *help;
    void (*write)(struct writer *writer);
};

/* Labels of one sample; the values are escaped when written. */
struct label {
    const char *name;
    struct str value;
};

enum { LABELS_MAX = 4 };

struct labels {
    struct label items[LABELS_MAX];
    size_t count;
};

/* --- text ------------------------------------------------------------------------------------ */

/* Backslash, quote and line feed are escaped; bytes that are not UTF-8 would make the page
 * unreadable as a whole, so such a value becomes '?' byte for byte. */
static void add_label_value(struct buffer *out, struct str value)
{
    bool clean = str_is_utf8(value);
    for (size_t i = 0; i < value.size; i++) {
        char byte = value.data[i];
        if (byte == '\n')
            buffer_add(out, STR("\\n"));
        else if (byte == '\\' || byte == '"')
            buffer_add(out, (struct str){(char[]){'\\', byte}, 2});
        else
            buffer_add_byte(out, clean || (byte & 0x80) == 0 ? byte : '?');
    }
}

static void add_labels(struct buffer *out, const struct labels *labels)
{
    if (labels->count == 0) return;
    for (size_t i = 0; i < labels->count; i++) {
        buffer_add_byte(out, i == 0 ? '{' : ',');
        buffer_add_text(out, labels->items[i].name);
        buffer_add(out, STR("=\""));
        add_label_value(out, labels->items[i].value);
        buffer_add_byte(out, '"');
    }
    buffer_add_byte(out, '}');
}

static struct labels with_label(struct labels labels, const char *name, struct str value)
{
    assert(labels.count < LABELS_MAX);
    labels.items[labels.count++] = (struct label){name, value};
    return labels;
}

/* OpenMetrics has counters end in _total. Triton's do not, and keep their names for those who look
 * them up by it: there they are of unknown type. */
static bool is_plain_counter(const struct metric *metric)
{
    return metric->type == METRIC_COUNTER && !str_ends_with(str_of(metric->name), STR("_total"));
}

/* The name of the metric's family: OpenMetrics takes the suffix of a counter or info away. */
static struct str family_name(const struct metric *metric, enum metrics_form form)
{
    struct str name = str_of(metric->name);
    if (form == METRICS_PROMETHEUS) return name;
    struct str suffix = metric->type == METRIC_COUNTER ? STR("_total")
                        : metric->type == METRIC_INFO  ? STR("_info")
                                                       : STR_EMPTY;
    if (suffix.size > 0 && str_ends_with(name, suffix)) name.size -= suffix.size;
    return name;
}

/* The suffix that samples carry behind their family's name. */
static struct str sample_suffix(const struct metric *metric, enum metrics_form form)
{
    if (form == METRICS_PROMETHEUS || is_plain_counter(metric)) return STR_EMPTY;
    if (metric->type == METRIC_COUNTER) return STR("_total");
    if (metric->type == METRIC_INFO) return STR("_info");
    return STR_EMPTY;
}

static const char *type_name(const struct metric *metric, enum metrics_form form)
{
    if (form == METRICS_OPENMETRICS && is_plain_counter(metric)) return "unknown";
    switch (metric->type) {
    case METRIC_COUNTER: return "counter";
    case METRIC_GAUGE: return "gauge";
    case METRIC_HISTOGRAM: return "histogram";
    case METRIC_INFO: return form == METRICS_OPENMETRICS ? "info" : "gauge";
    default: return "unknown";
    }
}

/* The unit that the family's name ends with; empty if it is none that OpenMetrics knows. */
static struct str unit_of(struct str family)
{
    static const struct str units[] = {{"seconds", 7}, {"bytes", 5}};
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (str_ends_with(family, units[i]) && family.size > units[i].size &&
            family.data[family.size - units[i].size - 1] == '_')
            return units[i];
    }
    return STR_EMPTY;
}

static void add_metadata(struct writer *writer)
{
    struct str family = family_name(writer->metric, writer->form);
    buffer_add_format(writer->out, "# HELP %.*s %s\n", STR_ARGS(family), writer->metric->help);
    buffer_add_format(writer->out, "# TYPE %.*s %s\n", STR_ARGS(family),
                      type_name(writer->metric, writer->form));
    struct str unit = unit_of(family);
    if (writer->form == METRICS_OPENMETRICS && unit.size > 0)
        buffer_add_format(writer->out, "# UNIT %.*s %.*s\n", STR_ARGS(family), STR_ARGS(unit));
}

static void add_head(struct writer *writer, const struct labels *labels, struct str suffix)
{
    buffer_add(writer->out, family_name(writer->metric, writer->form));
    buffer_add(writer->out, suffix);
    add_labels(writer->out, labels);
    buffer_add_byte(writer->out, ' ');
}

static void add_u64(struct writer *writer, const struct labels *labels, uint64_t value)
{
    add_head(writer, labels, sample_suffix(writer->metric, writer->form));
    buffer_add_u64(writer->out, value);
    buffer_add_byte(writer->out, '\n');
}

static void add_double(struct writer *writer, const struct labels *labels, double value)
{
    add_head(writer, labels, sample_suffix(writer->metric, writer->form));
    shortest_add_double(writer->out, value);
    buffer_add_byte(writer->out, '\n');
}

static void add_plain(struct writer *writer, uint64_t value)
{
    add_u64(writer, &(struct labels){.count = 0}, value);
}

static void add_plain_double(struct writer *writer, double value)
{
    add_double(writer, &(struct labels){.count = 0}, value);
}

/* --- histograms ------------------------------------------------------------------------------ */

static void add_bucket(struct writer *writer, const struct labels *labels, struct str bound,
                       uint64_t count)
{
    struct labels with_bound = with_label(*labels, "le", bound);
    add_head(writer, &with_bound, STR("_bucket"));
    buffer_add_u64(writer->out, count);
    buffer_add_byte(writer->out, '\n');
}

static void add_histogram_end(struct writer *writer, const struct labels *labels, uint64_t count,
                              double sum)
{
    add_bucket(writer, labels, STR("+Inf"), count);
    add_head(writer, labels, STR("_sum"));
    shortest_add_double(writer->out, sum);
    buffer_add_byte(writer->out, '\n');
    add_head(writer, labels, STR("_count"));
    buffer_add_u64(writer->out, count);
    buffer_add_byte(writer->out, '\n');
}

/* Of the statistics' four buckets per power of two, the page shows one: from 8 us to 17 s. */
enum { SHOWN_FIRST_OCTAVE = 13, SHOWN_LAST_OCTAVE = 34 };
_Static_assert((int)SHOWN_FIRST_OCTAVE > (int)HISTOGRAM_FIRST_OCTAVE,
               "every shown bound is a bucket's");
_Static_assert((int)SHOWN_LAST_OCTAVE <= (int)HISTOGRAM_LAST_OCTAVE,
               "every shown bound is a bucket's");

/*
 * `le` is an inclusive bound and ours are exclusive: values are whole nanoseconds, so the bound
 * shown is too high by less than one of them.
 */
static void add_time_histogram(struct writer *writer, const struct labels *labels,
                               const struct histogram_value *histogram)
{
    uint64_t below = 0;
    size_t next = 0;
    for (unsigned octave = SHOWN_FIRST_OCTAVE; octave <= SHOWN_LAST_OCTAVE; octave++) {
        uint64_t bound_ns = UINT64_C(1) << octave;
        for (; next < HISTOGRAM_BUCKETS && histogram_bound_ns(next) <= bound_ns; next++)
            below += histogram->buckets[next];
        char text[SHORTEST_ROOM];
        size_t size = shortest_print_double(text, (double)bound_ns / (double)NS_PER_S);
        add_bucket(writer, labels, (struct str){text, size}, below);
    }
    uint64_t count = below;
    for (; next < HISTOGRAM_BUCKETS; next++) count += histogram->buckets[next];
    add_histogram_end(writer, labels, count, (double)histogram->sum_ns / (double)NS_PER_S);
}

static void add_batch_histogram(struct writer *writer, const struct labels *labels,
                                const struct statistics_snapshot *values)
{
    uint64_t below = 0, sum = 0;
    size_t size = 1;
    for (size_t bound = 1; bound <= STATISTICS_BATCH_ROWS_MAX; bound *= 2) {
        for (; size <= bound && size <= values->batch_count; size++) {
            below += values->batches[size - 1].count;
            sum += values->batches[size - 1].count * size;
        }
        char text[24];
        int length = snprintf(text, sizeof text, "%zu.0", bound);
        add_bucket(writer, labels, (struct str){text, (size_t)length}, below);
    }
    add_histogram_end(writer, labels, below, (double)sum);
}

/* --- samples: one function per row of the table ----------------------------------------------- */

static struct labels labels_of(const struct serve_statistics_row *row)
{
    struct labels labels = {.count = 0};
    labels = with_label(labels, "model", str_of(row->name));
    return with_label(labels, "version", str_of(row->version));
}

#define EACH_MODEL(row, writer)                                                                    \
    for (const struct serve_statistics_row *row = (writer)->input->statistics->rows,               \
                                           *row##_end = row + (writer)->input->statistics->count;  \
         row < row##_end; row++)

/* A number of each model, an integer. */
#define MODEL_U64(name, expression)                                                                \
    static void write_##name(struct writer *writer)                                                \
    {                                                                                              \
        EACH_MODEL(row, writer)                                                                    \
        {                                                                                          \
            struct labels labels = labels_of(row);                                                 \
            add_u64(writer, &labels, (expression));                                                \
        }                                                                                          \
    }

/* A number of the server. */
#define SERVER_U64(name, expression)                                                               \
    static void write_##name(struct writer *writer)                                                \
    {                                                                                              \
        add_plain(writer, (writer->input->expression));                                            \
    }

MODEL_U64(nv_inference_request_success, row->values.success.count)
MODEL_U64(nv_inference_count, row->values.inference_count)
MODEL_U64(nv_inference_exec_count, row->values.execution_count)
MODEL_U64(nv_inference_request_duration_us, row->values.success.ns / NS_PER_US)
MODEL_U64(nv_inference_queue_duration_us, row->values.queue.ns / NS_PER_US)
MODEL_U64(nv_inference_compute_input_duration_us, row->values.compute_input.ns / NS_PER_US)
MODEL_U64(nv_inference_compute_infer_duration_us, row->values.compute_infer.ns / NS_PER_US)
MODEL_U64(nv_inference_compute_output_duration_us, row->values.compute_output.ns / NS_PER_US)
MODEL_U64(nv_inference_pending_request_count, row->values.waiting)
MODEL_U64(nv_cache_num_hits_per_model, row->values.cache_hit.count)
MODEL_U64(nv_cache_num_misses_per_model, row->values.cache_miss.count)
MODEL_U64(nv_cache_hit_duration_per_model, row->values.cache_hit.ns / NS_PER_US)
MODEL_U64(nv_cache_miss_duration_per_model, row->values.cache_miss.ns / NS_PER_US)
MODEL_U64(slipway_queue_depth, row->values.waiting)
MODEL_U64(slipway_in_flight, row->values.in_flight)
MODEL_U64(slipway_model_info, 1)
MODEL_U64(slipway_model_inline, row->runs_inline ? 1 : 0)
MODEL_U64(slipway_model_hung_runners, row->hung)
MODEL_U64(slipway_model_weight_bytes, row->weight_bytes)

SERVER_U64(slipway_model_unloads_total, totals->unload_count)
SERVER_U64(slipway_in_flight_bytes, totals->bytes_in_flight)
SERVER_U64(slipway_cache_entries, totals->cache_entries)
SERVER_U64(slipway_cache_bytes, totals->cache_bytes)
SERVER_U64(slipway_cache_evictions_total, totals->cache_evictions)
SERVER_U64(slipway_http_connections_total, http->connections_accepted)
SERVER_U64(slipway_http_connections_refused_total, http->connections_refused)
SERVER_U64(slipway_http_connections_timed_out_total, http->connections_timed_out)
SERVER_U64(slipway_http_connections_open, http->connections_open)
SERVER_U64(slipway_http_requests_total, http->requests)
SERVER_U64(slipway_http_requests_rejected_total, http->requests_rejected)
SERVER_U64(slipway_http_requests_aborted_total, http->requests_aborted)
SERVER_U64(slipway_http_received_bytes_total, http->bytes_received)
SERVER_U64(slipway_http_sent_bytes_total, http->bytes_sent)
SERVER_U64(process_resident_memory_bytes, process->resident_bytes)
SERVER_U64(process_virtual_memory_bytes, process->virtual_bytes)
SERVER_U64(process_open_fds, process->open_descriptors)
SERVER_U64(process_max_fds, process->descriptors_max)
SERVER_U64(process_threads, process->threads)

/* A row for each model and network thread. */
typedef void add_lane_function(struct writer *writer, const struct labels *labels,
                               const struct serve_lane_row *lane);

static void add_each_lane(struct writer *writer, add_lane_function *add)
{
    EACH_MODEL(row, writer)
    {
        for (uint32_t i = 0; i < row->lane_count; i++) {
            char number[16];
            int size = snprintf(number, sizeof number, "%u", i);
            struct labels labels =
                with_label(labels_of(row), "thread", (struct str){number, (size_t)size});
            add(writer, &labels, &row->lanes[i]);
        }
    }
}

static void add_lane_inline(struct writer *writer, const struct labels *labels,
                            const struct serve_lane_row *lane)
{
    add_u64(writer, labels, lane->runs_inline ? 1 : 0);
}

static void add_lane_stalls(struct writer *writer, const struct labels *labels,
                            const struct serve_lane_row *lane)
{
    add_u64(writer, labels, lane->stalls);
}

static void add_lane_stalled(struct writer *writer, const struct labels *labels,
                             const struct serve_lane_row *lane)
{
    add_double(writer, labels, (double)lane->stalled_ns / (double)NS_PER_S);
}

static void write_slipway_model_lane_inline(struct writer *writer)
{
    add_each_lane(writer, add_lane_inline);
}

static void write_slipway_model_stalls_total(struct writer *writer)
{
    add_each_lane(writer, add_lane_stalls);
}

static void write_slipway_model_stalled_seconds(struct writer *writer)
{
    add_each_lane(writer, add_lane_stalled);
}

static void write_process_cpu_seconds_total(struct writer *writer)
{
    add_plain_double(writer, (double)writer->input->process->cpu_ns / (double)NS_PER_S);
}

static void write_process_start_time_seconds(struct writer *writer)
{
    add_plain_double(writer, writer->input->process->start_seconds);
}

static void write_slipway_build_info(struct writer *writer)
{
    struct labels labels = {.count = 0};
    labels = with_label(labels, "version", str_of(writer->input->version));
    add_u64(writer, &labels, 1);
}

/* Why requests failed, in Triton's four words; the statistics count rejections among failures. */
static void write_nv_inference_request_failure(struct writer *writer)
{
    EACH_MODEL(row, writer)
    {
        const uint64_t *rejected = row->values.rejected;
        uint64_t all = 0, cancelled = rejected[STATISTICS_REJECTED_CANCELLED];
        for (size_t i = 0; i < STATISTICS_REJECTIONS; i++) all += rejected[i];
        uint64_t failed = row->values.fail.count;
        const struct {
            struct str reason;
            uint64_t count;
        } failures[] = {{STR("REJECTED"), all - cancelled},
                        {STR("CANCELED"), cancelled},
                        {STR("BACKEND"), failed > all ? failed - all : 0},
                        {STR("OTHER"), 0}};
        for (size_t i = 0; i < COUNT_OF(failures); i++) {
            struct labels labels = with_label(labels_of(row), "reason", failures[i].reason);
            add_u64(writer, &labels, failures[i].count);
        }
    }
}

static void write_slipway_rejected_total(struct writer *writer)
{
    EACH_MODEL(row, writer)
    for (size_t i = 0; i < STATISTICS_REJECTIONS; i++) {
        const char *reason = statistics_rejection_label((enum statistics_rejection)i);
        struct labels labels = with_label(labels_of(row), "reason", str_of(reason));
        add_u64(writer, &labels, row->values.rejected[i]);
    }
}

static void write_slipway_request_duration_seconds(struct writer *writer)
{
    EACH_MODEL(row, writer)
    {
        struct labels labels = labels_of(row);
        struct labels queue = with_label(labels, "phase", STR("queue"));
        struct labels compute = with_label(labels, "phase", STR("compute"));
        struct labels total = with_label(labels, "phase", STR("total"));
        add_time_histogram(writer, &queue, &row->values.queue_time);
        add_time_histogram(writer, &compute, &row->values.compute_time);
        add_time_histogram(writer, &total, &row->values.total_time);
    }
}

static void write_slipway_batch_size(struct writer *writer)
{
    EACH_MODEL(row, writer)
    {
        struct labels labels = labels_of(row);
        add_batch_histogram(writer, &labels, &row->values);
    }
}

static void write_slipway_last_inference_timestamp_seconds(struct writer *writer)
{
    EACH_MODEL(row, writer)
    {
        struct labels labels = labels_of(row);
        add_double(writer, &labels, (double)row->values.last_inference_ms / 1000.0);
    }
}

static void write_slipway_model_load_seconds(struct writer *writer)
{
    EACH_MODEL(row, writer)
    {
        struct labels labels = labels_of(row);
        add_double(writer, &labels, (double)row->load_ns / (double)NS_PER_S);
    }
}

static void write_slipway_model_loads_total(struct writer *writer)
{
    const struct serve_totals *totals = writer->input->totals;
    struct labels none = {.count = 0};
    struct labels success = with_label(none, "result", STR("success"));
    struct labels failure = with_label(none, "result", STR("failure"));
    add_u64(writer, &success, totals->load_success);
    add_u64(writer, &failure, totals->load_failure);
}

static void write_slipway_http_responses_total(struct writer *writer)
{
    static const char *const classes[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};
    for (size_t i = 1; i < COUNT_OF(classes); i++) {
        struct labels labels = {.count = 0};
        labels = with_label(labels, "class", str_of(classes[i]));
        add_u64(writer, &labels, writer->input->http->responses[i]);
    }
}

SERVER_U64(slipway_records_written_total, recorder->written)
SERVER_U64(slipway_records_failed_total, recorder->failed)
SERVER_U64(slipway_records_pruned_total, recorder->pruned)

static void write_slipway_records_shed_total(struct writer *writer)
{
    const struct recorder_counters *recorder = writer->input->recorder;
    const struct {
        const char *reason;
        uint64_t value;
    } rows[] = {{"rate", recorder->shed_rate},
                {"full", recorder->shed_full},
                {"away", recorder->shed_away}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct labels labels = {.count = 0};
        labels = with_label(labels, "reason", str_of(rows[i].reason));
        add_u64(writer, &labels, rows[i].value);
    }
}

/* --- queues, jobs and the data store -----------------------------------------------------------
 */

const char *const metrics_job_states[TALLY_KINDS] = {"submitted", "succeeded", "failed",
                                                     "cancelled", "expired",   "retried"};

#define EACH_DEPTH(row, writer)                                                                    \
    for (const struct depths_row *row = (writer)->input->data->depths.rows,                        \
                                 *row##_end = row + (writer)->input->data->depths.count;           \
         row < row##_end; row++)

#define EACH_COUNT(row, counted)                                                                   \
    for (const struct tally_row *row = (counted)->rows, *row##_end = row + (counted)->count;       \
         row < row##_end; row++)

static struct labels labels_of_queue(const char *name)
{
    struct labels labels = {.count = 0};
    return with_label(labels, "queue", str_of(name));
}

static void write_slipway_queue_messages(struct writer *writer)
{
    EACH_DEPTH(row, writer)
    {
        const struct {
            const char *state;
            uint64_t value;
        } states[] = {{"visible", row->depth.visible},
                      {"in_flight", row->depth.in_flight},
                      {"delayed", row->depth.delayed}};
        for (size_t i = 0; i < COUNT_OF(states); i++) {
            struct labels labels =
                with_label(labels_of_queue(row->name), "state", str_of(states[i].state));
            add_u64(writer, &labels, states[i].value);
        }
    }
}

static void write_slipway_queue_oldest_message_age_seconds(struct writer *writer)
{
    EACH_DEPTH(row, writer)
    {
        struct labels labels = labels_of_queue(row->name);
        add_double(writer, &labels, (double)row->depth.oldest_ms / 1000.0);
    }
}

static void write_slipway_queue_dead_letter_messages(struct writer *writer)
{
    EACH_DEPTH(row, writer)
    {
        if (!row->dead_known) continue;
        struct labels labels =
            with_label(labels_of_queue(row->name), "dead_letter", str_of(row->dead_letter));
        add_u64(writer, &labels, row->dead);
    }
}

static void write_slipway_queue_read_timestamp_seconds(struct writer *writer)
{
    add_plain_double(writer, writer->input->data->depths.read_at_s);
}

static void add_queue_counts(struct writer *writer, enum queue_count kind)
{
    EACH_COUNT(row, &writer->input->data->queues)
    {
        struct labels labels = labels_of_queue(row->name);
        add_u64(writer, &labels, row->counts[kind]);
    }
}

#define QUEUE_COUNTER(name, kind)                                                                  \
    static void write_##name(struct writer *writer)                                                \
    {                                                                                              \
        add_queue_counts(writer, kind);                                                            \
    }

QUEUE_COUNTER(slipway_queue_sent_total, QUEUE_COUNT_SENT)
QUEUE_COUNTER(slipway_queue_received_total, QUEUE_COUNT_RECEIVED)
QUEUE_COUNTER(slipway_queue_deleted_total, QUEUE_COUNT_DELETED)
QUEUE_COUNTER(slipway_queue_dead_lettered_total, QUEUE_COUNT_DEAD_LETTERED)

static void write_slipway_jobs_total(struct writer *writer)
{
    EACH_COUNT(row, &writer->input->data->jobs)
    for (size_t i = 0; i < TALLY_KINDS; i++) {
        struct labels labels = {.count = 0};
        labels = with_label(labels, "model", (struct str){row->name, row->name_size});
        labels = with_label(labels, "state", str_of(metrics_job_states[i]));
        add_u64(writer, &labels, row->counts[i]);
    }
}

/* A number for each value of one label. */
struct labelled {
    const char *value;
    uint64_t number;
};

static void add_labelled(struct writer *writer, const char *name, const struct labelled *rows,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct labels labels = {.count = 0};
        labels = with_label(labels, name, str_of(rows[i].value));
        add_u64(writer, &labels, rows[i].number);
    }
}

static void write_slipway_callbacks_total(struct writer *writer)
{
    const struct metrics_worker *worker = &writer->input->data->worker;
    const struct labelled rows[] = {{"delivered", worker->callbacks_delivered},
                                    {"retried", worker->callbacks_retried},
                                    {"given_up", worker->callbacks_given_up}};
    add_labelled(writer, "result", rows, COUNT_OF(rows));
}

static void write_slipway_worker_replies_total(struct writer *writer)
{
    const struct metrics_worker *worker = &writer->input->data->worker;
    const struct labelled rows[] = {{"sent", worker->replies_sent},
                                    {"refused", worker->replies_refused}};
    add_labelled(writer, "result", rows, COUNT_OF(rows));
}

static void write_slipway_worker_outcomes_total(struct writer *writer)
{
    const struct metrics_worker *worker = &writer->input->data->worker;
    const struct labelled rows[] = {
        {"succeeded", worker->succeeded}, {"failed", worker->failed},
        {"retried", worker->retried},     {"returned", worker->returned},
        {"skipped", worker->skipped},     {"lost", worker->lost},
    };
    add_labelled(writer, "outcome", rows, COUNT_OF(rows));
}

SERVER_U64(slipway_queues, data->depths.queues)
SERVER_U64(slipway_worker_leased_total, data->worker.leased)
SERVER_U64(slipway_worker_lease_failures_total, data->worker.lease_failures)
SERVER_U64(slipway_worker_extended_total, data->worker.extended)
SERVER_U64(slipway_worker_in_flight, data->worker.in_flight)
SERVER_U64(slipway_worker_queues, data->worker.queues)
SERVER_U64(slipway_database_commits_total, data->database.commits)
SERVER_U64(slipway_database_commit_failures_total, data->database.commit_failures)
SERVER_U64(slipway_database_tasks_total, data->database.tasks)
SERVER_U64(slipway_database_tasks_failed_total, data->database.tasks_failed)
SERVER_U64(slipway_database_tasks_waiting, data->database.tasks_waiting)

static void write_slipway_database_commit_seconds_total(struct writer *writer)
{
    add_plain_double(writer, (double)writer->input->data->database.commit_ns / (double)NS_PER_S);
}

/* --- the page --------------------------------------------------------------------------------- */

static const struct metric metrics[] = {
#define METRIC(name, type, labels, help) {#name, METRIC_##type, labels, help, write_##name},
#include "watch/metrics.def"
#undef METRIC
};

void metrics_write(const struct metrics_input *input, enum metrics_form form, struct buffer *out)
{
    struct writer writer = {.out = out, .input = input, .form = form};
    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        writer.metric = &metrics[i];
        add_metadata(&writer);
        metrics[i].write(&writer);
    }
    if (form == METRICS_OPENMETRICS) buffer_add(out, STR("# EOF\n"));
}

const char *metrics_content_type(enum metrics_form form)
{
    return form == METRICS_OPENMETRICS
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}

/* The weight of a media range, 1 if it has none, 0 if it is no number. */
static double weight_of(struct str parameters)
{
    while (parameters.data) {
        struct str parameter = str_trim(str_cut(&parameters, ';'));
        if (!str_starts_with(parameter, STR("q="))) continue;
        double weight;
        return num_read_double(str_from(parameter, 2), &weight) ? weight : 0;
    }
    return 1;
}

enum metrics_form metrics_form_for(struct str accept)
{
    double open = 0, plain = 0;
    while (accept.data) {
        struct str parameters = str_cut(&accept, ',');
        struct str type = str_trim(str_cut(&parameters, ';'));
        double weight = weight_of(parameters);
        if (str_equal_ignoring_case(type, STR("application/openmetrics-text")))
            open = MAX(open, weight);
        else if (str_equal_ignoring_case(type, STR("text/plain")))
            plain = MAX(plain, weight);
    }
    return open > 0 && open >= plain ? METRICS_OPENMETRICS : METRICS_PROMETHEUS;
}

void metrics_write_document(struct buffer *out)
{
    buffer_add_text(out,
                    "# Metrics\n\n"
                    "`GET /metrics` answers these in Prometheus' text format, or as "
                    "OpenMetrics 1.0 if `Accept` asks for\nit, as Prometheus itself does. Names "
                    "that start with `nv_` are those of Triton, so that its\ndashboards work: "
                    "both forms have them as they are (OpenMetrics wants `_total` behind "
                    "a\ncounter's, so there they are of type unknown). This page is made from "
                    "`src/watch/metrics.def`.\n\n"
                    "| name | type | labels | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        buffer_add_format(
            out, "| `%s` | %s | %s | %s |\n", metrics[i].name,
            metrics[i].type == METRIC_INFO ? "info" : type_name(&metrics[i], METRICS_PROMETHEUS),
            metrics[i].labels, metrics[i].help);
    }
    buffer_add_format(out,
                      "\nTime histograms have a bucket per power of two, from %u us to %u s; "
                      "`slipway_batch_size` from 1 to %u\nrows.\n",
                      (1U << SHOWN_FIRST_OCTAVE) / 1000U,
                      (unsigned)((UINT64_C(1) << SHOWN_LAST_OCTAVE) / NS_PER_S),
                      (unsigned)STATISTICS_BATCH_ROWS_MAX);
}
