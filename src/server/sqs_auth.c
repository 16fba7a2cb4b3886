/* Signatures. */
#include "server/sqs_auth.h"

#include "aws/sigv4.h"

enum { ACCOUNT_DIGITS = 12 };

static enum status check_key(const char *key, size_t number, struct error *err)
{
    struct str secret = str_of(key), id = str_cut(&secret, ':');
    /* The text is not quoted: it may hold the secret. */
    if (!secret.data || id.size == 0 || secret.size == 0)
        return fail(err, STATUS_INVALID_ARGUMENT, "sqs.access_keys: entry %zu is not ID:SECRET",
                    number);
    if (id.size > SQS_KEY_ID_MAX || secret.size > SQS_SECRET_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "sqs.access_keys: entry %zu is longer than %d characters for the id, or %d for "
                    "the secret",
                    number, SQS_KEY_ID_MAX, SQS_SECRET_MAX);
    return STATUS_OK;
}

enum status sqs_settings_check(const struct sqs_settings *settings, struct error *err)
{
    size_t digits = strspn(settings->account, "0123456789");
    if (digits != ACCOUNT_DIGITS || settings->account[digits] != '\0')
        return fail(err, STATUS_INVALID_ARGUMENT, "sqs.account: '%s' is not a number of 12 digits",
                    settings->account);
    for (size_t i = 0; i < settings->access_key_count; i++)
        TRY(check_key(settings->access_keys[i], i + 1, err));
    return STATUS_OK;
}

static struct str find_secret(const struct sqs_settings *settings, struct str id)
{
    for (size_t i = 0; i < settings->access_key_count; i++) {
        struct str secret = str_of(settings->access_keys[i]);
        if (str_equal(str_cut(&secret, ':'), id)) return secret;
    }
    return (struct str){NULL, 0};
}

static bool is_region(struct str text)
{
    if (text.size == 0 || text.size > SQS_REGION_MAX) return false;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (!(byte >= 'a' && byte <= 'z') && !(byte >= '0' && byte <= '9') && byte != '-')
            return false;
    }
    return true;
}

static enum status verify(const struct http_exchange *exchange, struct str secret, uint64_t now_s,
                          const struct sigv4_authorization *authorization,
                          struct sqs_failure *failure)
{
    struct sigv4_field fields[HTTP_FIELDS_MAX];
    size_t count = MIN(http_exchange_field_count(exchange), (size_t)HTTP_FIELDS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct http_field field = http_exchange_field(exchange, i);
        fields[i] = (struct sigv4_field){field.name, field.value};
    }
    struct sigv4_request request = {
        .method = STR("POST"),
        .path = exchange->path,
        .query = exchange->query,
        .body = exchange->body,
        .fields = fields,
        .field_count = count,
    };
    enum status status = sigv4_verify(&request, authorization, secret, now_s, &failure->error);
    if (status == STATUS_INVALID_ARGUMENT) failure->fault = SQS_FAULT_INCOMPLETE_SIGNATURE;
    if (status == STATUS_PERMISSION_DENIED) failure->fault = SQS_FAULT_WRONG_SIGNATURE;
    return status;
}

enum status sqs_authenticate(const struct sqs_settings *settings,
                             const struct http_exchange *exchange, uint64_t now_s,
                             struct str *ret_region, struct sqs_failure *failure)
{
    struct str header = http_exchange_header(exchange, HTTP_HEADER_AUTHORIZATION);
    struct sigv4_authorization authorization;
    struct str region = str_of(settings->region);
    enum status status =
        sigv4_read(header.data ? header : STR_EMPTY, &authorization, &failure->error);
    if (status == STATUS_OK && is_region(authorization.region)) region = authorization.region;
    if (settings->access_key_count > 0) {
        if (!header.data) return SQS_FAIL(failure, UNSIGNED, "Missing Authentication Token");
        if (status != STATUS_OK) {
            failure->fault = SQS_FAULT_INCOMPLETE_SIGNATURE;
            return status;
        }
        struct str secret = find_secret(settings, authorization.key_id);
        if (!secret.data)
            return SQS_FAIL(failure, UNKNOWN_KEY,
                            "The security token included in the request is invalid.");
        TRY(verify(exchange, secret, now_s, &authorization, failure));
    }
    *ret_region = region;
    return STATUS_OK;
}
