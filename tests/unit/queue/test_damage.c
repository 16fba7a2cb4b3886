/*
 * Files that something is wrong with: what cannot be written, what is damaged, cut off, taken away,
 * or of a later time. Whatever it is, the message names the file and says what to do, nothing that
 * was acknowledged is silently missing, and what could not be used is left as it was.
 */
#include "base/mem.h"
#include "db/sqlite.h"
#include "queue/queue_sqlite.h"
#include "test.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MESSAGES = 60, BODY_SIZE = 200, NOBODY = 65534, PAGE = 4096, FRAME = PAGE + 24 };

static char directory[64], path[96], log_path[112], copy_path[112], copy_log[128];
static struct database *database;
static struct queue_store *queues;
static struct arena arena;
static struct error failure;

/* --- files ------------------------------------------------------------------------------------ */

static void read_file(const char *name, struct buffer *out)
{
    char part[65536];
    FILE *file = fopen(name, "r");
    buffer_init(out, 64 << 20);
    if (!file) return;
    for (size_t size; (size = fread(part, 1, sizeof part, file)) > 0;)
        buffer_add(out, (struct str){part, size});
    (void)fclose(file);
}

/* Returns owned. */
static char *copy_of(const struct buffer *buffer)
{
    char *copy = MEM_NEW_ARRAY(char, buffer->size);
    memcpy(copy, buffer_view(buffer).data, buffer->size);
    return copy;
}

static void write_file(const char *name, struct str bytes)
{
    FILE *file = fopen(name, "w");
    REQUIRE(file);
    EXPECT(fwrite(bytes.data, 1, bytes.size, file) == bytes.size);
    EXPECT(fclose(file) == 0);
}

static void expect_file(const char *name, const struct buffer *expected)
{
    struct buffer found;
    read_file(name, &found);
    EXPECT(str_equal(buffer_view(&found), buffer_view(expected)));
    buffer_clear(&found);
}

/* --- queues ----------------------------------------------------------------------------------- */

static enum status open_path(const char *name)
{
    enum status status = sqlite_database_open(name, &(struct sqlite_options){0},
                                              &(struct database_options){0}, &database, &failure);
    if (status != STATUS_OK) return status;
    status = queue_sqlite_new(database, &queues, &failure);
    if (status != STATUS_OK) database_free(database);
    return status;
}

static void close_queues(void)
{
    queue_store_free(queues);
    database_free(database);
}

static enum status run(struct queue_call *call)
{
    call->queue = STR("q.fifo");
    call->arena = &arena;
    return queue_run(queues, call, &failure);
}

static void body_of(int number, char body[BODY_SIZE + 1])
{
    (void)snprintf(body, BODY_SIZE + 1, "%0*d", BODY_SIZE, number);
}

static enum status send(int number)
{
    char body[BODY_SIZE + 1];
    struct queue_sent sent = {0};
    body_of(number, body);
    struct str id = str_from(str_of(body), BODY_SIZE - 8);
    struct queue_new_message message = {
        .body = str_of(body), .group = STR("g"), .deduplication_id = id, .delay_ms = -1};
    struct queue_call call = {.operation = QUEUE_SEND, .send = {&message, 1, &sent}};
    enum status status = run(&call);
    return status == STATUS_OK ? sent.status : status;
}

/* Messages 0, 1, 2, ... as far as they go; what comes is what was sent, in order. */
static enum status drain(int *ret_count)
{
    struct queue_call call = {.operation = QUEUE_LEASE,
                              .lease = {.count_max = 2 * MESSAGES, .visibility_ms = 30000}};
    *ret_count = 0;
    enum status status = run(&call);
    if (status != STATUS_OK) return status;
    for (size_t i = 0; i < call.lease.count; i++) {
        char body[BODY_SIZE + 1];
        body_of((int)i, body);
        EXPECT_STR(call.lease.messages[i].body, str_of(body));
    }
    *ret_count = (int)call.lease.count;
    return STATUS_OK;
}

