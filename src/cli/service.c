/* `slipway serve` and `slipway worker`: models behind HTTP or a queue, until a signal. */
#include "cli/service.h"

#include "app/app.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli/background.h"
#include "cli/places.h"
#include "config/environment.h"
#include "server/notify.h"
#include "server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/* While something is waited for, signals are looked at this often. */
enum { SIGNAL_LOOK_NS = 10 * 1000 * 1000 };

struct service {
    const struct command_context *context;
    const struct config *config;
    struct app *app;
    struct server *server;         /* NULL: nothing is listened on */
    struct background *background; /* the data store and the worker */
    sigset_t signals;
};

static struct server_options server_options_of(const struct config *config, const struct app *app)
{
    return (struct server_options){
        .serve = app->serve,
        .data = app->data,
        .jobs = app->jobs,
        .recorder = app->recorder,
        .depths = app->depths,
        .outside = app->sqs,
        .name = config->server_name,
        .address = config->http_address,
        .port = (uint16_t)config->http_port,
        .thread_count = app->thread_count,
        .busy_poll_ns = config->http_busy_poll_ns,
        .access_log = config->http_access_log,
        .metrics = config->metrics_enabled,
        .sqs = {config->sqs_account, config->sqs_region, config->sqs_access_keys.items,
                config->sqs_access_keys.count},
        .http =
            {
                .header_size_max = config->http_header_bytes_max,
                .body_size_max = config->http_body_bytes_max,
                .connection_count_max =
                    (uint32_t)MAX(config->http_connections_max / app->thread_count, UINT64_C(1)),
                .idle_timeout_ns = config->http_idle_timeout_ns,
                .drain_idle_ns = config->drain_idle_ns,
                .header_timeout_ns = config->http_header_timeout_ns,
                .body_timeout_ns = config->http_body_timeout_ns,
                .write_timeout_ns = config->http_write_timeout_ns,
                .compression_size_min = config->http_compression_min_bytes,
                .server_name = *config->http_server_header ? config->http_server_header : NULL,
            },
    };
}

/* Blocked in this thread, and so in those that it starts: only signals_wait sees them. */
static void signals_block(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, set, NULL); /* cannot fail with these arguments */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files: the write fails, and says so */
}

static enum status write_port_file(const char *path, uint16_t port, struct error *err)
{
    if (!*path) return STATUS_OK;
    char text[16], temporary[4200];
    int length = snprintf(text, sizeof text, "%u\n", port);
    (void)snprintf(temporary, sizeof temporary, "%s.new", path);
    int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0) return fail_errno(err, errno, "writing the port to '%s'", temporary);
    bool written = write(file, text, (size_t)length) == length;
    int problem = written ? 0 : errno;
    close(file);
    if (!written) return fail_errno(err, problem, "writing the port to '%s'", temporary);
    /* Renamed, so that a reader never sees half a number. */
    if (rename(temporary, path) != 0) return fail_errno(err, errno, "renaming to '%s'", path);
    return STATUS_OK;
}

static void tell_manager(const char *state)
{
    struct error err;
    if (notify_systemd(environment_get("NOTIFY_SOCKET"), state, &err) != STATUS_OK)
        log_warning("service manager not told", LOG_TEXT("error", err.message));
}

/* The next signal, or 0 if none came within `timeout_ns`. */
static int next_signal(const sigset_t *set, uint64_t timeout_ns)
{
    struct timespec timeout = {(time_t)(timeout_ns / NS_PER_S), (long)(timeout_ns % NS_PER_S)};
    int number = sigtimedwait(set, NULL, &timeout);
    return number > 0 ? number : 0;
}

static bool ends_server(int signal_number)
{
    return signal_number == SIGTERM || signal_number == SIGINT;
}

/* Waits until the models are loaded, as far as they can be; a signal that ends the service, or 0.
 */
static int wait_for_models(const struct service *service)
{
    while (!serve_wait_started(service->app->serve, SIGNAL_LOOK_NS)) {
        int number = next_signal(&service->signals, 0);
        if (ends_server(number)) return number;
    }
    if (serve_is_ready(service->app->serve))
        log_info("ready");
    else
        log_warning("not ready: not every model could be loaded");
    tell_manager("READY=1");
    return 0;
}

/* What may change without a restart: the rows of options.def with CONFIG_RELOAD. */
static void reload(const struct service *service)
{
    struct config fresh;
    struct error err;
    config_init(&fresh);
    if (config_load(&fresh, service->context->request, &err) == STATUS_OK) {
        log_set_level((enum log_level)fresh.log_level);
        log_set_format((enum log_format)fresh.log_format);
        if (service->server) server_set_access_log(service->server, fresh.http_access_log);
        log_info("settings reloaded");
    } else {
        log_error("settings not reloaded", LOG_TEXT("error", err.message));
    }
    config_clear(&fresh);
}

/* The signal that ends the service. */
static int wait_for_end(const struct service *service)
{
    for (;;) {
        int number = next_signal(&service->signals, 3600 * NS_PER_S);
        if (ends_server(number)) return number;
        if (number == SIGHUP) reload(service);
    }
}

