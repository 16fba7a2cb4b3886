#include "test.h"

#include "base/shortest.c"

#include <math.h>

/* Printed into a room of exactly its size, so that writing beyond it is seen. */
static const char *float_text(float value)
{
    static char text[SHORTEST_ROOM + 1];
    char room[SHORTEST_ROOM];
    size_t size = shortest_print_float(room, value);
    EXPECT(size <= 25);
    memcpy(text, room, size);
    text[size] = '\0';
    return text;
}

static const char *double_text(double value)
{
    static char text[SHORTEST_ROOM + 1];
    char room[SHORTEST_ROOM];
    size_t size = shortest_print_double(room, value);
    EXPECT(size <= 25);
    memcpy(text, room, size);
    text[size] = '\0';
    return text;
}

TEST(layout_is_rapidjsons)
{
    EXPECT_TEXT(double_text(0), "0.0");
    EXPECT_TEXT(double_text(-0.0), "-0.0");
    EXPECT_TEXT(double_text(2), "2.0");
    EXPECT_TEXT(double_text(-2.5), "-2.5");
    EXPECT_TEXT(double_text(1234e7), "12340000000.0");
    EXPECT_TEXT(double_text(12.34), "12.34");
    EXPECT_TEXT(double_text(0.001234), "0.001234");
    EXPECT_TEXT(double_text(0.000001), "0.000001");
    EXPECT_TEXT(double_text(0.0000012345), "0.0000012345");
    EXPECT_TEXT(double_text(1e-7), "1e-7");
    EXPECT_TEXT(double_text(1.5e-7), "1.5e-7");
    EXPECT_TEXT(double_text(1e20), "100000000000000000000.0");
    EXPECT_TEXT(double_text(1e21), "1e21");
    EXPECT_TEXT(double_text(1234e30), "1.234e33");
    EXPECT_TEXT(double_text(1.7976931348623157e308), "1.7976931348623157e308");
    EXPECT_TEXT(double_text(-5e-324), "-5e-324");
    EXPECT_TEXT(double_text(2.2250738585072014e-308), "2.2250738585072014e-308");
    EXPECT_TEXT(double_text(9007199254740993.0), "9007199254740992.0");
    EXPECT_TEXT(double_text(0.1), "0.1");
    EXPECT_TEXT(float_text(0.1F), "0.1");
    EXPECT_TEXT(float_text(3.4028235e38F), "3.4028235e38");
    EXPECT_TEXT(float_text(1e-45F), "1e-45");
    EXPECT_TEXT(float_text(16777216.0F), "16777216.0");
    EXPECT_TEXT(float_text(123456.79F), "123456.79");
}

TEST(what_json_lacks)
{
    EXPECT_TEXT(double_text((double)NAN), "NaN");
    EXPECT_TEXT(double_text((double)INFINITY), "Infinity");
    EXPECT_TEXT(double_text(-(double)INFINITY), "-Infinity");
    EXPECT_TEXT(float_text(-INFINITY), "-Infinity");
}

/* digits * 10^exponent; digits do not end in 0. */
struct plain {
    unsigned long long digits;
    int exponent;
};

static struct plain without_zeros(struct plain plain)
{
    for (; plain.digits && plain.digits % 10 == 0; plain.exponent++) plain.digits /= 10;
    return plain;
}

/* What a text, "-12.5e-7", says without its sign. Zeros count only once another digit follows. */
static struct plain plain_of(const char *text)
{
    struct plain plain = {0, 0};
    int behind = 0, zeros = 0;
    bool point = false;
    for (; *text && *text != 'e'; text++) {
        point |= *text == '.';
        if (*text < '0' || *text > '9') continue;
        behind += point;
        zeros++;
        if (*text == '0') continue;
        for (; zeros; zeros--) plain.digits *= 10;
        plain.digits += (unsigned)(*text - '0');
    }
    plain.exponent = zeros - behind;
    if (*text == 'e') plain.exponent += (int)strtod(text + 1, NULL);
    return plain;
}

static bool reads_back(struct plain plain, double value, bool single)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%llue%d", plain.digits, plain.exponent);
    return single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value;
}

