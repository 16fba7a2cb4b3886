/*
 * AWS Signature Version 4: what a signed request's signature must be. Pure.
 *
 *   struct sigv4_authorization authorization;
 *   TRY(sigv4_read(header, &authorization, err));          // who says it is signed by whom
 *   secret = ... of authorization.key_id ...
 *   TRY(sigv4_verify(&request, &authorization, secret, now_s, err));
 *
 * What is verified is headers only (not presigned URLs), and for services other than S3: the path
 * is encoded again, and the body's own digest counts. Requests of ours are signed by aws/signer.h,
 * over the same canonical form.
 */
#ifndef AWS_SIGV4_H
#define AWS_SIGV4_H

#include "base/hash.h"

enum {
    SIGV4_SKEW_S_MAX = 15 * 60,       /* between our clock and the request's date */
    SIGV4_CANONICAL_MAX = 64 * 1024,  /* bytes of a canonical request */
    SIGV4_QUERY_PARTS_MAX = 256,      /* parameters of a query */
    SIGV4_SECRET_SIZE_MAX = 256,      /* bytes of a secret key */
    SIGV4_DATE_SIZE = 16,             /* "20150830T123600Z" */
    SIGV4_HEX_SIZE = SHA256_HEX_SIZE, /* a signature, with its NUL */
};

/* A header field. */
struct sigv4_field {
    struct str name;
    struct str value;
};

enum sigv4_path {
    SIGV4_PATH_NORMALIZED, /* no dots, no empty segments, encoded again: every service but S3 */
    SIGV4_PATH_AS_SENT,    /* S3, where '//' and '..' are part of a name: encoded once */
};

struct sigv4_request {
    struct str method;
    struct str path;  /* as it was sent: percent-encoded */
    struct str query; /* without '?'; as it was sent */
    struct str body;
    const struct sigv4_field *fields; /* all of them, names in any case */
    size_t field_count;
    enum sigv4_path path_form;
    struct str payload; /* what stands for the body, as "UNSIGNED-PAYLOAD"; data NULL: its digest */
};

/* The header `Authorization`; views of it. */
struct sigv4_authorization {
    struct str key_id;
    struct str date; /* "20150830" */
    struct str region;
    struct str service;
    struct str signed_headers; /* "host;x-amz-date" */
    struct str signature;      /* hexadecimal */
};

/* INVALID_ARGUMENT if the header is not "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=...,
 * Signature=...". */
enum status sigv4_read(struct str header, struct sigv4_authorization *ret_authorization,
                       struct error *err) FALLIBLE;

/*
 * INVALID_ARGUMENT: no date, or a header that must be signed is not (host, x-amz-date, and
 * x-amz-target if it is there). PERMISSION_DENIED: another signature, or a date further than
 * SIGV4_SKEW_S_MAX from `now_s`, in AWS's words.
 */
enum status sigv4_verify(const struct sigv4_request *request,
                         const struct sigv4_authorization *authorization, struct str secret,
                         uint64_t now_s, struct error *err) FALLIBLE;

/* The canonical request, appended; INVALID_ARGUMENT if a signed header is not there, or the request
 * is beyond the limits above. */
enum status sigv4_canonical(const struct sigv4_request *request, struct str signed_headers,
                            struct buffer *out, struct error *err) FALLIBLE;

/* Percent-encoded as signatures want it: all but letters, digits and "-._~". Appended. */
void sigv4_encode(struct buffer *out, struct str text);

/* The signature of a canonical request made at `date` ("20150830T123600Z"). */
void sigv4_sign(struct str canonical, const struct sigv4_authorization *scope, struct str date,
                struct str secret, char ret_signature[SIGV4_HEX_SIZE]);

/* Seconds since 1970 of "20150830T123600Z"; false if it is no such time. */
bool sigv4_read_date(struct str text, uint64_t *ret_seconds) FALLIBLE;

#endif
