/*
 * Schubfach's heart: the digits of the shortest decimal that reads back as a value, nearest to it
 * where there are several (R. Giulietti, "The Schubfach way to render doubles", 2020), for every
 * positive value. base/shortest.c has a faster way for most of them. Names follow the paper. Pure.
 */
#ifndef BASE_SCHUBFACH_H
#define BASE_SCHUBFACH_H

#include "base/decimal.h"

/* A positive value as its bits say it: c * 2^q, c being the fraction with its hidden bit. */
struct schubfach_binary {
    uint64_t fraction;
    int32_t biased; /* exponent; 0 for denormals */
};

/* digits * 10^exponent; digits may end in zeros, and are at most 9 or 17. */
struct schubfach_decimal {
    uint64_t digits;
    int32_t exponent;
};

struct schubfach_decimal schubfach_float(struct schubfach_binary binary);
struct schubfach_decimal schubfach_double(struct schubfach_binary binary);

/* decimal_powers is exact up to the one, and rounded up from the other to -1 already. */
enum { SCHUBFACH_EXACT_MAX = 55, SCHUBFACH_CEILED_MIN = -27 };

/* floor(log2(10^exponent)) */
static inline int32_t schubfach_log2_of_ten_to(int32_t exponent)
{
    return (exponent * 1741647) >> 19;
}

/* floor(log10(2^q)), or floor(log10(3/4 * 2^q)) where the lower neighbour is closer. */
static inline int32_t schubfach_log10_of_two_to(int32_t q, bool closer)
{
    return (q * 1262611 - (closer ? 524031 : 0)) >> 22;
}

/* The leading 128 bits of 10^exponent, rounded up where it has more. */
static inline struct decimal_power schubfach_power(int32_t exponent)
{
    struct decimal_power power = decimal_powers[exponent - DECIMAL_POWER_MIN];
    if (exponent > SCHUBFACH_EXACT_MAX || exponent < SCHUBFACH_CEILED_MIN)
        power.high += ++power.low == 0;
    return power;
}

/* The leading 64 bits, rounded up likewise. */
static inline uint64_t schubfach_power_64(int32_t exponent)
{
    struct decimal_power power = decimal_powers[exponent - DECIMAL_POWER_MIN];
    return power.high + (power.low != 0);
}

#endif
