/*
 * Element types, as the engine ABI numbers them and the Open Inference Protocol names them. The
 * table is in include/slipway/engine.h.
 */
#ifndef TENSOR_DTYPE_H
#define TENSOR_DTYPE_H

#include "base/str.h"

enum dtype {
#define X(name, value, width) DTYPE_##name = value,
    SLIPWAY_DTYPE_TABLE(X)
#undef X
};

#define DTYPE_COUNT 15

/* "FP32". Never NULL. */
const char *dtype_name(enum dtype dtype);

/* Bytes of one element in memory; 0 for ANY, sizeof(struct slipway_bytes) for BYTES. */
size_t dtype_width(enum dtype dtype);

/* By the protocol's name ("FP32") or the model configuration's ("TYPE_FP32", "TYPE_STRING"). */
bool dtype_find(struct str name, enum dtype *ret_dtype);

/* What a type is to arithmetic. */
static inline bool dtype_is_float(enum dtype dtype)
{
    return dtype == DTYPE_FP16 || dtype == DTYPE_FP32 || dtype == DTYPE_FP64 || dtype == DTYPE_BF16;
}

#endif
