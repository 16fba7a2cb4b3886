/* SQLite: connections, statements, what its failures mean, and checkpoints off the writer's way. */
#include "db/sqlite.h"

#include "base/mem.h"
#include "db/sqlite_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <unistd.h>

enum {
    STATEMENTS_MAX = 256, /* of one connection; a power of two */
    /* Pages of 4 KiB in the log from which on they are copied into the database: 16 MiB. */
    CHECKPOINT_PAGES = 4096,
    BACKUP_PAGES = 1024,         /* copied between two looks at other users */
    APPLICATION_ID = 0x534c5057, /* "SLPW" in the file's header: this file is ours */
    CLOCK_NOTE_MS = 100,         /* the time is noted with a commit so often at most */
    MEMORY_PAGE = 4096,
};

struct sqlite_statement {
    sqlite3_stmt *raw;
    const char *sql;
    struct database_session *session;
};

/* One connection. */
struct sqlite {
    sqlite3 *handle;
    struct sqlite_file *file;
    bool reads;
    int64_t changes;   /* rows that were changed before this transaction */
    uint64_t noted_ms; /* in slipway_clock */
    struct sqlite_statement statements[STATEMENTS_MAX]; /* by the address of their text */
    size_t statement_count;
};

/* The file, shared by all its connections: the state of its struct database. */
struct sqlite_file {
    char *path;
    char *log_path;
    struct sqlite_options options;
    sqlite3 *memory;                /* no file: the one connection of all sessions, else NULL */
    pthread_mutex_t turn;           /* held by the session that is in a transaction on it */
    _Atomic bool checkpoint_wanted; /* the log is long */
    _Atomic bool checkpoint_nearly; /* only what came since is left: the writer ends it */
    pthread_t checkpointer;
    bool checkpointer_started;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool ending;
};

/* --- failures --------------------------------------------------------------------------------- */

/* X(code of SQLite, status, what to do) */
#define PROBLEMS(X)                                                                                \
    X(SQLITE_FULL, EXHAUSTED,                                                                      \
      "the disk is full; make room, nothing that was acknowledged is lost")                        \
    X(SQLITE_READONLY, FAILED_PRECONDITION,                                                        \
      "it cannot be written; look at the rights of the file and its directory, and how the disk "  \
      "is mounted")                                                                                \
    X(SQLITE_PERM, PERMISSION_DENIED, "look at the rights of the file and its directory")          \
    X(SQLITE_CANTOPEN, FAILED_PRECONDITION,                                                        \
      "it cannot be opened; look at the path and the rights of its directory")                     \
    X(SQLITE_CORRUPT, DATA_LOSS,                                                                   \
      "the file is damaged; stop, keep a copy, and restore a backup or run 'sqlite3 FILE "         \
      ".recover'")                                                                                 \
    X(SQLITE_NOTADB, DATA_LOSS,                                                                    \
      "the file is no database, or damaged at its start; name another, or restore a backup")       \
    X(SQLITE_BUSY, UNAVAILABLE, "another process holds it; try again")                             \
    X(SQLITE_LOCKED, UNAVAILABLE, "another process holds it; try again")                           \
    X(SQLITE_IOERR, UNAVAILABLE, "the disk failed; look at the system's log")                      \
    X(SQLITE_NOMEM, EXHAUSTED, "memory is short")                                                  \
    X(SQLITE_TOOBIG, EXHAUSTED, "a value is larger than a gigabyte")                               \
    X(SQLITE_CONSTRAINT, ALREADY_EXISTS, "a rule of the schema forbids it")

static const struct problem {
    int code;
    enum status status;
    const char *advice;
} problems[] = {
#define X(code, status, advice) {code, STATUS_##status, advice},
    PROBLEMS(X)
#undef X
};

static enum status fail_sqlite(struct error *err, sqlite3 *handle, const char *path, int code)
{
    const char *said = handle ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
    for (size_t i = 0; i < COUNT_OF(problems); i++)
        if (problems[i].code == (code & 0xff))
            return fail(err, problems[i].status, "database '%s': %s: %s", path, said,
                        problems[i].advice);
    return fail(err, STATUS_INTERNAL, "database '%s': %s (%d)", path, said, code);
}

