/*
 * PostgreSQL behind struct database: writer_count connections, each with a thread, each transaction
 * at the default isolation (read committed). A lost connection fails its tasks with UNAVAILABLE,
 * which callers may retry, and is opened again with growing pauses (100 ms to 5 s, with jitter).
 *
 *   TRY(postgres_database_open("postgres://user@host/db", &options, &database, err));
 *
 *   // inside a task's run:
 *   struct postgres_result *result CLEANUP(postgres_result_freep) = NULL;
 *   TRY(postgres_query(session, "SELECT a FROM t WHERE id = $1",
 *                      (struct postgres_value[]){postgres_int(id)}, 1, &result, err));
 *   for (int row = 0; row < postgres_rows(result); row++) use(postgres_text_at(result, row, 0));
 *
 * Each SQL text is prepared once per connection; parameters and results are in binary form where
 * that saves work. A password is never in a message or a log: connection strings are shown
 * redacted.
 */
#ifndef DB_POSTGRES_H
#define DB_POSTGRES_H

#include "base/str.h"
#include "db/database.h"

struct postgres_result;

/* Connects all threads' sessions. UNAVAILABLE names host and database, and what to look at. */
enum status postgres_database_open(const char *connection_string,
                                   const struct database_options *options,
                                   struct database **ret_database, struct error *err) FALLIBLE;

/* A statement says the type of each parameter ($1::bigint, $2::text): a NULL has none. */
enum postgres_type {
    POSTGRES_NULL,
    POSTGRES_INT, /* bigint */
    POSTGRES_DOUBLE,
    POSTGRES_TEXT,
    POSTGRES_BYTES,     /* bytea */
    POSTGRES_INT_ARRAY, /* bigint[]: for many rows in one statement, with unnest */
    POSTGRES_DOUBLE_ARRAY,
    POSTGRES_TEXT_ARRAY, /* text[]; an item with data NULL is NULL */
    POSTGRES_BYTES_ARRAY,
};

struct postgres_value {
    enum postgres_type type;
    int64_t integer;
    double number;
    struct str bytes;        /* borrowed during the call */
    const int64_t *integers; /* arrays: `count` of them, borrowed */
    const double *numbers;
    const struct str *texts;
    size_t count;
};

static inline struct postgres_value postgres_int(int64_t value)
{
    return (struct postgres_value){.type = POSTGRES_INT, .integer = value};
}
static inline struct postgres_value postgres_text_value(struct str value)
{
    return (struct postgres_value){.type = value.data ? POSTGRES_TEXT : POSTGRES_NULL,
                                   .bytes = value};
}
static inline struct postgres_value postgres_bytes_value(struct str value)
{
    return (struct postgres_value){.type = value.data ? POSTGRES_BYTES : POSTGRES_NULL,
                                   .bytes = value};
}

/* Runs one statement. Any failure aborts PostgreSQL's transaction: session->dirty is set. */
enum status postgres_query(struct database_session *session, const char *sql,
                           const struct postgres_value *values, size_t value_count,
                           struct postgres_result **ret_result, struct error *err) FALLIBLE;

/* The same where no row is wanted. *ret_changed (may be NULL): rows changed. */
enum status postgres_execute(struct database_session *session, const char *sql,
                             const struct postgres_value *values, size_t value_count,
                             int64_t *ret_changed, struct error *err) FALLIBLE;

static inline struct postgres_value postgres_double(double value)
{
    return (struct postgres_value){.type = POSTGRES_DOUBLE, .number = value};
}
static inline struct postgres_value postgres_ints(const int64_t *values, size_t count)
{
    return (struct postgres_value){.type = POSTGRES_INT_ARRAY, .integers = values, .count = count};
}
static inline struct postgres_value postgres_doubles(const double *values, size_t count)
{
    return (struct postgres_value){
        .type = POSTGRES_DOUBLE_ARRAY, .numbers = values, .count = count};
}
static inline struct postgres_value postgres_texts(const struct str *values, size_t count)
{
    return (struct postgres_value){.type = POSTGRES_TEXT_ARRAY, .texts = values, .count = count};
}
static inline struct postgres_value postgres_blobs(const struct str *values, size_t count)
{
    return (struct postgres_value){.type = POSTGRES_BYTES_ARRAY, .texts = values, .count = count};
}

/* Views are valid until the result is freed. NULL has data NULL, 0. Integers of any width, and
 * booleans, are read by postgres_int_at. */
int postgres_rows(const struct postgres_result *result);
bool postgres_is_null(const struct postgres_result *result, int row, int column);
int64_t postgres_int_at(const struct postgres_result *result, int row, int column);
double postgres_double_at(const struct postgres_result *result, int row, int column);
struct str postgres_text_at(const struct postgres_result *result, int row, int column);
struct str postgres_bytes_at(const struct postgres_result *result, int row, int column);
void postgres_result_free(struct postgres_result *result);
static inline void postgres_result_freep(struct postgres_result **result)
{
    postgres_result_free(*result);
}

/* SQL text with several statements, without parameters. */
enum status postgres_script(struct database_session *session, const char *sql,
                            struct error *err) FALLIBLE;

/*
 * What happens with a transaction's end. A hook is found by its owner, made at first need, and gone
 * with the transaction: `run` right before the commit (a failure rolls back), `end` always, the
 * last thing on it; `end` frees it. What is noted there counts as a write: checks come before it.
 *
 *   struct counts { struct postgres_hook hook; ... };
 *   counts = (struct counts *)postgres_hook_find(session, owner);
 *   if (!counts) postgres_hook_add(session, &new_counts(owner)->hook);
 */
struct postgres_hook {
    const void *owner;
    enum status (*run)(struct postgres_hook *hook, struct database_session *session,
                       struct error *err);
    void (*end)(struct postgres_hook *hook);
    struct postgres_hook *next; /* postgres.c's own */
};
struct postgres_hook *postgres_hook_find(struct database_session *session, const void *owner);
void postgres_hook_add(struct database_session *session, struct postgres_hook *hook);

/*
 * Counters that many transactions change at once: what a transaction adds to a name is summed up
 * and written once, right before its commit, to a row that few others share; reading sums them.
 * They lie in table `slipway_counts`. Counting counts as a write: checks come before it. Names have
 * at most POSTGRES_COUNT_NAME_MAX bytes; they are copied.
 */
enum { POSTGRES_COUNT_NAME_MAX = 63 };
void postgres_count(struct database_session *session, const char *name, int64_t add);
enum status postgres_count_read(struct database_session *session, const char *name,
                                int64_t *ret_value, struct error *err) FALLIBLE;
/* The name and its rows are gone with the commit. */
enum status postgres_count_forget(struct database_session *session, const char *name,
                                  struct error *err) FALLIBLE;

/*
 * NOTIFY with the commit, each channel and payload once however often it is asked for. `channel` is
 * a literal, the payload at most 80 bytes. It counts as a write: checks come before it. When too
 * many differ, one empty payload stands for all.
 */
void postgres_notify(struct database_session *session, const char *channel, struct str payload);

/*
 * Calls on_notice(context, channel, payload) on a thread of its own whenever somebody else (not a
 * session of this database object) NOTIFYs the channel, and with an empty payload after each
 * connect, since notices may have been missed. Ends with the database, or by postgres_unlisten: it
 * is not called any more when that returns. One listener per channel; the name is copied.
 */
typedef void postgres_notice_function(void *context, struct str channel, struct str payload);
enum status postgres_listen(struct database *database, const char *channel,
                            postgres_notice_function *on_notice, void *context,
                            struct error *err) FALLIBLE;
void postgres_unlisten(struct database *database, const char *channel);

#endif
