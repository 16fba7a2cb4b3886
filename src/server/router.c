/* Path matching, segment by segment. */
#include "server/router.h"

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
    return -1;
}

/* Decodes %XX, and '+' as a space in a query. False on a bad escape or without memory. */
static bool percent_decode(struct str text, bool plus_is_space, struct arena *arena,
                           struct str *ret_text)
{
    bool plain = str_find(text, '%') == SIZE_MAX;
    if (plus_is_space && str_find(text, '+') != SIZE_MAX) plain = false;
    if (plain) {
        *ret_text = text;
        return true;
    }
    char *decoded = arena_try_aligned(arena, text.size, 1);
    if (!decoded) return false;
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (byte == '+' && plus_is_space) byte = ' ';
        if (text.data[i] == '%') {
            int high = i + 1 < text.size ? hex_digit(text.data[i + 1]) : -1;
            int low = i + 2 < text.size ? hex_digit(text.data[i + 2]) : -1;
            if (high < 0 || low < 0) return false;
            byte = (char)(high * 16 + low);
            i += 2;
        }
        decoded[size++] = byte;
    }
    *ret_text = (struct str){decoded, size};
    return true;
}

static bool is_safe_capture(struct str text)
{
    return str_find(text, '\0') == SIZE_MAX && str_find(text, '/') == SIZE_MAX;
}

/* Bytes up to the next slash; *ret_plain if none of them means anything else than itself. */
static size_t segment_size(struct str path, bool *ret_plain)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    size_t at = 0;
    for (uint64_t eight, found = 0; !found && path.size - at >= 8;) {
        memcpy(&eight, path.data + at, 8);
        uint64_t slash = eight ^ ones * '/', percent = eight ^ ones * '%';
        found =
            ((slash - ones) & ~slash) | ((percent - ones) & ~percent) | ((eight - ones) & ~eight);
        found &= ones * 0x80;
        at += found ? (size_t)__builtin_ctzll(found) >> 3 : 8;
    }
    while (at < path.size && path.data[at] != '/' && path.data[at] != '%' && path.data[at]) at++;
    *ret_plain = at == path.size || path.data[at] == '/';
    if (LIKELY(*ret_plain)) return at;
    size_t size = str_find(path, '/');
    return size == SIZE_MAX ? path.size : size;
}

/* Takes what a capture may: up to the next slash, without what the next literal has before its. */
static inline bool take_capture(struct str next, struct str *path, struct arena *arena,
                                struct route_match *match)
{
    bool plain;
    size_t size = segment_size(*path, &plain), suffix_size = 0;
    while (suffix_size < next.size && next.data[suffix_size] != '/') suffix_size++;
    if (size <= suffix_size) return false;
    struct str text = {path->data, size - suffix_size};
    assert(match->capture_count < ROUTE_CAPTURES_MAX);
    struct str *capture = &match->captures[match->capture_count];
    *capture = text;
    if (UNLIKELY(!plain)) {
        if (!percent_decode(text, false, arena, capture)) return false;
        match->unsafe |= !is_safe_capture(*capture);
    }
    match->capture_count++;
    *path = str_from(*path, text.size);
    return true;
}

static inline bool matches(const struct route *route, struct str path, struct arena *arena,
                           struct route_match *match)
{
    match->capture_count = 0;
    match->unsafe = false;
    for (size_t i = 0;; i++) {
        struct str literal = route->literals[i];
        if (!str_starts_with(path, literal)) return false;
        path = str_from(path, literal.size);
        if (i == ROUTE_CAPTURES_MAX || !route->literals[i + 1].data) return path.size == 0;
        if (!take_capture(route->literals[i + 1], &path, arena, match)) return false;
    }
}

enum route_outcome router_find(const struct route *routes, size_t route_count,
                               enum route_method method, struct str path, struct arena *arena,
                               struct route_match *ret_match)
{
    if (path.size > 1 && path.data[path.size - 1] == '/') path.size--;
    ret_match->allowed = 0;
    for (size_t i = 0; i < route_count; i++) {
        if (!matches(&routes[i], path, arena, ret_match)) continue;
        if (routes[i].methods & (unsigned)method) {
            ret_match->route = &routes[i];
            return UNLIKELY(ret_match->unsafe) ? ROUTE_UNSAFE_NAME : ROUTE_FOUND;
        }
        ret_match->allowed |= routes[i].methods;
    }
    return ret_match->allowed ? ROUTE_WRONG_METHOD : ROUTE_NOT_FOUND;
}

struct str query_find(struct str query, struct str name, struct arena *arena)
{
    while (query.data && query.size) {
        struct str value = str_cut(&query, '&');
        struct str key = str_cut(&value, '=');
        struct str decoded;
        if (!percent_decode(key, true, arena, &decoded) || !str_equal(decoded, name)) continue;
        if (!value.data) return STR_EMPTY;
        if (percent_decode(value, true, arena, &decoded)) return decoded;
    }
    return (struct str){NULL, 0};
}
