/* The cluster that tests/postgres/with_cluster runs for a test program. */
#ifndef TESTS_POSTGRES_CLUSTER_H
#define TESTS_POSTGRES_CLUSTER_H

#include "db/postgres.h"

/* The connection string, with a few words added ("user=locked"), in a buffer that the next call
 * overwrites. */
const char *cluster_address(const char *more);

/* "stop", "start", "restart": crashes, not orderly ends. False if it failed. */
bool cluster_control(const char *what);

/* Opens with nothing in it: the schema 'public' is dropped and made again first. */
struct database *cluster_open(const struct database_options *options);

/* Runs SQL in a transaction of its own. */
enum status cluster_run(struct database *database, const char *sql, struct error *err);

/* The one integer of a query. */
int64_t cluster_int(struct database *database, const char *sql);

#endif
