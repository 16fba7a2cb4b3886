/*
 * Schemas that grow: numbered steps, each applied once, in order, in one transaction with the note
 * that it was. Both kinds of database keep the notes in table `slipway_schema(room, number, name,
 * applied_ms)`.
 *
 *   static const struct migration steps[] = {
 *   #include "migrations/queue_sqlite.inc"
 *   };
 *   TRY(migrate(database, "queue", steps, COUNT_OF(steps), err));
 *
 * A step that was shipped never changes. Its SQL lies in src/db/migrations/ROOM_KIND/NNNN_name.sql;
 * the build makes migrations/ROOM_KIND.inc of a directory: one row {NNNN, "name", "SQL"} a file.
 */
#ifndef DB_MIGRATE_H
#define DB_MIGRATE_H

#include "db/database.h"

struct migration {
    int64_t number; /* 1, 2, 3, ... */
    const char *name;
    const char *sql;
};

/*
 * Applies what is missing. FAILED_PRECONDITION if the database has a step that this program does
 * not know: it was written by a newer one. Blocks; any thread but a loop's or database's. Several
 * processes may do it at the same time: one does, the others wait.
 */
enum status migrate(struct database *database, const char *room, const struct migration *steps,
                    size_t count, struct error *err) FALLIBLE;

#endif
