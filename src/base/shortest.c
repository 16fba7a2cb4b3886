/* Schubfach, and the layout of its digits. Names follow the paper where it has any. */
#include "base/shortest.h"

#include "base/decimal.h"

enum {
    POWER_EXACT_MAX = 55,   /* 5^q up to here is exact in 128 bits */
    POWER_CEILED_MIN = -27, /* the table is rounded up from here to -1 already */
    PLAIN_POINT_MAX = 21,   /* digits before the point in plain notation */
    PLAIN_ZEROS_MAX = 6,    /* "0.00000d" is plain, one more zero is not */
    WORD_POINT_MAX = 7,     /* a point that a word of eight bytes has room for */
    DIGITS_FLOAT = 9,       /* digits * 10^exponent never has more */
    DIGITS_DOUBLE = 17,
    VALUES_AT_ONCE = 64,
};

/* What every number goes through is one piece of code without a call. */
#define INLINE static inline __attribute__((always_inline))

/* digits * 10^exponent; digits may end in zeros, and are at most 9 or 17. */
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

INLINE struct rendered render_double(uint64_t fraction, int32_t biased)
{
    uint64_t c = biased ? fraction | UINT64_C(1) << 52 : fraction;
    int32_t q = (biased ? biased : 1) - 1075;
    uint64_t odd = c & 1;
    bool closer = fraction == 0 && biased > 1;
    int32_t k = floor_log10_power_of_two(q, closer);
    int32_t h = q + floor_log2_power_of_ten(-k) + 1;
    struct decimal_power g = power_ceiled(-k);
    uint64_t low = round_to_odd_64(g, (4 * c - 2 + closer) << h) + odd;
    uint64_t middle = round_to_odd_64(g, (4 * c) << h);
    uint64_t high = round_to_odd_64(g, (4 * c + 2) << h) - odd;
    return (struct rendered){choose_64(low, middle, high), k};
}

