/*
 * One request header. llhttp finds its parts; here every byte between them is accounted for, so
 * that what we understand is the only thing that anybody could: no bare line ends, no folded lines,
 * no space before a colon, one Host, one length. (RFC 9112, sections 2.2, 3.2, 5, 6.)
 */
#include "net/http_private.h"

enum { CONTENT_LENGTH_DIGITS_MAX = 18 };

#define REJECT(status, message) ((struct rejection){(status), (message)})
#define ACCEPT ((struct rejection){0, NULL})

static const struct http_header_info {
    struct str name;
    bool once;
} header_infos[HTTP_HEADER_COUNT] = {
#define X(name, text, once) {{text, sizeof(text) - 1}, once},
    HTTP_HEADER_TABLE(X)
#undef X
};

/* Setting bit 5 makes a capital small and leaves digits and '-' alone; names are tokens, so that
 * nothing else can become a letter of ours. */
static inline bool name_equal(const char *name, const char *wanted, size_t size)
{
    const uint64_t bits = UINT64_C(0x2020202020202020);
    uint32_t first, last, wanted_first, wanted_last;
    uint64_t a, b;
    if (size < 8) {
        assert(size >= 4);
        memcpy(&first, name, 4);
        memcpy(&last, name + size - 4, 4);
        memcpy(&wanted_first, wanted, 4);
        memcpy(&wanted_last, wanted + size - 4, 4);
        return (first | (uint32_t)bits) == wanted_first && (last | (uint32_t)bits) == wanted_last;
    }
    for (size_t i = 0;; i = MIN(i + 8, size - 8)) { /* the last eight overlap those before them */
        memcpy(&a, name + i, 8);
        memcpy(&b, wanted + i, 8);
        if ((a | bits) != b) return false;
        if (i == size - 8) return true;
    }
}

/* Names of one size stand together in the table: here is the first's index + 1, 0 if there is none.
 */
static const uint8_t first_of_size[32] = {
    [4] = HTTP_HEADER_HOST + 1,
    [6] = HTTP_HEADER_ACCEPT + 1,
    [10] = HTTP_HEADER_CONNECTION + 1,
    [11] = HTTP_HEADER_TRACEPARENT + 1,
    [12] = HTTP_HEADER_CONTENT_TYPE + 1,
    [13] = HTTP_HEADER_AUTHORIZATION + 1,
    [14] = HTTP_HEADER_CONTENT_LENGTH + 1,
    [15] = HTTP_HEADER_ACCEPT_ENCODING + 1,
    [16] = HTTP_HEADER_CONTENT_ENCODING + 1,
    [17] = HTTP_HEADER_TRANSFER_ENCODING + 1,
    [31] = HTTP_HEADER_INFERENCE_HEADER_CONTENT_LENGTH + 1,
};

