/* Schubfach, and the layout of its digits. Names follow the paper where it has any. */
#include "base/shortest.h"

#include "base/decimal.h"

enum {
    POWER_EXACT_MAX = 55,   /* 5^q up to here is exact in 128 bits */
    POWER_CEILED_MIN = -27, /* the table is rounded up from here to -1 already */
    PLAIN_POINT_MAX = 21,   /* digits before the point in plain notation */
    PLAIN_ZEROS_MAX = 6,    /* "0.00000d" is plain, one more zero is not */
    DIGITS_AREA = 24,
    VALUES_AT_ONCE = 64,
};

/* digits * 10^exponent; digits may end in zeros. */
struct rendered {
    uint64_t digits;
    int32_t exponent;
};

static inline int32_t floor_log2_power_of_ten(int32_t exponent)
{
    return (exponent * 1741647) >> 19;
}

/* floor(log10(2^q)), or floor(log10(3/4 * 2^q)) where the lower neighbour is closer. */
static inline int32_t floor_log10_power_of_two(int32_t q, bool closer)
{
    return (q * 1262611 - (closer ? 524031 : 0)) >> 22;
}

/* The leading 128 bits of 10^exponent, rounded up where it has more. */
static inline struct decimal_power power_ceiled(int32_t exponent)
{
    struct decimal_power power = decimal_powers[exponent - DECIMAL_POWER_MIN];
    if (exponent > POWER_EXACT_MAX || exponent < POWER_CEILED_MIN) power.high += ++power.low == 0;
    return power;
}

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

static inline struct rendered render_double(uint64_t fraction, int32_t biased)
{
    uint64_t c = biased ? fraction | UINT64_C(1) << 52 : fraction;
    int32_t q = (biased ? biased : 1) - 1075;
    if (q <= 0 && q > -53 && (c & ((UINT64_C(1) << -q) - 1)) == 0)
        return (struct rendered){c >> -q, 0}; /* a whole number */
    uint64_t odd = c & 1;
    bool closer = fraction == 0 && biased > 1;
    int32_t k = floor_log10_power_of_two(q, closer);
    int32_t h = q + floor_log2_power_of_ten(-k) + 1;
    struct decimal_power g = power_ceiled(-k);
    uint64_t low = round_to_odd_64(g, (4 * c - 2 + closer) << h) + odd;
    uint64_t middle = round_to_odd_64(g, (4 * c) << h);
    uint64_t high = round_to_odd_64(g, (4 * c + 2) << h) - odd;
    uint64_t s = middle / 4;
    uint64_t tens = s / 10;
    bool below = low <= 40 * tens, above = 40 * tens + 40 <= high;
    if (s >= 10 && below != above) return (struct rendered){tens + above, k + 1};
    below = low <= 4 * s;
    above = 4 * s + 4 <= high;
    if (below != above) return (struct rendered){s + above, k};
    uint64_t half = 4 * s + 2;
    return (struct rendered){s + (middle > half || (middle == half && (s & 1))), k};
}

static inline struct rendered render_float(uint32_t fraction, int32_t biased)
{
    uint32_t c = biased ? fraction | UINT32_C(1) << 23 : fraction;
    int32_t q = (biased ? biased : 1) - 150;
    if (q <= 0 && q > -24 && (c & ((UINT32_C(1) << -q) - 1)) == 0)
        return (struct rendered){c >> -q, 0};
    uint32_t odd = c & 1;
    bool closer = fraction == 0 && biased > 1;
    int32_t k = floor_log10_power_of_two(q, closer);
    int32_t h = q + floor_log2_power_of_ten(-k) + 1;
    struct decimal_power power = decimal_powers[-k - DECIMAL_POWER_MIN];
    uint64_t g = power.high + (power.low != 0);
    uint32_t low = round_to_odd_32(g, (4 * c - 2 + closer) << h) + odd;
    uint32_t middle = round_to_odd_32(g, (4 * c) << h);
    uint32_t high = round_to_odd_32(g, (4 * c + 2) << h) - odd;
    uint32_t s = middle / 4;
    uint32_t tens = s / 10;
    bool below = low <= 40 * tens, above = 40 * tens + 40 <= high;
    if (s >= 10 && below != above) return (struct rendered){tens + above, k + 1};
    below = low <= 4 * s;
    above = 4 * s + 4 <= high;
    if (below != above) return (struct rendered){s + above, k};
    uint32_t half = 4 * s + 2;
    return (struct rendered){s + (middle > half || (middle == half && (s & 1))), k};
}

