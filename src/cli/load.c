/* The load generator of `slipway bench`. */
#include "cli/load.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "loop/loop.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TICK_NS = 100 * 1000 * 1000, /* between looks at the clock when nothing happens */
    OPEN_TICK_NS = 200 * 1000,   /* the same with a rate */
    INPUT_SIZE = 256 * 1024,
};

struct load;

struct load_connection {
    struct loop_watch watch; /* first: the loop gives it back */
    struct load *load;
    int descriptor; /* -1: none */
    bool busy;
    uint64_t started_ns; /* the request in flight: sent, or with a rate, due */
    size_t sent;
    char head[LOAD_HEAD_MAX]; /* of the answer, until it is whole */
    size_t head_filled;
    bool head_known;
    uint64_t body_left;
    int status;
};

struct load {
    const struct load_options *options;
    struct load_result *result;
    struct loop *loop;
    struct addrinfo *addresses;
    struct load_connection *connections;
    uint32_t *idle; /* stack of positions */
    uint32_t idle_count;
    uint64_t start_ns; /* of the warm-up */
    uint64_t measure_ns;
    uint64_t end_ns;
    uint64_t cpu_start_ns;
    double due; /* open loop: requests that were started so far */
    uint64_t progress_ns;
    char input[INPUT_SIZE]; /* bodies go here and are forgotten */
};

/* --- parsing ---------------------------------------------------------------------------------- */

/* The status of "HTTP/1.1 200 OK"; 0 if it is no such line. */
static int status_of(struct str line)
{
    uint64_t status;
    if (!str_starts_with(line, STR("HTTP/1.")) || line.size < 12) return 0;
    if (!num_read_u64((struct str){line.data + 9, 3}, &status)) return 0;
    return (int)status;
}

bool load_parse_head(struct str bytes, size_t *ret_head_size, uint64_t *ret_body_size,
                     int *ret_status)
{
    const char *end = memmem(bytes.data, bytes.size, "\r\n\r\n", 4);
    if (!end) return false;
    struct str rest = {bytes.data, (size_t)(end - bytes.data)};
    int status = status_of(str_cut(&rest, '\n'));
    bool sized = status == 204 || status == 304;
    *ret_head_size = (size_t)(end - bytes.data) + 4;
    *ret_body_size = 0;
    while (rest.data) {
        struct str value = str_cut(&rest, '\n');
        if (str_ends_with(value, STR("\r"))) value.size--;
        struct str name = str_cut(&value, ':');
        if (!value.data || !str_equal_ignoring_case(name, STR("content-length"))) continue;
        sized = num_read_u64(str_trim(value), ret_body_size);
        if (!sized) break;
    }
    *ret_status = sized ? status : 0;
    return true;
}

/* --- connections ------------------------------------------------------------------------------ */

static void on_event(struct loop_watch *watch, uint32_t events);

static enum status connect_to(struct load *load, struct load_connection *connection,
                              struct error *err)
{
    const struct addrinfo *address = load->addresses;
    int descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return fail_errno(err, errno, "opening a socket");
    int on = 1;
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* slower without */
    if (connect(descriptor, address->ai_addr, address->ai_addrlen) != 0) {
        int problem = errno;
        close(descriptor);
        return fail_errno(err, problem, "connecting to %s port %u; is the server running",
                          load->options->host, load->options->port);
    }
    connection->descriptor = descriptor;
    enum status status =
        loop_watch_add(load->loop, &connection->watch, descriptor, LOOP_READABLE, on_event, err);
    if (status == STATUS_OK) return STATUS_OK;
    close(descriptor);
    connection->descriptor = -1;
    return status;
}

static void disconnect(struct load *load, struct load_connection *connection)
{
    if (connection->descriptor < 0) return;
    loop_watch_remove(load->loop, &connection->watch);
    close(connection->descriptor);
    connection->descriptor = -1;
}

static void set_idle(struct load *load, struct load_connection *connection)
{
    connection->busy = false;
    load->idle[load->idle_count++] = (uint32_t)(connection - load->connections);
}