enum http_header http_header_find(struct str name)
{
    if (name.size >= COUNT_OF(first_of_size) || !first_of_size[name.size]) return HTTP_HEADER_COUNT;
    uint32_t index = first_of_size[name.size] - 1U;
    for (; index < HTTP_HEADER_COUNT && header_infos[index].name.size == name.size; index++)
        if (name_equal(name.data, header_infos[index].name.data, name.size))
            return (enum http_header)index;
    return HTTP_HEADER_COUNT;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/*
 * Checks that the field stands at `line` exactly as "name:" blanks value blanks CR LF, trims its
 * value, and returns what follows; NULL if it does not.
 */
static const char *check_field(struct http_field *field, const char *line, const char *end)
{
    const char *at = line + field->name.size;
    if (field->name.data != line || field->name.size == 0 || end - at < 3 || *at++ != ':')
        return NULL;
    while (at < end && is_blank(*at)) at++;
    if (field->value.size == 0) field->value.data = at;
    if (field->value.data != at) return NULL;
    const char *value_end = at + field->value.size;
    at = value_end;
    while (at < end && is_blank(*at)) at++;
    while (value_end > field->value.data && is_blank(value_end[-1])) value_end--;
    field->value.size = (size_t)(value_end - field->value.data);
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n') return NULL;
    return at + 2;
}

static struct rejection check_fields(struct http_work *work, const char *line)
{
    const char *end = work->input + work->end;
    for (uint32_t i = 0; i < work->field_count; i++) {
        struct http_field *field = &work->fields[i];
        line = check_field(field, line, end);
        if (UNLIKELY(!line)) return REJECT(400, "a header field is not well formed");
        enum http_header header = http_header_find(field->name);
        if (header == HTTP_HEADER_COUNT) continue;
        if (!work->slots[header])
            work->slots[header] = (uint8_t)(i + 1);
        else if (header_infos[header].once)
            return REJECT(400, "a header field that may stand only once stands twice");
    }
    if (end - line < 2 || line[0] != '\r' || line[1] != '\n')
        return REJECT(400, "the header's end is not well formed");
    work->head_end = (size_t)(line + 2 - work->input);
    return ACCEPT;
}

_Static_assert(HTTP_FIELDS_MAX < UINT8_MAX, "a slot holds an index + 1");

static const struct {
    uint8_t number;
    uint8_t size;
    enum http_method method;
} methods[] = {
    {HTTP_GET, 3, HTTP_METHOD_GET},         {HTTP_HEAD, 4, HTTP_METHOD_HEAD},
    {HTTP_POST, 4, HTTP_METHOD_POST},       {HTTP_PUT, 3, HTTP_METHOD_PUT},
    {HTTP_DELETE, 6, HTTP_METHOD_DELETE},   {HTTP_PATCH, 5, HTTP_METHOD_PATCH},
    {HTTP_OPTIONS, 7, HTTP_METHOD_OPTIONS},
};

static struct rejection check_method(struct http_work *work, size_t size)
{
    uint8_t number = work->parser.method;
    work->exchange.method = HTTP_METHOD_OTHER;
    if (number == HTTP_CONNECT || number == HTTP_TRACE)
        return REJECT(501, "CONNECT and TRACE are not implemented");
    for (size_t i = 0; i < COUNT_OF(methods); i++)
        if (methods[i].number == number) {
            if (methods[i].size != size) return REJECT(400, "the request line is not well formed");
            work->exchange.method = methods[i].method;
        }
    return ACCEPT;
}

/* "GET /path HTTP/1.1" CR LF with one space at each place; sets *ret_line to what follows. */
static struct rejection check_request_line(struct http_work *work, const char **ret_line)
{
    struct http_exchange *exchange = &work->exchange;
    const char *start = work->input + work->start;
    const char *end = work->input + work->end;
    struct str target = exchange->target;
    if (!target.data || target.data - start < 2 || target.data[-1] != ' ' || target.data[-2] == ' ')
        return REJECT(400, "the request line is not well formed");
    struct rejection rejection = check_method(work, (size_t)(target.data - 1 - start));
    if (rejection.status) return rejection;
    const char *version = target.data + target.size;
    if (end - version < 11 || memcmp(version, " HTTP/", 6) != 0)
        return REJECT(400, "the request line is not well formed");
    if (version[6] != '1' || version[7] != '.' || (version[8] != '0' && version[8] != '1'))
        return REJECT(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    if (version[9] != '\r' || version[10] != '\n')
        return REJECT(400, "the request line is not well formed");
    exchange->is_http_1_0 = version[8] == '0';
    *ret_line = version + 11;
    return ACCEPT;
}

/* "http://host/path" -> "/path"; data NULL if it is not of that form. */
static struct str without_authority(struct str target)
{
    size_t scheme = 0;
    if (target.size >= 7 && name_equal(target.data, "http://", 4)) scheme = 7;
    if (target.size >= 8 && name_equal(target.data, "https://", 5)) scheme = 8;
    if (!scheme || memcmp(target.data + scheme - 3, "://", 3) != 0) return (struct str){NULL, 0};
    struct str rest = str_from(target, scheme);
    size_t end = 0;
    while (end < rest.size && rest.data[end] != '/' && rest.data[end] != '?') end++;
    return end == rest.size ? STR("/") : str_from(rest, end);
}

static struct rejection split_target(struct http_exchange *exchange)
{
    struct str target = exchange->target;
    bool star = str_equal(target, STR("*")) && exchange->method == HTTP_METHOD_OPTIONS;
    if (target.data[0] != '/' && !star) target = without_authority(target);
    if (!target.data) return REJECT(400, "the request's target is neither a path nor a URL");
    const char *question = memchr(target.data, '?', target.size);
    exchange->query = STR_EMPTY;
    exchange->path = target;
    if (question) {
        exchange->path.size = (size_t)(question - target.data);
        exchange->query = str_from(target, exchange->path.size + 1);
    }
    if (exchange->path.size == 0) exchange->path = STR("/");
    if (memchr(target.data, '#', target.size))
        return REJECT(400, "the request's target has a fragment");
    return ACCEPT;
}

/* Characters of uri-host and port: none that could start a path, user or list of hosts. */
static bool host_is_valid(struct str host)
{
    static const bool wrong[128] = {
        ['/'] = true, ['\\'] = true, ['@'] = true, ['?'] = true, ['#'] = true,
        [','] = true, ['"'] = true,  ['<'] = true, ['>'] = true, ['^'] = true,
        ['`'] = true, ['{'] = true,  ['|'] = true, ['}'] = true, [127] = true,
    };
    for (size_t i = 0; i < host.size; i++) {
        unsigned char byte = (unsigned char)host.data[i];
        if (byte <= ' ' || byte > 127 || wrong[byte]) return false;
    }
    return true;
}

static struct rejection check_host(const struct http_exchange *exchange)
{
    struct str host = http_exchange_header(exchange, HTTP_HEADER_HOST);
    if (!host.data && !exchange->is_http_1_0)
        return REJECT(400, "an HTTP/1.1 request needs a Host field");
    if (!host_is_valid(host)) return REJECT(400, "the Host field is not a host");
    return ACCEPT;
}

static bool is_number(struct str text)
{
    if (text.size == 0 || text.size > CONTENT_LENGTH_DIGITS_MAX) return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9') return false;
    return true;
}

/* How long the body is, and that there are no two opinions about it. */
static struct rejection check_length(struct http_work *work)
{
    const struct http_exchange *exchange = &work->exchange;
    struct str length = http_exchange_header(exchange, HTTP_HEADER_CONTENT_LENGTH);
    struct str coding = http_exchange_header(exchange, HTTP_HEADER_TRANSFER_ENCODING);
    work->chunked = coding.data != NULL;
    if (coding.data) {
        if (length.data)
            return REJECT(400, "Content-Length and Transfer-Encoding exclude each other");
        if (exchange->is_http_1_0) return REJECT(400, "HTTP/1.0 has no Transfer-Encoding");
        if (!str_equal_ignoring_case(coding, STR("chunked")))
            return REJECT(501, "of the transfer codings only 'chunked' is implemented");
    }
    if (length.data && !is_number(length)) return REJECT(400, "the Content-Length is not a number");
    work->content_length = length.data ? work->parser.content_length : 0;
    return ACCEPT;
}

static struct rejection check_expect(struct http_work *work)
{
    struct str expect = http_exchange_header(&work->exchange, HTTP_HEADER_EXPECT);
    if (!expect.data || work->exchange.is_http_1_0) return ACCEPT;
    if (!str_equal_ignoring_case(expect, STR("100-continue")))
        return REJECT(417, "the only expectation that can be met is '100-continue'");
    work->expects_continue = true;
    return ACCEPT;
}

struct rejection head_check(struct http_work *work)
{
    const char *line = NULL;
    if (work->folded) return REJECT(400, "a header field goes on in a second line");
    struct rejection rejection = check_request_line(work, &line);
    if (!rejection.status) rejection = check_fields(work, line);
    if (!rejection.status) rejection = split_target(&work->exchange);
    if (!rejection.status) rejection = check_host(&work->exchange);
    if (!rejection.status) rejection = check_length(work);
    if (!rejection.status) rejection = check_expect(work);
    bool close = work->parser.flags & F_CONNECTION_CLOSE;
    bool keep = work->parser.flags & F_CONNECTION_KEEP_ALIVE;
    work->keep_alive = work->exchange.is_http_1_0 ? keep && !close : !close;
    return rejection;
}

/* A letter may begin a method that is not known. Only the first byte decides: the answer must not
 * depend on how many had arrived when the parser gave up. */
static bool starts_with_letter(const struct http_work *work)
{
    char first = work->input[work->start] | 0x20;
    return first >= 'a' && first <= 'z';
}

/* Newer parsers call the version invalid too where a line feed alone follows a valid one. */
static bool is_spoken(const struct http_work *work)
{
    return work->parser.http_major == 1 && work->parser.http_minor <= 1;
}

struct rejection head_explain(const struct http_work *work, llhttp_errno_t error)
{
    if (work->too_many_fields) return REJECT(431, "the request has too many header fields");
    if (error == HPE_PAUSED_H2_UPGRADE || (error == HPE_INVALID_VERSION && !is_spoken(work)))
        return REJECT(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    if (error == HPE_INVALID_METHOD && starts_with_letter(work))
        return REJECT(501, "the request's method is not known");
    if (error == HPE_INVALID_URL) return REJECT(400, "the request's target has invalid characters");
    if (error == HPE_UNEXPECTED_CONTENT_LENGTH || error == HPE_INVALID_CONTENT_LENGTH ||
        error == HPE_INVALID_TRANSFER_ENCODING)
        return REJECT(400, "the body's length is given twice or wrongly");
    return REJECT(400, "the request is not well formed HTTP");
}

/* --- what the handler asks -------------------------------------------------------------------- */

struct str http_exchange_header(const struct http_exchange *exchange, enum http_header header)
{
    return header_value(const_work_of(exchange), header);
}

struct str http_exchange_header_find(const struct http_exchange *exchange, struct str name)
{
    const struct http_work *work = const_work_of(exchange);
    for (uint32_t i = 0; i < work->field_count; i++) {
        const struct http_field *field = &work->fields[i];
        if (str_equal_ignoring_case(field->name, name)) return field->value;
    }
    return (struct str){NULL, 0};
}

size_t http_exchange_field_count(const struct http_exchange *exchange)
{
    return const_work_of(exchange)->field_count;
}

struct http_field http_exchange_field(const struct http_exchange *exchange, size_t index)
{
    const struct http_work *work = const_work_of(exchange);
    assert(index < work->field_count);
    return work->fields[index];
}
