#include "base/decimal.c"
#include "test.h"

static bool same_double(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static bool same_float(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* One token against the C library, bit for bit, read in full. */
static void expect_exact(const char *token)
{
    double real = 7;
    float single = 7;
    const char *end = token + strlen(token), *at = token;
    EXPECT(decimal_read_double(&at, end, &real) && at == end);
    if (!same_double(real, strtod(token, NULL)))
        test_failed(__FILE__, __LINE__, "double '%s': %a, not %a", token, real,
                    strtod(token, NULL));
    at = token;
    EXPECT(decimal_read_float(&at, end, &single) && at == end);
    if (!same_float(single, strtof(token, NULL)))
        test_failed(__FILE__, __LINE__, "float '%s': %a, not %a", token, (double)single,
                    (double)strtof(token, NULL));
}

TEST(hard_cases)
{
    static const char *const tokens[] = {
        "0",
        "-0",
        "0.0",
        "-0.0e5",
        "1",
        "1e22",
        "1e23",
        "9007199254740993",
        "9007199254740992.5",
        "9007199254740993.00000000000000000000000000000000001",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "4.9e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2.5e-324",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "1e309",
        "1e-400",
        "1e99999999999",
        "1e-99999999999",
        "0e99999999999",
        "16777217",
        "16777216.999999999",
        "16777217.0000000000001",
        "3.4028235e38",
        "3.4028236e38",
        "3.40282357e38",
        "1.4e-45",
        "7e-46",
        "7.1e-46",
        "7.006492321624085e-46",
        "7.0064923216240853e-46",
        "7.0064923216240854e-46",
        "1.17549435e-38",
        "1.1754943e-38",
        "1.17549421e-38",
        "0.000000000000000000000000000000000000000000000000000000000000000000012345678901234567890",
        "123456789012345678901234567890123456789012345678901234567890",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807.5",
        "0.1",
        "0.2",
        "0.3",
        "1e-5",
        "8.5e0",
        "9355950000000000000."
        "00000000000000000000000000000000001844674407370955161600000184467440737095",
        "6.9294956446009195e15",
        "3.7455744005952583e15",
        "1.00000005960464477550",
        "1.000000059604644775390625",
        "1.000000059604644775390624",
        "1.000000059604644775390626",
    };
    for (size_t i = 0; i < COUNT_OF(tokens); i++) expect_exact(tokens[i]);
}

TEST(what_is_no_number_is_refused)
{
    static const char *const tokens[] = {"",         "-",         "+1",  ".5",   "1.", "-.5",
                                         "01",       "00",        "1e",  "1e+",  "e5", "NaN",
                                         "Infinity", "-Infinity", "--1", "1.e5", " 1"};
    for (size_t i = 0; i < COUNT_OF(tokens); i++) {
        double real = 7;
        const char *at = tokens[i];
        if (decimal_read_double(&at, at + strlen(at), &real))
            test_failed(__FILE__, __LINE__, "'%s' was taken", tokens[i]);
        EXPECT(at == tokens[i] && real == 7);
    }
}

TEST(reading_stops_behind_the_number)
{
    double real;
    const char *text = "12.5,7", *at = text;
    EXPECT(decimal_read_double(&at, text + 6, &real) && at == text + 4 && real == 12.5);
    at = text;
    EXPECT(decimal_read_double(&at, text + 2, &real) && at == text + 2 && real == 12);
}

static size_t random_digits(struct prng *prng, char *out, size_t count)
{
    for (size_t i = 0; i < count; i++) out[i] = (char)('0' + prng_below(prng, 10));
    return count;
}

/* Any grammar-conforming token, with more weight on lengths and exponents that occur. */
static void random_token(struct prng *prng, char *out)
{
    size_t size = 0, whole = 1 + prng_below(prng, prng_below(prng, 8) ? 4 : 25);
    if (prng_below(prng, 2)) out[size++] = '-';
    size_t first = size;
    size += random_digits(prng, out + size, whole);
    if (out[first] == '0') out[first] = prng_below(prng, 2) || whole > 1 ? '7' : '0';
    if (prng_below(prng, 4)) {
        out[size++] = '.';
        size += random_digits(prng, out + size, 1 + prng_below(prng, prng_below(prng, 4) ? 9 : 30));
    }
    out[size] = '\0';
    if (prng_below(prng, 3) == 0)
        (void)snprintf(out + size, 8, "e%d", (int)prng_below(prng, 700) - 350);
    else if (prng_below(prng, 3) == 0)
        (void)snprintf(out + size, 8, "E%+d", (int)prng_below(prng, 90) - 45);
}

TEST(random_tokens_equal_the_c_library)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    char token[128];
    for (int i = 0; i < 300000; i++) {
        random_token(&prng, token);
        expect_exact(token);
    }
}

/* Midpoints of neighbouring floats, and the values next to them: where rounding goes wrong. */
TEST(midpoints_round_to_even)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int i = 0; i < 30000; i++) {
        uint32_t bits = (uint32_t)prng_u64(&prng) & 0x7FFFFFFF;
        if (bits >= 0x7F7FFFFF) continue;
        float low, high;
        memcpy(&low, &bits, 4);
        bits++;
        memcpy(&high, &bits, 4);
        double middle = ((double)low + (double)high) / 2;
        char token[256];
        (void)snprintf(token, sizeof token, "%.*e", (int)(8 + prng_below(&prng, 120)), middle);
        expect_exact(token);
    }
}

TEST(printed_doubles_read_back)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = prng_u64(&prng);
        if ((bits >> 52 & 0x7FF) == 0x7FF) continue;
        double value;
        memcpy(&value, &bits, 8);
        char token[64];
        (void)snprintf(token, sizeof token, "%.17g", value);
        if (strchr(token, '+')) expect_exact(token);
        const char *at = token;
        double again = 0;
        EXPECT(decimal_read_double(&at, token + strlen(token), &again) &&
               same_double(again, value));
    }
}
