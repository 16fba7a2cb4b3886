/*
 * The values of a tensor as JSON: decoded straight into the tensor's memory, written flat. Shared
 * by the codecs of JSON bodies. Pure.
 */
#ifndef PROTOCOL_VALUES_H
#define PROTOCOL_VALUES_H

#include "base/json.h"
#include "protocol/infer.h"

/* Where values go. */
struct values {
    enum dtype dtype; /* one with a JSON form */
    void *data;       /* room for `count` elements */
    uint64_t count;
    struct str name;     /* of the tensor, for messages */
    bool base64_allowed; /* {"b64":"..."} is a string too */
};

/* False for FP16 and BF16, which have no JSON form, and for ANY. */
static inline bool values_have_json(enum dtype dtype)
{
    return dtype != DTYPE_ANY && dtype != DTYPE_FP16 && dtype != DTYPE_BF16;
}

/*
 * Reads the array that stands next, flat or nested in any way, which must hold exactly `count`
 * values. Integers are checked against their type's range, floating point against theirs. BYTES
 * elements point into the text, or the reader's arena where there were escapes.
 */
enum status values_read(struct json_reader *reader, const struct values *values,
                        struct error *err) FALLIBLE;

/* Reads values up to the next bracket at least, at most `values->count`. For values_read's kin. */
enum status values_read_run(struct json_reader *reader, const struct values *values,
                            uint64_t *ret_count, struct error *err) FALLIBLE;

/* Appends `count` elements with commas between them. */
void values_write(enum dtype dtype, const void *data, uint64_t count, struct buffer *out);

#endif
