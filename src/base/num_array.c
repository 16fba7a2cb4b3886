/* Runs of numbers: the portable way. base/num_array_avx2.c has the fast one for long arrays. */
#include "base/num_array.h"

#include "base/decimal.h"
#include "base/num_array_avx2.h"

enum {
    SAMPLE_BYTES = 256,     /* shorter texts are not worth the vector code's start */
    SAMPLE_COMMAS_MIN = 12, /* tokens of 20 bytes */
    SAMPLE_COMMAS_MAX = 50, /* tokens of 5 */
    INTEGER_TEXT_MAX = 21,  /* "-9223372036854775808," */
    TOKEN_MAX = 15,         /* bytes that are looked at together, less the comma */
    SLOW_RUN = 15,
    DIGITS_SAFE = 19, /* as many always fit in 64 bits */
};

static inline bool is_space(char byte)
{
    if (LIKELY(byte > ' ')) return false;
    return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r';
}

static inline const char *skip_space(const char *at, const char *end)
{
    while (at < end && UNLIKELY(is_space(*at))) at++;
    return at;
}

/* The start of the number behind the next comma; NULL if there is no comma. */
static inline const char *next_number(const char *at, const char *end)
{
    if (LIKELY(end - at >= 2 && at[0] == ',' && at[1] > ' ')) return at + 1;
    at = skip_space(at, end);
    if (at == end || *at != ',') return NULL;
    return skip_space(at + 1, end);
}

static inline bool is_digit(char byte)
{
    return (unsigned char)(byte - '0') <= 9;
}

/*
 * One integer; the end of its digits, NULL if there are none or more than 64 bits. Eight digits at
 * once only where the eighth is one: most integers are short.
 */
static inline __attribute__((always_inline)) const char *
read_integer(const char *at, const char *end, uint64_t *ret_magnitude)
{
    const char *first = at;
    uint64_t value = 0, eight;
    while (end - at >= 8 && is_digit(at[7]) &&
           (memcpy(&eight, at, 8), decimal_is_eight_digits(eight))) {
        value = value * 100000000 + decimal_eight_digits(eight);
        at += 8;
        if (at - first > DIGITS_SAFE - 8) break;
    }
    unsigned digit;
    for (; at < end && (digit = (unsigned)(unsigned char)*at - '0') <= 9; at++) {
        if (UNLIKELY(at - first >= DIGITS_SAFE) &&
            (value > UINT64_MAX / 10 || value * 10 > UINT64_MAX - digit))
            return NULL;
        value = value * 10 + digit;
    }
    if (at == first || (*first == '0' && at - first > 1)) return NULL;
    if (at < end && *at != ',' && (*at == '.' || (*at | 0x20) == 'e')) return NULL;
    *ret_magnitude = value;
    return at;
}

/*
 * An integer of one to seven digits, without a branch that depends on how many. NULL if there is
 * none here, or eight bytes cannot be looked at: the other function decides then.
 */
static inline __attribute__((always_inline)) const char *
read_short_integer(const char *at, const char *end, uint64_t *ret_magnitude)
{
    uint64_t eight;
    if (UNLIKELY(end - at < 8)) return NULL;
    memcpy(&eight, at, 8);
    eight ^= UINT64_C(0x3030303030303030);
    uint64_t others =
        ((eight + UINT64_C(0x7676767676767676)) | eight) & UINT64_C(0x8080808080808080);
    int bits = __builtin_ctzll(others | UINT64_C(1) << 63) & ~7;
    bool leading_zero = (eight & 0xFF) == 0 && bits > 8;
    if (UNLIKELY(others == 0 || bits == 0 || leading_zero)) return NULL;
    at += bits >> 3;
    if (UNLIKELY(*at != ',' && *at != ']')) return NULL;
    *ret_magnitude = decimal_eight_values(eight << (64 - bits));
    return at;
}

/* Exact as doubles, and so is every integer of as many digits. */
static const double powers_of_ten[TOKEN_MAX + 1] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

static const uint64_t powers_of_ten_whole[8] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};

#define EIGHT_ZEROS UINT64_C(0x3030303030303030)

