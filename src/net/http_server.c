/* The server around its connections: accepting, time limits, the hooks of a turn, draining. */
#include "net/http_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_PER_TURN = 256, ACCEPTS_DRAINING = 65536, ACCEPT_PAUSE_MS = 100 };

#define SCRATCH_CEILING ((size_t)4 << 30)

/* --- exchanges -------------------------------------------------------------------------------- */

static void work_begin(struct http_work *work)
{
    struct http_server *server = work->exchange.server;
    work->parsed = work->start;
    work->exchange.received_ns = loop_now_ns(server->loop);
    work->exchange.body_alignment_offset = SIZE_MAX;
    work->exchange.body_size_max = server->options.body_size_max;
}

/* Forgets the message; keeps memory, input and place in the world. */
static void work_reset(struct http_work *work)
{
    if (work->arena.newest || work->arena.hooks) arena_reset(&work->arena);
    if (work->body.memory) body_clear(work);
    size_t from = offsetof(struct http_work, content_length);
    memset((char *)work + from, 0, offsetof(struct http_work, fields) - from);
    struct http_exchange *exchange = &work->exchange;
    struct http_exchange fresh = {.arena = &work->arena,
                                  .server = exchange->server,
                                  .connection = exchange->connection,
                                  .body = STR_EMPTY};
    *exchange = fresh;
}

static struct http_work *work_new(struct http_server *server)
{
    struct http_work *work = mem_new(sizeof *work + server->input_size + BODY_ALIGNMENT);
    memset(work, 0, sizeof *work);
    arena_init(&work->arena, EXCHANGE_ARENA_SIZE_MAX);
    work->exchange.server = server;
    work_reset(work);
    return work;
}

static void work_free(struct http_work *work)
{
    body_clear(work);
    arena_clear(&work->arena);
    mem_free(work);
}

struct http_work *work_take(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct http_work *work = server->free_works;
    if (LIKELY(work)) {
        server->free_works = work->next_free;
        server->free_work_count--;
    } else {
        work = work_new(server);
    }
    work->exchange.connection = connection;
    work->start = work->end = 0;
    work_begin(work);
    connection->work = work;
    return work;
}

void work_restart(struct http_work *work, size_t position)
{
    size_t left = work->end - position;
    size_t room = work->exchange.server->options.header_size_max + INPUT_SLACK;
    work_reset(work);
    if (position > work->exchange.server->input_size - room) {
        memmove(work->input, work->input + position, left);
        work->end = left;
        position = 0;
    }
    work->start = position;
    work_begin(work);
}

static void server_free_if_empty(struct http_server *server)
{
    if (server->freeing && server->orphan_count == 0) mem_free(server);
}

static void work_recycle(struct http_work *work)
{
    struct http_server *server = work->exchange.server;
    if (server->freeing || server->free_work_count >= POOL_COUNT_MAX) {
        work_free(work);
        return;
    }
    work->exchange.connection = NULL;
    work_reset(work);
    work->next_free = server->free_works;
    server->free_works = work;
    server->free_work_count++;
}

void work_put(struct http_work *work)
{
    work->exchange.connection = NULL;
    if (work->exchange.holds)
        work->exchange.server->orphan_count++;
    else
        work_recycle(work);
}

void http_exchange_hold(struct http_exchange *exchange)
{
    exchange->holds++;
}

void http_exchange_release(struct http_exchange *exchange)
{
    struct http_server *server = exchange->server;
    assert(exchange->holds > 0);
    if (--exchange->holds > 0 || exchange->connection) return;
    if (work_of(exchange)->aborting) return; /* on_abort runs: its caller puts it away */
    server->orphan_count--;
    work_recycle(work_of(exchange));
    server_free_if_empty(server);
}

void http_exchange_peer(const struct http_exchange *exchange, char text[TCP_ADDRESS_SIZE])
{
    tcp_peer_address(exchange->connection ? exchange->connection->watch.descriptor : -1, text);
}

/* --- connections ------------------------------------------------------------------------------ */

static bool is_listening(const struct http_server *server)
{
    for (uint32_t i = 0; i < server->listener_count; i++)
        if (server->listeners[i].watch.active) return true;
    return false;
}

static void tell_if_drained(struct http_server *server)
{
    if (!server->draining || server->drained_told || is_listening(server) ||
        counter_get(&server->counters.connections_open))
        return;
    server->drained_told = true;
    if (server->on_drained) server->on_drained(server->drained_context);
}

