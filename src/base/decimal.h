/*
 * Decimal text to binary floating point, correctly rounded, fast: the algorithm of Eisel and Lemire
 * (D. Lemire, "Number Parsing at a Gigabyte per Second", 2021): one or two 64 x 64 bit products
 * with a 128-bit power of five; the rare rest is exact arithmetic (num_exact_*). Pure, any thread.
 *
 *   const char *at = text;
 *   float value;
 *   if (!decimal_read_float(&at, end, &value)) ...;   // `at` stands behind the number now
 */
#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H

#include "base/str.h"

/* The powers that doubles need: reading asks for [-342, 308], shortest printing up to 324. */
enum { DECIMAL_POWER_MIN = -342, DECIMAL_POWER_MAX = 324 };

/* Their table is filled before other constructors run: theirs have no priority, which is last. */
enum { DECIMAL_FILLS = 200 };

/* The leading 128 bits of 5^q, top bit set. Constant from then on. */
struct decimal_power {
    uint64_t high;
    uint64_t low;
};
extern struct decimal_power decimal_powers[DECIMAL_POWER_MAX - DECIMAL_POWER_MIN + 1];

/*
 * The number of JSON's grammar that starts at *at; *at is left behind its last byte, whatever
 * follows. False, *at untouched, if there is none. Infinite if too large.
 */
bool decimal_read_double(const char **at, const char *end, double *ret_value) FALLIBLE;
bool decimal_read_float(const char **at, const char *end, float *ret_value) FALLIBLE;

/* The value nearest to mantissa * 10^exponent. */
double decimal_to_double(bool negative, uint64_t mantissa, int64_t exponent);
float decimal_to_float(bool negative, uint64_t mantissa, int64_t exponent);

/* Eight ASCII digits, the first in the lowest byte. */
static inline bool decimal_is_eight_digits(uint64_t eight)
{
    return ((eight & UINT64_C(0xF0F0F0F0F0F0F0F0)) |
            (((eight + UINT64_C(0x0606060606060606)) & UINT64_C(0xF0F0F0F0F0F0F0F0)) >> 4)) ==
           UINT64_C(0x3333333333333333);
}

/* The same as values 0 to 9. */
static inline uint32_t decimal_eight_values(uint64_t eight)
{
    eight = eight * 10 + (eight >> 8);
    uint64_t low = (eight & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x000F424000000064);
    uint64_t high = ((eight >> 16) & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x0000271000000001);
    return (uint32_t)((low + high) >> 32);
}

static inline uint32_t decimal_eight_digits(uint64_t eight)
{
    return decimal_eight_values(eight - UINT64_C(0x3030303030303030));
}

#endif
