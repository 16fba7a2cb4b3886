/* Queues in SQLite. Applies what is missing of the schema; borrows the database. Only app, tests
 * and benchmarks include this. */
#ifndef QUEUE_QUEUE_SQLITE_H
#define QUEUE_QUEUE_SQLITE_H

#include "queue/queue.h"

enum status queue_sqlite_new(struct database *database, struct queue_store **ret_queues,
                             struct error *err) FALLIBLE;

#endif
