/*
 * Drives other queues as bench/load drives ours: N clients, each sends one durable message, waits
 * until it is acknowledged, sends the next.
 *
 *   queue_peers redis    PORT    CLIENTS SECONDS enqueue|cycle
 *   queue_peers postgres CONNECT CLIENTS SECONDS enqueue|cycle
 *   queue_peers rabbitmq PORT    CLIENTS SECONDS enqueue
 *
 * The message is 256 bytes. A cycle is: enqueue, take one for work, delete it and keep a result.
 * Prints "operations/s p50_us p99_us errors".
 */
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_RABBITMQ
#include <amqp.h>
#include <amqp_tcp_socket.h>
#endif

enum { CLIENTS_MAX = 1024, PAYLOAD = 256, SAMPLES_MAX = 1 << 22, INPUT = 1 << 16 };

static char payload[PAYLOAD + 1];
static _Atomic uint64_t done, errors;
static uint32_t samples_us[SAMPLES_MAX];
static uint64_t end_ns, warm_ns;
static bool cycle;

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "queue_peers: %s\n", what);
    exit(1);
}

/* One acknowledged operation; the first half second warms up. */
static void count(uint64_t start_ns)
{
    uint64_t now = now_ns();
    if (now < warm_ns) return;
    uint64_t index = atomic_fetch_add(&done, 1);
    if (index < SAMPLES_MAX) samples_us[index] = (uint32_t)((now - start_ns) / 1000);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report(double seconds)
{
    size_t samples = done < SAMPLES_MAX ? (size_t)done : SAMPLES_MAX;
    qsort(samples_us, samples, sizeof *samples_us, compare);
    printf("%.0f %u %u %llu\n", (double)done / seconds, samples ? samples_us[samples / 2] : 0,
           samples ? samples_us[samples * 99 / 100] : 0, (unsigned long long)errors);
}

/* --- Redis ------------------------------------------------------------------------------------ */

enum redis_step { XADD, XREADGROUP, XACK, XDEL, SET };

struct redis_client {
    int descriptor;
    enum redis_step step;
    uint64_t start_ns;
    size_t size;
    char input[INPUT];
    char id[64];
};

static void redis_send(struct redis_client *client, int count_of, const char *const *words)
{
    char out[2048];
    size_t size = (size_t)snprintf(out, sizeof out, "*%d\r\n", count_of);
    for (int i = 0; i < count_of; i++)
        size += (size_t)snprintf(out + size, sizeof out - size, "$%zu\r\n%s\r\n", strlen(words[i]),
                                 words[i]);
    if (write(client->descriptor, out, size) != (ssize_t)size) die("redis: write");
}

#define REDIS(client, ...)                                                                         \
    redis_send((client), (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),            \
               (const char *[]){__VA_ARGS__})

/* Length of the reply at the start of the input; 0: not whole yet. */
static size_t reply_size(const char *text, size_t size)
{
    const char *line = memchr(text, '\n', size);
    if (!line) return 0;
    size_t head = (size_t)(line - text) + 1;
    long value = strtol(text + 1, NULL, 10);
    if (*text == '$') {
        size_t whole = value < 0 ? head : head + (size_t)value + 2;
        return whole <= size ? whole : 0;
    }
    if (*text != '*') return head;
    for (long i = 0; i < value; i++) {
        size_t part = reply_size(text + head, size - head);
        if (part == 0) return 0;
        head += part;
    }
    return head;
}

static void redis_begin(struct redis_client *client)
{
    client->start_ns = now_ns();
    client->step = XADD;
    REDIS(client, "XADD", "queue", "*", "body", payload);
}

/* The id inside a reply of XREADGROUP: what follows the third "$". */
static void keep_id(struct redis_client *client)
{
    const char *at = strstr(client->input, "$5\r\nqueue\r\n");
    at = at ? strchr(at + 11, '$') : NULL;
    at = at ? strchr(at, '\n') : NULL;
    size_t length = at ? strcspn(at + 1, "\r") : 0;
    client->id[0] = '\0';
    if (at && length < sizeof client->id) {
        memcpy(client->id, at + 1, length);
        client->id[length] = '\0';
    }
}

static void redis_next(struct redis_client *client)
{
    if (client->input[0] == '-') errors++;
    switch (client->step) {
    case XADD:
        if (!cycle) break;
        client->step = XREADGROUP;
        REDIS(client, "XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", "queue", ">");
        return;
    case XREADGROUP:
        keep_id(client);
        client->step = XACK;
        REDIS(client, "XACK", "queue", "g", client->id);
        return;
    case XACK:
        client->step = XDEL;
        REDIS(client, "XDEL", "queue", client->id);
        return;
    case XDEL:
        client->step = SET;
        REDIS(client, "SET", client->id, payload);
        return;
    case SET: break;
    }
    count(client->start_ns);
    redis_begin(client);
}

static void redis_read(struct redis_client *client)
{
    ssize_t got = read(client->descriptor, client->input + client->size, INPUT - 1 - client->size);
    if (got <= 0) die("redis: the connection ended");
    client->size += (size_t)got;
    client->input[client->size] = '\0';
    if (reply_size(client->input, client->size) != client->size) return;
    client->size = 0;
    redis_next(client);
}

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return descriptor;
}

