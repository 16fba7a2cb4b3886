/*
 * Callbacks: whom the server may tell that a job is over, and what it says.
 *
 * Who. A list of entries, each one of
 *
 *   https://hooks.example.com/jobs      this scheme, host and port, and paths below /jobs
 *   hooks.example.com                   https to this host, any port and path
 *   *.example.com                       https to any host below it
 *
 * An entry that ends in "!private" may lead to addresses of this host and of private networks; all
 * others reach public addresses only, whatever their names resolve to (net/client_web.h). An empty
 * list allows nothing.
 *
 * What. A POST of {"event":"job.succeeded","id":...,"time":...,"job":{...}} with the headers
 *
 *   Slipway-Event      job.succeeded, job.failed, job.cancelled, job.expired
 *   Slipway-Event-Id   the same for each try: what a receiver tells repetitions by
 *   Slipway-Signature  t=SECONDS,v1=HEX: HMAC-SHA256 by the secret over "SECONDS." and the body
 *
 * Pure, but for the list's memory.
 */
#ifndef JOBS_CALLBACK_H
#define JOBS_CALLBACK_H

#include "base/str.h"

enum {
    CALLBACK_ENTRIES_MAX = 1000,
    CALLBACK_URL_MAX = 2048,
    CALLBACK_SIGNATURE_SIZE = 128,
};

struct callback_rules;

/* The parts of a URL; views of it. The host is in the case it was written in. */
struct callback_url {
    bool secure;     /* https */
    struct str host; /* without brackets */
    uint16_t port;
    struct str path; /* from '/' on, with the query; may be empty */
};

/*
 * INVALID_ARGUMENT for what is no plain URL: scheme http or https, a host, no user, no fragment, no
 * white space or backslash, no dot segments.
 */
enum status callback_url_read(struct str text, struct callback_url *ret_url,
                              struct error *err) FALLIBLE;

/* Copies the entries. INVALID_ARGUMENT names the one that is wrong. */
enum status callback_rules_new(const char *const *entries, size_t count,
                               struct callback_rules **ret_rules, struct error *err) FALLIBLE;
void callback_rules_free(struct callback_rules *rules); /* accepts NULL */

/* PERMISSION_DENIED if no entry allows the URL, INVALID_ARGUMENT if it is none. NULL allows none.
 */
enum status callback_rules_check(const struct callback_rules *rules, struct str text,
                                 bool *ret_private, struct error *err) FALLIBLE;

/* "t=...,v1=..." */
void callback_sign(struct str secret, uint64_t seconds, struct str body,
                   char ret_text[CALLBACK_SIGNATURE_SIZE]);

#endif
