#include "queue/attributes.c"
#include "test.h"

static struct arena arena;
static struct buffer blob;

static void begin(void)
{
    arena_init(&arena, 16 << 20);
    buffer_init(&blob, 16 << 20);
}

static void end(void)
{
    arena_clear(&arena);
    buffer_clear(&blob);
}

TEST(attributes_are_read_as_they_were_written)
{
    static char large[300000];
    const struct queue_attribute written[] = {
        {STR("empty"), STR("Binary"), STR("")},
        {STR("large"), STR("String.custom"), {large, sizeof large}},
        {STR("odd"), STR("Binary"), STR("\0\xff")}};
    struct queue_attribute *read;
    struct str trace;
    size_t count;
    struct error err;
    begin();
    attributes_write(written, COUNT_OF(written), STR("Root=1"), &blob);
    REQUIRE(attributes_read(buffer_view(&blob), &arena, &read, &count, &trace, &err) == STATUS_OK);
    REQUIRE(count == COUNT_OF(written));
    for (size_t i = 0; i < count; i++) {
        EXPECT(str_equal(read[i].name, written[i].name));
        EXPECT(str_equal(read[i].type, written[i].type));
        EXPECT(str_equal(read[i].value, written[i].value));
    }
    EXPECT_STR(trace, STR("Root=1"));
    EXPECT(attributes_read(STR_EMPTY, &arena, &read, &count, &trace, &err) == STATUS_OK);
    EXPECT(count == 0 && trace.size == 0);
    end();
}

/* Most messages have neither: an absent trace header is written as an empty one. */
TEST(an_absent_trace_header_is_an_empty_one)
{
    struct queue_attribute *read;
    struct str trace;
    size_t count;
    struct error err;
    begin();
    attributes_write(NULL, 0, (struct str){0}, &blob);
    REQUIRE(attributes_read(buffer_view(&blob), &arena, &read, &count, &trace, &err) == STATUS_OK);
    EXPECT(count == 0);
    EXPECT_STR(trace, STR_EMPTY);
    end();
}

/* A damaged blob is told, wherever it is cut; bytes that are changed never read beyond it. */
TEST(damage_is_noticed)
{
    const struct queue_attribute written[] = {{STR("a"), STR("String"), STR("value")}};
    struct queue_attribute *read;
    struct str trace;
    size_t count;
    struct error err;
    struct prng prng;
    prng_seed(&prng, test_seed());
    begin();
    attributes_write(written, 1, STR("t"), &blob);
    struct str whole = buffer_view(&blob);
    for (size_t size = 1; size < whole.size; size++)
        EXPECT(attributes_read((struct str){whole.data, size}, &arena, &read, &count, &trace,
                               &err) == STATUS_DATA_LOSS);
    for (int i = 0; i < 2000; i++) {
        char copy[64];
        memcpy(copy, whole.data, whole.size);
        copy[prng_below(&prng, whole.size)] = (char)prng_below(&prng, 256);
        enum status status =
            attributes_read((struct str){copy, whole.size}, &arena, &read, &count, &trace, &err);
        EXPECT(status == STATUS_OK || status == STATUS_DATA_LOSS);
    }
    end();
}
