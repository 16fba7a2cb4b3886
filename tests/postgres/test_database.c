/* PostgreSQL behind struct database: values, failures, lost connections, notices, schemas. */
#include "base/mem.h"
#include "cluster.h"
#include "db/migrate.h"
#include "test.h"

#include <pthread.h>

static const struct database_options plain = {0}, wide = {.writer_count = 4};

/* --- opening ---------------------------------------------------------------------------------- */

static void expect_no_way(const char *address, const char *named)
{
    struct error err = {0};
    struct database *database = NULL;
    enum status status = postgres_database_open(address, &plain, &database, &err);
    EXPECT_STATUS(status, STATUS_UNAVAILABLE, err);
    EXPECT(strstr(err.message, named));
    EXPECT(!strstr(err.message, "sesame"));
    EXPECT(!strchr(err.message, '\n'));
    EXPECT(!database);
}

TEST(what_cannot_be_reached_is_named_and_the_password_never)
{
    expect_no_way(cluster_address("user=locked password='wrong sesame'"), "authentication failed");
    expect_no_way(cluster_address("dbname=nowhere password='wrong sesame'"), "nowhere");
    expect_no_way(cluster_address("user=nobody2 password='wrong sesame'"), "nobody2");
    expect_no_way("postgres://me:sesame@no-such-host.invalid:5433/data", "no-such-host.invalid");
    expect_no_way("host=/nowhere-at-all dbname=x password=sesame", "/nowhere-at-all");
}

TEST(an_address_that_cannot_be_read_is_not_quoted)
{
    struct error err;
    struct database *database = NULL;
    EXPECT_STATUS(
        postgres_database_open("postgres://me:sesame@host:port:7/%%", &plain, &database, &err),
        STATUS_INVALID_ARGUMENT, err);
    EXPECT(!strstr(err.message, "sesame"));
}

TEST(a_password_opens)
{
    struct error err;
    struct database *database = NULL;
    EXPECT_STATUS(postgres_database_open(cluster_address("user=locked password='open sesame'"),
                                         &plain, &database, &err),
                  STATUS_OK, err);
    if (database) EXPECT_TEXT(database_kind(database), "postgres");
    database_free(database);
}

/* --- values ----------------------------------------------------------------------------------- */

struct round_trip {
    struct database_task task;
    int64_t integers[3];
};

static enum status check_values(struct database_task *task, struct database_session *session,
                                struct error *err)
{
    struct round_trip *trip = CONTAINER_OF(task, struct round_trip, task);
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    const struct str texts[] = {STR("a"), {0}, STR("")};
    const struct str blob = {"\0\xff\x01", 3};
    struct postgres_value values[] = {
        postgres_int(INT64_MIN),          postgres_double(-0.1),
        postgres_text_value(STR("é")),    postgres_bytes_value(blob),
        postgres_ints(trip->integers, 3), postgres_texts(texts, 3),
        postgres_blobs(&blob, 1),         postgres_text_value((struct str){0}),
        postgres_ints(NULL, 0),
    };
    for (int twice = 0; twice < 2; twice++) {
        postgres_result_free(TAKE(r));
        TRY(postgres_query(
            session,
            "SELECT $1::bigint, $2::double precision, $3::text, $4::bytea, ($5::bigint[])[3], "
            "$6::text[] = ARRAY['a', NULL, ''], ($7::bytea[])[1], $8::text, "
            "cardinality($9::bigint[]), true, 7::smallint, -7::integer",
            values, COUNT_OF(values), &r, err));
    }
    EXPECT_INT(postgres_rows(r), 1);
    EXPECT_INT(postgres_int_at(r, 0, 0), INT64_MIN);
    EXPECT(postgres_double_at(r, 0, 1) == -0.1);
    EXPECT_STR(postgres_text_at(r, 0, 2), STR("é"));
    EXPECT_STR(postgres_bytes_at(r, 0, 3), blob);
    EXPECT_INT(postgres_int_at(r, 0, 4), trip->integers[2]);
    EXPECT_INT(postgres_int_at(r, 0, 5), 1);
    EXPECT_STR(postgres_bytes_at(r, 0, 6), blob);
    EXPECT(postgres_is_null(r, 0, 7) && !postgres_text_at(r, 0, 7).data);
    EXPECT_INT(postgres_int_at(r, 0, 8), 0);
    EXPECT_INT(postgres_int_at(r, 0, 9), 1);
    EXPECT_INT(postgres_int_at(r, 0, 10), 7);
    EXPECT_INT(postgres_int_at(r, 0, 11), -7);
    return STATUS_OK;
}

