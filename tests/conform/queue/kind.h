/*
 * The kind of queue that the suite is linked with: kind_sqlite.c, kind_memory.c, kind_postgres.c,
 * kind_sqs.c, kind_elasticmq.c.
 * Each test begins with an empty database; opening again finds what was written.
 */
#ifndef CONFORM_QUEUE_KIND_H
#define CONFORM_QUEUE_KIND_H

#include "queue/queue.h"

/* Makes an empty database. False: this kind cannot be tested here, and it has said why. */
bool kind_begin(void);

/* Opens database and queues, as a process does that starts. Its time is this clock's. */
enum status kind_open(struct clock *clock, struct queue_store **ret_queues,
                      struct error *err) FALLIBLE;
void kind_close(struct queue_store *queues);

/* Removes the database. */
void kind_end(void);

/* Kinds that need neither leave these out. Time has been moved on; where it cannot be moved, it is
 * waited for. */
void kind_pass(double seconds) __attribute__((weak));

/* Why the row of the suite with this name cannot be run; NULL: it can. */
const char *kind_skips(const char *row) __attribute__((weak));

#endif