/*
 * The answer, found by trying: of all decimals with as few digits as possible that read back, the
 * one nearest to the value. printf's is the nearest of its length. Where that does not read back a
 * neighbour may, below a power of two: the value's interval reaches twice as far up as down there.
 */
static struct plain search(double value, bool single)
{
    for (int count = 1; count < 18; count++) {
        char text[64];
        (void)snprintf(text, sizeof text, "%.*e", count - 1, fabs(value));
        struct plain nearest = {0, (int)strtod(strchr(text, 'e') + 1, NULL) - count + 1};
        for (const char *at = text; *at != 'e'; at++)
            if (*at != '.') nearest.digits = nearest.digits * 10 + (unsigned)(*at - '0');
        struct plain up = {nearest.digits + 1, nearest.exponent};
        struct plain down = {nearest.digits - 1, nearest.exponent};
        if (reads_back(nearest, fabs(value), single)) return without_zeros(nearest);
        if (reads_back(up, fabs(value), single)) return without_zeros(up);
        if (reads_back(down, fabs(value), single)) return without_zeros(down);
    }
    return (struct plain){0, 0};
}

static void check(const char *text, double value, bool single)
{
    double again = single ? (double)strtof(text, NULL) : strtod(text, NULL);
    if (memcmp(&again, &value, sizeof value) != 0)
        test_failed(__FILE__, __LINE__, "%a became '%s'", value, text);
    struct plain is = plain_of(text), expected = search(value, single);
    if (is.digits != expected.digits || (is.digits && is.exponent != expected.exponent))
        test_failed(__FILE__, __LINE__, "%a became '%s', not %llue%d", value, text, expected.digits,
                    expected.exponent);
}

static void check_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    if (isfinite(value)) check(float_text(value), (double)value, true);
}

static void check_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    if (isfinite(value)) check(double_text(value), value, false);
}

/* The value and its neighbours. */
static void check_float_around(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (uint32_t i = 0; i < 5; i++) check_float(bits + i - 2);
}

static void check_double_around(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (uint64_t i = 0; i < 5; i++) check_double(bits + i - 2);
}

TEST(any_float)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int i = 0; i < 40000; i++) {
        check_float((uint32_t)prng_u64(&prng));
        float value = (float)((prng_double(&prng) - 0.5) * 1000);
        check(float_text(value), (double)value, true);
    }
}

TEST(any_double)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int i = 0; i < 20000; i++) {
        check_double(prng_u64(&prng));
        double value = (prng_double(&prng) - 0.5) * 1000;
        check(double_text(value), value, false);
    }
}

TEST(powers_of_two_and_their_neighbours)
{
    for (int exponent = -149; exponent < 128; exponent++) {
        check_float_around((float)ldexp(1, exponent));
        check_float_around((float)-ldexp(1, exponent));
    }
    for (int exponent = -1074; exponent < 1024; exponent++) check_double_around(ldexp(1, exponent));
}

/* Few bits, so that many lie exactly between two decimals of some length. */
TEST(halfway_between_decimals)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int i = 0; i < 8000; i++) {
        int bits = 1 + (int)prng_below(&prng, 24), shift = (int)prng_below(&prng, 50);
        double whole = (double)prng_below(&prng, UINT64_C(1) << bits);
        check_float_around((float)ldexp(whole, -shift));
        bits = 1 + (int)prng_below(&prng, 53);
        whole = (double)prng_below(&prng, UINT64_C(1) << bits);
        if (i % 3 == 0) check_double_around(ldexp(whole, -shift));
    }
}

/* Decimals of few digits, whose interval's end may be a decimal itself, and what is next to them.
 */
TEST(around_decimals)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int i = 0; i < 8000; i++) {
        char text[64];
        unsigned digits = 1 + (unsigned)prng_below(&prng, 10000000);
        (void)snprintf(text, sizeof text, "%ue%d", digits, (int)prng_below(&prng, 84) - 45);
        check_float_around(strtof(text, NULL));
        (void)snprintf(text, sizeof text, "%ue%d", digits, (int)prng_below(&prng, 640) - 330);
        if (i % 2 == 0) check_double_around(strtod(text, NULL));
    }
}

