/*
 * The names that SQS's clients know a queue by: its URL, its ARN. Only the last part of either
 * matters here: queues have one account and one region, those of the server. Pure.
 */
#ifndef SERVER_SQS_NAME_H
#define SERVER_SQS_NAME_H

#include "queue/queue.h"
#include "server/sqs_fault.h"

/* Where a request came to; what URLs and ARNs are made of. Views. */
struct sqs_site {
    struct str scheme; /* "http" */
    struct str host;   /* as the client wrote it, with its port */
    struct str account;
    struct str region;
};

/* In the arena; data NULL if there is no room. */
struct str sqs_url_of(const struct sqs_site *site, struct str queue, struct arena *arena);
struct str sqs_arn_of(const struct sqs_site *site, struct str queue, struct arena *arena);

/* The queue's name: what follows the last '/', or all of it. Refuses names no queue can have. */
enum status sqs_queue_of_url(struct str url, struct str *ret_queue,
                             struct sqs_failure *failure) FALLIBLE;

/* The name at the end of arn:PARTITION:sqs:REGION:ACCOUNT:NAME; false if it is no such ARN. */
bool sqs_queue_of_arn(struct str arn, struct str *ret_queue) FALLIBLE;

/* Letters, digits, '-' and '_', 1 to 80; of a FIFO queue ".fifo" at the end, counted in. */
bool sqs_name_is_valid(struct str name);
bool sqs_name_is_fifo(struct str name);

#endif
