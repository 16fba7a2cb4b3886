/*
 * Lambda's Runtime API from a runtime's side: one invocation after the other over one connection.
 *
 *   struct lambda_runtime *runtime;
 *   TRY(lambda_runtime_new("127.0.0.1:9001", stop, &runtime, err));
 *   for (;;) {
 *       struct lambda_invocation invocation;
 *       TRY(lambda_runtime_next(runtime, &invocation, err));   // blocks as long as it takes
 *       ... TRY(lambda_runtime_respond(runtime, &invocation, answer, err));
 *   }
 *
 * One thread. The process may be frozen between two invocations, for days: a connection that broke
 * meanwhile is opened anew, and nothing is left to be done later.
 */
#ifndef LAMBDA_RUNTIME_H
#define LAMBDA_RUNTIME_H

#include "base/str.h"

enum {
    LAMBDA_EVENT_SIZE_MAX = 16 * 1024 * 1024, /* the platform's own limit is 6 MiB */
    LAMBDA_REQUEST_ID_MAX = 128,
    LAMBDA_CAUSE_SIZE_MAX = 64 * 1024, /* of what X-Ray is told about a failure */
};

struct lambda_runtime;

/* The event is valid until the next call of this runtime's functions. */
struct lambda_invocation {
    char request_id[LAMBDA_REQUEST_ID_MAX + 1];
    uint64_t deadline_ms;    /* since 1970, wall clock; 0: not said */
    struct str trace_id;     /* X-Amzn-Trace-Id; empty: none; valid as long as the event */
    struct str function_arn; /* as it was invoked, alias or version included; empty: not said */
    struct str event;
};

/* `address` is "host:port", as AWS_LAMBDA_RUNTIME_API has it. Does not connect yet. While `stop`, a
 * descriptor, is readable no event is waited for; 0: there is none. */
enum status lambda_runtime_new(const char *address, int stop, struct lambda_runtime **ret_runtime,
                               struct error *err) FALLIBLE;
void lambda_runtime_free(struct lambda_runtime *runtime);

/* Waits for the next event. CANCELLED: `stop`. DATA_LOSS: what came was none, and the process
 * should end. */
enum status lambda_runtime_next(struct lambda_runtime *runtime,
                                struct lambda_invocation *ret_invocation,
                                struct error *err) FALLIBLE;

/*
 * Each ends the invocation. What the platform does not take, as an answer that is too large, it has
 * reported itself: that is logged, and OK. UNAVAILABLE, INTERNAL: the process should end.
 */
enum status lambda_runtime_respond(struct lambda_runtime *runtime,
                                   const struct lambda_invocation *invocation, struct str answer,
                                   struct error *err) FALLIBLE;

/* An answer that is passed on while it comes, and may be larger than others. */
struct lambda_stream {
    const char *type; /* media type */
    /* The next piece, valid until the next call; empty: the end. A failure ends the answer, and is
     * told to the platform behind what was sent. */
    enum status (*next)(void *context, struct str *ret_piece, struct error *err);
    void *context;
};

/* It was asked for pieces until its end, its failure, or until the platform took no more. */
enum status lambda_runtime_stream(struct lambda_runtime *runtime,
                                  const struct lambda_invocation *invocation,
                                  const struct lambda_stream *stream, struct error *err) FALLIBLE;

/* `type` is "Function.Letters", or NULL: by the failure's status. */
enum status lambda_runtime_fail(struct lambda_runtime *runtime,
                                const struct lambda_invocation *invocation,
                                const struct error *cause, const char *type,
                                struct error *err) FALLIBLE;

/* Before the first event only; then the process ends. */
enum status lambda_runtime_fail_init(struct lambda_runtime *runtime, const struct error *cause,
                                     struct error *err) FALLIBLE;

#endif
