/* `slipway worker`: jobs and messages in a process of its own. */
#include "cli/service.h"

enum status cmd_worker(struct command_context *context, struct error *err)
{
    const struct config *config = context->config;
    if (strcmp(config->data_url, "none") == 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "nothing to work on: data.url is 'none'; give it the data.url of the servers");
    if (strcmp(config->data_url, "memory:") == 0)
        return fail(
            err, STATUS_INVALID_ARGUMENT,
            "nothing to work on: data.url is 'memory:', and the queues of a server's memory "
            "are worked on by that server; workers need a data.url they share with it");
    /* Health and metrics where a port is asked for: on one machine with a server the default is
     * taken. */
    bool listens = config->origins[CONFIG_OPTION_http_port] != CONFIG_FROM_DEFAULT;
    return service_run(context, listens, true, err);
}