/* The handler is told of an exchange that it knows and that will not be answered. */
static void work_abort(struct http_work *work)
{
    struct http_server *server = work->exchange.server;
    bool known = work->headers_seen || work->requested;
    bool open = !work->exchange.answered || work->streaming;
    work->exchange.connection = NULL;
    if (known && open) {
        counter_add(&server->counters.requests_aborted, 1);
        work->aborting = true;
        if (server->handler->on_abort) server->handler->on_abort(server->context, &work->exchange);
        work->aborting = false;
    }
    work_put(work);
}

void connection_close(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct http_work *work = TAKE(connection->work);
    loop_timer_stop(server->loop, &connection->timer);
    loop_watch_remove(server->loop, &connection->watch);
    (void)close(connection->watch.descriptor);
    list_remove(&connection->link);
    list_remove(&connection->flush_link);
    list_remove(&connection->resume_link);
    list_remove(&connection->hangup_link);
    if (work) work_abort(work);
    output_clear(connection);
    mem_free(connection);
    counter_subtract(&server->counters.connections_open, 1);
    tell_if_drained(server);
}

void connection_set_deadline(struct http_connection *connection, uint64_t deadline_ns)
{
    connection->deadline_ns = deadline_ns;
    struct loop_timer *timer = &connection->timer;
    if (LIKELY(loop_timer_is_started(timer) && timer->when_ns <= deadline_ns)) return;
    if (deadline_ns == UINT64_MAX) return;
    bool started = loop_timer_start(connection->server->loop, timer, deadline_ns);
    assert(started); /* there are more timers than connections */
}

uint64_t connection_idle_end(const struct http_connection *connection)
{
    const struct http_server *server = connection->server;
    const struct http_server_options *options = &server->options;
    uint64_t time_ns = options->idle_timeout_ns;
    if (server->draining) time_ns = MIN(time_ns, options->drain_idle_ns);
    return loop_now_ns(server->loop) + time_ns;
}

void connection_linger(struct http_connection *connection)
{
    const struct http_server *server = connection->server;
    uint64_t time_ns = LINGER_SECONDS_MAX * NS_PER_S;
    if (server->draining) time_ns = MIN(time_ns, server->options.drain_idle_ns);
    (void)shutdown(connection->watch.descriptor, SHUT_WR);
    connection->state = HTTP_STATE_LINGERING;
    connection_set_deadline(connection, loop_now_ns(server->loop) + time_ns);
    connection_resume(connection);
}

void connection_resume(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    if (list_is_linked(&connection->resume_link)) return;
    list_add_last(&server->resuming, &connection->resume_link);
    loop_run_again(server->loop);
    loop_hurry(server->loop);
}

static bool is_idle(const struct http_connection *connection)
{
    return connection->state == HTTP_STATE_HEAD && !connection->work && !connection->first_piece;
}

/* The server drains, and no further request came: a last look whether one has just arrived. */
static void end_idle(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    uint64_t open = counter_get(&server->counters.connections_open);
    connection->readable = true;
    connection_read(connection);
    if (counter_get(&server->counters.connections_open) != open) return; /* it was closed */
    if (is_idle(connection)) connection_linger(connection);
}

static void on_deadline(struct loop_timer *timer)
{
    struct http_connection *connection = CONTAINER_OF(timer, struct http_connection, timer);
    struct http_server *server = connection->server;
    struct http_work *work = connection->work;
    if (connection->deadline_ns > loop_now_ns(server->loop)) {
        connection_set_deadline(connection, connection->deadline_ns);
        return;
    }
    if (server->draining && is_idle(connection)) {
        end_idle(connection);
        return;
    }
    counter_add(&server->counters.connections_timed_out, 1);
    bool reading = connection->state < HTTP_STATE_WAITING && work && work->end > work->start;
    if (!reading || connection->first_piece) {
        connection_close(connection);
        return;
    }
    connection_reject(connection, 408, "the request did not arrive in time");
    connection_set_deadline(connection, loop_now_ns(server->loop) + LINGER_SECONDS_MAX * NS_PER_S);
}

