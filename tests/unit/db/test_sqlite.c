#include "base/mem.h"
#include "db/migrate.h"
#include "db/sqlite.c"
#include "test.h"

#include <sys/stat.h>

static char directory[] = "/tmp/slipway-test-sqlite.XXXXXX";
static char path[128], copy[128];
static struct database *database;

static bool open_database(void)
{
    struct error err;
    enum status status = sqlite_database_open(path, &(struct sqlite_options){0},
                                              &(struct database_options){0}, &database, &err);
    if (status != STATUS_OK) test_failed(__FILE__, __LINE__, "%s", err.message);
    return status == STATUS_OK;
}

static bool new_database(void)
{
    (void)snprintf(directory, sizeof directory, "/tmp/slipway-test-sqlite.XXXXXX");
    if (!mkdtemp(directory)) return false;
    (void)snprintf(path, sizeof path, "%s/data.db", directory);
    (void)snprintf(copy, sizeof copy, "%s/copy.db", directory);
    return open_database();
}

static void remove_database(void)
{
    char command[256];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
    EXPECT(system(command) == 0);
}

struct script_task {
    struct database_task task;
    const char *sql;
    int64_t value; /* of the first column of the first row, if it is a query */
};

static enum status run_script(struct database_task *task, struct database_session *session,
                              struct error *err)
{
    return sqlite_script(session, CONTAINER_OF(task, struct script_task, task)->sql, err);
}

static enum status run_query(struct database_task *task, struct database_session *session,
                             struct error *err)
{
    struct script_task *script = CONTAINER_OF(task, struct script_task, task);
    struct sqlite_statement *statement;
    bool row;
    TRY(sqlite_prepare(session, script->sql, &statement, err));
    TRY(sqlite_step(statement, &row, err));
    script->value = row ? sqlite_int(statement, 0) : -1;
    sqlite_reset(statement);
    return STATUS_OK;
}

static enum status script_sql(const char *sql, struct error *err)
{
    struct script_task script = {.task = {.run = run_script}, .sql = sql};
    return database_run(database, &script.task, err);
}

static int64_t query(const char *sql, bool reads)
{
    struct error err;
    struct script_task script = {.task = {.run = run_query, .reads = reads}, .sql = sql};
    if (database_run(database, &script.task, &err) == STATUS_OK) return script.value;
    test_failed(__FILE__, __LINE__, "%s: %s", sql, err.message);
    return -2;
}

TEST(readers_see_what_is_committed_and_write_nothing)
{
    struct error err;
    REQUIRE(new_database());
    EXPECT(script_sql("CREATE TABLE t(a INTEGER); INSERT INTO t VALUES(1), (2)", &err) ==
           STATUS_OK);
    EXPECT_INT(query("SELECT count(*) FROM t", true), 2);
    struct script_task writing = {.task = {.run = run_script, .reads = true},
                                  .sql = "INSERT INTO t VALUES(3)"};
    EXPECT(database_run(database, &writing.task, &err) == STATUS_FAILED_PRECONDITION);
    EXPECT_INT(query("SELECT count(*) FROM t", false), 2);
    database_free(database);
    struct stat found;
    EXPECT(stat(path, &found) == 0 && (found.st_mode & 0777) == 0600);
    REQUIRE(open_database());
    EXPECT_INT(query("SELECT count(*) FROM t", true), 2);
    database_free(database);
    remove_database();
}

TEST(a_failed_statement_undoes_its_chain)
{
    struct error err;
    REQUIRE(new_database());
    EXPECT(script_sql("CREATE TABLE t(a INTEGER PRIMARY KEY)", &err) == STATUS_OK);
    EXPECT(script_sql("INSERT INTO t VALUES(1); INSERT INTO t VALUES(1)", &err) ==
           STATUS_ALREADY_EXISTS);
    EXPECT_INT(query("SELECT count(*) FROM t", false), 0);
    database_free(database);
    remove_database();
}

TEST(migrations_are_applied_once_and_a_newer_schema_is_refused)
{
    static const struct migration steps[] = {
        {1, "first", "CREATE TABLE a(x);"},
        {2, "second", "ALTER TABLE a ADD COLUMN y; INSERT INTO a VALUES(1, 2);"},
        {3, "broken", "CREATE TABLE b(x); CREATE TABLE a(x);"}};
    struct error err;
    REQUIRE(new_database());
    EXPECT(migrate(database, "test", steps, 1, &err) == STATUS_OK);
    EXPECT(migrate(database, "test", steps, 2, &err) == STATUS_OK);
    EXPECT(migrate(database, "test", steps, 2, &err) == STATUS_OK);
    EXPECT_INT(query("SELECT count(*) FROM a", true), 1);
    EXPECT(migrate(database, "test", steps, 3, &err) != STATUS_OK);
    EXPECT(strstr(err.message, "step 3 'broken' of the schema of 'test'") != NULL);
    EXPECT_INT(query("SELECT count(*) FROM sqlite_schema WHERE name = 'b'", true), 0);
    EXPECT(migrate(database, "other", steps, 0, &err) == STATUS_OK);
    EXPECT(migrate(database, "test", steps, 1, &err) == STATUS_FAILED_PRECONDITION);
    EXPECT(strstr(err.message, "written by a newer Slipway") != NULL);
    database_free(database);
    remove_database();
}

