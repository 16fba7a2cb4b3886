/* What is gathered is in the file when a commit returns, and nothing of an abandoned one is. */
#include "base/mem.h"
#include "db/sqlite_log.c"
#include "test.h"

#include <fcntl.h>
#include <unistd.h>

static char directory[64], path[96];

static bool make_directory(void)
{
    (void)snprintf(directory, sizeof directory, "/tmp/slipway-log-XXXXXX");
    if (!mkdtemp(directory)) return false;
    (void)snprintf(path, sizeof path, "%s/x.db", directory);
    return true;
}

static void remove_directory(void)
{
    static const char *const names[] = {"x.db",    "x.db-wal",    "x.db-shm",
                                        "copy.db", "copy.db-wal", "copy.db-shm"};
    char name[128];
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        (void)snprintf(name, sizeof name, "%s/%s", directory, names[i]);
        (void)unlink(name);
    }
    (void)rmdir(directory);
}

static bool execute(sqlite3 *handle, const char *sql)
{
    char *said = NULL;
    int code = sqlite3_exec(handle, sql, NULL, NULL, &said);
    if (code != SQLITE_OK) test_failed(__FILE__, __LINE__, "%s: %s", sql, said);
    sqlite3_free(said);
    return code == SQLITE_OK;
}

static int64_t number(sqlite3 *handle, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = -1;
    if (sqlite3_prepare_v2(handle, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return value;
}

static sqlite3 *open_as(const char *name, const char *vfs_name)
{
    sqlite3 *handle = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    if (sqlite3_open_v2(name, &handle, flags, vfs_name) != SQLITE_OK) return NULL;
    (void)sqlite3_busy_timeout(handle, 5000);
    /* A small cache: large transactions write to the log before they end. */
    return execute(handle, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                           "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-40; "
                           "PRAGMA cache_spill=1")
               ? handle
               : NULL;
}

static bool copy_file(const char *suffix)
{
    char from[128], to[128], bytes[4096];
    (void)snprintf(from, sizeof from, "%s%s", path, suffix);
    (void)snprintf(to, sizeof to, "%s/copy.db%s", directory, suffix);
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t got = -1;
    while (in >= 0 && out >= 0 && (got = read(in, bytes, sizeof bytes)) > 0)
        if (write(out, bytes, (size_t)got) != got) break;
    if (in >= 0) (void)close(in);
    if (out >= 0) (void)close(out);
    return got == 0;
}

/* What a crash right now would leave of table t. */
static int64_t rows_after_crash(void)
{
    char name[128];
    (void)snprintf(name, sizeof name, "%s/copy.db", directory);
    if (!copy_file("") || !copy_file("-wal")) return -1;
    sqlite3 *handle = open_as(name, NULL);
    if (!handle) return -1;
    int64_t rows = number(handle, "SELECT count(*) FROM pragma_integrity_check WHERE "
                                  "integrity_check = 'ok'") == 1
                       ? number(handle, "SELECT count(*) FROM t")
                       : -1;
    (void)sqlite3_close(handle);
    return rows;
}

TEST(a_commit_is_in_the_file_when_it_returns)
{
    REQUIRE(make_directory());
    sqlite3 *handle = open_as(path, sqlite_log_vfs());
    REQUIRE(handle && registered);
    REQUIRE(execute(handle, "CREATE TABLE t(a BLOB)"));
    for (int i = 1; i <= 20; i++) {
        /* From a part of a page to several times what is gathered at most. */
        char sql[96];
        (void)snprintf(sql, sizeof sql, "INSERT INTO t VALUES(randomblob(%d))", 1 << i);
        REQUIRE(execute(handle, sql));
        EXPECT_INT(rows_after_crash(), i);
        if (i % 7 == 0) EXPECT(execute(handle, "PRAGMA wal_checkpoint(RESTART)"));
    }
    EXPECT_INT(sqlite3_close(handle), SQLITE_OK);
    remove_directory();
}

TEST(an_abandoned_transaction_leaves_the_log_to_others)
{
    REQUIRE(make_directory());
    sqlite3 *ours = open_as(path, sqlite_log_vfs()), *other = open_as(path, NULL);
    REQUIRE(ours && other);
    REQUIRE(execute(ours, "CREATE TABLE t(a BLOB); CREATE TABLE big(a BLOB)"));
    for (int i = 1; i <= 30; i++) {
        char sql[128];
        (void)snprintf(sql, sizeof sql,
                       "BEGIN IMMEDIATE; INSERT INTO big VALUES(randomblob(%d)); ROLLBACK",
                       40000 + 7000 * i);
        REQUIRE(execute(ours, sql));
        /* Where ours has written without a commit, this one commits. */
        REQUIRE(execute(other, "INSERT INTO t VALUES(randomblob(5000))"));
        EXPECT_INT(rows_after_crash(), 2 * i - 1);
        REQUIRE(execute(ours, "INSERT INTO t VALUES(randomblob(9000))"));
        EXPECT_INT(rows_after_crash(), 2 * i);
        EXPECT_INT(number(other, "SELECT count(*) FROM t"), 2 * i);
    }
    EXPECT_INT(number(ours, "SELECT count(*) FROM big"), 0);
    EXPECT_INT(sqlite3_close(ours), SQLITE_OK);
    EXPECT_INT(sqlite3_close(other), SQLITE_OK);
    remove_directory();
}

static int writes;
static sqlite3_io_methods counting;
static const sqlite3_io_methods *counted;

static int count_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    writes++;
    return counted->xWrite(file, data, size, offset);
}

TEST(the_pages_of_a_commit_are_one_write)
{
    REQUIRE(make_directory());
    sqlite3 *handle = open_as(path, sqlite_log_vfs());
    REQUIRE(handle);
    REQUIRE(execute(handle, "PRAGMA cache_size=-4000; CREATE TABLE t(a BLOB)"));
    sqlite3_file *file = NULL;
    REQUIRE(sqlite3_file_control(handle, NULL, SQLITE_FCNTL_JOURNAL_POINTER, &file) == SQLITE_OK);
    struct log_file *log = own(file);
    REQUIRE(log->base.pMethods == &log_methods && log->gathered);
    counted = log->real->pMethods;
    counting = *counted;
    counting.xWrite = count_write;
    log->real->pMethods = &counting;
    EXPECT(execute(handle, "INSERT INTO t VALUES(randomblob(50000))"));
    EXPECT_INT(writes, 1);
    EXPECT(execute(handle, "INSERT INTO t VALUES(randomblob(500000))"));
    EXPECT_INT(writes, 1 + 4); /* 490 KiB in pieces of 128 KiB at most */
    EXPECT_INT(sqlite3_close(handle), SQLITE_OK);
    remove_directory();
}

/* Whatever SQLite does in between: with the lock goes what was gathered under it. */
TEST(what_no_commit_has_synced_goes_with_the_lock)
{
    REQUIRE(make_directory());
    sqlite3 *handle = open_as(path, sqlite_log_vfs());
    REQUIRE(handle);
    REQUIRE(execute(handle, "CREATE TABLE t(a BLOB); INSERT INTO t VALUES(1)"));
    sqlite3_file *file = NULL, *log = NULL;
    REQUIRE(sqlite3_file_control(handle, NULL, SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK);
    REQUIRE(sqlite3_file_control(handle, NULL, SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK);
    const sqlite3_io_methods *calls = file->pMethods;
    REQUIRE(calls->xShmLock(file, WRITE_LOCK, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE) == 0);
    EXPECT_INT(log->pMethods->xWrite(log, "rubbish", 7, 0), SQLITE_OK);
    EXPECT_INT(own(log)->size, 7);
    EXPECT_INT(calls->xShmLock(file, WRITE_LOCK, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE), 0);
    EXPECT_INT(own(log)->size, 0);
    EXPECT_INT(rows_after_crash(), 1);
    EXPECT_INT(sqlite3_close(handle), SQLITE_OK);
    remove_directory();
}
