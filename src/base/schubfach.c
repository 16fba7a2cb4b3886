/* Three products, and the choice between four candidates. */
#include "base/schubfach.h"

/* The product's upper part; its lowest bit also says whether anything was cut off. */
static inline uint64_t round_to_odd_64(struct decimal_power g, uint64_t cp)
{
    uint128 x = (uint128)g.low * cp;
    uint128 y = (uint128)g.high * cp + (uint64_t)(x >> 64);
    return (uint64_t)(y >> 64) | ((uint64_t)y > 1);
}

static inline uint32_t round_to_odd_32(uint64_t g, uint32_t cp)
{
    uint128 p = (uint128)g * cp;
    return (uint32_t)(p >> 64) | ((uint32_t)((uint64_t)p >> 32) > 1);
}

/*
 * Of the candidates around the value that are in its interval: the multiple of ten if there is one,
 * else the nearer neighbour. `s` is the value's integer part, all else are its fourths. Which one
 * it is looks random in most data, so nothing here may become a branch.
 */
#define DEFINE_CHOOSE(name, type)                                                                  \
    static inline type name(type low, type middle, type high)                                      \
    {                                                                                              \
        type s = middle / 4, tens = s / 10;                                                        \
        type below = low <= 40 * tens, above = 40 * tens + 40 <= high;                             \
        type shorter = (type)(0 - ((below ^ above) & (type)(s >= 10)));                            \
        type under = low <= 4 * s, over = 4 * s + 4 <= high, half = 4 * s + 2;                     \
        type nearest = (type)(middle > half) | ((type)(middle == half) & s);                       \
        type only = under ^ over;                                                                  \
        type up = (only & over) | ((only ^ 1) & nearest & 1);                                      \
        return (shorter & (10 * (tens + above))) | (~shorter & (s + up));                          \
    }

DEFINE_CHOOSE(choose_32, uint32_t)
DEFINE_CHOOSE(choose_64, uint64_t)

struct schubfach_decimal schubfach_double(struct schubfach_binary binary)
{
    uint64_t c = binary.biased ? binary.fraction | UINT64_C(1) << 52 : binary.fraction;
    int32_t q = (binary.biased ? binary.biased : 1) - 1075;
    uint64_t odd = c & 1;
    bool closer = binary.fraction == 0 && binary.biased > 1;
    int32_t k = schubfach_log10_of_two_to(q, closer);
    int32_t h = q + schubfach_log2_of_ten_to(-k) + 1;
    struct decimal_power g = schubfach_power(-k);
    uint64_t low = round_to_odd_64(g, (4 * c - 2 + closer) << h) + odd;
    uint64_t middle = round_to_odd_64(g, (4 * c) << h);
    uint64_t high = round_to_odd_64(g, (4 * c + 2) << h) - odd;
    return (struct schubfach_decimal){choose_64(low, middle, high), k};
}

struct schubfach_decimal schubfach_float(struct schubfach_binary binary)
{
    uint32_t fraction = (uint32_t)binary.fraction;
    uint32_t c = binary.biased ? fraction | UINT32_C(1) << 23 : fraction;
    int32_t q = (binary.biased ? binary.biased : 1) - 150;
    uint32_t odd = c & 1;
    bool closer = fraction == 0 && binary.biased > 1;
    int32_t k = schubfach_log10_of_two_to(q, closer);
    int32_t h = q + schubfach_log2_of_ten_to(-k) + 1;
    uint64_t g = schubfach_power_64(-k);
    uint32_t low = round_to_odd_32(g, (4 * c - 2 + closer) << h) + odd;
    uint32_t middle = round_to_odd_32(g, (4 * c) << h);
    uint32_t high = round_to_odd_32(g, (4 * c + 2) << h) - odd;
    return (struct schubfach_decimal){choose_32(low, middle, high), k};
}
