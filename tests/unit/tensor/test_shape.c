#include "tensor/shape.c"
#include "test.h"

TEST(products_are_checked)
{
    int64_t count = -1;
    EXPECT(shape_element_count((int64_t[]){2, 3}, 2, &count) && count == 6);
    EXPECT(shape_element_count(NULL, 0, &count) && count == 1);
    EXPECT(!shape_element_count((int64_t[]){2, -1}, 2, &count));
    EXPECT(!shape_element_count((int64_t[]){INT64_MAX, 2}, 2, &count));
    EXPECT(shape_element_count((int64_t[]){INT64_MAX, 2, 0}, 3, &count) && count == 0);
    EXPECT(!shape_element_count((int64_t[]){0, -1}, 2, &count));
    EXPECT(shape_element_count((int64_t[]){0, 5}, 2, &count) && count == 0);
    EXPECT(shape_element_count((int64_t[]){32767, 32767, 32767, 32767}, 4, &count) &&
           count == INT64_C(32767) * 32767 * 32767 * 32767);
    EXPECT(!shape_element_count((int64_t[]){32767, 32767, 32767, 32767, 32767}, 5, &count));
    EXPECT(shape_element_count((int64_t[]){32768, 2}, 2, &count) && count == 65536);
}

TEST(minus_one_matches_anything)
{
    EXPECT(shape_matches((int64_t[]){-1, 4}, 2, (int64_t[]){7, 4}, 2));
    EXPECT(!shape_matches((int64_t[]){-1, 4}, 2, (int64_t[]){7, 5}, 2));
    EXPECT(!shape_matches((int64_t[]){-1, 4}, 2, (int64_t[]){7}, 1));
}

TEST(prints_as_messages_do)
{
    struct buffer out;
    buffer_init(&out, 64);
    shape_print(&out, (int64_t[]){-1, 16}, 2);
    EXPECT_TEXT(buffer_text(&out), "[-1,16]");
    buffer_clear(&out);
}
