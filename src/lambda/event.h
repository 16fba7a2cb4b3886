/*
 * What an event is, by its shape: one function serves several sources. Pure.
 */
#ifndef LAMBDA_EVENT_H
#define LAMBDA_EVENT_H

#include "base/json.h"

enum lambda_shape {
    LAMBDA_DIRECT,      /* a request of the protocol, or a bare array */
    LAMBDA_TASK,        /* {"slipway":{"task":"..."}} */
    LAMBDA_SQS,         /* Records of eventSource aws:sqs */
    LAMBDA_RECORDS,     /* Records of another source */
    LAMBDA_HTTP_V1,     /* API Gateway's REST API */
    LAMBDA_HTTP_V2,     /* API Gateway's HTTP API, or a Function URL */
    LAMBDA_CODE_DEPLOY, /* a life-cycle hook */
    LAMBDA_EVENTBRIDGE,
    LAMBDA_UNKNOWN, /* an object of no shape that is known, or a value that is neither */
};

enum { LAMBDA_WHAT_SIZE = 256 };

struct lambda_event {
    enum lambda_shape shape;
    char what[LAMBDA_WHAT_SIZE]; /* what came, for messages: "an SQS event", "an object with 'a'" */
};

/*
 * Looks at the outer members only; what a shape's decoder would refuse may still have the shape.
 * INVALID_ARGUMENT if the text is no JSON. The arena is for keys with escapes.
 */
enum status lambda_event_read(struct str text, struct arena *arena, struct lambda_event *ret_event,
                              struct error *err) FALLIBLE;

/* The value of an object's outer member, as it stands; data NULL if there is none. The text was
 * read by lambda_event_read, or is a value of one that was. */
struct str lambda_event_member(struct str text, struct str name, struct arena *arena);

/* The same of a member that is a text, escapes decoded. */
struct str lambda_event_text(struct str text, struct str name, struct arena *arena);

#endif
