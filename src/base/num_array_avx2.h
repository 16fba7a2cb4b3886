/*
 * num_array's way for long arrays on processors with AVX2; reads nothing on others. Only num_array
 * calls it. Same contract as num_array_read_floats, but it may stop early anywhere.
 */
#ifndef BASE_NUM_ARRAY_AVX2_H
#define BASE_NUM_ARRAY_AVX2_H

#include "base/str.h"

size_t num_array_read_floats_avx2(const char **at, const char *end, float *values, size_t capacity);

#endif
