/*
 * num_array's way for long arrays on processors with AVX2. Only num_array calls it, and only where
 * num_array_has_avx2. The same contract as num_array_read_*, but it may stop early anywhere.
 */
#ifndef BASE_NUM_ARRAY_AVX2_H
#define BASE_NUM_ARRAY_AVX2_H

#include "base/str.h"

/* Asks the processor. */
bool num_array_has_avx2(void);

size_t num_array_read_floats_avx2(const char **at, const char *end, float *values, size_t capacity);
size_t num_array_read_doubles_avx2(const char **at, const char *end, double *values,
                                   size_t capacity);

#endif