TEST(denormals)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (uint32_t i = 0; i < 3000; i++) {
        check_float(i);
        check_float((uint32_t)prng_below(&prng, 1 << 23));
        check_float((1 << 23) - 100 + i % 200);
        check_double(i);
        check_double(prng_below(&prng, UINT64_C(1) << (1 + i % 52)));
        check_double((UINT64_C(1) << 52) - 100 + i % 200);
    }
}

/* Up to where every one has a value of its own, and beyond; with a fraction too. */
TEST(whole_numbers)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (uint32_t i = 0; i < 5000; i++) {
        double sign = i % 2 ? -1 : 1;
        double value = sign * (double)prng_below(&prng, UINT64_C(1) << (1 + i % 27));
        check_float_around((float)value);
        value = sign * (double)prng_below(&prng, UINT64_C(1) << (1 + i % 62));
        if (i % 4 < 2) check_double_around(value);
    }
    for (double edge = 1; edge < 1e22; edge *= 10) {
        check_float_around((float)edge);
        check_double_around(edge);
    }
}

/* Every power of ten's neighbourhood, where the tables' edges are. */
TEST(powers_of_ten)
{
    for (int exponent = -323; exponent <= 308; exponent++) {
        char token[16];
        (void)snprintf(token, sizeof token, "1e%d", exponent);
        double value = strtod(token, NULL);
        check(double_text(value), value, false);
        EXPECT_INT(plain_of(double_text(value)).digits, 1);
    }
}

/* Each kind of value next to each other, whose words overlap while they are written. */
TEST(arrays_equal_one_by_one)
{
    static const double kinds[] = {0,      -0.0, 1,     -7,    123456, 0.5,     -0.1,      1e-5,
                                   1.5e-7, 1e20, 1e300, 12e30, 5e-40,  1.0 / 3, 100.0 / 3, 5e-324};
    enum { KINDS = sizeof kinds / sizeof kinds[0], COUNT = 500 };
    static float floats[COUNT];
    static double doubles[COUNT];
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct buffer text, all;
    buffer_init(&text, 1 << 20);
    buffer_init(&all, 1 << 20);
    for (int round = 0; round < 50; round++) {
        size_t count = prng_below(&prng, COUNT);
        for (size_t i = 0; i < count; i++) doubles[i] = kinds[prng_below(&prng, KINDS)];
        for (size_t i = 0; i < count; i++) floats[i] = (float)doubles[i];
        buffer_reset(&text);
        buffer_reset(&all);
        for (size_t i = 0; i < count; i++)
            buffer_add_format(&text, "%s%s", i ? "," : "", float_text(floats[i]));
        shortest_add_floats(&all, floats, count);
        EXPECT_STR(buffer_view(&all), buffer_view(&text));
        buffer_reset(&text);
        buffer_reset(&all);
        for (size_t i = 0; i < count; i++)
            buffer_add_format(&text, "%s%s", i ? "," : "", double_text(doubles[i]));
        shortest_add_doubles(&all, doubles, count);
        EXPECT_STR(buffer_view(&all), buffer_view(&text));
    }
    buffer_clear(&text);
    buffer_clear(&all);
}

TEST(arrays_respect_the_ceiling)
{
    float floats[300];
    double doubles[300];
    for (size_t i = 0; i < 300; i++) {
        floats[i] = (float)i;
        doubles[i] = (double)i;
    }
    struct buffer out;
    buffer_init(&out, 1000000);
    shortest_add_floats(&out, floats, 300);
    struct str all = buffer_view(&out);
    EXPECT(str_starts_with(all, STR("0.0,1.0,2.0,")) && str_ends_with(all, STR(",299.0")));
    for (size_t ceiling = 0; ceiling < all.size + 3; ceiling += ceiling < 40 ? 1 : 97) {
        struct buffer small;
        buffer_init(&small, ceiling);
        shortest_add_doubles(&small, doubles, 300);
        EXPECT(buffer_failed(&small) == (ceiling < all.size));
        buffer_clear(&small);
        buffer_init(&small, ceiling);
        shortest_add_floats(&small, floats, 300);
        EXPECT(buffer_failed(&small) == (ceiling < all.size));
        if (!buffer_failed(&small)) EXPECT_STR(buffer_view(&small), all);
        buffer_clear(&small);
    }
    buffer_clear(&out);
}
