#include "base/clock.h"
#include "base/mem.h"
#include "test.h"
#include "watch/metrics.c"
#include "watch/process.h"

#include <math.h>

/* --- a strict reader of the page ------------------------------------------------------------- */

enum { FAMILIES_MAX = 128, SERIES_MAX = 4096 };

struct page {
    struct str rest;
    bool open_metrics;
    struct str families[FAMILIES_MAX];
    size_t family_count;
    struct str family, type;
    struct str series[SERIES_MAX]; /* name and labels, for duplicates */
    size_t series_count;
    double bucket_bound, bucket_count; /* of the histogram series being read */
    struct str bucket_owner;
    bool ended;
    char problem[256];
};

static void wrong(struct page *page, const char *what, struct str line)
{
    if (!*page->problem)
        (void)snprintf(page->problem, sizeof page->problem, "%s: '%.*s'", what, STR_ARGS(line));
}

static bool is_name(struct str name)
{
    if (name.size == 0 || (name.data[0] >= '0' && name.data[0] <= '9')) return false;
    for (size_t i = 0; i < name.size; i++) {
        char byte = name.data[i];
        if (!((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
              (byte >= '0' && byte <= '9') || byte == '_' || byte == ':'))
            return false;
    }
    return true;
}

/* The family that opens with HELP; TYPE must follow. */
static void read_help(struct page *page, struct str line)
{
    struct str rest = str_from(line, 7);
    struct str name = str_cut(&rest, ' ');
    if (!is_name(name) || !rest.data || rest.size == 0) wrong(page, "HELP", line);
    for (size_t i = 0; i < page->family_count; i++)
        if (str_equal(page->families[i], name)) wrong(page, "family twice", line);
    if (page->family_count < FAMILIES_MAX) page->families[page->family_count++] = name;
    page->family = name;
    page->type = STR_EMPTY;
}

static void read_type(struct page *page, struct str line)
{
    struct str rest = str_from(line, 7);
    struct str name = str_cut(&rest, ' ');
    if (!str_equal(name, page->family) || page->type.size) wrong(page, "TYPE", line);
    page->type = rest;
}

static struct str quoted_end(struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '"') return str_from(text, i + 1);
        if (text.data[i] == '\\' && (++i == text.size || !strchr("\\\"n", text.data[i]))) break;
    }
    return (struct str){NULL, 0};
}

/* Leaves what follows the labels; *le gets the value of a label of that name, else data NULL. */
static struct str read_labels(struct page *page, struct str text, struct str *le)
{
    struct str line = text;
    *le = (struct str){NULL, 0};
    if (text.size == 0 || text.data[0] != '{') return text;
    text = str_from(text, 1);
    for (;;) {
        size_t equal = str_find(text, '=');
        if (equal == SIZE_MAX || equal + 1 >= text.size || text.data[equal + 1] != '"') break;
        struct str name = {text.data, equal};
        if (!is_name(name)) break;
        struct str value = str_from(text, equal + 2);
        text = quoted_end(value);
        if (!text.data || text.size == 0) break;
        if (str_equal(name, STR("le")))
            *le = (struct str){value.data, (size_t)(text.data - value.data) - 1};
        char next = text.data[0];
        text = str_from(text, 1);
        if (next == '}') return text;
        if (next != ',') break;
    }
    wrong(page, "labels", line);
    return STR_EMPTY;
}

static void check_suffix(struct page *page, struct str suffix, struct str line)
{
    bool histogram = str_equal(page->type, STR("histogram"));
    bool known = histogram ? str_equal(suffix, STR("_bucket")) || str_equal(suffix, STR("_sum")) ||
                                 str_equal(suffix, STR("_count"))
                           : suffix.size == 0;
    if (page->open_metrics && str_equal(page->type, STR("counter")))
        known = str_equal(suffix, STR("_total"));
    if (page->open_metrics && str_equal(page->type, STR("info")))
        known = str_equal(suffix, STR("_info"));
    if (!known) wrong(page, "sample's name", line);
}

