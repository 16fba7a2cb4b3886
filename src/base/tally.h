/*
 * Counts by name: a small table of names with a few numbers each, and one row, "other", for the
 * names that it has no room for. What /metrics shows by queue or by model, where names are the
 * clients' choice and labels must stay few.
 *
 *   struct tally tally;
 *   tally_init(&tally);
 *   tally_add(&tally, queue, QUEUE_COUNT_SENT, 10);
 *   struct tally_row *rows = MEM_NEW_ARRAY(struct tally_row, TALLY_ROWS_MAX);
 *   size_t count = tally_read(&tally, rows);
 *   tally_clear(&tally);
 *
 * A name keeps its row for the tally's life, first come first served: numbers never fall, and none
 * moves from one row to another. Any thread.
 */
#ifndef BASE_TALLY_H
#define BASE_TALLY_H

#include "base/str.h"

#include <pthread.h>

enum {
    TALLY_NAMES_MAX = 100,
    TALLY_ROWS_MAX = TALLY_NAMES_MAX + 1, /* and "other" */
    TALLY_NAME_MAX = 255,                 /* longer ones are counted as "other" */
    TALLY_KINDS = 6,
};

/* The row of names that have none of their own, and of a name that is this very word. */
#define TALLY_OTHER "other"

struct tally_row {
    char name[TALLY_NAME_MAX + 1];
    size_t name_size;
    uint64_t counts[TALLY_KINDS];
};

struct tally {
    pthread_mutex_t mutex;
    size_t count; /* rows with a name; the last row of all is "other" */
    struct tally_row rows[TALLY_ROWS_MAX];
};

void tally_init(struct tally *tally);
void tally_clear(struct tally *tally);

/* `kind` is below TALLY_KINDS. An amount of 0 gives the name its row. */
void tally_add(struct tally *tally, struct str name, size_t kind, uint64_t amount);

/* Copies; returns how many. "other" is the last, there only if something was counted in it. */
size_t tally_read(struct tally *tally, struct tally_row ret_rows[TALLY_ROWS_MAX]);

#endif
