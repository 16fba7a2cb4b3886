/*
 * The metrics page of a running server: reads serve's statistics and the process, and writes.
 */
#ifndef WATCH_SCRAPE_H
#define WATCH_SCRAPE_H

#include "watch/metrics.h"

/* Appends the page. `http` are the caller's sums; `recorder` may be NULL. Any thread; takes about
 * 10 us per model. */
void scrape_write(struct serve *serve, const struct metrics_http *http,
                  const struct recorder *recorder, enum metrics_form form, struct buffer *out);

#endif
