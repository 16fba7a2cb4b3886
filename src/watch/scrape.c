/* Gathers the values of the metrics page. */
#include "watch/scrape.h"

#include "base/mem.h"
#include "watch/process.h"

/* Behind the rows that are there, as far as there is room. */
static void add_sqs(struct tally *sqs, struct metrics_counts *queues)
{
    struct tally_row *rows = MEM_NEW_ARRAY(struct tally_row, TALLY_ROWS_MAX);
    size_t count = tally_read(sqs, rows);
    for (size_t i = 0; i < count && queues->count < TALLY_ROWS_MAX; i++) {
        struct tally_row *row = &queues->rows[queues->count++];
        *row = rows[i];
        row->name_size =
            (size_t)snprintf(row->name, sizeof row->name, "sqs:%.*s",
                             (int)MIN(rows[i].name_size, sizeof row->name - 5), rows[i].name);
    }
    mem_free(rows);
}

static void read_data(const struct scrape_source *source, struct metrics_data *data)
{
    if (source->queues) data->queues.count = tally_read(source->queues, data->queues.rows);
    if (source->sqs) add_sqs(source->sqs, &data->queues);
    if (source->jobs) data->jobs.count = tally_read(source->jobs, data->jobs.rows);
    if (source->depths) depths_read(source->depths, &data->depths);
    if (source->database) database_counters_read(source->database, &data->database);
    data->worker = source->worker;
}

void scrape_write(const struct scrape_source *source, enum metrics_form form, struct buffer *out)
{
    struct recorder_counters records = {0};
    struct serve_statistics statistics;
    struct serve_totals totals;
    struct metrics_process process;
    struct metrics_data *data = MEM_NEW(struct metrics_data);
    serve_statistics_read(source->serve, STR_EMPTY, STR_EMPTY, &statistics);
    serve_totals_read(source->serve, &totals);
    process_read(&process);
    if (source->recorder) recorder_counters_read(source->recorder, &records);
    read_data(source, data);
    metrics_write(&(struct metrics_input){.statistics = &statistics,
                                          .totals = &totals,
                                          .http = source->http,
                                          .process = &process,
                                          .recorder = &records,
                                          .version = SLIPWAY_VERSION,
                                          .data = data},
                  form, out);
    serve_statistics_clear(&statistics);
    mem_free(data);
}
