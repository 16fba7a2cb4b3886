/* A file in a directory of its own. */
#include "db/sqlite.h"
#include "kind.h"
#include "store/store_sqlite.h"

static char directory[64], path[96];

bool kind_begin(void)
{
    (void)snprintf(directory, sizeof directory, "/tmp/slipway-test-store.XXXXXX");
    if (!mkdtemp(directory)) return false;
    (void)snprintf(path, sizeof path, "%s/data.db", directory);
    return true;
}

enum status kind_open(struct store **ret_store, struct error *err)
{
    struct database *database;
    TRY(sqlite_database_open(path, &(struct sqlite_options){0},
                             &(struct database_options){.reader_count = 2}, &database, err));
    enum status status = store_sqlite_new(database, ret_store, err);
    if (status != STATUS_OK) database_free(database);
    return status;
}

void kind_close(struct store *store)
{
    struct database *database = store_database(store);
    store_free(store);
    database_free(database);
}

bool kind_commits_chains(void)
{
    return true;
}

void kind_end(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
    if (system(command) != 0) abort();
}
