/*
 * Long arrays with AVX2, in two phases per piece of text: first the positions of all commas, 64
 * bytes at a time; then the tokens between them, each converted on its own and without a branch
 * that depends on its digits, so that the processor works on several at once.
 *
 * A token of up to 15 bytes is loaded whole. One shuffle, looked up by its length and the place of
 * its point, takes the point out and moves the digits to the end of the register; three
 * multiply-add steps make one integer of them. An integer below 10^15 divided by a power of ten is
 * correctly rounded as a double, both being exact (W. Clinger, 1990), and so is its float, as
 * base/num_array.c shows. A longer token is taken in two parts. Whatever is not so simple, an
 * exponent or a very long token or no number at all, is left to decimal_read_*.
 */
#include "base/num_array_avx2.h"

#include "base/decimal.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#define AVX2_INLINE AVX2 inline __attribute__((always_inline))

enum {
    PIECE_BYTES = 2048, /* of text between the phases: both stay in the first cache */
    BLOCK_BYTES = 64,
    TOKEN_MAX = 15,
    LONG_TOKEN_MAX = 19, /* 18 digits and a point */
    LOAD_BYTES = 16,
    ENDS_SLACK = 8, /* ends are written eight at a time */
};

_Static_assert(PIECE_BYTES <= UINT16_MAX, "an end is a 16-bit offset in its piece");

/* Exact as doubles. */
static const double powers_of_ten[LONG_TOKEN_MAX] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,
                                                     1e7,  1e8,  1e9,  1e10, 1e11, 1e12, 1e13,
                                                     1e14, 1e15, 1e16, 1e17, 1e18};

/* shuffles[size][point]: point == size where there is none. Filled before main(). */
static uint8_t shuffles[LOAD_BYTES + 1][LOAD_BYTES + 1][LOAD_BYTES] __attribute__((aligned(16)));

__attribute__((constructor)) static void fill_shuffles(void)
{
    memset(shuffles, 0x80, sizeof shuffles);
    for (size_t size = 0; size <= LOAD_BYTES; size++)
        for (size_t point = 0; point <= size; point++) {
            size_t out = LOAD_BYTES;
            for (size_t i = size; i-- > 0;)
                if (i != point) shuffles[size][point][--out] = (uint8_t)i;
        }
}

bool num_array_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
}

/* Offsets of all commas in whole blocks of the piece; returns how many. */
AVX2_INLINE static size_t find_ends(const char *piece, size_t blocks, uint16_t *ends)
{
    const __m256i comma = _mm256_set1_epi8(',');
    size_t count = 0;
    for (size_t block = 0; block < blocks; block++) {
        const char *from = piece + block * BLOCK_BYTES;
        __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)from);
        __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(from + 32));
        uint64_t found = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, comma)) |
                         (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, comma))
                             << 32;
        size_t total = (size_t)__builtin_popcountll(found);
        uint16_t *out = ends + count;
        for (size_t written = 0; written < total; written += 8)
            for (size_t i = 0; i < 8; i++) {
                out[written + i] = (uint16_t)(block * BLOCK_BYTES + (size_t)_tzcnt_u64(found));
                found = _blsr_u64(found);
            }
        count += total;
    }
    return count;
}

/* Digits with a point among them, at either end too; or none: point == size. */
struct run {
    uint64_t whole; /* of all digits */
    size_t point;
};

/* Constants that stay in registers: the compiler would make them anew for each token. */
struct constants {
    __m128i points;
    __m128i zeros;
    __m128i nines;
    __m128i tens;
    __m128i hundreds;
    __m128i myriads;
};

#define KEEP(vector) __asm__("" : "+x"(vector))

AVX2_INLINE static struct constants make_constants(void)
{
    struct constants constants = {
        .points = _mm_set1_epi8('.'),
        .zeros = _mm_set1_epi8('0'),
        .nines = _mm_set1_epi8(9),
        .tens = _mm_set1_epi16(1 << 8 | 10),
        .hundreds = _mm_set1_epi32(1 << 16 | 100),
        .myriads = _mm_set1_epi32(1 << 16 | 10000),
    };
    KEEP(constants.points);
    KEEP(constants.zeros);
    KEEP(constants.nines);
    KEEP(constants.tens);
    KEEP(constants.hundreds);
    KEEP(constants.myriads);
    return constants;
}

