/* Gathers the values of the metrics page. */
#include "watch/scrape.h"

#include "watch/process.h"

void scrape_write(struct serve *serve, const struct metrics_http *http,
                  const struct recorder *recorder, enum metrics_form form, struct buffer *out)
{
    struct recorder_counters records = {0};
    struct serve_statistics statistics;
    struct serve_totals totals;
    struct metrics_process process;
    serve_statistics_read(serve, STR_EMPTY, STR_EMPTY, &statistics);
    serve_totals_read(serve, &totals);
    process_read(&process);
    if (recorder) recorder_counters_read(recorder, &records);
    metrics_write(&(struct metrics_input){.statistics = &statistics,
                                          .totals = &totals,
                                          .http = http,
                                          .process = &process,
                                          .recorder = &records,
                                          .version = SLIPWAY_VERSION},
                  form, out);
    serve_statistics_clear(&statistics);
}
