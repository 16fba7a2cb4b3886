/*
 * Where keys come from, in the order of AWS's own tools:
 *
 *   1  the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *   2  a profile that assumes a role (role_arn with source_profile)
 *   3  a web identity: AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or a profile with both
 *   4  a profile's own keys
 *   5  the container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI (ECS, EKS Pod Identity)
 *   6  the machine: EC2's metadata, version 2, unless AWS_EC2_METADATA_DISABLED
 *
 * What is set up and does not work is a failure; only what is not set up is passed over. Files and
 * variables are read anew each time. Used by aws/credentials.c only.
 */
#ifndef AWS_PROVIDER_H
#define AWS_PROVIDER_H

#include "aws/credentials.h"
#include "net/client_web.h"

struct aws_provider_fetch {
    struct clock *clock;
    struct client_web *web; /* for the container and the machine */
    struct arena *arena;    /* for the keys */
};

/* Blocks. UNAUTHENTICATED: nothing is set up. *ret_fixed: asking again gives the same ones. */
enum status aws_provider_fetch(const struct aws_provider_fetch *fetch, struct aws_keys *ret_keys,
                               bool *ret_fixed, struct error *err) FALLIBLE;

#endif
