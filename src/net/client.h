/*
 * An HTTP/1.1 client that blocks, for the command line and for tests: one connection, kept open
 * between requests. Without TLS.
 *
 *   struct client *client;
 *   TRY(client_new(&(struct client_options){.host = "127.0.0.1", .port = 8000}, &client, err));
 *   struct client_response response;
 *   TRY(client_request(client, &(struct client_request){.method = "POST", .path = "/models/x",
 *                      .content_type = "application/json", .body = STR("[1,2]")}, &response, err));
 *   ... response.status, response.body ...
 *   client_free(client);
 *
 * One thread at a time.
 */
#ifndef NET_CLIENT_H
#define NET_CLIENT_H

#include "base/str.h"

enum { CLIENT_FIELDS_MAX = 128, CLIENT_HEAD_SIZE_MAX = 64 * 1024 };

struct client;

struct client_options {
    const char *host; /* borrowed during client_new */
    uint16_t port;
    uint64_t connect_timeout_ns; /* 0: 5 s */
    uint64_t timeout_ns;         /* from sending to the last byte of the answer; 0: 60 s */
    size_t body_size_max;        /* of an answer, decoded; 0: 1 GiB */
    int stop_descriptor; /* once it is readable, waiting for answers ends: CANCELLED; 0: never */
};

/* A header field, name without the colon. */
struct client_field {
    struct str name;
    struct str value;
};

/* A body whose size is not known when it begins. */
struct client_source {
    /* The next piece, valid until the next call; empty: the end. A failure is an end, too. */
    enum status (*next)(void *context, struct str *ret_piece, struct error *err);
    /* Appends fields that go behind the body, each with its line end. `failure`: of `next`, NULL:
     * none. NULL: there are no such fields. */
    void (*trail)(void *context, const struct error *failure, struct buffer *out);
    void *context;
};

/* Borrowed during the call. */
struct client_request {
    const char *method;       /* NULL: "GET" */
    const char *path;         /* with the query, percent-encoded: "/v2/models/x/infer" */
    const char *content_type; /* NULL: none */
    const struct client_field *fields;
    size_t field_count;
    struct str body; /* sent with Content-Length */
    /* NULL, or what is sent in chunks in place of the body, on a connection of its own that ends
     * with the answer. */
    const struct client_source *source;
    bool accept_compressed; /* asks for gzip or deflate, and decodes */
};

/* Valid until the next request or client_free. */
struct client_response {
    int status;
    const struct client_field *fields;
    size_t field_count;
    struct str body;
};

/* Parses "http://host:port/path" into its parts: ret_host is owned by the caller (mem_free),
 * ret_path a view of `url`, empty if there is none. The port is 80 if the URL has none. */
enum status client_parse_url(const char *url, char **ret_host, uint16_t *ret_port,
                             struct str *ret_path, struct error *err) FALLIBLE;

/* Does not connect yet. *ret_client is ended by client_free. */
enum status client_new(const struct client_options *options, struct client **ret_client,
                       struct error *err) FALLIBLE;
void client_free(struct client *client);

/* Gives it a connection: a stream socket, non-blocking, closed by the client. It is used until its
 * end; then the client connects to the host as ever. */
void client_adopt(struct client *client, int descriptor);

/*
 * Sends the request and reads the answer, whatever its status. A kept connection that the server
 * has closed meanwhile is opened anew, once. UNAVAILABLE if the server is not there or hung up,
 * DEADLINE_EXCEEDED, EXHAUSTED if the answer is too large, DATA_LOSS if it is not HTTP.
 */
enum status client_request(struct client *client, const struct client_request *request,
                           struct client_response *ret_response, struct error *err) FALLIBLE;

/*
 * As client_request, but returns with the answer's head; the response's body is empty, and comes
 * by client_read as it was sent, not decoded. The client's timeout is for all of it, its
 * body_size_max for a piece.
 */
enum status client_begin(struct client *client, const struct client_request *request,
                         struct client_response *ret_response, struct error *err) FALLIBLE;

/* The next piece of the body, valid until the next call; empty: the end. What is left of an answer
 * that is not read to its end goes with the connection. */
enum status client_read(struct client *client, struct str *ret_piece, struct error *err) FALLIBLE;

/* The value of a header field, case ignored; data NULL if there is none. */
struct str client_response_field(const struct client_response *response, struct str name);

#endif
