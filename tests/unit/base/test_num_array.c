#include "base/mem.h"
#include "base/num.h"
#include "base/num_array.c"
#include "test.h"

#include <math.h>

enum { VALUES_MAX = 2000 };

static float floats[VALUES_MAX], single_floats[VALUES_MAX];
static double doubles[VALUES_MAX];

/* What the array readers must equal: one token after the other. */
static size_t read_singly(const char **at, const char *end, float *values)
{
    size_t count = 0;
    const char *next = *at;
    while (next && decimal_read_float(&next, end, &values[count]) &&
           !__builtin_isinf(values[count])) {
        count++;
        *at = next;
        next = skip_space(next, end);
        next = next < end && *next == ',' ? skip_space(next + 1, end) : NULL;
    }
    return count;
}

typedef size_t read_floats_function(const char **at, const char *end, float *values,
                                    size_t capacity);
typedef size_t read_doubles_function(const char **at, const char *end, double *values,
                                     size_t capacity);

static void check_floats(struct str exact, read_floats_function *read)
{
    const char *one = exact.data, *many = exact.data, *end = exact.data + exact.size;
    size_t expected = read_singly(&one, end, single_floats);
    size_t count = read(&many, end, floats, VALUES_MAX);
    if (count != expected || many != one)
        test_failed(__FILE__, __LINE__, "%zu of %zu numbers, %td bytes apart: %.*s", count,
                    expected, many - one, STR_ARGS(exact));
    for (size_t i = 0; i < MIN(count, expected); i++)
        if (memcmp(&floats[i], &single_floats[i], 4) != 0)
            test_failed(__FILE__, __LINE__, "number %zu is %a, not %a", i, (double)floats[i],
                        (double)single_floats[i]);
}

static void check_doubles(struct str exact, read_doubles_function *read)
{
    const char *wide = exact.data, *next = exact.data, *end = exact.data + exact.size;
    size_t count = read(&wide, end, doubles, VALUES_MAX);
    for (size_t i = 0; i < count; i++) {
        double value;
        if (i) next = skip_space(skip_space(next, end) + 1, end);
        EXPECT(decimal_read_double(&next, end, &value) && memcmp(&value, &doubles[i], 8) == 0);
    }
    EXPECT(next == wide);
}

/* In memory of its exact size, so that reading beyond it is seen. */
static void check_text(struct str text)
{
    char *copy CLEANUP(mem_freep) = mem_new(MAX(text.size, (size_t)1));
    memcpy(copy, text.data, text.size);
    struct str exact = {copy, text.size};
    check_floats(exact, num_array_read_floats);
    check_floats(exact, num_array_read_floats_portable);
    check_doubles(exact, num_array_read_doubles);
    check_doubles(exact, num_array_read_doubles_portable);
}

static void random_number(struct prng *prng, struct buffer *out, unsigned style)
{
    double value = (prng_double(prng) - 0.5) * (prng_below(prng, 3) ? 20 : 1e6);
    switch (style) {
    case 0: buffer_add_format(out, "%.9g", value); break;
    case 1: buffer_add_format(out, "%.4f", value); break;
    case 2: buffer_add_format(out, "%.17g", value); break;
    case 3: buffer_add_format(out, "%.6g", value); break;
    case 4: buffer_add_format(out, "%.0f", value); break;
    case 5: buffer_add_format(out, "%.3e", value); break;
    default: buffer_add_format(out, "%.12f", value); break;
    }
}

TEST(random_arrays_equal_one_by_one)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct buffer text;
    buffer_init(&text, 1 << 20);
    for (int i = 0; i < 1500; i++) {
        buffer_reset(&text);
        size_t count = prng_below(&prng, 300);
        unsigned style = (unsigned)prng_below(&prng, 7);
        const char *separator = prng_below(&prng, 2) ? "," : prng_below(&prng, 2) ? ", " : " ,\n\t";
        for (size_t j = 0; j < count; j++) {
            if (j) buffer_add_text(&text, separator);
            if (prng_below(&prng, 50) == 0) style = (unsigned)prng_below(&prng, 7);
            random_number(&prng, &text, style);
        }
        if (prng_below(&prng, 2)) buffer_add_text(&text, "],[1,2,3,4,5,6,7,8,9,10]");
        check_text(buffer_view(&text));
        for (int j = 0; j < 3 && text.size; j++) {
            static const char damage[] = "0123456789.,-+eE ]x\0";
            text.data[prng_below(&prng, text.size)] = damage[prng_below(&prng, sizeof damage)];
            check_text(buffer_view(&text));
        }
    }
    buffer_clear(&text);
}

