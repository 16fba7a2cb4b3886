/* The reader and the writer of JSON. */
#include "base/json.h"

#include "base/decimal.h"
#include "base/num.h"
#include "base/shortest.h"

enum status json_fail(const struct json_reader *reader, const char *what, struct error *err)
{
    return fail(err, STATUS_INVALID_ARGUMENT, "invalid JSON at byte %zu: %s",
                (size_t)(reader->at - reader->start), what);
}

static enum json_kind kind_of(const struct json_reader *reader, char byte)
{
    switch (byte) {
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case '"': return JSON_STRING;
    case 't':
    case 'f': return JSON_BOOL;
    case 'n': return JSON_NULL;
    case 'N':
    case 'I': return reader->nonfinite_allowed ? JSON_NUMBER : JSON_WRONG;
    default: return byte == '-' || (byte >= '0' && byte <= '9') ? JSON_NUMBER : JSON_WRONG;
    }
}

enum json_kind json_peek(struct json_reader *reader)
{
    json_skip_space(reader);
    return reader->at == reader->end ? JSON_END : kind_of(reader, *reader->at);
}

static enum status open_container(struct json_reader *reader, char byte, const char *what,
                                  struct error *err)
{
    if (!json_take(reader, byte)) return json_fail(reader, what, err);
    if (reader->depth >= MIN(reader->depth_max, (uint32_t)JSON_DEPTH_LIMIT))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "JSON nesting depth exceeds maximum allowed limit (%u)", reader->depth_max);
    reader->depth++;
    reader->fresh = true;
    return STATUS_OK;
}

enum status json_open_slow(struct json_reader *reader, char bracket, struct error *err)
{
    const char *what = bracket == '{' ? "an object is expected here" : "an array is expected here";
    return open_container(reader, bracket, what, err);
}

/* Steps over the comma before the next item, or out of the container. */
static inline enum status next_item(struct json_reader *reader, char close, bool *ret_more,
                                    struct error *err)
{
    assert(reader->depth > 0);
    json_skip_space(reader);
    if (reader->at == reader->end) return json_fail(reader, "the text ends too early", err);
    if (*reader->at == close) {
        reader->at++;
        reader->depth--;
        reader->fresh = false;
        *ret_more = false;
        return STATUS_OK;
    }
    if (!reader->fresh) {
        if (*reader->at != ',')
            return json_fail(reader, "',' or the end of the container is expected here", err);
        reader->at++;
    }
    reader->fresh = false;
    *ret_more = true;
    return STATUS_OK;
}

enum status json_next_element_slow(struct json_reader *reader, bool *ret_more, struct error *err)
{
    return next_item(reader, ']', ret_more, err);
}

