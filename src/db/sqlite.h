/*
 * SQLite behind struct database: one file in WAL mode, one writer thread, readers beside it. Or no
 * file at all: sqlite_memory_new.
 *
 *   TRY(sqlite_database_open("data.db", &(struct sqlite_options){0}, &options, &database, err));
 *   TRY(migrate(database, "queue", steps, COUNT_OF(steps), err));
 *
 *   // inside a task's run, on the session's thread:
 *   struct sqlite_statement *statement;
 *   bool row = true;
 *   TRY(sqlite_prepare(session, "SELECT a FROM t WHERE id > ?", &statement, err));
 *   struct sqlite_statement *at CLEANUP(sqlite_resetp) = statement;
 *   sqlite_bind_int(at, 1, id);
 *   for (;;) {
 *       TRY(sqlite_step(at, &row, err));
 *       if (!row) return STATUS_OK;
 *       use(sqlite_text(at, 0));                    // a view, until the next step
 *   }
 *
 * synchronous=FULL: a commit returns after fdatasync. The WAL file is kept and overwritten in place
 * (no truncation), because overwriting costs half of what appending does. Checkpoints run on a
 * thread of their own, off the writer's way. What SQLite says becomes a status and a sentence that
 * names the file and what to do: EXHAUSTED (disk full), FAILED_PRECONDITION (read-only), DATA_LOSS
 * (corrupt), UNAVAILABLE (busy), INTERNAL.
 *
 * Time. The file notes, with commits, how late it is (every CLOCK_NOTE_MS at most); whoever opens
 * it with a clock that was set back meanwhile goes on from there.
 */
#ifndef DB_SQLITE_H
#define DB_SQLITE_H

#include "base/str.h"
#include "db/database.h"

struct sqlite_statement;

struct sqlite_options {
    uint32_t busy_timeout_ms; /* for another process on the same file; 0: 5,000 */
    uint64_t cache_size;      /* bytes of page cache, writer; 0: 16 MiB */
    bool must_exist;          /* do not create the file */
    uint64_t memory_size;     /* sqlite_memory_new's own: bytes of a database without a file */
};

#define MEMORY_SIZE_MIN UINT64_C(1048576) /* bytes; the schemas take a tenth */

/* Opens or creates the file. DATA_LOSS if it is not a database or damaged, with what to do. */
enum status sqlite_database_open(const char *path, const struct sqlite_options *sqlite_options,
                                 const struct database_options *options,
                                 struct database **ret_database, struct error *err) FALLIBLE;

/*
 * A database of this process alone, which ends with it: no file, no temporary files. Pages take up
 * to `size` bytes (at least MEMORY_SIZE_MIN; what a transaction may have to undo comes on top);
 * then writes are EXHAUSTED, until something was deleted. Its kind is "memory". Neither
 * sqlite_backup nor sqlite_check work on it.
 */
enum status sqlite_memory_new(uint64_t size, const struct database_options *options,
                              struct database **ret_database, struct error *err) FALLIBLE;

/*
 * The statement of this SQL on this session: prepared once per connection and kept. `sql` is a
 * string literal: its address is the key of the cache.
 */
enum status sqlite_prepare(struct database_session *session, const char *sql,
                           struct sqlite_statement **ret_statement, struct error *err) FALLIBLE;

/* Parameters count from 1, columns from 0. Texts and blobs are borrowed until sqlite_reset. A str
 * with data NULL binds NULL. */
void sqlite_bind_int(struct sqlite_statement *statement, int parameter, int64_t value);
void sqlite_bind_double(struct sqlite_statement *statement, int parameter, double value);
void sqlite_bind_text(struct sqlite_statement *statement, int parameter, struct str value);
void sqlite_bind_blob(struct sqlite_statement *statement, int parameter, struct str value);
void sqlite_bind_null(struct sqlite_statement *statement, int parameter);

/* The next row: *ret_row is false when there is none, and the statement is reset then. On failure
 * it is reset too, and session->dirty is set unless the statement only reads. */
enum status sqlite_step(struct sqlite_statement *statement, bool *ret_row,
                        struct error *err) FALLIBLE;

/* For a statement that returns nothing: steps to the end and resets. */
enum status sqlite_execute(struct sqlite_statement *statement, struct error *err) FALLIBLE;

/* Before the last row was seen; harmless twice. For CLEANUP: sqlite_resetp. */
void sqlite_reset(struct sqlite_statement *statement);
static inline void sqlite_resetp(struct sqlite_statement **statement)
{
    if (*statement) sqlite_reset(*statement);
}

/* Columns of the current row. Views are valid until the next step or reset; NULL has data NULL. */
int64_t sqlite_int(struct sqlite_statement *statement, int column);
double sqlite_double(struct sqlite_statement *statement, int column);
bool sqlite_is_null(struct sqlite_statement *statement, int column);
struct str sqlite_text(struct sqlite_statement *statement, int column);
struct str sqlite_blob(struct sqlite_statement *statement, int column);

/* Rows that the last statement changed; the row id it inserted. */
int64_t sqlite_changes(struct database_session *session);
int64_t sqlite_last_id(struct database_session *session);

/* Runs SQL text with several statements: migrations, pragmas. */
enum status sqlite_script(struct database_session *session, const char *sql,
                          struct error *err) FALLIBLE;

/*
 * Copies the database as it is now into a new file (online: writers go on), by a connection of its
 * own. ALREADY_EXISTS if `path` exists. On the calling thread, which may block. A half copy is
 * removed.
 */
enum status sqlite_backup(struct database *database, const char *path, struct error *err) FALLIBLE;

/* Looks through the whole file: DATA_LOSS with SQLite's first complaint. Blocks. */
enum status sqlite_check(struct database *database, struct error *err) FALLIBLE;

#endif
