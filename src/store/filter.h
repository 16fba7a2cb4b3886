/*
 * Filters as people write them, in a query string or on a command line: one name and one text at a
 * time. Pure.
 *
 *   TRY(store_filter_set(&filter, STR("state"), STR("failed,expired"), now_us, err));
 *
 *   model version variant group queue key trace_id    equal
 *   state source     one or several, by commas
 *   failed           true: status is not OK
 *   since until      2026-11-22, 2026-11-22T20:37:00Z (always UTC), or a duration before now: 1h30m
 */
#ifndef STORE_FILTER_H
#define STORE_FILTER_H

#include "store/store.h"

/* The names above, in order; NULL at the end. */
extern const char *const store_filter_names[];

/* Borrows the value. INVALID_ARGUMENT says what would be right. An empty value sets nothing. */
enum status store_filter_set(struct store_filter *filter, struct str name, struct str value,
                             uint64_t now_us, struct error *err) FALLIBLE;

#endif