static inline uint64_t load_eight(const char *at)
{
    uint64_t eight;
    memcpy(&eight, at, sizeof eight);
    return eight ^ EIGHT_ZEROS;
}

/*
 * One bit per byte that is no digit; the bytes are less '0'. What is behind the first that is not
 * ASCII may be wrong.
 */
static inline uint32_t find_others(uint64_t eight)
{
    uint64_t others =
        ((eight + UINT64_C(0x7676767676767676)) | eight) & UINT64_C(0x8080808080808080);
    return (uint32_t)(others * UINT64_C(0x0002040810204081) >> 56);
}

/* The first `count` of up to 15 digits: eight, as they stand, and the rest. */
static inline uint64_t join_digits(uint64_t low, uint64_t high, uint32_t count)
{
    uint32_t rest = count > 8 ? count - 8 : 0;
    uint64_t upper = decimal_eight_values(low << (8 * (8 - (count - rest))));
    return upper * powers_of_ten_whole[rest] + decimal_eight_values(high << 8 << (56 - 8 * rest));
}

/*
 * A number of up to 15 bytes and a sign, without exponent, that ends at ',' or ']', taken as one
 * piece of 17 bytes, without a branch that depends on its length or sign. The digits behind the
 * point are loaded again, one byte farther on, over the point. The quotient of two exact doubles is
 * correctly rounded (W. Clinger, 1990). NULL if there is none here; decimal_read_* decides then.
 *
 * Its float is correctly rounded too. That could go wrong only if the double is the middle of two
 * floats, k / 2^b with k odd and of 25 bits, but the number, N / 10^d, is not. They differ by r /
 * (5^d 2^b), r = 2^(b-d) N - 5^d k, which is at most half a unit in the last place of the double,
 * 2^-(b+29); so |r| is below 5^d / 2^29: less than 1 for d up to 12, and less than 3 for 13, which
 * is all that 15 bytes hold. b - d is then at least 2 and 5^d one more than a multiple of 4, so r
 * is odd: 1 where k = 3 modulo 4, when the even neighbour is above, and -1 where it is below. To
 * the even neighbour the middle is rounded, and on that side the number is.
 */
static inline __attribute__((always_inline)) const char *
read_token(const char *at, const char *end, bool *ret_integer, double *ret_value)
{
    if (UNLIKELY(end - at < TOKEN_MAX + 3)) return NULL;
    uint64_t negative = *at == '-';
    at += negative;
    uint64_t low = load_eight(at), high = load_eight(at + 8);
    uint32_t others = find_others(low) | find_others(high) << 8;
    if (UNLIKELY(others == 0)) return NULL;
    uint32_t point = (uint32_t)__builtin_ctz(others), size = point, behind = 0;
    if (at[point] == '.') {
        others &= others - 1;
        if (UNLIKELY(others == 0 || point > 7)) return NULL;
        size = (uint32_t)__builtin_ctz(others);
        behind = size - point - 1;
        if (UNLIKELY(behind == 0)) return NULL;
        uint64_t before = (UINT64_C(1) << (8 * point)) - 1;
        low = (low & before) | (load_eight(at + 1) & ~before);
        high = load_eight(at + 9);
    }
    if (UNLIKELY(at[size] != ',' && at[size] != ']')) return NULL;
    if (UNLIKELY(point == 0 || ((*at == '0') & (point > 1)))) return NULL;
    uint64_t whole = join_digits(low, high, point + behind);
    double value = (double)(int64_t)whole / powers_of_ten[behind];
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits |= negative << 63;
    memcpy(ret_value, &bits, sizeof bits);
    *ret_integer = behind == 0;
    return at + size;
}

/* What the numbers before were like, since similar ones come together. */
struct habit {
    bool integers; /* short ones */
    unsigned slow; /* so many more are not tried as short tokens */
};

/* A number that is correctly rounded as a double, and as a float from there. */
static inline __attribute__((always_inline)) const char *
read_simple(const char *at, const char *end, struct habit *habit, double *ret_value)
{
    uint64_t whole;
    const char *behind = habit->integers ? read_short_integer(at, end, &whole) : NULL;
    if (behind) {
        *ret_value = (double)(int64_t)whole;
        return behind;
    }
    habit->integers = false;
    if (habit->slow) return NULL;
    return read_token(at, end, &habit->integers, ret_value);
}

