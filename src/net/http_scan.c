/*
 * The usual header, read in one pass: all of it has arrived, and there is nothing unusual in it.
 * Whatever this does not know at once it leaves to llhttp, which then starts at the same byte, so
 * that this file decides what is fast and never what is right. A request cut into pieces always
 * goes through llhttp: the tests compare the two on everything they send.
 */
#include "net/http_private.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* What a byte may be part of. */
enum {
    TOKEN = 1,   /* a name (tchar, RFC 9110, 5.6.2) */
    TARGET = 2,  /* a path, or a query but for its question marks */
    HOST = 4,    /* a Host field's value */
    VISIBLE = 8, /* any other value: ASCII from the space up */
    WIDTH = 16,  /* bytes that are looked at together */
    CONTENT_LENGTH_DIGITS_MAX = 18,
};

// clang-format off
static const uint8_t kinds[256] = {
    // 0   1   2   3   4   5   6   7   8   9   A   B   C   D   E   F
       0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0, // 0x00
       0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0, // 0x10
       8, 15,  8,  9, 15, 15, 15, 15, 14, 14, 15, 15, 10, 15, 15, 10, // 0x20
      15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 14, 14,  8, 14,  8,  8, // 0x30
      10, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, // 0x40
      15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 12,  8, 12,  9, 15, // 0x50
       9, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, // 0x60
      15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,  8,  9,  8, 15,  0, // 0x70
};
// clang-format on

static const struct {
    char text[8];
    uint8_t size;
    enum http_method method;
} methods[] = {
    {"POST ", 5, HTTP_METHOD_POST},
    {"GET ", 4, HTTP_METHOD_GET},
    {"HEAD ", 5, HTTP_METHOD_HEAD},
};

#ifdef __SSE2__

static inline __m128i is_between(__m128i bytes, char low, char high)
{
    __m128i above = _mm_sub_epi8(bytes, _mm_set1_epi8(low));
    return _mm_cmpeq_epi8(_mm_subs_epu8(above, _mm_set1_epi8((char)(high - low))),
                          _mm_setzero_si128());
}

static inline __m128i is_byte(__m128i bytes, char byte)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte));
}

/* Which bytes are of the kind: all of VISIBLE, of the others the letters, digits and "-._", and
 * ":/" where they may stand. */
static ALWAYS_INLINE __m128i usual_bytes(__m128i bytes, uint8_t kind)
{
    if (kind == VISIBLE)
        return _mm_andnot_si128(is_byte(bytes, 127), _mm_cmpgt_epi8(bytes, _mm_set1_epi8(31)));
    __m128i small = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    __m128i letters = _mm_or_si128(is_between(small, 'a', 'z'), is_byte(bytes, '_'));
    __m128i rest = is_between(bytes, '-', kind == TOKEN ? '9' : ':'); /* from - to : come -./0-9: */
    if (kind != TARGET) rest = _mm_andnot_si128(is_byte(bytes, '/'), rest);
    return _mm_or_si128(letters, rest);
}

/* How many of the next WIDTH bytes are of the kind, from the first on; at most a few too low. */
static ALWAYS_INLINE unsigned count_usual(const char *at, uint8_t kind)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    unsigned usual = (unsigned)_mm_movemask_epi8(usual_bytes(bytes, kind));
    return (unsigned)__builtin_ctz(~usual);
}

#else

static ALWAYS_INLINE unsigned count_usual(const char *at, uint8_t kind)
{
    unsigned count = 0;
    while (count < WIDTH && (kinds[(unsigned char)at[count]] & kind)) count++;
    return count;
}

#endif

/* The first byte that is not of the kind; `end` if all are. */
static ALWAYS_INLINE const char *skip(const char *at, const char *end, uint8_t kind)
{
    for (;;) {
        while (end - at >= WIDTH) {
            unsigned count = count_usual(at, kind);
            at += count;
            if (count == WIDTH) continue;
            if (kind == VISIBLE) return at; /* there is no other than the usual */
            break;
        }
        if (at == end || !(kinds[(unsigned char)*at] & kind)) return at;
        at++;
    }
}

/* The path and query that start here. */
static inline const char *scan_target(struct http_exchange *exchange, const char *at,
                                      const char *end)
{
    const char *start = at;
    at = skip(at, end, TARGET);
    exchange->path = (struct str){start, (size_t)(at - start)};
    exchange->query = STR_EMPTY;
    if (UNLIKELY(at < end && *at == '?')) {
        const char *query = at + 1;
        while (at < end && *at == '?') at = skip(at + 1, end, TARGET);
        exchange->query = (struct str){query, (size_t)(at - query)};
    }
    exchange->target = (struct str){start, (size_t)(at - start)};
    return at;
}

/* "POST /path HTTP/1.1" CR LF; returns what follows, NULL if it is not that. */
static inline const char *scan_request_line(struct http_exchange *exchange, const char *at,
                                            const char *end)
{
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        if (memcmp(at, methods[i].text, 4) != 0 || at[methods[i].size - 1] != ' ') continue;
        exchange->method = methods[i].method;
        at += methods[i].size;
        if (*at != '/') return NULL;
        at = scan_target(exchange, at, end);
        if (end - at < 11 || memcmp(at, " HTTP/1.1\r\n", 11) != 0) return NULL;
        return at + 11;
    }
    return NULL;
}

/* The text's bytes as a word, and the bit that makes a letter small at each of its letters. */
#define BYTE(text, i) ((uint64_t)((i) < sizeof(text) - 1 ? (unsigned char)(text)[i] : 0))
#define AT(value, i) ((uint64_t)(value) << (8 * (i)))
#define EACH(what, text)                                                                           \
    (AT(what(text, 0), 0) | AT(what(text, 1), 1) | AT(what(text, 2), 2) | AT(what(text, 3), 3) |   \
     AT(what(text, 4), 4) | AT(what(text, 5), 5) | AT(what(text, 6), 6) | AT(what(text, 7), 7))
