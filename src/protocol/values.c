/* Values of tensors, from JSON and to JSON. */
#include "protocol/values.h"

#include "base/base64.h"
#include "base/num_array.h"
#include "base/shortest.h"

#include <math.h>

/* The integer types' kinds; -1 for the others. */
static const int8_t integer_kinds[DTYPE_COUNT] = {
    [DTYPE_ANY] = -1,
    [DTYPE_BOOL] = -1,
    [DTYPE_UINT8] = NUM_UINT8,
    [DTYPE_UINT16] = NUM_UINT16,
    [DTYPE_UINT32] = NUM_UINT32,
    [DTYPE_UINT64] = NUM_UINT64,
    [DTYPE_INT8] = NUM_INT8,
    [DTYPE_INT16] = NUM_INT16,
    [DTYPE_INT32] = NUM_INT32,
    [DTYPE_INT64] = NUM_INT64,
    [DTYPE_FP16] = -1,
    [DTYPE_FP32] = -1,
    [DTYPE_FP64] = -1,
    [DTYPE_BYTES] = -1,
    [DTYPE_BF16] = -1,
};

static bool is_unsigned(enum dtype dtype)
{
    return dtype >= DTYPE_UINT8 && dtype <= DTYPE_UINT64;
}

static enum status fail_kind(const char *other, const char *wanted, struct error *err)
{
    return fail(err, STATUS_INVALID_ARGUMENT,
                "Unable to parse 'data': attempt to access JSON non-%s as %s", other, wanted);
}

/* Says what is wrong with the value that stands next, which is not one of the type. */
static enum status diagnose(struct json_reader *reader, const struct values *values,
                            struct error *err)
{
    enum json_kind kind = json_peek(reader);
    if (kind == JSON_END || kind == JSON_WRONG)
        return json_fail(
            reader, kind == JSON_END ? "the text ends inside 'data'" : "a value is expected here",
            err);
    struct str token;
    TRY(json_read_raw(reader, &token, err));
    if (values->dtype == DTYPE_BOOL) return fail_kind("boolean", "boolean", err);
    if (values->dtype == DTYPE_BYTES) return fail_kind("string", "string", err);
    bool integer = integer_kinds[values->dtype] >= 0, whole = kind == JSON_NUMBER;
    for (size_t i = 0; i < token.size; i++)
        whole &= (token.data[i] >= '0' && token.data[i] <= '9') || token.data[i] == '-';
    bool negative = kind == JSON_NUMBER && token.data[0] == '-';
    if (!integer && kind != JSON_NUMBER) return fail_kind("number", "number", err);
    if (integer && is_unsigned(values->dtype) && (!whole || negative))
        return fail_kind("unsigned-integer", "unsigned-integer", err);
    if (integer && !whole) return fail_kind("signed-integer", "signed-integer", err);
    return fail(err, STATUS_INVALID_ARGUMENT,
                "Unable to parse 'data': %.*s is out of range for %s in '%.*s'",
                (int)MIN(token.size, (size_t)64), token.data, dtype_name(values->dtype),
                STR_ARGS(values->name));
}

static bool take_word(struct json_reader *reader, struct str word)
{
    struct str left = {reader->at, (size_t)(reader->end - reader->at)};
    if (!str_starts_with(left, word)) return false;
    reader->at += word.size;
    return true;
}

/* One of the tokens that JSON lacks. */
static bool take_nonfinite(struct json_reader *reader, double *ret_value)
{
    if (take_word(reader, STR("NaN")))
        *ret_value = (double)NAN;
    else if (take_word(reader, STR("Infinity")))
        *ret_value = (double)INFINITY;
    else if (take_word(reader, STR("-Infinity")))
        *ret_value = -(double)INFINITY;
    else
        return false;
    return true;
}

static size_t read_floats(struct json_reader *reader, float *data, uint64_t count)
{
    size_t got = num_array_read_floats(&reader->at, reader->end, data, count);
    double special;
    if (LIKELY(got) || !take_nonfinite(reader, &special)) return got;
    *data = (float)special;
    return 1;
}

static size_t read_doubles(struct json_reader *reader, double *data, uint64_t count)
{
    size_t got = num_array_read_doubles(&reader->at, reader->end, data, count);
    if (LIKELY(got)) return got;
    return take_nonfinite(reader, data);
}

/* Whether another value follows at once: steps over its comma then. */
static bool take_comma(struct json_reader *reader, char first, char other)
{
    const char *before = reader->at;
    if (!json_take(reader, ',')) return false;
    json_skip_space(reader);
    if (reader->at < reader->end && (*reader->at == first || *reader->at == other)) return true;
    reader->at = before;
    return false;
}

static size_t read_bools(struct json_reader *reader, uint8_t *data, uint64_t count)
{
    for (size_t got = 0;;) {
        bool value = take_word(reader, STR("true"));
        if (!value && !take_word(reader, STR("false"))) return got;
        data[got++] = value;
        if (got == count || !take_comma(reader, 't', 'f')) return got;
    }
}

/* {"b64":"..."}: the bytes that its text encodes. */
static enum status read_base64(struct json_reader *reader, struct str *ret_bytes, struct error *err)
{
    struct str key, text;
    bool more = false;
    TRY(json_open_object(reader, err));
    TRY(json_next_member(reader, &key, &more, err));
    if (!more || !str_equal(key, STR("b64")))
        return json_fail(reader, "an object here must be {\"b64\":\"...\"}", err);
    TRY(json_read_string(reader, &text, err));
    TRY(json_next_member(reader, &key, &more, err));
    if (more) return json_fail(reader, "an object here must be {\"b64\":\"...\"}", err);
    return base64_decode(text, reader->arena, ret_bytes, err);
}

