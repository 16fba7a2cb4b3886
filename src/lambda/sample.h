/*
 * Events to try a function with, of every shape it knows (lambda/event.h), as AWS would send them:
 * so that nobody writes one by hand and its digest wrong. Pure: time and chance are arguments.
 *
 *   const struct lambda_sample sample = {.kind = LAMBDA_SAMPLE_SQS, .bodies = bodies,
 *                                        .body_count = 2, .now_ms = now, .seed = seed};
 *   lambda_sample_write(&sample, &out);
 */
#ifndef LAMBDA_SAMPLE_H
#define LAMBDA_SAMPLE_H

#include "base/str.h"

enum lambda_sample_kind {
    LAMBDA_SAMPLE_DIRECT,       /* the body as it is */
    LAMBDA_SAMPLE_TASK,         /* {"slipway":{"task":"check"}} */
    LAMBDA_SAMPLE_SQS,          /* a record for each body */
    LAMBDA_SAMPLE_SQS_FIFO,     /* of one group, in order */
    LAMBDA_SAMPLE_FUNCTION_URL, /* POST of the body to `path` */
    LAMBDA_SAMPLE_HTTP_API,
    LAMBDA_SAMPLE_REST_API,
    LAMBDA_SAMPLE_EVENTBRIDGE, /* the body is the detail's request */
    LAMBDA_SAMPLE_CODE_DEPLOY,
    LAMBDA_SAMPLE_KINDS,
};

/* By its name, "sqs-fifo"; false if there is no such kind. */
bool lambda_sample_find(struct str name, enum lambda_sample_kind *ret_kind) FALLIBLE;

/* "sqs-fifo" */
const char *lambda_sample_name(enum lambda_sample_kind kind);

/* Borrowed during the call. */
struct lambda_sample {
    enum lambda_sample_kind kind;
    const struct str *bodies; /* UTF-8; those of DIRECT and EVENTBRIDGE are JSON */
    size_t body_count;        /* 1 at least; more only of queues: others take the first */
    struct str queue;         /* its name; a FIFO queue's ends with ".fifo" */
    struct str group;         /* of a FIFO queue */
    struct str model;         /* empty: none is named; a message attribute, or detail.model */
    struct str path;          /* of HTTP: "/v2/models/m/infer" */
    uint64_t now_ms;          /* since 1970 */
    uint64_t seed;            /* of ids */
};

/* Appends the event, one line. */
void lambda_sample_write(const struct lambda_sample *sample, struct buffer *out);

#endif
