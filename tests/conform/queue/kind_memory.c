/* No file. What is opened again is the same database: there is none to come back to. */
#include "db/sqlite.h"
#include "kind.h"
#include "queue/queue_sqlite.h"

static struct database *database;

bool kind_begin(void)
{
    return true;
}

enum status kind_open(struct clock *clock, struct queue_store **ret_queues, struct error *err)
{
    if (!database)
        TRY(sqlite_memory_new(64 << 20, &(struct database_options){.clock = clock}, &database,
                              err));
    return queue_sqlite_new(database, ret_queues, err);
}

void kind_close(struct queue_store *queues)
{
    queue_store_free(queues);
}

void kind_end(void)
{
    database_free(database);
    database = NULL;
}
