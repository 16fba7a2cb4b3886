/*
 * Who may speak SQS's protocol: anybody, or with access keys those who sign with one of them.
 */
#ifndef SERVER_SQS_AUTH_H
#define SERVER_SQS_AUTH_H

#include "net/http.h"
#include "server/sqs_fault.h"

enum {
    SQS_KEY_ID_MAX = 128,
    SQS_SECRET_MAX = 256,
    SQS_REGION_MAX = 64,
};

/* What the server is told of the protocol. Borrowed texts. */
struct sqs_settings {
    const char *account;            /* 12 digits */
    const char *region;             /* for requests that name none */
    const char *const *access_keys; /* "id:secret" each */
    size_t access_key_count;        /* 0: signatures are not looked at */
};

/* INVALID_ARGUMENT for an account that is no 12 digits, or a key that is no "id:secret". */
enum status sqs_settings_check(const struct sqs_settings *settings, struct error *err) FALLIBLE;

/*
 * Checks the signature, if that is wanted, at `now_s` (seconds since 1970). *ret_region is that of
 * the credential's scope, or the setting's.
 */
enum status sqs_authenticate(const struct sqs_settings *settings,
                             const struct http_exchange *exchange, uint64_t now_s,
                             struct str *ret_region, struct sqs_failure *failure) FALLIBLE;

#endif
