/*
 * Schubfach, and the layout of its digits. Names follow the paper where it has any.
 *
 * A whole number is its own shortest text. Of nearly every other value one product tells the digits
 * (pick_digits); what is in doubt then, or has uneven neighbours, goes the paper's way.
 */
#include "base/shortest.h"

#include "base/schubfach.h"

enum {
    PLAIN_POINT_MAX = 21, /* digits before the point in plain notation */
    PLAIN_ZEROS_MAX = 6,  /* "0.00000d" is plain, one more zero is not */
    WORD_POINT_MAX = 7,   /* a point that a word of eight bytes has room for */
    DIGITS_FLOAT = 9,     /* digits * 10^exponent never has more */
    DIGITS_DOUBLE = 17,
    BIASED_END = 0xFF, /* exponents of a float that is a number are below */
    BIASED_END_DOUBLE = 0x7FF,
    POINT_BITS = 60,
    VALUES_AT_ONCE = 64,
};

/* What every number goes through is one piece of code without a call. */
#define INLINE static inline __attribute__((always_inline))

/* (10 * tens + last) * 10^exponent */
struct picked {
    uint64_t tens; /* not 0 */
    uint64_t last;
    int32_t exponent;
};

/* With as many zeros behind the digits as make them as many as `least` has. */
static struct picked picked_of(struct schubfach_decimal decimal, uint64_t least)
{
    for (; decimal.digits < least; decimal.exponent--) decimal.digits *= 10;
    return (struct picked){decimal.digits / 10, decimal.digits % 10, decimal.exponent};
}

static __attribute__((noinline)) struct picked pick_carefully_float(struct schubfach_binary binary)
{
    return picked_of(schubfach_float(binary), 100000000);
}

static __attribute__((noinline)) struct picked pick_carefully_double(struct schubfach_binary binary)
{
    return picked_of(schubfach_double(binary), UINT64_C(10000000000000000));
}

/*
 * A value scaled by a power of ten: `whole` and, as 64 bits, the fraction behind it. Half the
 * distance to the next value, also scaled, is 0.5 to 5, as POINT_BITS behind the point.
 */
struct scaled {
    uint64_t whole;
    uint64_t fraction;
    uint64_t half;
};

#define ONE (UINT64_C(1) << POINT_BITS)

/*
 * What is at most half a distance away reads back: a multiple of ten if there is one, which is
 * shorter, else the nearest integer. Which it is looks random in most data, so nothing here may
 * become a branch. False if a comparison is closer than `slack`, what the scaling may be wrong by:
 * only then do ties, and whether the ends of the interval belong to it, matter.
 */
INLINE bool pick_digits(struct scaled scaled, uint64_t slack, struct picked *ret_picked)
{
    uint64_t tens = scaled.whole / 10, digit = scaled.whole - 10 * tens;
    uint64_t over = digit << POINT_BITS | scaled.fraction >> (64 - POINT_BITS);
    uint64_t under = 10 * ONE - over, nearer = MIN(over, under), rounded = over + ONE / 2;
    uint64_t shorter = nearer < scaled.half, above = under < over;
    ret_picked->tens = tens + (shorter & above);
    ret_picked->last = (rounded >> POINT_BITS) & (shorter - 1);
    return nearer - scaled.half + slack > 2 * slack && ((rounded + slack) & (ONE - 1)) > 2 * slack;
}

/* By biased exponent: a distance, as POINT_BITS behind the point, after scaling by 10^-exponent. */
static struct unit {
    uint64_t distance;
    int32_t exponent;
} units[BIASED_END];

__attribute__((constructor)) static void fill_units(void)
{
    for (int32_t biased = 1; biased < BIASED_END; biased++) {
        int32_t q = biased - 150, k = schubfach_log10_of_two_to(q, false);
        int32_t h = q + schubfach_log2_of_ten_to(-k) + 1;
        units[biased] = (struct unit){(schubfach_power_64(-k) >> (4 - h)) + 1, k};
    }
}