static enum status fail_session(struct error *err, const struct database_session *session, int code)
{
    const struct sqlite *sqlite = session->connection;
    if (sqlite->file->memory && (code & 0xff) == SQLITE_FULL)
        return fail(err, STATUS_EXHAUSTED,
                    "database '%s' is full: it has the %llu bytes of data.memory_bytes; take "
                    "messages out, keep fewer results, or give it more",
                    sqlite->file->path, (unsigned long long)sqlite->file->options.memory_size);
    return fail_sqlite(err, sqlite->handle, sqlite->file->path, code);
}

/* --- statements ------------------------------------------------------------------------------- */

static struct sqlite_statement *statement_slot(struct sqlite *sqlite, const char *sql)
{
    size_t i = ((uintptr_t)sql >> 3) * UINT64_C(0x9e3779b97f4a7c15) >> 56;
    _Static_assert(STATEMENTS_MAX == 1 << 8, "the hash has eight bits");
    while (sqlite->statements[i].sql && sqlite->statements[i].sql != sql)
        i = (i + 1) % STATEMENTS_MAX;
    return &sqlite->statements[i];
}

enum status sqlite_prepare(struct database_session *session, const char *sql,
                           struct sqlite_statement **ret_statement, struct error *err)
{
    struct sqlite *sqlite = session->connection;
    struct sqlite_statement *statement = statement_slot(sqlite, sql);
    if (LIKELY(statement->sql)) {
        *ret_statement = statement;
        return STATUS_OK;
    }
    assert(sqlite->statement_count < STATEMENTS_MAX - 1);
    sqlite3_stmt *raw;
    int code = sqlite3_prepare_v3(sqlite->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, NULL);
    if (code != SQLITE_OK) return fail_session(err, session, code);
    *statement = (struct sqlite_statement){raw, sql, session};
    sqlite->statement_count++;
    *ret_statement = statement;
    return STATUS_OK;
}

/* Binding fails only for a parameter that is not there, or a value beyond SQLite's limits, which
 * the limits of messages and records keep us from. */
static void bound(int code)
{
    assert(code == SQLITE_OK);
}

void sqlite_bind_int(struct sqlite_statement *statement, int parameter, int64_t value)
{
    bound(sqlite3_bind_int64(statement->raw, parameter, value));
}

void sqlite_bind_double(struct sqlite_statement *statement, int parameter, double value)
{
    bound(sqlite3_bind_double(statement->raw, parameter, value));
}

void sqlite_bind_text(struct sqlite_statement *statement, int parameter, struct str value)
{
    if (!value.data)
        bound(sqlite3_bind_null(statement->raw, parameter));
    else
        bound(sqlite3_bind_text64(statement->raw, parameter, value.data, value.size, SQLITE_STATIC,
                                  SQLITE_UTF8));
}

void sqlite_bind_blob(struct sqlite_statement *statement, int parameter, struct str value)
{
    if (!value.data)
        bound(sqlite3_bind_null(statement->raw, parameter));
    else if (value.size == 0)
        bound(sqlite3_bind_zeroblob(statement->raw, parameter, 0));
    else
        bound(
            sqlite3_bind_blob64(statement->raw, parameter, value.data, value.size, SQLITE_STATIC));
}

void sqlite_bind_null(struct sqlite_statement *statement, int parameter)
{
    bound(sqlite3_bind_null(statement->raw, parameter));
}

enum status sqlite_step(struct sqlite_statement *statement, bool *ret_row, struct error *err)
{
    int code = sqlite3_step(statement->raw);
    if (code == SQLITE_ROW) {
        *ret_row = true;
        return STATUS_OK;
    }
    if (code == SQLITE_DONE) {
        (void)sqlite3_reset(statement->raw); /* repeats what step said */
        *ret_row = false;
        return STATUS_OK;
    }
    if (!sqlite3_stmt_readonly(statement->raw)) statement->session->dirty = true;
    enum status status = fail_session(err, statement->session, code);
    (void)sqlite3_reset(statement->raw);
    return status;
}

