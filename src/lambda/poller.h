/*
 * What stands between a queue and a function in AWS, the event source mapping: messages become an
 * event, and the function's answer says what becomes of the messages. Pure; the one place that
 * writes SQS events.
 *
 *   lambda_poller_write(&source, messages, count, &event);
 *   ... the function answers ...
 *   lambda_poller_read(answer, messages, count, failed, arena)
 */
#ifndef LAMBDA_POLLER_H
#define LAMBDA_POLLER_H

#include "queue/queue.h"

struct lambda_source {
    struct str queue;  /* name */
    struct str region; /* for the ARN */
    struct str account;
};

/* Appends {"Records":[...]} as Lambda has it, digests included. */
void lambda_poller_write(const struct lambda_source *source, const struct queue_message *messages,
                         size_t count, struct buffer *out);

/*
 * Sets failed[i] for what stays in the queue, with ReportBatchItemFailures on: nothing for {}, null
 * and an empty list; the named messages; all of them if the answer is anything else, or names what
 * was not sent. False in the last case.
 */
bool lambda_poller_read(struct str answer, const struct queue_message *messages, size_t count,
                        bool *failed, struct arena *arena);

#endif
