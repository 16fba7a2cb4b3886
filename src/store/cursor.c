/* Cursors and filters. */
#include "store/cursor.h"

enum { FINGERPRINT_DIGITS = 16 };

/* FNV-1a. A text's size comes first, so that "ab","c" is not "a","bc". */
static uint64_t add_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++) hash = (hash ^ at[i]) * UINT64_C(0x100000001B3);
    return hash;
}

static uint64_t add_number(uint64_t hash, uint64_t number)
{
    return add_bytes(hash, &number, sizeof number);
}

static uint64_t fingerprint(const struct store_list *list)
{
    const struct store_filter *filter = &list->filter;
    const struct str texts[] = {filter->model, filter->version, filter->variant, filter->group,
                                filter->queue, filter->key,     filter->trace_id};
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        hash = add_number(hash, texts[i].size);
        hash = add_bytes(hash, texts[i].data, texts[i].size);
    }
    hash = add_number(hash, filter->states);
    hash = add_number(hash, filter->sources);
    hash = add_number(hash, filter->since_us);
    hash = add_number(hash, filter->until_us);
    return add_number(hash, (uint64_t)filter->failed_only << 1 | (uint64_t)list->ascending);
}

static void print_fingerprint(const struct store_list *list, char text[FINGERPRINT_DIGITS + 1])
{
    snprintf(text, FINGERPRINT_DIGITS + 1, "%016llx", (unsigned long long)fingerprint(list));
}

void store_cursor_make(const struct store_list *list, const char *last_id,
                       char ret_text[STORE_CURSOR_SIZE + 1])
{
    memcpy(ret_text, last_id, RECORD_ID_SIZE);
    print_fingerprint(list, ret_text + RECORD_ID_SIZE);
}

enum status store_cursor_read(const struct store_list *list, char ret_id[RECORD_ID_SIZE + 1],
                              struct error *err)
{
    struct str cursor = list->cursor;
    if (cursor.size == 0) {
        ret_id[0] = '\0';
        return STATUS_OK;
    }
    struct str id = {cursor.data, MIN(cursor.size, (size_t)RECORD_ID_SIZE)};
    if (cursor.size != STORE_CURSOR_SIZE || !record_id_is_valid(id))
        return fail(err, STATUS_INVALID_ARGUMENT, "the cursor is none that a list has returned");
    char expected[FINGERPRINT_DIGITS + 1];
    print_fingerprint(list, expected);
    if (!str_equal(str_from(cursor, RECORD_ID_SIZE), str_of(expected)))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "the cursor belongs to a list with another filter or order: give the same ones "
                    "with it, or begin without a cursor");
    memcpy(ret_id, id.data, RECORD_ID_SIZE);
    ret_id[RECORD_ID_SIZE] = '\0';
    return STATUS_OK;
}

/* The first millisecond that begins at or after `us`. */
static uint64_t round_up_ms(uint64_t us)
{
    return us / 1000 + (us % 1000 != 0);
}

void store_filter_range(const struct store_filter *filter, char ret_least[RECORD_ID_SIZE + 1],
                        char ret_greatest[RECORD_ID_SIZE + 1])
{
    record_id_first(filter->since_us / 1000, ret_least);
    uint64_t until_ms = filter->until_us ? round_up_ms(filter->until_us) : UINT64_MAX;
    /* Chance makes the least id of a millisecond as good as never: below it is below all. */
    if (until_ms <= UINT64_C(0xFFFFFFFFFFFF))
        record_id_first(until_ms, ret_greatest);
    else
        memcpy(ret_greatest, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", RECORD_ID_SIZE + 1);
}

static bool is_or_any(struct str wanted, struct str found)
{
    return wanted.size == 0 || str_equal(wanted, found);
}

bool store_filter_matches(const struct store_filter *filter, const struct record *record)
{
    return (filter->states == 0 || filter->states & 1U << record->state) &&
           (filter->sources == 0 || filter->sources & 1U << record->source) &&
           !(filter->failed_only && record->status == STATUS_OK) &&
           is_or_any(filter->model, record->model) && is_or_any(filter->version, record->version) &&
           is_or_any(filter->variant, record->variant) && is_or_any(filter->group, record->group) &&
           is_or_any(filter->queue, record->queue) && is_or_any(filter->key, record->key) &&
           is_or_any(filter->trace_id, record->trace_id);
}
