/*
 * A process that works until a signal: `slipway serve` and `slipway worker` differ in what they do
 * meanwhile. Main thread.
 */
#ifndef CLI_SERVICE_H
#define CLI_SERVICE_H

#include "cli/command.h"

/* `listens`: an HTTP server. `works`: jobs and messages are run. */
enum status service_run(struct command_context *context, bool listens, bool works,
                        struct error *err) FALLIBLE;

#endif
