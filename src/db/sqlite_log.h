/*
 * The log's writes, gathered. SQLite writes each page of a commit in two calls, its header of 24
 * bytes and its 4 KiB; what lies side by side is put together here and written in one, before the
 * sync that makes it durable. A "VFS" under the writer's connection and nothing else: files, locks
 * and shared memory are those of SQLite's default VFS, to which all other calls go through.
 *
 *   sqlite3_open_v2(path, &handle, flags, sqlite_log_vfs());
 *   ... PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL ...
 *
 * Only with synchronous=FULL: there every commit syncs its log before others may see it. Any call
 * on the log but a write that follows the last one writes out first. What an abandoned transaction
 * has gathered is thrown away when it gives up the lock for writing, since from then on the place
 * in the log may be another process's.
 *
 * Any thread; an open file belongs to its connection's.
 */
#ifndef DB_SQLITE_LOG_H
#define DB_SQLITE_LOG_H

/* The VFS's name, registered by the first call; NULL, which is the default one's, if that failed.
 */
const char *sqlite_log_vfs(void);

#endif
