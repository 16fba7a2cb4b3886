/*
 * Requests to the world outside: HTTPS and HTTP over libcurl, for web hooks and AWS. Blocks.
 *
 *   struct client_web *web;
 *   TRY(client_web_new(&web, err));
 *   const struct client_web_request request = {.url = "https://...", .body = body, ...};
 *   TRY(client_web_post(web, &request, &http_status, err));         // forgets the answer
 *
 *   struct client_web_reply reply;
 *   TRY(client_web_call(web, &(struct client_web_request){.method = "GET", .keeps_connection =
 * true, .private_is_allowed = true, ...}, &reply, err)); client_web_free(web);
 *
 * Whom it talks to is decided on the address that is connected to, after the name was resolved and
 * for each address that is tried: a name that points inside, or begins to between two look-ups,
 * reaches nothing. Certificates are verified. Redirects are not followed, proxies and .netrc of the
 * environment not used; time and size of the answer are bounded.
 *
 * A kept connection that turns out to be closed before a byte of the answer came is opened anew and
 * the request sent again, by libcurl itself: so a request may arrive twice.
 *
 * One thread at a time per object; threads with objects of their own at the same time.
 */
#ifndef NET_CLIENT_WEB_H
#define NET_CLIENT_WEB_H

#include "base/str.h"

#include <stdatomic.h>

struct sockaddr;
struct client_web;

enum {
    CLIENT_WEB_FIELDS_MAX = 40,           /* of a request */
    CLIENT_WEB_REPLY_FIELDS_MAX = 64,     /* of an answer; further ones are passed over */
    CLIENT_WEB_REPLY_HEAD_MAX = 64 * 1024 /* bytes of an answer's head */
};

/* A piece of an answer's body. False ends the transfer, which fails with EXHAUSTED. */
typedef bool client_web_sink_function(void *context, struct str bytes);

struct client_web_request {
    const char *method;        /* NULL: "POST" */
    const char *url;           /* checked by the caller: http or https */
    struct str body;           /* data NULL: none */
    const char *const *fields; /* "Name: value" */
    size_t field_count;
    uint64_t timeout_ns;         /* all of it; 0: 10 s */
    uint64_t connect_timeout_ns; /* 0: half of it */
    size_t reply_size_max;       /* bytes of the answer's body; 0: 64 KiB */
    bool private_is_allowed;     /* addresses of this host and of the local network too */
    bool keeps_connection;       /* for the next request; only with private_is_allowed, since an
                                    address is checked when it is connected to */
    client_web_sink_function
        *sink; /* takes the body of a 200 or 206; NULL: client_web_reply has it */
    void *sink_context;
    const _Atomic bool *stop; /* gives up, within a second, once it is true; NULL: never */
};

struct client_web_field {
    struct str name;
    struct str value;
};

/* Valid until the next request of the same object. */
struct client_web_reply {
    int status;
    const struct client_web_field *fields;
    size_t field_count;
    struct str body;
};

/* Opens the library: before the first client_web_new; again does nothing. FAILED_PRECONDITION: it
 * is not installed. */
enum status client_web_start(struct error *err) FALLIBLE;

enum status client_web_new(struct client_web **ret_web, struct error *err) FALLIBLE;
void client_web_free(struct client_web *web); /* accepts NULL */

/*
 * OK with any HTTP status. PERMISSION_DENIED: the address is none of the public ones. UNAVAILABLE:
 * no connection, no or a broken answer, a certificate that does not verify. DEADLINE_EXCEEDED.
 */
enum status client_web_post(struct client_web *web, const struct client_web_request *request,
                            int *ret_status, struct error *err) FALLIBLE;

/* As client_web_post, any method, and the answer is kept. CANCELLED: `stop` became true. */
enum status client_web_call(struct client_web *web, const struct client_web_request *request,
                            struct client_web_reply *ret_reply, struct error *err) FALLIBLE;

/* The value of a header field, case ignored; data NULL if there is none. */
struct str client_web_reply_field(const struct client_web_reply *reply, struct str name);

/*
 * True of an address of the public internet: not this host, not a private, link-local, shared,
 * documentation, benchmark, multicast or reserved range, nor an IPv6 form of one. Pure.
 */
bool client_web_is_public(const struct sockaddr *address);

#endif
