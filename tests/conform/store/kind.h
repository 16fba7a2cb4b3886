/*
 * The kind of store that the suite is linked with: kind_sqlite.c, kind_memory.c, kind_postgres.c.
 * Each test begins with an empty database; opening again finds what was written.
 */
#ifndef CONFORM_STORE_KIND_H
#define CONFORM_STORE_KIND_H

#include "store/store.h"

/* Makes an empty database. False: this kind cannot be tested here, and it has said why. */
bool kind_begin(void);

/* Opens database and store, as a process does that starts. */
enum status kind_open(struct store **ret_store, struct error *err) FALLIBLE;
void kind_close(struct store *store);

/* True if tasks that are chained are one transaction. */
bool kind_commits_chains(void);

/* Removes the database. */
void kind_end(void);

#endif