/* Eight decimal digits as bytes 0 to 9, the first in the lowest byte. */
static inline uint64_t eight_digits(uint32_t value)
{
    uint64_t fours = value / 10000 | (uint64_t)(value % 10000) << 32;
    uint64_t hundreds = ((fours * 10486) >> 20) & UINT64_C(0x0000007F0000007F);
    uint64_t pairs = hundreds | (fours - 100 * hundreds) << 16;
    uint64_t tens = ((pairs * 103) >> 10) & UINT64_C(0x000F000F000F000F);
    return tens | (pairs - 10 * tens) << 8;
}

/* Digits of a value, left-aligned in an area, zeros at both ends left out. */
struct digits {
    char area[DIGITS_AREA + 16]; /* copies of fixed size may read behind the digits */
    size_t start;
    size_t size;
    int32_t point; /* digits before the decimal point; may be negative or above size */
};

static inline void put_eight(char *out, uint64_t digits)
{
    digits |= UINT64_C(0x3030303030303030);
    memcpy(out, &digits, 8);
}

static inline void take_digits(struct digits *ret, struct rendered rendered)
{
    uint32_t low = (uint32_t)(rendered.digits % 100000000);
    uint64_t rest = rendered.digits / 100000000;
    uint64_t third = eight_digits(low);
    uint64_t second = eight_digits((uint32_t)(rest % 100000000));
    uint64_t first = rest / 100000000; /* at most one digit: 17 are the most */
    put_eight(ret->area, first << 56);
    put_eight(ret->area + 8, second);
    put_eight(ret->area + 16, third);
    size_t zeros = third    ? (size_t)__builtin_clzll(third) / 8
                   : second ? 8 + (size_t)__builtin_clzll(second) / 8
                            : 16;
    ret->start = first    ? 7
                 : second ? 8 + (size_t)__builtin_ctzll(second) / 8
                          : 16 + (size_t)__builtin_ctzll(third) / 8;
    ret->size = DIGITS_AREA - zeros - ret->start;
    ret->point = (int32_t)(DIGITS_AREA - ret->start) + rendered.exponent;
}

static size_t print_scientific(char *out, const struct digits *digits)
{
    const char *from = digits->area + digits->start;
    size_t size = 0;
    out[size++] = from[0];
    if (digits->size > 1) {
        out[size++] = '.';
        memcpy(out + size, from + 1, 17);
        size += digits->size - 1;
    }
    int32_t exponent = digits->point - 1;
    out[size++] = 'e';
    if (exponent < 0) out[size++] = '-';
    uint32_t magnitude = (uint32_t)(exponent < 0 ? -exponent : exponent);
    if (magnitude >= 100) out[size++] = (char)('0' + magnitude / 100);
    if (magnitude >= 10) out[size++] = (char)('0' + magnitude / 10 % 10);
    out[size++] = (char)('0' + magnitude % 10);
    return size;
}

static inline size_t print_digits(char *out, const struct digits *digits)
{
    const char *from = digits->area + digits->start;
    size_t size = digits->size;
    int32_t point = digits->point;
    if (LIKELY(point > 0 && point < (int32_t)size)) {
        memcpy(out, from, 17);
        memcpy(out + point + 1, from + point, 17);
        out[point] = '.';
        return size + 1;
    }
    if (point > -PLAIN_ZEROS_MAX && point <= 0) {
        memcpy(out, "0.000000", 8);
        memcpy(out + 2 - point, from, 17);
        return size + (size_t)(2 - point);
    }
    if (point > 0 && point <= PLAIN_POINT_MAX) {
        memset(out, '0', PLAIN_POINT_MAX);
        memcpy(out, from, size);
        memcpy(out + point, ".0", 2);
        return (size_t)point + 2;
    }
    return print_scientific(out, digits);
}

