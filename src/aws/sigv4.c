/* Canonical requests, and the chain of HMACs. */
#include "aws/sigv4.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

enum {
    SCOPE_SIZE_MAX = 256,
    PATH_SEGMENTS_MAX = 128,
    KEY_PREFIX_SIZE = 4, /* "AWS4" */
};

/* --- the header ------------------------------------------------------------------------------- */

static enum status incomplete(struct error *err, const char *what)
{
    return fail(err, STATUS_INVALID_ARGUMENT, "Authorization header requires %s.", what);
}

/* KEY/DATE/REGION/SERVICE/aws4_request; the key's id has no '/' at AWS, nor here. */
static bool read_credential(struct str text, struct sigv4_authorization *authorization)
{
    struct str rest = text;
    authorization->key_id = str_cut(&rest, '/');
    authorization->date = rest.data ? str_cut(&rest, '/') : STR_EMPTY;
    authorization->region = rest.data ? str_cut(&rest, '/') : STR_EMPTY;
    authorization->service = rest.data ? str_cut(&rest, '/') : STR_EMPTY;
    return rest.data && str_equal(rest, STR("aws4_request")) && authorization->key_id.size > 0 &&
           authorization->date.size == 8 && authorization->region.size > 0 &&
           authorization->service.size > 0;
}

enum status sigv4_read(struct str header, struct sigv4_authorization *ret_authorization,
                       struct error *err)
{
    struct sigv4_authorization read = {.signed_headers = STR_EMPTY, .signature = STR_EMPTY};
    struct str rest = str_trim(header);
    bool credential = false;
    if (!str_starts_with(rest, STR(ALGORITHM " ")))
        return incomplete(err, "the algorithm '" ALGORITHM "'");
    rest = str_from(rest, sizeof ALGORITHM);
    while (rest.data) {
        struct str value = str_trim(str_cut(&rest, ','));
        struct str name = str_cut(&value, '=');
        if (!value.data) continue;
        if (str_equal(name, STR("Credential")))
            credential = read_credential(value, &read);
        else if (str_equal(name, STR("SignedHeaders")))
            read.signed_headers = value;
        else if (str_equal(name, STR("Signature")))
            read.signature = value;
    }
    if (!credential) return incomplete(err, "'Credential' parameter");
    if (read.signed_headers.size == 0) return incomplete(err, "'SignedHeaders' parameter");
    if (read.signature.size == 0) return incomplete(err, "'Signature' parameter");
    *ret_authorization = read;
    return STATUS_OK;
}

/* --- encoding --------------------------------------------------------------------------------- */

static bool is_unreserved(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

static void add_encoded_byte(struct buffer *out, char byte)
{
    static const char digits[] = "0123456789ABCDEF";
    if (is_unreserved(byte)) {
        buffer_add_byte(out, byte);
        return;
    }
    const char text[] = {'%', digits[(unsigned char)byte >> 4], digits[(unsigned char)byte & 15]};
    buffer_add(out, (struct str){text, sizeof text});
}

void sigv4_encode(struct buffer *out, struct str text)
{
    for (size_t i = 0; i < text.size; i++) add_encoded_byte(out, text.data[i]);
}

static int hex_value(char byte)
{
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
    return -1;
}

/* Encoded once, whatever it was before: %7e and ~ become one thing. */
static void add_recoded(struct buffer *out, struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        bool escape = text.data[i] == '%' && i + 2 < text.size &&
                      hex_value(text.data[i + 1]) >= 0 && hex_value(text.data[i + 2]) >= 0;
        if (!escape) {
            add_encoded_byte(out, text.data[i]);
            continue;
        }
        add_encoded_byte(out,
                         (char)(hex_value(text.data[i + 1]) * 16 + hex_value(text.data[i + 2])));
        i += 2;
    }
}

/* --- the canonical request -------------------------------------------------------------------- */

/* Each segment as it is, encoded once. */
static void add_path_as_sent(struct buffer *out, struct str path)
{
    struct str rest = path.size > 0 ? path : STR("/");
    add_recoded(out, str_cut(&rest, '/'));
    while (rest.data) {
        buffer_add_byte(out, '/');
        add_recoded(out, str_cut(&rest, '/'));
    }
    buffer_add_byte(out, '\n');
}

