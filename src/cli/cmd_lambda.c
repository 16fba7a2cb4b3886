/* `slipway lambda`: models as a function of AWS Lambda. */
#include "base/log.h"
#include "cli/command.h"
#include "cli/function.h"
#include "cli/lambda_local.h"
#include "config/environment.h"
#include "lambda/extension.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct host {
    struct command_context *context;
    const char *address; /* of the Runtime API */
    struct lambda_runtime *runtime;
    struct lambda_extension *extension;
    struct function *function;
};

/* Readable from the end on: an eventfd, made before the signal can come. */
static int stop_descriptor = -1;
static _Atomic bool stopping;

static void tell_end(int number UNUSED)
{
    const uint64_t one = 1;
    int before = errno;
    atomic_store(&stopping, true);
    (void)!write(stop_descriptor, &one, sizeof one); /* full: it is readable already */
    errno = before;
}

static enum status catch_signals(struct error *err)
{
    struct sigaction action = {.sa_handler = tell_end};
    sigemptyset(&action.sa_mask);
    stop_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_descriptor < 0) return fail_errno(err, errno, "making an eventfd");
    (void)sigaction(SIGTERM, &action, NULL); /* cannot fail with these arguments */
    (void)sigaction(SIGINT, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return STATUS_OK;
}

static enum status post(struct host *host, const struct lambda_invocation *invocation,
                        const struct function_answer *answer, struct error *err)
{
    if (answer->stream_type)
        return lambda_runtime_stream(host->runtime, invocation, answer->stream_type, answer->body,
                                     err);
    return lambda_runtime_respond(host->runtime, invocation, answer->body, err);
}

static enum status serve_one(struct host *host, struct error *err)
{
    struct lambda_invocation invocation;
    struct function_answer answer;
    struct error failure;
    TRY(lambda_runtime_next(host->runtime, &invocation, err));
    if (function_run(host->function, &invocation, &answer, &failure) == STATUS_OK)
        return post(host, &invocation, &answer, err);
    return lambda_runtime_fail(host->runtime, &invocation, &failure, answer.error_type, err);
}

static enum status open_function(struct host *host, struct error *err)
{
    struct error told;
    enum status status = function_open(host->context, &stopping, &host->function, err);
    if (status == STATUS_OK) return STATUS_OK;
    log_error("the function cannot start", LOG_TEXT("status", status_name(status)),
              LOG_TEXT("error", err->message));
    lambda_extension_wait(host->extension); /* which must not register after it */
    if (lambda_runtime_fail_init(host->runtime, err, &told) != STATUS_OK)
        log_error("the failure could not be reported", LOG_TEXT("error", told.message));
    return status;
}

/* Until the platform ends it: by a signal, or by failing. */
static enum status run(struct host *host, struct error *err)
{
    host->extension = lambda_extension_start(host->address, stop_descriptor);
    TRY(open_function(host, err));
    lambda_extension_wait(host->extension);
    enum status status = STATUS_OK;
    while (status == STATUS_OK) status = serve_one(host, err);
    if (status != STATUS_CANCELLED) return status;
    log_info("ended by a signal");
    return STATUS_OK;
}

static enum status host_function(struct command_context *context, const char *address,
                                 struct error *err)
{
    struct host host = {.context = context, .address = address};
    if (context->config->origins[CONFIG_OPTION_log_format] == CONFIG_FROM_DEFAULT)
        log_set_format(LOG_FORMAT_JSON);
    TRY(catch_signals(err));
    TRY(lambda_runtime_new(address, stop_descriptor, &host.runtime, err));
    enum status status = run(&host, err);
    tell_end(0);
    lambda_extension_end(host.extension);
    function_close(host.function);
    lambda_runtime_free(host.runtime);
    return status;
}

enum status cmd_lambda(struct command_context *context, struct error *err)
{
    const char *address = environment_get("AWS_LAMBDA_RUNTIME_API");
    if (context->config->lambda_local) {
        TRY(catch_signals(err));
        return lambda_local_run(context, &stopping, err);
    }
    if (address && *address) return host_function(context, address, err);
    return fail(err, STATUS_FAILED_PRECONDITION,
                "AWS_LAMBDA_RUNTIME_API is not set: this command runs inside AWS Lambda or its "
                "emulator; --local takes events from a queue here, 'slipway invoke' replays one");
}
