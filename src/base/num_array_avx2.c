/*
 * Long arrays with AVX2, in two phases per piece of text: first the positions of all commas, 64
 * bytes at a time; then the tokens between them, each converted on its own and without a branch
 * that depends on its digits, so that the processor works on several at once.
 *
 * A token of up to 15 bytes is loaded whole. One shuffle, looked up by its length and the place of
 * its point, takes the point out and moves the digits to the end of the register; three
 * multiply-add steps make one integer of them. An integer below 10^15 divided by a power of ten is
 * correctly rounded as a double, both being exact (W. Clinger, 1990), and so is its float, unless
 * the double lies exactly between two floats. Whatever is not so simple, an exponent or a long
 * token or no number at all, is left to decimal_read_*.
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
    LOAD_BYTES = 16,
    ENDS_SLACK = 8, /* ends are written eight at a time */
};

_Static_assert(PIECE_BYTES <= UINT16_MAX, "an end is a 16-bit offset in its piece");

/* Exact as doubles. */
static const double powers_of_ten[LOAD_BYTES] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

/* shuffles[size][point]: point == size where there is none. Filled before main(). */
static uint8_t shuffles[LOAD_BYTES][LOAD_BYTES][LOAD_BYTES] __attribute__((aligned(16)));

/*
 * A point that is the first or the last byte stays in, and so does an empty token's comma: they are
 * no digits, and the check for digits then refuses the token.
 */
__attribute__((constructor)) static void fill_shuffles(void)
{
    memset(shuffles, 0x80, sizeof shuffles);
    for (size_t size = 0; size < LOAD_BYTES; size++)
        for (size_t point = 0; point <= size; point++) {
            uint8_t *row = shuffles[size][point];
            bool cut = point > 0 && point + 1 < size;
            size_t out = LOAD_BYTES;
            for (size_t i = size; i-- > 0;)
                if (!(cut && i == point)) row[--out] = (uint8_t)i;
            if (size == 0) row[LOAD_BYTES - 1] = 0;
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

/*
 * The value of the token at `start` without its sign, if it is a simple one; the 16 bytes from
 * `start` on can be read.
 */
AVX2_INLINE static bool simple_token(const char *start, size_t size, double *ret_value)
{
    __m128i text = _mm_loadu_si128((const __m128i *)(const void *)start);
    uint32_t inside = (UINT32_C(1) << size) - 1;
    uint32_t points = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(text, _mm_set1_epi8('.')));
    size_t point = _tzcnt_u32((points & inside) | (UINT32_C(1) << size));
    __m128i row = _mm_load_si128((const __m128i *)(const void *)shuffles[size][point]);
    __m128i digits = _mm_shuffle_epi8(_mm_sub_epi8(text, _mm_set1_epi8('0')), row);
    __m128i wrong = _mm_subs_epu8(digits, _mm_set1_epi8(9));
    bool leading_zero = *start == '0' && point > 1;
    if (__builtin_expect(!_mm_testz_si128(wrong, wrong) || leading_zero, 0)) return false;
    __m128i tens = _mm_set_epi8(1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10);
    __m128i hundreds = _mm_set_epi16(1, 100, 1, 100, 1, 100, 1, 100);
    __m128i myriads = _mm_set_epi16(1, 10000, 1, 10000, 1, 10000, 1, 10000);
    __m128i pairs = _mm_maddubs_epi16(digits, tens);
    __m128i fours = _mm_madd_epi16(pairs, hundreds);
    __m128i eights = _mm_madd_epi16(_mm_packus_epi32(fours, fours), myriads);
    uint64_t both = (uint64_t)_mm_cvtsi128_si64(eights);
    uint64_t whole = (both & UINT32_MAX) * 100000000 + (both >> 32);
    size_t behind = size - point - (point < size);
    *ret_value = (double)(int64_t)whole / powers_of_ten[behind];
    return true;
}

/* True if rounding the double again could go wrong: it is the middle of two floats. */
static inline bool is_float_midpoint(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & UINT64_C(0x1FFFFFFF)) == UINT64_C(0x10000000);
}

/* Values of either width: `index` counts elements. */
struct sink {
    float *floats;
    double *doubles;
};

AVX2_INLINE static bool convert_simple(const char *start, const char *stop, const char *end,
                                       bool single, struct sink sink, size_t index)
{
    start += *start == ' ';
    bool negative = *start == '-';
    start += negative;
    size_t size = (size_t)(stop - start);
    double value;
    if (__builtin_expect(size > TOKEN_MAX || end - start < LOAD_BYTES, 0)) return false;
    if (!simple_token(start, size, &value)) return false;
    if (single && __builtin_expect(is_float_midpoint(value), 0)) return false;
    value = negative ? -value : value;
    if (single)
        sink.floats[index] = (float)value;
    else
        sink.doubles[index] = value;
    return true;
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
    const char *start = *at;
    size_t count = 0;
    while (count < capacity && end - start >= BLOCK_BYTES) {
        const char *piece = start;
        size_t left = (size_t)(end - piece);
        size_t blocks = MIN(left, PIECE_BYTES) / BLOCK_BYTES;
        size_t tokens = find_ends(piece, blocks, ends);
        if (tokens == 0) break;
        tokens = MIN(tokens, capacity - count);
        for (size_t i = 0; i < tokens; i++) {
            const char *comma = piece + ends[i];
            const char *behind = comma;
            if (__builtin_expect(!convert_simple(start, comma, end, single, sink, count), 0)) {
                behind = start;
                if (!convert_any(&behind, end, single, sink, count)) return count;
            }
            *at = behind;
            if (__builtin_expect(behind != comma, 0) && !reaches(behind, comma)) return count + 1;
            start = comma + 1;
            count++;
        }
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
