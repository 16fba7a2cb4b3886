#include "base/tally.c"
#include "test.h"

static struct tally tally;
static struct tally_row rows[TALLY_ROWS_MAX];

TEST(names_have_rows_of_their_own)
{
    tally_init(&tally);
    EXPECT_INT(tally_read(&tally, rows), 0);
    tally_add(&tally, STR("a"), 0, 0);
    tally_add(&tally, STR("ab"), 1, 3);
    tally_add(&tally, STR("a"), 1, 5);
    REQUIRE(tally_read(&tally, rows) == 2);
    EXPECT_TEXT(rows[0].name, "a");
    EXPECT_INT(rows[0].counts[0], 0);
    EXPECT_INT(rows[0].counts[1], 5);
    EXPECT_TEXT(rows[1].name, "ab");
    EXPECT_INT(rows[1].counts[1], 3);
    tally_clear(&tally);
}

TEST(too_many_too_long_and_other_share_one_row)
{
    static char longest[TALLY_NAME_MAX + 1];
    char name[16];
    memset(longest, 'x', sizeof longest);
    tally_init(&tally);
    tally_add(&tally, STR(TALLY_OTHER), 0, 1);
    tally_add(&tally, (struct str){longest, sizeof longest}, 0, 1);
    tally_add(&tally, STR_EMPTY, 0, 1);
    tally_add(&tally, (struct str){longest, sizeof longest - 1}, 0, 1);
    for (int i = 0; i < 2 * TALLY_NAMES_MAX; i++) {
        int size = snprintf(name, sizeof name, "n%d", i);
        tally_add(&tally, (struct str){name, (size_t)size}, 2, 1);
    }
    REQUIRE(tally_read(&tally, rows) == TALLY_ROWS_MAX);
    const struct tally_row *other = &rows[TALLY_ROWS_MAX - 1];
    EXPECT_TEXT(other->name, TALLY_OTHER);
    EXPECT_INT(other->counts[0], 3);
    EXPECT_INT(other->counts[2], TALLY_NAMES_MAX + 1);
    EXPECT_INT(rows[0].counts[0], 1);
    for (size_t i = 1; i < TALLY_NAMES_MAX; i++) EXPECT_INT(rows[i].counts[2], 1);
    tally_clear(&tally);
}