static void run_redis(int port, int clients)
{
    int poll = epoll_create1(0);
    struct redis_client *all = calloc((size_t)clients, sizeof *all);
    for (int i = 0; i < clients; i++) {
        all[i].descriptor = connect_to(port);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, all[i].descriptor, &event);
        redis_begin(&all[i]);
    }
    struct epoll_event events[CLIENTS_MAX];
    while (now_ns() < end_ns) {
        int count_of = epoll_wait(poll, events, CLIENTS_MAX, 100);
        for (int i = 0; i < count_of; i++) redis_read(events[i].data.ptr);
    }
    free(all);
}

/* --- PostgreSQL ------------------------------------------------------------------------------- */

struct postgres_client {
    PGconn *connection;
    uint64_t start_ns;
    int step; /* 0 insert, 1 take and keep the result */
};

static const char insert_sql[] = "INSERT INTO bench_queue(body) VALUES($1)";
static const char take_sql[] =
    "WITH taken AS (DELETE FROM bench_queue WHERE id = (SELECT id FROM bench_queue ORDER BY id "
    "LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, body) INSERT INTO bench_result SELECT id, body "
    "FROM taken";

static void postgres_begin(struct postgres_client *client, int step)
{
    const char *values[] = {payload};
    client->step = step;
    if (step == 0) client->start_ns = now_ns();
    if (!PQsendQueryPrepared(client->connection, step == 0 ? "insert" : "take", step == 0, values,
                             NULL, NULL, 0))
        die(PQerrorMessage(client->connection));
}

static void postgres_read(struct postgres_client *client)
{
    if (!PQconsumeInput(client->connection)) die(PQerrorMessage(client->connection));
    while (!PQisBusy(client->connection)) {
        PGresult *result = PQgetResult(client->connection);
        if (!result) {
            if (cycle && client->step == 0) {
                postgres_begin(client, 1);
                return;
            }
            count(client->start_ns);
            postgres_begin(client, 0);
            return;
        }
        if (PQresultStatus(result) != PGRES_COMMAND_OK) errors++;
        PQclear(result);
    }
}

static void prepare(PGconn *connection, const char *name, const char *sql)
{
    PGresult *result = PQprepare(connection, name, sql, 0, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) die(PQerrorMessage(connection));
    PQclear(result);
}

static void run_postgres(const char *connect, int clients)
{
    int poll = epoll_create1(0);
    struct postgres_client *all = calloc((size_t)clients, sizeof *all);
    for (int i = 0; i < clients; i++) {
        PGconn *connection = all[i].connection = PQconnectdb(connect);
        if (PQstatus(connection) != CONNECTION_OK) die(PQerrorMessage(connection));
        if (i == 0)
            PQclear(PQexec(connection,
                           "SET client_min_messages=error; DROP TABLE IF EXISTS bench_queue, "
                           "bench_result; CREATE TABLE bench_queue(id bigserial PRIMARY KEY, body "
                           "text); CREATE TABLE bench_result(id bigint PRIMARY KEY, body text)"));
        prepare(connection, "insert", insert_sql);
        prepare(connection, "take", take_sql);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, PQsocket(connection), &event);
        postgres_begin(&all[i], 0);
    }
    struct epoll_event events[CLIENTS_MAX];
    while (now_ns() < end_ns) {
        int count_of = epoll_wait(poll, events, CLIENTS_MAX, 100);
        for (int i = 0; i < count_of; i++) postgres_read(events[i].data.ptr);
    }
    free(all);
}

