#include "test.h"

#include "base/shortest.c"

#include <math.h>

static const char *float_text(float value)
{
    static char room[SHORTEST_ROOM + 1];
    room[shortest_print_float(room, value)] = '\0';
    return room;
}

static const char *double_text(double value)
{
    static char room[SHORTEST_ROOM + 1];
    room[shortest_print_double(room, value)] = '\0';
    return room;
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

/* The fewest digits for which printf's correctly rounded text reads back. */
static size_t fewest_digits(double value, bool single)
{
    char text[64];
    for (int digits = 1; digits < 18; digits++) {
        (void)snprintf(text, sizeof text, "%.*e", digits - 1, value);
        if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            return (size_t)digits;
    }
    return 99;
}

static size_t digits_in(const char *text)
{
    char digits[64];
    size_t count = 0;
    for (; *text && *text != 'e'; text++)
        if (*text >= '0' && *text <= '9' && (count || *text != '0')) digits[count++] = *text;
    while (count && digits[count - 1] == '0') count--;
    return count;
}

/* Few digits where possible, or the nearest text with those digits: what printf would print. */
static void check(const char *text, double value, bool single)
{
    double again = single ? (double)strtof(text, NULL) : strtod(text, NULL);
    if (again != value) test_failed(__FILE__, __LINE__, "%a became '%s'", value, text);
    size_t fewest = fewest_digits(value, single);
    if (digits_in(text) > fewest)
        test_failed(__FILE__, __LINE__, "'%s' is longer than %zu digits", text, fewest);
}

TEST(floats_read_back_and_are_shortest)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int i = 0; i < 200000; i++) {
        uint32_t bits = (uint32_t)prng_u64(&prng);
        float value;
        if (i % 4 == 0) bits &= 0xFF800000 | (uint32_t)prng_below(&prng, 2); /* powers of two */
        memcpy(&value, &bits, 4);
        if (i % 4 == 1) value = (float)(prng_double(&prng) * 1000);
        if ((bits >> 23 & 0xFF) == 0xFF) continue;
        check(float_text(value), (double)value, true);
    }
}

TEST(doubles_read_back_and_are_shortest)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = prng_u64(&prng);
        double value;
        if (i % 4 == 0) bits &= UINT64_C(0xFFF0000000000000) | prng_below(&prng, 2);
        if ((bits >> 52 & 0x7FF) == 0x7FF) continue;
        memcpy(&value, &bits, 8);
        if (i % 4 == 1) value = (double)prng_below(&prng, 1000000) / 100;
        check(double_text(value), value, false);
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
        EXPECT_INT(digits_in(double_text(value)), 1);
    }
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
