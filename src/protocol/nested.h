/*
 * JSON values nested by their shape, for the codecs whose bodies do not carry one.
 */
#ifndef PROTOCOL_NESTED_H
#define PROTOCOL_NESTED_H

#include "base/json.h"
#include "protocol/infer.h"

struct nested_options {
    enum dtype dtype;    /* ANY chooses by the values: BOOL, BYTES, INT64 or FP32 */
    bool base64_allowed; /* {"b64":"..."} stands for a string of any bytes */
};

/*
 * Reads the value that stands next, a scalar or a regular array of any depth, as a tensor. Memory
 * from the reader's arena.
 */
enum status nested_read(struct json_reader *reader, const struct nested_options *options,
                        struct slipway_tensor *ret_tensor, struct error *err) FALLIBLE;

/* Appends the values nested by the shape: all, or one row of the first dimension. */
enum status nested_write(const struct slipway_tensor *tensor, struct buffer *out,
                         struct error *err) FALLIBLE;
enum status nested_write_row(const struct slipway_tensor *tensor, int64_t row, struct buffer *out,
                             struct error *err) FALLIBLE;

#endif
