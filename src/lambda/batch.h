/*
 * The records of an SQS event, run one after the other, and the answer that says which of them
 * stay in the queue: {"batchItemFailures":[{"itemIdentifier":"..."}]}.
 *
 * Every record that came is either run with success or reported; none is forgotten:
 *
 *   md5OfBody is not that of the body     reported: what arrived is not what was sent
 *   the function fails                    reported; the queue tries again, then it is a dead letter
 *   the time of the invocation runs out   the rest is reported, unrun
 *   FIFO: a record is reported            all behind it are too, unrun, or they would overtake it
 *
 * An event that cannot be read to its end runs nothing and is an error: all of it comes again.
 */
#ifndef LAMBDA_BATCH_H
#define LAMBDA_BATCH_H

#include "base/clock.h"
#include "protocol/sqs_event.h"

enum {
    LAMBDA_RECORDS_MAX = 10000, /* SQS's own limit of a batch */
    LAMBDA_MARGIN_MS = 100,     /* kept for the answer */
};

struct lambda_batch_options {
    /* One record within that time; its output is kept before this returns OK. */
    enum status (*run)(void *context, const struct sqs_record *record, uint64_t timeout_us,
                       struct error *err);
    void *context;
    struct clock *clock;
    uint64_t deadline_ms; /* wall clock; 0: none */
};

struct lambda_batch_counts {
    size_t records;
    size_t succeeded;
    size_t failed;   /* run, or their digest was wrong */
    size_t refused;  /* of those: the digest */
    size_t deferred; /* reported without a run */
};

/* Appends the answer to `out`. Memory is from the arena. */
enum status lambda_batch_run(const struct lambda_batch_options *options, struct str event,
                             struct arena *arena, struct buffer *out,
                             struct lambda_batch_counts *ret_counts, struct error *err) FALLIBLE;

#endif
