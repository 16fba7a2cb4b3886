#include "cli/console.c"
#include "test.h"

TEST(columns_line_up_and_numbers_stand_right)
{
    struct table table;
    table_init(&table, 3);
    const char *const cells[] = {"name", "n", "why", "a", "5", "\xc3\xa9\33", "long", "1234", ""};
    for (size_t i = 0; i < COUNT_OF(cells); i++) table_add(&table, cells[i]);
    struct buffer out;
    buffer_init(&out, 4096);
    table_print(&table, &out);
    EXPECT_TEXT(buffer_text(&out), "name     n  why\na        5  \xc3\xa9?\nlong  1234  \n");
    buffer_clear(&out);
    table_clear(&table);
}

TEST(files_are_read_up_to_a_limit)
{
    struct buffer text;
    struct error err;
    buffer_init(&text, 1 << 20);
    EXPECT_STATUS(console_read_file("/proc/self/status", 1 << 19, &text, &err), STATUS_OK, err);
    EXPECT(text.size > 100);
    buffer_reset(&text);
    EXPECT_STATUS(console_read_file("/proc/self/status", 10, &text, &err), STATUS_EXHAUSTED, err);
    EXPECT_STATUS(console_read_file("/nowhere", 10, &text, &err), STATUS_NOT_FOUND, err);
    EXPECT_STATUS(console_write_file("/nowhere/x", STR("a"), &err), STATUS_NOT_FOUND, err);
    buffer_clear(&text);
}
