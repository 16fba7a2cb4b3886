/*
 * `slipway lambda --local`: the function and what AWS puts before it, in one process: messages of a
 * queue of data.url become events, and each is deleted, or comes back, or becomes a dead letter, as
 * it would there. Tells a line for each.
 */
#ifndef CLI_LAMBDA_LOCAL_H
#define CLI_LAMBDA_LOCAL_H

#include "cli/command.h"

/* Until `stop` is true, or, with --once, the queue has nothing to give. Main thread. */
enum status lambda_local_run(struct command_context *context, const _Atomic bool *stop,
                             struct error *err) FALLIBLE;

#endif
