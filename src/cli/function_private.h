/*
 * What the files of the function share; nobody else includes it.
 *
 *   function.c         opening, closing, one invocation's frame
 *   function_infer.c   records of queues, direct requests, EventBridge
 *   function_http.c    HTTP requests, by the server's own routes
 *   function_task.c    tasks, CodeDeploy's hook
 *   function_token.c   what AWS is told of them
 */
#ifndef CLI_FUNCTION_PRIVATE_H
#define CLI_FUNCTION_PRIVATE_H

#include "app/app.h"
#include "cli/function.h"
#include "cli/local.h"
#include "lambda/batch.h"
#include "lambda/event.h"
#include "lambda/metrics.h"
#include "lambda/results.h"
#include "lambda/trace.h"
#include "server/server.h"

#include <pthread.h>

enum {
    FUNCTION_EVENT_MEMORY_MAX = 256 * 1024 * 1024,
    FUNCTION_REQUEST_MEMORY_MAX = 1024 * 1024 * 1024,
    FUNCTION_ANSWER_SIZE_MAX = 256 * 1024 * 1024,
    FUNCTION_MODELS_MAX = 256, /* by name, that events have asked for */
};

struct function {
    struct command_context *context;
    struct config config; /* the context's, with what differs here; borrows from it */
    struct arena paths;   /* of models that were fetched */
    struct app *app;
    struct local *local;    /* NULL: a hook, without models */
    uint64_t opened_ns;     /* monotonic: when it began to */
    struct function *owner; /* whose the parts above are; itself if it was opened */

    /* The owner's, for all. */
    pthread_mutex_t lock;
    struct server *server;  /* under the lock: from the first HTTP request on */
    pthread_mutex_t checks; /* one at a time: they set the log's level */
    _Atomic bool told_init;

    pthread_t data_thread; /* opens the store while models load */
    bool data_started;
    enum status data_status;
    struct error data_error;
    struct lambda_results results; /* store NULL: none is kept */

    struct serve_model *models[FUNCTION_MODELS_MAX];
    size_t model_count;

    /* Of one invocation. */
    const struct lambda_invocation *invocation;
    struct lambda_trace trace;
    struct lambda_metrics metrics;
    struct arena event_arena;
    struct arena arena;   /* of one request in it */
    struct buffer output; /* of one request in it */
    struct buffer line;
    struct buffer answer;
    const char *error_type;
    uint64_t start_ns; /* monotonic */
    bool finished;
    struct lambda_stream stream;  /* type NULL: the answer is none */
    bool answer_passed;           /* what was in `answer` went into the stream */
    struct client *stream_client; /* what the rest of the stream is read from; NULL: nothing */
};

/* The model of that name; empty: that of --model, or the only one. */
enum status function_find_model(struct function *function, struct str name,
                                struct serve_model **ret_model, struct error *err) FALLIBLE;

/* What is left of the invocation, with a margin for its answer: UINT64_MAX if it has no deadline.
 * DEADLINE_EXCEEDED if it is next to nothing. */
enum status function_time_left(const struct function *function, uint64_t *ret_us,
                               struct error *err) FALLIBLE;

/* The invocation's last act: counts it, logs a failure, writes what it leaves behind. Once. */
void function_finish(struct function *function, enum status status, const struct error *failure);

/* function_infer.c: each writes function->answer. */
enum status function_answer_batch(struct function *function, struct error *err) FALLIBLE;
enum status function_answer_direct(struct function *function, struct error *err) FALLIBLE;
enum status function_answer_eventbridge(struct function *function, struct error *err) FALLIBLE;

/* function_http.c; the server that all share, NULL before the first request of HTTP. */
struct server *function_server(struct function *function);
enum status function_answer_http(struct function *function, enum lambda_shape shape,
                                 struct error *err) FALLIBLE;

/* function_task.c: `event` has a member `slipway`. */
enum status function_answer_task(struct function *function, struct str event,
                                 struct error *err) FALLIBLE;
enum status function_run_task(struct function *function, struct str task,
                              struct error *err) FALLIBLE;

/* function_token.c: a task that a workflow waits for, which is told what became of it. */
enum status function_answer_with_token(struct function *function, struct str task, struct str token,
                                       struct error *err) FALLIBLE;

/* Sends the notice of a failed check, if somebody wants it. */
void function_notify(struct function *function, const char *what);

enum status function_answer_hook(struct function *function, struct error *err) FALLIBLE;

#endif
