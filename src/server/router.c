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
    return text.size > 0 && str_find(text, '\0') == SIZE_MAX && str_find(text, '/') == SIZE_MAX;
}

/* Takes what a capture may: up to the next slash, without the pattern's literal suffix. */
static bool take_capture(const char **pattern, struct str *path, struct arena *arena,
                         struct route_match *match)
{
    const char *suffix = *pattern + 2;
    size_t suffix_size = strcspn(suffix, "/");
    size_t size = str_find(*path, '/');
    if (size == SIZE_MAX) size = path->size;
    if (size <= suffix_size) return false;
    if (memcmp(path->data + size - suffix_size, suffix, suffix_size) != 0) return false;
    struct str text = {path->data, size - suffix_size};
    assert(match->capture_count < ROUTE_CAPTURES_MAX);
    struct str *capture = &match->captures[match->capture_count];
    if (!percent_decode(text, false, arena, capture) || !is_safe_capture(*capture)) return false;
    match->capture_count++;
    *pattern = suffix + suffix_size;
    *path = str_from(*path, size);
    return true;
}

static bool matches(const char *pattern, struct str path, struct arena *arena,
                    struct route_match *match)
{
    match->capture_count = 0;
    for (;;) {
        size_t literal = strcspn(pattern, "{");
        if (path.size < literal || memcmp(path.data, pattern, literal) != 0) return false;
        pattern += literal;
        path = str_from(path, literal);
        if (*pattern == '\0') return path.size == 0;
        if (!take_capture(&pattern, &path, arena, match)) return false;
    }
}

enum route_outcome router_find(const struct route *routes, size_t route_count,
                               enum route_method method, struct str path, struct arena *arena,
                               struct route_match *ret_match)
{
    if (path.size > 1 && path.data[path.size - 1] == '/') path.size--;
    ret_match->allowed = 0;
    for (size_t i = 0; i < route_count; i++) {
        if (!matches(routes[i].pattern, path, arena, ret_match)) continue;
        if (routes[i].methods & (unsigned)method) {
            ret_match->route = &routes[i];
            return ROUTE_FOUND;
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
