/*
 * Who asks AWS: an access key, fetched where AWS's own tools look for one, in their order
 * (aws/provider.h), and fetched again before it is over. Fetching that fails leaves the old keys in
 * use until their end.
 *
 *   struct aws_credentials *credentials;
 *   TRY(aws_credentials_new(&(struct aws_credentials_options){0}, &credentials, err));
 *   struct aws_keys keys;
 *   TRY(aws_credentials_get(credentials, arena, &keys, err));       // any thread; may ask a
 * network
 *
 * Nothing of a secret or a token is in any message or log.
 *
 * Any thread, several at once. aws_credentials_get blocks while keys are fetched.
 */
#ifndef AWS_CREDENTIALS_H
#define AWS_CREDENTIALS_H

#include "base/arena.h"
#include "base/clock.h"

enum {
    AWS_KEY_ID_MAX = 256, /* characters */
    AWS_SECRET_MAX = 256,
    AWS_TOKEN_MAX = 16 * 1024,
    AWS_CREDENTIALS_ADVISORY_S = 15 * 60,  /* before their end one thread fetches new ones */
    AWS_CREDENTIALS_MANDATORY_S = 10 * 60, /* before it all wait for new ones */
};

struct aws_credentials;

struct aws_keys {
    struct str key_id;
    struct str secret;
    struct str token;   /* of temporary keys; empty: none */
    uint64_t expires_s; /* seconds since 1970; 0: never */
};

struct aws_credentials_options {
    struct clock *clock;         /* borrowed; NULL: the system's */
    const struct aws_keys *keys; /* copied: these and no others; NULL: looked for */
};

/* Fetches nothing yet. */
enum status aws_credentials_new(const struct aws_credentials_options *options,
                                struct aws_credentials **ret_credentials,
                                struct error *err) FALLIBLE;

/* No call is on its way any more. Accepts NULL. */
void aws_credentials_free(struct aws_credentials *credentials);

/* Copies into the arena, NUL-terminated. UNAUTHENTICATED: none were found, and where was looked. */
enum status aws_credentials_get(struct aws_credentials *credentials, struct arena *arena,
                                struct aws_keys *ret_keys, struct error *err) FALLIBLE;

/* A service says that these are over: the next get fetches new ones, unless that was done since.
 * False: they are fixed, there will be no others. */
bool aws_credentials_refuse(struct aws_credentials *credentials, const struct aws_keys *keys);

#endif
