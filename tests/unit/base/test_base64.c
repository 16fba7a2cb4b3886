#include "base/base64.c"
#include "test.h"

static struct arena arena;
static struct error err;

TEST(the_examples_of_the_specification)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    arena_init(&arena, 65536);
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        struct buffer out;
        buffer_init(&out, 64);
        base64_encode(&out, str_of(pairs[i][0]));
        EXPECT_TEXT(buffer_text(&out), pairs[i][1]);
        buffer_clear(&out);
        struct str bytes;
        EXPECT_STATUS(base64_decode(str_of(pairs[i][1]), &arena, &bytes, &err), STATUS_OK, err);
        EXPECT_STR(bytes, str_of(pairs[i][0]));
    }
    arena_clear(&arena);
}

TEST(what_is_not_base64_is_refused)
{
    static const char *const texts[] = {
        "Z", "Zg=", "Zg", "Zh==", "Zm9=", "====", "Z===", "Zg==Zg==", "Zm 9v", "Zm9\n", "Zm9_"};
    arena_init(&arena, 65536);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct str bytes = STR("untouched");
        EXPECT_STATUS(base64_decode(str_of(texts[i]), &arena, &bytes, &err),
                      STATUS_INVALID_ARGUMENT, err);
        EXPECT_STR(bytes, STR("untouched"));
    }
    arena_clear(&arena);
}

TEST(any_bytes_come_back)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int round = 0; round < 500; round++) {
        arena_init(&arena, 65536);
        char bytes[200];
        size_t size = prng_below(&prng, sizeof bytes);
        for (size_t i = 0; i < size; i++) bytes[i] = (char)prng_u64(&prng);
        struct buffer out;
        buffer_init(&out, 1024);
        base64_encode(&out, (struct str){bytes, size});
        struct str back;
        EXPECT_STATUS(base64_decode(buffer_view(&out), &arena, &back, &err), STATUS_OK, err);
        EXPECT_STR(back, ((struct str){bytes, size}));
        buffer_clear(&out);
        arena_clear(&arena);
    }
}
