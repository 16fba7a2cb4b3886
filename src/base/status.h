/*
 * Outcomes. Every function that can fail returns one of these; 0 is success. They are the canonical
 * codes of gRPC (include/slipway/engine.h has the numbers); this table adds what the faces of the
 * product answer with, so that HTTP status, exit code and retry decisions are columns, not code.
 *
 * HTTP statuses follow Triton on /v2, whose clients are the most used: UNKNOWN, CANCELLED and
 * ALREADY_EXISTS are 400 there.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include "base/base.h"

#include <slipway/engine.h>

/* X(name, http status, exit code (sysexits.h), retryable, text) */
#define STATUS_TABLE(X)                                                                            \
    X(OK, 200, 0, false, "ok")                                                                     \
    X(CANCELLED, 400, 75, false, "cancelled")                                                      \
    X(UNKNOWN, 400, 70, false, "unknown error")                                                    \
    X(INVALID_ARGUMENT, 400, 65, false, "invalid argument")                                        \
    X(DEADLINE_EXCEEDED, 504, 75, true, "deadline exceeded")                                       \
    X(NOT_FOUND, 404, 66, false, "not found")                                                      \
    X(ALREADY_EXISTS, 400, 73, false, "already exists")                                            \
    X(PERMISSION_DENIED, 403, 77, false, "permission denied")                                      \
    X(EXHAUSTED, 503, 71, true, "resource exhausted")                                              \
    X(FAILED_PRECONDITION, 400, 65, false, "failed precondition")                                  \
    X(ABORTED, 409, 75, true, "aborted")                                                           \
    X(OUT_OF_RANGE, 400, 65, false, "out of range")                                                \
    X(UNIMPLEMENTED, 501, 64, false, "not implemented")                                            \
    X(INTERNAL, 500, 70, false, "internal error")                                                  \
    X(UNAVAILABLE, 503, 69, true, "unavailable")                                                   \
    X(DATA_LOSS, 500, 74, false, "data loss")                                                      \
    X(UNAUTHENTICATED, 401, 77, false, "unauthenticated")

enum status {
#define X(name, http, exit_code, retryable, text) STATUS_##name = SLIPWAY_##name,
    STATUS_TABLE(X)
#undef X
};

#define STATUS_COUNT 17

/* The name as the table spells it: "NOT_FOUND". Never NULL; "UNKNOWN" for a foreign value. */
const char *status_name(enum status status);

/* The HTTP status to answer with. */
int status_http(enum status status);

/* The exit code of a command that ends this way. */
int status_exit_code(enum status status);

/* True if the same request may succeed later without a change. */
bool status_retryable(enum status status);

/* Two or three words for a person: "not found". */
const char *status_text(enum status status);

/* A status from a foreign number, UNKNOWN if it is none of ours. */
enum status status_from_number(int64_t number);

#endif
