/*
 * Text: a view that owns nothing, and a buffer that grows up to a ceiling.
 *
 *   struct str name = STR("doubleit");               // a view: pointer and size, no NUL needed
 *   if (str_equal(name, STR("x"))) ...
 *   printf("%.*s", STR_ARGS(name));
 *
 *   struct buffer out;
 *   buffer_init(&out, 1024 * 1024);                 // never grows beyond a megabyte
 *   buffer_add(&out, STR("hello"));                 // failures are remembered ...
 *   if (buffer_failed(&out)) return fail(...);      // ... and asked for once, at the end
 *   buffer_clear(&out);
 *
 * A buffer always has room for a NUL behind its data, so buffer_text() is a C string.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/error.h"

struct str {
    const char *data;
    size_t size;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_EMPTY ((struct str){"", 0})
#define STR_ARGS(s) (int)(s).size, (s).data

static inline struct str str_of(const char *text)
{
    return (struct str){text, strlen(text)};
}

/*
 * As memcmp == 0, without a call for the short texts that most are: two words that overlap. (Not
 * chosen by __builtin_constant_p: gcc 12 takes both of its answers for one function at -O2.)
 */
static inline bool bytes_equal(const char *a, const char *b, size_t size)
{
    uint64_t eight[4];
    uint32_t four[4];
    if (UNLIKELY(size > 16)) return memcmp(a, b, size) == 0;
    if (size >= 8) {
        memcpy(&eight[0], a, 8);
        memcpy(&eight[1], b, 8);
        memcpy(&eight[2], a + size - 8, 8);
        memcpy(&eight[3], b + size - 8, 8);
        return eight[0] == eight[1] && eight[2] == eight[3];
    }
    if (size >= 4) {
        memcpy(&four[0], a, 4);
        memcpy(&four[1], b, 4);
        memcpy(&four[2], a + size - 4, 4);
        memcpy(&four[3], b + size - 4, 4);
        return four[0] == four[1] && four[2] == four[3];
    }
    return size == 0 || (a[0] == b[0] && a[size / 2] == b[size / 2] && a[size - 1] == b[size - 1]);
}

static inline bool str_equal(struct str a, struct str b)
{
    if (a.size != b.size) return false;
    return bytes_equal(a.data, b.data, a.size);
}

/* ASCII letters compare without case, as HTTP header names do. */
bool str_equal_ignoring_case(struct str a, struct str b);

static inline bool str_starts_with(struct str text, struct str prefix)
{
    return text.size >= prefix.size && str_equal((struct str){text.data, prefix.size}, prefix);
}

bool str_ends_with(struct str text, struct str suffix);

/* Byte order, as memcmp: <0, 0, >0. */
int str_compare(struct str a, struct str b);

/* The part from `start` on; `start` is at most the size. */
static inline struct str str_from(struct str text, size_t start)
{
    assert(start <= text.size);
    return (struct str){text.data + start, text.size - start};
}

/* Without spaces and tabs at both ends. */
struct str str_trim(struct str text);

/* Position of the byte, SIZE_MAX if there is none. */
size_t str_find(struct str text, char byte);

/*
 * Cuts at the first `separator`: returns what stands before it and leaves in *rest what follows. If
 * there is none, returns all and leaves *rest with data NULL.
 */
struct str str_cut(struct str *rest, char separator);

/* A NUL-terminated copy, owned by the caller (mem_free). */
char *str_copy(struct str text) __attribute__((malloc, returns_nonnull));

/* True if the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool str_is_utf8(struct str text);

/* Levenshtein's distance, for "did you mean"; texts beyond 63 bytes count as infinitely far. */
size_t str_distance(struct str a, struct str b);

struct buffer {
    char *data;
    size_t size;
    size_t capacity; /* the NUL's byte not counted */
    size_t ceiling;
    bool failed;
};

void buffer_init(struct buffer *buffer, size_t ceiling);
void buffer_clear(struct buffer *buffer);

/* Forgets the content, keeps the memory. */
static inline void buffer_reset(struct buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = false;
}

/*
 * Room for `size` more bytes: returns where to write them, NULL if the ceiling or memory does not
 * allow it. What was written is made part of the buffer by buffer_commit.
 */
char *buffer_reserve_slow(struct buffer *buffer, size_t size) FALLIBLE;

static inline FALLIBLE char *buffer_reserve(struct buffer *buffer, size_t size)
{
    if (LIKELY(size <= buffer->capacity - buffer->size)) return buffer->data + buffer->size;
    return buffer_reserve_slow(buffer, size);
}

static inline void buffer_commit(struct buffer *buffer, size_t size)
{
    assert(size <= buffer->capacity - buffer->size);
    buffer->size += size;
}

/*
 * Append. On failure the buffer is marked failed and what is there stays. An absent text (data
 * NULL) adds nothing: memcpy may not be given it, not even for no bytes.
 */
static inline void buffer_add(struct buffer *buffer, struct str text)
{
    if (text.size == 0) return;
    char *room = buffer_reserve(buffer, text.size);
    if (UNLIKELY(!room)) return;
    memcpy(room, text.data, text.size);
    buffer->size += text.size;
}

static inline void buffer_add_byte(struct buffer *buffer, char byte)
{
    char *room = buffer_reserve(buffer, 1);
    if (UNLIKELY(!room)) return;
    *room = byte;
    buffer->size++;
}

void buffer_add_text(struct buffer *buffer, const char *text);
void buffer_add_format(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);

/* Decimal digits of an integer. */
void buffer_add_u64(struct buffer *buffer, uint64_t value);
void buffer_add_i64(struct buffer *buffer, int64_t value);

static inline bool buffer_failed(const struct buffer *buffer)
{
    return buffer->failed;
}

static inline struct str buffer_view(const struct buffer *buffer)
{
    return (struct str){buffer->data ? buffer->data : "", buffer->size};
}

/* The content as a C string; valid until the next change. */
const char *buffer_text(struct buffer *buffer);

/* Gives the content away, NUL-terminated, owned by the caller (mem_free); the buffer is empty. */
char *buffer_take(struct buffer *buffer);

#endif