enum status sqlite_execute(struct sqlite_statement *statement, struct error *err)
{
    bool row = true;
    while (row) TRY(sqlite_step(statement, &row, err));
    return STATUS_OK;
}

void sqlite_reset(struct sqlite_statement *statement)
{
    (void)sqlite3_reset(statement->raw); /* what failed was told by step */
}

int64_t sqlite_int(struct sqlite_statement *statement, int column)
{
    return sqlite3_column_int64(statement->raw, column);
}

double sqlite_double(struct sqlite_statement *statement, int column)
{
    return sqlite3_column_double(statement->raw, column);
}

bool sqlite_is_null(struct sqlite_statement *statement, int column)
{
    return sqlite3_column_type(statement->raw, column) == SQLITE_NULL;
}

static struct str column_view(struct sqlite_statement *statement, int column, const void *data)
{
    if (sqlite_is_null(statement, column)) return (struct str){0};
    /* An empty blob has no address. */
    return (struct str){data ? data : "", (size_t)sqlite3_column_bytes(statement->raw, column)};
}

struct str sqlite_text(struct sqlite_statement *statement, int column)
{
    return column_view(statement, column, sqlite3_column_text(statement->raw, column));
}

struct str sqlite_blob(struct sqlite_statement *statement, int column)
{
    return column_view(statement, column, sqlite3_column_blob(statement->raw, column));
}

static sqlite3 *handle_of(struct database_session *session)
{
    return ((struct sqlite *)session->connection)->handle;
}

int64_t sqlite_changes(struct database_session *session)
{
    return sqlite3_changes64(handle_of(session));
}

int64_t sqlite_last_id(struct database_session *session)
{
    return sqlite3_last_insert_rowid(handle_of(session));
}

