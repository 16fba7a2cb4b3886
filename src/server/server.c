/* Loop threads: up, and down again. */
#include "server/server.h"

#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "server/errand.h"
#include "server/routes.h"
#include "server/routes_sqs.h"
#include "server/thread.h"
#include "watch/recorder.h"

#include <errno.h>
#include <unistd.h>

/* The slowest store answers or fails within the first. */
enum { ERRANDS_LOOK_NS = 10 * 1000 * 1000 };
#define ERRANDS_NS_MAX (60 * NS_PER_S)

struct server {
    struct server_options options;
    uint16_t port;
    _Atomic bool access_log;
    uint32_t thread_count; /* whose parts were made */
    pthread_mutex_t lock;
    pthread_cond_t drained; /* with lock: a thread's `drained` became true */
    struct server_thread threads[SERVER_THREADS_MAX];
};

static void on_headers(void *context, struct http_exchange *exchange)
{
    routes_prepare(context, exchange);
}

static void on_request(void *context, struct http_exchange *exchange)
{
    routes_answer(context, exchange);
}

static void on_abort(void *context UNUSED, struct http_exchange *exchange)
{
    struct exchange_user *user = exchange->user;
    if (user) user->on_abort(user);
}

static void on_rejected(void *context, int status, const char *message)
{
    struct server_thread *thread = context;
    counter_add(&thread->responses[MIN(status / 100, 5)], 1);
    log_debug("request rejected", LOG_I64("status", status), LOG_TEXT("error", message));
}

static const struct http_handler handler = {on_headers, on_request, on_abort, on_rejected};

static enum status thread_open(struct server *server, uint32_t index, struct error *err)
{
    struct server_thread *thread = &server->threads[index];
    const struct server_options *options = &server->options;
    *thread = (struct server_thread){
        .server = server, .options = options, .access_log = &server->access_log, .index = index};
    list_init(&thread->waits);
    server->thread_count = index + 1;
    struct loop_options loop_options = {.busy_poll_ns = options->busy_poll_ns};
    TRY(loop_new(&loop_options, &thread->loop, err));
    TRY(http_server_new(thread->loop, &options->http, &handler, thread, &thread->http, err));
    /* After the first thread the port is known, also if the system chose it. */
    struct tcp_listen_options listen_options = {
        .host = options->address,
        .port = index == 0 ? options->port : server->port,
        .reuse_port = options->thread_count > 1,
    };
    if (options->address)
        TRY(http_server_listen(thread->http, &listen_options, &server->port, err));
    thread->lane = serve_lane_new(options->serve, thread->loop);
    bool records = options->recorder && recorder_options(options->recorder)->sync != RECORDER_NONE;
    thread->recorder = records ? options->recorder : NULL;
    return STATUS_OK;
}

static void *thread_run(void *context)
{
    struct server_thread *thread = context;
    char name[16];
    (void)snprintf(name, sizeof name, "loop-%u", thread->index);
    (void)pthread_setname_np(pthread_self(), name); /* only for people who look at threads */
    loop_run(thread->loop);
    return NULL;
}

static enum status thread_start(struct server_thread *thread, struct error *err)
{
    int problem = pthread_create(&thread->thread, NULL, thread_run, thread);
    if (problem) {
        thread->thread = 0;
        return fail_errno(err, problem, "starting loop thread %u", thread->index);
    }
    return STATUS_OK;
}

/*
 * Sockets that share a port share it with another process' as well, silently. A socket that does
 * not share finds out whether somebody is there already.
 */
static enum status check_port_is_free(const struct server_options *options, struct error *err)
{
    if (options->port == 0 || options->thread_count == 1) return STATUS_OK;
    struct tcp_listen_options listen_options = {.host = options->address, .port = options->port};
    int descriptor;
    uint16_t port;
    TRY(tcp_listen(&listen_options, &descriptor, &port, err));
    close(descriptor);
    return STATUS_OK;
}

static enum status open_threads(struct server *server, struct error *err)
{
    TRY(check_port_is_free(&server->options, err));
    for (uint32_t i = 0; i < server->options.thread_count; i++) TRY(thread_open(server, i, err));
    for (uint32_t i = 0; i < server->options.thread_count; i++)
        TRY(thread_start(&server->threads[i], err));
    return STATUS_OK;
}

enum status server_start(const struct server_options *options, struct server **ret_server,
                         struct error *err)
{
    assert(options->thread_count >= 1 && options->thread_count <= SERVER_THREADS_MAX);
    TRY(sqs_settings_check(&options->sqs, err));
    struct server *server = MEM_NEW(struct server);
    server->options = *options;
    server_set_access_log(server, options->access_log);
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&server->drained, &attributes);
    pthread_condattr_destroy(&attributes);
    enum status status = open_threads(server, err);
    if (status != STATUS_OK) {
        server_stop(server);
        return status;
    }
    *ret_server = server;
    return STATUS_OK;
}

void server_set_access_log(struct server *server, bool on)
{
    atomic_store_explicit(&server->access_log, on, memory_order_relaxed);
}

uint16_t server_port(const struct server *server)
{
    return server->port;
}

/* --- connections that are given --------------------------------------------------------------- */

struct adopt_mail {
    struct mail mail;
    struct server_thread *thread;
    int descriptor;
};