/* Without empty segments and dots (RFC 3986), each segment encoded. */
static enum status add_path_normalized(struct buffer *out, struct str path, struct error *err)
{
    struct str segments[PATH_SEGMENTS_MAX], rest = path;
    size_t count = 0;
    bool slash = path.size == 0 || path.data[path.size - 1] == '/';
    while (rest.data) {
        struct str segment = str_cut(&rest, '/');
        bool up = str_equal(segment, STR(".."));
        if (up && count > 0) count--;
        slash = !rest.data ? segment.size == 0 || up || str_equal(segment, STR(".")) : slash;
        if (segment.size == 0 || up || str_equal(segment, STR("."))) continue;
        if (count == PATH_SEGMENTS_MAX)
            return fail(err, STATUS_INVALID_ARGUMENT, "the path has more than %d segments",
                        PATH_SEGMENTS_MAX);
        segments[count++] = segment;
    }
    for (size_t i = 0; i < count; i++) {
        buffer_add_byte(out, '/');
        sigv4_encode(out, segments[i]);
    }
    if (slash || count == 0) buffer_add_byte(out, '/');
    buffer_add_byte(out, '\n');
    return STATUS_OK;
}

struct parameter {
    struct str name;
    struct str value;
};

static int compare_parameters(const void *left, const void *right)
{
    const struct parameter *a = left, *b = right;
    int order = str_compare(a->name, b->name);
    return order != 0 ? order : str_compare(a->value, b->value);
}

/* Where the recoded parts of one parameter lie in `text`; the buffer may move. */
struct span {
    size_t name, value, end;
};

static enum status recode_query(struct str query, struct buffer *text, struct span *spans,
                                size_t *ret_count, struct error *err)
{
    struct str rest = query;
    size_t count = 0;
    while (rest.data) {
        struct str value = str_cut(&rest, '&');
        if (value.size == 0) continue;
        if (count == SIGV4_QUERY_PARTS_MAX)
            return fail(err, STATUS_INVALID_ARGUMENT, "the query has more than %d parameters",
                        SIGV4_QUERY_PARTS_MAX);
        struct str name = str_cut(&value, '=');
        spans[count].name = text->size;
        add_recoded(text, name);
        spans[count].value = text->size;
        if (value.data) add_recoded(text, value);
        spans[count++].end = text->size;
    }
    *ret_count = count;
    return STATUS_OK;
}

static enum status add_query(struct buffer *out, struct str query, struct error *err)
{
    struct buffer text CLEANUP(buffer_clear);
    struct span spans[SIGV4_QUERY_PARTS_MAX];
    struct parameter parameters[SIGV4_QUERY_PARTS_MAX];
    size_t count;
    buffer_init(&text, SIGV4_CANONICAL_MAX);
    TRY(recode_query(query, &text, spans, &count, err));
    if (buffer_failed(&text)) return fail(err, STATUS_INVALID_ARGUMENT, "the query is too long");
    for (size_t i = 0; i < count; i++) {
        const char *data = buffer_view(&text).data;
        parameters[i].name = (struct str){data + spans[i].name, spans[i].value - spans[i].name};
        parameters[i].value = (struct str){data + spans[i].value, spans[i].end - spans[i].value};
    }
    qsort(parameters, count, sizeof *parameters, compare_parameters);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) buffer_add_byte(out, '&');
        buffer_add(out, parameters[i].name);
        buffer_add_byte(out, '=');
        buffer_add(out, parameters[i].value);
    }
    buffer_add_byte(out, '\n');
    return STATUS_OK;
}

/* Trimmed, runs of white space as one space. */
static void add_value(struct buffer *out, struct str value)
{
    bool space = false;
    value = str_trim(value);
    for (size_t i = 0; i < value.size; i++) {
        char byte = value.data[i];
        if (byte == ' ' || byte == '\t') {
            space = true;
            continue;
        }
        if (space) buffer_add_byte(out, ' ');
        space = false;
        buffer_add_byte(out, byte);
    }
}

static bool add_header(struct buffer *out, const struct sigv4_request *request, struct str name)
{
    bool found = false;
    for (size_t i = 0; i < request->field_count; i++) {
        if (!str_equal_ignoring_case(request->fields[i].name, name)) continue;
        if (found)
            buffer_add_byte(out, ',');
        else
            buffer_add(out, name), buffer_add_byte(out, ':');
        found = true;
        add_value(out, request->fields[i].value);
    }
    if (found) buffer_add_byte(out, '\n');
    return found;
}

