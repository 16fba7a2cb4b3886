/* Gathers the values of the metrics page. */
#include "watch/scrape.h"

#include "watch/process.h"

void scrape_write(struct serve *serve, const struct metrics_http *http, enum metrics_form form,
                  struct buffer *out)
{
    struct serve_statistics statistics;
    struct serve_totals totals;
    struct metrics_process process;
    serve_statistics_read(serve, STR_EMPTY, STR_EMPTY, &statistics);
    serve_totals_read(serve, &totals);
    process_read(&process);
    metrics_write(&(struct metrics_input){&statistics, &totals, http, &process, SLIPWAY_VERSION},
                  form, out);
    serve_statistics_clear(&statistics);
}