static void receive_adopt(struct mail *mail)
{
    struct adopt_mail *adopt = CONTAINER_OF(mail, struct adopt_mail, mail);
    struct error err;
    if (http_server_adopt(adopt->thread->http, adopt->descriptor, &err) != STATUS_OK)
        log_error("a connection was not taken", LOG_TEXT("error", err.message));
    mem_free(adopt);
}

void server_adopt(struct server *server, int descriptor)
{
    struct adopt_mail *adopt = MEM_NEW(struct adopt_mail);
    adopt->mail.receive = receive_adopt;
    adopt->thread = &server->threads[0];
    adopt->descriptor = descriptor;
    loop_post(adopt->thread->loop, &adopt->mail);
}

/* --- the way down ----------------------------------------------------------------------------- */

static void on_drained(void *context)
{
    struct server_thread *thread = context;
    pthread_mutex_lock(&thread->server->lock);
    atomic_store(&thread->drained, true);
    pthread_cond_signal(&thread->server->drained);
    pthread_mutex_unlock(&thread->server->lock);
}

struct drain_mail {
    struct mail mail;
    struct server_thread *thread;
    uint64_t delay_ns;
};

static void drain_now(struct loop_timer *timer)
{
    struct server_thread *thread = CONTAINER_OF(timer, struct server_thread, drain_timer);
    http_server_drain(thread->http, on_drained, thread);
}

static void receive_drain(struct mail *mail)
{
    struct drain_mail *drain = CONTAINER_OF(mail, struct drain_mail, mail);
    struct server_thread *thread = drain->thread;
    thread->draining = true;
    sqs_end_waits(thread);
    thread->drain_timer.on_time = drain_now;
    uint64_t when_ns = loop_now_ns(thread->loop) + drain->delay_ns;
    if (drain->delay_ns == 0 || !loop_timer_start(thread->loop, &thread->drain_timer, when_ns))
        drain_now(&thread->drain_timer);
    mem_free(drain);
}

void server_drain(struct server *server, uint64_t delay_ns)
{
    for (uint32_t i = 0; i < server->thread_count; i++) {
        struct drain_mail *drain = MEM_NEW(struct drain_mail);
        drain->mail.receive = receive_drain;
        drain->thread = &server->threads[i];
        drain->delay_ns = delay_ns;
        loop_post(server->threads[i].loop, &drain->mail);
    }
}

static bool is_drained(const struct server *server)
{
    for (uint32_t i = 0; i < server->thread_count; i++)
        if (!atomic_load(&server->threads[i].drained)) return false;
    return true;
}

bool server_wait(struct server *server, uint64_t timeout_ns)
{
    uint64_t end = clock_monotonic_ns() + timeout_ns;
    struct timespec until = {(time_t)(end / NS_PER_S), (long)(end % NS_PER_S)};
    pthread_mutex_lock(&server->lock);
    bool drained;
    while (!(drained = is_drained(server)))
        if (pthread_cond_timedwait(&server->drained, &server->lock, &until) == ETIMEDOUT) break;
    drained = is_drained(server);
    pthread_mutex_unlock(&server->lock);
    return drained;
}

/* Errands come back from other threads: the loop stays until the last is over. */
static void end_errands(struct server_thread *thread)
{
    uint64_t until_ns = clock_monotonic_ns() + ERRANDS_NS_MAX;
    thread->draining = true;
    sqs_end_waits(thread);
    while (thread->errands > 0 && clock_monotonic_ns() < until_ns)
        loop_turn(thread->loop, ERRANDS_LOOK_NS);
    assert(thread->errands == 0); /* else the store has lost a call */
}

static void thread_close(struct server_thread *thread)
{
    if (thread->thread) {
        loop_stop(thread->loop);
        pthread_join(thread->thread, NULL);
        end_errands(thread);
    }
    http_server_free(thread->http);
    if (thread->lane) serve_lane_free(thread->lane);
    loop_free(thread->loop);
}

void server_stop(struct server *server)
{
    if (!server) return;
    for (uint32_t i = 0; i < server->thread_count; i++) thread_close(&server->threads[i]);
    pthread_cond_destroy(&server->drained);
    pthread_mutex_destroy(&server->lock);
    mem_free(server);
}

/* --- counters --------------------------------------------------------------------------------- */

static void add_counters(struct metrics_http *sum, const struct http_counters *one)
{
    sum->connections_accepted += counter_get(&one->connections_accepted);
    sum->connections_refused += counter_get(&one->connections_refused);
    sum->connections_open += counter_get(&one->connections_open);
    sum->connections_timed_out += counter_get(&one->connections_timed_out);
    sum->requests += counter_get(&one->requests);
    sum->requests_rejected += counter_get(&one->requests_rejected);
    sum->requests_aborted += counter_get(&one->requests_aborted);
    sum->bytes_received += counter_get(&one->bytes_received);
    sum->bytes_sent += counter_get(&one->bytes_sent);
}

void server_counters_read(const struct server *server, struct metrics_http *ret_counters)
{
    *ret_counters = (struct metrics_http){0};
    for (uint32_t i = 0; i < server->thread_count; i++) {
        const struct server_thread *thread = &server->threads[i];
        add_counters(ret_counters, http_server_counters(thread->http));
        for (size_t class = 0; class < COUNT_OF(thread->responses); class ++)
            ret_counters->responses[class] += counter_get(&thread->responses[class]);
    }
}