enum status json_next_member_slow(struct json_reader *reader, struct str *ret_key, bool *ret_more,
                                  struct error *err)
{
    bool more;
    TRY(next_item(reader, '}', &more, err));
    if (more) {
        struct str key;
        TRY(json_read_string(reader, &key, err));
        if (!json_take(reader, ':'))
            return json_fail(reader, "':' is expected behind a member's name", err);
        *ret_key = key;
    }
    *ret_more = more;
    return STATUS_OK;
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9') return byte - '0';
    char low = (char)(byte | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* The four digits at `at`; -1 if they are not. */
static int32_t hex_unit(const char *at, const char *end)
{
    if (end - at < 4) return -1;
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static char *put_utf8(char *out, uint32_t point)
{
    if (point < 0x80) {
        *out++ = (char)point;
    } else if (point < 0x800) {
        *out++ = (char)(0xC0 | point >> 6);
        *out++ = (char)(0x80 | (point & 63));
    } else if (point < 0x10000) {
        *out++ = (char)(0xE0 | point >> 12);
        *out++ = (char)(0x80 | (point >> 6 & 63));
        *out++ = (char)(0x80 | (point & 63));
    } else {
        *out++ = (char)(0xF0 | point >> 18);
        *out++ = (char)(0x80 | (point >> 12 & 63));
        *out++ = (char)(0x80 | (point >> 6 & 63));
        *out++ = (char)(0x80 | (point & 63));
    }
    return out;
}

/*
 * Decodes the escape whose backslash is at `at`: returns what follows it, NULL if it is wrong. Its
 * UTF-8 is at most as long as the escape was.
 */
static const char *decode_escape(const char *at, const char *end, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (end - at < 2) return NULL;
    const char *found = at[1] ? strchr(from, at[1]) : NULL;
    if (found) {
        *(*out)++ = to[found - from];
        return at + 2;
    }
    int32_t unit = at[1] == 'u' ? hex_unit(at + 2, end) : -1;
    if (unit < 0 || (unit >= 0xDC00 && unit < 0xE000)) return NULL;
    at += 6;
    if (unit < 0xD800 || unit >= 0xE000) {
        *out = put_utf8(*out, (uint32_t)unit);
        return at;
    }
    int32_t low = end - at >= 6 && at[0] == '\\' && at[1] == 'u' ? hex_unit(at + 2, end) : -1;
    if (low < 0xDC00 || low >= 0xE000) return NULL;
    *out = put_utf8(*out, 0x10000 + (((uint32_t)unit & 0x3FF) << 10) + ((uint32_t)low & 0x3FF));
    return at + 6;
}

/* Finds the closing quote of the string whose content starts at `at`, checking all but UTF-8. */
static enum status find_quote(struct json_reader *reader, const char *at, bool *ret_escapes,
                              bool *ret_foreign, const char **ret_quote, struct error *err)
{
    bool escapes = false, foreign = false;
    for (;;) {
        at = json_find_special(at, reader->end);
        if (at == reader->end) {
            reader->at = at;
            return json_fail(reader, "the text ends inside a string", err);
        }
        if (*at == '"') break;
        char scratch[4], *out = scratch;
        const char *next = (unsigned char)*at >= 0x80 ? at + 1 : NULL;
        foreign |= next != NULL;
        if (*at == '\\') {
            next = decode_escape(at, reader->end, &out);
            escapes = true;
        }
        if (!next) {
            reader->at = at;
            return json_fail(reader, *at == '\\' ? "a wrong escape" : "a control byte in a string",
                             err);
        }
        at = next;
    }
    *ret_escapes = escapes;
    *ret_foreign = foreign;
    *ret_quote = at;
    return STATUS_OK;
}

static enum status decode_string(const struct json_reader *reader, struct str raw,
                                 struct str *ret_text, struct error *err)
{
    if (!reader->arena) return json_fail(reader, "a string with escapes cannot stand here", err);
    char *text = arena_try_aligned(reader->arena, raw.size, 1);
    if (!text) return fail(err, STATUS_EXHAUSTED, "no memory for a string of %zu bytes", raw.size);
    char *out = text;
    const char *at = raw.data, *end = raw.data + raw.size;
    while (at < end) {
        if (*at == '\\')
            at = decode_escape(at, end, &out); /* find_quote has checked it */
        else
            *out++ = *at++;
    }
    *ret_text = (struct str){text, (size_t)(out - text)};
    return STATUS_OK;
}

/* A string with anything but plain ASCII; `special` is the first such byte. */
static enum status read_special_string(struct json_reader *reader, bool decode,
                                       struct str *ret_text, struct error *err)
{
    const char *start = reader->at;
    bool escapes, foreign;
    const char *quote;
    TRY(find_quote(reader, start, &escapes, &foreign, &quote, err));
    struct str raw = {start, (size_t)(quote - start)};
    if (foreign && !str_is_utf8(raw)) return json_fail(reader, "a string is not UTF-8", err);
    if (escapes && decode) TRY(decode_string(reader, raw, &raw, err));
    reader->at = quote + 1;
    *ret_text = raw;
    return STATUS_OK;
}

static inline enum status read_string(struct json_reader *reader, bool decode, struct str *ret_text,
                                      struct error *err)
{
    if (!json_take(reader, '"')) return json_fail(reader, "a string is expected here", err);
    const char *special = json_find_special(reader->at, reader->end);
    if (UNLIKELY(special == reader->end || *special != '"'))
        return read_special_string(reader, decode, ret_text, err);
    *ret_text = (struct str){reader->at, (size_t)(special - reader->at)};
    reader->at = special + 1;
    return STATUS_OK;
}

enum status json_read_string_slow(struct json_reader *reader, struct str *ret_text,
                                  struct error *err)
{
    return read_string(reader, true, ret_text, err);
}

/* Consumes the word if it stands next. */
static bool take_word(struct json_reader *reader, struct str word)
{
    struct str left = {reader->at, (size_t)(reader->end - reader->at)};
    if (!str_starts_with(left, word)) return false;
    reader->at += word.size;
    return true;
}

enum status json_read_bool(struct json_reader *reader, bool *ret_value, struct error *err)
{
    json_skip_space(reader);
    if (take_word(reader, STR("true")))
        *ret_value = true;
    else if (take_word(reader, STR("false")))
        *ret_value = false;
    else
        return json_fail(reader, "true or false is expected here", err);
    return STATUS_OK;
}

enum status json_read_null(struct json_reader *reader, struct error *err)
{
    json_skip_space(reader);
    if (!take_word(reader, STR("null"))) return json_fail(reader, "null is expected here", err);
    return STATUS_OK;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && (unsigned char)(*at - '0') <= 9) at++;
    return at;
}

/* The end of the number that starts at `at`, NULL if none does. */
static const char *number_end(const char *at, const char *end)
{
    if (at < end && *at == '-') at++;
    const char *behind = skip_digits(at, end);
    if (behind == at || (*at == '0' && behind - at > 1)) return NULL;
    if (behind < end && *behind == '.') {
        at = behind + 1;
        behind = skip_digits(at, end);
        if (behind == at) return NULL;
    }
    if (behind < end && (*behind | 0x20) == 'e') {
        at = behind + 1;
        if (at < end && (*at == '-' || *at == '+')) at++;
        behind = skip_digits(at, end);
        if (behind == at) return NULL;
    }
    return behind;
}

static bool take_nonfinite(struct json_reader *reader)
{
    return reader->nonfinite_allowed &&
           (take_word(reader, STR("NaN")) || take_word(reader, STR("Infinity")) ||
            take_word(reader, STR("-Infinity")));
}

enum status json_read_number(struct json_reader *reader, struct str *ret_token, struct error *err)
{
    json_skip_space(reader);
    const char *start = reader->at;
    if (!take_nonfinite(reader)) {
        const char *behind = number_end(start, reader->end);
        if (!behind) return json_fail(reader, "a number is expected here", err);
        reader->at = behind;
    }
    *ret_token = (struct str){start, (size_t)(reader->at - start)};
    return STATUS_OK;
}

enum status json_read_i64(struct json_reader *reader, int64_t *ret_value, struct error *err)
{
    struct json_reader before = *reader;
    struct str token;
    TRY(json_read_number(reader, &token, err));
    if (num_read_i64(token, ret_value)) return STATUS_OK;
    return json_fail(&before, "a whole number of 64 bits is expected here", err);
}

enum status json_read_u64(struct json_reader *reader, uint64_t *ret_value, struct error *err)
{
    struct json_reader before = *reader;
    struct str token;
    TRY(json_read_number(reader, &token, err));
    if (num_read_u64(token, ret_value)) return STATUS_OK;
    return json_fail(&before, "a whole number from 0 to 2^64 - 1 is expected here", err);
}

enum status json_read_double(struct json_reader *reader, double *ret_value, struct error *err)
{
    struct json_reader before = *reader;
    struct str token;
    TRY(json_read_number(reader, &token, err));
    if (num_read_double(token, ret_value)) return STATUS_OK;
    return json_fail(&before, "a number in the range of a double is expected here", err);
}

/* One value that is not a container. */
static enum status skip_scalar(struct json_reader *reader, enum json_kind kind, struct error *err)
{
    struct str ignored;
    bool flag;
    switch (kind) {
    case JSON_STRING: return read_string(reader, false, &ignored, err);
    case JSON_NUMBER: return json_read_number(reader, &ignored, err);
    case JSON_BOOL: return json_read_bool(reader, &flag, err);
    case JSON_NULL: return json_read_null(reader, err);
    case JSON_END: return json_fail(reader, "the text ends too early", err);
    case JSON_ARRAY:
    case JSON_OBJECT:
    case JSON_WRONG: break;
    }
    return json_fail(reader, "a value is expected here", err);
}

/* Which of the containers around are objects: one bit for each depth. */
struct nesting {
    uint64_t objects[JSON_DEPTH_LIMIT / 64 + 1];
};

static void nesting_note(struct nesting *nesting, uint32_t depth, bool object)
{
    uint64_t bit = UINT64_C(1) << (depth % 64);
    if (object)
        nesting->objects[depth / 64] |= bit;
    else
        nesting->objects[depth / 64] &= ~bit;
}

static bool nesting_is_object(const struct nesting *nesting, uint32_t depth)
{
    return nesting->objects[depth / 64] >> (depth % 64) & 1;
}

/* Leaves the containers that end here; true if another value follows at a depth above `depth`. */
static enum status skip_to_value(struct json_reader *reader, const struct nesting *nesting,
                                 uint32_t depth, bool *ret_more, struct error *err)
{
    bool more = false;
    while (!more && reader->depth > depth) {
        bool object = nesting_is_object(nesting, reader->depth);
        TRY(next_item(reader, object ? '}' : ']', &more, err));
        if (!more || !object) continue;
        struct str ignored;
        TRY(read_string(reader, false, &ignored, err));
        if (!json_take(reader, ':'))
            return json_fail(reader, "':' is expected behind a member's name", err);
    }
    *ret_more = more;
    return STATUS_OK;
}

enum status json_skip(struct json_reader *reader, struct error *err)
{
    struct nesting nesting = {{0}};
    uint32_t depth = reader->depth;
    for (bool more = true; more;) {
        enum json_kind kind = json_peek(reader);
        if (kind == JSON_OBJECT || kind == JSON_ARRAY) {
            TRY(open_container(reader, kind == JSON_OBJECT ? '{' : '[', "", err));
            nesting_note(&nesting, reader->depth, kind == JSON_OBJECT);
        } else {
            TRY(skip_scalar(reader, kind, err));
        }
        TRY(skip_to_value(reader, &nesting, depth, &more, err));
    }
    return STATUS_OK;
}

enum status json_read_raw(struct json_reader *reader, struct str *ret_value, struct error *err)
{
    json_skip_space(reader);
    const char *start = reader->at;
    TRY(json_skip(reader, err));
    *ret_value = (struct str){start, (size_t)(reader->at - start)};
    return STATUS_OK;
}

enum status json_end(struct json_reader *reader, struct error *err)
{
    json_skip_space(reader);
    if (reader->at != reader->end) return json_fail(reader, "something follows the value", err);
    return STATUS_OK;
}

void json_writer_init(struct json_writer *writer, struct buffer *out)
{
    *writer = (struct json_writer){.out = out};
}

static void before_value(struct json_writer *writer)
{
    if (writer->comma) buffer_add_byte(writer->out, ',');
    writer->comma = true;
}

static void begin(struct json_writer *writer, char byte)
{
    before_value(writer);
    buffer_add_byte(writer->out, byte);
    writer->comma = false;
}

static void end(struct json_writer *writer, char byte)
{
    buffer_add_byte(writer->out, byte);
    writer->comma = true;
}

void json_begin_object(struct json_writer *writer)
{
    begin(writer, '{');
}

void json_end_object(struct json_writer *writer)
{
    end(writer, '}');
}

void json_begin_array(struct json_writer *writer)
{
    begin(writer, '[');
}

void json_end_array(struct json_writer *writer)
{
    end(writer, ']');
}

void json_add_name(struct json_writer *writer, struct str name)
{
    before_value(writer);
    json_print_string(writer->out, name);
    buffer_add_byte(writer->out, ':');
    writer->comma = false;
}

void json_add_string(struct json_writer *writer, struct str value)
{
    before_value(writer);
    json_print_string(writer->out, value);
}

void json_add_i64(struct json_writer *writer, int64_t value)
{
    before_value(writer);
    buffer_add_i64(writer->out, value);
}

void json_add_u64(struct json_writer *writer, uint64_t value)
{
    before_value(writer);
    buffer_add_u64(writer->out, value);
}

void json_add_double(struct json_writer *writer, double value)
{
    before_value(writer);
    shortest_add_double(writer->out, value);
}

void json_add_float(struct json_writer *writer, float value)
{
    before_value(writer);
    shortest_add_float(writer->out, value);
}

void json_add_bool(struct json_writer *writer, bool value)
{
    before_value(writer);
    buffer_add(writer->out, value ? STR("true") : STR("false"));
}

void json_add_null(struct json_writer *writer)
{
    before_value(writer);
    buffer_add(writer->out, STR("null"));
}

void json_add_raw(struct json_writer *writer, struct str json)
{
    before_value(writer);
    buffer_add(writer->out, json);
}

void json_put_string(struct json_writer *writer, struct str name, struct str value)
{
    json_add_name(writer, name);
    json_add_string(writer, value);
}

void json_put_i64(struct json_writer *writer, struct str name, int64_t value)
{
    json_add_name(writer, name);
    json_add_i64(writer, value);
}

void json_put_u64(struct json_writer *writer, struct str name, uint64_t value)
{
    json_add_name(writer, name);
    json_add_u64(writer, value);
}

void json_put_double(struct json_writer *writer, struct str name, double value)
{
    json_add_name(writer, name);
    json_add_double(writer, value);
}

void json_put_bool(struct json_writer *writer, struct str name, bool value)
{
    json_add_name(writer, name);
    json_add_bool(writer, value);
}

static void print_escape(struct buffer *out, char byte)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *found = byte ? strchr(from, byte) : NULL;
    if (found)
        buffer_add(out, (struct str){(const char[]){'\\', to[found - from]}, 2});
    else
        buffer_add_format(out, "\\u%04x", (unsigned char)byte);
}

/* The well-formed sequence at the start of `text`, or U+FFFD for its first byte; what it took. */
static size_t print_foreign(struct buffer *out, struct str text)
{
    for (size_t size = 2; size <= 4 && size <= text.size; size++) {
        struct str sequence = {text.data, size};
        if (!str_is_utf8(sequence)) continue;
        buffer_add(out, sequence);
        return size;
    }
    buffer_add(out, STR("\xEF\xBF\xBD"));
    return 1;
}

void json_print_string(struct buffer *out, struct str text)
{
    buffer_add_byte(out, '"');
    while (text.size) {
        size_t plain = (size_t)(json_find_special(text.data, text.data + text.size) - text.data);
        buffer_add(out, (struct str){text.data, plain});
        text = str_from(text, plain);
        if (text.size == 0) break;
        size_t taken = 1;
        if ((unsigned char)*text.data >= 0x80)
            taken = print_foreign(out, text);
        else
            print_escape(out, *text.data);
        text = str_from(text, taken);
    }
    buffer_add_byte(out, '"');
}
