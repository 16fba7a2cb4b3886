/*
 * Where a page ended: the last record's id and a fingerprint of what was asked, so that a cursor
 * used with another filter is refused instead of giving a wrong list. Opaque to clients. Pure.
 *
 *   store_cursor_make(list, last_id, text);
 *   TRY(store_cursor_read(list, id, err));        // id empty: list->cursor is empty
 *   ... WHERE id < :id ORDER BY id DESC           // > and ASC if list->ascending
 */
#ifndef STORE_CURSOR_H
#define STORE_CURSOR_H

#include "store/store.h"

enum { STORE_CURSOR_SIZE = RECORD_ID_SIZE + 16 };
_Static_assert((int)STORE_CURSOR_SIZE < (int)STORE_CURSOR_MAX, "a cursor is within its limit");

void store_cursor_make(const struct store_list *list, const char *last_id,
                       char ret_text[STORE_CURSOR_SIZE + 1]);

/* INVALID_ARGUMENT if list->cursor is not one, or of another list. */
enum status store_cursor_read(const struct store_list *list, char ret_id[RECORD_ID_SIZE + 1],
                              struct error *err) FALLIBLE;

/* The first and the last id that the filter's times allow; both inclusive. */
void store_filter_range(const struct store_filter *filter, char ret_least[RECORD_ID_SIZE + 1],
                        char ret_greatest[RECORD_ID_SIZE + 1]);

/* All of the filter but its times, which the range is for. */
bool store_filter_matches(const struct store_filter *filter, const struct record *record);

#endif