static enum status script(sqlite3 *handle, const char *path, const char *sql, struct error *err)
{
    int code = sqlite3_exec(handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? STATUS_OK : fail_sqlite(err, handle, path, code);
}

enum status sqlite_script(struct database_session *session, const char *sql, struct error *err)
{
    int code = sqlite3_exec(handle_of(session), sql, NULL, NULL, NULL);
    if (code == SQLITE_OK) return STATUS_OK;
    session->dirty = true;
    return fail_session(err, session, code);
}

/* --- checkpoints ------------------------------------------------------------------------------ */

/*
 * The log must go back to its start now and then, or it grows for ever. SQLite starts it anew with
 * the first commit after all of it has been copied into the database. Copying costs many writes and
 * two syncs, so a thread of its own does it while the writer goes on (PASSIVE waits for nobody);
 * what the writer has added meanwhile is little, and the writer copies that itself, between two
 * transactions.
 */
static int log_grew(void *context, sqlite3 *handle UNUSED, const char *name UNUSED, int pages)
{
    struct sqlite_file *file = context;
    if (pages < CHECKPOINT_PAGES || atomic_load(&file->checkpoint_wanted)) return SQLITE_OK;
    (void)pthread_mutex_lock(&file->mutex);
    atomic_store(&file->checkpoint_wanted, true);
    (void)pthread_cond_signal(&file->wake);
    (void)pthread_mutex_unlock(&file->mutex);
    return SQLITE_OK;
}

/* A checkpoint that fails is tried again when the log has grown further: nothing is lost by it. */
static void checkpoint(sqlite3 *handle)
{
    (void)sqlite3_wal_checkpoint_v2(handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static bool checkpointer_wait(struct sqlite_file *file)
{
    (void)pthread_mutex_lock(&file->mutex);
    while (!file->ending &&
           (!atomic_load(&file->checkpoint_wanted) || atomic_load(&file->checkpoint_nearly)))
        (void)pthread_cond_wait(&file->wake, &file->mutex);
    bool go_on = !file->ending;
    (void)pthread_mutex_unlock(&file->mutex);
    return go_on;
}

static enum status connect(struct sqlite_file *file, const char *vfs, sqlite3 **ret_handle,
                           struct error *err);

static void *checkpointer_run(void *context)
{
    struct sqlite_file *file = context;
    sqlite3 *handle;
    struct error err;
    /* Without a connection the log grows until the next start: slower, not wrong. */
    if (connect(file, NULL, &handle, &err) != STATUS_OK) return NULL;
    while (checkpointer_wait(file)) {
        checkpoint(handle);
        atomic_store(&file->checkpoint_nearly, true);
    }
    (void)sqlite3_close(handle);
    return NULL;
}

/* On the writer's thread, outside a transaction. */
static void checkpoint_end(struct sqlite *sqlite)
{
    struct sqlite_file *file = sqlite->file;
    if (LIKELY(!atomic_load_explicit(&file->checkpoint_nearly, memory_order_relaxed))) return;
    checkpoint(sqlite->handle);
    (void)pthread_mutex_lock(&file->mutex);
    atomic_store(&file->checkpoint_nearly, false);
    atomic_store(&file->checkpoint_wanted, false);
    (void)pthread_mutex_unlock(&file->mutex);
}

/* --- connections ------------------------------------------------------------------------------ */

/* `vfs` NULL: SQLite's own. */
static enum status connect(struct sqlite_file *file, const char *vfs, sqlite3 **ret_handle,
                           struct error *err)
{
    sqlite3 *handle = NULL;
    int code =
        sqlite3_open_v2(file->path, &handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, vfs);
    if (code != SQLITE_OK) {
        enum status status = fail_sqlite(err, handle, file->path, code);
        (void)sqlite3_close(handle);
        return status;
    }
    (void)sqlite3_busy_timeout(handle, (int)file->options.busy_timeout_ms);
    *ret_handle = handle;
    return STATUS_OK;
}

/* The one integer that a pragma or a query yields. */
static enum status read_int(sqlite3 *handle, const char *path, const char *sql, int64_t *ret_value,
                            struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(handle, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) code = sqlite3_step(statement);
    if (code == SQLITE_ROW) *ret_value = sqlite3_column_int64(statement, 0);
    enum status status = code == SQLITE_ROW ? STATUS_OK : fail_sqlite(err, handle, path, code);
    (void)sqlite3_finalize(statement);
    return status;
}

/* A file of another program is not touched; an empty one becomes ours. */
static enum status claim(struct sqlite_file *file, sqlite3 *handle, struct error *err)
{
    int64_t id, tables;
    char mark[64];
    TRY(read_int(handle, file->path, "PRAGMA application_id", &id, err));
    if (id == APPLICATION_ID) return STATUS_OK;
    TRY(read_int(handle, file->path, "SELECT count(*) FROM sqlite_schema", &tables, err));
    if (id != 0 || tables != 0)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "database '%s' belongs to another program; name a new file, or none",
                    file->path);
    (void)snprintf(mark, sizeof mark, "PRAGMA application_id=%d", APPLICATION_ID);
    return script(handle, file->path, mark, err);
}

/*
 * The latest time that anybody wrote here. A clock that was set back since must not make what is
 * hidden until some time stay hidden for longer: time goes on from there.
 */
static enum status take_up_time(struct sqlite *sqlite, struct database *database, struct error *err)
{
    int64_t last_ms;
    TRY(script(sqlite->handle, sqlite->file->path,
               "CREATE TABLE IF NOT EXISTS slipway_clock(id INTEGER PRIMARY KEY CHECK (id = 1), "
               "last_ms INTEGER NOT NULL)",
               err));
    TRY(read_int(sqlite->handle, sqlite->file->path,
                 "SELECT coalesce(max(last_ms), 0) FROM slipway_clock", &last_ms, err));
    database_time_at_least(database, last_ms > 0 ? (uint64_t)last_ms : 0);
    return STATUS_OK;
}

static enum status set_up_writer(struct sqlite *sqlite, struct error *err)
{
    struct sqlite_file *file = sqlite->file;
    char cache[64];
    int keep = 1;
    /* SQLite opens it all the same, which is good for commands that only look. */
    if (!file->options.must_exist && sqlite3_db_readonly(sqlite->handle, "main") == 1)
        return fail_sqlite(err, NULL, file->path, SQLITE_READONLY);
    TRY(claim(file, sqlite->handle, err));
    /* What is deleted is written over, whatever the library's own default: it may be what is not to
     * be kept. */
    TRY(script(sqlite->handle, file->path,
               "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; "
               "PRAGMA temp_store=MEMORY; PRAGMA secure_delete=ON",
               err));
    (void)snprintf(cache, sizeof cache, "PRAGMA cache_size=-%llu",
                   (unsigned long long)(file->options.cache_size / 1024));
    TRY(script(sqlite->handle, file->path, cache, err));
    /* The log stays for the next start: overwriting it is twice as fast as making it grow. */
    (void)sqlite3_file_control(sqlite->handle, NULL, SQLITE_FCNTL_PERSIST_WAL, &keep);
    (void)sqlite3_wal_hook(sqlite->handle, log_grew, file);
    return STATUS_OK;
}

static enum status start_checkpointer(struct sqlite_file *file, struct error *err)
{
    int problem = pthread_create(&file->checkpointer, NULL, checkpointer_run, file);
    if (problem != 0) return fail_errno(err, problem, "starting the checkpoint thread");
    file->checkpointer_started = true;
    return STATUS_OK;
}

/*
 * Connections to a database in memory would have to share its pages, and SQLite's ways of doing so
 * make them refuse each other (SQLITE_LOCKED). So there is one, and sessions take it in turns, for
 * a transaction each: a reader sees what was committed, and waits for a writer as long as that
 * takes without a disk.
 */
static void turn_begin(struct sqlite_file *file)
{
    if (file->memory) (void)pthread_mutex_lock(&file->turn);
}

static void turn_end(struct sqlite_file *file)
{
    if (file->memory) (void)pthread_mutex_unlock(&file->turn);
}

static void session_close(struct database_session *session)
{
    struct sqlite *sqlite = session->connection;
    if (!sqlite) return;
    turn_begin(sqlite->file);
    for (size_t i = 0; i < STATEMENTS_MAX; i++) (void)sqlite3_finalize(sqlite->statements[i].raw);
    turn_end(sqlite->file);
    if (!sqlite->file->memory) (void)sqlite3_close(sqlite->handle);
    mem_free(sqlite);
    session->connection = NULL;
}

static enum status session_open(struct database *database, bool reads,
                                struct database_session *session, struct error *err)
{
    struct sqlite *sqlite = MEM_NEW(struct sqlite);
    sqlite->file = database_state(database);
    sqlite->reads = reads;
    session->connection = sqlite;
    enum status status =
        connect(sqlite->file, reads ? NULL : sqlite_log_vfs(), &sqlite->handle, err);
    if (status == STATUS_OK && reads)
        status = script(sqlite->handle, sqlite->file->path, "PRAGMA query_only=1", err);
    else if (status == STATUS_OK) {
        status = set_up_writer(sqlite, err);
        if (status == STATUS_OK) status = take_up_time(sqlite, database, err);
        if (status == STATUS_OK) status = start_checkpointer(sqlite->file, err);
    }
    if (status != STATUS_OK) session_close(session);
    return status;
}

/* --- transactions ----------------------------------------------------------------------------- */

static const char begin_write[] = "BEGIN IMMEDIATE", begin_read[] = "BEGIN", end[] = "COMMIT",
                  undo[] = "ROLLBACK";

static enum status run_plain(struct database_session *session, const char *sql, struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session, sql, &statement, err));
    return sqlite_execute(statement, err);
}

