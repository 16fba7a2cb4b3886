/* Connections to PostgreSQL: where to, what their failures mean, when to try again. */
#include "base/log.h"
#include "base/mem.h"
#include "db/postgres_private.h"

/* --- pauses ----------------------------------------------------------------------------------- */

void postgres_pause_init(struct postgres_pause *pause)
{
    *pause = (struct postgres_pause){0};
    prng_seed(&pause->prng, prng_seed_from_system());
}

void postgres_pause_failed(struct postgres_pause *pause, uint64_t now_ns)
{
    uint64_t whole_ms = POSTGRES_RETRY_MS_MAX;
    if (pause->failures < 16)
        whole_ms = MIN((uint64_t)POSTGRES_RETRY_MS_MIN << pause->failures, whole_ms);
    uint64_t half_ns = whole_ms * NS_PER_MS / 2;
    pause->failures++;
    pause->until_ns = now_ns + half_ns + prng_below(&pause->prng, half_ns);
}

void postgres_pause_succeeded(struct postgres_pause *pause)
{
    pause->failures = 0;
    pause->until_ns = 0;
}

/* --- failures --------------------------------------------------------------------------------- */

/* X(SQLSTATE or its beginning, status, what to do); the first that fits counts */
#define PROBLEMS(X)                                                                                \
    X("08", UNAVAILABLE, "the connection is lost; it is opened again by itself")                   \
    X("57P", UNAVAILABLE,                                                                          \
      "the server stops or starts; connections are opened again by themselves")                    \
    X("57014", DEADLINE_EXCEEDED, "the statement took too long; look at the server's load")        \
    X("40001", ABORTED, "another transaction was in its way; try again")                           \
    X("40P01", ABORTED, "another transaction was in its way; try again")                           \
    X("55P03", UNAVAILABLE, "another transaction holds what it needs; try again")                  \
    X("53100", EXHAUSTED,                                                                          \
      "the server's disk is full; make room there, nothing that was acknowledged is lost")         \
    X("53300", UNAVAILABLE, "raise max_connections, or use fewer connections here")                \
    X("53", EXHAUSTED, "the server is short of something; look at its log")                        \
    X("54", EXHAUSTED, "a limit of the server is reached")                                         \
    X("25006", FAILED_PRECONDITION,                                                                \
      "the server is read-only: a standby, or set so; name the primary")                           \
    X("25P03", UNAVAILABLE, "this process was too slow inside a transaction; try again")           \
    X("23505", ALREADY_EXISTS, "a rule of the schema forbids it twice")                            \
    X("23", FAILED_PRECONDITION, "a rule of the schema forbids it")                                \
    X("22", INVALID_ARGUMENT, "the value cannot be stored")                                        \
    X("42501", PERMISSION_DENIED, "grant the user of the connection what it lacks")                \
    X("28", PERMISSION_DENIED, "look at user, password and pg_hba.conf")                           \
    X("XX001", DATA_LOSS, "the server found damaged data; stop, and restore a backup")             \
    X("XX002", DATA_LOSS, "the server found a damaged index; REINDEX, and look for the cause")     \
    X("58", UNAVAILABLE, "the server's disk failed; look at its log")

static const struct problem {
    const char *code;
    enum status status;
    const char *advice;
} problems[] = {
#define X(code, status, advice) {code, STATUS_##status, advice},
    PROBLEMS(X)
#undef X
};

static const char *option_value(const struct postgres_server *server, const char *keyword)
{
    for (const PQconninfoOption *o = server->options; o && o->keyword; o++)
        if (strcmp(o->keyword, keyword) == 0) return o->val && o->val[0] ? o->val : NULL;
    return NULL;
}

/*
 * What libpq said as one line that fits a message, never with the password in it, whatever it may
 * quote. Line ends become "; ".
 */
static void say_plainly(const struct postgres_server *server, const char *said, struct buffer *out)
{
    const char *secret = option_value(server, "password");
    size_t secret_size = secret ? strlen(secret) : 0;
    for (const char *at = said; *at;) {
        if (secret_size > 0 && strncmp(at, secret, secret_size) == 0) {
            buffer_add_text(out, "***");
            at += secret_size;
        } else if (*at == '\n') {
            while (*at == '\n' || *at == '\t' || *at == ' ') at++;
            if (*at) buffer_add_text(out, "; ");
        } else {
            buffer_add_byte(out, *at++);
        }
    }
}

enum { SAID_MAX = 300 };

static enum status fail_server(struct error *err, const struct postgres_server *server,
                               enum status status, const char *said, const char *advice)
{
    struct buffer plain;
    buffer_init(&plain, 64 * 1024);
    say_plainly(server, said, &plain);
    status = fail(err, status, "database '%s': %.*s%s%s", server->label,
                  (int)MIN(plain.size, (size_t)SAID_MAX), plain.data ? plain.data : "",
                  advice ? ": " : "", advice ? advice : "");
    buffer_clear(&plain);
    return status;
}

