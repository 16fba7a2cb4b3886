/* What the files of queue_sqs share. */
#ifndef QUEUE_QUEUE_SQS_PRIVATE_H
#define QUEUE_QUEUE_SQS_PRIVATE_H

#include "aws/client.h"
#include "queue/queue_sqs.h"
#include "queue/queue_sqs_wire.h"

#include <pthread.h>

/* A queue whose name is known. Stays until the end. */
struct sqs_queue {
    struct list link;
    char name[QUEUE_NAME_MAX + 1];
    char account[SQS_ACCOUNT_SIZE + 1]; /* "": the caller's own */
    char *url;                          /* NULL: to be asked for */
};

struct queue_sqs {
    struct queue_store base;
    struct aws_client *client;
    struct aws_credentials *credentials; /* its own; NULL: borrowed ones */
    uint32_t poll_s;

    pthread_mutex_t mutex; /* all that follows */
    pthread_cond_t some_call;
    pthread_cond_t some_lease;
    struct list calls;  /* that wait for a thread */
    struct list leases; /* likewise */
    bool ending;
    pthread_t callers[SQS_CALLERS];
    pthread_t leasers[SQS_LEASERS];
    uint32_t caller_count;
    uint32_t leaser_count;
    uint32_t leasers_idle;
    struct list queues;
    uint32_t queue_count;
};

/* queue_sqs_calls.c: each blocks, and asks as often as it takes. */

/* GetQueueUrl. */
enum status sqs_ask_url(struct queue_sqs *sqs, const struct sqs_queue_name *name,
                        struct arena *arena, struct str *ret_url, struct error *err);

/* queue_sqs.c: the URL of a queue, asked for once. Valid until the end. */
enum status sqs_url(struct queue_sqs *sqs, struct str name, struct str *ret_url, struct error *err);

enum status sqs_lease(struct queue_sqs *sqs, struct queue_call *call, struct error *err);

/* ACK, EXTEND, NACK: all receipts of calls about one queue. Sets each one's status. */
enum status sqs_receipts(struct queue_sqs *sqs, const struct queue_call *first,
                         struct queue_receipt *const *receipts, size_t count, struct arena *reasons,
                         struct error *err);

/* All others. */
enum status sqs_call(struct queue_sqs *sqs, struct queue_call *call, struct error *err);

#endif