static enum status begin(struct database_session *session, struct error *err)
{
    struct sqlite *sqlite = session->connection;
    turn_begin(sqlite->file);
    enum status status = run_plain(session, sqlite->reads ? begin_read : begin_write, err);
    sqlite->changes = sqlite3_total_changes64(sqlite->handle);
    if (status != STATUS_OK) turn_end(sqlite->file);
    return status;
}

/* With a commit that happens anyway: nothing is written for the time's sake alone. */
static enum status note_time(struct database_session *session, struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session,
                       "INSERT INTO slipway_clock VALUES(1, ?) ON CONFLICT(id) DO UPDATE SET "
                       "last_ms = max(last_ms, excluded.last_ms)",
                       &statement, err));
    sqlite_bind_int(statement, 1, (int64_t)session->now_ms);
    return sqlite_execute(statement, err);
}

/*
 * Whoever has a file open can go on writing to it when nobody can find it any more. What is
 * acknowledged then ends with the process, so it is not acknowledged. Costs two look-ups of a name.
 */
static enum status check_presence(const struct sqlite *sqlite, struct error *err)
{
    const struct sqlite_file *file = sqlite->file;
    int moved = 0;
    if (sqlite->reads || file->memory) return STATUS_OK;
    (void)sqlite3_file_control(sqlite->handle, NULL, SQLITE_FCNTL_HAS_MOVED, &moved);
    bool log_is_there = access(file->log_path, F_OK) == 0;
    if (!moved && log_is_there) return STATUS_OK;
    return fail(err, STATUS_UNAVAILABLE,
                "database '%s': '%s' was removed or replaced while it was in use; put it back, or "
                "stop, restore a backup, and start again",
                file->path, moved ? file->path : file->log_path);
}