/* --- RabbitMQ: a thread a client, since its library blocks ------------------------------ */

#ifdef HAVE_RABBITMQ
static void expect_normal(amqp_rpc_reply_t reply, const char *what)
{
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) die(what);
}

static void publish(amqp_connection_state_t connection)
{
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                          .delivery_mode = 2};
    amqp_frame_t frame;
    if (amqp_basic_publish(connection, 1, amqp_empty_bytes, amqp_cstring_bytes("bench"), 0, 0,
                           &properties, amqp_cstring_bytes(payload)) != AMQP_STATUS_OK)
        die("rabbitmq: publish");
    do {
        if (amqp_simple_wait_frame(connection, &frame) != AMQP_STATUS_OK) die("rabbitmq: confirm");
    } while (frame.frame_type != AMQP_FRAME_METHOD ||
             frame.payload.method.id != AMQP_BASIC_ACK_METHOD);
    amqp_maybe_release_buffers(connection);
}

static void *rabbitmq_client(void *context)
{
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    if (amqp_socket_open(socket, "127.0.0.1", *(int *)context) != AMQP_STATUS_OK)
        die("rabbitmq: connect");
    expect_normal(
        amqp_login(connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"),
        "rabbitmq: login");
    amqp_channel_open(connection, 1);
    expect_normal(amqp_get_rpc_reply(connection), "rabbitmq: channel");
    amqp_confirm_select(connection, 1);
    expect_normal(amqp_get_rpc_reply(connection), "rabbitmq: confirms");
    while (now_ns() < end_ns) {
        uint64_t start = now_ns();
        publish(connection);
        count(start);
    }
    return NULL;
}

/* A quorum queue: the kind that survives a machine. */
static void declare_queue(int port)
{
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    if (amqp_socket_open(socket, "127.0.0.1", port) != AMQP_STATUS_OK) die("rabbitmq: connect");
    expect_normal(
        amqp_login(connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"),
        "rabbitmq: login");
    amqp_channel_open(connection, 1);
    amqp_table_entry_t kind = {.key = amqp_cstring_bytes("x-queue-type")};
    kind.value.kind = AMQP_FIELD_KIND_UTF8;
    kind.value.value.bytes = amqp_cstring_bytes("quorum");
    amqp_queue_declare(connection, 1, amqp_cstring_bytes("bench"), 0, 1, 0, 0,
                       (amqp_table_t){.num_entries = 1, .entries = &kind});
    expect_normal(amqp_get_rpc_reply(connection), "rabbitmq: declare");
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(connection);
}

static void run_rabbitmq(int port, int clients)
{
    pthread_t threads[CLIENTS_MAX];
    declare_queue(port);
    for (int i = 0; i < clients; i++)
        if (pthread_create(&threads[i], NULL, rabbitmq_client, &port) != 0) die("thread");
    for (int i = 0; i < clients; i++) pthread_join(threads[i], NULL);
}
#else
static void run_rabbitmq(int port, int clients)
{
    (void)port, (void)clients;
    die("built without librabbitmq");
}
#endif

int main(int argc, char **argv)
{
    if (argc != 6) die("redis|postgres|rabbitmq PORT|CONNECT CLIENTS SECONDS enqueue|cycle");
    int port = atoi(argv[2]), clients = atoi(argv[3]);
    double seconds = atof(argv[4]);
    if (clients < 1 || clients > CLIENTS_MAX) die("1 to 1024 clients");
    memset(payload, 'x', PAYLOAD);
    cycle = strcmp(argv[5], "cycle") == 0;
    warm_ns = now_ns() + 500000000u;
    end_ns = warm_ns + (uint64_t)(seconds * 1e9);
    if (strcmp(argv[1], "redis") == 0)
        run_redis(port, clients);
    else if (strcmp(argv[1], "postgres") == 0)
        run_postgres(argv[2], clients);
    else if (strcmp(argv[1], "rabbitmq") == 0)
        run_rabbitmq(port, clients);
    else
        die("redis, postgres or rabbitmq");
    report(seconds);
    return 0;
}
