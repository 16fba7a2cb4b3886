#include "base/str.c"
#include "test.h"

/*
 * Callers that differ in constants of the same size: the compiler then makes one copy of the
 * function for the size, and what it knows of a constant there must be true of all of them.
 */
static bool is_kind(struct str text, struct str kind)
{
    if (!str_starts_with(text, kind)) return false;
    return text.size == kind.size || text.data[kind.size] == '.';
}

static int kind_of(struct str text)
{
    if (is_kind(text, STR("String"))) return 1;
    if (is_kind(text, STR("Number"))) return 2;
    if (is_kind(text, STR("Binary"))) return 3;
    return 0;
}

TEST(constants_of_one_size_are_told_apart)
{
    const char *volatile texts[] = {"String", "Number", "Binary", "Strinh", "String.x", "Numbers"};
    static const int kinds[] = {1, 2, 3, 0, 1, 0};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) EXPECT_INT(kind_of(str_of(texts[i])), kinds[i]);
}

TEST(texts_of_all_sizes_are_equal_byte_for_byte)
{
    char a[40], b[40];
    for (size_t size = 0; size <= sizeof a; size++) {
        for (size_t i = 0; i < size; i++) a[i] = b[i] = (char)('a' + i);
        EXPECT(str_equal((struct str){a, size}, (struct str){b, size}));
        for (size_t i = 0; i < size; i++) {
            b[i] ^= 1;
            EXPECT(!str_equal((struct str){a, size}, (struct str){b, size}));
            b[i] ^= 1;
        }
        if (size) EXPECT(!str_equal((struct str){a, size}, (struct str){b, size - 1}));
        EXPECT(str_starts_with((struct str){a, size}, (struct str){b, size / 2}));
    }
}

/* At every fill, the full one too, where there is no room for one byte more. */
TEST(an_absent_text_adds_nothing)
{
    struct buffer buffer;
    buffer_init(&buffer, 4);
    for (size_t size = 0; size <= 4; size++) {
        buffer_add(&buffer, (struct str){0});
        EXPECT(!buffer_failed(&buffer));
        EXPECT(buffer_view(&buffer).size == size);
        if (size < 4) buffer_add(&buffer, STR("a"));
    }
    EXPECT_STR(buffer_view(&buffer), STR("aaaa"));
    buffer_clear(&buffer);
}
