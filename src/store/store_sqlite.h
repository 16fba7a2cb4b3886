/* The results store in SQLite. Applies what is missing of the schema; borrows the database. Only
 * app, tests and benchmarks include this. */
#ifndef STORE_STORE_SQLITE_H
#define STORE_STORE_SQLITE_H

#include "store/store.h"

enum status store_sqlite_new(struct database *database, struct store **ret_store,
                             struct error *err) FALLIBLE;

#endif
