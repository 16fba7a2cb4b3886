/*
 * Queues of Amazon SQS, or of what speaks its protocol: one region, one account's credentials.
 *
 *   TRY(queue_sqs_new(&(struct queue_sqs_options){.region = "eu-west-3"}, &queues, err));
 *   TRY(queue_sqs_name(queues, STR("arn:aws:sqs:eu-west-3:123456789012:in.fifo"), name, err));
 *   call->queue = str_of(name);                 // "in.fifo"
 *   TRY(queue_submit(queues, call, err));
 *
 * What is otherwise than queue.h says, since SQS has no more:
 *
 *   BURY, CANCEL, LIST, TAG, MOVE_*  UNIMPLEMENTED
 *   NACK             a visibility time-out that ends: the receive stays counted
 *   must_hold        is not looked at: a standard queue deletes by any receipt it ever gave
 *   transactions     none (queue_store_database is NULL): the result first, then the receipt
 *   send             no priority, no id of the caller's (UNIMPLEMENTED), 900 s of delay at most;
 *                    a duplicate is not told from a first one
 *   lease            a receive brings 10 messages at most: more are asked for until one brings
 *                    fewer. A message whose digests are wrong is left out, and comes back
 *   long polls       are asked anew every poll_ns. One that is cancelled ends with the request it
 *                    has out: what that finds would be hidden from everybody else for a while
 *   time-outs        of whole seconds, rounded up
 *   depth            AWS's estimate; the age of the oldest message is not told
 *   counts           what this process did
 *
 * Receipts of several calls about one queue that wait at the same time go in one batch.
 *
 * Threads: SQS_CALLERS for what is short, one for each long poll that is out, up to SQS_LEASERS.
 */
#ifndef QUEUE_QUEUE_SQS_H
#define QUEUE_QUEUE_SQS_H

#include "queue/queue.h"

struct aws_credentials;

enum { SQS_CALLERS = 6, SQS_LEASERS = 256 };

/* Borrowed for the life of the queues. */
struct queue_sqs_options {
    const char *region;                  /* NULL: as AWS's tools find it */
    const char *endpoint;                /* NULL: AWS's own, or as the environment says */
    struct aws_credentials *credentials; /* NULL: as AWS's tools find them */
    uint64_t poll_ns;                    /* longest receive, up to 20 s; 0: 5 s */
};

/* Asks nobody yet. */
enum status queue_sqs_new(const struct queue_sqs_options *options, struct queue_store **ret_queues,
                          struct error *err) FALLIBLE;

/*
 * Makes known which queue is meant by its name: of the caller's own account, unless a URL or an ARN
 * says otherwise. Not necessary for a plain name. INVALID_ARGUMENT: none of the three, of another
 * region, or the name is known as that of another queue.
 */
enum status queue_sqs_name(struct queue_store *queues, struct str text,
                           char ret_name[QUEUE_NAME_MAX + 1], struct error *err) FALLIBLE;

#endif
