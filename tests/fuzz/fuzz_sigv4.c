/*
 * Signed requests from any bytes: lines (path?query, `Authorization`, then header fields "name:
 * value") up to an empty one, then the body. What can be made canonical is signed here, and then
 * its signature holds, and neither with another body nor with another secret.
 */
#include "aws/sigv4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS_MAX = 32 };

static void check_signed(struct sigv4_request *request, struct sigv4_authorization authorization,
                         struct str date, uint64_t now_s)
{
    struct buffer canonical CLEANUP(buffer_clear);
    char signature[SIGV4_HEX_SIZE];
    struct error err;
    buffer_init(&canonical, SIGV4_CANONICAL_MAX);
    if (sigv4_canonical(request, authorization.signed_headers, &canonical, &err) != STATUS_OK)
        return;
    sigv4_sign(buffer_view(&canonical), &authorization, date, STR("secret"), signature);
    authorization.signature = str_of(signature);
    if (sigv4_verify(request, &authorization, STR("secret"), now_s, &err) != STATUS_OK) {
        /* Right, but for what was not signed, or another day. */
        if (strstr(err.message, "does not match the signature")) abort();
        return;
    }
    if (sigv4_verify(request, &authorization, STR("other"), now_s, &err) == STATUS_OK) abort();
    request->body = request->body.size ? STR_EMPTY : STR("x");
    if (sigv4_verify(request, &authorization, STR("secret"), now_s, &err) == STATUS_OK) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size}, date = {0};
    struct sigv4_field fields[FIELDS_MAX];
    struct sigv4_request request = {.method = STR("POST"), .fields = fields};
    struct sigv4_authorization authorization;
    struct error err;
    uint64_t now_s = 0;
    if (size == 0 || size > 65536) return 0;
    struct str query = str_cut(&rest, '\n');
    request.path = str_cut(&query, '?');
    request.query = query.data ? query : STR_EMPTY;
    struct str header = rest.data ? str_cut(&rest, '\n') : STR_EMPTY;
    while (rest.data) {
        struct str value = str_cut(&rest, '\n');
        if (value.size == 0) break;
        struct str name = str_cut(&value, ':');
        if (!value.data || request.field_count == FIELDS_MAX) continue;
        fields[request.field_count++] = (struct sigv4_field){name, str_trim(value)};
        if (!date.data && str_equal_ignoring_case(name, STR("x-amz-date"))) date = str_trim(value);
    }
    request.body = rest.data ? rest : STR_EMPTY;
    bool dated = date.data && sigv4_read_date(date, &now_s);
    if (sigv4_read(header, &authorization, &err) != STATUS_OK) {
        if (err.status != STATUS_INVALID_ARGUMENT) abort();
        return 0;
    }
    if (sigv4_verify(&request, &authorization, STR("secret"), now_s, &err) == STATUS_OK) abort();
    if (dated) check_signed(&request, authorization, date, now_s);
    return 0;
}
