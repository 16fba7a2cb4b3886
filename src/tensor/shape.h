/*
 * Shapes: int64 dimensions with checked products. A dimension of -1 stands only in a specification
 * and means "any size".
 */
#ifndef TENSOR_SHAPE_H
#define TENSOR_SHAPE_H

#include "base/str.h"

enum { SHAPE_RANK_MAX = SLIPWAY_RANK_MAX };

/* The number of elements; false if a dimension is negative or the product exceeds INT64_MAX. */
bool shape_element_count(const int64_t *dims, size_t rank, int64_t *ret_count) FALLIBLE;

/* True if `dims` is allowed by `spec`: the same rank, and equal wherever the spec is not -1. */
bool shape_matches(const int64_t *spec, size_t spec_rank, const int64_t *dims, size_t rank);

/* "[-1,16]" appended, as error messages and metadata print it. */
void shape_print(struct buffer *out, const int64_t *dims, size_t rank);

#endif
