/* A VFS over SQLite's own that gathers the writes of the log. */
#include "db/sqlite_log.h"

#include "base/mem.h"

#include <pthread.h>
#include <sqlite3.h>

/* Bytes of the log that are written together at most. SQLite's VFS for Unix looks at the lower 17
 * bits of a write's size. */
enum { GATHER_MAX = (1 << 17) - 1 };

/* SQLite's name for what a writer holds in the shared memory, from its file format: lock 0. */
enum { WRITE_LOCK = 0 };

struct log_file {
    sqlite3_file base; /* first */
    sqlite3_file *real;
    struct log_file *log; /* of the database: its log, while that is open */
    struct log_file *of;  /* of a log: its database */
    char *gathered;       /* GATHER_MAX bytes; NULL: written at once */
    size_t size;
    sqlite3_int64 offset; /* where they belong */
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs vfs;
static sqlite3_io_methods database_methods, log_methods;
static bool registered;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Both are the same pointer: base is first. */
static struct log_file *own(sqlite3_file *file)
{
    return (struct log_file *)(void *)file;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return own(file)->real;
}

/* --- gathering -------------------------------------------------------------------------------- */

static int write_out(struct log_file *file)
{
    size_t size = file->size;
    if (size == 0) return SQLITE_OK;
    file->size = 0; /* also if it fails: the transaction is over then, and begins anew */
    return file->real->pMethods->xWrite(file->real, file->gathered, (int)size, file->offset);
}

static int log_write(sqlite3_file *base, const void *data, int size, sqlite3_int64 offset)
{
    struct log_file *file = own(base);
    size_t count = (size_t)size;
    if (file->size > 0 &&
        (offset != file->offset + (sqlite3_int64)file->size || count > GATHER_MAX - file->size)) {
        int code = write_out(file);
        if (code != SQLITE_OK) return code;
    }
    if (!file->gathered || count > GATHER_MAX)
        return file->real->pMethods->xWrite(file->real, data, size, offset);
    if (file->size == 0) file->offset = offset;
    memcpy(file->gathered + file->size, data, count);
    file->size += count;
    return SQLITE_OK;
}

static int log_close(sqlite3_file *base)
{
    struct log_file *file = own(base);
    int written = write_out(file);
    int code = file->real->pMethods->xClose(file->real);
    if (file->of) file->of->log = NULL;
    mem_free(file->gathered);
    file->gathered = NULL;
    return written == SQLITE_OK ? code : written;
}

/* Others may write the log from now on: what no commit has synced is not to come after it. */
static int database_shm_lock(sqlite3_file *base, int offset, int count, int flags)
{
    struct log_file *file = own(base);
    bool gives_up = (flags & SQLITE_SHM_UNLOCK) && (flags & SQLITE_SHM_EXCLUSIVE);
    if (gives_up && offset <= WRITE_LOCK && file->log) file->log->size = 0;
    return file->real->pMethods->xShmLock(file->real, offset, count, flags);
}

static int database_close(sqlite3_file *base)
{
    struct log_file *file = own(base);
    if (file->log) file->log->of = NULL;
    return file->real->pMethods->xClose(file->real);
}

/* --- everything else goes through ---------------------------------------------------------------
 */

/* Of a database: at once. Of a log: after what was gathered. */
#define THROUGH(name, parameters, ...)                                                             \
    static int database_##name parameters                                                          \
    {                                                                                              \
        return real_of(file)->pMethods->x##name(__VA_ARGS__);                                      \
    }                                                                                              \
    static int log_##name parameters                                                               \
    {                                                                                              \
        int code = write_out(own(file));                                                           \
        return code == SQLITE_OK ? real_of(file)->pMethods->x##name(__VA_ARGS__) : code;           \
    }
#define FILE_ONLY sqlite3_file *file
THROUGH(Read, (FILE_ONLY, void *data, int size, sqlite3_int64 offset), real_of(file), data, size,
        offset)
THROUGH(Truncate, (FILE_ONLY, sqlite3_int64 size), real_of(file), size)
THROUGH(Sync, (FILE_ONLY, int flags), real_of(file), flags)
THROUGH(FileSize, (FILE_ONLY, sqlite3_int64 *size), real_of(file), size)
THROUGH(Lock, (FILE_ONLY, int lock), real_of(file), lock)
THROUGH(Unlock, (FILE_ONLY, int lock), real_of(file), lock)
THROUGH(CheckReservedLock, (FILE_ONLY, int *result), real_of(file), result)
THROUGH(FileControl, (FILE_ONLY, int operation, void *argument), real_of(file), operation, argument)

static int database_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    return real_of(file)->pMethods->xWrite(real_of(file), data, size, offset);
}

