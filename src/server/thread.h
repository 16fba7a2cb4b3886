/*
 * One loop thread of the server, as the routes see it. Everything in it belongs to that thread.
 */
#ifndef SERVER_THREAD_H
#define SERVER_THREAD_H

#include "base/counter.h"
#include "base/list.h"
#include "loop/loop.h"
#include "server/server.h"

#include <pthread.h>

/* Lines about failed requests in this second. */
struct failure_lines {
    uint64_t second;
    uint64_t written;
    uint64_t suppressed;
};

struct server_thread {
    struct server *server;
    const struct server_options *options; /* the server's, constant */
    uint32_t index;
    pthread_t thread;
    struct loop *loop;
    struct http_server *http;
    struct serve_lane *lane;
    struct recorder *recorder;      /* NULL: no synchronous request leaves a record */
    struct counter responses[6];    /* by class of status */
    const _Atomic bool *access_log; /* the server's */
    struct loop_timer drain_timer;
    bool draining;     /* not ready any more */
    uint32_t errands;  /* on their way to another thread and back */
    struct list waits; /* long polls of queues: routes_sqs.c */
    struct failure_lines failure_lines;
    _Atomic bool drained;
};

#endif
