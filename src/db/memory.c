/* A database that keeps nothing: what its sessions' users keep is their own. */
#include "db/database.h"

static enum status open_nothing(struct database *database UNUSED, bool reads UNUSED,
                                struct database_session *session UNUSED, struct error *err UNUSED)
{
    return STATUS_OK;
}

static void close_nothing(struct database_session *session UNUSED) {}

static enum status succeed(struct database_session *session UNUSED, struct error *err UNUSED)
{
    return STATUS_OK;
}

static void free_nothing(struct database *database UNUSED) {}

static const struct database_ops memory_ops = {
    .name = "memory",
    .session_open = open_nothing,
    .session_close = close_nothing,
    .begin = succeed,
    .commit = succeed,
    .rollback = close_nothing,
    .close = free_nothing,
};

enum status memory_database_new(const struct database_options *options,
                                struct database **ret_database, struct error *err)
{
    struct database_options one = {.clock = options->clock};
    return database_new(&memory_ops, NULL, &one, ret_database, err);
}