/* False if anything else is among the `size` bytes at `start`; LOAD_BYTES can be read there. */
AVX2_INLINE static bool read_run(const struct constants *constants, const char *start, size_t size,
                                 struct run *ret_run)
{
    __m128i text = _mm_loadu_si128((const __m128i *)(const void *)start);
    uint32_t points = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(text, constants->points));
    size_t point = _tzcnt_u32(points | (UINT32_C(1) << size));
    __m128i row = _mm_load_si128((const __m128i *)(const void *)shuffles[size][point]);
    __m128i digits = _mm_shuffle_epi8(_mm_sub_epi8(text, constants->zeros), row);
    __m128i wrong = _mm_subs_epu8(digits, constants->nines);
    __m128i pairs = _mm_maddubs_epi16(digits, constants->tens);
    __m128i fours = _mm_madd_epi16(pairs, constants->hundreds);
    __m128i eights = _mm_madd_epi16(_mm_packus_epi32(fours, fours), constants->myriads);
    uint64_t both = (uint64_t)_mm_cvtsi128_si64(eights);
    ret_run->whole = (both & UINT32_MAX) * 100000000 + (both >> 32);
    ret_run->point = point;
    return _mm_testz_si128(wrong, wrong);
}

/* True if a token of digits has its point in a wrong place, or a zero that JSON does not allow. */
AVX2_INLINE static bool is_malformed(const char *start, size_t size, size_t point)
{
    return point == 0 || point + 1 == size || ((*start == '0') & (point > 1));
}

/* Values of either width: `index` counts elements. */
struct sink {
    float *floats;
    double *doubles;
};

/*
 * True if the double is at most two units in its last place from the middle of two floats, so that
 * rounding it again could go wrong.
 */
static inline bool is_near_midpoint(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return ((bits - UINT64_C(0x10000000) + 2) & UINT64_C(0x1FFFFFFF)) <= 4;
}

/*
 * Looked up, not compared: what compilers make of a comparison may leave the upper part of a
 * register as it was, and then each token waits for the one before.
 */
static const uint8_t is_minus[256] = {['-'] = 1}, is_blank[256] = {[' '] = 1};

static inline double with_sign(double value, uint64_t negative)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits |= negative << 63;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

/* A token of up to 15 bytes. Nothing may become a branch that depends on which number it is. */
AVX2_INLINE static bool convert_short(const struct constants *constants, const char *start,
                                      size_t size, uint64_t negative, bool single, struct sink sink,
                                      size_t index)
{
    struct run run;
    if (UNLIKELY(!read_run(constants, start, size, &run))) return false;
    if (UNLIKELY(is_malformed(start, size, run.point))) return false;
    size_t behind = size - run.point - (run.point < size);
    double value = (double)(int64_t)run.whole / powers_of_ten[behind];
    value = with_sign(value, negative);
    if (single)
        sink.floats[index] = (float)value;
    else
        sink.doubles[index] = value;
    return true;
}

/*
 * A token of 16 to 19 bytes: the last 16 are a run, what is before them another. With a point there
 * are up to 18 digits. As a double they may be half a unit off, and their quotient another half: at
 * most two units of the result. That leaves no doubt about a float but next to a midpoint.
 */
AVX2_INLINE static bool convert_long(const struct constants *constants, const char *start,
                                     size_t size, uint64_t negative, bool single, struct sink sink,
                                     size_t index)
{
    struct run upper, lower;
    size_t front = size - LOAD_BYTES;
    bool digits = read_run(constants, start, front, &upper) &
                  read_run(constants, start + front, LOAD_BYTES, &lower);
    bool above = upper.point < front, below = lower.point < LOAD_BYTES;
    size_t point = above ? upper.point : front + lower.point;
    bool one_point = above ^ below;
    if (UNLIKELY(!(digits & one_point) || is_malformed(start, size, point))) return false;
    uint64_t shift = below ? UINT64_C(1000000000000000) : UINT64_C(10000000000000000);
    uint64_t whole = upper.whole * shift + lower.whole;
    size_t behind = size - point - 1;
    if (!single) {
        sink.doubles[index] = decimal_to_double(negative != 0, whole, -(int64_t)behind);
        return true;
    }
    double value = (double)(int64_t)whole / powers_of_ten[behind];
    if (UNLIKELY(is_near_midpoint(value))) return false;
    sink.floats[index] = (float)with_sign(value, negative);
    return true;
}