/* The product is too large by at most 2^-35. */
INLINE struct picked pick_float(struct schubfach_binary binary)
{
    struct unit unit = units[binary.biased];
    struct picked picked = {.exponent = unit.exponent};
    uint64_t c = binary.fraction | UINT64_C(1) << 23;
    uint128 product = (uint128)unit.distance * (c << (64 - POINT_BITS));
    struct scaled scaled = {(uint64_t)(product >> 64), (uint64_t)product, unit.distance / 2};
    if (LIKELY(pick_digits(scaled, UINT64_C(1) << 26, &picked))) return picked;
    return pick_carefully_float(binary);
}

/* Two bits are cut off, and what the product is too large by is less than one. */
INLINE struct picked pick_double(struct schubfach_binary binary)
{
    int32_t q = binary.biased - 1075;
    int32_t k = schubfach_log10_of_two_to(q, false);
    int32_t h = q + schubfach_log2_of_ten_to(-k) + 1;
    struct decimal_power g = schubfach_power(-k);
    struct picked picked = {.exponent = k};
    uint64_t c = (binary.fraction | UINT64_C(1) << 52) << h;
    uint128 product = (uint128)g.high * c + (uint64_t)(((uint128)g.low * c) >> 64);
    struct scaled scaled = {(uint64_t)(product >> 64), (uint64_t)product, g.high >> (5 - h)};
    if (LIKELY(pick_digits(scaled, 16, &picked))) return picked;
    return pick_carefully_double(binary);
}

/*
 * Eight decimal digits as bytes 0 to 9, the first in the lowest byte. Each step halves the groups:
 * 10000 * a + b becomes a | b << 32, in one subtraction.
 */
static inline uint64_t eight_digits(uint32_t value)
{
    uint64_t fours = ((uint64_t)value << 32) - value / 10000 * ((UINT64_C(10000) << 32) - 1);
    uint64_t hundreds = ((fours * 10486) >> 20) & UINT64_C(0x0000007F0000007F);
    uint64_t pairs = (fours << 16) - hundreds * ((100 << 16) - 1);
    uint64_t tens = ((pairs * 103) >> 10) & UINT64_C(0x000F000F000F000F);
    return (pairs << 8) - tens * ((10 << 8) - 1);
}

/*
 * A value's digits in registers, as bytes 0 to 9, the first in the lowest: eight in `first`, for a
 * double eight more in `second`. `last` belongs in the place `tail`, 0 being the first digit's;
 * there the words have nothing but zeros. Neither the first nor, at size - 1, the last is 0.
 */
struct digits {
    uint64_t first;
    uint64_t second;
    uint64_t last;
    size_t tail;
    size_t size;
    int32_t point; /* digits before the decimal point; may be negative or above size */
};

/* Bytes up to the last that is not 0, of which there is one. */
static inline size_t used_bytes(uint64_t digits)
{
    return 8 - (size_t)__builtin_clzll(digits) / 8;
}

/* `tens` has 6 to 8 digits. */
INLINE struct digits digits_of_float(struct picked picked)
{
    uint64_t eight = eight_digits((uint32_t)picked.tens);
    size_t zeros = (size_t)__builtin_ctzll(eight) / 8;
    size_t used = used_bytes(eight);
    size_t size = used + ((DIGITS_FLOAT - used) & (0 - (size_t)(picked.last != 0)));
    return (struct digits){.first = eight >> (8 * zeros),
                           .last = picked.last,
                           .tail = DIGITS_FLOAT - 1 - zeros,
                           .size = size - zeros,
                           .point = DIGITS_FLOAT - (int32_t)zeros + picked.exponent};
}

/* `tens` has 15 or 16 digits. */
INLINE struct digits digits_of_double(struct picked picked)
{
    uint64_t high = picked.tens / 100000000;
    uint64_t first = eight_digits((uint32_t)high);
    uint64_t second = eight_digits((uint32_t)(picked.tens - high * 100000000));
    size_t zeros = (size_t)__builtin_ctzll(first) / 8;
    size_t used = second ? 8 + used_bytes(second) : used_bytes(first);
    size_t size = used + ((DIGITS_DOUBLE - used) & (0 - (size_t)(picked.last != 0)));
    return (struct digits){.first = first >> (8 * zeros) | second << 1 << (63 - 8 * zeros),
                           .second = second >> (8 * zeros),
                           .last = picked.last,
                           .tail = DIGITS_DOUBLE - 1 - zeros,
                           .size = size - zeros,
                           .point = DIGITS_DOUBLE - (int32_t)zeros + picked.exponent};
}

