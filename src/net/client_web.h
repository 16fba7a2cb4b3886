/*
 * Requests to the world outside: HTTPS and HTTP over libcurl, for web hooks. Blocks.
 *
 *   struct client_web *web;
 *   TRY(client_web_new(&web, err));
 *   const struct client_web_request request = {.url = "https://...", .body = body, ...};
 *   TRY(client_web_post(web, &request, &http_status, err));
 *   client_web_free(web);
 *
 * Whom it talks to is decided on the address that is connected to, after the name was resolved and
 * for each address that is tried: a name that points inside, or begins to between two look-ups,
 * reaches nothing. Certificates are verified. Redirects are not followed, proxies and .netrc of the
 * environment not used; time and size of the answer are bounded, and it is not kept.
 *
 * One thread at a time per object; threads with objects of their own at the same time.
 */
#ifndef NET_CLIENT_WEB_H
#define NET_CLIENT_WEB_H

#include "base/str.h"

struct sockaddr;
struct client_web;

enum { CLIENT_WEB_FIELDS_MAX = 16 };

struct client_web_request {
    const char *url; /* checked by the caller: http or https */
    struct str body;
    const char *const *fields; /* "Name: value" */
    size_t field_count;
    uint64_t timeout_ns;     /* all of it; 0: 10 s */
    size_t reply_size_max;   /* bytes of the answer that are read, and forgotten; 0: 64 KiB */
    bool private_is_allowed; /* addresses of this host and of the local network too */
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

/*
 * True of an address of the public internet: not this host, not a private, link-local, shared,
 * documentation, benchmark, multicast or reserved range, nor an IPv6 form of one. Pure.
 */
bool client_web_is_public(const struct sockaddr *address);

#endif