/* Any token that is not too long, if nothing but a space is before it. */
AVX2_INLINE static bool convert(const struct constants *constants, const char *start,
                                const char *stop, const char *end, bool single, struct sink sink,
                                size_t index)
{
    start += is_blank[(uint8_t)*start];
    uint64_t negative = is_minus[(uint8_t)*start];
    start += negative;
    size_t size = (size_t)(stop - start);
    if (__builtin_expect(end - start < LOAD_BYTES, 0)) return false;
    if (size <= TOKEN_MAX)
        return convert_short(constants, start, size, negative, single, sink, index);
    return size <= LONG_TOKEN_MAX &&
           convert_long(constants, start, size, negative, single, sink, index);
}

static bool convert_any(const char **at, const char *end, bool single, struct sink sink,
                        size_t index)
{
    const char *start = *at;
    while (start < end && (*start == ' ' || *start == '\n' || *start == '\t' || *start == '\r'))
        start++;
    if (single) {
        if (!decimal_read_float(&start, end, &sink.floats[index])) return false;
        if (__builtin_isinf(sink.floats[index])) return false;
    } else {
        if (!decimal_read_double(&start, end, &sink.doubles[index])) return false;
        if (__builtin_isinf(sink.doubles[index])) return false;
    }
    *at = start;
    return true;
}

/* True if only white space stands between the number and its comma. */
static bool reaches(const char *at, const char *comma)
{
    while (at < comma && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')) at++;
    return at == comma;
}

/* `*at` is at a token's start, and is left behind the last number; see the header. */
AVX2_INLINE static size_t read_array(const char **at, const char *end, bool single,
                                     struct sink sink, size_t capacity)
{
    uint16_t ends[PIECE_BYTES + ENDS_SLACK];
    struct constants constants = make_constants();
    const char *start = *at;
    size_t count = 0;
    while (count < capacity && end - start >= BLOCK_BYTES) {
        const char *piece = start;
        size_t left = (size_t)(end - piece);
        size_t blocks = MIN(left, PIECE_BYTES) / BLOCK_BYTES;
        size_t tokens = find_ends(piece, blocks, ends);
        if (tokens == 0) break;
        tokens = MIN(tokens, capacity - count);
        size_t rare = 0;
        for (size_t i = 0; i < tokens; i++) {
            const char *comma = piece + ends[i];
            const char *behind = comma;
            if (__builtin_expect(!convert(&constants, start, comma, end, single, sink, count), 0)) {
                rare++;
                behind = start;
                if (!convert_any(&behind, end, single, sink, count)) return count;
            }
            *at = behind;
            if (__builtin_expect(behind != comma, 0) && !reaches(behind, comma)) return count + 1;
            start = comma + 1;
            count++;
        }
        if (rare > tokens / 2) break; /* without vectors these are read faster */
    }
    return count;
}

AVX2 size_t num_array_read_floats_avx2(const char **at, const char *end, float *values,
                                       size_t capacity)
{
    return read_array(at, end, true, (struct sink){values, NULL}, capacity);
}

AVX2 size_t num_array_read_doubles_avx2(const char **at, const char *end, double *values,
                                        size_t capacity)
{
    return read_array(at, end, false, (struct sink){NULL, values}, capacity);
}

#else

bool num_array_has_avx2(void)
{
    return false;
}

size_t num_array_read_floats_avx2(const char **at, const char *end, float *values, size_t capacity)
{
    (void)at, (void)end, (void)values, (void)capacity;
    return 0;
}

size_t num_array_read_doubles_avx2(const char **at, const char *end, double *values,
                                   size_t capacity)
{
    (void)at, (void)end, (void)values, (void)capacity;
    return 0;
}

#endif