static int sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **memory)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, memory);
}

static void shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int shm_unmap(sqlite3_file *file, int delete_it)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), delete_it);
}

/* Version 2: without mapping the file into memory, which we never ask for. */
static void fill_methods(void)
{
    database_methods = (sqlite3_io_methods){
        .iVersion = 2,
        .xClose = database_close,
        .xRead = database_Read,
        .xWrite = database_write,
        .xTruncate = database_Truncate,
        .xSync = database_Sync,
        .xFileSize = database_FileSize,
        .xLock = database_Lock,
        .xUnlock = database_Unlock,
        .xCheckReservedLock = database_CheckReservedLock,
        .xFileControl = database_FileControl,
        .xSectorSize = sector_size,
        .xDeviceCharacteristics = characteristics,
        .xShmMap = shm_map,
        .xShmLock = database_shm_lock,
        .xShmBarrier = shm_barrier,
        .xShmUnmap = shm_unmap,
    };
    log_methods = (sqlite3_io_methods){
        .iVersion = 1,
        .xClose = log_close,
        .xRead = log_Read,
        .xWrite = log_write,
        .xTruncate = log_Truncate,
        .xSync = log_Sync,
        .xFileSize = log_FileSize,
        .xLock = log_Lock,
        .xUnlock = log_Unlock,
        .xCheckReservedLock = log_CheckReservedLock,
        .xFileControl = log_FileControl,
        .xSectorSize = sector_size,
        .xDeviceCharacteristics = characteristics,
    };
}

/* --- opening ---------------------------------------------------------------------------------- */

/* A log belongs to a database that was opened through us too; else it is written at once. */
static void link_log(struct log_file *log, const char *name)
{
    sqlite3_file *database = sqlite3_database_file_object(name);
    if (!database || database->pMethods != &database_methods) return;
    log->gathered = mem_try_new(GATHER_MAX);
    log->of = own(database);
    log->of->log = log;
}

/* Other files (temporary ones, journals of the time before the log) are the real VFS's own. */
static int open_file(sqlite3_vfs *self UNUSED, const char *name, sqlite3_file *base, int flags,
                     int *ret_flags)
{
    bool is_log = flags & SQLITE_OPEN_WAL;
    if (!is_log && !(flags & SQLITE_OPEN_MAIN_DB))
        return real_vfs->xOpen(real_vfs, name, base, flags, ret_flags);
    struct log_file *file = own(base);
    memset(file, 0, sizeof *file);
    file->real = (sqlite3_file *)(void *)(file + 1);
    int code = real_vfs->xOpen(real_vfs, name, file->real, flags, ret_flags);
    if (code != SQLITE_OK) {
        if (file->real->pMethods) (void)file->real->pMethods->xClose(file->real);
        return code;
    }
    file->base.pMethods = is_log ? &log_methods : &database_methods;
    if (is_log) link_log(file, name);
    return SQLITE_OK;
}

static void register_once(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    if (!real_vfs) return;
    fill_methods();
    vfs = *real_vfs;
    vfs.zName = "slipway-log";
    vfs.pNext = NULL;
    vfs.szOsFile = (int)sizeof(struct log_file) + real_vfs->szOsFile;
    vfs.xOpen = open_file;
    registered = sqlite3_vfs_register(&vfs, 0) == SQLITE_OK;
}

const char *sqlite_log_vfs(void)
{
    (void)pthread_once(&once, register_once); /* cannot fail with these arguments */
    return registered ? vfs.zName : NULL;
}
