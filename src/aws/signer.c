/* What is signed, in which order, and where the signature goes. */
#include "aws/signer.h"

#include "base/clock.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

enum { NAMES_SIZE_MAX = 4096, QUERY_SIZE_MAX = 32 * 1024 };

/* --- time ------------------------------------------------------------------------------------- */

/* "2015-08-30T12:36:00.000Z" without what is punctuation: "20150830T123600Z". */
static void print_date(uint64_t now_s, char date[SIGV4_DATE_SIZE + 1])
{
    char text[CLOCK_TEXT_SIZE];
    size_t size = 0;
    clock_format_utc(now_s * NS_PER_S, text);
    for (size_t i = 0; text[i] != '.' && text[i] != '\0'; i++)
        if (text[i] != '-' && text[i] != ':') date[size++] = text[i];
    date[size++] = 'Z';
    date[size] = '\0';
    assert(size == SIGV4_DATE_SIZE);
}

static struct sigv4_authorization scope_of(const struct signer *signer, const char *date)
{
    return (struct sigv4_authorization){.key_id = signer->key_id,
                                        .date = {date, 8},
                                        .region = signer->region,
                                        .service = signer->service,
                                        .signed_headers = STR_EMPTY,
                                        .signature = STR_EMPTY};
}

/* --- checks ----------------------------------------------------------------------------------- */

static bool has_control(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < ' ' && text.data[i] != '\t') return true;
    return false;
}

/* The slash parts the scope; a control character would end a header. */
static bool is_scope_part(struct str text)
{
    return text.size > 0 && str_find(text, '/') == SIZE_MAX && !has_control(text);
}

static enum status check_signer(const struct signer *signer, struct error *err)
{
    if (!is_scope_part(signer->key_id))
        return fail(err, STATUS_INVALID_ARGUMENT, "the access key id is empty or malformed");
    if (signer->secret.size == 0 || signer->secret.size > SIGV4_SECRET_SIZE_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "the secret access key of '%.*s' is empty or longer than %d bytes",
                    STR_ARGS(signer->key_id), SIGV4_SECRET_SIZE_MAX);
    if (has_control(signer->token))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "the session token of '%.*s' has a line break or control character",
                    STR_ARGS(signer->key_id));
    if (!is_scope_part(signer->region) || !is_scope_part(signer->service))
        return fail(err, STATUS_INVALID_ARGUMENT, "region '%.*s' or service '%.*s' is no name",
                    STR_ARGS(signer->region), STR_ARGS(signer->service));
    return STATUS_OK;
}

static bool is_one_of(struct str name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal_ignoring_case(name, str_of(names[i]))) return true;
    return false;
}

static enum status check_fields(const struct sigv4_request *request, struct error *err)
{
    static const char *const ours[] = {"x-amz-date", "x-amz-security-token", "x-amz-content-sha256",
                                       "authorization"};
    bool host = false;
    if (request->field_count > SIGNER_SIGNED_MAX - SIGNER_FIELDS_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "a request of %zu headers: at most %d are signed",
                    request->field_count, SIGNER_SIGNED_MAX - SIGNER_FIELDS_MAX);
    for (size_t i = 0; i < request->field_count; i++) {
        const struct sigv4_field *field = &request->fields[i];
        host |= str_equal_ignoring_case(field->name, STR("host"));
        if (is_one_of(field->name, ours, COUNT_OF(ours)))
            return fail(err, STATUS_INVALID_ARGUMENT, "header '%.*s' is the signature's to add",
                        STR_ARGS(field->name));
        if (field->name.size == 0 || has_control(field->name) || has_control(field->value))
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "header '%.*s' has a line break or control character",
                        STR_ARGS(field->name));
    }
    if (!host) return fail(err, STATUS_INVALID_ARGUMENT, "a request without header 'Host'");
    return STATUS_OK;
}

/* --- the names that are signed ---------------------------------------------------------------- */

static bool is_signed(struct str name)
{
    static const char *const never[] = {"expect", "user-agent", "connection", "transfer-encoding",
                                        "x-amzn-trace-id"};
    return !is_one_of(name, never, COUNT_OF(never));
}

static int compare_names(const void *left, const void *right)
{
    const struct str *a = left, *b = right;
    return str_compare(*a, *b);
}

