/*
 * JSON (RFC 8259): a pull reader over bytes in memory, and a writer into a buffer. Nothing is built
 * in between; the reader copies a string only if it has escapes. One thread per reader.
 *
 *   struct json_reader reader;
 *   json_reader_init(&reader, text, &arena);
 *   struct str key;
 *   bool more;
 *   TRY(json_open_object(&reader, err));
 *   for (;;) {
 *       TRY(json_next_member(&reader, &key, &more, err));
 *       if (!more) break;
 *       if (str_equal(key, STR("size"))) TRY(json_read_u64(&reader, &size, err));
 *       else TRY(json_skip(&reader, err));              // every value must be read or skipped
 *   }
 *   TRY(json_end(&reader, err));                        // nothing may follow
 *
 * Strict: no comments, no trailing commas, numbers and UTF-8 and \u escapes checked, also in what
 * is skipped; depth bounded. Failures are INVALID_ARGUMENT "invalid JSON at byte 17: ...", but
 * EXHAUSTED if the arena has no room. A repeated key is given each time: the caller decides.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/arena.h"

enum { JSON_DEPTH_MAX = 100, JSON_DEPTH_LIMIT = 256 };

enum json_kind {
    JSON_END, /* no byte is left */
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER, /* also NaN and Infinity where the reader allows them */
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
    JSON_WRONG, /* a byte that begins no value */
};

struct json_reader {
    const char *at;
    const char *end;
    const char *start;
    struct arena *arena; /* for strings with escapes; NULL: such a string is refused */
    uint32_t depth;
    uint32_t depth_max;     /* JSON_DEPTH_MAX unless changed, at most JSON_DEPTH_LIMIT */
    bool fresh;             /* a container was entered and nothing read in it yet */
    bool nonfinite_allowed; /* NaN, Infinity and -Infinity are numbers; false unless changed */
};

/* Borrows text and arena. */
static inline void json_reader_init(struct json_reader *reader, struct str text,
                                    struct arena *arena)
{
    const char *data = text.size ? text.data : "";
    *reader = (struct json_reader){
        .at = data,
        .end = data + text.size,
        .start = data,
        .arena = arena,
        .depth_max = JSON_DEPTH_MAX,
    };
}

/* What stands next; nothing is consumed but white space. */
enum json_kind json_peek(struct json_reader *reader);

/* Enters the container that stands next. */
static inline enum status json_open_object(struct json_reader *reader, struct error *err) FALLIBLE;
static inline enum status json_open_array(struct json_reader *reader, struct error *err) FALLIBLE;

/* Goes to the next member, or out of the object: *ret_more is false then, and no key is given. */
static inline enum status json_next_member(struct json_reader *reader, struct str *ret_key,
                                           bool *ret_more, struct error *err) FALLIBLE;

/* Goes to the next element, or out of the array: *ret_more is false then. */
static inline enum status json_next_element(struct json_reader *reader, bool *ret_more,
                                            struct error *err) FALLIBLE;

/* One value of that kind. A view of the text, or of the arena where there were escapes. */
static inline enum status json_read_string(struct json_reader *reader, struct str *ret_text,
                                           struct error *err) FALLIBLE;
enum status json_read_bool(struct json_reader *reader, bool *ret_value, struct error *err) FALLIBLE;
enum status json_read_null(struct json_reader *reader, struct error *err) FALLIBLE;

/* Whole numbers written as such: no point, no exponent; what does not fit fails. */
enum status json_read_i64(struct json_reader *reader, int64_t *ret_value,
                          struct error *err) FALLIBLE;
enum status json_read_u64(struct json_reader *reader, uint64_t *ret_value,
                          struct error *err) FALLIBLE;
enum status json_read_double(struct json_reader *reader, double *ret_value,
                             struct error *err) FALLIBLE;

/* The token of a number, its grammar checked. */
enum status json_read_number(struct json_reader *reader, struct str *ret_token,
                             struct error *err) FALLIBLE;

/* Reads a value of any kind and forgets it, or gives its bytes as they stand. */
enum status json_skip(struct json_reader *reader, struct error *err) FALLIBLE;
enum status json_read_raw(struct json_reader *reader, struct str *ret_value,
                          struct error *err) FALLIBLE;

/* Nothing but white space is left. */
enum status json_end(struct json_reader *reader, struct error *err) FALLIBLE;

/* "invalid JSON at byte 17: WHAT", for callers who find something wrong themselves. */
enum status json_fail(const struct json_reader *reader, const char *what, struct error *err);

/* --- the parts that the request path inlines ------------------------------------------------ */

static inline bool json_is_space(char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r';
}

static inline void json_skip_space(struct json_reader *reader)
{
    while (reader->at < reader->end && UNLIKELY(json_is_space(*reader->at))) reader->at++;
}

/* Consumes the byte if it stands next. */
static inline bool json_take(struct json_reader *reader, char byte)
{
    json_skip_space(reader);
    if (reader->at == reader->end || *reader->at != byte) return false;
    reader->at++;
    return true;
}

/*
 * The first byte from `at` on that a plain string does not hold: quote, backslash, control or not
 * ASCII; `end` if there is none.
 */
static inline const char *json_find_special(const char *at, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    while (end - at >= 8) {
        uint64_t eight;
        memcpy(&eight, at, 8);
        uint64_t found = (eight - ones * 0x20) | ((eight ^ ones * '"') - ones) |
                         ((eight ^ ones * '\\') - ones) | eight;
        found &= ones * 0x80;
        if (found) return at + (__builtin_ctzll(found) >> 3);
        at += 8;
    }
    while (at < end && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' &&
           *at != '\\')
        at++;
    return at;
}

