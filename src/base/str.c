/* Text views and bounded buffers. */
#include "base/str.h"

#include "base/mem.h"

#include <stdarg.h>

enum { BUFFER_CAPACITY_FIRST = 256, DISTANCE_TEXT_MAX = 63 };

static char lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte;
}

bool str_equal_ignoring_case(struct str a, struct str b)
{
    if (a.size != b.size) return false;
    for (size_t i = 0; i < a.size; i++)
        if (lower(a.data[i]) != lower(b.data[i])) return false;
    return true;
}

bool str_ends_with(struct str text, struct str suffix)
{
    return text.size >= suffix.size && str_equal(str_from(text, text.size - suffix.size), suffix);
}

int str_compare(struct str a, struct str b)
{
    size_t shared = MIN(a.size, b.size);
    int order = shared ? memcmp(a.data, b.data, shared) : 0;
    if (order) return order;
    return (a.size > b.size) - (a.size < b.size);
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

struct str str_trim(struct str text)
{
    while (text.size && is_blank(text.data[0])) text = str_from(text, 1);
    while (text.size && is_blank(text.data[text.size - 1])) text.size--;
    return text;
}

size_t str_find(struct str text, char byte)
{
    const char *found = text.size ? memchr(text.data, byte, text.size) : NULL;
    return found ? (size_t)(found - text.data) : SIZE_MAX;
}

struct str str_cut(struct str *rest, char separator)
{
    struct str text = *rest;
    size_t position = str_find(text, separator);
    if (position == SIZE_MAX) {
        *rest = (struct str){NULL, 0};
        return text;
    }
    *rest = str_from(text, position + 1);
    return (struct str){text.data, position};
}

char *str_copy(struct str text)
{
    char *copy = mem_new(text.size + 1);
    if (text.size) memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

/* Bytes of the well-formed sequence at `at`, 0 if there is none (RFC 3629, section 4). */
static size_t utf8_sequence(const unsigned char *at, size_t left)
{
    unsigned char lead = at[0];
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (left < size) return 0;
    unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (at[1] < low || at[1] > high) return 0;
    for (size_t i = 2; i < size; i++)
        if ((at[i] & 0xC0) != 0x80) return 0;
    return size;
}

bool str_is_utf8(struct str text)
{
    const unsigned char *at = (const unsigned char *)text.data;
    size_t left = text.size;
    while (left) {
        uint64_t eight;
        if (left >= 8 && (memcpy(&eight, at, 8), (eight & UINT64_C(0x8080808080808080)) == 0)) {
            at += 8;
            left -= 8;
            continue;
        }
        size_t size = utf8_sequence(at, left);
        if (size == 0) return false;
        at += size;
        left -= size;
    }
    return true;
}

size_t str_distance(struct str a, struct str b)
{
    if (a.size > DISTANCE_TEXT_MAX || b.size > DISTANCE_TEXT_MAX) return SIZE_MAX;
    size_t row[DISTANCE_TEXT_MAX + 1];
    for (size_t j = 0; j <= b.size; j++) row[j] = j;
    for (size_t i = 1; i <= a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            size_t above = row[j];
            size_t change = diagonal + (a.data[i - 1] != b.data[j - 1]);
            row[j] = MIN(change, MIN(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[b.size];
}

void buffer_init(struct buffer *buffer, size_t ceiling)
{
    *buffer = (struct buffer){.ceiling = ceiling};
}

void buffer_clear(struct buffer *buffer)
{
    mem_free(buffer->data);
    buffer_init(buffer, buffer->ceiling);
}

char *buffer_reserve_slow(struct buffer *buffer, size_t size)
{
    size_t needed;
    if (!size_add(buffer->size, size, &needed) || needed > buffer->ceiling) {
        buffer->failed = true;
        return NULL;
    }
    size_t doubled = buffer->capacity > SIZE_MAX / 2 ? SIZE_MAX : buffer->capacity * 2;
    size_t capacity = MAX(MAX(doubled, needed), (size_t)BUFFER_CAPACITY_FIRST);
    capacity = MAX(MIN(capacity, buffer->ceiling), needed);
    if (capacity == SIZE_MAX) capacity--;
    char *data = mem_try_resize(buffer->data, capacity + 1);
    if (!data) {
        buffer->failed = true;
        return NULL;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return data + buffer->size;
}

void buffer_add_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, str_of(text));
}

void buffer_add_format(struct buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(length >= 0);
    char *room = buffer_reserve(buffer, (size_t)length + 1);
    if (!room) return;
    va_start(args, format);
    (void)vsnprintf(room, (size_t)length + 1, format, args);
    va_end(args);
    buffer_commit(buffer, (size_t)length);
}

void buffer_add_u64(struct buffer *buffer, uint64_t value)
{
    char digits[20];
    size_t start = sizeof digits;
    do {
        digits[--start] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    buffer_add(buffer, (struct str){digits + start, sizeof digits - start});
}

void buffer_add_i64(struct buffer *buffer, int64_t value)
{
    if (value < 0) buffer_add_byte(buffer, '-');
    buffer_add_u64(buffer, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

const char *buffer_text(struct buffer *buffer)
{
    if (!buffer->data) return "";
    buffer->data[buffer->size] = '\0';
    return buffer->data;
}

char *buffer_take(struct buffer *buffer)
{
    if (!buffer->data) return mem_copy_text("");
    buffer->data[buffer->size] = '\0';
    char *data = buffer->data;
    buffer_init(buffer, buffer->ceiling);
    return data;
}
