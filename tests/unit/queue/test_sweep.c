/* The rows of a purged queue go as fast as the disk lets them, not a slice a second. */
#include "base/mem.h"
#include "db/sqlite.h"
#include "queue/queue_sqlite.h"
#include "test.h"

#include <sqlite3.h>
#include <time.h>
#include <unistd.h>

/* At a slice (512 rows) a second all of them would take 40 s. */
enum { SENDS = 20, SEND_COUNT = QUEUE_SEND_MAX, PATIENCE_MS = 30000 };

static struct queue_store *queues;
static struct error failure;

static bool send_many(struct arena *arena)
{
    struct queue_new_message *messages = mem_new_zeroed(SEND_COUNT, sizeof *messages);
    struct queue_sent *sent = mem_new_zeroed(SEND_COUNT, sizeof *sent);
    for (int i = 0; i < SEND_COUNT; i++)
        messages[i] = (struct queue_new_message){.body = STR("x"), .delay_ms = -1};
    struct queue_call call = {.operation = QUEUE_SEND,
                              .queue = STR("q"),
                              .arena = arena,
                              .send = {messages, SEND_COUNT, sent}};
    enum status status = queue_run(queues, &call, &failure);
    EXPECT_STATUS(status, STATUS_OK, failure);
    mem_free(messages);
    mem_free(sent);
    return status == STATUS_OK;
}

static int count_rows(const char *path)
{
    sqlite3 *connection;
    sqlite3_stmt *statement = NULL;
    int count = -1;
    if (sqlite3_open_v2(path, &connection, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(connection, "SELECT count(*) FROM message", -1, &statement, NULL) ==
            SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        count = sqlite3_column_int(statement, 0);
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(connection);
    return count;
}

static void expect_no_rows_soon(const char *path)
{
    int count = count_rows(path);
    for (int ms = 0; count > 0 && ms < PATIENCE_MS; ms += 50) {
        (void)nanosleep(&(struct timespec){0, 50000000}, NULL);
        count = count_rows(path);
    }
    EXPECT_INT(count, 0);
}

TEST(what_was_purged_is_soon_gone)
{
    char directory[] = "/tmp/slipway-test-sweep.XXXXXX", path[64];
    struct database *database;
    struct arena arena;
    REQUIRE(mkdtemp(directory));
    (void)snprintf(path, sizeof path, "%s/data.db", directory);
    REQUIRE(sqlite_database_open(path, &(struct sqlite_options){0}, &(struct database_options){0},
                                 &database, &failure) == STATUS_OK);
    REQUIRE(queue_sqlite_new(database, &queues, &failure) == STATUS_OK);
    arena_init(&arena, 64 << 20);
    struct queue_call create = {.operation = QUEUE_CREATE, .queue = STR("q"), .arena = &arena};
    queue_settings_init(&create.description.settings, false);
    EXPECT_STATUS(queue_run(queues, &create, &failure), STATUS_OK, failure);
    for (int i = 0; i < SENDS && send_many(&arena); i++) arena_reset(&arena);
    EXPECT_INT(count_rows(path), SENDS * SEND_COUNT);
    struct queue_call purge = {.operation = QUEUE_PURGE, .queue = STR("q"), .arena = &arena};
    EXPECT_STATUS(queue_run(queues, &purge, &failure), STATUS_OK, failure);
    expect_no_rows_soon(path);
    queue_store_free(queues);
    database_free(database);
    arena_clear(&arena);
    for (const char *const *end = (const char *const[]){"", "-wal", "-shm", NULL}; *end; end++) {
        char name[80];
        (void)snprintf(name, sizeof name, "%s%s", path, *end);
        (void)unlink(name);
    }
    (void)rmdir(directory);
}