INLINE struct rendered render_float(uint32_t fraction, int32_t biased)
{
    uint32_t c = biased ? fraction | UINT32_C(1) << 23 : fraction;
    int32_t q = (biased ? biased : 1) - 150;
    uint32_t odd = c & 1;
    bool closer = fraction == 0 && biased > 1;
    int32_t k = floor_log10_power_of_two(q, closer);
    int32_t h = q + floor_log2_power_of_ten(-k) + 1;
    struct decimal_power power = decimal_powers[-k - DECIMAL_POWER_MIN];
    uint64_t g = power.high + (power.low != 0);
    uint32_t low = round_to_odd_32(g, (4 * c - 2 + closer) << h) + odd;
    uint32_t middle = round_to_odd_32(g, (4 * c) << h);
    uint32_t high = round_to_odd_32(g, (4 * c + 2) << h) - odd;
    return (struct rendered){choose_32(low, middle, high), k};
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

/*
 * A value's digits in registers, as bytes 0 to 9: the first, which is not 0, then eight, then eight
 * more. Behind the last that counts come zeros.
 */
struct digits {
    uint64_t first;
    uint64_t second;
    uint64_t third;
    size_t size;   /* that count */
    int32_t point; /* digits before the decimal point; may be negative or above size */
};

static const uint64_t powers_of_ten[DIGITS_DOUBLE + 1] = {1,
                                                          10,
                                                          100,
                                                          1000,
                                                          10000,
                                                          100000,
                                                          1000000,
                                                          10000000,
                                                          100000000,
                                                          1000000000,
                                                          10000000000,
                                                          100000000000,
                                                          1000000000000,
                                                          10000000000000,
                                                          100000000000000,
                                                          1000000000000000,
                                                          10000000000000000,
                                                          100000000000000000};

/* How many digits a positive number has. */
static inline int32_t count_digits(uint64_t value)
{
    int32_t atleast = ((64 - __builtin_clzll(value)) * 1233) >> 12; /* log10(2) */
    return atleast + (value >= powers_of_ten[atleast]);
}

/* Bytes up to the last that is not 0. */
static inline size_t used_bytes(uint64_t digits)
{
    return digits ? 8 - (size_t)__builtin_clzll(digits) / 8 : 0;
}

INLINE struct digits digits_of_float(struct rendered rendered)
{
    int32_t count = count_digits(rendered.digits);
    uint32_t digits = (uint32_t)(rendered.digits * powers_of_ten[DIGITS_FLOAT - count]);
    uint32_t first = digits / 100000000;
    uint64_t second = eight_digits(digits - first * 100000000);
    return (struct digits){first, second, 0, 1 + used_bytes(second), count + rendered.exponent};
}

INLINE struct digits digits_of_double(struct rendered rendered)
{
    int32_t count = count_digits(rendered.digits);
    uint64_t digits = rendered.digits * powers_of_ten[DIGITS_DOUBLE - count];
    uint64_t upper = digits / 100000000;
    uint64_t first = upper / 100000000;
    uint64_t second = eight_digits((uint32_t)(upper - first * 100000000));
    uint64_t third = eight_digits((uint32_t)(digits - upper * 100000000));
    size_t size = third ? 9 + used_bytes(third) : 1 + used_bytes(second);
    return (struct digits){first, second, third, size, count + rendered.exponent};
}

#define EIGHT_ZEROS UINT64_C(0x3030303030303030)

static inline void put_word(char *out, uint64_t word)
{
    memcpy(out, &word, 8);
}

/* All 17 of them; 24 bytes are overwritten. */
static inline void put_digits(char *out, struct digits digits)
{
    *out = (char)('0' + digits.first);
    put_word(out + 1, digits.second | EIGHT_ZEROS);
    put_word(out + 9, digits.third | EIGHT_ZEROS);
}

static __attribute__((noinline)) size_t print_scientific(char *out, struct digits digits)
{
    put_digits(out + 1, digits);
    out[0] = out[1];
    out[1] = '.';
    size_t size = digits.size > 1 ? digits.size + 1 : 1;
    int32_t exponent = digits.point - 1;
    out[size++] = 'e';
    if (exponent < 0) out[size++] = '-';
    uint32_t magnitude = (uint32_t)(exponent < 0 ? -exponent : exponent);
    if (magnitude >= 100) out[size++] = (char)('0' + magnitude / 100);
    if (magnitude >= 10) out[size++] = (char)('0' + magnitude / 10 % 10);
    out[size++] = (char)('0' + magnitude % 10);
    return size;
}

/* Numbers of eight digits or more before the point. */
static __attribute__((noinline)) size_t print_large(char *out, struct digits digits)
{
    size_t point = (size_t)digits.point;
    char all[PLAIN_POINT_MAX + DIGITS_DOUBLE];
    memset(all, '0', sizeof all);
    put_digits(all, digits);
    memcpy(out, all, sizeof all);
    if (point >= digits.size) {
        memcpy(out + point, ".0", 2);
        return point + 2;
    }
    memcpy(out + point + 1, all + point, DIGITS_DOUBLE);
    out[point] = '.';
    return digits.size + 1;
}

/*
 * Digits go from registers to their places; read back from memory in other portions, they would
 * have to wait for the stores.
 */
INLINE size_t print_digits(char *out, struct digits digits)
{
    int32_t point = digits.point;
    if (LIKELY(point > 0 && point <= WORD_POINT_MAX)) {
        put_digits(out + 1, digits);
        uint64_t word = (digits.first | digits.second << 8) | EIGHT_ZEROS;
        uint64_t before = (UINT64_C(1) << (8 * point)) - 1;
        put_word(out, (word & before) | (word & ~before) << 8 | (uint64_t)'.' << (8 * point));
        return MAX(digits.size, (size_t)point + 1) + 1;
    }
    if (point > -PLAIN_ZEROS_MAX && point <= 0) {
        memcpy(out, "0.000000", 8);
        put_digits(out + 2 - point, digits);
        return digits.size + (size_t)(2 - point);
    }
    if (point > 0 && point <= PLAIN_POINT_MAX) return print_large(out, digits);
    return print_scientific(out, digits);
}

/* Zero, NaN and the infinities; `fraction` is not 0 for NaN. A '-' stands at `out` already. */
static __attribute__((noinline)) size_t print_special(char *out, bool negative, bool zero,
                                                      bool fraction)
{
    size_t sign = negative && (zero || !fraction);
    struct str text = zero ? STR("0.0") : fraction ? STR("NaN") : STR("Infinity");
    memcpy(out + sign, text.data, text.size);
    return sign + text.size;
}

static inline size_t print_float(char *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t fraction = bits & 0x7FFFFF;
    int32_t biased = (int32_t)(bits >> 23 & 0xFF);
    *out = '-';
    if (UNLIKELY(biased == 0xFF || (bits << 1) == 0))
        return print_special(out, bits >> 31, biased == 0, fraction != 0);
    size_t sign = bits >> 31; /* as likely as not: no branch */
    out += sign;
    struct digits digits = digits_of_float(render_float(fraction, biased));
    return sign + print_digits(out, digits);
}

static inline size_t print_double(char *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    int32_t biased = (int32_t)(bits >> 52 & 0x7FF);
    *out = '-';
    if (UNLIKELY(biased == 0x7FF || (bits << 1) == 0))
        return print_special(out, bits >> 63, biased == 0, fraction != 0);
    size_t sign = bits >> 63; /* as likely as not: no branch */
    out += sign;
    struct digits digits = digits_of_double(render_double(fraction, biased));
    return sign + print_digits(out, digits);
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