TEST(values_come_back_as_they_went)
{
    struct error err;
    struct round_trip trip = {.task = {.run = check_values}, .integers = {1, -2, INT64_MAX}};
    struct database *database = cluster_open(&plain);
    EXPECT_STATUS(database_run(database, &trip.task, &err), STATUS_OK, err);
    trip.task.reads = true;
    EXPECT_STATUS(database_run(database, &trip.task, &err), STATUS_OK, err);
    database_free(database);
}

/* --- failures --------------------------------------------------------------------------------- */

TEST(failures_have_their_status)
{
    struct error err;
    struct database *database = cluster_open(&plain);
    EXPECT_STATUS(cluster_run(database, "CREATE TABLE t(a int UNIQUE CHECK (a > 0))", &err),
                  STATUS_OK, err);
    EXPECT_STATUS(cluster_run(database, "INSERT INTO t VALUES (1), (1)", &err),
                  STATUS_ALREADY_EXISTS, err);
    EXPECT_STATUS(cluster_run(database, "INSERT INTO t VALUES (-1)", &err),
                  STATUS_FAILED_PRECONDITION, err);
    EXPECT_STATUS(cluster_run(database, "SELECT nonsense", &err), STATUS_INTERNAL, err);
    EXPECT(strstr(err.message, "nonsense"));
    EXPECT_STATUS(
        cluster_run(database, "SET LOCAL statement_timeout = 20; SELECT pg_sleep(5)", &err),
        STATUS_DEADLINE_EXCEEDED, err);
    EXPECT_STATUS(
        cluster_run(database, "SET LOCAL transaction_read_only = on; CREATE TABLE u()", &err),
        STATUS_FAILED_PRECONDITION, err);
    EXPECT_INT(cluster_int(database, "SELECT count(*) FROM t"), 0);
    database_free(database);
}

/* Each of two transactions holds what the other wants next. */
struct crossing {
    struct database_task task;
    int64_t first, second;
    _Atomic int *holding;
    int runs;
    _Atomic bool over;
    enum status status;
};

static enum status lock_row(struct database_session *session, int64_t row, struct error *err)
{
    struct postgres_value value = postgres_int(row);
    return postgres_execute(session, "UPDATE t SET n = n + 1 WHERE a = $1::bigint", &value, 1, NULL,
                            err);
}

