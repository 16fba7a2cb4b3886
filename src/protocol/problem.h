/*
 * Failures as bodies: {"error":"..."}, which is what OIP, V1 and our own interfaces answer with.
 */
#ifndef PROTOCOL_PROBLEM_H
#define PROTOCOL_PROBLEM_H

#include "base/str.h"

/* Appends the body. The HTTP status goes with it: status_http(err->status). */
void problem_write(struct buffer *out, const char *message);

/*
 * The client's end: the failure that a body tells of, as `err` with a status made from the HTTP
 * status; a body of another kind is quoted. Never OK.
 */
enum status problem_read(struct str body, int http_status, struct error *err);

#endif
