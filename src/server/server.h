/*
 * The server: N loop threads, each with its own listening socket, HTTP server and lane of serve;
 * and the way down again.
 *
 *   struct server *server;
 *   TRY(server_start(&options, &server, err));         // listens from here on
 *   ... wait for a signal ...
 *   server_drain(server, 0);                            // ready is false, accepted work is
 * answered server_wait(server, grace_ns); server_stop(server);
 *
 * All calls on the thread that started it.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "net/http.h"
#include "serve/serve.h"
#include "server/sqs_auth.h"
#include "watch/metrics.h"

enum { SERVER_THREADS_MAX = SERVE_LANES_MAX };

struct data;
struct queue_store;
struct jobs;
struct recorder;
struct server;

struct server_options {
    struct serve *serve;         /* borrowed, outlives the server */
    struct data *data;           /* the same: queues, jobs and results; NULL: there are none */
    struct jobs *jobs;           /* the same */
    struct recorder *recorder;   /* the same; NULL: no request is recorded */
    struct depths *depths;       /* the same; NULL: the depth of queues is not shown */
    struct queue_store *outside; /* the same; queues of SQS whose counts are shown; NULL: none */
    /* The worker's numbers for /metrics; NULL: there is none. Any thread. */
    void (*read_worker)(void *context, struct metrics_worker *ret_counters);
    void *read_worker_context;
    const char *name;    /* of GET /v2 */
    const char *address; /* numeric IPv4 or IPv6; NULL: nothing is listened on */
    uint16_t port;       /* 0: the system chooses */
    uint32_t thread_count;
    uint64_t busy_poll_ns;
    struct http_server_options http;
    bool access_log; /* one line per request, at first */
    bool metrics;    /* answer GET /metrics */
    struct sqs_settings sqs;
};

/* Opens the sockets and starts the threads; the server answers health at once. */
enum status server_start(const struct server_options *options, struct server **ret_server,
                         struct error *err) FALLIBLE;

/*
 * Serves a connected, non-blocking stream socket, one end of a pair for instance: requests without
 * a port. Takes the descriptor. Any thread.
 */
void server_adopt(struct server *server, int descriptor);

/* Where it listens. */
uint16_t server_port(const struct server *server);

/*
 * Begins the way down: not ready at once; after `delay_ns`, which lets load balancers notice, no
 * new connections; accepted requests are answered. Once.
 */
void server_drain(struct server *server, uint64_t delay_ns);

/* Switches the access log. */
void server_set_access_log(struct server *server, bool on);

/* True once all threads have drained; false when `timeout_ns` passed before. */
bool server_wait(struct server *server, uint64_t timeout_ns);

/* Ends the threads, drained or not, and frees. Accepts NULL. */
void server_stop(struct server *server);

/* Sums over all threads, approximate while they run. Any thread. */
void server_counters_read(const struct server *server, struct metrics_http *ret_counters);

#endif
