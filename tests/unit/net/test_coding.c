#include "net/coding.c"
#include "test.h"

static enum status collect(void *context, const char *data, size_t size, struct error *err)
{
    struct buffer *out = context;
    buffer_add(out, (struct str){data, size});
    return buffer_failed(out) ? fail(err, STATUS_EXHAUSTED, "full") : STATUS_OK;
}

TEST(what_was_encoded_is_decoded)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int round = 0; round < 60; round++) {
        struct buffer text, encoded, decoded;
        struct error err;
        buffer_init(&text, 1 << 20);
        buffer_init(&encoded, 1 << 21);
        buffer_init(&decoded, 1 << 20);
        size_t size = prng_below(&prng, round % 2 ? 200000 : 100);
        for (size_t i = 0; i < size; i++) buffer_add_byte(&text, (char)prng_below(&prng, 7));
        size_t cut = size ? prng_below(&prng, size) : 0;
        struct str whole = buffer_view(&text);
        struct str parts[] = {{whole.data, cut}, str_from(whole, cut), STR("")};
        enum coding coding = round % 3 ? CODING_GZIP : CODING_DEFLATE;
        EXPECT(coding_encode(coding, 1 + round % 9, parts, COUNT_OF(parts), &encoded));
        EXPECT_STATUS(coding_decode(coding, buffer_view(&encoded), collect, &decoded, &err),
                      STATUS_OK, err);
        EXPECT(str_equal(buffer_view(&decoded), whole));

        /* Cut off, or with something behind it. */
        struct str damaged = {encoded.data, encoded.size - 1};
        EXPECT_STATUS(coding_decode(coding, damaged, collect, &decoded, &err),
                      STATUS_INVALID_ARGUMENT, err);
        buffer_reset(&decoded);
        buffer_add_byte(&encoded, 'x');
        EXPECT_STATUS(coding_decode(coding, buffer_view(&encoded), collect, &decoded, &err),
                      STATUS_INVALID_ARGUMENT, err);
        buffer_clear(&text);
        buffer_clear(&encoded);
        buffer_clear(&decoded);
    }
}

TEST(an_encoder_stops_at_the_ceiling)
{
    struct buffer out;
    struct str text = STR("0123456789abcdefghijklmnopqrstuvwxyz");
    buffer_init(&out, 10);
    EXPECT(!coding_encode(CODING_GZIP, 1, &text, 1, &out));
    buffer_clear(&out);
}

TEST(deflate_without_its_wrapping_is_read)
{
    static const char raw[] = {(char)0x4b, 0x4c, 0x4a, 0x06, 0x00};
    struct buffer out;
    struct error err;
    buffer_init(&out, 100);
    EXPECT_STATUS(coding_decode(CODING_DEFLATE, (struct str){raw, sizeof raw}, collect, &out, &err),
                  STATUS_OK, err);
    EXPECT_TEXT(buffer_text(&out), "abc");
    buffer_clear(&out);
}

TEST(the_best_coding_that_is_accepted)
{
    static const struct {
        const char *accept;
        enum coding coding;
    } cases[] = {
        {"gzip", CODING_GZIP},
        {"GZIP , br", CODING_GZIP},
        {"deflate", CODING_DEFLATE},
        {"gzip;q=0.5, deflate;q=0.8", CODING_DEFLATE},
        {"deflate;q=0.5, gzip;q=0.5", CODING_GZIP},
        {"*", CODING_GZIP},
        {"*;q=0", CODING_IDENTITY},
        {"gzip;q=0, *", CODING_DEFLATE},
        {"identity, gzip;q=0.5", CODING_IDENTITY},
        {"identity;q=0.4, gzip;q=0.5", CODING_GZIP},
        {"gzip;q=0", CODING_IDENTITY},
        {"gzip;q=0.000", CODING_IDENTITY},
        {"gzip; q=1.000", CODING_GZIP},
        {"gzip;q=1.001", CODING_IDENTITY},
        {"gzip;q=-1", CODING_IDENTITY},
        {"gzip;q=", CODING_IDENTITY},
        {"gzip;level=1", CODING_IDENTITY},
        {"br", CODING_IDENTITY},
        {"", CODING_IDENTITY},
        {",,gzip", CODING_GZIP},
        {"x-gzip", CODING_GZIP},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        enum coding coding = coding_negotiate(str_of(cases[i].accept));
        if (coding != cases[i].coding)
            test_failed(__FILE__, __LINE__, "'%s' gives %d", cases[i].accept, (int)coding);
    }
}

TEST(a_small_text_fits_a_buffer_of_its_own_size)
{
    char bytes[300];
    memset(bytes, 'a', sizeof bytes);
    struct str text = {bytes, sizeof bytes};
    for (int coding = CODING_GZIP; coding <= CODING_DEFLATE; coding++) {
        struct buffer out;
        buffer_init(&out, sizeof bytes);
        EXPECT(coding_encode((enum coding)coding, 1, &text, 1, &out));
        EXPECT(out.size > 0 && out.size < 60);
        buffer_clear(&out);
    }
}
