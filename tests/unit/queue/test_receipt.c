#include "queue/receipt.c"
#include "test.h"

TEST(a_handle_is_read_as_it_was_written)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int i = 0; i < 10000; i++) {
        char text[RECEIPT_TEXT_SIZE];
        const struct receipt receipt = {prng_u64(&prng), prng_u64(&prng), prng_u64(&prng)};
        struct receipt read;
        receipt_write(&receipt, text);
        REQUIRE(receipt_read((struct str){text, sizeof text}, &read));
        EXPECT(memcmp(&read, &receipt, sizeof read) == 0);
    }
}

/* One wrong character, a missing or an added one: none of them is a handle. */
TEST(a_changed_handle_is_none)
{
    struct prng prng;
    char text[RECEIPT_TEXT_SIZE + 1] = {0};
    struct receipt read;
    prng_seed(&prng, test_seed());
    receipt_write(&(struct receipt){1, 2, 3}, text);
    EXPECT(!receipt_read((struct str){text, RECEIPT_TEXT_SIZE - 1}, &read));
    EXPECT(!receipt_read((struct str){text, RECEIPT_TEXT_SIZE + 1}, &read));
    EXPECT(!receipt_read(STR(""), &read));
    for (size_t i = 0; i < RECEIPT_TEXT_SIZE; i++) {
        char kept = text[i];
        do text[i] = (char)prng_below(&prng, 256);
        while (text[i] == kept);
        EXPECT(!receipt_read((struct str){text, RECEIPT_TEXT_SIZE}, &read));
        text[i] = kept;
    }
    EXPECT(receipt_read((struct str){text, RECEIPT_TEXT_SIZE}, &read));
}