enum status json_open_slow(struct json_reader *reader, char bracket, struct error *err) FALLIBLE;
enum status json_next_element_slow(struct json_reader *reader, bool *ret_more,
                                   struct error *err) FALLIBLE;
enum status json_next_member_slow(struct json_reader *reader, struct str *ret_key, bool *ret_more,
                                  struct error *err) FALLIBLE;
enum status json_read_string_slow(struct json_reader *reader, struct str *ret_text,
                                  struct error *err) FALLIBLE;

static inline enum status json_open(struct json_reader *reader, char bracket, struct error *err)
{
    bool plain = reader->at < reader->end && *reader->at == bracket;
    if (UNLIKELY(!plain || reader->depth >= JSON_DEPTH_MAX || reader->depth >= reader->depth_max))
        return json_open_slow(reader, bracket, err);
    reader->at++;
    reader->depth++;
    reader->fresh = true;
    return STATUS_OK;
}

static inline enum status json_open_object(struct json_reader *reader, struct error *err)
{
    return json_open(reader, '{', err);
}

static inline enum status json_open_array(struct json_reader *reader, struct error *err)
{
    return json_open(reader, '[', err);
}

static inline enum status json_next_element(struct json_reader *reader, bool *ret_more,
                                            struct error *err)
{
    if (UNLIKELY(reader->at == reader->end)) return json_next_element_slow(reader, ret_more, err);
    bool fresh = reader->fresh, close = *reader->at == ']';
    bool plain = close || (fresh ? *reader->at > ' ' : *reader->at == ',');
    if (UNLIKELY(!plain)) return json_next_element_slow(reader, ret_more, err);
    reader->at += !fresh || close;
    reader->depth -= close;
    reader->fresh = false;
    *ret_more = !close;
    return STATUS_OK;
}

/* What a machine writes, `,"key":` or `, "key":`, is taken at once; the rest is the slow way's. */
static inline enum status json_next_member(struct json_reader *reader, struct str *ret_key,
                                           bool *ret_more, struct error *err)
{
    const char *at = reader->at, *end = reader->end;
    bool fresh = reader->fresh;
    if (at < end && *at == '}') {
        reader->at++;
        reader->depth--;
        reader->fresh = false;
        *ret_more = false;
        return STATUS_OK;
    }
    if (UNLIKELY(end - at < 4 || !(fresh || *at == ',')))
        return json_next_member_slow(reader, ret_key, ret_more, err);
    at += !fresh;
    at += *at == ' ';
    if (UNLIKELY(*at != '"')) return json_next_member_slow(reader, ret_key, ret_more, err);
    const char *quote = json_find_special(++at, end);
    if (UNLIKELY(end - quote < 2 || quote[0] != '"' || quote[1] != ':'))
        return json_next_member_slow(reader, ret_key, ret_more, err);
    *ret_key = (struct str){at, (size_t)(quote - at)};
    *ret_more = true;
    reader->at = quote + 2;
    reader->fresh = false;
    return STATUS_OK;
}

static inline enum status json_read_string(struct json_reader *reader, struct str *ret_text,
                                           struct error *err)
{
    json_skip_space(reader);
    const char *at = reader->at, *end = reader->end;
    if (UNLIKELY(at == end || *at != '"')) return json_read_string_slow(reader, ret_text, err);
    const char *quote = json_find_special(++at, end);
    if (UNLIKELY(quote == end || *quote != '"'))
        return json_read_string_slow(reader, ret_text, err);
    *ret_text = (struct str){at, (size_t)(quote - at)};
    reader->at = quote + 1;
    return STATUS_OK;
}

/* --- writing --------------------------------------------------------------------------------- */

/*
 * Writes values one after the other and puts the commas. The caller balances begin and end, and
 * gives each member of an object its name first.
 *
 *   struct json_writer writer;
 *   json_writer_init(&writer, &buffer);
 *   json_begin_object(&writer);
 *   json_add_name(&writer, STR("size"));
 *   json_add_u64(&writer, 3);
 *   json_end_object(&writer);
 *   if (buffer_failed(&buffer)) ...
 */
struct json_writer {
    struct buffer *out;
    bool comma; /* a value stands before */
};

void json_writer_init(struct json_writer *writer, struct buffer *out);
void json_begin_object(struct json_writer *writer);
void json_end_object(struct json_writer *writer);
void json_begin_array(struct json_writer *writer);
void json_end_array(struct json_writer *writer);
void json_add_name(struct json_writer *writer, struct str name);
void json_add_string(struct json_writer *writer, struct str value);
void json_add_i64(struct json_writer *writer, int64_t value);
void json_add_u64(struct json_writer *writer, uint64_t value);
/* Shortest text that reads back equal; NaN, Infinity and -Infinity as such (they are not JSON). */
void json_add_double(struct json_writer *writer, double value);
void json_add_float(struct json_writer *writer, float value);
void json_add_bool(struct json_writer *writer, bool value);
void json_add_null(struct json_writer *writer);
/* A value that is JSON already. */
void json_add_raw(struct json_writer *writer, struct str json);

/* Name and value together. */
void json_put_string(struct json_writer *writer, struct str name, struct str value);
void json_put_i64(struct json_writer *writer, struct str name, int64_t value);
void json_put_u64(struct json_writer *writer, struct str name, uint64_t value);
void json_put_double(struct json_writer *writer, struct str name, double value);
void json_put_bool(struct json_writer *writer, struct str name, bool value);

/* Only the string: quotes and escapes; bytes that are not UTF-8 become U+FFFD. */
void json_print_string(struct buffer *out, struct str text);

#endif