/* Zero, NaN and the infinities; `fraction` is not 0 for NaN. */
static size_t print_special(char *out, bool zero, bool fraction)
{
    struct str text = zero ? STR("0.0") : fraction ? STR("NaN") : STR("Infinity");
    memcpy(out, text.data, text.size);
    return text.size;
}

static inline size_t print_float(char *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t fraction = bits & 0x7FFFFF;
    int32_t biased = (int32_t)(bits >> 23 & 0xFF);
    bool nan = biased == 0xFF && fraction;
    size_t sign = bits >> 31 && !nan;
    *out = '-';
    out += sign;
    if (UNLIKELY(biased == 0xFF || (bits << 1) == 0))
        return sign + print_special(out, biased == 0, fraction != 0);
    struct digits digits;
    take_digits(&digits, render_float(fraction, biased));
    return sign + print_digits(out, &digits);
}

static inline size_t print_double(char *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    int32_t biased = (int32_t)(bits >> 52 & 0x7FF);
    bool nan = biased == 0x7FF && fraction;
    size_t sign = bits >> 63 && !nan;
    *out = '-';
    out += sign;
    if (UNLIKELY(biased == 0x7FF || (bits << 1) == 0))
        return sign + print_special(out, biased == 0, fraction != 0);
    struct digits digits;
    take_digits(&digits, render_double(fraction, biased));
    return sign + print_digits(out, &digits);
}

size_t shortest_print_float(char room[SHORTEST_ROOM], float value)
{
    return print_float(room, value);
}

size_t shortest_print_double(char room[SHORTEST_ROOM], double value)
{
    return print_double(room, value);
}

void shortest_add_float(struct buffer *out, float value)
{
    char room[SHORTEST_ROOM];
    buffer_add(out, (struct str){room, print_float(room, value)});
}

void shortest_add_double(struct buffer *out, double value)
{
    char room[SHORTEST_ROOM];
    buffer_add(out, (struct str){room, print_double(room, value)});
}

/*
 * Many at once: room for a piece of the values is reserved, then each is written in place. Where
 * the ceiling leaves no room for the worst case, one by one is exact about what fits.
 */
void shortest_add_floats(struct buffer *out, const float *values, size_t count)
{
    for (size_t i = 0; i < count;) {
        size_t piece = MIN(count - i, (size_t)VALUES_AT_ONCE);
        bool roomy = out->ceiling - out->size > piece * SHORTEST_ROOM;
        char *room = roomy ? buffer_reserve(out, piece * SHORTEST_ROOM) : NULL;
        char *at = room;
        if (!room) piece = 1;
        if (i && room) *at++ = ',';
        if (i && !room) buffer_add_byte(out, ',');
        if (!room) shortest_add_float(out, values[i]);
        for (size_t j = 0; room && j < piece; j++) {
            if (j) *at++ = ',';
            at += print_float(at, values[i + j]);
        }
        if (room) buffer_commit(out, (size_t)(at - room));
        i += piece;
    }
}

void shortest_add_doubles(struct buffer *out, const double *values, size_t count)
{
    for (size_t i = 0; i < count;) {
        size_t piece = MIN(count - i, (size_t)VALUES_AT_ONCE);
        bool roomy = out->ceiling - out->size > piece * SHORTEST_ROOM;
        char *room = roomy ? buffer_reserve(out, piece * SHORTEST_ROOM) : NULL;
        char *at = room;
        if (!room) piece = 1;
        if (i && room) *at++ = ',';
        if (i && !room) buffer_add_byte(out, ',');
        if (!room) shortest_add_double(out, values[i]);
        for (size_t j = 0; room && j < piece; j++) {
            if (j) *at++ = ',';
            at += print_double(at, values[i + j]);
        }
        if (room) buffer_commit(out, (size_t)(at - room));
        i += piece;
    }
}