/* Buckets of one series ascend in bound and count, and end with +Inf, which _count equals. */
static void check_bucket(struct page *page, struct str suffix, struct str le, double value,
                         struct str line)
{
    if (str_equal(suffix, STR("_count")) && value != page->bucket_count) wrong(page, "count", line);
    if (!str_equal(suffix, STR("_bucket"))) {
        if (page->bucket_bound != INFINITY) wrong(page, "no +Inf", line);
        return;
    }
    double bound = INFINITY;
    if (!str_equal(le, STR("+Inf")) && !num_read_double(le, &bound)) wrong(page, "le", line);
    bool first = page->bucket_bound == INFINITY;
    if (!first && (bound <= page->bucket_bound || value < page->bucket_count))
        wrong(page, "buckets do not ascend", line);
    page->bucket_bound = bound;
    page->bucket_count = value;
}

static void read_sample(struct page *page, struct str line)
{
    size_t end = 0;
    while (end < line.size && line.data[end] != '{' && line.data[end] != ' ') end++;
    struct str name = {line.data, end}, le;
    if (!is_name(name) || !str_starts_with(name, page->family)) wrong(page, "no family", line);
    if (*page->problem) return;
    struct str rest = read_labels(page, str_from(line, end), &le);
    double value = -1;
    if (rest.size < 2 || rest.data[0] != ' ' || !num_read_double(str_from(rest, 1), &value))
        wrong(page, "value", line);
    if (value < 0) wrong(page, "negative", line);
    struct str suffix = str_from(name, page->family.size);
    check_suffix(page, suffix, line);
    if (str_equal(page->type, STR("histogram"))) check_bucket(page, suffix, le, value, line);
    struct str series = {line.data, line.size - rest.size};
    for (size_t i = 0; i < page->series_count; i++)
        if (str_equal(page->series[i], series)) wrong(page, "series twice", line);
    if (page->series_count < SERIES_MAX) page->series[page->series_count++] = series;
}

static void read_line(struct page *page, struct str line)
{
    if (page->ended) wrong(page, "behind EOF", line);
    if (str_starts_with(line, STR("# HELP ")))
        read_help(page, line);
    else if (str_starts_with(line, STR("# TYPE ")))
        read_type(page, line);
    else if (str_starts_with(line, STR("# UNIT ")) && page->open_metrics) {
        if (page->type.size == 0) wrong(page, "UNIT before TYPE", line);
    } else if (str_equal(line, STR("# EOF")) && page->open_metrics)
        page->ended = true;
    else if (line.size == 0 || line.data[0] == '#')
        wrong(page, "comment", line);
    else
        read_sample(page, line);
}

static struct page *read_page(struct str text, bool open_metrics)
{
    struct page *page = MEM_NEW(struct page);
    page->open_metrics = open_metrics;
    page->bucket_bound = INFINITY;
    struct str rest = text;
    if (text.size == 0 || text.data[text.size - 1] != '\n') wrong(page, "no last line feed", text);
    rest.size--;
    while (rest.data && !*page->problem) read_line(page, str_cut(&rest, '\n'));
    if (open_metrics && !page->ended) wrong(page, "no EOF", STR_EMPTY);
    return page;
}

/* --- values ----------------------------------------------------------------------------------- */

struct fixture {
    struct statistics_batch_value batches[4];
    struct serve_statistics_row rows[2];
    struct serve_statistics statistics;
    struct serve_totals totals;
    struct metrics_http http;
    struct metrics_process process;
    struct recorder_counters recorder;
    struct metrics_data *data;
    struct metrics_input input;
    struct buffer out;
};

static void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){.statistics.count = 2};
    fixture->rows[0].name = mem_copy_text("a");
    fixture->rows[0].version = mem_copy_text("1");
    fixture->rows[1].name = mem_copy_text("qu\"o\\te\n");
    fixture->rows[1].version = mem_copy_text("2");
    fixture->statistics.rows = fixture->rows;
    fixture->data = MEM_NEW(struct metrics_data);
    fixture->input =
        (struct metrics_input){&fixture->statistics, &fixture->totals,   &fixture->http,
                               &fixture->process,    &fixture->recorder, "9.9",
                               fixture->data};
    buffer_init(&fixture->out, 1 << 20);
}