static void add_digest(struct buffer *out, struct str bytes)
{
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_HEX_SIZE];
    sha256_of(bytes, digest);
    sha256_hex(digest, text);
    buffer_add(out, str_of(text));
}

enum status sigv4_canonical(const struct sigv4_request *request, struct str signed_headers,
                            struct buffer *out, struct error *err)
{
    struct str rest = signed_headers;
    buffer_add(out, request->method);
    buffer_add_byte(out, '\n');
    if (request->path_form == SIGV4_PATH_AS_SENT)
        add_path_as_sent(out, request->path);
    else
        TRY(add_path_normalized(out, request->path, err));
    TRY(add_query(out, request->query, err));
    while (rest.data) {
        struct str name = str_cut(&rest, ';');
        if (!add_header(out, request, name))
            return fail(err, STATUS_INVALID_ARGUMENT, "header '%.*s' is signed and was not sent",
                        (int)MIN(name.size, (size_t)64), name.data);
    }
    buffer_add_byte(out, '\n');
    buffer_add(out, signed_headers);
    buffer_add_byte(out, '\n');
    if (request->payload.data)
        buffer_add(out, request->payload);
    else
        add_digest(out, request->body);
    if (buffer_failed(out))
        return fail(err, STATUS_INVALID_ARGUMENT, "the request's head is too long to be signed");
    return STATUS_OK;
}

/* --- signing ---------------------------------------------------------------------------------- */

static struct str digest_view(const uint8_t digest[SHA256_SIZE])
{
    return (struct str){(const char *)digest, SHA256_SIZE};
}

/* kSigning = HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), service), "aws4_request") */
static void derive_key(const struct sigv4_authorization *scope, struct str secret,
                       uint8_t key[SHA256_SIZE])
{
    char start[KEY_PREFIX_SIZE + SIGV4_SECRET_SIZE_MAX];
    size_t size = MIN(secret.size, (size_t)SIGV4_SECRET_SIZE_MAX);
    memcpy(start, "AWS4", KEY_PREFIX_SIZE);
    memcpy(start + KEY_PREFIX_SIZE, secret.data, size);
    hmac_sha256((struct str){start, KEY_PREFIX_SIZE + size}, scope->date, key);
    const struct str parts[] = {scope->region, scope->service, STR("aws4_request")};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        uint8_t next[SHA256_SIZE];
        hmac_sha256(digest_view(key), parts[i], next);
        memcpy(key, next, SHA256_SIZE);
    }
}

void sigv4_sign(struct str canonical, const struct sigv4_authorization *scope, struct str date,
                struct str secret, char ret_signature[SIGV4_HEX_SIZE])
{
    struct buffer text CLEANUP(buffer_clear);
    uint8_t key[SHA256_SIZE], signature[SHA256_SIZE];
    buffer_init(&text, SIGV4_CANONICAL_MAX);
    buffer_add(&text, STR(ALGORITHM "\n"));
    buffer_add(&text, date);
    buffer_add_format(&text, "\n%.*s/%.*s/%.*s/aws4_request\n", STR_ARGS(scope->date),
                      STR_ARGS(scope->region), STR_ARGS(scope->service));
    add_digest(&text, canonical);
    derive_key(scope, secret, key);
    hmac_sha256(digest_view(key), buffer_view(&text), signature);
    sha256_hex(signature, ret_signature);
}

/* --- verifying -------------------------------------------------------------------------------- */

