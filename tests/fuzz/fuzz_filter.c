/*
 * Filters of lists and the cursors between their pages: lines "name=value", and a cursor behind
 * "cursor=". A cursor that is taken is the one that would be made; one that was made is taken back,
 * and by no other list.
 */
#include "store/cursor.h"
#include "store/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t now_us = UINT64_C(1800000000000000);

static void check_cursor(const struct store_list *list)
{
    char id[RECORD_ID_SIZE + 1], text[STORE_CURSOR_SIZE + 1];
    struct error err;
    if (store_cursor_read(list, id, &err) != STATUS_OK) {
        if (err.status != STATUS_INVALID_ARGUMENT) abort();
        return;
    }
    if (list->cursor.size == 0) return;
    store_cursor_make(list, id, text);
    if (!str_equal_ignoring_case(list->cursor, str_of(text))) abort();
}

static void check_made(struct store_list list)
{
    static const char last[] = "01HZZZZZZZZZZZZZZZZZZZZZZZ";
    char id[RECORD_ID_SIZE + 1], text[STORE_CURSOR_SIZE + 1];
    struct error err;
    store_cursor_make(&list, last, text);
    list.cursor = str_of(text);
    if (store_cursor_read(&list, id, &err) != STATUS_OK || strcmp(id, last) != 0) abort();
    list.ascending = !list.ascending;
    if (store_cursor_read(&list, id, &err) == STATUS_OK) abort();
}

static void check_range(const struct store_filter *filter)
{
    char least[RECORD_ID_SIZE + 1], greatest[RECORD_ID_SIZE + 1];
    store_filter_range(filter, least, greatest);
    if (!record_id_is_valid(str_of(least)) || !record_id_is_valid(str_of(greatest))) abort();
    if (filter->until_us == 0 && strcmp(least, greatest) > 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    struct store_list list = {.count_max = 1};
    struct record record = {.model = STR("m"), .state = RECORD_FAILED, .source = RECORD_SOURCE_JOB};
    struct error err;
    if (size == 0 || size > 16384) return 0;
    list.ascending = data[0] & 1;
    while (rest.data) {
        struct str value = str_cut(&rest, '\n');
        struct str name = str_cut(&value, '=');
        if (!value.data) continue;
        if (str_equal(name, STR("cursor")))
            list.cursor = value;
        else if (store_filter_set(&list.filter, name, value, now_us, &err) != STATUS_OK &&
                 err.status != STATUS_INVALID_ARGUMENT)
            abort();
    }
    check_cursor(&list);
    check_made(list);
    check_range(&list.filter);
    (void)!store_filter_matches(&list.filter, &record);
    return 0;
}
