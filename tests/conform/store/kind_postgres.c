/* The cluster of tests/postgres/with_cluster, emptied for each test. */
#include "cluster.h"
#include "kind.h"
#include "store/store_postgres.h"

static const struct database_options options = {.writer_count = 2, .reader_count = 2};

bool kind_begin(void)
{
    database_free(cluster_open(&options));
    return true;
}

enum status kind_open(struct store **ret_store, struct error *err)
{
    struct database *database;
    TRY(postgres_database_open(cluster_address(""), &options, &database, err));
    enum status status = store_postgres_new(database, ret_store, err);
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

void kind_end(void) {}
