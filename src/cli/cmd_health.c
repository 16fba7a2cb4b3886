/* `slipway health`: whether a server is ready, as an exit code; what a container's health check
 * runs. */
#include "base/mem.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/remote.h"

enum {
    EXIT_UNHEALTHY = 1, /* Docker's word for it */
    PORT_FILE_SIZE_MAX = 16,
    BUFFER_SIZE_MAX = 1024 * 1024
};

/* The port that a server with these settings listens on, which may have been left to the system. */
static enum status find_port(const struct config *config, uint64_t *ret_port, struct error *err)
{
    *ret_port = config->http_port;
    if (config->http_port != 0) return STATUS_OK;
    if (!*config->http_port_file)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "http.port is 0 and no http.port_file tells which port it became; give --url");
    struct buffer text;
    buffer_init(&text, BUFFER_SIZE_MAX);
    enum status status = console_read_file(config->http_port_file, PORT_FILE_SIZE_MAX, &text, err);
    struct str rest = buffer_view(&text);
    if (status == STATUS_OK && !num_read_u64(str_cut(&rest, '\n'), ret_port))
        status = fail(err, STATUS_INVALID_ARGUMENT, "'%s' holds no port", config->http_port_file);
    buffer_clear(&text);
    return status;
}

/* The address to ask a server at that listens on this one: every interface includes the loopback.
 */
static const char *reachable(const char *address)
{
    if (strcmp(address, "0.0.0.0") == 0) return "127.0.0.1";
    if (strcmp(address, "::") == 0) return "::1";
    return address;
}

static enum status make_url(const struct config *config, char **ret_url, struct error *err)
{
    uint64_t port;
    if (*config->health_url) {
        *ret_url = mem_copy_text(config->health_url);
        return STATUS_OK;
    }
    TRY(find_port(config, &port, err));
    const char *address = reachable(config->http_address);
    bool six = strchr(address, ':') != NULL;
    *ret_url = mem_format("http://%s%s%s:%llu", six ? "[" : "", address, six ? "]" : "",
                          (unsigned long long)port);
    return STATUS_OK;
}

static enum status ask(const struct config *config, struct error *err)
{
    char *url CLEANUP(mem_freep) = NULL;
    struct remote *remote;
    struct str body;
    TRY(make_url(config, &url, err));
    TRY(remote_open(url, config->health_timeout_ns, &remote, err));
    const char *path = config->health_live ? "/v2/health/live" : "/v2/health/ready";
    enum status status = fail_while(err, remote_get(remote, path, &body, err), "%s", path);
    remote_close(remote);
    return status;
}

enum status cmd_health(struct command_context *context, struct error *err)
{
    const struct config *config = context->config;
    struct error problem;
    if (config->positionals.count > 0)
        return fail(err, STATUS_INVALID_ARGUMENT, "health takes no argument '%s'; see --url",
                    config->positionals.items[0]);
    const char *state = config->health_live ? "alive" : "ready";
    if (ask(config, &problem) == STATUS_OK) {
        (void)fprintf(context->out, "%s\n", state);
        return STATUS_OK;
    }
    (void)fprintf(context->out, "not %s: %s\n", state, problem.message);
    context->exit_code = EXIT_UNHEALTHY;
    return STATUS_OK;
}