/* Decimals next to the middle of two floats, where rounding twice would go wrong. */
TEST(float_midpoints_in_arrays)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct buffer text;
    buffer_init(&text, 1 << 20);
    for (int i = 0; i < 300; i++) {
        buffer_reset(&text);
        for (size_t j = 0; j < 200; j++) {
            uint32_t whole = (UINT32_C(1) << 24) + (uint32_t)prng_below(&prng, 1 << 24);
            if (j) buffer_add_byte(&text, ',');
            buffer_add_format(&text, "%u.%0*u", whole | 1, (int)(1 + prng_below(&prng, 6)),
                              (unsigned)prng_below(&prng, 2));
        }
        check_text(buffer_view(&text));
    }
    buffer_clear(&text);
}

/* `size` random digits with a point before the digit `point`, unless that is above size. */
static void random_digits(struct prng *prng, struct buffer *out, size_t size, size_t point)
{
    for (size_t i = 0; i <= size; i++) {
        if (i == point) buffer_add_byte(out, '.');
        if (i < size) buffer_add_byte(out, (char)('0' + prng_below(prng, i ? 10 : 4)));
    }
}

/* Each length and place of the point, valid or not, among valid ones of the same length. */
TEST(every_length_and_point)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct buffer text;
    buffer_init(&text, 1 << 20);
    for (size_t size = 0; size < 24; size++) {
        for (size_t point = 0; point <= size + 1; point++) {
            size_t odd_one = prng_below(&prng, 64);
            const char *separator = prng_below(&prng, 4) ? "," : ", ";
            buffer_reset(&text);
            for (size_t i = 0; i < 64; i++) {
                if (i) buffer_add_text(&text, separator);
                if (prng_below(&prng, 2)) buffer_add_byte(&text, '-');
                if (i != odd_one) buffer_add_byte(&text, '1');
                if (i == odd_one)
                    random_digits(&prng, &text, size, point);
                else
                    random_digits(&prng, &text, size, size > 1 ? MIN(point, size - 1) : 9);
            }
            check_text(buffer_view(&text));
        }
    }
    buffer_clear(&text);
}

/* The same from 14 digits on, which a double may be rounded from onto the middle, to 18. */
TEST(long_decimals_at_float_midpoints)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct buffer text;
    buffer_init(&text, 1 << 20);
    for (int i = 0; i < 400; i++) {
        buffer_reset(&text);
        for (size_t j = 0; j < 100; j++) {
            double whole = (double)(2 * prng_below(&prng, 1 << 21) + (1 << 24) + 1);
            double midpoint = ldexp(whole, prng_below(&prng, 2) ? -21 : -24);
            if (j) buffer_add_byte(&text, ',');
            buffer_add_format(&text, "%.*f", 13 + (int)prng_below(&prng, 5), midpoint);
            char *last = text.data + text.size - 1;
            if (*last > '0' && *last < '9') *last = (char)(*last + (int)prng_below(&prng, 3) - 1);
        }
        check_text(buffer_view(&text));
        const char *at = text.data;
        size_t count = num_array_read_floats(&at, at + text.size, floats, VALUES_MAX);
        struct str left = buffer_view(&text);
        for (size_t j = 0; j < count; j++)
            EXPECT(floats[j] == num_exact_float(str_cut(&left, ',')));
    }
    buffer_clear(&text);
}

