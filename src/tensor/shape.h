/*
 * Shapes: int64 dimensions with checked products. A dimension of -1 stands only in a specification
 * and means "any size".
 */
#ifndef TENSOR_SHAPE_H
#define TENSOR_SHAPE_H

#include "base/str.h"

enum { SHAPE_RANK_MAX = SLIPWAY_RANK_MAX };

bool shape_element_count_large(const int64_t *dims, size_t rank, int64_t *ret_count) FALLIBLE;

/* The number of elements; false if a dimension is negative or the product exceeds INT64_MAX. */
static inline FALLIBLE bool shape_element_count(const int64_t *dims, size_t rank,
                                                int64_t *ret_count)
{
    uint64_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        if (UNLIKELY((uint64_t)dims[i] > INT16_MAX || count > INT32_MAX))
            return shape_element_count_large(dims, rank, ret_count);
        count *= (uint64_t)dims[i];
    }
    *ret_count = (int64_t)count;
    return true;
}

/* True if `dims` is allowed by `spec`: the same rank, and equal wherever the spec is not -1. */
bool shape_matches(const int64_t *spec, size_t spec_rank, const int64_t *dims, size_t rank);

/* "[-1,16]" appended, as error messages and metadata print it. */
void shape_print(struct buffer *out, const int64_t *dims, size_t rank);

#endif
