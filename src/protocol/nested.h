/*
 * JSON values nested by their shape, for the codecs whose bodies do not carry one.
 */
#ifndef PROTOCOL_NESTED_H
#define PROTOCOL_NESTED_H

#include "base/json.h"
#include "protocol/infer.h"

/*
 * Reads the value that stands next, a scalar or a regular array of any depth, as a tensor of
 * `dtype`; ANY chooses by the values. Memory from the arena.
 */
enum status nested_read(struct json_reader *reader, enum dtype dtype, struct arena *arena,
                        struct slipway_tensor *ret_tensor, struct error *err) FALLIBLE;

/* Appends the values nested by dims[first...], or one row of the first dimension. */
enum status nested_write(const struct slipway_tensor *tensor, struct buffer *out,
                         struct error *err) FALLIBLE;
enum status nested_write_row(const struct slipway_tensor *tensor, int64_t row, struct buffer *out,
                             struct error *err) FALLIBLE;

#endif
