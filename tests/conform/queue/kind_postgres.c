/* The cluster of tests/postgres/with_cluster, emptied for each test. */
#include "cluster.h"
#include "kind.h"
#include "queue/queue_postgres.h"

bool kind_begin(void)
{
    database_free(cluster_open(&(struct database_options){0}));
    return true;
}

enum status kind_open(struct clock *clock, struct queue_store **ret_queues, struct error *err)
{
    struct database *database;
    struct database_options options = {.clock = clock, .writer_count = 2};
    TRY(postgres_database_open(cluster_address(""), &options, &database, err));
    enum status status = queue_postgres_new(database, ret_queues, err);
    if (status != STATUS_OK) database_free(database);
    return status;
}

void kind_close(struct queue_store *queues)
{
    struct database *database = queue_store_database(queues);
    queue_store_free(queues);
    database_free(database);
}

void kind_end(void) {}
