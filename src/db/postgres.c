/* PostgreSQL: statements with binary parameters, transactions, the schema's notes. */
#include "base/mem.h"
#include "base/num.h"
#include "db/postgres_private.h"

#include <endian.h>

enum { PARAMETERS_SIZE_MAX = (1 << 30) - 1 }; /* bytes of all arrays of one statement */

/* The type numbers of PostgreSQL's catalogue, which never change. */
static const Oid type_of[] = {
    [POSTGRES_NULL] = 0,
    [POSTGRES_INT] = 20,
    [POSTGRES_DOUBLE] = 701,
    [POSTGRES_TEXT] = 25,
    [POSTGRES_BYTES] = 17,
    [POSTGRES_INT_ARRAY] = 1016,
    [POSTGRES_DOUBLE_ARRAY] = 1022,
    [POSTGRES_TEXT_ARRAY] = 1009,
    [POSTGRES_BYTES_ARRAY] = 1001,
};

static struct postgres *postgres_of(struct database_session *session)
{
    return session->connection;
}

/* --- parameters -------------------------------------------------------------------------------
 */

/* Parameters as libpq takes them. Those that need another form lie in `scratch`. */
struct parameters {
    Oid types[POSTGRES_VALUES_MAX];
    const char *data[POSTGRES_VALUES_MAX];
    int sizes[POSTGRES_VALUES_MAX];
    int formats[POSTGRES_VALUES_MAX];
    int64_t numbers[POSTGRES_VALUES_MAX];
    size_t offsets[POSTGRES_VALUES_MAX];
    struct buffer scratch;
};

static void parameters_clear(struct parameters *parameters)
{
    buffer_clear(&parameters->scratch);
}

static void add_big32(struct buffer *out, uint32_t value)
{
    uint32_t big = htobe32(value);
    buffer_add(out, (struct str){(const char *)&big, sizeof big});
}

static void add_word(struct buffer *out, uint64_t word)
{
    uint64_t big = htobe64(word);
    add_big32(out, sizeof big);
    buffer_add(out, (struct str){(const char *)&big, sizeof big});
}

static void add_item(struct buffer *out, const struct postgres_value *value, size_t i)
{
    uint64_t bits;
    if (value->type == POSTGRES_INT_ARRAY) {
        add_word(out, (uint64_t)value->integers[i]);
    } else if (value->type == POSTGRES_DOUBLE_ARRAY) {
        memcpy(&bits, &value->numbers[i], sizeof bits);
        add_word(out, bits);
    } else if (!value->texts[i].data) {
        add_big32(out, UINT32_MAX);
    } else {
        add_big32(out, (uint32_t)value->texts[i].size);
        buffer_add(out, value->texts[i]);
    }
}

static Oid element_type(enum postgres_type array)
{
    switch (array) {
    case POSTGRES_INT_ARRAY: return type_of[POSTGRES_INT];
    case POSTGRES_DOUBLE_ARRAY: return type_of[POSTGRES_DOUBLE];
    case POSTGRES_BYTES_ARRAY: return type_of[POSTGRES_BYTES];
    case POSTGRES_TEXT_ARRAY:
    case POSTGRES_NULL:
    case POSTGRES_INT:
    case POSTGRES_DOUBLE:
    case POSTGRES_TEXT:
    case POSTGRES_BYTES: break;
    }
    return type_of[POSTGRES_TEXT];
}

/* Dimensions, "may hold NULL", element type; of the one dimension its size and first index. */
static void add_array(struct buffer *out, const struct postgres_value *value)
{
    add_big32(out, value->count > 0);
    add_big32(out, value->type >= POSTGRES_TEXT_ARRAY);
    add_big32(out, element_type(value->type));
    if (value->count == 0) return;
    add_big32(out, (uint32_t)value->count);
    add_big32(out, 1);
    for (size_t i = 0; i < value->count; i++) add_item(out, value, i);
}

static void set_number(struct parameters *p, size_t i, int64_t number)
{
    p->numbers[i] = (int64_t)htobe64((uint64_t)number);
    p->data[i] = (const char *)&p->numbers[i];
    p->sizes[i] = sizeof p->numbers[i];
}

