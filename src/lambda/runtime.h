/*
 * Lambda's Runtime API from a runtime's side: one invocation after the other over one connection.
 *
 *   struct lambda_runtime *runtime;
 *   TRY(lambda_runtime_new("127.0.0.1:9001", &runtime, err));
 *   for (;;) {
 *       struct lambda_invocation invocation;
 *       TRY(lambda_runtime_next(runtime, &invocation, err));   // blocks as long as it takes
 *       ... TRY(lambda_runtime_respond(runtime, &invocation, answer, err));
 *   }
 *
 * One thread.
 */
#ifndef LAMBDA_RUNTIME_H
#define LAMBDA_RUNTIME_H

#include "base/str.h"

enum {
    LAMBDA_EVENT_SIZE_MAX = 16 * 1024 * 1024, /* the platform's own limit is 6 MiB */
    LAMBDA_REQUEST_ID_MAX = 128,
};

struct lambda_runtime;

/* The event is valid until the next call of this runtime's functions. */
struct lambda_invocation {
    char request_id[LAMBDA_REQUEST_ID_MAX + 1];
    uint64_t deadline_ms; /* since 1970, wall clock; 0: not said */
    struct str trace_id;  /* X-Amzn-Trace-Id; empty: none; valid as long as the event */
    struct str event;
};

/* `address` is "host:port", as AWS_LAMBDA_RUNTIME_API has it. Does not connect yet. */
enum status lambda_runtime_new(const char *address, struct lambda_runtime **ret_runtime,
                               struct error *err) FALLIBLE;
void lambda_runtime_free(struct lambda_runtime *runtime);

/* Waits for the next event. DATA_LOSS: what came was none, and the process should end. */
enum status lambda_runtime_next(struct lambda_runtime *runtime,
                                struct lambda_invocation *ret_invocation,
                                struct error *err) FALLIBLE;

/*
 * Both end the invocation. What the platform does not take, as an answer that is too large, it has
 * reported itself: that is logged, and OK. UNAVAILABLE, INTERNAL: the process should end.
 */
enum status lambda_runtime_respond(struct lambda_runtime *runtime,
                                   const struct lambda_invocation *invocation, struct str answer,
                                   struct error *err) FALLIBLE;
enum status lambda_runtime_fail(struct lambda_runtime *runtime,
                                const struct lambda_invocation *invocation,
                                const struct error *cause, struct error *err) FALLIBLE;

/* Before the first event only; then the process ends. */
enum status lambda_runtime_fail_init(struct lambda_runtime *runtime, const struct error *cause,
                                     struct error *err) FALLIBLE;

#endif
