/* Eisel and Lemire's algorithm, and the powers of five that it needs. */
#include "base/decimal.h"

#include "base/num.h"

enum {
    LIMB_BITS = 32,
    LIMBS = 36,             /* 1152 bits: 2^1151 / 5^342 still has more than 128 */
    DIGITS_IN_64_BITS = 19, /* that many decimal digits always fit */
    EXPONENT_LIMIT = 100000,
};

struct decimal_power decimal_powers[DECIMAL_POWER_MAX - DECIMAL_POWER_MIN + 1];

/* An unsigned integer, least significant limb first. */
struct wide {
    uint32_t limbs[LIMBS];
};

static void wide_times_five(struct wide *wide)
{
    uint64_t carry = 0;
    for (size_t i = 0; i < LIMBS; i++) {
        carry += (uint64_t)wide->limbs[i] * 5;
        wide->limbs[i] = (uint32_t)carry;
        carry >>= LIMB_BITS;
    }
    assert(carry == 0);
}

static void wide_divide_by_five(struct wide *wide)
{
    uint64_t rest = 0;
    for (size_t i = LIMBS; i-- > 0;) {
        rest = rest << LIMB_BITS | wide->limbs[i];
        wide->limbs[i] = (uint32_t)(rest / 5);
        rest %= 5;
    }
}

/* The leading 128 bits, the rest cut off. */
static struct decimal_power wide_leading(const struct wide *wide)
{
    size_t top = LIMBS - 1;
    while (wide->limbs[top] == 0) top--;
    uint32_t five[5] = {0};
    for (size_t i = 0; i < 5 && i <= top; i++) five[i] = wide->limbs[top - i];
    int shift = __builtin_clz(five[0]);
    uint64_t high = (uint64_t)five[0] << 32 | five[1];
    uint64_t low = (uint64_t)five[2] << 32 | five[3];
    if (shift == 0) return (struct decimal_power){high, low};
    uint64_t tail = (uint64_t)five[4] << 32;
    return (struct decimal_power){high << shift | low >> (64 - shift),
                                  low << shift | tail >> (64 - shift)};
}

/*
 * The paper's table: exact where 5^q has 128 bits, cut off elsewhere, but rounded up for the small
 * negative powers, where q in [-27, -1] needs it. floor(floor(x / 5) / 5) = floor(x / 25), so
 * dividing 2^1151 again and again gives every negative power exactly cut off.
 */
__attribute__((constructor(DECIMAL_FILLS))) static void fill_powers(void)
{
    struct decimal_power *zero = decimal_powers - DECIMAL_POWER_MIN;
    struct wide wide = {{1}};
    for (int q = 0; q <= DECIMAL_POWER_MAX; q++) {
        zero[q] = wide_leading(&wide);
        wide_times_five(&wide);
    }
    wide = (struct wide){.limbs = {[LIMBS - 1] = UINT32_C(1) << 31}};
    for (int q = -1; q >= DECIMAL_POWER_MIN; q--) {
        wide_divide_by_five(&wide);
        struct decimal_power power = wide_leading(&wide);
        if (q >= -27) power.high += ++power.low == 0;
        zero[q] = power;
    }
}

/* A binary format: its explicit mantissa bits and the ranges of the paper's section 6 and 8. */
struct format {
    int mantissa_bits;
    int exponent_min;
    int exponent_infinite;
    int power_min, power_max;
    int even_min, even_max;
};

static const struct format format_double = {52, -1023, 0x7FF, -342, 308, -4, 23};
static const struct format format_float = {23, -127, 0xFF, -64, 38, -17, 10};

static inline uint64_t assemble(const struct format *format, uint64_t mantissa, int exponent)
{
    return mantissa | (uint64_t)exponent << format->mantissa_bits;
}

/* The approximate product; the second multiplication only where the first could round wrong. */
static inline struct decimal_power multiply(uint64_t w, const struct decimal_power *power, int bits)
{
    uint128 product = (uint128)w * power->high;
    uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
    uint64_t mask = UINT64_MAX >> bits;
    if (UNLIKELY((high & mask) == mask)) {
        uint64_t more = (uint64_t)(((uint128)w * power->low) >> 64);
        low += more;
        high += low < more;
    }
    return (struct decimal_power){high, low};
}

static uint64_t subnormal(uint64_t mantissa, int exponent)
{
    if (-exponent + 1 >= 64) return 0;
    mantissa >>= -exponent + 1;
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    return mantissa; /* one bit too many is the smallest normal number, as it should be */
}

/* The bits, without sign, of w * 10^q; w may have 64 bits. */
static inline __attribute__((always_inline)) uint64_t round_product(const struct format *format,
                                                                    uint64_t w, int64_t q)
{
    if (w == 0 || q < format->power_min) return 0;
    if (q > format->power_max) return assemble(format, 0, format->exponent_infinite);
    int zeros = __builtin_clzll(w);
    struct decimal_power product =
        multiply(w << zeros, &decimal_powers[q - DECIMAL_POWER_MIN], format->mantissa_bits + 3);
    int upper = (int)(product.high >> 63);
    int shift = upper + 64 - format->mantissa_bits - 3;
    uint64_t mantissa = product.high >> shift;
    /* floor(log2(10^q)) + 63, exact for the table's range */
    int exponent = (int)((217706 * q) >> 16) + 63 + upper - zeros - format->exponent_min;
    if (UNLIKELY(exponent <= 0)) return subnormal(mantissa, exponent);
    bool halfway = product.low <= 1 && q >= format->even_min && q <= format->even_max &&
                   (mantissa & 3) == 1 && mantissa << shift == product.high;
    if (UNLIKELY(halfway)) mantissa &= ~UINT64_C(1);
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    if (UNLIKELY(mantissa >= UINT64_C(2) << format->mantissa_bits)) {
        mantissa >>= 1;
        exponent++;
    }
    if (UNLIKELY(exponent >= format->exponent_infinite))
        return assemble(format, 0, format->exponent_infinite);
    return assemble(format, mantissa & ~(UINT64_C(1) << format->mantissa_bits), exponent);
}

