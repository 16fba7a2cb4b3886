/*
 * The parts of a serving process, put together from the settings: the one place that names
 * implementations. Who faces clients (server, later worker and lambda) gets an app.
 *
 *   struct app *app;
 *   TRY(app_open(&config, &app, err));
 *   ... app->serve ...
 *   app_close(app);
 *
 * Made and ended by the main thread.
 */
#ifndef APP_APP_H
#define APP_APP_H

#include "app/data.h"
#include "config/config.h"
#include "engine/loader.h"
#include "jobs/jobs.h"
#include "serve/serve.h"
#include "watch/depths.h"
#include "watch/recorder.h"

struct app {
    struct engine_registry *engines;
    struct serve *serve;
    struct data *data; /* nothing is open before data_start or data_open */
    struct jobs *jobs; /* attached by whoever opens the data */
    struct callback_rules *callback_rules;
    struct queue_store *sqs; /* NULL: no queue of SQS is worked on */
    /* What is worked on: names and patterns; of queues of SQS "sqs:" and the name. */
    const char **consume;
    size_t consume_count;
    struct recorder *recorder; /* NULL if nothing is kept */
    struct depths *depths;     /* NULL if nothing is kept, or no metrics are wanted */
    struct str redact[PRIVACY_REDACT_GENERAL_MAX]; /* of record.redact */
    uint32_t thread_count; /* loop threads, and so lanes: the setting, or one per processor */
};

/*
 * Makes the parts; models load from serve_start_loading on. Borrows the config for as long as the
 * app lives. Fails if a repository cannot be read.
 */
enum status app_open(const struct config *config, struct app **ret_app, struct error *err) FALLIBLE;

/* Waits for loads that run, unloads all models. Accepts NULL. */
void app_close(struct app *app);

#endif
