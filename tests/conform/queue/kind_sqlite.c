/* A file in a directory of its own. */
#include "db/sqlite.h"
#include "kind.h"
#include "queue/queue_sqlite.h"

static char directory[64], path[96];

bool kind_begin(void)
{
    (void)snprintf(directory, sizeof directory, "/tmp/slipway-test-queue.XXXXXX");
    if (!mkdtemp(directory)) return false;
    (void)snprintf(path, sizeof path, "%s/data.db", directory);
    return true;
}

enum status kind_open(struct clock *clock, struct queue_store **ret_queues, struct error *err)
{
    struct database *database;
    TRY(sqlite_database_open(path, &(struct sqlite_options){0},
                             &(struct database_options){.clock = clock}, &database, err));
    enum status status = queue_sqlite_new(database, ret_queues, err);
    if (status != STATUS_OK) database_free(database);
    return status;
}

void kind_close(struct queue_store *queues)
{
    struct database *database = queue_store_database(queues);
    queue_store_free(queues);
    database_free(database);
}

void kind_end(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
    if (system(command) != 0) abort();
}
