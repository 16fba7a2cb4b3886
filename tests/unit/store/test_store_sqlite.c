/* What the conformance suite cannot see of the SQLite kind: its schema's steps, its plans. */
#include "store/store_sqlite.c"
#include "test.h"

static char directory[64], path[96];

static struct database *open_database(void)
{
    struct error err;
    struct database *database = NULL;
    EXPECT_STATUS(sqlite_database_open(path, &(struct sqlite_options){0},
                                       &(struct database_options){0}, &database, &err),
                  STATUS_OK, err);
    return database;
}

static bool begin(void)
{
    (void)snprintf(directory, sizeof directory, "/tmp/slipway-test-store.XXXXXX");
    if (!mkdtemp(directory)) return false;
    (void)snprintf(path, sizeof path, "%s/data.db", directory);
    return true;
}

static void end(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
    EXPECT(system(command) == 0);
}

struct script_task {
    struct database_task task;
    const char *sql;
    struct str found; /* the texts of column 3, one after the other */
    struct arena arena;
};

static enum status run_script(struct database_task *task, struct database_session *session,
                              struct error *err)
{
    return sqlite_script(session, CONTAINER_OF(task, struct script_task, task)->sql, err);
}

static enum status script(struct database *database, const char *sql, struct error *err)
{
    struct script_task task = {.task = {.run = run_script}, .sql = sql};
    return database_run(database, &task.task, err);
}

/* --- steps of the schema ------------------------------------------------------------------------
 */

/* A row as each step's program wrote it. */
static const char *const rows[] = {
    "INSERT INTO records (id, state, source, status, model, version, key, key_hash, received_us,"
    " done_us, input_keep, output_keep, input, output) VALUES"
    " (x'018bcfe5680000000000000000000001', 2, 0, 0, 'doubleit', '1', 'k',"
    " x'0000000000000000000000000000000000000000000000000000000000000000', 5, 6, 0, 0, '[1]',"
    " '[2]')",
    "INSERT INTO records (id, state, source, status, model, version, key, key_hash, received_us,"
    " done_us, input_keep, output_keep, input, output, loan_type, loan_header_size, loan) VALUES"
    " (x'018bcfe5680000000000000000000001', 2, 0, 0, 'doubleit', '1', 'k',"
    " x'0000000000000000000000000000000000000000000000000000000000000000', 5, 6, 0, 0, '[1]',"
    " '[2]', 'application/json', 0, '[2]')",
};
_Static_assert(COUNT_OF(rows) == COUNT_OF(migrations), "a row for each step");

TEST(a_database_of_every_earlier_step_is_brought_up_to_date)
{
    for (size_t step = 1; step <= COUNT_OF(migrations); step++) {
        struct error err;
        struct arena arena;
        struct store *store = NULL;
        REQUIRE(begin());
        struct database *database = open_database();
        REQUIRE(database);
        EXPECT_STATUS(migrate(database, "store", migrations, step, &err), STATUS_OK, err);
        EXPECT_STATUS(script(database, rows[step - 1], &err), STATUS_OK, err);
        database_free(database);
        database = open_database();
        REQUIRE(database);
        EXPECT_STATUS(store_sqlite_new(database, &store, &err), STATUS_OK, err);
        arena_init(&arena, 1 << 20);
        struct store_call call = {.operation = STORE_GET,
                                  .arena = &arena,
                                  .get = {.model = STR("doubleit"), .key = STR("k")}};
        EXPECT_STATUS(store_run(store, &call, &err), STATUS_OK, err);
        EXPECT_INT(record_id_time_ms(str_of(call.get.record.id)), 0x18bcfe56800);
        EXPECT_INT(call.get.record.state, RECORD_SUCCEEDED);
        EXPECT_INT(call.get.record.received_us, 5);
        EXPECT_STR(call.get.record.output.bytes, STR("[2]"));
        arena_clear(&arena);
        store_free(store);
        database_free(database);
        end();
    }
}

TEST(a_newer_database_is_refused)
{
    struct error err;
    struct store *store = NULL;
    struct migration newer[COUNT_OF(migrations) + 1];
    memcpy(newer, migrations, sizeof migrations);
    newer[COUNT_OF(migrations)] = (struct migration){COUNT_OF(newer), "future", "SELECT 1"};
    REQUIRE(begin());
    struct database *database = open_database();
    REQUIRE(database);
    EXPECT_STATUS(migrate(database, "store", newer, COUNT_OF(newer), &err), STATUS_OK, err);
    EXPECT_STATUS(store_sqlite_new(database, &store, &err), STATUS_FAILED_PRECONDITION, err);
    EXPECT(strstr(err.message, "newer Slipway") != NULL);
    database_free(database);
    end();
}