static enum status fail_result(struct error *err, const struct postgres_server *server,
                               const PGresult *raw)
{
    const char *code = PQresultErrorField(raw, PG_DIAG_SQLSTATE);
    const char *said = PQresultErrorField(raw, PG_DIAG_MESSAGE_PRIMARY);
    if (!said) said = PQresultErrorMessage(raw);
    for (size_t i = 0; code && i < COUNT_OF(problems); i++)
        if (strncmp(code, problems[i].code, strlen(problems[i].code)) == 0)
            return fail_server(err, server, problems[i].status, said, problems[i].advice);
    return fail_server(err, server, STATUS_INTERNAL, said, NULL);
}

enum status postgres_check(const struct postgres_server *server, PGconn *handle,
                           const PGresult *raw, struct error *err)
{
    ExecStatusType kind = PQresultStatus(raw);
    if (kind == PGRES_COMMAND_OK || kind == PGRES_TUPLES_OK) return STATUS_OK;
    /* Without a code of the server it was libpq that gave up. */
    if (PQstatus(handle) != CONNECTION_OK && (!raw || !PQresultErrorField(raw, PG_DIAG_SQLSTATE)))
        return fail_server(err, server, STATUS_UNAVAILABLE, PQerrorMessage(handle),
                           "the connection is lost; it is opened again by itself");
    if (!raw) return fail_server(err, server, STATUS_EXHAUSTED, "memory is short", NULL);
    return fail_result(err, server, raw);
}

/* --- connecting ------------------------------------------------------------------------------- */

/* What a server says without being asked. Whose task fails by it says that; this is for the search
 * of a cause. */
static void log_notice(void *context, const PGresult *notice)
{
    const struct postgres_server *server = context;
    const char *said = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    log_debug("notice of the database", LOG_TEXT("database", server->label),
              LOG_TEXT("notice", said ? said : PQresultErrorMessage(notice)));
}

/*
 * Plans are made once, while tables may be empty, and used for hours: a plan that reads a whole
 * table is never right here, nor one that sorts what an index has in order, or joins by more than a
 * look into an index for each row. A commit that does not
 * wait for the disk would acknowledge what can be lost.
 */
static const char session_settings[] =
    "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off;"
    "SET enable_mergejoin = off; SET jit = off;"
    "SET client_min_messages = error; SET default_transaction_isolation = 'read committed';"
    "SELECT set_config('synchronous_commit', 'on', false)"
    "  WHERE current_setting('synchronous_commit') = 'off'";

static enum status set_up(const struct postgres_server *server, PGconn *handle, struct error *err)
{
    char timeouts[160];
    (void)snprintf(timeouts, sizeof timeouts,
                   "SET statement_timeout = %d; SET idle_in_transaction_session_timeout = %d",
                   POSTGRES_STATEMENT_TIMEOUT_MS, POSTGRES_IDLE_TRANSACTION_TIMEOUT_MS);
    const char *scripts[] = {timeouts, session_settings};
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        PGresult *raw = PQexec(handle, scripts[i]);
        enum status status = postgres_check(server, handle, raw, err);
        PQclear(raw);
        TRY(status);
    }
    return STATUS_OK;
}

/* Settings of ours that the connection string did not decide. */
static const struct {
    const char *keyword;
    const char *value;
} defaults[] = {
    {"connect_timeout", "10"},    {"tcp_user_timeout", "15000"}, {"keepalives_idle", "10"},
    {"keepalives_interval", "5"}, {"keepalives_count", "3"},     {"application_name", "slipway"},
};
_Static_assert(POSTGRES_CONNECT_TIMEOUT_S == 10 && POSTGRES_TCP_TIMEOUT_MS == 15000,
               "the texts above say the same");

enum { KEYWORDS_MAX = 64 };

static size_t add_given(const struct postgres_server *server, const char **keywords,
                        const char **values)
{
    size_t count = 0;
    for (const PQconninfoOption *o = server->options; o->keyword; o++) {
        if (!o->val || !o->val[0]) continue;
        assert(count < KEYWORDS_MAX - COUNT_OF(defaults) - 3);
        keywords[count] = o->keyword;
        values[count++] = o->val;
    }
    return count;
}

/*
 * A server that stops says so to those that are just connecting, and libpq prints what nobody
 * receives to stderr: a receiver must be there before anything is read. Only PQreset waits with
 * libpq's time-outs and its way through several hosts, on a handle that has one.
 */
static PGconn *open_quietly(const struct postgres_server *server, const char **keywords,
                            const char **values)
{
    PGconn *handle = PQconnectStartParams(keywords, values, 0);
    if (!handle || PQstatus(handle) == CONNECTION_BAD) return handle;
    (void)PQsetNoticeReceiver(handle, log_notice, (void *)(uintptr_t)server);
    PQreset(handle);
    return handle;
}