TEST(a_backup_is_whole_and_never_overwrites)
{
    struct error err;
    REQUIRE(new_database());
    EXPECT(script_sql("CREATE TABLE t(a); INSERT INTO t VALUES(7)", &err) == STATUS_OK);
    EXPECT(sqlite_backup(database, copy, &err) == STATUS_OK);
    EXPECT(sqlite_backup(database, copy, &err) == STATUS_ALREADY_EXISTS);
    EXPECT(sqlite_backup(database, "/nonexistent/x.db", &err) == STATUS_NOT_FOUND);
    EXPECT(sqlite_check(database, &err) == STATUS_OK);
    database_free(database);
    EXPECT(rename(copy, path) == 0);
    REQUIRE(open_database());
    EXPECT_INT(query("SELECT a FROM t", true), 7);
    database_free(database);
    remove_database();
}

static void write_file(const char *name, const char *text, size_t size, long offset)
{
    FILE *file = fopen(name, offset ? "r+" : "w");
    if (!file) return;
    EXPECT(fseek(file, offset, SEEK_SET) == 0 && fwrite(text, 1, size, file) == size);
    EXPECT(fclose(file) == 0);
}

TEST(what_is_no_database_is_refused_with_advice)
{
    struct error err;
    struct database *other;
    REQUIRE(new_database());
    database_free(database);
    static char garbage[8192];
    memset(garbage, 'x', sizeof garbage);
    write_file(copy, garbage, sizeof garbage, 0);
    const struct sqlite_options options = {0}, existing = {.must_exist = true};
    EXPECT(sqlite_database_open(copy, &options, &(struct database_options){0}, &other, &err) ==
           STATUS_DATA_LOSS);
    EXPECT(strstr(err.message, copy) != NULL);
    EXPECT(sqlite_database_open("/nonexistent/a.db", &options, &(struct database_options){0},
                                &other, &err) == STATUS_NOT_FOUND);
    EXPECT(unlink(copy) == 0);
    EXPECT(sqlite_database_open(copy, &existing, &(struct database_options){0}, &other, &err) ==
           STATUS_FAILED_PRECONDITION);
    remove_database();
}

TEST(a_foreign_database_is_left_alone)
{
    struct error err;
    struct database *other;
    sqlite3 *foreign;
    REQUIRE(new_database());
    database_free(database);
    REQUIRE(sqlite3_open(copy, &foreign) == SQLITE_OK);
    EXPECT(sqlite3_exec(foreign, "CREATE TABLE theirs(a)", NULL, NULL, NULL) == SQLITE_OK);
    (void)sqlite3_close(foreign);
    EXPECT(sqlite_database_open(copy, &(struct sqlite_options){0}, &(struct database_options){0},
                                &other, &err) == STATUS_FAILED_PRECONDITION);
    EXPECT(strstr(err.message, "belongs to another program") != NULL);
    remove_database();
}

