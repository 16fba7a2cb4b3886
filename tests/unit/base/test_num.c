#include "base/num.c"
#include "test.h"

#define READS(function, type, text, expected)                                                      \
    do {                                                                                           \
        type value_ = 0;                                                                           \
        EXPECT(function(STR(text), &value_) && value_ == (expected));                              \
    } while (0)
#define REFUSES(function, type, text)                                                              \
    do {                                                                                           \
        type value_ = 77;                                                                          \
        EXPECT(!function(STR(text), &value_) && value_ == 77);                                     \
    } while (0)

TEST(integers_are_strict_and_bounded)
{
    READS(num_read_i64, int64_t, "0", 0);
    READS(num_read_i64, int64_t, "-0", 0);
    READS(num_read_i64, int64_t, "-9223372036854775808", INT64_MIN);
    READS(num_read_i64, int64_t, "9223372036854775807", INT64_MAX);
    REFUSES(num_read_i64, int64_t, "9223372036854775808");
    REFUSES(num_read_i64, int64_t, "-9223372036854775809");
    READS(num_read_u64, uint64_t, "18446744073709551615", UINT64_MAX);
    REFUSES(num_read_u64, uint64_t, "18446744073709551616");
    REFUSES(num_read_u64, uint64_t, "99999999999999999999");
    REFUSES(num_read_u64, uint64_t, "-1");
    REFUSES(num_read_u64, uint64_t, "+1");
    REFUSES(num_read_u64, uint64_t, " 1");
    REFUSES(num_read_u64, uint64_t, "1 ");
    REFUSES(num_read_u64, uint64_t, "01");
    REFUSES(num_read_u64, uint64_t, "");
    REFUSES(num_read_i64, int64_t, "-");
    REFUSES(num_read_i64, int64_t, "1e3");
    REFUSES(num_read_u64, uint64_t, "1\0");
}

TEST(doubles_follow_the_json_grammar)
{
    READS(num_read_double, double, "1.5", 1.5);
    READS(num_read_double, double, "-1E+2", -100.0);
    READS(num_read_double, double, "Infinity", (double)INFINITY);
    READS(num_read_double, double, "-Infinity", -(double)INFINITY);
    REFUSES(num_read_double, double, "1e309");
    REFUSES(num_read_double, double, "1.");
    REFUSES(num_read_double, double, ".5");
    REFUSES(num_read_double, double, "+1");
    REFUSES(num_read_double, double, "01.5");
    REFUSES(num_read_double, double, "0x10");
    REFUSES(num_read_double, double, "inf");
    REFUSES(num_read_double, double, "1e");
    REFUSES(num_read_double, double, "");
    double nan = 0;
    EXPECT(num_read_double(STR("NaN"), &nan) && isnan(nan));
    REFUSES(num_read_float, float, "3.5e38");
    READS(num_read_float, float, "0.1", 0.1F);
}

TEST(durations)
{
    READS(num_read_duration, uint64_t, "0", 0);
    READS(num_read_duration, uint64_t, "250ms", 250 * NS_PER_MS);
    READS(num_read_duration, uint64_t, "1h30m", 5400 * NS_PER_S);
    READS(num_read_duration, uint64_t, "2d", 2 * 86400 * NS_PER_S);
    READS(num_read_duration, uint64_t, "7us", 7 * NS_PER_US);
    REFUSES(num_read_duration, uint64_t, "5");
    REFUSES(num_read_duration, uint64_t, "");
    REFUSES(num_read_duration, uint64_t, "30m1h");
    REFUSES(num_read_duration, uint64_t, "1m1m");
    REFUSES(num_read_duration, uint64_t, "1.5h");
    REFUSES(num_read_duration, uint64_t, "-1s");
    REFUSES(num_read_duration, uint64_t, "1 s");
    REFUSES(num_read_duration, uint64_t, "1000000d");
    REFUSES(num_read_duration, uint64_t, "ms");
}

TEST(sizes)
{
    READS(num_read_size, uint64_t, "0", 0);
    READS(num_read_size, uint64_t, "64MiB", UINT64_C(64) << 20);
    READS(num_read_size, uint64_t, "10kB", 10000);
    READS(num_read_size, uint64_t, "512B", 512);
    READS(num_read_size, uint64_t, "3TiB", UINT64_C(3) << 40);
    REFUSES(num_read_size, uint64_t, "64mib");
    REFUSES(num_read_size, uint64_t, "64MiBx");
    REFUSES(num_read_size, uint64_t, "1MiB1KiB");
    REFUSES(num_read_size, uint64_t, "99999999TiB");
    REFUSES(num_read_size, uint64_t, "MiB");
    REFUSES(num_read_size, uint64_t, "");
}

TEST(printed_durations_and_sizes_read_back)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct buffer out;
    buffer_init(&out, 1000);
    for (int i = 0; i < 20000; i++) {
        uint64_t value = prng_u64(&prng) >> prng_below(&prng, 64), again = ~value;
        if (prng_below(&prng, 2)) value = value / NS_PER_S * NS_PER_S;
        buffer_reset(&out);
        num_print_duration(&out, value);
        EXPECT(num_read_duration(buffer_view(&out), &again) && again == value);
        buffer_reset(&out);
        num_print_size(&out, value);
        EXPECT(num_read_size(buffer_view(&out), &again) && again == value);
    }
    buffer_reset(&out);
    num_print_size(&out, UINT64_C(64) << 20);
    EXPECT_TEXT(buffer_text(&out), "64MiB");
    buffer_reset(&out);
    num_print_duration(&out, 90 * NS_PER_S);
    EXPECT_TEXT(buffer_text(&out), "1m30s");
    buffer_clear(&out);
}

/* The shortened text of a long token means what the whole one does. */
TEST(exact_conversion_of_long_tokens)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    char token[4000];
    for (int i = 0; i < 2000; i++) {
        size_t digits = 700 + prng_below(&prng, 3000), size = 0;
        size_t point = prng_below(&prng, digits), zeros = prng_below(&prng, 900);
        if (prng_below(&prng, 2)) token[size++] = '-';
        for (size_t j = 0; j < digits; j++) {
            if (j == point && j > 0) token[size++] = '.';
            bool zero = j < zeros || (j > 800 && prng_below(&prng, 2));
            token[size++] = (char)('0' + (zero ? 0 : prng_below(&prng, 10)));
        }
        size += (size_t)snprintf(token + size, 20, "e%d",
                                 (int)prng_below(&prng, 600) - 3000 + (int)point % 3000);
        double expected = strtod(token, NULL);
        EXPECT(num_exact_double((struct str){token, size}) == expected);
        float expected_float = strtof(token, NULL);
        EXPECT(num_exact_float((struct str){token, size}) == expected_float);
    }
}

/* 2^53 + 1 is a tie; a 1 a thousand digits later decides it. */
TEST(a_far_digit_breaks_a_tie)
{
    char token[2000];
    int size = snprintf(token, sizeof token, "9007199254740993.");
    memset(token + size, '0', 1500);
    EXPECT(num_exact_double((struct str){token, (size_t)size + 1500}) == 9007199254740992.0);
    token[size + 1499] = '1';
    EXPECT(num_exact_double((struct str){token, (size_t)size + 1500}) == 9007199254740994.0);
}
