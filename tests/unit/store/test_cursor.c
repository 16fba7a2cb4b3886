/* Cursors and filters. */
#include "store/cursor.c"
#include "test.h"

static const char id[] = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

TEST(a_cursor_comes_back)
{
    struct error err;
    char text[STORE_CURSOR_SIZE + 1], back[RECORD_ID_SIZE + 1];
    struct store_list list = {.filter = {.model = STR("m")}, .count_max = 10};
    store_cursor_make(&list, id, text);
    EXPECT_INT(strlen(text), STORE_CURSOR_SIZE);
    list.cursor = str_of(text);
    list.count_max = 20; /* the page's size may change */
    EXPECT_STATUS(store_cursor_read(&list, back, &err), STATUS_OK, err);
    EXPECT_TEXT(back, id);
    list.cursor = STR_EMPTY;
    EXPECT_STATUS(store_cursor_read(&list, back, &err), STATUS_OK, err);
    EXPECT_TEXT(back, "");
}

TEST(a_cursor_of_another_list_is_refused)
{
    struct error err;
    char text[STORE_CURSOR_SIZE + 1], back[RECORD_ID_SIZE + 1];
    struct store_list list = {.filter = {.model = STR("ab"), .version = STR("c")}};
    store_cursor_make(&list, id, text);
    struct store_list others[] = {list, list, list, list, list, list};
    others[0].filter.model = STR("a");
    others[0].filter.version = STR("bc");
    others[1].ascending = true;
    others[2].filter.states = 4;
    others[3].filter.since_us = 1;
    others[4].filter.failed_only = true;
    others[5].filter.trace_id = STR("t");
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        others[i].cursor = str_of(text);
        EXPECT_STATUS(store_cursor_read(&others[i], back, &err), STATUS_INVALID_ARGUMENT, err);
    }
}

TEST(any_damage_to_a_cursor_is_refused_or_harmless)
{
    struct error err;
    struct prng prng;
    prng_seed(&prng, test_seed());
    char text[STORE_CURSOR_SIZE + 1], back[RECORD_ID_SIZE + 1];
    struct store_list list = {.count_max = 1};
    store_cursor_make(&list, id, text);
    for (int i = 0; i < 20000; i++) {
        char bad[STORE_CURSOR_SIZE + 1];
        memcpy(bad, text, sizeof bad);
        size_t at = prng_below(&prng, STORE_CURSOR_SIZE);
        bad[at] = (char)prng_below(&prng, 256);
        list.cursor = (struct str){bad, prng_below(&prng, 9) ? STORE_CURSOR_SIZE : at + 1};
        if (store_cursor_read(&list, back, &err) == STATUS_OK)
            EXPECT(record_id_is_valid(str_of(back))); /* another place of the same list */
        else
            EXPECT_INT(err.status, STATUS_INVALID_ARGUMENT);
    }
}

TEST(times_become_ids)
{
    char least[RECORD_ID_SIZE + 1], greatest[RECORD_ID_SIZE + 1];
    store_filter_range(&(struct store_filter){0}, least, greatest);
    EXPECT_TEXT(least, "00000000000000000000000000");
    EXPECT_TEXT(greatest, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    store_filter_range(
        &(struct store_filter){.since_us = 1700000000000999, .until_us = 1700000000001001}, least,
        greatest);
    EXPECT_INT(record_id_time_ms(str_of(least)), 1700000000000);
    EXPECT_INT(record_id_time_ms(str_of(greatest)), 1700000000002);
    store_filter_range(&(struct store_filter){.until_us = UINT64_MAX}, least, greatest);
    EXPECT(record_id_is_valid(str_of(greatest)));
}

TEST(a_filter_needs_all_that_is_set)
{
    struct record record = {.model = STR("m"),
                            .version = STR("1"),
                            .state = RECORD_FAILED,
                            .status = STATUS_INTERNAL,
                            .source = RECORD_SOURCE_QUEUE};
    EXPECT(store_filter_matches(&(struct store_filter){0}, &record));
    EXPECT(store_filter_matches(&(struct store_filter){.failed_only = true, .model = STR("m")},
                                &record));
    EXPECT(!store_filter_matches(&(struct store_filter){.model = STR("n")}, &record));
    EXPECT(!store_filter_matches(&(struct store_filter){.key = STR("k")}, &record));
    EXPECT(!store_filter_matches(&(struct store_filter){.states = 1U << RECORD_RUNNING}, &record));
    EXPECT(store_filter_matches(
        &(struct store_filter){.states = 1U << RECORD_RUNNING | 1U << RECORD_FAILED}, &record));
    EXPECT(!store_filter_matches(&(struct store_filter){.sources = 1U << RECORD_SOURCE_HTTP},
                                 &record));
    record.status = STATUS_OK;
    EXPECT(!store_filter_matches(&(struct store_filter){.failed_only = true}, &record));
}
