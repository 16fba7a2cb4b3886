/*
 * Text to numbers and back, strict: the whole text is the number, nothing before it, nothing behind
 * it, no locale. This is the only home of strtod and its kin. Pure, any thread.
 *
 *   uint64_t limit;
 *   if (!num_read_size(STR("64MiB"), &limit)) return fail(...);
 *
 * Readers return false, and leave the result untouched, if the text is not such a number or does
 * not fit. Arrays of numbers have a faster way: base/num_array.h.
 */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include "base/str.h"

/* Decimal digits with an optional '-' (signed only); no '+', no leading zeros but "0" itself. */
bool num_read_i64(struct str text, int64_t *ret_value) FALLIBLE;
bool num_read_u64(struct str text, uint64_t *ret_value) FALLIBLE;

/*
 * A number as JSON writes it ("-1.5e-7"), correctly rounded to nearest, ties to even. What is too
 * large for the type is false; what is too small becomes 0 or a subnormal, as IEEE 754 has it.
 * num_read_double takes "NaN", "Infinity" and "-Infinity" too.
 */
bool num_read_double(struct str text, double *ret_value) FALLIBLE;
bool num_read_float(struct str text, float *ret_value) FALLIBLE;

/*
 * A duration in nanoseconds: whole numbers with units, largest unit first: "250ms", "1h30m", "2d".
 * Units: ns us ms s m h d. "0" needs none.
 */
bool num_read_duration(struct str text, uint64_t *ret_ns) FALLIBLE;

/* A size in bytes: "512", "512B", "10kB" (1000), "64KiB" (1024); k M G T. */
bool num_read_size(struct str text, uint64_t *ret_bytes) FALLIBLE;

/* The shortest text of the above that reads back as the same value. */
void num_print_duration(struct buffer *out, uint64_t ns);
void num_print_size(struct buffer *out, uint64_t bytes);

/*
 * The exact fallback behind every fast conversion: the value nearest to `token`, a number as JSON
 * writes it (the caller has checked that), of any length. Slow; infinite if out of range.
 */
double num_exact_double(struct str token);
float num_exact_float(struct str token);

#endif