static bool begin(int messages)
{
    struct queue_call call = {.operation = QUEUE_CREATE};
    arena_init(&arena, 256 << 20);
    (void)snprintf(directory, sizeof directory, "/tmp/slipway-test-damage.XXXXXX");
    if (!mkdtemp(directory)) return false;
    (void)snprintf(path, sizeof path, "%s/data.db", directory);
    (void)snprintf(log_path, sizeof log_path, "%s-wal", path);
    (void)snprintf(copy_path, sizeof copy_path, "%s/copy.db", directory);
    (void)snprintf(copy_log, sizeof copy_log, "%s-wal", copy_path);
    queue_settings_init(&call.description.settings, true);
    if (open_path(path) != STATUS_OK || run(&call) != STATUS_OK) return false;
    for (int i = 0; i < messages; i++)
        if (send(i) != STATUS_OK) return false;
    return true;
}

/* All of the database in its one file. */
static void fold(void)
{
    sqlite3 *handle;
    REQUIRE(sqlite3_open(path, &handle) == SQLITE_OK);
    EXPECT(sqlite3_exec(handle, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) == SQLITE_OK);
    (void)sqlite3_close(handle);
}

static void end(void)
{
    char command[128];
    arena_clear(&arena);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
    EXPECT(system(command) == 0);
}

/* --- what cannot be written ---------------------------------------------------------------------
 */

/* Rights do not bind root. */
static void become_nobody(void)
{
    if (geteuid() == 0) EXPECT(seteuid(NOBODY) == 0);
}

static void become_again(void)
{
    EXPECT(seteuid(getuid()) == 0);
}

static void expect_refused(enum status expected, const char *advice)
{
    enum status status = open_path(path);
    EXPECT_STATUS(status, expected, failure);
    EXPECT(strstr(failure.message, path) != NULL);
    if (!strstr(failure.message, advice))
        test_failed(__FILE__, __LINE__, "'%s' lacks '%s'", failure.message, advice);
    if (status == STATUS_OK) close_queues();
}

TEST(a_file_that_is_read_only_is_left_alone)
{
    struct buffer before;
    int count;
    REQUIRE(begin(5));
    close_queues();
    fold();
    read_file(path, &before);
    EXPECT(chmod(path, 0444) == 0 && chmod(directory, 0777) == 0);
    (void)unlink(log_path);
    become_nobody();
    expect_refused(STATUS_FAILED_PRECONDITION, "look at the rights of the file");
    become_again();
    expect_file(path, &before);
    EXPECT(chmod(path, 0644) == 0);
    EXPECT_STATUS(open_path(path), STATUS_OK, failure);
    EXPECT_STATUS(drain(&count), STATUS_OK, failure);
    EXPECT_INT(count, 5);
    close_queues();
    buffer_clear(&before);
    end();
}

TEST(a_directory_that_is_read_only_is_told)
{
    struct buffer before;
    REQUIRE(begin(5));
    close_queues();
    fold();
    read_file(path, &before);
    char command[160];
    (void)snprintf(command, sizeof command, "rm -f '%s'-*", path);
    EXPECT(system(command) == 0);
    EXPECT(chmod(path, 0666) == 0 && chmod(directory, 0555) == 0);
    become_nobody();
    expect_refused(STATUS_FAILED_PRECONDITION, "its directory");
    become_again();
    expect_file(path, &before);
    EXPECT(unlink(path) == 0);
    become_nobody();
    expect_refused(STATUS_PERMISSION_DENIED, "making the database");
    become_again();
    EXPECT(access(path, F_OK) != 0);
    EXPECT(chmod(directory, 0755) == 0);
    buffer_clear(&before);
    end();
}

/* --- damage ----------------------------------------------------------------------------------- */