/* The portable way. */
#define DEFINE_READ_REAL(name, type, decimal_read)                                                 \
    size_t name(const char **at, const char *end, type *values, size_t capacity)                   \
    {                                                                                              \
        size_t count = 0;                                                                          \
        struct habit habit = {.integers = true};                                                   \
        for (const char *next = *at; count < capacity && next; next = next_number(next, end)) {    \
            double value;                                                                          \
            const char *behind = read_simple(next, end, &habit, &value);                           \
            if (LIKELY(behind)) {                                                                  \
                values[count] = (type)value;                                                       \
                next = behind;                                                                     \
            } else {                                                                               \
                if (!decimal_read(&next, end, &values[count])) break;                              \
                if (__builtin_isinf(values[count])) break;                                         \
                habit.slow = habit.slow ? habit.slow - 1 : SLOW_RUN;                               \
            }                                                                                      \
            count++;                                                                               \
            *at = next;                                                                            \
        }                                                                                          \
        return count;                                                                              \
    }

DEFINE_READ_REAL(num_array_read_floats_portable, float, decimal_read_float)
DEFINE_READ_REAL(num_array_read_doubles_portable, double, decimal_read_double)

/*
 * The vector code is for tokens of middle length: shorter ones are mostly small integers, longer
 * ones have more digits than it takes. A look at the first bytes decides.
 */
static bool suits_vectors(const char *at, const char *end, size_t capacity)
{
    if (end - at < SAMPLE_BYTES || capacity < SAMPLE_COMMAS_MIN || is_space(*at)) return false;
    size_t commas = 0;
    for (size_t i = 0; i < SAMPLE_BYTES; i++) commas += at[i] == ',';
    return commas >= SAMPLE_COMMAS_MIN && commas <= SAMPLE_COMMAS_MAX && num_array_has_avx2();
}

/* What the vector code leaves, from the comma behind its last number on. */
#define DEFINE_READ_BOTH(name, type)                                                               \
    size_t name(const char **at, const char *end, type *values, size_t capacity)                   \
    {                                                                                              \
        size_t count = 0;                                                                          \
        if (suits_vectors(*at, end, capacity)) count = name##_avx2(at, end, values, capacity);     \
        if (count == 0) return name##_portable(at, end, values, capacity);                         \
        const char *next = next_number(*at, end);                                                  \
        if (!next || count == capacity) return count;                                              \
        size_t rest = name##_portable(&next, end, values + count, capacity - count);               \
        if (rest) *at = next;                                                                      \
        return count + rest;                                                                       \
    }

DEFINE_READ_BOTH(num_array_read_floats, float)
DEFINE_READ_BOTH(num_array_read_doubles, double)

/*
 * The four digits of "1,2,3,4,", each in a byte of its own and a zero byte behind it. False if the
 * eight bytes are anything else.
 */
static inline __attribute__((always_inline)) bool find_four_digits(const char *at, const char *end,
                                                                   uint64_t *ret_digits)
{
    uint64_t eight;
    if (end - at < 8) return false;
    memcpy(&eight, at, 8);
    eight ^= UINT64_C(0x2C302C302C302C30);
    if ((eight | (eight + UINT64_C(0x0006000600060006))) & UINT64_C(0xFFF0FFF0FFF0FFF0))
        return false;
    *ret_digits = eight;
    return true;
}

/*
 * One function per type: the range is then a constant. `lowest` is the magnitude of the smallest
 * value: 0 for unsigned types, where "-0" is nevertheless fine.
 */