#define SMALL(text, i) (BYTE(text, i) >= 'a' ? 0x20 : 0)
#define MASK(text, i) (BYTE(text, i) ? 0xFF : 0)
#define STARTS_WITH(word, text)                                                                    \
    ((((word) | EACH(SMALL, text)) & EACH(MASK, text)) == EACH(BYTE, text))

/*
 * What nearly every request has, told by the bytes where it stands, the colon included. Needs
 * WIDTH bytes. HTTP_HEADER_COUNT: it is another.
 */
static inline enum http_header find_usual_header(const char *at)
{
    uint64_t word, next;
    memcpy(&word, at, sizeof word);
    memcpy(&next, at + 8, sizeof next);
    if (STARTS_WITH(word, "content-")) {
        if (STARTS_WITH(next, "length:")) return HTTP_HEADER_CONTENT_LENGTH;
        if (STARTS_WITH(next, "type:")) return HTTP_HEADER_CONTENT_TYPE;
    }
    if (STARTS_WITH(word, "host:")) return HTTP_HEADER_HOST;
    if (STARTS_WITH(word, "accept:")) return HTTP_HEADER_ACCEPT;
    if (STARTS_WITH(word, "user-age") && STARTS_WITH(next, "nt:")) return HTTP_HEADER_USER_AGENT;
    return HTTP_HEADER_COUNT;
}

static const uint8_t name_sizes[HTTP_HEADER_COUNT] = {
#define X(name, text, once) sizeof(text) - 1,
    HTTP_HEADER_TABLE(X)
#undef X
};

/* "name:"; returns what follows, NULL if it is not that, and which of ours it is. */
static inline const char *scan_name(struct str *ret_name, const char *at, const char *end,
                                    enum http_header *ret_header)
{
    *ret_header = end - at >= WIDTH ? find_usual_header(at) : HTTP_HEADER_COUNT;
    if (LIKELY(*ret_header < HTTP_HEADER_COUNT)) {
        *ret_name = (struct str){at, name_sizes[*ret_header]};
        return at + ret_name->size + 1;
    }
    const char *name = at;
    at = skip(at, end, TOKEN);
    *ret_name = (struct str){name, (size_t)(at - name)};
    if (at == name || at == end || *at != ':') return NULL;
    *ret_header = http_header_find(*ret_name);
    return at + 1;
}

static inline bool is_line_end(const char *at, const char *end)
{
    return end - at >= 2 && memcmp(at, "\r\n", 2) == 0;
}

/* "name: value" CR LF */
static inline const char *scan_field(struct http_field *field, const char *at, const char *end,
                                     enum http_header *ret_header)
{
    at = scan_name(&field->name, at, end, ret_header);
    if (!at || at == end) return NULL;
    at += *at == ' ';
    const char *value = at;
    at = *ret_header == HTTP_HEADER_HOST ? skip(at, end, HOST) : skip(at, end, VISIBLE);
    if (!is_line_end(at, end)) return NULL;
    field->value = (struct str){value, (size_t)(at - value)};
    /* More blanks than the usual one are for others. */
    if (at > value && (*value == ' ' || at[-1] == ' ')) return NULL;
    return at + 2;
}

static inline bool scan_length(struct http_work *work)
{
    struct str text = header_value(work, HTTP_HEADER_CONTENT_LENGTH);
    uint64_t length = 0;
    if (!text.data) return true;
    if (text.size == 0 || text.size > CONTENT_LENGTH_DIGITS_MAX) return false;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned char)text.data[i] - (unsigned)'0';
        if (digit > 9) return false;
        length = length * 10 + digit;
    }
    work->content_length = length;
    return true;
}

static inline bool scan_connection(struct http_work *work)
{
    struct str text = header_value(work, HTTP_HEADER_CONNECTION);
    work->keep_alive = true;
    if (!text.data || str_equal_ignoring_case(text, STR("keep-alive"))) return true;
    work->keep_alive = false;
    return str_equal_ignoring_case(text, STR("close"));
}

static inline bool scan_fields(struct http_work *work, const char *at, const char *end)
{
    struct http_field *field = work->fields;
    const struct http_field *last = field + work->exchange.server->options.field_count_max;
    while (end - at >= 2 && *at != '\r') {
        enum http_header header;
        if (field == last) return false;
        at = scan_field(field++, at, end, &header);
        if (!at) return false;
        if (header == HTTP_HEADER_COUNT) continue;
        /* Twice: whether that is allowed is not decided here. */
        if (work->slots[header]) return false;
        work->slots[header] = (uint8_t)(field - work->fields);
    }
    if (!is_line_end(at, end)) return false;
    work->field_count = (uint32_t)(field - work->fields);
    work->head_end = (size_t)(at + 2 - work->input);
    return true;
}

bool head_scan(struct http_work *work)
{
    const char *at = work->input + work->start;
    const char *end = work->input + work->end;
    if (end - at < 16) return false;
    at = scan_request_line(&work->exchange, at, end);
    if (at && scan_fields(work, at, end) && !work->slots[HTTP_HEADER_TRANSFER_ENCODING] &&
        !work->slots[HTTP_HEADER_EXPECT] && work->slots[HTTP_HEADER_HOST] && scan_length(work) &&
        scan_connection(work))
        return true;
    work->exchange.target = (struct str){NULL, 0};
    work->field_count = 0;
    memset(work->slots, 0, sizeof work->slots);
    work->content_length = 0;
    return false;
}
