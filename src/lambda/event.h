/*
 * What an event is, by its shape: one function serves several sources. Pure.
 */
#ifndef LAMBDA_EVENT_H
#define LAMBDA_EVENT_H

#include "base/json.h"

enum lambda_shape {
    LAMBDA_DIRECT,      /* none of the others: a request of the protocol, or a bare array */
    LAMBDA_SQS,         /* Records of eventSource aws:sqs */
    LAMBDA_RECORDS,     /* Records of another source */
    LAMBDA_HTTP_V1,     /* API Gateway's REST API */
    LAMBDA_HTTP_V2,     /* API Gateway's HTTP API, or a Function URL */
    LAMBDA_CODE_DEPLOY, /* a life-cycle hook */
    LAMBDA_EVENTBRIDGE,
};

/* "an SQS event", for messages. */
const char *lambda_shape_text(enum lambda_shape shape);

/*
 * Looks at the outer members only; what a shape's decoder would refuse may still have the shape.
 * INVALID_ARGUMENT if the text is no JSON. The arena is for keys with escapes.
 */
enum status lambda_event_shape(struct str text, struct arena *arena, enum lambda_shape *ret_shape,
                               struct error *err) FALLIBLE;

#endif