TEST(the_log_goes_back_to_its_start)
{
    enum { ROUNDS = 60 };
    struct error err;
    struct stat log;
    char log_path[140];
    REQUIRE(new_database());
    EXPECT(script_sql("CREATE TABLE t(a BLOB)", &err) == STATUS_OK);
    /* 60 MiB through a log that is copied from 16 MiB on. */
    for (int i = 0; i < ROUNDS; i++) {
        EXPECT(script_sql("INSERT INTO t VALUES(zeroblob(1000000))", &err) == STATUS_OK);
        EXPECT(script_sql("DELETE FROM t", &err) == STATUS_OK);
        (void)nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
    (void)snprintf(log_path, sizeof log_path, "%s-wal", path);
    EXPECT(stat(log_path, &log) == 0);
    EXPECT(log.st_size > 0 && log.st_size < 48 << 20);
    database_free(database);
    remove_database();
}

/* --- no file ---------------------------------------------------------------------------------- */

static bool new_memory(void)
{
    struct error err;
    enum status status = sqlite_memory_new(
        MEMORY_SIZE_MIN, &(struct database_options){.reader_count = 2}, &database, &err);
    EXPECT_STATUS(status, STATUS_OK, err);
    return status == STATUS_OK;
}

TEST(memory_is_one_database_for_all_sessions)
{
    struct error err;
    REQUIRE(new_memory());
    EXPECT_TEXT(database_kind(database), "memory");
    EXPECT_STATUS(
        script_sql("CREATE TABLE t(a INTEGER PRIMARY KEY); INSERT INTO t VALUES(1), (2)", &err),
        STATUS_OK, err);
    EXPECT_INT(query("SELECT count(*) FROM t", true), 2);
    EXPECT(script_sql("INSERT INTO t VALUES(3); INSERT INTO t VALUES(1)", &err) ==
           STATUS_ALREADY_EXISTS);
    EXPECT_INT(query("SELECT count(*) FROM t", true), 2);
    EXPECT_INT(query("SELECT count(*) FROM t", false), 2);
    database_free(database);
    REQUIRE(new_memory());
    EXPECT_INT(query("SELECT count(*) FROM sqlite_schema", true), 0);
    database_free(database);
}

TEST(a_full_memory_says_so_and_takes_more_when_there_is_room)
{
    struct error err;
    enum status status = STATUS_OK;
    int rows = 0;
    REQUIRE(new_memory());
    EXPECT_STATUS(script_sql("CREATE TABLE t(a BLOB)", &err), STATUS_OK, err);
    for (; rows < 1000 && status == STATUS_OK; rows++)
        status = script_sql("INSERT INTO t VALUES(zeroblob(10000))", &err);
    EXPECT_STATUS(status, STATUS_EXHAUSTED, err);
    EXPECT(strstr(err.message, "database 'memory:' is full"));
    EXPECT(strstr(err.message, "1048576 bytes of data.memory_bytes"));
    EXPECT(rows > 60 && rows < 110);
    EXPECT_INT(query("SELECT count(*) FROM t", true), rows - 1);
    EXPECT_STATUS(script_sql("DELETE FROM t", &err), STATUS_OK, err);
    EXPECT_STATUS(script_sql("INSERT INTO t VALUES(zeroblob(900000))", &err), STATUS_OK, err);
    database_free(database);
}

enum { TURNS = 400, TURN_READERS = 4 };

static _Atomic int torn;

/* Both columns are written together, so whoever sees them differ saw half a transaction. */
static void *look_on(void *context UNUSED)
{
    for (int i = 0; i < TURNS; i++) torn += query("SELECT count(*) FROM t WHERE a <> b", true) != 0;
    return NULL;
}

TEST(sessions_take_turns_in_memory)
{
    pthread_t readers[TURN_READERS];
    struct error err;
    REQUIRE(new_memory());
    EXPECT_STATUS(script_sql("CREATE TABLE t(a, b); INSERT INTO t VALUES(0, 0)", &err), STATUS_OK,
                  err);
    for (int i = 0; i < TURN_READERS; i++)
        REQUIRE(pthread_create(&readers[i], NULL, look_on, NULL) == 0);
    for (int i = 0; i < TURNS; i++) {
        bool fails = i % 3 == 0; /* and is undone */
        enum status status = script_sql(fails ? "UPDATE t SET a = a + 1; SELECT nothing"
                                              : "UPDATE t SET a = a + 1; UPDATE t SET b = b + 1",
                                        &err);
        EXPECT((status == STATUS_OK) == !fails);
    }
    for (int i = 0; i < TURN_READERS; i++) (void)pthread_join(readers[i], NULL);
    EXPECT_INT(torn, 0);
    database_free(database);
}

/* --- time ------------------------------------------------------------------------------------- */

static bool open_at(struct clock_fake *clock)
{
    struct error err;
    enum status status =
        sqlite_database_open(path, &(struct sqlite_options){0},
                             &(struct database_options){.clock = &clock->clock}, &database, &err);
    EXPECT_STATUS(status, STATUS_OK, err);
    return status == STATUS_OK;
}

TEST(time_goes_on_from_the_latest_that_was_written)
{
    struct clock_fake clock;
    struct error err;
    REQUIRE(new_database());
    database_free(database);
    clock_fake_init(&clock, 1000 * NS_PER_S);
    REQUIRE(open_at(&clock));
    EXPECT_STATUS(script_sql("CREATE TABLE t(a); INSERT INTO t VALUES(1)", &err), STATUS_OK, err);
    clock_fake_advance(&clock, 60 * NS_PER_S);
    EXPECT_STATUS(script_sql("INSERT INTO t VALUES(2)", &err), STATUS_OK, err);
    /* Neither a look nor a failure is a reason to write. */
    clock_fake_advance(&clock, 60 * NS_PER_S);
    EXPECT_INT(query("SELECT count(*) FROM t", false), 2);
    EXPECT(script_sql("INSERT INTO t VALUES(3); nonsense", &err) != STATUS_OK);
    database_free(database);
    clock_fake_init(&clock, 7 * NS_PER_S);
    REQUIRE(open_at(&clock));
    EXPECT_INT(database_now_ms(database), 1060000);
    clock_fake_advance(&clock, 5 * NS_PER_S);
    EXPECT_INT(database_now_ms(database), 1065000);
    database_free(database);
    /* A clock that was set forward counts as it is. */
    clock_fake_init(&clock, 5000 * NS_PER_S);
    REQUIRE(open_at(&clock));
    EXPECT_INT(database_now_ms(database), 5000000);
    database_free(database);
    remove_database();
}