#define DEFINE_READ(name, type, highest, lowest)                                                   \
    static size_t name(const char **at, const char *end, type *values, size_t capacity)            \
    {                                                                                              \
        size_t count = 0;                                                                          \
        const char *next = *at;                                                                    \
        uint64_t digits;                                                                           \
        while (count < capacity && next) {                                                         \
            bool short_one = LIKELY(end - next >= 2) && is_digit(*next);                           \
            if (short_one && next[1] == ',' && capacity - count >= 4 &&                            \
                find_four_digits(next, end, &digits)) {                                            \
                values[count] = (type)(digits & 0xF);                                              \
                values[count + 1] = (type)(digits >> 16 & 0xF);                                    \
                values[count + 2] = (type)(digits >> 32 & 0xF);                                    \
                values[count + 3] = (type)(digits >> 48);                                          \
                count += 4;                                                                        \
                next += 8;                                                                         \
                *at = next - 1;                                                                    \
                next = skip_space(next, end);                                                      \
                continue;                                                                          \
            }                                                                                      \
            if (short_one && (next[1] == ',' || next[1] == ']')) {                                 \
                values[count++] = (type)(*next - '0');                                             \
                *at = ++next;                                                                      \
                if (*next == ']') break;                                                           \
                next = skip_space(next + 1, end);                                                  \
                continue;                                                                          \
            }                                                                                      \
            bool negative = false;                                                                 \
            uint64_t magnitude;                                                                    \
            const char *first = next;                                                              \
            next = read_short_integer(first, end, &magnitude);                                     \
            if (!next) { /* only here may a sign delay the next number's start */                  \
                negative = first < end && *first == '-';                                           \
                first += negative;                                                                 \
                next = read_short_integer(first, end, &magnitude);                                 \
            }                                                                                      \
            if (!next) next = read_integer(first, end, &magnitude);                                \
            if (!next || magnitude > (negative ? (uint64_t)(lowest) : (uint64_t)(highest))) break; \
            values[count++] = (type)(negative ? 0 - magnitude : magnitude);                        \
            *at = next;                                                                            \
            next = next_number(next, end);                                                         \
        }                                                                                          \
        return count;                                                                              \
    }

DEFINE_READ(read_uint8, uint8_t, UINT8_MAX, 0)
DEFINE_READ(read_uint16, uint16_t, UINT16_MAX, 0)
DEFINE_READ(read_uint32, uint32_t, UINT32_MAX, 0)
DEFINE_READ(read_uint64, uint64_t, UINT64_MAX, 0)
DEFINE_READ(read_int8, int8_t, INT8_MAX, INT64_C(1) << 7)
DEFINE_READ(read_int16, int16_t, INT16_MAX, INT64_C(1) << 15)
DEFINE_READ(read_int32, int32_t, INT32_MAX, INT64_C(1) << 31)
DEFINE_READ(read_int64, int64_t, INT64_MAX, UINT64_C(1) << 63)

size_t num_array_read_integers(const char **at, const char *end, enum num_integer kind,
                               void *values, size_t capacity)
{
    switch (kind) {
    case NUM_UINT8: return read_uint8(at, end, values, capacity);
    case NUM_UINT16: return read_uint16(at, end, values, capacity);
    case NUM_UINT32: return read_uint32(at, end, values, capacity);
    case NUM_UINT64: return read_uint64(at, end, values, capacity);
    case NUM_INT8: return read_int8(at, end, values, capacity);
    case NUM_INT16: return read_int16(at, end, values, capacity);
    case NUM_INT32: return read_int32(at, end, values, capacity);
    case NUM_INT64: return read_int64(at, end, values, capacity);
    }
    return 0;
}

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233"
                            "34353637383940414243444546474849505152535455565758596061626364656667"
                            "6869707172737475767778798081828384858687888990919293949596979899";

static inline __attribute__((always_inline)) char *print_u64(char *out, uint64_t value)
{
    if (LIKELY(value < 100)) {
        const char *pair = pairs + 2 * value;
        *out = pair[value < 10];
        out[1] = pair[1];
        return out + 2 - (value < 10);
    }
    if (LIKELY(value < 10000)) {
        uint64_t high = value / 100;
        const char *pair = pairs + 2 * high;
        *out = pair[high < 10];
        out[1] = pair[1];
        memcpy(out + 2 - (high < 10), pairs + 2 * (value - 100 * high), 2);
        return out + 4 - (high < 10);
    }
    char digits[20];
    size_t start = sizeof digits;
    while (value >= 100) {
        start -= 2;
        memcpy(digits + start, pairs + 2 * (value % 100), 2);
        value /= 100;
    }
    start -= 2;
    memcpy(digits + start, pairs + 2 * value, 2);
    start += value < 10;
    memcpy(out, digits + start, sizeof digits - start);
    return out + (sizeof digits - start);
}