static inline double bits_to_double(bool negative, uint64_t bits)
{
    double value;
    bits |= (uint64_t)negative << 63;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float bits_to_float(bool negative, uint64_t bits)
{
    float value;
    uint32_t word = (uint32_t)bits | (uint32_t)negative << 31;
    memcpy(&value, &word, sizeof value);
    return value;
}

double decimal_to_double(bool negative, uint64_t mantissa, int64_t exponent)
{
    return bits_to_double(negative, round_product(&format_double, mantissa, exponent));
}

float decimal_to_float(bool negative, uint64_t mantissa, int64_t exponent)
{
    return bits_to_float(negative, round_product(&format_float, mantissa, exponent));
}

/* A token taken apart: its value lies in [mantissa, mantissa + truncated] * 10^exponent. */
struct decimal {
    uint64_t mantissa;
    int64_t exponent;
    bool negative;
    bool truncated;
};

static inline bool is_digit(const char *at, const char *end)
{
    return at < end && (unsigned char)(*at - '0') <= 9;
}

static inline const char *read_digits(const char *at, const char *end, uint64_t *mantissa)
{
    uint64_t eight;
    while (end - at >= 8 && (memcpy(&eight, at, 8), decimal_is_eight_digits(eight))) {
        *mantissa = *mantissa * 100000000 + decimal_eight_digits(eight);
        at += 8;
    }
    for (; is_digit(at, end); at++) *mantissa = *mantissa * 10 + (uint64_t)(*at - '0');
    return at;
}

/* "e-7", or nothing. NULL if there is an 'e' without digits. */
static inline const char *read_power(const char *at, const char *end, int64_t *exponent)
{
    if (at == end || (*at | 0x20) != 'e') return at;
    at++;
    bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at++;
    if (!is_digit(at, end)) return NULL;
    int64_t power = 0;
    for (; is_digit(at, end); at++)
        if (power < EXPONENT_LIMIT) power = power * 10 + (*at - '0');
    *exponent += negative ? -power : power;
    return at;
}

/* The mantissa of more digits than 64 bits hold: the first 19 that count. */
static void truncate_mantissa(const char *at, const char *end, struct decimal *decimal)
{
    const char *point = NULL;
    uint64_t mantissa = 0;
    int64_t digits = 0, left_out = 0;
    for (; at < end && (*at | 0x20) != 'e'; at++) {
        if (*at == '.') {
            point = at;
            continue;
        }
        if (digits == DIGITS_IN_64_BITS) {
            left_out += point == NULL;
            decimal->truncated |= *at != '0';
            continue;
        }
        mantissa = mantissa * 10 + (uint64_t)(*at - '0');
        digits += mantissa != 0;
        left_out -= point != NULL;
    }
    int64_t power = 0;
    (void)read_power(at, end, &power); /* checked already */
    decimal->mantissa = mantissa;
    decimal->exponent = left_out + power;
}

/* JSON's grammar. Returns the end of the token, NULL if there is none. */
static inline const char *read_token(const char *at, const char *end, struct decimal *ret)
{
    struct decimal decimal = {.negative = at < end && *at == '-'};
    const char *first = at + decimal.negative;
    const char *integer_end = read_digits(first, end, &decimal.mantissa);
    if (integer_end == first || (*first == '0' && integer_end - first > 1)) return NULL;
    const char *behind = integer_end;
    if (behind < end && *behind == '.') {
        behind = read_digits(integer_end + 1, end, &decimal.mantissa);
        if (behind == integer_end + 1) return NULL;
        decimal.exponent = integer_end + 1 - behind;
    }
    ptrdiff_t digits = behind - first - (behind != integer_end);
    behind = read_power(behind, end, &decimal.exponent);
    if (!behind) return NULL;
    if (UNLIKELY(digits > DIGITS_IN_64_BITS)) truncate_mantissa(first, behind, &decimal);
    *ret = decimal;
    return behind;
}

bool decimal_read_double(const char **at, const char *end, double *ret_value)
{
    struct decimal decimal;
    const char *behind = read_token(*at, end, &decimal);
    if (!behind) return false;
    uint64_t bits = round_product(&format_double, decimal.mantissa, decimal.exponent);
    if (UNLIKELY(decimal.truncated) &&
        bits != round_product(&format_double, decimal.mantissa + 1, decimal.exponent))
        *ret_value = num_exact_double((struct str){*at, (size_t)(behind - *at)});
    else
        *ret_value = bits_to_double(decimal.negative, bits);
    *at = behind;
    return true;
}

bool decimal_read_float(const char **at, const char *end, float *ret_value)
{
    struct decimal decimal;
    const char *behind = read_token(*at, end, &decimal);
    if (!behind) return false;
    uint64_t bits = round_product(&format_float, decimal.mantissa, decimal.exponent);
    if (UNLIKELY(decimal.truncated) &&
        bits != round_product(&format_float, decimal.mantissa + 1, decimal.exponent))
        *ret_value = num_exact_float((struct str){*at, (size_t)(behind - *at)});
    else
        *ret_value = bits_to_float(decimal.negative, bits);
    *at = behind;
    return true;
}
