/*
 * The disk fails at the worst moment: the nth write finds the disk full, the nth sync fails. What
 * was acknowledged is there afterwards, in order; what was refused is not; and the message says
 * what to do. A VFS of our own under SQLite decides.
 */
#include "base/mem.h"
#include "db/sqlite.h"
#include "queue/queue.c"
#include "queue/queue_sqlite.h"
#include "test.h"

#include <sqlite3.h>
#include <stdatomic.h>

/* --- a disk that fails on command ----------------------------------------------------------------
 */

static _Atomic int writes_left = INT32_MAX, syncs_left = INT32_MAX;

struct faulty_file {
    sqlite3_file base; /* first */
    sqlite3_file *real;
};

static sqlite3_vfs *real_vfs;
static sqlite3_io_methods methods;

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct faulty_file *)(void *)file)->real;
}

static int faulty_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    if (atomic_fetch_sub(&writes_left, 1) <= 0) return SQLITE_FULL;
    return real_of(file)->pMethods->xWrite(real_of(file), data, size, offset);
}

static int faulty_sync(sqlite3_file *file, int flags)
{
    if (atomic_fetch_sub(&syncs_left, 1) <= 0) return SQLITE_IOERR_FSYNC;
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int faulty_close(sqlite3_file *file)
{
    int code = real_of(file)->pMethods->xClose(real_of(file));
    sqlite3_free(real_of(file));
    return code;
}

/* Everything else goes through. */
#define THROUGH(name, parameters, ...)                                                             \
    static int faulty_##name parameters                                                            \
    {                                                                                              \
        return real_of(file)->pMethods->x##name(__VA_ARGS__);                                      \
    }
THROUGH(Read, (sqlite3_file * file, void *data, int size, sqlite3_int64 offset), real_of(file),
        data, size, offset)
THROUGH(Truncate, (sqlite3_file * file, sqlite3_int64 size), real_of(file), size)
THROUGH(FileSize, (sqlite3_file * file, sqlite3_int64 *size), real_of(file), size)
THROUGH(Lock, (sqlite3_file * file, int lock), real_of(file), lock)
THROUGH(Unlock, (sqlite3_file * file, int lock), real_of(file), lock)
THROUGH(CheckReservedLock, (sqlite3_file * file, int *result), real_of(file), result)
THROUGH(FileControl, (sqlite3_file * file, int operation, void *argument), real_of(file), operation,
        argument)
THROUGH(SectorSize, (sqlite3_file * file), real_of(file))
THROUGH(DeviceCharacteristics, (sqlite3_file * file), real_of(file))
THROUGH(ShmMap, (sqlite3_file * file, int page, int size, int extend, void volatile **memory),
        real_of(file), page, size, extend, memory)
THROUGH(ShmLock, (sqlite3_file * file, int offset, int count, int flags), real_of(file), offset,
        count, flags)
THROUGH(ShmUnmap, (sqlite3_file * file, int delete_it), real_of(file), delete_it)

static void faulty_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int faulty_open(sqlite3_vfs *vfs UNUSED, const char *name, sqlite3_file *file, int flags,
                       int *flags_out)
{
    struct faulty_file *faulty = (struct faulty_file *)(void *)file;
    faulty->base.pMethods = NULL;
    faulty->real = sqlite3_malloc(real_vfs->szOsFile);
    memset(faulty->real, 0, (size_t)real_vfs->szOsFile);
    int code = real_vfs->xOpen(real_vfs, name, faulty->real, flags, flags_out);
    if (code == SQLITE_OK)
        faulty->base.pMethods = &methods;
    else
        sqlite3_free(faulty->real);
    return code;
}

__attribute__((constructor)) static void install(void)
{
    static sqlite3_vfs faulty;
    real_vfs = sqlite3_vfs_find(NULL);
    faulty = *real_vfs;
    faulty.zName = "faulty";
    faulty.szOsFile = sizeof(struct faulty_file);
    faulty.xOpen = faulty_open;
    methods = (sqlite3_io_methods){
        .iVersion = 2,
        .xClose = faulty_close,
        .xRead = faulty_Read,
        .xWrite = faulty_write,
        .xTruncate = faulty_Truncate,
        .xSync = faulty_sync,
        .xFileSize = faulty_FileSize,
        .xLock = faulty_Lock,
        .xUnlock = faulty_Unlock,
        .xCheckReservedLock = faulty_CheckReservedLock,
        .xFileControl = faulty_FileControl,
        .xSectorSize = faulty_SectorSize,
        .xDeviceCharacteristics = faulty_DeviceCharacteristics,
        .xShmMap = faulty_ShmMap,
        .xShmLock = faulty_ShmLock,
        .xShmBarrier = faulty_barrier,
        .xShmUnmap = faulty_ShmUnmap,
    };
    if (sqlite3_vfs_register(&faulty, 1) != SQLITE_OK) abort();
}

/* --- the queue on it
 * -------------------------------------------------------------------------------- */

enum { MESSAGES = 40 };

static char directory[64], path[96];
static struct database *database;
static struct queue_store *queues;
static struct arena arena;
static struct error failure;

static void heal(void)
{
    writes_left = syncs_left = INT32_MAX;
}

static bool open_queues(void)
{
    if (sqlite_database_open(path, &(struct sqlite_options){0}, &(struct database_options){0},
                             &database, &failure) != STATUS_OK)
        return false;
    if (queue_sqlite_new(database, &queues, &failure) == STATUS_OK) return true;
    database_free(database);
    return false;
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

static bool begin(void)
{
    struct queue_call call = {.operation = QUEUE_CREATE};
    heal();
    arena_init(&arena, 64 << 20);
    (void)snprintf(directory, sizeof directory, "/tmp/slipway-test-faults.XXXXXX");
    if (!mkdtemp(directory)) return false;
    (void)snprintf(path, sizeof path, "%s/data.db", directory);
    queue_settings_init(&call.description.settings, true);
    return open_queues() && run(&call) == STATUS_OK;
}

static void end(void)
{
    char command[128];
    close_queues();
    arena_clear(&arena);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
    EXPECT(system(command) == 0);
}

/* Sends message `number`; true if it was acknowledged. */
static bool send(int number)
{
    char text[16];
    struct queue_sent sent = {0};
    (void)snprintf(text, sizeof text, "%d", number);
    struct queue_new_message message = {
        .body = str_of(text), .group = STR("g"), .deduplication_id = str_of(text), .delay_ms = -1};
    struct queue_call call = {.operation = QUEUE_SEND, .send = {&message, 1, &sent}};
    return run(&call) == STATUS_OK && sent.status == STATUS_OK;
}

/* All that is in the queue, in its order, is what was acknowledged. */
static void expect_exactly(const bool acknowledged[MESSAGES])
{
    struct queue_call call = {.operation = QUEUE_LEASE,
                              .lease = {.count_max = MESSAGES, .visibility_ms = 30000}};
    EXPECT_STATUS(run(&call), STATUS_OK, failure);
    size_t next = 0;
    for (int i = 0; i < MESSAGES; i++) {
        char text[16];
        if (!acknowledged[i]) continue;
        (void)snprintf(text, sizeof text, "%d", i);
        REQUIRE(next < call.lease.count);
        EXPECT_STR(call.lease.messages[next].body, str_of(text));
        next++;
    }
    EXPECT_INT(call.lease.count, next);
}

/* The nth write or sync from the middle of the sends on fails, and all after it, until the end. */
static void fail_at(int nth, bool sync)
{
    bool acknowledged[MESSAGES] = {false};
    int count = 0;
    REQUIRE(begin());
    for (int i = 0; i < MESSAGES; i++) {
        if (i == MESSAGES / 2) *(sync ? &syncs_left : &writes_left) = nth;
        if (i == MESSAGES / 2 + 10) heal();
        acknowledged[i] = send(i);
        count += acknowledged[i];
    }
    EXPECT(count >= MESSAGES - 10 && count <= MESSAGES);
    EXPECT(nth > 1 || count < MESSAGES);
    close_queues();
    REQUIRE(open_queues());
    expect_exactly(acknowledged);
    end();
}

TEST(a_full_disk_loses_nothing_acknowledged)
{
    for (int nth = 0; nth < 24; nth++) fail_at(nth, false);
}

TEST(a_failed_sync_loses_nothing_acknowledged)
{
    for (int nth = 0; nth < 8; nth++) fail_at(nth, true);
}

TEST(a_full_disk_says_what_to_do)
{
    REQUIRE(begin());
    writes_left = 0;
    EXPECT(!send(1));
    EXPECT_INT(failure.status, STATUS_EXHAUSTED);
    EXPECT(strstr(failure.message, "the disk is full; make room") != NULL);
    EXPECT(strstr(failure.message, path) != NULL);
    heal();
    EXPECT(send(2));
    end();
}

static _Atomic int receives_over; /* 1 + status */

static void received(struct queue_call *call UNUSED, enum status status,
                     const struct error *err UNUSED)
{
    receives_over = 1 + (int)status;
}

static bool somebody_waits(void)
{
    lock(queues->front);
    bool waits = queues->front->waiting_count > 0;
    unlock(queues->front);
    return waits;
}

/* It looks within the transaction of a send; that the disk is full then is told to the sender. */
TEST(who_waits_for_a_send_that_fails_goes_on_waiting)
{
    REQUIRE(begin());
    receives_over = 0;
    struct queue_call call = {.operation = QUEUE_LEASE,
                              .queue = STR("q.fifo"),
                              .arena = &arena,
                              .done = received,
                              .lease = {.count_max = 1, .visibility_ms = -1, .wait_ms = 20000}};
    EXPECT_STATUS(queue_submit(queues, &call, &failure), STATUS_OK, failure);
    while (!somebody_waits()) (void)nanosleep(&(struct timespec){0, 100000}, NULL);
    syncs_left = 0;
    EXPECT(!send(1));
    EXPECT(!send(2));
    EXPECT_INT(receives_over, 0);
    heal();
    EXPECT(send(3));
    while (receives_over == 0) (void)nanosleep(&(struct timespec){0, 100000}, NULL);
    EXPECT_INT(receives_over, 1 + STATUS_OK);
    REQUIRE(call.lease.count == 1);
    EXPECT_STR(call.lease.messages[0].body, STR("3"));
    end();
}
