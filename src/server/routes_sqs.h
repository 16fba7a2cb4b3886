/*
 * SQS's protocol over HTTP: POST / with `X-Amz-Target: AmazonSQS.OPERATION`, and the older one, a
 * form with an Action. It stands beside the route table, because header fields tell its requests,
 * not paths.
 */
#ifndef SERVER_ROUTES_SQS_H
#define SERVER_ROUTES_SQS_H

#include "server/thread.h"

enum {
    /* A batch's 1 MiB with every byte escaped, and what surrounds it. */
    SQS_BODY_SIZE_MAX = 8 << 20,
};

/* Before the body of a request to "/" is read: bounds it. */
void sqs_prepare(struct http_exchange *exchange);

/* True if the request speaks the protocol. */
bool sqs_is_request(const struct http_exchange *exchange);

/* Answers it, now or later, on its thread. */
void sqs_handle(struct server_thread *thread, struct http_exchange *exchange);

/* Ends this thread's long polls: they are answered as if their time were over. On the loop's
 * thread, or when that has ended. */
void sqs_end_waits(struct server_thread *thread);

#endif