static void fixture_clear(struct fixture *fixture)
{
    for (size_t i = 0; i < COUNT_OF(fixture->rows); i++) {
        mem_free(fixture->rows[i].name);
        mem_free(fixture->rows[i].version);
    }
    mem_free(fixture->data);
    buffer_clear(&fixture->out);
}

static void expect_line(struct fixture *fixture, const char *line)
{
    char whole[256];
    (void)snprintf(whole, sizeof whole, "\n%s\n", line);
    if (!strstr(buffer_text(&fixture->out), whole)) test_failed(__FILE__, __LINE__, "no %s", line);
}

static void fill_data(struct metrics_data *data)
{
    struct depths_row rows[] = {{.name = "b", .dead_letter = "b-dead", .depth = {5, 2, 1, 4500}},
                                {.name = "b-dead", .depth = {.visible = 3}},
                                {.name = "other", .depth = {.visible = 9}}};
    struct tally *tally = MEM_NEW(struct tally);
    depths_condense(rows, COUNT_OF(rows), &data->depths);
    tally_init(tally);
    tally_add(tally, STR("b"), QUEUE_COUNT_SENT, 20);
    tally_add(tally, STR("b"), QUEUE_COUNT_DEAD_LETTERED, 3);
    tally_add(tally, STR("other"), QUEUE_COUNT_SENT, 4);
    data->queues.count = tally_read(tally, data->queues.rows);
    tally_add(tally, STR("m\"1"), 2, 6);
    data->jobs.count = tally_read(tally, data->jobs.rows);
    tally_clear(tally);
    mem_free(tally);
    data->worker.lost = 8;
    data->worker.callbacks_given_up = 1;
    data->database.commits = 21;
    data->database.commit_ns = 1500000000;
}

static void fill(struct fixture *fixture)
{
    struct statistics_snapshot *values = &fixture->rows[0].values;
    values->success.count = 7;
    values->success.ns = 7999;
    values->fail.count = 5;
    values->rejected[STATISTICS_REJECTED_QUEUE_FULL] = 2;
    values->rejected[STATISTICS_REJECTED_CANCELLED] = 1;
    values->batch_count = 4;
    values->batches = fixture->batches;
    fixture->batches[0].count = 3;
    fixture->batches[3].count = 1;
    values->total_time.buckets[histogram_index(8191)] = 4;
    values->total_time.buckets[histogram_index(8192)] = 2;
    values->total_time.buckets[HISTOGRAM_BUCKETS - 1] = 1;
    values->total_time.sum_ns = 1500000000;
    fixture->http.responses[2] = 11;
    fixture->totals.load_failure = 3;
    fixture->recorder.shed_full = 13;
    fill_data(fixture->data);
}

