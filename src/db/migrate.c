/* Bringing a schema up to date, one numbered step after the other. */
#include "db/migrate.h"

struct migration_task {
    struct database_task task;
    const char *room;
    const struct migration *steps;
    size_t count;
};

static enum status apply(const struct database_ops *ops, struct database_session *session,
                         const char *room, const struct migration *step, struct error *err)
{
    TRY(fail_while(err, ops->schema_script(session, step->sql, err),
                   "applying step %lld '%s' of the schema of '%s'", (long long)step->number,
                   step->name, room));
    return ops->schema_note(session, room, step->number, step->name, err);
}

static enum status run(struct database_task *task, struct database_session *session,
                       struct error *err)
{
    const struct migration_task *migration = CONTAINER_OF(task, struct migration_task, task);
    const struct database_ops *ops = database_operations(session->database);
    int64_t applied, newest = (int64_t)migration->count;
    session->dirty = true; /* the table of notes may just have been made */
    TRY(ops->schema_read(session, migration->room, &applied, err));
    if (applied > newest)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "the database has step %lld of the schema of '%s', this program knows %lld: it "
                    "was written by a newer Slipway; use that one, or restore a backup",
                    (long long)applied, migration->room, (long long)newest);
    for (int64_t number = applied + 1; number <= newest; number++)
        TRY(apply(ops, session, migration->room, &migration->steps[number - 1], err));
    session->dirty = false;
    return STATUS_OK;
}

enum status migrate(struct database *database, const char *room, const struct migration *steps,
                    size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) assert(steps[i].number == (int64_t)i + 1);
    struct migration_task migration = {
        .task = {.run = run}, .room = room, .steps = steps, .count = count};
    return database_run(database, &migration.task, err);
}
