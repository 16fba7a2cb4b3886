#include "test.h"
#include "watch/depths.c"

enum { MANY = 3 * DEPTHS_NAMES_MAX };

static struct depths_row rows[MANY];
static struct depths_page page;

static void name_row(size_t i, const char *prefix, uint64_t visible)
{
    rows[i] = (struct depths_row){.depth = {.visible = visible, .oldest_ms = i}};
    (void)snprintf(rows[i].name, sizeof rows[i].name, "%s%03zu", prefix, i);
}

TEST(nothing_is_an_empty_page)
{
    depths_condense(rows, 0, &page);
    EXPECT_INT(page.count, 0);
}

TEST(the_longest_are_shown_and_the_rest_is_summed)
{
    uint64_t rest = 0;
    for (size_t i = 0; i < MANY; i++) name_row(i, "q", i);
    rows[0].own = true;
    for (size_t i = 1; i <= MANY - DEPTHS_NAMES_MAX; i++) rest += i;
    depths_condense(rows, MANY, &page);
    REQUIRE(page.count == DEPTHS_ROWS_MAX);
    EXPECT_INT(page.queues, MANY);
    EXPECT_TEXT(page.rows[0].name, "q000"); /* empty, but the product's own */
    EXPECT_TEXT(page.rows[1].name, "q201");
    EXPECT_TEXT(page.rows[DEPTHS_NAMES_MAX - 1].name, "q299");
    EXPECT_TEXT(page.rows[DEPTHS_NAMES_MAX].name, DEPTHS_OTHER);
    EXPECT_INT(page.rows[DEPTHS_NAMES_MAX].depth.visible, rest);
    EXPECT_INT(page.rows[DEPTHS_NAMES_MAX].depth.oldest_ms, MANY - DEPTHS_NAMES_MAX);
}

TEST(a_queue_that_is_called_other_is_in_the_sum)
{
    for (size_t i = 0; i < 3; i++) name_row(i, "q", 1);
    (void)snprintf(rows[1].name, sizeof rows[1].name, DEPTHS_OTHER);
    rows[1].depth.visible = 50;
    depths_condense(rows, 3, &page);
    REQUIRE(page.count == 3);
    EXPECT_TEXT(page.rows[2].name, DEPTHS_OTHER);
    EXPECT_INT(page.rows[2].depth.visible, 50);
}

TEST(dead_letters_are_those_of_the_queue_behind)
{
    for (size_t i = 0; i < 3; i++) name_row(i, "q", 10 + i);
    (void)snprintf(rows[0].dead_letter, sizeof rows[0].dead_letter, "q002");
    (void)snprintf(rows[1].dead_letter, sizeof rows[1].dead_letter, "away");
    depths_condense(rows, 3, &page);
    REQUIRE(page.count == 3);
    EXPECT(page.rows[0].dead_known && page.rows[0].dead == 12);
    EXPECT(!page.rows[1].dead_known && !page.rows[2].dead_known);
}
