/* Queues that are gone with the process, over memory_database_new: for tests, and as the plainest
 * statement of what the others must do. */
#ifndef QUEUE_QUEUE_MEMORY_H
#define QUEUE_QUEUE_MEMORY_H

#include "queue/queue.h"

enum status queue_memory_new(struct database *database, struct queue_store **ret_queues,
                             struct error *err) FALLIBLE;

#endif