static bool is_drained(const struct service *service)
{
    /* Each gets its time: what the one waits for, the other does not hold up. */
    bool served = !service->server || server_wait(service->server, SIGNAL_LOOK_NS);
    return background_wait(service->background, SIGNAL_LOOK_NS) && served;
}

/* True if all that was accepted has been answered; a second signal or the grace time ends it. */
static bool drain(const struct service *service)
{
    const struct config *config = service->config;
    if (service->server) server_drain(service->server, config->drain_delay_ns);
    background_drain(service->background);
    uint64_t until = clock_monotonic_ns() + config->drain_delay_ns + config->drain_grace_ns;
    while (!is_drained(service)) {
        if (ends_server(next_signal(&service->signals, 0))) return false;
        if (clock_monotonic_ns() >= until) return false;
    }
    return true;
}

/* An engine that loads or runs cannot be taken down beneath its work: the process ends as a signal
 * ends it. */
static void end_unfinished(const struct service *service, const char *message)
{
    log_warning(message);
    (void)signal(SIGTERM, SIG_DFL);
    (void)pthread_sigmask(SIG_UNBLOCK, &service->signals, NULL);
    (void)raise(SIGTERM);
}

/* False if a load of the start still runs when a signal comes or the time is over. */
static bool wait_for_loads(const struct service *service, uint64_t time_ns)
{
    uint64_t until = clock_monotonic_ns() + time_ns;
    while (!serve_wait_started(service->app->serve, SIGNAL_LOOK_NS))
        if (ends_server(next_signal(&service->signals, 0)) || clock_monotonic_ns() >= until)
            return false;
    return true;
}

/* The last resort against an engine that hangs while it is taken down. */
static void limit_teardown(uint64_t time_ns)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    struct itimerspec when = {.it_value = {(time_t)(time_ns / NS_PER_S) + 1, 0}};
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
        (void)timer_settime(timer, 0, &when, NULL);
}

static void shut_down(const struct service *service)
{
    if (drain(service))
        log_info("drained");
    else if (serve_in_flight(service->app->serve) > 0 || !background_wait(service->background, 0))
        end_unfinished(service, "ended with requests unanswered");
    else
        log_warning("ended with connections open");
    if (!wait_for_loads(service, service->config->drain_grace_ns))
        end_unfinished(service, "ended while a model was loading");
    limit_teardown(service->config->drain_grace_ns);
}

static void run_until_signal(const struct service *service)
{
    if (service->server)
        log_info("listening", LOG_TEXT("address", service->config->http_address),
                 LOG_U64("port", server_port(service->server)),
                 LOG_U64("threads", service->app->thread_count));
    int number = wait_for_models(service);
    if (number == 0) number = wait_for_end(service);
    log_info("shutting down", LOG_TEXT("signal", number == SIGINT ? "SIGINT" : "SIGTERM"));
    tell_manager("STOPPING=1");
    shut_down(service);
}

static void read_worker(void *context, struct metrics_worker *ret_counters)
{
    background_counters_read(context, ret_counters);
}

static enum status start_listening(struct service *service, struct error *err)
{
    struct server_options options = server_options_of(service->config, service->app);
    options.read_worker = read_worker;
    options.read_worker_context = service->background;
    TRY(server_start(&options, &service->server, err));
    return write_port_file(service->config->http_port_file, server_port(service->server), err);
}

static enum status run(struct service *service, bool listens, bool works, struct error *err)
{
    enum status status = STATUS_OK;
    service->background = background_new(service->app, service->config, works);
    if (listens) status = start_listening(service, err);
    if (status == STATUS_OK) status = background_start(service->background, err);
    if (status == STATUS_OK) status = serve_start_loading(service->app->serve, err);
    if (status == STATUS_OK) run_until_signal(service);
    background_stop(service->background);
    server_stop(service->server);
    background_free(service->background); /* whose numbers the server asks for until then */
    return status;
}

static enum status open_and_run(struct service *service, bool listens, bool works,
                                struct error *err)
{
    signals_block(&service->signals);
    TRY(app_open(service->config, &service->app, err));
    enum status status = run(service, listens, works, err);
    app_close(service->app);
    return status;
}

enum status service_run(struct command_context *context, bool listens, bool works,
                        struct error *err)
{
    const struct config *config = context->config;
    if (config->model_repository.count + config->positionals.count == 0 &&
        config->model_control_mode == CONFIG_CONTROL_NONE)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "no model to serve: name a model file, a model's directory or a repository, as "
                    "in 'slipway %s models/'",
                    context->row->name);
    log_set_level((enum log_level)config->log_level);
    log_set_format((enum log_format)config->log_format);
    struct config local = *config;
    struct arena paths;
    arena_init(&paths, PLACES_ARENA_MAX);
    /* Before signals are blocked: there is nothing yet that must not be cut off. */
    enum status status = places_fetch(&local, &paths, NULL, err);
    struct service service = {.context = context, .config = &local};
    if (status == STATUS_OK) status = open_and_run(&service, listens, works, err);
    arena_clear(&paths);
    return status;
}