/* Each page in turn is emptied: everything is there, or the damage is told. */
TEST(an_empty_page_is_told_and_nothing_wrong_is_delivered)
{
    struct buffer before;
    int told = 0, whole = 0;
    REQUIRE(begin(MESSAGES));
    close_queues();
    fold();
    read_file(path, &before);
    for (size_t at = 0; at < before.size; at += PAGE) {
        char *bytes CLEANUP(mem_freep) = copy_of(&before);
        int count = 0;
        memset(bytes + at, 0, PAGE);
        write_file(copy_path, (struct str){bytes, before.size});
        (void)unlink(copy_log);
        enum status status = open_path(copy_path);
        bool open = status == STATUS_OK;
        if (open) status = drain(&count);
        if (open && status == STATUS_OK) status = send(MESSAGES);
        if (status == STATUS_DATA_LOSS) {
            EXPECT(strstr(failure.message, copy_path) || strstr(failure.message, "tables"));
            EXPECT(strstr(failure.message, "restore a backup") || count == 0);
            told++;
        } else {
            EXPECT_STATUS(status, STATUS_OK, failure);
            EXPECT_INT(count, MESSAGES);
            whole++;
        }
        if (open) close_queues();
    }
    EXPECT(told > 5 && whole > 0);
    buffer_clear(&before);
    end();
}

/* --- a log that was cut off ---------------------------------------------------------------------
 */

/* What a crash of the machine may leave: the file as it was, and the log up to some byte. */
static void reopen_with(struct str base, struct str log, int *last_count)
{
    int count = -1;
    write_file(copy_path, base);
    write_file(copy_log, log);
    enum status status = open_path(copy_path);
    EXPECT_STATUS(status, STATUS_OK, failure);
    if (status != STATUS_OK) return;
    status = drain(&count);
    /* Before the queue was made there is none. */
    if (status == STATUS_NOT_FOUND)
        count = -1;
    else
        EXPECT_STATUS(status, STATUS_OK, failure);
    EXPECT(count >= *last_count && count <= MESSAGES);
    struct queue_call depth = {.operation = QUEUE_DEPTH};
    if (count >= 0) {
        EXPECT_STATUS(run(&depth), STATUS_OK, failure);
        EXPECT_INT(depth.depth.in_flight, count);
        EXPECT_INT(depth.depth.visible, 0);
        EXPECT_STATUS(send(MESSAGES), STATUS_OK, failure);
    }
    *last_count = count;
    close_queues();
}

TEST(a_log_that_is_cut_off_keeps_what_was_committed_before)
{
    struct buffer base, log;
    int count = -1;
    REQUIRE(begin(MESSAGES));
    read_file(path, &base);
    read_file(log_path, &log);
    close_queues();
    REQUIRE(log.size > 32 + 20 * FRAME);
    struct str whole = buffer_view(&log);
    size_t step = (whole.size / FRAME / 24) * FRAME + 1237;
    for (size_t size = 0; size < whole.size; size += step)
        reopen_with(buffer_view(&base), (struct str){whole.data, size}, &count);
    EXPECT(count >= 0);
    reopen_with(buffer_view(&base), whole, &count);
    EXPECT_INT(count, MESSAGES);
    buffer_clear(&base);
    buffer_clear(&log);
    end();
}

/* A frame whose sum is wrong ends the log: what came after it was never promised to be there
 * without it. */
TEST(a_damaged_log_is_good_up_to_the_damage)
{
    struct buffer base, log;
    REQUIRE(begin(MESSAGES));
    read_file(path, &base);
    read_file(log_path, &log);
    close_queues();
    struct str whole = buffer_view(&log);
    int count = -1;
    for (size_t at = 5000; at < whole.size; at += whole.size / 16) {
        char *bytes CLEANUP(mem_freep) = copy_of(&log);
        bytes[at] = (char)(bytes[at] ^ 0x40);
        reopen_with(buffer_view(&base), (struct str){bytes, whole.size}, &count);
    }
    EXPECT(count > 0);
    buffer_clear(&base);
    buffer_clear(&log);
    end();
}

