/*
 * The function that `slipway lambda` is: events to answers, wherever they come from: Lambda's
 * Runtime API, a local queue, or a file.
 *
 *   struct function *function;
 *   TRY(function_open(context, &options, &function, err));            // models loaded, store open
 *   struct function_answer answer;
 *   enum status status = function_run(function, &invocation, &answer, &failure);
 *   ...
 *   function_close(function);
 *
 * One thread; others have functions of their own, by function_share. Everything that an invocation
 * leaves behind (results, metrics, lines of the log) is written when function_run returns, or its
 * stream ends: the process may be frozen then.
 */
#ifndef CLI_FUNCTION_H
#define CLI_FUNCTION_H

#include "cli/command.h"
#include "lambda/runtime.h"

#include <stdatomic.h>

struct app;
struct data_parts;
struct function;

struct function_answer {
    struct str body; /* valid until the next function_run */
    /* Not NULL: what is to be sent in place of the body, which comes by it. Then
     * function_end_answer is called, whatever came of it. */
    const struct lambda_stream *stream;
    const char *error_type; /* of a failure; NULL: by its status */
};

struct function_options {
    const _Atomic bool *stop; /* ends the fetching of models: CANCELLED; NULL: nothing does */
    unsigned peers_max;       /* that function_share will be asked for */
};

/* Borrows the context. Fails if a model cannot be had or loaded, or the store not be opened. */
enum status function_open(struct command_context *context, const struct function_options *options,
                          struct function **ret_function, struct error *err) FALLIBLE;

/* Another one over the same models and store, for another thread: nothing of an invocation is
 * shared. The owner is closed last. */
enum status function_share(struct function *owner, struct function **ret_function,
                           struct error *err) FALLIBLE;

/* Accepts NULL. */
void function_close(struct function *function);

/* Answers one event within its time. */
enum status function_run(struct function *function, const struct lambda_invocation *invocation,
                         struct function_answer *ret_answer, struct error *err) FALLIBLE;

/* Nothing of a streamed answer is wanted any more. */
void function_end_answer(struct function *function);

/* The data store that it keeps results in, for who takes events out of the same; UNAVAILABLE. */
enum status function_data(struct function *function, struct data_parts *ret_parts,
                          struct error *err) FALLIBLE;

#endif