static PGconn *open_handle(const struct postgres_server *server, bool writes)
{
    const char *keywords[KEYWORDS_MAX] = {0}, *values[KEYWORDS_MAX] = {0};
    size_t count = add_given(server, keywords, values);
    for (size_t i = 0; i < COUNT_OF(defaults); i++) {
        if (option_value(server, defaults[i].keyword)) continue;
        keywords[count] = defaults[i].keyword;
        values[count++] = defaults[i].value;
    }
    keywords[count] = "client_encoding";
    values[count++] = "UTF8";
    /* Of several hosts, the one that can be written. */
    if (writes && !option_value(server, "target_session_attrs")) {
        keywords[count] = "target_session_attrs";
        values[count++] = "read-write";
    }
    return open_quietly(server, keywords, values);
}

enum status postgres_connect(struct postgres_server *server, bool writes, PGconn **ret_handle,
                             struct error *err)
{
    PGconn *handle = open_handle(server, writes);
    enum status status;
    if (PQstatus(handle) == CONNECTION_OK) {
        status = set_up(server, handle, err);
    } else {
        status = fail_server(err, server, STATUS_UNAVAILABLE,
                             handle ? PQerrorMessage(handle) : "memory is short",
                             "look at the address, user and password, whether the server runs and "
                             "its pg_hba.conf allows us");
    }
    if (status != STATUS_OK) {
        PQfinish(handle);
        return status;
    }
    *ret_handle = handle;
    return STATUS_OK;
}

static void replace_backend(struct postgres_server *server, int from, int to)
{
    for (size_t i = 0; i < COUNT_OF(server->backends); i++) {
        int expected = from;
        if (atomic_compare_exchange_strong(&server->backends[i], &expected, to)) return;
    }
}

bool postgres_is_own(const struct postgres_server *server, int backend)
{
    for (size_t i = 0; i < COUNT_OF(server->backends); i++)
        if (atomic_load(&server->backends[i]) == backend) return true;
    return false;
}

enum status postgres_session_connect(struct postgres *postgres, struct error *err)
{
    TRY(postgres_connect(postgres->server, !postgres->reads, &postgres->handle, err));
    replace_backend(postgres->server, 0, PQbackendPID(postgres->handle));
    return STATUS_OK;
}

void postgres_disconnect(struct postgres *postgres)
{
    if (postgres->handle) replace_backend(postgres->server, PQbackendPID(postgres->handle), 0);
    PQfinish(postgres->handle);
    postgres->handle = NULL;
    memset(postgres->statements, 0, sizeof postgres->statements);
    postgres->statement_count = 0;
    postgres->count_slot = 0;
}

enum status postgres_reconnect(struct postgres *postgres, struct error *err)
{
    uint64_t now_ns = clock_monotonic_ns();
    postgres_disconnect(postgres);
    if (now_ns < postgres->pause.until_ns)
        return fail(err, STATUS_UNAVAILABLE,
                    "database '%s': cannot be reached; the next attempt is in %llu ms",
                    postgres->server->label,
                    (unsigned long long)((postgres->pause.until_ns - now_ns) / NS_PER_MS + 1));
    enum status status = postgres_session_connect(postgres, err);
    if (status == STATUS_OK)
        postgres_pause_succeeded(&postgres->pause);
    else
        postgres_pause_failed(&postgres->pause, clock_monotonic_ns());
    return status;
}

/* --- the server ------------------------------------------------------------------------------- */

static char *make_label(const struct postgres_server *server)
{
    const char *user = option_value(server, "user"), *host = option_value(server, "host");
    const char *port = option_value(server, "port"), *name = option_value(server, "dbname");
    if (!host) host = option_value(server, "hostaddr");
    return mem_format("%s%s%s%s%s/%s", user ? user : "", user ? "@" : "", host ? host : "local",
                      port ? ":" : "", port ? port : "",
                      name   ? name
                      : user ? user
                             : "");
}

void postgres_server_free(struct postgres_server *server)
{
    PQconninfoFree(server->options);
    mem_free(server->label);
    mem_free(server);
}

enum status postgres_server_new(const char *connection_string, struct postgres_server **ret_server,
                                struct error *err)
{
    struct postgres_server *server = MEM_NEW(struct postgres_server);
    server->options = PQconninfoParse(connection_string, NULL);
    if (!server->options) {
        mem_free(server);
        /* What libpq says here may quote the password. */
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "the database's address cannot be read; it is like "
                    "'postgres://USER@HOST:PORT/NAME' or 'host=HOST dbname=NAME user=USER'");
    }
    server->label = make_label(server);
    *ret_server = server;
    return STATUS_OK;
}
