/* No file. What is opened again is the same database: there is none to come back to. */
#include "db/sqlite.h"
#include "kind.h"
#include "store/store_sqlite.h"

static struct database *database;

bool kind_begin(void)
{
    return true;
}

enum status kind_open(struct store **ret_store, struct error *err)
{
    if (!database)
        TRY(sqlite_memory_new(256 << 20, &(struct database_options){.reader_count = 2}, &database,
                              err));
    return store_sqlite_new(database, ret_store, err);
}

void kind_close(struct store *store)
{
    store_free(store);
}

bool kind_commits_chains(void)
{
    return true;
}

void kind_end(void)
{
    database_free(database);
    database = NULL;
}