static void set_parameter(struct parameters *p, size_t i, const struct postgres_value *value)
{
    int64_t bits;
    p->types[i] = type_of[value->type];
    p->formats[i] = 1;
    p->data[i] = NULL;
    p->sizes[i] = 0;
    switch (value->type) {
    case POSTGRES_NULL: break;
    case POSTGRES_INT: set_number(p, i, value->integer); break;
    case POSTGRES_DOUBLE:
        memcpy(&bits, &value->number, sizeof bits);
        set_number(p, i, bits);
        break;
    case POSTGRES_TEXT:
    case POSTGRES_BYTES:
        p->data[i] = value->bytes.data;
        p->sizes[i] = (int)value->bytes.size;
        break;
    case POSTGRES_INT_ARRAY:
    case POSTGRES_DOUBLE_ARRAY:
    case POSTGRES_TEXT_ARRAY:
    case POSTGRES_BYTES_ARRAY:
        p->offsets[i] = p->scratch.size;
        add_array(&p->scratch, value);
        p->sizes[i] = (int)(p->scratch.size - p->offsets[i]);
        break;
    }
}

static enum status set_parameters(struct parameters *p, const struct postgres_value *values,
                                  size_t count, struct error *err)
{
    assert(count <= POSTGRES_VALUES_MAX);
    for (size_t i = 0; i < count; i++) set_parameter(p, i, &values[i]);
    if (buffer_failed(&p->scratch))
        return fail(err, STATUS_EXHAUSTED, "too much to write at once; use smaller batches");
    for (size_t i = 0; i < count; i++)
        if (values[i].type >= POSTGRES_INT_ARRAY) p->data[i] = p->scratch.data + p->offsets[i];
    return STATUS_OK;
}

/* --- statements -------------------------------------------------------------------------------
 */

static struct postgres_statement *statement_slot(struct postgres *postgres, const char *sql)
{
    size_t i = ((uintptr_t)sql >> 3) * UINT64_C(0x9e3779b97f4a7c15) >> 56;
    _Static_assert(POSTGRES_STATEMENTS_MAX == 1 << 8, "the hash has eight bits");
    while (postgres->statements[i].sql && postgres->statements[i].sql != sql)
        i = (i + 1) % POSTGRES_STATEMENTS_MAX;
    return &postgres->statements[i];
}

/* Takes the result's failure to the session: the transaction is over. */
static enum status fail_session(struct database_session *session, const PGresult *raw,
                                struct error *err)
{
    struct postgres *postgres = postgres_of(session);
    enum status status = postgres_check(postgres->server, postgres->handle, raw, err);
    session->dirty = true;
    /* A deadlock's victim, or a conflict: the same may well succeed in a new transaction. */
    session->busy = status == STATUS_ABORTED;
    return status;
}

static enum status prepare(struct database_session *session, const char *sql,
                           const struct parameters *parameters, size_t count, const char **ret_name,
                           struct error *err)
{
    struct postgres *postgres = postgres_of(session);
    struct postgres_statement *statement = statement_slot(postgres, sql);
    if (!statement->sql) {
        assert(postgres->statement_count < POSTGRES_STATEMENTS_MAX - 1);
        (void)snprintf(statement->name, sizeof statement->name, "s%u", postgres->statement_count);
        PGresult *raw =
            PQprepare(postgres->handle, statement->name, sql, (int)count, parameters->types);
        enum status status = STATUS_OK;
        if (PQresultStatus(raw) != PGRES_COMMAND_OK) status = fail_session(session, raw, err);
        PQclear(raw);
        TRY(status);
        statement->sql = sql;
        postgres->statement_count++;
    }
    *ret_name = statement->name;
    return STATUS_OK;
}

static enum status run_prepared(struct database_session *session, const char *sql,
                                const struct parameters *p, size_t count, PGresult **ret_raw,
                                struct error *err)
{
    const char *name;
    TRY(prepare(session, sql, p, count, &name, err));
    PGresult *raw = PQexecPrepared(postgres_of(session)->handle, name, (int)count, p->data,
                                   p->sizes, p->formats, 1);
    if (LIKELY(PQresultStatus(raw) == PGRES_TUPLES_OK || PQresultStatus(raw) == PGRES_COMMAND_OK)) {
        *ret_raw = raw;
        return STATUS_OK;
    }
    enum status status = fail_session(session, raw, err);
    PQclear(raw);
    return status;
}