TEST(a_row_that_was_not_written_so_is_data_loss)
{
    struct error err;
    struct arena arena;
    struct store *store = NULL;
    REQUIRE(begin());
    struct database *database = open_database();
    REQUIRE(database);
    EXPECT_STATUS(store_sqlite_new(database, &store, &err), STATUS_OK, err);
    EXPECT_STATUS(script(database,
                         "INSERT INTO records (id, state, source, status, model)"
                         " VALUES ('short', 2, 0, 0, 'm'),"
                         " (x'018bcfe5680000000000000000000001', 99, 0, 0, 'm')",
                         &err),
                  STATUS_OK, err);
    for (int ascending = 0; ascending < 2; ascending++) {
        arena_init(&arena, 1 << 20);
        struct store_call call = {.operation = STORE_LIST,
                                  .arena = &arena,
                                  .list = {.count_max = 10, .ascending = ascending}};
        EXPECT_STATUS(store_run(store, &call, &err), STATUS_DATA_LOSS, err);
        arena_clear(&arena);
    }
    struct store_call call = {.operation = STORE_PRUNE,
                              .prune = {.before_us = UINT64_MAX, .count_max = 10}};
    EXPECT_STATUS(store_run(store, &call, &err), STATUS_OK, err); /* such rows can be got rid of */
    store_free(store);
    database_free(database);
    end();
}

/* --- plans ------------------------------------------------------------------------------------ */

static enum status run_plan(struct database_task *task, struct database_session *session,
                            struct error *err)
{
    struct script_task *plan = CONTAINER_OF(task, struct script_task, task);
    struct sqlite_statement *s CLEANUP(sqlite_resetp) = NULL;
    struct buffer text;
    bool row;
    buffer_init(&text, 4096);
    TRY(sqlite_prepare(session, plan->sql, &s, err));
    for (;;) {
        TRY(sqlite_step(s, &row, err));
        if (!row) break;
        buffer_add(&text, sqlite_text(s, 3));
    }
    plan->found = arena_try_copy(&plan->arena, buffer_view(&text));
    buffer_clear(&text);
    return STATUS_OK;
}

TEST(lists_walk_an_index_and_sort_nothing)
{
    struct error err;
    struct store *store = NULL;
    const struct store_filter filters[] = {
        {0}, {.model = STR("m")}, {.states = 1U << RECORD_FAILED, .model = STR("m")}};
    static const char *const indexes[] = {"records_by_id", "records_by_model", "records_by_state"};
    static char texts[6][4096]; /* a statement's text is known by its address: one each */
    REQUIRE(begin());
    struct database *database = open_database();
    REQUIRE(database);
    EXPECT_STATUS(store_sqlite_new(database, &store, &err), STATUS_OK, err);
    for (size_t i = 0; i < 6; i++) {
        struct store_list list = {.filter = filters[i / 2], .ascending = i % 2};
        int state;
        int length =
            snprintf(texts[i], sizeof texts[i], "EXPLAIN QUERY PLAN %s", choose_sql(&list, &state));
        REQUIRE(length > 0 && (size_t)length < sizeof texts[i]);
        struct script_task plan = {.task = {.run = run_plan}, .sql = texts[i]};
        arena_init(&plan.arena, 1 << 16);
        EXPECT_STATUS(database_run(database, &plan.task, &err), STATUS_OK, err);
        EXPECT(strstr(plan.found.data, indexes[i / 2]) != NULL);
        EXPECT(strstr(plan.found.data, "TEMP B-TREE") == NULL);
        arena_clear(&plan.arena);
    }
    store_free(store);
    database_free(database);
    end();
}

/* Once a minute, among millions of records: only those on loan are looked at. */
TEST(loans_are_found_without_a_look_at_the_rest)
{
    struct error err;
    struct store *store = NULL;
    char text[1024];
    REQUIRE(begin());
    struct database *database = open_database();
    REQUIRE(database);
    EXPECT_STATUS(store_sqlite_new(database, &store, &err), STATUS_OK, err);
    int length = snprintf(text, sizeof text, "EXPLAIN QUERY PLAN %s", end_loans_sql);
    REQUIRE(length > 0 && (size_t)length < sizeof text);
    struct script_task plan = {.task = {.run = run_plan}, .sql = text};
    arena_init(&plan.arena, 1 << 16);
    EXPECT_STATUS(database_run(database, &plan.task, &err), STATUS_OK, err);
    EXPECT(strstr(plan.found.data, "records_on_loan (done_us<?)") != NULL);
    EXPECT(strstr(plan.found.data, "SCAN") == NULL);
    arena_clear(&plan.arena);
    store_free(store);
    database_free(database);
    end();
}