static enum status commit(struct database_session *session, struct error *err)
{
    struct sqlite *sqlite = session->connection;
    bool notes = !sqlite->file->memory && session->now_ms >= sqlite->noted_ms + CLOCK_NOTE_MS &&
                 sqlite3_total_changes64(sqlite->handle) != sqlite->changes;
    if (notes) TRY(note_time(session, err));
    TRY(check_presence(sqlite, err));
    TRY(run_plain(session, end, err));
    if (notes) sqlite->noted_ms = session->now_ms;
    turn_end(sqlite->file);
    checkpoint_end(sqlite);
    return STATUS_OK;
}

static void rollback(struct database_session *session)
{
    struct error err;
    sqlite3_stmt *statement = NULL;
    sqlite3 *handle = handle_of(session);
    while ((statement = sqlite3_next_stmt(handle, statement))) (void)sqlite3_reset(statement);
    /* After a full disk or an I/O error SQLite has rolled back by itself. */
    if (!sqlite3_get_autocommit(handle)) (void)run_plain(session, undo, &err);
    turn_end(((struct sqlite *)session->connection)->file);
}

static void idle(struct database_session *session)
{
    checkpoint_end(session->connection);
}

/* --- schema ----------------------------------------------------------------------------------- */

static enum status schema_read(struct database_session *session, const char *room,
                               int64_t *ret_number, struct error *err)
{
    struct sqlite_statement *statement;
    bool row;
    TRY(sqlite_script(
        session,
        "CREATE TABLE IF NOT EXISTS slipway_schema(room TEXT NOT NULL, number INTEGER "
        "NOT NULL, name TEXT NOT NULL, applied_ms INTEGER NOT NULL, "
        "PRIMARY KEY(room, number)) WITHOUT ROWID",
        err));
    TRY(sqlite_prepare(session,
                       "SELECT coalesce(max(number), 0) FROM slipway_schema WHERE room = ?",
                       &statement, err));
    sqlite_bind_text(statement, 1, str_of(room));
    TRY(sqlite_step(statement, &row, err));
    *ret_number = sqlite_int(statement, 0);
    sqlite_reset(statement);
    return STATUS_OK;
}

static enum status schema_note(struct database_session *session, const char *room, int64_t number,
                               const char *name, struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session, "INSERT INTO slipway_schema VALUES(?, ?, ?, ?)", &statement, err));
    sqlite_bind_text(statement, 1, str_of(room));
    sqlite_bind_int(statement, 2, number);
    sqlite_bind_text(statement, 3, str_of(name));
    sqlite_bind_int(statement, 4, (int64_t)session->now_ms);
    return sqlite_execute(statement, err);
}