/* A lost connection is opened anew; if that fails, it is one connection less. */
static void lose(struct load *load, struct load_connection *connection)
{
    struct error ignored;
    load->result->broken++;
    disconnect(load, connection);
    if (connect_to(load, connection, &ignored) == STATUS_OK) set_idle(load, connection);
}

static void send_more(struct load *load, struct load_connection *connection)
{
    struct str request = load->options->request;
    while (connection->sent < request.size) {
        ssize_t sent = send(connection->descriptor, request.data + connection->sent,
                            request.size - connection->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) {
            loop_watch_change(load->loop, &connection->watch, LOOP_READABLE | LOOP_WRITABLE);
            return;
        }
        if (sent < 0) {
            lose(load, connection);
            return;
        }
        connection->sent += (size_t)sent;
    }
}

static void start_request(struct load *load, struct load_connection *connection, uint64_t when_ns)
{
    connection->busy = true;
    connection->started_ns = when_ns;
    connection->sent = 0;
    connection->head_filled = 0;
    connection->head_known = false;
    connection->body_left = 0;
    send_more(load, connection);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void count_answer(struct load *load, struct load_connection *connection)
{
    uint64_t now_ns = clock_monotonic_ns();
    struct load_result *result = load->result;
    if (now_ns < load->measure_ns || now_ns >= load->end_ns) return;
    if (connection->status < 200 || connection->status > 299) {
        result->refused++;
        if (!result->first_refusal) result->first_refusal = connection->status;
        return;
    }
    result->answers++;
    latency_add(result->latency, now_ns - MIN(connection->started_ns, now_ns));
}

static void end_answer(struct load *load, struct load_connection *connection)
{
    count_answer(load, connection);
    set_idle(load, connection);
}

/* Takes the bytes of an answer; false if they are none. */
static bool take_bytes(struct load_connection *connection, struct str bytes)
{
    if (!connection->head_known) {
        size_t room = LOAD_HEAD_MAX - connection->head_filled;
        size_t taken = MIN(bytes.size, room);
        memcpy(connection->head + connection->head_filled, bytes.data, taken);
        size_t before = connection->head_filled, head_size;
        connection->head_filled += taken;
        struct str head = {connection->head, connection->head_filled};
        if (!load_parse_head(head, &head_size, &connection->body_left, &connection->status))
            return connection->head_filled < LOAD_HEAD_MAX;
        if (connection->status == 0) return false;
        connection->head_known = true;
        bytes = str_from(bytes, head_size - before);
    }
    if (bytes.size > connection->body_left) return false;
    connection->body_left -= bytes.size;
    return true;
}

static void receive(struct load *load, struct load_connection *connection)
{
    ssize_t got = recv(connection->descriptor, load->input, INPUT_SIZE, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    struct str bytes = {load->input, got > 0 ? (size_t)got : 0};
    if (got <= 0 || !connection->busy || !take_bytes(connection, bytes)) {
        /* A server may close a connection that rests. */
        if (!connection->busy) {
            struct error ignored;
            disconnect(load, connection);
            (void)connect_to(load, connection, &ignored);
            return;
        }
        lose(load, connection);
        return;
    }
    if (connection->head_known && connection->body_left == 0) end_answer(load, connection);
}

static void on_event(struct loop_watch *watch, uint32_t events)
{
    struct load_connection *connection = CONTAINER_OF(watch, struct load_connection, watch);
    struct load *load = connection->load;
    if (events & LOOP_WRITABLE) {
        loop_watch_change(load->loop, watch, LOOP_READABLE);
        if (connection->busy) send_more(load, connection);
    }
    if (connection->descriptor >= 0 && (events & (LOOP_READABLE | LOOP_BROKEN)))
        receive(load, connection);
}

/* --- the run ---------------------------------------------------------------------------------- */

static struct load_connection *pop_idle(struct load *load)
{
    while (load->idle_count > 0) {
        struct load_connection *connection = &load->connections[load->idle[--load->idle_count]];
        if (connection->descriptor >= 0) return connection;
    }
    return NULL;
}

/* Starts what is due: everything idle, or as many as the rate says. Those that found no connection
 * keep their due time: the n-th request is due at start + n / rate, whenever it is sent. */
static void start_due(struct load *load, uint64_t now_ns)
{
    double rate = load->options->rate;
    for (;;) {
        uint64_t when_ns = now_ns;
        if (rate > 0) when_ns = load->start_ns + (uint64_t)(load->due / rate * 1e9);
        if (when_ns > now_ns || now_ns >= load->end_ns) return;
        struct load_connection *connection = pop_idle(load);
        if (!connection) return;
        load->due += 1;
        start_request(load, connection, when_ns);
    }
}

static void tell_progress(struct load *load, uint64_t now_ns)
{
    if (!load->options->progress || now_ns < load->progress_ns) return;
    load->progress_ns = now_ns + TICK_NS;
    double share = (double)(now_ns - load->start_ns) / (double)(load->end_ns - load->start_ns);
    load->options->progress(load->options->progress_context, MIN(share, 1.0));
}

static enum status open_connections(struct load *load, struct error *err)
{
    for (uint32_t i = 0; i < load->options->connections; i++) {
        load->connections[i].load = load;
        load->connections[i].descriptor = -1;
    }
    for (uint32_t i = 0; i < load->options->connections; i++) {
        TRY(connect_to(load, &load->connections[i], err));
        set_idle(load, &load->connections[i]);
    }
    return STATUS_OK;
}

static void turn_until_end(struct load *load)
{
    uint64_t cpu_ns = 0, wait_ns = load->options->rate > 0 ? OPEN_TICK_NS : TICK_NS;
    for (uint64_t now_ns; (now_ns = clock_monotonic_ns()) < load->end_ns;) {
        if (cpu_ns == 0 && now_ns >= load->measure_ns) cpu_ns = clock_process_cpu_ns();
        start_due(load, now_ns);
        tell_progress(load, now_ns);
        loop_turn(load->loop, MIN(wait_ns, load->end_ns - now_ns));
    }
    struct load_result *result = load->result;
    result->elapsed_ns = clock_monotonic_ns() - load->measure_ns;
    result->cpu_ns = clock_process_cpu_ns() - cpu_ns;
    if (load->options->rate > 0) {
        double wanted = load->options->rate * (double)(load->end_ns - load->start_ns) / 1e9;
        if (wanted > load->due) result->unsent = (uint64_t)(wanted - load->due);
    }
}

static enum status resolve(struct load *load, struct error *err)
{
    char port[8];
    (void)snprintf(port, sizeof port, "%u", load->options->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    int problem = getaddrinfo(load->options->host, port, &hints, &load->addresses);
    if (problem == 0) return STATUS_OK;
    return fail(err, STATUS_NOT_FOUND, "looking up '%s': %s", load->options->host,
                gai_strerror(problem));
}

static enum status run(struct load *load, struct error *err)
{
    TRY(resolve(load, err));
    TRY(loop_new(&(struct loop_options){0}, &load->loop, err));
    TRY(open_connections(load, err));
    load->start_ns = clock_monotonic_ns();
    load->measure_ns = load->start_ns + load->options->warmup_ns;
    load->end_ns = load->measure_ns + load->options->duration_ns;
    turn_until_end(load);
    return STATUS_OK;
}

enum status load_run(const struct load_options *options, struct load_result *ret_result,
                     struct error *err)
{
    assert(options->connections > 0 && options->connections <= LOAD_CONNECTIONS_MAX);
    struct load_result result = {.latency = latency_new()};
    struct load *load = MEM_NEW(struct load);
    load->options = options;
    load->result = &result;
    load->connections = MEM_NEW_ARRAY(struct load_connection, options->connections);
    load->idle = MEM_NEW_ARRAY(uint32_t, options->connections);
    for (uint32_t i = 0; i < options->connections; i++) load->connections[i].descriptor = -1;
    enum status status = run(load, err);
    for (uint32_t i = 0; i < options->connections; i++) disconnect(load, &load->connections[i]);
    loop_free(load->loop);
    if (load->addresses) freeaddrinfo(load->addresses);
    mem_free(load->idle);
    mem_free(load->connections);
    mem_free(load);
    if (status != STATUS_OK)
        load_result_clear(&result);
    else
        *ret_result = result;
    return status;
}

void load_result_clear(struct load_result *result)
{
    mem_free(result->latency);
    result->latency = NULL;
}