#define DEFINE_ADD(name, type)                                                                     \
    static char *name(char *out, const type *values, size_t count)                                 \
    {                                                                                              \
        for (size_t i = 0; i < count; i++) {                                                       \
            uint64_t magnitude = (uint64_t)values[i];                                              \
            if (LIKELY(magnitude < 10)) {                                                          \
                out[0] = (char)('0' + magnitude);                                                  \
                out[1] = ',';                                                                      \
                out += 2;                                                                          \
                continue;                                                                          \
            }                                                                                      \
            if (values[i] < (type)1) {                                                             \
                *out++ = '-';                                                                      \
                magnitude = 0 - magnitude;                                                         \
            }                                                                                      \
            out = print_u64(out, magnitude);                                                       \
            *out++ = ',';                                                                          \
        }                                                                                          \
        return out;                                                                                \
    }

DEFINE_ADD(add_uint8, uint8_t)
DEFINE_ADD(add_uint16, uint16_t)
DEFINE_ADD(add_uint32, uint32_t)
DEFINE_ADD(add_uint64, uint64_t)
DEFINE_ADD(add_int8, int8_t)
DEFINE_ADD(add_int16, int16_t)
DEFINE_ADD(add_int32, int32_t)
DEFINE_ADD(add_int64, int64_t)

char *num_array_put_long(char *at, int64_t value)
{
    return add_int64(at, &value, 1);
}

char *num_array_put_unsigned(char *at, uint64_t value)
{
    return print_u64(at, value);
}

/* Each value with a comma behind it. */
static char *print_integers(char *out, enum num_integer kind, const void *values, size_t count)
{
    switch (kind) {
    case NUM_UINT8: return add_uint8(out, values, count);
    case NUM_UINT16: return add_uint16(out, values, count);
    case NUM_UINT32: return add_uint32(out, values, count);
    case NUM_UINT64: return add_uint64(out, values, count);
    case NUM_INT8: return add_int8(out, values, count);
    case NUM_INT16: return add_int16(out, values, count);
    case NUM_INT32: return add_int32(out, values, count);
    case NUM_INT64: return add_int64(out, values, count);
    }
    return out;
}

static const uint8_t widths[] = {
    [NUM_UINT8] = 1, [NUM_UINT16] = 2, [NUM_UINT32] = 4, [NUM_UINT64] = 8,
    [NUM_INT8] = 1,  [NUM_INT16] = 2,  [NUM_INT32] = 4,  [NUM_INT64] = 8,
};

enum { INTEGERS_AT_ONCE = 128 };

/* Where the ceiling leaves no room for the worst case: printed elsewhere, then what fits. */
static void add_integers_tightly(struct buffer *out, enum num_integer kind, const void *values,
                                 size_t count, bool last)
{
    char spare[INTEGERS_AT_ONCE * INTEGER_TEXT_MAX];
    char *behind = print_integers(spare, kind, values, count);
    buffer_add(out, (struct str){spare, (size_t)(behind - spare) - last});
}

void num_array_add_integers(struct buffer *out, enum num_integer kind, const void *values,
                            size_t count)
{
    const char *from = values;
    while (count) {
        size_t piece = MIN(count, (size_t)INTEGERS_AT_ONCE);
        bool last = piece == count; /* no comma behind it */
        size_t worst = piece * INTEGER_TEXT_MAX;
        char *room = NULL;
        if (LIKELY(out->ceiling - out->size > worst)) room = buffer_reserve(out, worst);
        if (LIKELY(room != NULL))
            out->size += (size_t)(print_integers(room, kind, from, piece) - room) - last;
        else
            add_integers_tightly(out, kind, from, piece, last);
        from += piece * widths[kind];
        count -= piece;
    }
}