/* --- the file --------------------------------------------------------------------------------- */

static struct sqlite_file *file_new(const char *path, const struct sqlite_options *options)
{
    struct sqlite_file *file = MEM_NEW(struct sqlite_file);
    file->path = mem_copy_text(path);
    file->log_path = mem_format("%s-wal", path);
    file->options = *options;
    if (file->options.busy_timeout_ms == 0) file->options.busy_timeout_ms = 5000;
    if (file->options.cache_size == 0) file->options.cache_size = 16 << 20;
    (void)pthread_mutex_init(&file->mutex, NULL); /* these cannot fail on Linux */
    (void)pthread_mutex_init(&file->turn, NULL);
    (void)pthread_cond_init(&file->wake, NULL);
    return file;
}

static void file_free(struct sqlite_file *file)
{
    (void)sqlite3_close(file->memory);
    (void)pthread_mutex_destroy(&file->turn);
    (void)pthread_cond_destroy(&file->wake);
    (void)pthread_mutex_destroy(&file->mutex);
    mem_free(file->path);
    mem_free(file->log_path);
    mem_free(file);
}

static void close_file(struct database *database)
{
    struct sqlite_file *file = database_state(database);
    (void)pthread_mutex_lock(&file->mutex);
    file->ending = true;
    (void)pthread_cond_signal(&file->wake);
    (void)pthread_mutex_unlock(&file->mutex);
    if (file->checkpointer_started) (void)pthread_join(file->checkpointer, NULL);
    file_free(file);
}

static const struct database_ops sqlite_ops = {
    .name = "sqlite",
    .session_open = session_open,
    .session_close = session_close,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .idle = idle,
    .schema_read = schema_read,
    .schema_script = sqlite_script,
    .schema_note = schema_note,
    .close = close_file,
};

/*
 * Made by us, so that only its owner reads what clients sent; SQLite gives its log the same rights.
 * A file that exists is left to SQLite: closing a descriptor of ours would end its locks.
 */
static enum status create(const char *path, struct error *err)
{
    int descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (descriptor < 0 && errno != EEXIST)
        return fail_errno(err, errno, "making the database '%s'", path);
    if (descriptor >= 0) close(descriptor);
    return STATUS_OK;
}

/*
 * What SQLite's allocations add up to is of no use to us, and counting it costs a lock for each.
 * Refused, without harm, if somebody in this process has used SQLite already.
 */
