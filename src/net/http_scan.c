/*
 * The usual header, read in one pass: all of it has arrived, and there is nothing unusual in it.
 * Whatever this does not know at once it leaves to llhttp, which then starts at the same byte, so
 * that this file decides what is fast and never what is right. A request cut into pieces always
 * goes through llhttp: the tests compare the two on everything they send.
 */
#include "net/http_private.h"

enum { TOKEN = 1, TARGET = 2, CONTENT_LENGTH_DIGITS_MAX = 18 };

/* By byte: 1 what a name is made of (tchar, RFC 9110, 5.6.2), 2 what a path and query is made of.
 */
// clang-format off
static const uint8_t kinds[256] = {
    // 0 1 2 3 4 5 6 7 8 9 A B C D E F
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // 0x00
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // 0x10
    0, 3, 0, 1, 3, 3, 3, 3, 2, 2, 3, 3, 2, 3, 3, 2, // 0x20
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 0, 2, 0, 2, // 0x30
    2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, // 0x40
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0, 0, 0, 1, 3, // 0x50
    1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, // 0x60
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0, 1, 0, 3, 0, // 0x70
};
// clang-format on

static const struct {
    char text[8];
    uint8_t size;
    uint8_t number;
    enum http_method method;
} methods[] = {
    {"POST ", 5, HTTP_POST, HTTP_METHOD_POST},
    {"GET ", 4, HTTP_GET, HTTP_METHOD_GET},
    {"HEAD ", 5, HTTP_HEAD, HTTP_METHOD_HEAD},
};

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The high bit of each byte that is below 0x20, is 0x7F, or is above it; exact up to the first. */
static uint64_t find_unusual(uint64_t bytes)
{
    uint64_t low = (bytes - EACH_BYTE(0x20)) & ~bytes;
    uint64_t delete = (bytes ^ EACH_BYTE(0x7F)) - EACH_BYTE(1);
    return (low | (delete &~(bytes ^ EACH_BYTE(0x7F))) | bytes) & EACH_BYTE(0x80);
}

/* The first byte that is no visible ASCII and no space; `end` if there is none before. */
static const char *skip_visible(const char *at, const char *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t bytes;
        memcpy(&bytes, at, 8);
        if (find_unusual(bytes)) break;
    }
    while (at < end && *at >= ' ' && *at < 127) at++;
    return at;
}

static const char *skip_kind(const char *at, const char *end, uint8_t kind)
{
    while (at < end && (kinds[(unsigned char)*at] & kind)) at++;
    return at;
}

/* "POST /path HTTP/1.1" CR LF; returns what follows, NULL if it is not that. */
static const char *scan_request_line(struct http_work *work, const char *at, const char *end)
{
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        if (memcmp(at, methods[i].text, 4) != 0 || at[methods[i].size - 1] != ' ') continue;
        const char *target = at + methods[i].size;
        if (*target != '/') return NULL;
        at = skip_kind(target, end, TARGET);
        if (end - at < 11 || memcmp(at, " HTTP/1.1\r\n", 11) != 0) return NULL;
        work->exchange.method = methods[i].method;
        work->exchange.target = (struct str){target, (size_t)(at - target)};
        return at + 11;
    }
    return NULL;
}

/* "name: value" CR LF */
static const char *scan_field(struct http_field *field, const char *at, const char *end)
{
    const char *name = at;
    at = skip_kind(at, end, TOKEN);
    field->name = (struct str){name, (size_t)(at - name)};
    if (at == name || end - at < 3 || at[0] != ':') return NULL;
    at += at[1] == ' ' ? 2 : 1;
    const char *value = at;
    at = skip_visible(at, end);
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n') return NULL;
    field->value = (struct str){value, (size_t)(at - value)};
    /* More blanks than the usual one are for others. */
    if (at > value && (*value == ' ' || at[-1] == ' ')) return NULL;
    return at + 2;
}

static bool scan_length(struct http_work *work)
{
    struct str text = http_exchange_header(&work->exchange, HTTP_HEADER_CONTENT_LENGTH);
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

static bool scan_connection(struct http_work *work)
{
    struct str text = http_exchange_header(&work->exchange, HTTP_HEADER_CONNECTION);
    work->keep_alive = true;
    if (!text.data || str_equal_ignoring_case(text, STR("keep-alive"))) return true;
    work->keep_alive = false;
    return str_equal_ignoring_case(text, STR("close"));
}

static bool scan_fields(struct http_work *work, const char *at, const char *end)
{
    uint32_t field_count_max = work->exchange.server->options.field_count_max;
    while (end - at >= 2 && *at != '\r') {
        if (work->field_count == field_count_max) return false;
        struct http_field *field = &work->fields[work->field_count++];
        at = scan_field(field, at, end);
        if (!at) return false;
        enum http_header header = http_header_find(field->name);
        if (header == HTTP_HEADER_COUNT) continue;
        /* Twice: whether that is allowed is not decided here. */
        if (work->slots[header]) return false;
        work->slots[header] = (uint8_t)work->field_count;
    }
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n') return false;
    work->head_end = (size_t)(at + 2 - work->input);
    return true;
}

bool head_scan(struct http_work *work)
{
    const char *at = work->input + work->start;
    const char *end = work->input + work->end;
    if (end - at < 16) return false;
    at = scan_request_line(work, at, end);
    if (at && scan_fields(work, at, end) && !work->slots[HTTP_HEADER_TRANSFER_ENCODING] &&
        !work->slots[HTTP_HEADER_EXPECT] && scan_length(work) && scan_connection(work))
        return true;
    work->exchange.target = (struct str){NULL, 0};
    work->field_count = 0;
    memset(work->slots, 0, sizeof work->slots);
    work->content_length = 0;
    return false;
}