static void on_event(struct loop_watch *watch, uint32_t events)
{
    struct http_connection *connection = CONTAINER_OF(watch, struct http_connection, watch);
    if (UNLIKELY(events & LOOP_BROKEN)) {
        connection_close(connection);
        return;
    }
    if (UNLIKELY(events & LOOP_HANGUP)) {
        connection->peer_closed = true;
        if (connection->state == HTTP_STATE_WAITING) connection_watch_hangup(connection);
    }
    if (UNLIKELY(connection->first_piece && (events & LOOP_WRITABLE))) output_schedule(connection);
    if (UNLIKELY(!(events & (LOOP_READABLE | LOOP_HANGUP)))) return;
    connection->readable = true;
    connection_read(connection);
}

static enum status connection_new(struct http_server *server, int descriptor, struct error *err)
{
    struct http_connection *connection = MEM_NEW(struct http_connection);
    connection->server = server;
    connection->deadline_ns = UINT64_MAX;
    connection->timer.on_time = on_deadline;
    list_init(&connection->flush_link);
    list_init(&connection->resume_link);
    list_init(&connection->hangup_link);
    enum status status =
        loop_watch_add(server->loop, &connection->watch, descriptor,
                       LOOP_READABLE | LOOP_WRITABLE | LOOP_HANGUP | LOOP_EDGE, on_event, err);
    if (status != STATUS_OK) {
        mem_free(connection);
        (void)close(descriptor);
        return status;
    }
    list_add_last(&server->connections, &connection->link);
    counter_add(&server->counters.connections_accepted, 1);
    counter_add(&server->counters.connections_open, 1);
    connection_set_deadline(connection, connection_idle_end(connection));
    return STATUS_OK;
}

enum status http_server_adopt(struct http_server *server, int descriptor, struct error *err)
{
    return connection_new(server, descriptor, err);
}

/* --- accepting -------------------------------------------------------------------------------- */

static const char refusal[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                              "Content-Type: application/json\r\nContent-Length: 33\r\n"
                              "Retry-After: 1\r\n\r\n{\"error\":\"too many connections\"}\n";

/* What fits into the socket's empty buffer is sent; then the other side reads it and our end. */
static void refuse(struct http_server *server, int descriptor)
{
    char discarded[4096];
    counter_add(&server->counters.connections_refused, 1);
    (void)!send(descriptor, refusal, sizeof refusal - 1, MSG_NOSIGNAL);
    (void)shutdown(descriptor, SHUT_WR);
    /* Closing with unread input would reset the connection, and the answer with it. */
    (void)!recv(descriptor, discarded, sizeof discarded, 0);
    (void)close(descriptor);
}

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

enum acceptance { ACCEPTED, NOBODY_WAITS, NO_DESCRIPTOR };

/* No descriptor is left: with the spare one the connection is taken and told so. (accept4 says
 * EMFILE before it looks whether anybody waits.) */
static enum acceptance refuse_with_spare(struct http_server *server, int listening)
{
    if (server->spare_descriptor < 0) return NO_DESCRIPTOR;
    (void)close(server->spare_descriptor);
    int descriptor = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    bool nobody = descriptor < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (descriptor >= 0) refuse(server, descriptor);
    server->spare_descriptor = open_spare();
    if (nobody) return NOBODY_WAITS;
    return descriptor >= 0 ? ACCEPTED : NO_DESCRIPTOR;
}

/* A listening socket that cannot be served would wake the loop for ever: look away for a while. */
static void pause_accepting(struct http_server *server)
{
    for (uint32_t i = 0; i < server->listener_count; i++)
        if (server->listeners[i].watch.active)
            loop_watch_change(server->loop, &server->listeners[i].watch, 0);
    (void)loop_timer_start(server->loop, &server->accept_timer,
                           loop_now_ns(server->loop) + ACCEPT_PAUSE_MS * NS_PER_MS);
}

static void on_accept_pause_over(struct loop_timer *timer)
{
    struct http_server *server = CONTAINER_OF(timer, struct http_server, accept_timer);
    if (server->spare_descriptor < 0) server->spare_descriptor = open_spare();
    for (uint32_t i = 0; i < server->listener_count; i++)
        if (server->listeners[i].watch.active)
            loop_watch_change(server->loop, &server->listeners[i].watch, LOOP_READABLE);
}

/* False when there is nothing more to accept. */
static bool accept_one(struct http_server *server, int listening)
{
    int descriptor = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) {
        if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) return true;
        bool exhausted = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
        if (!exhausted) return false;
        enum acceptance acceptance = refuse_with_spare(server, listening);
        if (acceptance == NO_DESCRIPTOR) pause_accepting(server);
        return acceptance == ACCEPTED;
    }
    struct error err;
    if (counter_get(&server->counters.connections_open) >= server->options.connection_count_max)
        refuse(server, descriptor);
    else if (connection_new(server, descriptor, &err) != STATUS_OK)
        counter_add(&server->counters.connections_refused, 1);
    return true;
}