static void configure(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

enum status sqlite_database_open(const char *path, const struct sqlite_options *sqlite_options,
                                 const struct database_options *options,
                                 struct database **ret_database, struct error *err)
{
    static pthread_once_t configured = PTHREAD_ONCE_INIT;
    (void)pthread_once(&configured, configure); /* cannot fail with these arguments */
    if (!sqlite_options->must_exist) TRY(create(path, err));
    struct database_options own = *options;
    own.writer_count = 1;
    return database_new(&sqlite_ops, file_new(path, sqlite_options), &own, ret_database, err);
}

/* --- no file ---------------------------------------------------------------------------------- */

static enum status memory_session_open(struct database *database, bool reads,
                                       struct database_session *session, struct error *err UNUSED)
{
    struct sqlite *sqlite = MEM_NEW(struct sqlite);
    sqlite->file = database_state(database);
    sqlite->handle = sqlite->file->memory;
    sqlite->reads = reads;
    session->connection = sqlite;
    return STATUS_OK;
}

static const struct database_ops memory_ops = {
    .name = "memory",
    .session_open = memory_session_open,
    .session_close = session_close,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .schema_read = schema_read,
    .schema_script = sqlite_script,
    .schema_note = schema_note,
    .close = close_file,
};

static enum status open_memory(struct sqlite_file *file, struct error *err)
{
    char limits[96];
    int code =
        sqlite3_open_v2(":memory:", &file->memory,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (code != SQLITE_OK) return fail_sqlite(err, file->memory, file->path, code);
    (void)snprintf(limits, sizeof limits,
                   "PRAGMA page_size=%d; PRAGMA max_page_count=%llu; PRAGMA temp_store=MEMORY",
                   MEMORY_PAGE, (unsigned long long)(file->options.memory_size / MEMORY_PAGE));
    return script(file->memory, file->path, limits, err);
}

enum status sqlite_memory_new(uint64_t size, const struct database_options *options,
                              struct database **ret_database, struct error *err)
{
    struct sqlite_file *file =
        file_new("memory:", &(struct sqlite_options){.memory_size = MAX(size, MEMORY_SIZE_MIN)});
    enum status status = open_memory(file, err);
    if (status != STATUS_OK) {
        file_free(file);
        return status;
    }
    struct database_options own = *options;
    own.writer_count = 1;
    return database_new(&memory_ops, file, &own, ret_database, err);
}

/* --- care ------------------------------------------------------------------------------------- */

static enum status copy_pages(sqlite3 *from, const char *from_path, sqlite3 *to, const char *path,
                              struct error *err)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (!backup) return fail_sqlite(err, to, path, sqlite3_errcode(to));
    int code;
    do {
        code = sqlite3_backup_step(backup, BACKUP_PAGES);
        if (code == SQLITE_BUSY || code == SQLITE_LOCKED) (void)sqlite3_sleep(10);
    } while (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED);
    (void)sqlite3_backup_finish(backup); /* repeats what step said */
    if (code == SQLITE_DONE) return STATUS_OK;
    return fail_while(err, fail_sqlite(err, to, path, code), "copying '%s'", from_path);
}

static enum status backup_into(struct sqlite_file *file, sqlite3 *from, const char *path,
                               struct error *err)
{
    struct sqlite_file copy = {.path = (char *)(uintptr_t)path, .options = file->options};
    sqlite3 *to;
    TRY(connect(&copy, NULL, &to, err));
    /* One read transaction holds the picture still: without it, each commit starts the copy anew.
     */
    enum status status = script(from, file->path, "BEGIN; SELECT count(*) FROM sqlite_schema", err);
    if (status == STATUS_OK) status = copy_pages(from, file->path, to, path, err);
    if (status == STATUS_OK) status = script(to, path, "PRAGMA journal_mode=DELETE", err);
    (void)sqlite3_close(to);
    return status;
}

enum status sqlite_backup(struct database *database, const char *path, struct error *err)
{
    struct sqlite_file *file = database_state(database);
    int made = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (made < 0) return fail_errno(err, errno, "making the backup '%s'", path);
    sqlite3 *from;
    enum status status = connect(file, NULL, &from, err);
    if (status == STATUS_OK) {
        status = backup_into(file, from, path, err);
        (void)sqlite3_close(from);
    }
    if (status == STATUS_OK && fsync(made) != 0)
        status = fail_errno(err, errno, "writing the backup '%s'", path);
    close(made);
    if (status != STATUS_OK) (void)unlink(path);
    return status;
}

enum status sqlite_check(struct database *database, struct error *err)
{
    struct sqlite_file *file = database_state(database);
    sqlite3 *handle;
    sqlite3_stmt *statement = NULL;
    TRY(connect(file, NULL, &handle, err));
    int code = sqlite3_prepare_v2(handle, "PRAGMA integrity_check(1)", -1, &statement, NULL);
    if (code == SQLITE_OK) code = sqlite3_step(statement);
    enum status status = STATUS_OK;
    const char *said = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : "";
    if (code != SQLITE_ROW)
        status = fail_sqlite(err, handle, file->path, code);
    else if (strcmp(said, "ok") != 0)
        status = fail(err, STATUS_DATA_LOSS,
                      "database '%s' is damaged: %s; restore a backup, or run 'sqlite3 FILE "
                      ".recover'",
                      file->path, said);
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(handle);
    return status;
}
