/*
 * HTTP requests that come as events, of a Function URL, API Gateway's HTTP API (both: payload 2.0)
 * and its REST API (1.0), and the answers they want. Pure.
 *
 *   struct lambda_http_request request;
 *   TRY(lambda_http_read(event, LAMBDA_HTTP_V2, arena, &request, err));
 *   ... answer it ...
 *   TRY(lambda_http_write(&answer, LAMBDA_HTTP_V2, out, err));
 *
 * Of the header only fields are passed on that an HTTP/1.1 request may have: not those of the
 * connection (Connection, Content-Length, Transfer-Encoding, Expect, Host, ...), and not
 * Accept-Encoding, since answers travel as texts. A stage in the path ("/prod/v2/...") is cut off.
 */
#ifndef LAMBDA_HTTP_EVENT_H
#define LAMBDA_HTTP_EVENT_H

#include "lambda/event.h"
#include "net/client.h"

enum {
    LAMBDA_HTTP_FIELDS_MAX = 96,
    LAMBDA_HTTP_TARGET_MAX = 16 * 1024, /* path and query */
};

/* Views of the event, or in its arena. */
struct lambda_http_request {
    const char *method;
    const char *target; /* path and query, percent-encoded */
    struct client_field fields[LAMBDA_HTTP_FIELDS_MAX];
    size_t field_count;
    struct str body; /* its base64 decoded */
};

struct lambda_http_answer {
    int status;
    const struct client_field *fields;
    size_t field_count;
    struct str body;
};

/* INVALID_ARGUMENT: no path or method, a header that is none, a body that is no base64. */
enum status lambda_http_read(struct str event, enum lambda_shape shape, struct arena *arena,
                             struct lambda_http_request *ret_request, struct error *err) FALLIBLE;

/* Appends {"statusCode":...}. A body that is not JSON or text goes as base64. */
enum status lambda_http_write(const struct lambda_http_answer *answer, enum lambda_shape shape,
                              struct buffer *out, struct error *err) FALLIBLE;

/* Appends a stream's beginning: what the answer is, in JSON, 8 NULs, then its body as it is. The
 * media type of such a stream is LAMBDA_HTTP_STREAM_TYPE. */
#define LAMBDA_HTTP_STREAM_TYPE "application/vnd.awslambda.http-integration-response"
enum status lambda_http_write_stream(const struct lambda_http_answer *answer, struct buffer *out,
                                     struct error *err) FALLIBLE;

#endif
