/*
 * Results that nobody waits for: each goes to the store before its record counts as done, once,
 * whatever comes again.
 *
 *   key                               of a queue's record, the first that there is:
 *     attribute idempotency-key       its sender's word for "the same"
 *     QUEUE/GROUP/DEDUPLICATION ID    FIFO, unless the queue made the id of the body
 *     messageId
 *
 *   lambda_results_find     was it done before? then it is not run again
 *   lambda_results_keep     the outcome, unless it is there already
 *
 * The same key with another input is refused: ALREADY_EXISTS. A failure is kept too, if the same
 * again would fail again, and gives way to a success that comes after it. What is transient is not.
 * A store that is away for a moment is asked again within the time that is left.
 *
 * One thread; calls block.
 */
#ifndef LAMBDA_RESULTS_H
#define LAMBDA_RESULTS_H

#include "jobs/payload.h"
#include "protocol/sqs_event.h"
#include "serve/serve.h"
#include "store/privacy.h"
#include "store/store.h"

struct lambda_results {
    struct store *store;         /* borrowed */
    const struct privacy *input; /* what may be kept: borrowed; a model's rules go over it */
    const struct privacy *output;
};

/* One outcome. Views, borrowed during the calls. */
struct lambda_result {
    struct serve_model *model; /* NULL: it was not found */
    struct str model_name;
    struct str key; /* at most RECORD_KEY_MAX bytes: lambda_result_key sees to that */
    struct str request_id;
    struct str trace_id; /* W3C; empty: none */
    struct str queue;
    struct str message_id;
    struct str group;
    uint64_t sent_ms;
    uint32_t attempts;
    uint64_t started_us; /* wall clock */
    struct payload input;
    struct str output; /* of a success */
    struct str output_type;
    uint64_t output_header_size;
    const struct error *failure; /* NULL: it succeeded */
    uint64_t until_ms;           /* wall clock: not asked again after that; 0: any time */
};

/* The key of a queue's record, in the arena or a view. A key that is too long is a digest of it. */
enum status lambda_result_key(const struct sqs_record *record, struct arena *arena,
                              struct str *ret_key, struct error *err) FALLIBLE;

/* "arn:aws:sqs:eu-west-3:123456789012:inference.fifo" -> "inference.fifo" */
struct str lambda_queue_name(struct str arn);

/* Looks for a success under the result's key. ALREADY_EXISTS: one with another input. */
enum status lambda_results_find(const struct lambda_results *results,
                                const struct lambda_result *result, struct arena *arena,
                                bool *ret_found, struct error *err) FALLIBLE;

/* Durable when it returns OK. *ret_existing: another was faster, and its outcome stays. */
enum status lambda_results_keep(const struct lambda_results *results,
                                const struct lambda_result *result, struct arena *arena,
                                bool *ret_existing, struct error *err) FALLIBLE;

/* True of failures that the same record has again, however often it comes. */
bool lambda_failure_is_permanent(const struct error *failure);

#endif