static enum status run(struct database_session *session, const char *sql,
                       const struct postgres_value *values, size_t count, PGresult **ret_raw,
                       struct error *err)
{
    struct parameters parameters;
    buffer_init(&parameters.scratch, PARAMETERS_SIZE_MAX);
    enum status status = set_parameters(&parameters, values, count, err);
    if (status == STATUS_OK) status = run_prepared(session, sql, &parameters, count, ret_raw, err);
    parameters_clear(&parameters);
    return status;
}

enum status postgres_query(struct database_session *session, const char *sql,
                           const struct postgres_value *values, size_t value_count,
                           struct postgres_result **ret_result, struct error *err)
{
    PGresult *raw;
    TRY(run(session, sql, values, value_count, &raw, err));
    struct postgres_result *result = MEM_NEW(struct postgres_result);
    result->raw = raw;
    *ret_result = result;
    return STATUS_OK;
}

enum status postgres_execute(struct database_session *session, const char *sql,
                             const struct postgres_value *values, size_t value_count,
                             int64_t *ret_changed, struct error *err)
{
    PGresult *raw;
    TRY(run(session, sql, values, value_count, &raw, err));
    if (ret_changed && !num_read_i64(str_of(PQcmdTuples(raw)), ret_changed)) *ret_changed = 0;
    PQclear(raw);
    return STATUS_OK;
}

enum status postgres_script(struct database_session *session, const char *sql, struct error *err)
{
    PGresult *raw = PQexec(postgres_of(session)->handle, sql);
    enum status status =
        postgres_check(postgres_of(session)->server, postgres_of(session)->handle, raw, err);
    if (status != STATUS_OK) session->dirty = true;
    PQclear(raw);
    return status;
}

/* --- results ----------------------------------------------------------------------------------
 */

int postgres_rows(const struct postgres_result *result)
{
    return PQntuples(result->raw);
}

bool postgres_is_null(const struct postgres_result *result, int row, int column)
{
    return PQgetisnull(result->raw, row, column) != 0;
}

static int64_t read_int(const char *value, int size)
{
    uint64_t big64;
    uint32_t big32;
    uint16_t big16;
    switch (size) {
    case 8: memcpy(&big64, value, sizeof big64); return (int64_t)be64toh(big64);
    case 4: memcpy(&big32, value, sizeof big32); return (int32_t)be32toh(big32);
    case 2: memcpy(&big16, value, sizeof big16); return (int16_t)be16toh(big16);
    case 1: return *value;
    default: return 0;
    }
}

int64_t postgres_int_at(const struct postgres_result *result, int row, int column)
{
    return read_int(PQgetvalue(result->raw, row, column), PQgetlength(result->raw, row, column));
}

