/* The results store in PostgreSQL. Applies what is missing of the schema; borrows the database.
 * Only app, tests and benchmarks include this. */
#ifndef STORE_STORE_POSTGRES_H
#define STORE_STORE_POSTGRES_H

#include "store/store.h"

enum status store_postgres_new(struct database *database, struct store **ret_store,
                               struct error *err) FALLIBLE;

#endif