#define EIGHT_ZEROS UINT64_C(0x3030303030303030)

static inline void put_word(char *out, uint64_t word)
{
    memcpy(out, &word, 8);
}

/* Behind the digits come zeros, at least as many as make 24 bytes. */
INLINE void put_digits(char *out, struct digits digits)
{
    put_word(out, digits.first | EIGHT_ZEROS);
    put_word(out + 8, digits.second | EIGHT_ZEROS);
    put_word(out + 16, EIGHT_ZEROS);
    put_word(out + digits.tail, digits.last | EIGHT_ZEROS);
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
    char all[PLAIN_POINT_MAX + 24];
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
 * Up to seven digits before the point, or up to five zeros behind it: without a branch between
 * the two. Words go from registers to their places, one over the end of the other; read back from
 * memory in other portions, they would have to wait for the stores. `last` is never before a point
 * here.
 */
INLINE size_t print_plain(char *out, struct digits digits, bool wide)
{
    int32_t none = (digits.point - 1) >> 31; /* -1 if no digit is before the point */
    size_t point = (size_t)(digits.point & ~none);
    size_t base = 1 + (size_t)((1 - digits.point) & none); /* of the digits behind the point */
    put_word(out, (digits.first & ~(uint64_t)(int64_t)none) | EIGHT_ZEROS);
    out[point + (none & 1)] = '.';
    put_word(out + base + point, digits.first >> (8 * point) | EIGHT_ZEROS);
    if (wide) put_word(out + base + 8, digits.second | EIGHT_ZEROS);
    put_word(out + base + digits.tail, digits.last | EIGHT_ZEROS);
    return base + MAX(digits.size, point + 1);
}

INLINE size_t print_digits(char *out, struct digits digits, bool wide)
{
    int32_t point = digits.point;
    if (LIKELY(point > -PLAIN_ZEROS_MAX && point <= WORD_POINT_MAX))
        return print_plain(out, digits, wide);
    if (point > 0 && point <= PLAIN_POINT_MAX) return print_large(out, digits);
    return print_scientific(out, digits);
}

/* A positive integer of up to eight digits; returns how many. */
INLINE size_t put_integer(char *out, uint32_t value)
{
    uint64_t eight = eight_digits(value);
    size_t zeros = (size_t)__builtin_ctzll(eight) / 8;
    put_word(out, eight >> (8 * zeros) | EIGHT_ZEROS);
    return 8 - zeros;
}

/* One of up to 16 digits. */
INLINE size_t print_whole(char *out, uint64_t whole)
{
    size_t size = 0;
    if (whole < 100000000) {
        size = put_integer(out, (uint32_t)whole);
    } else {
        size = put_integer(out, (uint32_t)(whole / 100000000));
        put_word(out + size, eight_digits((uint32_t)(whole % 100000000)) | EIGHT_ZEROS);
        size += 8;
    }
    memcpy(out + size, ".0", 2);
    return size + 2;
}

/* Zero, NaN and the infinities; `fraction` is not 0 for NaN. A '-' stands at `out` already. */
static size_t print_special(char *out, bool negative, bool zero, bool fraction)
{
    size_t sign = negative && (zero || !fraction);
    struct str text = zero ? STR("0.0") : fraction ? STR("NaN") : STR("Infinity");
    memcpy(out + sign, text.data, text.size);
    return sign + text.size;
}

/* What has no fraction, or no neighbours at one distance. A '-' stands at `out` already. */
static __attribute__((noinline)) size_t print_rare_float(char *out, bool negative,
                                                         struct schubfach_binary binary)
{
    bool zero = binary.biased == 0 && binary.fraction == 0;
    if (zero || binary.biased == BIASED_END)
        return print_special(out, negative, zero, binary.fraction != 0);
    struct digits digits = digits_of_float(pick_carefully_float(binary));
    return negative + print_digits(out + negative, digits, false);
}

static __attribute__((noinline)) size_t print_rare_double(char *out, bool negative,
                                                          struct schubfach_binary binary)
{
    bool zero = binary.biased == 0 && binary.fraction == 0;
    if (zero || binary.biased == BIASED_END_DOUBLE)
        return print_special(out, negative, zero, binary.fraction != 0);
    struct digits digits = digits_of_double(pick_carefully_double(binary));
    return negative + print_digits(out + negative, digits, true);
}

/*
 * An integer below 2^24 has no neighbour nearer than 1, so nothing shorter reads back. `bits` of
 * the fraction stand before the point.
 */
INLINE size_t print_float(char *out, float value)
{
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    struct schubfach_binary binary = {word & 0x7FFFFF, (int32_t)(word >> 23 & 0xFF)};
    size_t sign = word >> 31; /* as likely as not: no branch */
    uint32_t bits = (uint32_t)(binary.biased - 127);
    *out = '-';
    if (bits <= 23 && word << 9 << bits == 0)
        return sign + print_whole(out + sign, ((word & 0x7FFFFF) | 1 << 23) >> (23 - bits));
    if (UNLIKELY(binary.fraction == 0 || (uint32_t)binary.biased - 1 >= BIASED_END - 1))
        return print_rare_float(out, sign, binary);
    return sign + print_digits(out + sign, digits_of_float(pick_float(binary)), false);
}

/* As above, below 2^53. */
INLINE size_t print_double(char *out, double value)
{
    uint64_t word;
    memcpy(&word, &value, sizeof word);
    struct schubfach_binary binary = {word << 12 >> 12, (int32_t)(word >> 52 & 0x7FF)};
    size_t sign = word >> 63;
    uint32_t bits = (uint32_t)(binary.biased - 1023);
    *out = '-';
    if (bits <= 52 && word << 12 << bits == 0)
        return sign + print_whole(out + sign, (binary.fraction | UINT64_C(1) << 52) >> (52 - bits));
    if (UNLIKELY(binary.fraction == 0 || (uint32_t)binary.biased - 1 >= BIASED_END_DOUBLE - 1))
        return print_rare_double(out, sign, binary);
    return sign + print_digits(out + sign, digits_of_double(pick_double(binary)), true);
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
    buffer_add(out, (struct str){room, shortest_print_float(room, value)});
}

void shortest_add_double(struct buffer *out, double value)
{
    char room[SHORTEST_ROOM];
    buffer_add(out, (struct str){room, shortest_print_double(room, value)});
}

/*
 * Many at once: room for a piece of the values is reserved, then each is written in place. Where
 * the ceiling leaves no room for the worst case, one by one is exact about what fits.
 */
#define DEFINE_ADD(name, type, print, add_one)                                                     \
    void name(struct buffer *out, const type *values, size_t count)                                \
    {                                                                                              \
        for (size_t i = 0; i < count;) {                                                           \
            size_t piece = MIN(count - i, (size_t)VALUES_AT_ONCE);                                 \
            bool roomy = out->ceiling - out->size > piece * SHORTEST_ROOM;                         \
            char *room = roomy ? buffer_reserve(out, piece * SHORTEST_ROOM) : NULL, *at = room;    \
            if (!room) {                                                                           \
                add_one(out, values[i++]);                                                         \
                if (i < count) buffer_add_byte(out, ',');                                          \
                continue;                                                                          \
            }                                                                                      \
            for (size_t stop = i + piece; i < stop; i++) {                                         \
                at += print(at, values[i]);                                                        \
                *at++ = ',';                                                                       \
            }                                                                                      \
            buffer_commit(out, (size_t)(at - room) - (i == count));                                \
        }                                                                                          \
    }

DEFINE_ADD(shortest_add_floats, float, print_float, shortest_add_float)
DEFINE_ADD(shortest_add_doubles, double, print_double, shortest_add_double)
