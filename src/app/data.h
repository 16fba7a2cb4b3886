/*
 * What is kept: one database with the queues and the results store in it, opened in the background,
 * because a server answers health and inference before (and without) its disk.
 *
 *   struct data *data = data_new(config);
 *   TRY(data_start(data, err));                 // a thread opens it, again and again if need be
 *
 *   struct data_parts parts;                    // any thread, each time: it costs an atomic load
 *   TRY(data_get(data, &parts, err));           // UNAVAILABLE says why there is none (yet)
 *
 * data.url names the kind: sqlite:PATH, postgres://..., memory:, dynamodb:TABLE, none; empty is a
 * file in data.directory. With data.results_url results are elsewhere: store and queues have a
 * database each then, and what belongs together is done one after the other (jobs/chain.h).
 */
#ifndef APP_DATA_H
#define APP_DATA_H

#include "base/error.h"

struct config;
struct database;
struct queue_store;
struct store;

struct data;

struct data_parts {
    struct database *database;
    struct queue_store *queues; /* NULL: a kind that keeps results only */
    struct store *store;
};

/* Opens nothing. Borrows the config. Ended by data_free. */
struct data *data_new(const struct config *config);

/* Opens on a thread of its own, with growing pauses between the tries (100 ms to 30 s), and logs a
 * failure once until it changes. Once. */
enum status data_start(struct data *data, struct error *err) FALLIBLE;

/* Opens now, for a command: blocks. `must_exist`: a file that is not there is an error. */
enum status data_open(struct data *data, bool must_exist, struct error *err) FALLIBLE;

/* The parts, once they are open; they stay until data_free. UNAVAILABLE with the reason before, and
 * if data.url is none. Any thread, never waits. */
enum status data_get(struct data *data, struct data_parts *ret_parts, struct error *err) FALLIBLE;

/* Waits until data_get succeeds; false if it has not in time. Not on a loop's thread. */
bool data_wait(struct data *data, uint64_t timeout_ns);

/* Once open, blocking. A copy in a new file while others go on writing, and a look through all of
 * it; UNIMPLEMENTED for kinds that have tools of their own, with their names. */
enum status data_backup(struct data *data, const char *path, struct error *err) FALLIBLE;
enum status data_check(struct data *data, struct error *err) FALLIBLE;

/* True if data.url is none: there will never be any. */
bool data_is_off(const struct data *data);

/* True if it is kept in this process' memory: nobody else sees it, and it has little room. */
bool data_is_memory(const struct data *data);

/* No call of queues or store is on its way any more. Accepts NULL. */
void data_free(struct data *data);

#endif