static struct str lower(struct buffer *text, struct str name)
{
    size_t start = text->size;
    for (size_t i = 0; i < name.size; i++) {
        char byte = name.data[i];
        buffer_add_byte(text, byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte);
    }
    return str_from(buffer_view(text), start);
}

/* "host;x-amz-date": in small letters, sorted, each once. */
static enum status list_names(const struct sigv4_request *request, struct buffer *out,
                              struct error *err)
{
    struct str names[SIGNER_SIGNED_MAX];
    struct buffer text CLEANUP(buffer_clear);
    size_t count = 0, size = 0;
    for (size_t i = 0; i < request->field_count; i++) size += request->fields[i].name.size;
    buffer_init(&text, NAMES_SIZE_MAX);
    /* All of it at once: the views stay where they are. */
    if (!buffer_reserve(&text, size))
        return fail(err, STATUS_INVALID_ARGUMENT, "the names of the headers are longer than %d",
                    NAMES_SIZE_MAX);
    for (size_t i = 0; i < request->field_count; i++)
        if (is_signed(request->fields[i].name))
            names[count++] = lower(&text, request->fields[i].name);
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && str_equal(names[i], names[i - 1])) continue;
        if (i > 0) buffer_add_byte(out, ';');
        buffer_add(out, names[i]);
    }
    if (buffer_failed(out))
        return fail(err, STATUS_INVALID_ARGUMENT, "the names of the headers are longer than %d",
                    NAMES_SIZE_MAX);
    return STATUS_OK;
}

static enum status sign_names(const struct signer *signer, const struct sigv4_request *request,
                              struct str names, const char *date, char signature[SIGV4_HEX_SIZE],
                              struct error *err)
{
    struct buffer canonical CLEANUP(buffer_clear);
    struct sigv4_authorization scope = scope_of(signer, date);
    buffer_init(&canonical, SIGV4_CANONICAL_MAX);
    TRY(sigv4_canonical(request, names, &canonical, err));
    sigv4_sign(buffer_view(&canonical), &scope, str_of(date), signer->secret, signature);
    return STATUS_OK;
}

/* --- in headers ------------------------------------------------------------------------------- */

static void add_scope(struct buffer *out, const struct signer *signer, const char *date)
{
    buffer_add_format(out, "%.*s/%.8s/%.*s/%.*s/aws4_request", STR_ARGS(signer->key_id), date,
                      STR_ARGS(signer->region), STR_ARGS(signer->service));
}

static enum status add_field(struct signer_fields *add, struct str name, struct str value,
                             struct arena *arena, struct error *err)
{
    struct str copy = arena_try_copy(arena, value);
    if (!copy.data) return fail(err, STATUS_EXHAUSTED, "no room for header '%s'", name.data);
    assert(add->count < SIGNER_FIELDS_MAX);
    add->fields[add->count++] = (struct sigv4_field){name, copy};
    return STATUS_OK;
}

static enum status add_digest_field(struct signer_fields *add, const struct sigv4_request *request,
                                    struct arena *arena, struct error *err)
{
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_HEX_SIZE];
    struct str payload = request->payload;
    if (!payload.data) {
        sha256_of(request->body, digest);
        sha256_hex(digest, text);
        payload = str_of(text);
    }
    return add_field(add, STR("X-Amz-Content-Sha256"), payload, arena, err);
}

static enum status add_authorization(const struct signer *signer, struct str names,
                                     const char *date, const char *signature, struct buffer *out,
                                     struct error *err)
{
    buffer_add_text(out, ALGORITHM " Credential=");
    add_scope(out, signer, date);
    buffer_add_format(out, ", SignedHeaders=%.*s, Signature=%s", STR_ARGS(names), signature);
    if (buffer_failed(out))
        return fail(err, STATUS_INVALID_ARGUMENT, "the header 'Authorization' is too long");
    return STATUS_OK;
}

