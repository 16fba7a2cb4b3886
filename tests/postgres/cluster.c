/* What tests beside a PostgreSQL server share: its address, its life, statements. */
#include "cluster.h"

#include "base/mem.h"
#include "test.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

const char *cluster_address(const char *more)
{
    static char text[512];
    const char *address = getenv("SLIPWAY_TEST_POSTGRES");
    if (!address) {
        fprintf(stderr, "run this by tests/postgres/with_cluster\n");
        exit(2);
    }
    (void)snprintf(text, sizeof text, "%s %s", address, more);
    return text;
}

bool cluster_control(const char *what)
{
    char program[512], argument[32];
    (void)snprintf(program, sizeof program, "%s", getenv("SLIPWAY_TEST_CLUSTER"));
    (void)snprintf(argument, sizeof argument, "%s", what);
    char *arguments[] = {program, argument, NULL};
    pid_t child;
    int ended = -1;
    if (posix_spawn(&child, program, NULL, NULL, arguments, environ) != 0) return false;
    return waitpid(child, &ended, 0) == child && ended == 0;
}

struct statement {
    struct database_task task;
    const char *sql;
    bool script;
    int64_t value;
};

static enum status run_statement(struct database_task *task, struct database_session *session,
                                 struct error *err)
{
    struct statement *statement = CONTAINER_OF(task, struct statement, task);
    struct postgres_result *result CLEANUP(postgres_result_freep) = NULL;
    if (statement->script) return postgres_script(session, statement->sql, err);
    TRY(postgres_query(session, statement->sql, NULL, 0, &result, err));
    statement->value = postgres_rows(result) > 0 ? postgres_int_at(result, 0, 0) : 0;
    return STATUS_OK;
}

enum status cluster_run(struct database *database, const char *sql, struct error *err)
{
    struct statement statement = {.task = {.run = run_statement}, .sql = sql, .script = true};
    return database_run(database, &statement.task, err);
}

int64_t cluster_int(struct database *database, const char *sql)
{
    struct error err;
    struct statement statement = {.task = {.run = run_statement}, .sql = sql};
    EXPECT_STATUS(database_run(database, &statement.task, &err), STATUS_OK, err);
    return statement.value;
}

struct database *cluster_open(const struct database_options *options)
{
    struct error err;
    struct database *database = NULL;
    enum status status = postgres_database_open(cluster_address(""), options, &database, &err);
    if (status == STATUS_OK)
        status = cluster_run(database, "DROP SCHEMA public CASCADE; CREATE SCHEMA public", &err);
    EXPECT_STATUS(status, STATUS_OK, err);
    return database;
}
