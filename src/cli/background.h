/*
 * What a service does beside answering: it opens the data store, as often as it takes, and then
 * runs the worker.
 *
 *   TRY(background_start(app, config, works, &background, err));
 *   ...
 *   background_drain(background);
 *   if (background_wait(background, grace_ns)) background_stop(background);
 *
 * On the main thread; it has a thread of its own.
 */
#ifndef CLI_BACKGROUND_H
#define CLI_BACKGROUND_H

#include "app/app.h"

struct background;

/* Borrows app and config. Without `works` the store is opened and the queues are made, no more. */
enum status background_start(struct app *app, const struct config *config, bool works,
                             struct background **ret_background, struct error *err) FALLIBLE;

/* No message is leased any more. Accepts NULL. */
void background_drain(struct background *background);

/* True once nothing is in flight any more. NULL: at once. */
bool background_wait(struct background *background, uint64_t timeout_ns);

/* After background_wait was true. Accepts NULL. */
void background_stop(struct background *background);

#endif