static void accept_several(struct http_listener *listener, int count)
{
    if (!listener->watch.active) return;
    for (int i = 0; i < count; i++)
        if (!accept_one(listener->server, listener->watch.descriptor)) return;
}

static void on_acceptable(struct loop_watch *watch, uint32_t events UNUSED)
{
    struct http_listener *listener = CONTAINER_OF(watch, struct http_listener, watch);
    accept_several(listener, ACCEPTS_PER_TURN);
}

enum status http_server_listen(struct http_server *server, const struct tcp_listen_options *options,
                               uint16_t *ret_port, struct error *err)
{
    int descriptor = -1;
    uint16_t port = 0;
    assert(server->listener_count < HTTP_LISTENERS_MAX);
    TRY(tcp_listen(options, &descriptor, &port, err));
    struct http_listener *listener = &server->listeners[server->listener_count];
    listener->server = server;
    enum status status = loop_watch_add(server->loop, &listener->watch, descriptor, LOOP_READABLE,
                                        on_acceptable, err);
    if (status != STATUS_OK) {
        (void)close(descriptor);
        return status;
    }
    server->listener_count++;
    *ret_port = port;
    return STATUS_OK;
}

static void stop_listening(struct http_server *server)
{
    for (uint32_t i = 0; i < server->listener_count; i++) {
        struct loop_watch *watch = &server->listeners[i].watch;
        if (!watch->active) continue;
        loop_watch_remove(server->loop, watch);
        (void)close(watch->descriptor);
    }
    loop_timer_stop(server->loop, &server->accept_timer);
    loop_timer_stop(server->loop, &server->door_timer);
}

/* Handshakes that had begun have ended by now, or never will. */
static void on_door_closes(struct loop_timer *timer)
{
    struct http_server *server = CONTAINER_OF(timer, struct http_server, door_timer);
    for (uint32_t i = 0; i < server->listener_count; i++)
        accept_several(&server->listeners[i], ACCEPTS_DRAINING);
    stop_listening(server);
    tell_if_drained(server);
}

/* Where the system cannot hold back new handshakes, closing soon is the least harm. */
static void close_door(struct http_server *server)
{
    bool quiet = true;
    for (uint32_t i = 0; i < server->listener_count; i++)
        if (server->listeners[i].watch.active)
            quiet = tcp_listen_no_more(server->listeners[i].watch.descriptor) && quiet;
    uint64_t when_ns = loop_now_ns(server->loop) + server->options.drain_idle_ns;
    bool waits = quiet && is_listening(server) &&
                 loop_timer_start(server->loop, &server->door_timer, when_ns);
    if (!waits) on_door_closes(&server->door_timer);
}

/* --- hooks of the turn ------------------------------------------------------------------------ */

static void resume_hook(void *context)
{
    struct http_server *server = context;
    if (LIKELY(list_is_empty(&server->resuming))) return;
    struct list resuming;
    list_init(&resuming);
    list_move_all(&resuming, &server->resuming);
    for (struct list *link; (link = list_take_first(&resuming)) != NULL;)
        connection_go_on(CONTAINER_OF(link, struct http_connection, resume_link));
    loop_run_again(server->loop);
}

static void flush_hook(void *context)
{
    struct http_server *server = context;
    struct list flushing;
    list_init(&flushing);
    list_move_all(&flushing, &server->flushing);
    for (struct list *link; (link = list_take_first(&flushing)) != NULL;)
        output_flush(CONTAINER_OF(link, struct http_connection, flush_link));
    if (!list_is_empty(&server->flushing)) loop_hurry(server->loop);
}

/* Whoever hung up in this turn and was not answered in it is gone. */
static void hangup_hook(void *context)
{
    struct http_server *server = context;
    for (struct list *link; (link = list_take_first(&server->hung_up)) != NULL;) {
        struct http_connection *connection =
            CONTAINER_OF(link, struct http_connection, hangup_link);
        if (connection->state == HTTP_STATE_WAITING) connection_close(connection);
    }
}