double postgres_double_at(const struct postgres_result *result, int row, int column)
{
    int64_t bits = postgres_int_at(result, row, column);
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

struct str postgres_bytes_at(const struct postgres_result *result, int row, int column)
{
    if (postgres_is_null(result, row, column)) return (struct str){0};
    return (struct str){PQgetvalue(result->raw, row, column),
                        (size_t)PQgetlength(result->raw, row, column)};
}

struct str postgres_text_at(const struct postgres_result *result, int row, int column)
{
    return postgres_bytes_at(result, row, column);
}

void postgres_result_free(struct postgres_result *result)
{
    if (!result) return;
    PQclear(result->raw);
    mem_free(result);
}

/* --- what comes with a commit ----------------------------------------------------------------- */

struct postgres_hook *postgres_hook_find(struct database_session *session, const void *owner)
{
    struct postgres_hook *hook = postgres_of(session)->hooks;
    while (hook && hook->owner != owner) hook = hook->next;
    return hook;
}

void postgres_hook_add(struct database_session *session, struct postgres_hook *hook)
{
    struct postgres *postgres = postgres_of(session);
    hook->next = postgres->hooks;
    postgres->hooks = hook;
}

void postgres_notify(struct database_session *session, const char *channel, struct str payload)
{
    struct postgres *postgres = postgres_of(session);
    assert(payload.size <= POSTGRES_PAYLOAD_MAX);
    for (size_t i = 0; i < postgres->notice_count; i++) {
        const struct postgres_notice *notice = &postgres->notices[i];
        if (strcmp(notice->channel, channel) == 0 &&
            (notice->payload[0] == '\0' || str_equal(str_of(notice->payload), payload)))
            return;
    }
    bool full = postgres->notice_count == POSTGRES_NOTICES_MAX;
    struct postgres_notice *notice = &postgres->notices[full ? 0 : postgres->notice_count++];
    notice->channel = channel;
    memcpy(notice->payload, payload.data, full ? 0 : payload.size);
    notice->payload[full ? 0 : payload.size] = '\0';
}

static enum status send_notices(struct database_session *session, struct error *err)
{
    const struct postgres *postgres = postgres_of(session);
    for (size_t i = 0; i < postgres->notice_count; i++) {
        const struct postgres_notice *notice = &postgres->notices[i];
        struct postgres_value values[] = {postgres_text_value(str_of(notice->channel)),
                                          postgres_text_value(str_of(notice->payload))};
        TRY(postgres_execute(session, "SELECT pg_notify($1::text, $2::text)", values,
                             COUNT_OF(values), NULL, err));
    }
    return STATUS_OK;
}

static enum status run_hooks(struct database_session *session, struct error *err)
{
    for (struct postgres_hook *hook = postgres_of(session)->hooks; hook; hook = hook->next)
        TRY(hook->run(hook, session, err));
    return STATUS_OK;
}

static void transaction_ended(struct postgres *postgres)
{
    postgres->notice_count = 0;
    while (postgres->hooks) {
        struct postgres_hook *hook = postgres->hooks;
        postgres->hooks = hook->next;
        hook->end(hook);
    }
}

/* --- transactions ----------------------------------------------------------------------------- */

/* BEGIN and the server's clock in one exchange. */
static enum status try_begin(struct postgres *postgres, struct error *err)
{
#define CLOCK "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    PGresult *raw =
        PQexec(postgres->handle, postgres->reads
                                     ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; " CLOCK
                                     : "BEGIN; " CLOCK);
#undef CLOCK
    int64_t now = 0;
    enum status status = postgres_check(postgres->server, postgres->handle, raw, err);
    if (status == STATUS_OK && !num_read_i64(str_of(PQgetvalue(raw, 0, 0)), &now))
        status =
            fail(err, STATUS_INTERNAL, "database '%s': it tells no time", postgres->server->label);
    postgres->now_ms = (uint64_t)now;
    PQclear(raw);
    return status;
}

static enum status begin(struct database_session *session, struct error *err)
{
    struct postgres *postgres = postgres_of(session);
    transaction_ended(postgres);
    if (postgres->handle && PQstatus(postgres->handle) == CONNECTION_OK) {
        enum status status = try_begin(postgres, err);
        if (status == STATUS_OK || PQstatus(postgres->handle) == CONNECTION_OK) return status;
    }
    /* Nothing of this transaction has happened yet: a new connection serves as well. */
    TRY(postgres_reconnect(postgres, err));
    return try_begin(postgres, err);
}

/* If the connection goes while the server commits, nobody knows whether it did. */
static enum status try_commit(struct postgres *postgres, struct error *err)
{
    PGresult *raw = PQexec(postgres->handle, "COMMIT");
    enum status status = postgres_check(postgres->server, postgres->handle, raw, err);
    if (status == STATUS_OK && strcmp(PQcmdStatus(raw), "COMMIT") != 0)
        status = fail(err, STATUS_INTERNAL, "database '%s': the transaction was rolled back",
                      postgres->server->label);
    PQclear(raw);
    return status;
}

static enum status commit(struct database_session *session, struct error *err)
{
    struct postgres *postgres = postgres_of(session);
    TRY(run_hooks(session, err));
    TRY(send_notices(session, err));
    TRY(try_commit(postgres, err));
    transaction_ended(postgres);
    return STATUS_OK;
}

static void rollback(struct database_session *session)
{
    struct postgres *postgres = postgres_of(session);
    transaction_ended(postgres);
    if (!postgres->handle || PQstatus(postgres->handle) != CONNECTION_OK) return;
    if (PQtransactionStatus(postgres->handle) == PQTRANS_IDLE) return;
    PQclear(PQexec(postgres->handle, "ROLLBACK")); /* what remains goes with the connection */
}

/* Never back, on whichever connection it is asked. */
static uint64_t now_ms(struct database_session *session)
{
    struct postgres *postgres = postgres_of(session);
    uint64_t last = atomic_load(&postgres->server->last_ms);
    while (last < postgres->now_ms &&
           !atomic_compare_exchange_weak(&postgres->server->last_ms, &last, postgres->now_ms))
        ;
    return MAX(last, postgres->now_ms);
}

/* --- schema -----------------------------------------------------------------------------------
 */

enum { SCHEMA_LOCK = 0x534c5057 }; /* an advisory lock of ours, "SLPW" */

static enum status schema_read(struct database_session *session, const char *room,
                               int64_t *ret_number, struct error *err)
{
    struct postgres_result *result CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value lock = postgres_int(SCHEMA_LOCK);
    TRY(postgres_execute(session, "SELECT pg_advisory_xact_lock($1::bigint)", &lock, 1, NULL, err));
    TRY(postgres_script(
        session,
        "CREATE TABLE IF NOT EXISTS slipway_schema(room text NOT NULL, number bigint NOT NULL, "
        "name text NOT NULL, applied_ms bigint NOT NULL, PRIMARY KEY(room, number));"
        "CREATE TABLE IF NOT EXISTS slipway_counts(name text NOT NULL, slot integer NOT NULL, "
        "value bigint NOT NULL, PRIMARY KEY(name, slot)) WITH (fillfactor = 50)",
        err));
    struct postgres_value name = postgres_text_value(str_of(room));
    TRY(postgres_query(session,
                       "SELECT coalesce(max(number), 0) FROM slipway_schema WHERE room = $1::text",
                       &name, 1, &result, err));
    *ret_number = postgres_int_at(result, 0, 0);
    return STATUS_OK;
}

static enum status schema_note(struct database_session *session, const char *room, int64_t number,
                               const char *name, struct error *err)
{
    struct postgres_value values[] = {postgres_text_value(str_of(room)), postgres_int(number),
                                      postgres_text_value(str_of(name)),
                                      postgres_int((int64_t)session->now_ms)};
    return postgres_execute(
        session, "INSERT INTO slipway_schema VALUES($1::text, $2::bigint, $3::text, $4::bigint)",
        values, COUNT_OF(values), NULL, err);
}

/* --- connections ------------------------------------------------------------------------------ */

static void session_close(struct database_session *session)
{
    struct postgres *postgres = postgres_of(session);
    if (!postgres) return;
    transaction_ended(postgres);
    postgres_disconnect(postgres);
    mem_free(postgres);
    session->connection = NULL;
}

static enum status session_open(struct database *database, bool reads,
                                struct database_session *session, struct error *err)
{
    struct postgres *postgres = MEM_NEW(struct postgres);
    postgres->server = database_state(database);
    postgres->reads = reads;
    postgres_pause_init(&postgres->pause);
    session->connection = postgres;
    enum status status = postgres_session_connect(postgres, err);
    if (status != STATUS_OK) session_close(session);
    return status;
}

static void close_server(struct database *database)
{
    struct postgres_server *server = database_state(database);
    postgres_listener_free(server->listener);
    postgres_server_free(server);
}

static const struct database_ops postgres_ops = {
    .name = "postgres",
    .session_open = session_open,
    .session_close = session_close,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .schema_read = schema_read,
    .schema_script = postgres_script,
    .schema_note = schema_note,
    .now_ms = now_ms,
    .close = close_server,
};

enum status postgres_database_open(const char *connection_string,
                                   const struct database_options *options,
                                   struct database **ret_database, struct error *err)
{
    struct postgres_server *server;
    TRY(libpq_load(err));
    TRY(postgres_server_new(connection_string, &server, err));
    return database_new(&postgres_ops, server, options, ret_database, err);
}