TEST(prometheus_page_is_well_formed)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fill(&fixture);
    metrics_write(&fixture.input, METRICS_PROMETHEUS, &fixture.out);
    EXPECT(!buffer_failed(&fixture.out));
    struct page *page = read_page(buffer_view(&fixture.out), false);
    EXPECT_TEXT(page->problem, "");
    EXPECT_INT(page->family_count, COUNT_OF(metrics));
    mem_free(page);
    expect_line(&fixture, "# TYPE nv_inference_request_success counter");
    expect_line(&fixture, "nv_inference_request_success{model=\"a\",version=\"1\"} 7");
    expect_line(&fixture, "nv_inference_request_duration_us{model=\"a\",version=\"1\"} 7");
    expect_line(&fixture, "slipway_records_shed_total{reason=\"full\"} 13");
    expect_line(&fixture, "# TYPE slipway_build_info gauge");
    expect_line(&fixture, "slipway_build_info{version=\"9.9\"} 1");
    expect_line(&fixture, "slipway_http_responses_total{class=\"2xx\"} 11");
    expect_line(&fixture, "slipway_model_loads_total{result=\"failure\"} 3");
    expect_line(&fixture, "slipway_queue_depth{model=\"qu\\\"o\\\\te\\n\",version=\"2\"} 0");
    expect_line(&fixture, "slipway_queue_messages{queue=\"b\",state=\"in_flight\"} 2");
    expect_line(&fixture, "slipway_queue_messages{queue=\"other\",state=\"visible\"} 9");
    expect_line(&fixture, "slipway_queue_oldest_message_age_seconds{queue=\"b\"} 4.5");
    expect_line(&fixture,
                "slipway_queue_dead_letter_messages{queue=\"b\",dead_letter=\"b-dead\"} 3");
    expect_line(&fixture, "slipway_queue_sent_total{queue=\"b\"} 20");
    expect_line(&fixture, "slipway_queue_sent_total{queue=\"other\"} 4");
    expect_line(&fixture, "slipway_queue_dead_lettered_total{queue=\"b\"} 3");
    expect_line(&fixture, "slipway_jobs_total{model=\"m\\\"1\",state=\"failed\"} 6");
    expect_line(&fixture, "slipway_worker_outcomes_total{outcome=\"lost\"} 8");
    expect_line(&fixture, "slipway_callbacks_total{result=\"given_up\"} 1");
    expect_line(&fixture, "slipway_database_commits_total 21");
    expect_line(&fixture, "slipway_database_commit_seconds_total 1.5");
    fixture_clear(&fixture);
}

TEST(open_metrics_page_is_well_formed)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fill(&fixture);
    metrics_write(&fixture.input, METRICS_OPENMETRICS, &fixture.out);
    struct page *page = read_page(buffer_view(&fixture.out), true);
    EXPECT_TEXT(page->problem, "");
    mem_free(page);
    expect_line(&fixture, "# TYPE nv_inference_request_success unknown");
    expect_line(&fixture, "nv_inference_request_success{model=\"a\",version=\"1\"} 7");
    expect_line(&fixture, "# TYPE slipway_model_loads counter");
    expect_line(&fixture, "slipway_model_loads_total{result=\"failure\"} 3");
    expect_line(&fixture, "# TYPE slipway_build info");
    expect_line(&fixture, "# UNIT process_cpu_seconds seconds");
    fixture_clear(&fixture);
}

TEST(failures_are_told_apart)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fill(&fixture);
    metrics_write(&fixture.input, METRICS_PROMETHEUS, &fixture.out);
    const char *name = "nv_inference_request_failure{model=\"a\",version=\"1\",reason=";
    const char *const expected[] = {"\"REJECTED\"} 2", "\"CANCELED\"} 1", "\"BACKEND\"} 2",
                                    "\"OTHER\"} 0"};
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        char line[128];
        (void)snprintf(line, sizeof line, "%s%s", name, expected[i]);
        expect_line(&fixture, line);
    }
    expect_line(&fixture,
                "slipway_rejected_total{model=\"a\",version=\"1\",reason=\"queue_full\"} 2");
    fixture_clear(&fixture);
}

TEST(histograms_are_cumulative)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fill(&fixture);
    metrics_write(&fixture.input, METRICS_PROMETHEUS, &fixture.out);
#define TOTAL "slipway_request_duration_seconds_%s{model=\"a\",version=\"1\",phase=\"total\""
    char line[160];
    (void)snprintf(line, sizeof line, TOTAL ",le=\"0.000008192\"} 4", "bucket");
    expect_line(&fixture, line);
    (void)snprintf(line, sizeof line, TOTAL ",le=\"0.000016384\"} 6", "bucket");
    expect_line(&fixture, line);
    (void)snprintf(line, sizeof line, TOTAL ",le=\"+Inf\"} 7", "bucket");
    expect_line(&fixture, line);
    (void)snprintf(line, sizeof line, TOTAL "} 7", "count");
    expect_line(&fixture, line);
    (void)snprintf(line, sizeof line, TOTAL "} 1.5", "sum");
    expect_line(&fixture, line);
    expect_line(&fixture, "slipway_batch_size_bucket{model=\"a\",version=\"1\",le=\"2.0\"} 3");
    expect_line(&fixture, "slipway_batch_size_bucket{model=\"a\",version=\"1\",le=\"4.0\"} 4");
    expect_line(&fixture, "slipway_batch_size_sum{model=\"a\",version=\"1\"} 7.0");
    fixture_clear(&fixture);
}