static enum status cross(struct database_task *task, struct database_session *session,
                         struct error *err)
{
    struct crossing *crossing = CONTAINER_OF(task, struct crossing, task);
    TRY(lock_row(session, crossing->first, err));
    if (crossing->runs++ == 0) {
        ++*crossing->holding;
        while (*crossing->holding < 2) (void)nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return lock_row(session, crossing->second, err);
}

static void crossed(struct database_task *task, enum status status, const struct error *err UNUSED)
{
    struct crossing *crossing = CONTAINER_OF(task, struct crossing, task);
    crossing->status = status;
    crossing->over = true;
}

TEST(of_a_deadlock_both_come_through)
{
    struct error err;
    struct database *database = cluster_open(&wide);
    _Atomic int holding = 0;
    struct crossing both[] = {
        {.task = {.run = cross, .done = crossed}, .first = 1, .second = 2, .holding = &holding},
        {.task = {.run = cross, .done = crossed}, .first = 2, .second = 1, .holding = &holding}};
    EXPECT_STATUS(cluster_run(database,
                              "CREATE TABLE t(a bigint PRIMARY KEY, n int);"
                              "INSERT INTO t VALUES (1, 0), (2, 0)",
                              &err),
                  STATUS_OK, err);
    for (int i = 0; i < 2; i++) {
        EXPECT_STATUS(database_submit(database, &both[i].task, &err), STATUS_OK, err);
        while (holding < i + 1) (void)nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    for (int i = 0; i < 2; i++) {
        while (!both[i].over) (void)nanosleep(&(struct timespec){0, 1000000}, NULL);
        EXPECT_INT(both[i].status, STATUS_OK);
    }
    EXPECT(both[0].runs + both[1].runs > 2);
    EXPECT_INT(cluster_int(database, "SELECT sum(n) FROM t"), 4);
    database_free(database);
}

/* --- lost connections ------------------------------------------------------------------------- */

TEST(connections_come_back_by_themselves)
{
    struct error err;
    struct database *database = cluster_open(&wide);
    EXPECT_STATUS(cluster_run(database, "CREATE TABLE t(a int)", &err), STATUS_OK, err);
    for (int round = 0; round < 3; round++) {
        /* Its own connection, too: that statement's outcome is not known. */
        (void)cluster_run(database,
                          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                          "WHERE application_name = 'slipway'",
                          &err);
        EXPECT_STATUS(cluster_run(database, "INSERT INTO t VALUES (1)", &err), STATUS_OK, err);
    }
    EXPECT_INT(cluster_int(database, "SELECT count(*) FROM t"), 3);
    database_free(database);
}

TEST(a_server_that_is_away_is_told_at_once_and_found_again)
{
    struct error err;
    struct database *database = cluster_open(&plain);
    REQUIRE(cluster_control("stop"));
    for (int i = 0; i < 20; i++)
        EXPECT_STATUS(cluster_run(database, "SELECT 1", &err), STATUS_UNAVAILABLE, err);
    EXPECT(strstr(err.message, "next attempt"));
    REQUIRE(cluster_control("start"));
    enum status status = STATUS_UNAVAILABLE;
    for (int i = 0; i < 1000 && status == STATUS_UNAVAILABLE; i++) {
        status = cluster_run(database, "SELECT 1", &err);
        (void)nanosleep(&(struct timespec){0, 20 * 1000000}, NULL);
    }
    EXPECT_STATUS(status, STATUS_OK, err);
    database_free(database);
}

/* --- notices ---------------------------------------------------------------------------------- */

struct heard {
    pthread_mutex_t mutex;
    int empty, hello, other;
};

static void hear(void *context, struct str channel, struct str payload)
{
    struct heard *heard = context;
    EXPECT_STR(channel, STR("slipway_test"));
    (void)pthread_mutex_lock(&heard->mutex);
    if (payload.size == 0)
        heard->empty++;
    else if (str_equal(payload, STR("hello")))
        heard->hello++;
    else
        heard->other++;
    (void)pthread_mutex_unlock(&heard->mutex);
}

static int count(struct heard *heard, const int *what)
{
    (void)pthread_mutex_lock(&heard->mutex);
    int value = *what;
    (void)pthread_mutex_unlock(&heard->mutex);
    return value;
}

static void await(struct heard *heard, const int *what, int wanted)
{
    for (int i = 0; i < 3000 && count(heard, what) < wanted; i++)
        (void)nanosleep(&(struct timespec){0, 10 * 1000000}, NULL);
    EXPECT_INT(count(heard, what), wanted);
}

static enum status notify_twice(struct database_task *task UNUSED, struct database_session *session,
                                struct error *err)
{
    postgres_notify(session, "slipway_test", STR("hello"));
    postgres_notify(session, "slipway_test", STR("hello"));
    return postgres_script(session, "SELECT 1", err);
}

static enum status notify_and_fail(struct database_task *task UNUSED,
                                   struct database_session *session, struct error *err)
{
    postgres_notify(session, "slipway_test", STR("never"));
    session->dirty = true;
    return fail(err, STATUS_ABORTED, "as asked");
}

TEST(notices_come_once_with_the_commit_and_again_after_a_loss)
{
    struct error err;
    struct heard heard = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct database *database = cluster_open(&plain), *other = NULL;
    EXPECT_STATUS(
        postgres_database_open(cluster_address("application_name=other"), &plain, &other, &err),
        STATUS_OK, err);
    EXPECT_STATUS(postgres_listen(database, "slipway_test", hear, &heard, &err), STATUS_OK, err);
    EXPECT_STATUS(postgres_listen(database, "slipway_test", hear, &heard, &err), STATUS_EXHAUSTED,
                  err);
    await(&heard, &heard.empty, 1);
    struct database_task task = {.run = notify_twice};
    EXPECT_STATUS(database_run(other, &task, &err), STATUS_OK, err);
    await(&heard, &heard.hello, 1);
    task.run = notify_and_fail;
    EXPECT_STATUS(database_run(other, &task, &err), STATUS_ABORTED, err);
    EXPECT_STATUS(cluster_run(other,
                              "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                              "WHERE application_name = 'slipway'",
                              &err),
                  STATUS_OK, err);
    await(&heard, &heard.empty, 2);
    task.run = notify_twice;
    EXPECT_STATUS(database_run(other, &task, &err), STATUS_OK, err);
    await(&heard, &heard.hello, 2);
    EXPECT_INT(heard.other, 0);
    postgres_unlisten(database, "slipway_test");
    database_free(other);
    database_free(database);
}

/* --- schema -----------------------------------------------------------------------------------
 */

static const struct migration steps[] = {
    {1, "first", "CREATE TABLE a(x int); CREATE TABLE b(x int);"},
    {2, "second", "ALTER TABLE a ADD COLUMN y int"},
};

struct migrator {
    struct database *database;
    pthread_t thread;
    enum status status;
    struct error err;
};

static void *migrate_both(void *context)
{
    struct migrator *migrator = context;
    migrator->status = migrate(migrator->database, "room", steps, 2, &migrator->err);
    return NULL;
}

TEST(many_bring_the_schema_up_to_date_at_once)
{
    struct error err;
    struct database *database = cluster_open(&wide);
    EXPECT_STATUS(migrate(database, "room", steps, 1, &err), STATUS_OK, err);
    struct migrator many[4];
    for (size_t i = 0; i < COUNT_OF(many); i++) {
        many[i] = (struct migrator){.database = database};
        REQUIRE(pthread_create(&many[i].thread, NULL, migrate_both, &many[i]) == 0);
    }
    for (size_t i = 0; i < COUNT_OF(many); i++) {
        (void)pthread_join(many[i].thread, NULL);
        EXPECT_STATUS(many[i].status, STATUS_OK, many[i].err);
    }
    EXPECT_INT(cluster_int(database, "SELECT count(y) FROM a"), 0);
    EXPECT_STATUS(migrate(database, "room", steps, 1, &err), STATUS_FAILED_PRECONDITION, err);
    database_free(database);
}

TEST(the_clock_is_the_servers_unless_one_is_given)
{
    struct error err;
    struct clock_fake fake;
    clock_fake_init(&fake, 1000 * NS_PER_S);
    struct database *database = cluster_open(&(struct database_options){.clock = &fake.clock});
    EXPECT_STATUS(migrate(database, "room", steps, 2, &err), STATUS_OK, err);
    EXPECT_INT(cluster_int(database, "SELECT max(applied_ms) FROM slipway_schema"), 1000 * 1000);
    database_free(database);
    database = cluster_open(&plain);
    EXPECT_STATUS(migrate(database, "room", steps, 2, &err), STATUS_OK, err);
    EXPECT_INT(cluster_int(database,
                           "SELECT abs(max(applied_ms) - extract(epoch FROM now()) * 1000) < 60000 "
                           "FROM slipway_schema"),
               1);
    database_free(database);
}