TEST(capacity_is_respected)
{
    char text[2000];
    size_t size = 0;
    for (int i = 0; i < 150; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%d.25", i ? "," : "", i + 100);
    for (size_t capacity = 0; capacity <= 151; capacity++) {
        const char *at = text;
        floats[capacity] = -7;
        size_t count = num_array_read_floats(&at, text + size, floats, capacity);
        EXPECT_INT(count, MIN(capacity, (size_t)150));
        EXPECT(floats[capacity] == -7 || count < capacity);
        EXPECT(at == text + (count ? count * 7 - 1 : 0));
    }
}

#define EXPECT_INTEGERS(kind, type, text, expected_count, stop)                                    \
    do {                                                                                           \
        type values_[16] = {0};                                                                    \
        const char *start_ = (text), *at_ = start_;                                                \
        EXPECT_INT(num_array_read_integers(&at_, start_ + strlen(start_), kind, values_, 16),      \
                   expected_count);                                                                \
        EXPECT_INT(at_ - start_, stop);                                                            \
    } while (0)

TEST(integers_stop_where_they_must)
{
    EXPECT_INTEGERS(NUM_INT64, int64_t, "1,2,3]", 3, 5);
    EXPECT_INTEGERS(NUM_INT64, int64_t, "1 , -2 ,\n3 ]", 3, 10);
    EXPECT_INTEGERS(NUM_INT64, int64_t, "9223372036854775807,9223372036854775808", 1, 19);
    EXPECT_INTEGERS(NUM_INT64, int64_t, "-9223372036854775808,-9223372036854775809", 1, 20);
    EXPECT_INTEGERS(NUM_UINT64, uint64_t, "18446744073709551615,18446744073709551616", 1, 20);
    EXPECT_INTEGERS(NUM_UINT64, uint64_t, "0,-0,-1", 2, 4);
    EXPECT_INTEGERS(NUM_UINT8, uint8_t, "255,256,1", 1, 3);
    EXPECT_INTEGERS(NUM_INT8, int8_t, "-128,127,128", 2, 8);
    EXPECT_INTEGERS(NUM_INT16, int16_t, "-32768,32767,-32769", 2, 12);
    EXPECT_INTEGERS(NUM_UINT16, uint16_t, "65535,65536", 1, 5);
    EXPECT_INTEGERS(NUM_INT32, int32_t, "2147483647,2147483648", 1, 10);
    EXPECT_INTEGERS(NUM_UINT32, uint32_t, "4294967295,4294967296", 1, 10);
    EXPECT_INTEGERS(NUM_INT64, int64_t, "1,01,2", 1, 1);
    EXPECT_INTEGERS(NUM_INT64, int64_t, "1,0000012,2", 1, 1);
    EXPECT_INTEGERS(NUM_INT64, int64_t, "12345678,1.0,2", 1, 8);
    EXPECT_INTEGERS(NUM_INT64, int64_t, "1,2e3", 1, 1);
    EXPECT_INTEGERS(NUM_INT64, int64_t, "1,,2", 1, 1);
    EXPECT_INTEGERS(NUM_INT64, int64_t, "", 0, 0);
    EXPECT_INTEGERS(NUM_INT64, int64_t, "-", 0, 0);
    EXPECT_INTEGERS(NUM_INT64, int64_t, "x", 0, 0);
}

/* What is read with room for one number at a time, which never looks at several at once. */
static size_t read_one_by_one(const char **at, const char *end, int64_t *values, size_t capacity)
{
    size_t count = 0;
    const char *next = *at;
    while (count < capacity && num_array_read_integers(&next, end, NUM_INT64, values + count, 1)) {
        count++;
        *at = next;
        while (next < end && strchr(" \n\t\r", *next) && *next) next++;
        if (next == end || *next++ != ',') break;
        while (next < end && strchr(" \n\t\r", *next) && *next) next++;
    }
    return count;
}

TEST(runs_of_digits_equal_one_by_one)
{
    for (size_t place = 0; place < 17; place++)
        for (int byte = 0; byte < 256; byte++)
            for (size_t capacity = 0; capacity <= 10; capacity++) {
                char text[] = "1,2,0,4,5,6,9,8,7";
                int64_t values[11] = {0}, again[11] = {0};
                const char *end = text + sizeof text - 1, *at = text, *slow = text;
                text[place] = (char)byte;
                size_t count = num_array_read_integers(&at, end, NUM_INT64, values, capacity);
                EXPECT_INT(count, read_one_by_one(&slow, end, again, capacity));
                EXPECT(at == slow && memcmp(values, again, sizeof values) == 0);
            }
}

TEST(integers_are_written_and_read_back)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct buffer text;
    buffer_init(&text, 1 << 20);
    static int64_t values[VALUES_MAX], again[VALUES_MAX];
    for (int i = 0; i < 200; i++) {
        size_t count = prng_below(&prng, VALUES_MAX);
        for (size_t j = 0; j < count; j++)
            values[j] = (int64_t)(prng_u64(&prng) >> prng_below(&prng, 64)) *
                        (prng_below(&prng, 2) ? 1 : -1);
        buffer_reset(&text);
        num_array_add_integers(&text, NUM_INT64, values, count);
        const char *at = buffer_text(&text);
        EXPECT_INT(num_array_read_integers(&at, at + text.size, NUM_INT64, again, VALUES_MAX),
                   count);
        EXPECT(memcmp(values, again, count * 8) == 0);
    }
    static const uint8_t small[] = {0, 9, 10, 99, 100, 255};
    buffer_reset(&text);
    num_array_add_integers(&text, NUM_UINT8, small, 6);
    EXPECT_TEXT(buffer_text(&text), "0,9,10,99,100,255");
    static const int8_t signs[] = {-128, -1, 0, 127};
    buffer_reset(&text);
    num_array_add_integers(&text, NUM_INT8, signs, 4);
    EXPECT_TEXT(buffer_text(&text), "-128,-1,0,127");
    struct buffer tight;
    for (size_t ceiling = 0; ceiling < 16; ceiling++) {
        buffer_init(&tight, ceiling);
        num_array_add_integers(&tight, NUM_INT8, signs, 4);
        EXPECT(buffer_failed(&tight) == (ceiling < 13));
        buffer_clear(&tight);
    }
    buffer_clear(&text);
}