TEST(shown_bounds_hold_for_random_times)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct fixture fixture;
    fixture_init(&fixture);
    struct histogram_value *total = &fixture.rows[0].values.total_time;
    uint64_t below_millisecond = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t ns = prng_u64(&prng) >> (prng_below(&prng, 50) + 14);
        total->buckets[histogram_index(ns)]++;
        below_millisecond += ns < (1 << 20);
    }
    metrics_write(&fixture.input, METRICS_PROMETHEUS, &fixture.out);
    char line[160];
    (void)snprintf(line, sizeof line, TOTAL ",le=\"0.001048576\"} %llu", "bucket",
                   (unsigned long long)below_millisecond);
    expect_line(&fixture, line);
    fixture_clear(&fixture);
}

TEST(a_full_buffer_is_told)
{
    struct fixture fixture;
    fixture_init(&fixture);
    buffer_clear(&fixture.out);
    buffer_init(&fixture.out, 4096);
    metrics_write(&fixture.input, METRICS_PROMETHEUS, &fixture.out);
    EXPECT(buffer_failed(&fixture.out));
    EXPECT(fixture.out.size <= 4096);
    fixture_clear(&fixture);
}

TEST(accept_chooses_the_form)
{
    const struct {
        struct str accept;
        enum metrics_form form;
    } cases[] = {
        {{NULL, 0}, METRICS_PROMETHEUS},
        {STR("*/*"), METRICS_PROMETHEUS},
        {STR("application/openmetrics-text"), METRICS_OPENMETRICS},
        {STR("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"),
         METRICS_OPENMETRICS},
        {STR("text/plain, application/openmetrics-text;q=0.5"), METRICS_PROMETHEUS},
        {STR("application/openmetrics-text; q=0"), METRICS_PROMETHEUS},
        {STR("application/openmetrics-text; q=x"), METRICS_PROMETHEUS},
        {STR(" APPLICATION/OpenMetrics-Text ; version=1.0.0 , */*;q=0.1"), METRICS_OPENMETRICS},
        {STR(",;,=;q"), METRICS_PROMETHEUS},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        EXPECT_INT(metrics_form_for(cases[i].accept), cases[i].form);
}

TEST(bytes_that_are_not_text_do_not_spoil_the_page)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.input.version = "\xff\xfe!";
    metrics_write(&fixture.input, METRICS_PROMETHEUS, &fixture.out);
    expect_line(&fixture, "slipway_build_info{version=\"\?\?!\"} 1");
    EXPECT(str_is_utf8(buffer_view(&fixture.out)));
    fixture_clear(&fixture);
}

TEST(this_process_is_seen)
{
    struct metrics_process process;
    process_read(&process);
    EXPECT(process.resident_bytes > 100000 && process.resident_bytes < process.virtual_bytes);
    EXPECT(process.open_descriptors >= 3 && process.open_descriptors < process.descriptors_max);
    EXPECT(process.threads >= 1);
    double now = (double)clock_wall_ns() / 1e9;
    EXPECT(process.start_seconds > now - 3600 && process.start_seconds < now + 2);
}

TEST(document_is_current)
{
    FILE *file = fopen(SOURCE_DIRECTORY "/docs/metrics.md", "r");
    static char there[65536];
    size_t size = file ? fread(there, 1, sizeof there - 1, file) : 0;
    if (file) fclose(file);
    there[size] = 0;
    struct buffer out;
    buffer_init(&out, sizeof there);
    metrics_write_document(&out);
    if (strcmp(there, buffer_text(&out)) != 0) {
        test_failed(__FILE__, __LINE__,
                    "docs/metrics.md is not what src/watch/metrics.def makes, which is:");
        (void)fputs(buffer_text(&out), stderr);
    }
    buffer_clear(&out);
}
