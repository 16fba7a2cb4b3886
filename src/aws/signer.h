/*
 * Requests of ours, signed: Signature Version 4 in headers, or in the query of a URL that somebody
 * else may use for a while. Pure; the canonical form is aws/sigv4.h's.
 *
 *   const struct signer signer = {.key_id = ..., .secret = ..., .region = STR("eu-west-3"),
 *                                 .service = STR("sqs"), .now_s = now};
 *   struct signer_fields add;
 *   TRY(signer_sign(&signer, &request, &arena, &add, err));
 *   // send request.fields and add.fields
 *
 * `request` has the header "Host", and no date, token or digest: those are added. For S3 set
 * `content_digest`, and path_form SIGV4_PATH_AS_SENT.
 */
#ifndef AWS_SIGNER_H
#define AWS_SIGNER_H

#include "aws/sigv4.h"
#include "base/arena.h"

enum {
    SIGNER_FIELDS_MAX = 4,        /* headers that a signature adds */
    SIGNER_SIGNED_MAX = 32,       /* headers that are signed, those included */
    SIGNER_EXPIRES_S_MAX = 604800 /* of a presigned URL: AWS's seven days */
};

struct signer {
    struct str key_id;
    struct str secret; /* not kept, nor in any message */
    struct str token;  /* of temporary credentials; empty: none */
    struct str region;
    struct str service;
    uint64_t now_s;      /* seconds since 1970, by the service's clock */
    bool content_digest; /* adds X-Amz-Content-Sha256, as S3 wants */
};

/* Headers to send besides the request's own; names are static, values the arena's. */
struct signer_fields {
    struct sigv4_field fields[SIGNER_FIELDS_MAX];
    size_t count;
};

/*
 * Signs all headers but those that change on their way (Expect, User-Agent, Connection,
 * Transfer-Encoding, X-Amzn-Trace-Id). INVALID_ARGUMENT: no Host, a header that the signature adds
 * is there already, a line break in a value, credentials that cannot be any, or a limit of sigv4.h.
 * EXHAUSTED: the arena's.
 */
enum status signer_sign(const struct signer *signer, const struct sigv4_request *request,
                        struct arena *arena, struct signer_fields *ret_add,
                        struct error *err) FALLIBLE;

/*
 * The request's query with the signature in it, good for `expires_s` seconds from now. Who uses it
 * sends the request's headers. For S3, `payload` is "UNSIGNED-PAYLOAD".
 */
enum status signer_presign(const struct signer *signer, const struct sigv4_request *request,
                           uint64_t expires_s, struct arena *arena, struct str *ret_query,
                           struct error *err) FALLIBLE;

#endif