/* --- the server ------------------------------------------------------------------------------- */

#define DEFAULT_TO(member, value)                                                                  \
    do {                                                                                           \
        if (!options->member) options->member = (value);                                           \
    } while (0)

static void set_defaults(struct http_server_options *options)
{
    DEFAULT_TO(header_size_max, 16 * 1024);
    DEFAULT_TO(field_count_max, HTTP_FIELDS_MAX);
    DEFAULT_TO(body_size_max, (size_t)64 << 20);
    DEFAULT_TO(body_memory_max, (size_t)1 << 30);
    DEFAULT_TO(chunk_count_max, 65536);
    DEFAULT_TO(connection_count_max, 10000);
    DEFAULT_TO(idle_timeout_ns, 75 * NS_PER_S);
    DEFAULT_TO(drain_idle_ns, 250 * NS_PER_MS);
    DEFAULT_TO(header_timeout_ns, 10 * NS_PER_S);
    DEFAULT_TO(body_timeout_ns, 30 * NS_PER_S);
    DEFAULT_TO(rate_min, 1024);
    DEFAULT_TO(write_timeout_ns, 30 * NS_PER_S);
    DEFAULT_TO(pending_output_max, (size_t)1 << 20);
    DEFAULT_TO(read_turn_max, 256 * 1024);
    DEFAULT_TO(compression_level, 1);
    options->field_count_max = MIN(options->field_count_max, (uint32_t)HTTP_FIELDS_MAX);
}

enum status http_server_new(struct loop *loop, const struct http_server_options *options,
                            const struct http_handler *handler, void *context,
                            struct http_server **ret_server, struct error *err)
{
    assert(handler->on_request);
    if (options->server_name && strlen(options->server_name) > 64)
        return fail(err, STATUS_INVALID_ARGUMENT, "the server's name '%s' is longer than 64 bytes",
                    options->server_name);
    struct http_server *server = MEM_NEW(struct http_server);
    server->loop = loop;
    server->options = *options;
    set_defaults(&server->options);
    server->handler = handler;
    server->context = context;
    server->input_size = 2 * server->options.header_size_max + INPUT_SLACK;
    http1_init(&server->parser_settings);
    list_init(&server->connections);
    list_init(&server->flushing);
    list_init(&server->resuming);
    list_init(&server->hung_up);
    buffer_init(&server->scratch, SCRATCH_CEILING);
    server->accept_timer.on_time = on_accept_pause_over;
    server->door_timer.on_time = on_door_closes;
    server->spare_descriptor = open_spare();
    loop_hook_add(loop, LOOP_PHASE_RUN, resume_hook, server);
    loop_hook_add(loop, LOOP_PHASE_WRITE, flush_hook, server);
    loop_hook_add(loop, LOOP_PHASE_CLEANUP, hangup_hook, server);
    *ret_server = server;
    return STATUS_OK;
}

static void free_pools(struct http_server *server)
{
    while (server->free_works) {
        struct http_work *work = server->free_works;
        server->free_works = work->next_free;
        work_free(work);
    }
    output_free_blocks(server);
    buffer_clear(&server->scratch);
}

void http_server_free(struct http_server *server)
{
    if (!server) return;
    stop_listening(server);
    server->draining = false; /* nobody is told */
    while (!list_is_empty(&server->connections))
        connection_close(CONTAINER_OF(server->connections.next, struct http_connection, link));
    loop_hook_remove(server->loop, LOOP_PHASE_RUN, resume_hook, server);
    loop_hook_remove(server->loop, LOOP_PHASE_WRITE, flush_hook, server);
    loop_hook_remove(server->loop, LOOP_PHASE_CLEANUP, hangup_hook, server);
    if (server->spare_descriptor >= 0) (void)close(server->spare_descriptor);
    server->freeing = true;
    free_pools(server);
    server_free_if_empty(server);
}

void http_server_drain(struct http_server *server, void (*on_drained)(void *context), void *context)
{
    if (server->draining) return;
    server->on_drained = on_drained;
    server->drained_context = context;
    server->draining = true;
    LIST_EACH(link, &server->connections)
    {
        struct http_connection *connection = CONTAINER_OF(link, struct http_connection, link);
        if (is_idle(connection))
            connection_set_deadline(connection, connection_idle_end(connection));
    }
    close_door(server);
}

const struct http_counters *http_server_counters(const struct http_server *server)
{
    return &server->counters;
}
