/*
 * What a service does beside answering: it opens the data store, as often as it takes, and then
 * runs the worker.
 *
 *   background = background_new(app, config, works);
 *   TRY(background_start(background, err));
 *   ...
 *   background_drain(background);
 *   if (background_wait(background, grace_ns)) background_stop(background);
 *   background_free(background);
 *
 * On the main thread; it has a thread of its own.
 */
#ifndef CLI_BACKGROUND_H
#define CLI_BACKGROUND_H

#include "app/app.h"
#include "watch/metrics.h"

struct background;

/* Borrows app and config. Without `works` the store is opened and the queues are made, no more. */
struct background *background_new(struct app *app, const struct config *config, bool works);

/* Once. */
enum status background_start(struct background *background, struct error *err) FALLIBLE;

/* The worker's numbers; zeros while none runs here. Any thread, until background_free. */
void background_counters_read(struct background *background, struct metrics_worker *ret_counters);

/* No message is leased any more. Accepts NULL. */
void background_drain(struct background *background);

/* True once nothing is in flight any more. NULL: at once. */
bool background_wait(struct background *background, uint64_t timeout_ns);

/* After background_wait was true: the worker ends. Its numbers may still be asked for. */
void background_stop(struct background *background);

/* After background_stop, if it was started. Accepts NULL. */
void background_free(struct background *background);

#endif
