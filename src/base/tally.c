/* Counts by name, for a bounded number of names. */
#include "base/tally.h"

static struct tally_row *other_of(struct tally *tally)
{
    return &tally->rows[TALLY_NAMES_MAX];
}

void tally_init(struct tally *tally)
{
    *tally = (struct tally){.count = 0};
    (void)pthread_mutex_init(&tally->mutex, NULL);
    memcpy(other_of(tally)->name, TALLY_OTHER, sizeof TALLY_OTHER);
    other_of(tally)->name_size = sizeof TALLY_OTHER - 1;
}

void tally_clear(struct tally *tally)
{
    (void)pthread_mutex_destroy(&tally->mutex);
}

static struct tally_row *row_of(struct tally *tally, struct str name)
{
    for (size_t i = 0; i < tally->count; i++) {
        struct tally_row *row = &tally->rows[i];
        if (row->name_size == name.size && memcmp(row->name, name.data, name.size) == 0) return row;
    }
    if (tally->count == TALLY_NAMES_MAX || name.size == 0 || name.size > TALLY_NAME_MAX ||
        str_equal(name, STR(TALLY_OTHER)))
        return other_of(tally);
    struct tally_row *row = &tally->rows[tally->count++];
    memcpy(row->name, name.data, name.size);
    row->name_size = name.size;
    return row;
}

void tally_add(struct tally *tally, struct str name, size_t kind, uint64_t amount)
{
    assert(kind < TALLY_KINDS);
    (void)pthread_mutex_lock(&tally->mutex);
    row_of(tally, name)->counts[kind] += amount;
    (void)pthread_mutex_unlock(&tally->mutex);
}

static bool is_empty(const struct tally_row *row)
{
    for (size_t i = 0; i < TALLY_KINDS; i++)
        if (row->counts[i] > 0) return false;
    return true;
}

size_t tally_read(struct tally *tally, struct tally_row ret_rows[TALLY_ROWS_MAX])
{
    (void)pthread_mutex_lock(&tally->mutex);
    size_t count = tally->count;
    memcpy(ret_rows, tally->rows, count * sizeof *ret_rows);
    if (!is_empty(other_of(tally))) ret_rows[count++] = *other_of(tally);
    (void)pthread_mutex_unlock(&tally->mutex);
    return count;
}