static enum status read_strings(struct json_reader *reader, const struct values *values,
                                size_t *ret_got, struct error *err)
{
    struct slipway_bytes *data = values->data;
    const char object = values->base64_allowed ? '{' : '"';
    size_t got = 0;
    do {
        if (reader->at == reader->end || (*reader->at != '"' && *reader->at != object)) break;
        struct str text;
        TRY(*reader->at == '"' ? json_read_string(reader, &text, err)
                               : read_base64(reader, &text, err));
        data[got++] = (struct slipway_bytes){text.data, text.size};
    } while (got < values->count && take_comma(reader, '"', object));
    *ret_got = got;
    return STATUS_OK;
}

enum status values_read_run(struct json_reader *reader, const struct values *values,
                            uint64_t *ret_count, struct error *err)
{
    size_t got = 0;
    enum dtype dtype = values->dtype;
    json_skip_space(reader);
    if (integer_kinds[dtype] >= 0)
        got = num_array_read_integers(&reader->at, reader->end,
                                      (enum num_integer)integer_kinds[dtype], values->data,
                                      values->count);
    else if (dtype == DTYPE_FP32)
        got = read_floats(reader, values->data, values->count);
    else if (dtype == DTYPE_FP64)
        got = read_doubles(reader, values->data, values->count);
    else if (dtype == DTYPE_BOOL)
        got = read_bools(reader, values->data, values->count);
    else
        TRY(read_strings(reader, values, &got, err));
    if (UNLIKELY(got == 0)) return diagnose(reader, values, err);
    *ret_count = got;
    return STATUS_OK;
}

/* Behind a value: over a comma to the next one, or out of the arrays that end here. */
static enum status to_next_value(struct json_reader *reader, uint32_t depth, bool *ret_more,
                                 struct error *err)
{
    bool more = false;
    while (!more && reader->depth > depth) TRY(json_next_element(reader, &more, err));
    *ret_more = more;
    return STATUS_OK;
}

/*
 * A flat array of numbers, complete: the usual case, in one go. False, nothing consumed, if there
 * is anything else to it.
 */
static inline bool read_flat(struct json_reader *reader, const struct values *values)
{
    const char *at = reader->at, *end = reader->end;
    size_t got;
    if (at == end || *at++ != '[') return false;
    if (integer_kinds[values->dtype] >= 0)
        got = num_array_read_integers(&at, end, (enum num_integer)integer_kinds[values->dtype],
                                      values->data, values->count);
    else if (values->dtype == DTYPE_FP32)
        got = num_array_read_floats(&at, end, values->data, values->count);
    else
        return false;
    if (got != values->count || got == 0 || at == end || *at != ']') return false;
    reader->at = at + 1;
    reader->fresh = false;
    return true;
}

enum status values_read(struct json_reader *reader, const struct values *values, struct error *err)
{
    if (LIKELY(read_flat(reader, values))) return STATUS_OK;
    uint32_t depth = reader->depth;
    struct values left = *values;
    size_t width = dtype_width(values->dtype);
    assert(values_have_json(values->dtype));
    TRY(json_open_array(reader, err));
    for (;;) {
        bool more;
        TRY(to_next_value(reader, depth, &more, err));
        if (!more) break;
        json_skip_space(reader);
        if (reader->at < reader->end && *reader->at == '[') {
            TRY(json_open_array(reader, err));
            continue;
        }
        if (UNLIKELY(left.count == 0)) {
            TRY(json_skip(reader, err));
            return fail(err, STATUS_INTERNAL,
                        "Unable to parse 'data': Shape does not match true shape of 'data' field");
        }
        uint64_t got = 0;
        TRY(values_read_run(reader, &left, &got, err));
        left.count -= got;
        left.data = (char *)left.data + got * width;
    }
    if (UNLIKELY(left.count))
        return fail(err, STATUS_INTERNAL,
                    "Failed to parse 'data' field: shape does not match true shape");
    return STATUS_OK;
}

static void write_bools(const uint8_t *data, uint64_t count, struct buffer *out)
{
    for (uint64_t i = 0; i < count; i++) {
        if (i) buffer_add_byte(out, ',');
        buffer_add(out, data[i] ? STR("true") : STR("false"));
    }
}

static void write_strings(const struct slipway_bytes *data, uint64_t count, struct buffer *out)
{
    for (uint64_t i = 0; i < count; i++) {
        if (i) buffer_add_byte(out, ',');
        json_print_string(out, (struct str){data[i].size ? data[i].data : "", data[i].size});
    }
}

void values_write(enum dtype dtype, const void *data, uint64_t count, struct buffer *out)
{
    assert(values_have_json(dtype));
    if (integer_kinds[dtype] >= 0)
        num_array_add_integers(out, (enum num_integer)integer_kinds[dtype], data, count);
    else if (dtype == DTYPE_FP32)
        shortest_add_floats(out, data, count);
    else if (dtype == DTYPE_FP64)
        shortest_add_doubles(out, data, count);
    else if (dtype == DTYPE_BOOL)
        write_bools(data, count, out);
    else
        write_strings(data, count, out);
}