/* The request with the headers that were added, which are signed as well. */
static enum status sign_all(const struct signer *signer, const struct sigv4_request *request,
                            const char *date, const struct signer_fields *add,
                            struct buffer *authorization, struct error *err)
{
    struct sigv4_field fields[SIGNER_SIGNED_MAX];
    struct sigv4_request whole = *request;
    struct buffer names CLEANUP(buffer_clear);
    char signature[SIGV4_HEX_SIZE];
    buffer_init(&names, NAMES_SIZE_MAX);
    for (size_t i = 0; i < request->field_count; i++) fields[i] = request->fields[i];
    for (size_t i = 0; i < add->count; i++) fields[request->field_count + i] = add->fields[i];
    whole.fields = fields;
    whole.field_count += add->count;
    TRY(list_names(&whole, &names, err));
    TRY(sign_names(signer, &whole, buffer_view(&names), date, signature, err));
    return add_authorization(signer, buffer_view(&names), date, signature, authorization, err);
}

enum status signer_sign(const struct signer *signer, const struct sigv4_request *request,
                        struct arena *arena, struct signer_fields *ret_add, struct error *err)
{
    struct signer_fields add = {.count = 0};
    struct buffer authorization CLEANUP(buffer_clear);
    char date[SIGV4_DATE_SIZE + 1];
    buffer_init(&authorization, 2 * NAMES_SIZE_MAX);
    TRY(check_signer(signer, err));
    TRY(check_fields(request, err));
    print_date(signer->now_s, date);
    TRY(add_field(&add, STR("X-Amz-Date"), str_of(date), arena, err));
    if (signer->token.size > 0)
        TRY(add_field(&add, STR("X-Amz-Security-Token"), signer->token, arena, err));
    if (signer->content_digest) TRY(add_digest_field(&add, request, arena, err));
    TRY(sign_all(signer, request, date, &add, &authorization, err));
    TRY(add_field(&add, STR("Authorization"), buffer_view(&authorization), arena, err));
    *ret_add = add;
    return STATUS_OK;
}

/* --- in the query ----------------------------------------------------------------------------- */

static void add_parameter(struct buffer *out, const char *name, struct str value)
{
    if (out->size > 0) buffer_add_byte(out, '&');
    buffer_add_text(out, name);
    buffer_add_byte(out, '=');
    sigv4_encode(out, value);
}

static void add_parameters(struct buffer *out, const struct signer *signer, const char *date,
                           uint64_t expires_s, struct str names)
{
    struct buffer text CLEANUP(buffer_clear);
    buffer_init(&text, NAMES_SIZE_MAX);
    add_parameter(out, "X-Amz-Algorithm", STR(ALGORITHM));
    add_scope(&text, signer, date);
    add_parameter(out, "X-Amz-Credential", buffer_view(&text));
    add_parameter(out, "X-Amz-Date", str_of(date));
    buffer_reset(&text);
    buffer_add_u64(&text, expires_s);
    add_parameter(out, "X-Amz-Expires", buffer_view(&text));
    if (signer->token.size > 0) add_parameter(out, "X-Amz-Security-Token", signer->token);
    add_parameter(out, "X-Amz-SignedHeaders", names);
}

enum status signer_presign(const struct signer *signer, const struct sigv4_request *request,
                           uint64_t expires_s, struct arena *arena, struct str *ret_query,
                           struct error *err)
{
    struct sigv4_request whole = *request;
    struct buffer query CLEANUP(buffer_clear), names CLEANUP(buffer_clear);
    char date[SIGV4_DATE_SIZE + 1], signature[SIGV4_HEX_SIZE];
    buffer_init(&query, QUERY_SIZE_MAX);
    buffer_init(&names, NAMES_SIZE_MAX);
    if (expires_s == 0 || expires_s > SIGNER_EXPIRES_S_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "a URL is signed for 1 to %d s",
                    SIGNER_EXPIRES_S_MAX);
    TRY(check_signer(signer, err));
    TRY(check_fields(request, err));
    print_date(signer->now_s, date);
    TRY(list_names(request, &names, err));
    buffer_add(&query, request->query);
    add_parameters(&query, signer, date, expires_s, buffer_view(&names));
    whole.query = buffer_view(&query);
    TRY(sign_names(signer, &whole, buffer_view(&names), date, signature, err));
    add_parameter(&query, "X-Amz-Signature", str_of(signature));
    if (buffer_failed(&query))
        return fail(err, STATUS_INVALID_ARGUMENT, "a signed query longer than %d bytes",
                    QUERY_SIZE_MAX);
    struct str copy = arena_try_copy(arena, buffer_view(&query));
    if (!copy.data) return fail(err, STATUS_EXHAUSTED, "no room for a signed query");
    *ret_query = copy;
    return STATUS_OK;
}
