/*
 * Runs of numbers in JSON arrays, fast: "1.5, 2, -3e4" with commas and white space between them.
 *
 * Each function reads as many numbers as stand at *at, at most `capacity`, and leaves *at behind
 * the last number it took: not behind the comma after it. It stops, without complaint, at the first
 * thing that is not such a number (or does not fit the type); the caller finds out what it is. With
 * nothing read, *at is where it was. Values equal strtof's and strtod's bit for bit. Pure.
 *
 *   size_t got = num_array_read_floats(&at, end, values, count);
 *
 * Where the processor has AVX2 a faster way is taken for long arrays; the choice is made once.
 */
#ifndef BASE_NUM_ARRAY_H
#define BASE_NUM_ARRAY_H

#include "base/str.h"

size_t num_array_read_floats(const char **at, const char *end, float *values, size_t capacity);
size_t num_array_read_doubles(const char **at, const char *end, double *values, size_t capacity);

/* The same without vector code: for measuring and testing. */
size_t num_array_read_floats_portable(const char **at, const char *end, float *values,
                                      size_t capacity);
size_t num_array_read_doubles_portable(const char **at, const char *end, double *values,
                                       size_t capacity);

/* Digits only, as JSON writes integers. `kind` is the type of the values. */
enum num_integer {
    NUM_UINT8,
    NUM_UINT16,
    NUM_UINT32,
    NUM_UINT64,
    NUM_INT8,
    NUM_INT16,
    NUM_INT32,
    NUM_INT64,
};
size_t num_array_read_integers(const char **at, const char *end, enum num_integer kind,
                               void *values, size_t capacity);

char *num_array_put_long(char *at, int64_t value);

/* Writes one integer and a comma at `at`, at most 21 bytes; returns what follows. */
static inline char *num_array_put_integer(char *at, int64_t value)
{
    if (UNLIKELY(value < 0 || value > 9)) return num_array_put_long(at, value);
    at[0] = (char)('0' + value);
    at[1] = ',';
    return at + 2;
}

/* The digits of one, without a comma, at most 20 bytes. */
char *num_array_put_unsigned(char *at, uint64_t value);

/* Appends integers with commas between them. */
void num_array_add_integers(struct buffer *out, enum num_integer kind, const void *values,
                            size_t count);

#endif
