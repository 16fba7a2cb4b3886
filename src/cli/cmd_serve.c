/* `slipway serve`: models behind HTTP, and their jobs. */
#include "cli/service.h"

enum status cmd_serve(struct command_context *context, struct error *err)
{
    return service_run(context, true, context->config->worker_enabled, err);
}
