/* `slipway lambda`: models as a function of AWS Lambda. */
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/function.h"
#include "cli/lambda_local.h"
#include "config/environment.h"
#include "lambda/extension.h"
#include "serve/serve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { POLLERS_MAX = 64 };

_Static_assert((int)POLLERS_MAX < (int)SERVE_LANES_MAX, "each has a lane, and the server one");

/* Who takes events: one, or, where the platform says that several may run at a time, as many. */
struct poller {
    struct lambda_runtime *runtime;
    struct function *function;
    pthread_t thread;
    bool started;
    enum status status;
    struct error err;
};

struct host {
    struct command_context *context;
    const char *address; /* of the Runtime API */
    struct lambda_extension *extension;
    unsigned poller_count;
    struct poller pollers[POLLERS_MAX]; /* the first has the main thread, and what all share */
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

static enum status post(struct poller *poller, const struct lambda_invocation *invocation,
                        const struct function_answer *answer, struct error *err)
{
    if (!answer->stream)
        return lambda_runtime_respond(poller->runtime, invocation, answer->body, err);
    enum status status = lambda_runtime_stream(poller->runtime, invocation, answer->stream, err);
    function_end_answer(poller->function);
    return status;
}

static enum status serve_one(struct poller *poller, struct error *err)
{
    struct lambda_invocation invocation;
    struct function_answer answer;
    struct error failure;
    TRY(lambda_runtime_next(poller->runtime, &invocation, err));
    if (function_run(poller->function, &invocation, &answer, &failure) == STATUS_OK)
        return post(poller, &invocation, &answer, err);
    return lambda_runtime_fail(poller->runtime, &invocation, &failure, answer.error_type, err);
}

/* Until the platform ends it: by a signal, or by failing, which ends the others when they have
 * answered what they have. */
static void *poll_events(void *context)
{
    struct poller *poller = context;
    while (poller->status == STATUS_OK) poller->status = serve_one(poller, &poller->err);
    tell_end(0);
    return NULL;
}

/* --- init ------------------------------------------------------------------------------------- */

/* Managed instances say how many events one process may have at a time; others say nothing. */
static enum status read_concurrency(unsigned *ret_count, struct error *err)
{
    const char *text = environment_get("AWS_LAMBDA_MAX_CONCURRENCY");
    uint64_t count = 1;
    if (text && *text && (!num_read_u64(str_of(text), &count) || count == 0))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "AWS_LAMBDA_MAX_CONCURRENCY is '%.64s', not a number from 1 on", text);
    if (count > POLLERS_MAX)
        log_info("fewer events at a time are asked for than may be", LOG_U64("asked", POLLERS_MAX),
                 LOG_U64("allowed", count));
    *ret_count = (unsigned)MIN(count, (uint64_t)POLLERS_MAX);
    return STATUS_OK;
}

static enum status open_pollers(struct host *host, struct error *err)
{
    struct poller *first = &host->pollers[0];
    TRY(read_concurrency(&host->poller_count, err));
    const struct function_options options = {.stop = &stopping,
                                             .peers_max = host->poller_count - 1};
    TRY(function_open(host->context, &options, &first->function, err));
    for (unsigned i = 1; i < host->poller_count; i++) {
        struct poller *poller = &host->pollers[i];
        TRY(lambda_runtime_new(host->address, stop_descriptor, &poller->runtime, err));
        TRY(function_share(first->function, &poller->function, err));
    }
    return STATUS_OK;
}

static enum status init(struct host *host, struct error *err)
{
    struct error told;
    enum status status = open_pollers(host, err);
    if (status == STATUS_OK) return STATUS_OK;
    log_error("the function cannot start", LOG_TEXT("status", status_name(status)),
              LOG_TEXT("error", err->message));
    lambda_extension_wait(host->extension); /* which must not register after it */
    if (lambda_runtime_fail_init(host->pollers[0].runtime, err, &told) != STATUS_OK)
        log_error("the failure could not be reported", LOG_TEXT("error", told.message));
    return status;
}

/* --- life ------------------------------------------------------------------------------------- */

/* What ended it: the first failure that is none of the end's own. */
static enum status join(struct host *host, struct error *err)
{
    enum status status = STATUS_CANCELLED;
    for (unsigned i = 0; i < host->poller_count; i++) {
        struct poller *poller = &host->pollers[i];
        if (poller->started) (void)pthread_join(poller->thread, NULL);
        if (poller->status != STATUS_OK && poller->status != STATUS_CANCELLED &&
            status == STATUS_CANCELLED)
            status = fail_again(err, &poller->err);
    }
    return status;
}

static enum status run(struct host *host, struct error *err)
{
    host->extension = lambda_extension_start(host->address, stop_descriptor);
    TRY(init(host, err));
    lambda_extension_wait(host->extension);
    for (unsigned i = 1; i < host->poller_count; i++) {
        struct poller *poller = &host->pollers[i];
        poller->started = pthread_create(&poller->thread, NULL, poll_events, poller) == 0;
        if (!poller->started) log_warning("fewer events at a time: no thread can be made");
    }
    (void)poll_events(&host->pollers[0]);
    enum status status = join(host, err);
    if (status != STATUS_CANCELLED) return status;
    log_info("ended by a signal");
    return STATUS_OK;
}

static enum status host_function(struct command_context *context, const char *address,
                                 struct error *err)
{
    struct host *host = MEM_NEW(struct host);
    host->context = context;
    host->address = address;
    if (context->config->origins[CONFIG_OPTION_log_format] == CONFIG_FROM_DEFAULT)
        log_set_format(LOG_FORMAT_JSON);
    enum status status = catch_signals(err);
    if (status == STATUS_OK)
        status = lambda_runtime_new(address, stop_descriptor, &host->pollers[0].runtime, err);
    if (status == STATUS_OK) status = run(host, err);
    tell_end(0);
    lambda_extension_end(host->extension);
    for (unsigned i = POLLERS_MAX; i-- > 0;) { /* the first owns what the others share */
        function_close(host->pollers[i].function);
        lambda_runtime_free(host->pollers[i].runtime);
    }
    mem_free(host);
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