/* --- taken away --------------------------------------------------------------------------------
 */

static void take_away(const char *name)
{
    char hidden[160];
    int count;
    REQUIRE(begin(3));
    (void)snprintf(hidden, sizeof hidden, "%s.hidden", name);
    EXPECT(rename(name, hidden) == 0);
    EXPECT_STATUS(send(3), STATUS_UNAVAILABLE, failure);
    EXPECT(strstr(failure.message, name) != NULL);
    EXPECT(strstr(failure.message, "was removed or replaced while it was in use") != NULL);
    EXPECT_STATUS(send(3), STATUS_UNAVAILABLE, failure);
    EXPECT(rename(hidden, name) == 0);
    EXPECT_STATUS(send(3), STATUS_OK, failure);
    close_queues();
    EXPECT_STATUS(open_path(path), STATUS_OK, failure);
    EXPECT_STATUS(drain(&count), STATUS_OK, failure);
    EXPECT_INT(count, 4);
    close_queues();
    end();
}

TEST(a_file_that_was_taken_away_accepts_nothing)
{
    take_away(path);
}

TEST(a_log_that_was_taken_away_accepts_nothing)
{
    take_away(log_path);
}

TEST(a_file_that_was_replaced_accepts_nothing)
{
    struct buffer other;
    REQUIRE(begin(3));
    read_file(path, &other);
    EXPECT(unlink(path) == 0);
    write_file(path, buffer_view(&other));
    EXPECT_STATUS(send(3), STATUS_UNAVAILABLE, failure);
    EXPECT(strstr(failure.message, "removed or replaced") != NULL);
    close_queues();
    expect_file(path, &other);
    buffer_clear(&other);
    end();
}

/* --- another time ------------------------------------------------------------------------------
 */

TEST(a_later_schema_is_refused_and_left_alone)
{
    struct buffer before;
    sqlite3 *handle;
    int count;
    REQUIRE(begin(5));
    close_queues();
    REQUIRE(sqlite3_open(path, &handle) == SQLITE_OK);
    EXPECT(sqlite3_exec(handle, "INSERT INTO slipway_schema VALUES('queue', 99, 'future', 0)", NULL,
                        NULL, NULL) == SQLITE_OK);
    (void)sqlite3_close(handle);
    fold();
    read_file(path, &before);
    EXPECT_STATUS(open_path(path), STATUS_FAILED_PRECONDITION, failure);
    EXPECT(strstr(failure.message, "step 99 of the schema of 'queue'") != NULL);
    EXPECT(strstr(failure.message, "newer Slipway; use that one, or restore a backup") != NULL);
    fold();
    expect_file(path, &before);
    REQUIRE(sqlite3_open(path, &handle) == SQLITE_OK);
    EXPECT(sqlite3_exec(handle, "DELETE FROM slipway_schema WHERE number = 99", NULL, NULL, NULL) ==
           SQLITE_OK);
    (void)sqlite3_close(handle);
    EXPECT_STATUS(open_path(path), STATUS_OK, failure);
    EXPECT_STATUS(drain(&count), STATUS_OK, failure);
    EXPECT_INT(count, 5);
    close_queues();
    buffer_clear(&before);
    end();
}

TEST(what_is_no_database_is_left_alone)
{
    struct buffer before;
    arena_init(&arena, 1 << 20);
    (void)snprintf(directory, sizeof directory, "/tmp/slipway-test-damage.XXXXXX");
    REQUIRE(mkdtemp(directory));
    (void)snprintf(path, sizeof path, "%s/data.db", directory);
    write_file(path, STR("Dear diary, this file is no database and longer than a header of one is, "
                         "so that nobody takes it for an empty one.\n"));
    read_file(path, &before);
    expect_refused(STATUS_DATA_LOSS, "the file is no database");
    expect_file(path, &before);
    buffer_clear(&before);
    end();
}