static bool read_number(struct str text, size_t start, size_t size, unsigned *ret_value)
{
    unsigned value = 0;
    for (size_t i = start; i < start + size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        value = value * 10 + (unsigned)(text.data[i] - '0');
    }
    *ret_value = value;
    return true;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar; March is the year's first month, so
 * that the leap day is its last. */
static uint64_t days_of(unsigned year, unsigned month, unsigned day)
{
    uint64_t shifted = month <= 2 ? year - 1u : year;
    uint64_t era = shifted / 400, year_of_era = shifted % 400;
    uint64_t day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    uint64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

bool sigv4_read_date(struct str text, uint64_t *ret_seconds)
{
    unsigned year, month, day, hour, minute, second;
    if (text.size != SIGV4_DATE_SIZE || text.data[8] != 'T' || text.data[15] != 'Z') return false;
    if (!read_number(text, 0, 4, &year) || !read_number(text, 4, 2, &month) ||
        !read_number(text, 6, 2, &day) || !read_number(text, 9, 2, &hour) ||
        !read_number(text, 11, 2, &minute) || !read_number(text, 13, 2, &second))
        return false;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
        second > 60)
        return false;
    *ret_seconds = days_of(year, month, day) * 86400 + hour * 3600u + minute * 60u + second;
    return true;
}

static bool is_signed(struct str signed_headers, struct str name)
{
    struct str rest = signed_headers;
    while (rest.data)
        if (str_equal(str_cut(&rest, ';'), name)) return true;
    return false;
}

static struct str find_field(const struct sigv4_request *request, struct str name)
{
    for (size_t i = 0; i < request->field_count; i++)
        if (str_equal_ignoring_case(request->fields[i].name, name)) return request->fields[i].value;
    return (struct str){NULL, 0};
}

/* A header that is not signed can be another's: those that say what is asked, and of whom. */
static enum status check_signed(const struct sigv4_request *request, struct str signed_headers,
                                struct error *err)
{
    const struct str required[] = {STR("host"), STR("x-amz-date"), STR("x-amz-target")};
    for (size_t i = 0; i < COUNT_OF(required); i++)
        if (find_field(request, required[i]).data && !is_signed(signed_headers, required[i]))
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "'%.*s' must be a 'SignedHeader' in the AWS Authorization.",
                        STR_ARGS(required[i]));
    return STATUS_OK;
}

static enum status check_date(struct str date, const struct sigv4_authorization *authorization,
                              uint64_t now_s, struct error *err)
{
    uint64_t date_s;
    if (!date.data || !sigv4_read_date(date, &date_s))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "Authorization header requires existence of an 'X-Amz-Date' header.");
    if (!str_equal((struct str){date.data, 8}, authorization->date))
        return fail(err, STATUS_PERMISSION_DENIED,
                    "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of "
                    "date from HTTP: '%.*s' != '%.8s', from '%.*s'.",
                    STR_ARGS(authorization->date), date.data, STR_ARGS(date));
    if (date_s + SIGV4_SKEW_S_MAX < now_s)
        return fail(err, STATUS_PERMISSION_DENIED,
                    "Signature expired: %.*s is earlier than 15 minutes before this server's time",
                    STR_ARGS(date));
    if (date_s > now_s + SIGV4_SKEW_S_MAX)
        return fail(err, STATUS_PERMISSION_DENIED,
                    "Signature not yet current: %.*s is later than 15 minutes after this server's "
                    "time",
                    STR_ARGS(date));
    return STATUS_OK;
}

/* In a time that does not tell where they differ. */
static bool equal_in_constant_time(struct str a, struct str b)
{
    unsigned difference = 0;
    if (a.size != b.size) return false;
    for (size_t i = 0; i < a.size; i++)
        difference |= (unsigned)(unsigned char)a.data[i] ^ (unsigned)(unsigned char)b.data[i];
    return difference == 0;
}

enum status sigv4_verify(const struct sigv4_request *request,
                         const struct sigv4_authorization *authorization, struct str secret,
                         uint64_t now_s, struct error *err)
{
    struct str date = find_field(request, STR("x-amz-date"));
    struct buffer canonical CLEANUP(buffer_clear);
    char signature[SIGV4_HEX_SIZE];
    buffer_init(&canonical, SIGV4_CANONICAL_MAX);
    TRY(check_signed(request, authorization->signed_headers, err));
    TRY(check_date(date, authorization, now_s, err));
    TRY(sigv4_canonical(request, authorization->signed_headers, &canonical, err));
    sigv4_sign(buffer_view(&canonical), authorization, date, secret, signature);
    if (!equal_in_constant_time(str_of(signature), authorization->signature))
        return fail(err, STATUS_PERMISSION_DENIED,
                    "The request signature we calculated does not match the signature you "
                    "provided. Check your AWS Secret Access Key and signing method. Consult the "
                    "service documentation for details.");
    return STATUS_OK;
}
