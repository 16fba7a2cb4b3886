/*
 * The results store in SQLite. The schema is in src/db/migrations/store_sqlite. There is one
 * writer, so what is looked up first and written then is one step.
 *
 * Lists walk one index in the wanted direction and leave out what does not pass the filter: SQL
 * texts are few and fixed, whatever combination of filters is asked for, and SCAN_MAX bounds the
 * work of a page.
 */
#include "store/store_sqlite.h"

#include "base/mem.h"
#include "db/migrate.h"
#include "db/sqlite.h"
#include "store/cursor.h"

enum {
    SCAN_MAX = 100000, /* rows that one page or one pruning looks at */
    PRUNE_STEP = 256,  /* rows looked at before they are deleted */
    SIZE_SAMPLES = 256,
};

static const struct migration migrations[] = {
#include "migrations/store_sqlite.inc"
};

/* Payloads last, as in the table: SQLite does not read what is not asked for. */
#define COLUMN_TABLE(X)                                                                            \
    X(id)                                                                                          \
    X(state)                                                                                       \
    X(source)                                                                                      \
    X(status)                                                                                      \
    X(model)                                                                                       \
    X(version)                                                                                     \
    X(digest)                                                                                      \
    X(variant)                                                                                     \
    X(key)                                                                                         \
    X(key_hash)                                                                                    \
    X(trace_id)                                                                                    \
    X(request_id)                                                                                  \
    X(queue)                                                                                       \
    X(message_id)                                                                                  \
    X(message_group)                                                                               \
    X(received_us)                                                                                 \
    X(queued_us)                                                                                   \
    X(started_us)                                                                                  \
    X(done_us)                                                                                     \
    X(error)                                                                                       \
    X(label)                                                                                       \
    X(priority)                                                                                    \
    X(attempts)                                                                                    \
    X(start_us)                                                                                    \
    X(expires_us)                                                                                  \
    X(callback)                                                                                    \
    X(progress)                                                                                    \
    X(input_type)                                                                                  \
    X(input_header_size)                                                                           \
    X(input_size)                                                                                  \
    X(input_hash)                                                                                  \
    X(input_keep)                                                                                  \
    X(output_type)                                                                                 \
    X(output_header_size)                                                                          \
    X(output_size)                                                                                 \
    X(output_hash)                                                                                 \
    X(output_keep)                                                                                 \
    X(input)                                                                                       \
    X(output)                                                                                      \
    X(loan_type)                                                                                   \
    X(loan_header_size)                                                                            \
    X(loan)

enum column {
#define X(name) COLUMN_##name,
    COLUMN_TABLE(X)
#undef X
        COLUMN_COUNT
};

/* "sequence" goes before, so that every name may be followed by a comma. */
#define X(name) ", " #name
#define COLUMN_NAMES COLUMN_TABLE(X)
static const char insert_sql[] =
    "INSERT OR IGNORE INTO records (sequence" COLUMN_NAMES ") VALUES (NULL"
#undef X
#define X(name) ", ?"
    COLUMN_TABLE(X) ")";
#undef X
#define X(name) ", " #name /* for the SELECTs below */

/* What a row takes, its share of the indexes counted in. */
#define ROW_SIZE                                                                                   \
    "(400 + coalesce(length(input), 0) + coalesce(length(output), 0) + coalesce(length(loan), 0))"

/* --- rows ------------------------------------------------------------------------------------- */

/* Parameters count from 1; the first of the names is parameter 1 of the INSERT. */
static int parameter(enum column column)
{
    return (int)column + 1;
}

static int place(enum column column)
{
    return (int)column + 1; /* "sequence" is column 0 of a SELECT */
}

static void bind_number(struct sqlite_statement *s, enum column column, uint64_t value)
{
    sqlite_bind_int(s, parameter(column), (int64_t)MIN(value, (uint64_t)INT64_MAX));
}

static void bind_text(struct sqlite_statement *s, enum column column, struct str value)
{
    sqlite_bind_text(s, parameter(column), value);
}

static struct str hash_view(const uint8_t *hash, bool present)
{
    return present ? (struct str){(const char *)hash, SHA256_SIZE} : (struct str){NULL, 0};
}

/* From the first column of a payload: type, header_size, size, hash, keep follow each other. */
static void bind_payload(struct sqlite_statement *s, int first,
                         const struct record_payload *payload)
{
    sqlite_bind_text(s, first, payload->type);
    sqlite_bind_int(s, first + 1, (int64_t)payload->header_size);
    sqlite_bind_int(s, first + 2, (int64_t)payload->size);
    sqlite_bind_blob(s, first + 3, hash_view(payload->hash, payload->hashed));
    sqlite_bind_int(s, first + 4, payload->keep);
}
_Static_assert(COLUMN_input_keep == COLUMN_input_type + 4, "bind_payload's order");
_Static_assert(COLUMN_output_keep == COLUMN_output_type + 4, "bind_payload's order");

/* Type, header_size, bytes. */
static void bind_loan(struct sqlite_statement *s, int first, const struct record_payload *loan)
{
    sqlite_bind_text(s, first, loan->type);
    sqlite_bind_int(s, first + 1, (int64_t)loan->header_size);
    sqlite_bind_blob(s, first + 2, loan->bytes);
}
_Static_assert(COLUMN_loan == COLUMN_loan_type + 2, "bind_loan's order");

static void bind_times(struct sqlite_statement *s, const struct record *record)
{
    bind_number(s, COLUMN_received_us, record->received_us);
    bind_number(s, COLUMN_queued_us, record->queued_us);
    bind_number(s, COLUMN_started_us, record->started_us);
    bind_number(s, COLUMN_done_us, record->done_us);
    bind_number(s, COLUMN_start_us, record->start_us);
    bind_number(s, COLUMN_expires_us, record->expires_us);
}

static void bind_texts(struct sqlite_statement *s, const struct record *record)
{
    bind_text(s, COLUMN_model, record->model.data ? record->model : STR_EMPTY);
    bind_text(s, COLUMN_version, record->version);
    bind_text(s, COLUMN_digest, record->digest);
    bind_text(s, COLUMN_variant, record->variant);
    bind_text(s, COLUMN_key, record->key);
    bind_text(s, COLUMN_trace_id, record->trace_id);
    bind_text(s, COLUMN_request_id, record->request_id);
    bind_text(s, COLUMN_queue, record->queue);
    bind_text(s, COLUMN_message_id, record->message_id);
    bind_text(s, COLUMN_message_group, record->group);
    bind_text(s, COLUMN_error, record->error);
    bind_text(s, COLUMN_label, record->label);
    bind_text(s, COLUMN_callback, record->callback);
}

static enum status insert(struct database_session *session, const struct record *record,
                          struct error *err)
{
    struct sqlite_statement *s CLEANUP(sqlite_resetp) = NULL;
    uint8_t id[RECORD_ID_BYTES];
    TRY(sqlite_prepare(session, insert_sql, &s, err));
    record_id_pack(str_of(record->id), id);
    sqlite_bind_blob(s, parameter(COLUMN_id), (struct str){(char *)id, sizeof id});
    bind_number(s, COLUMN_state, record->state);
    bind_number(s, COLUMN_source, record->source);
    bind_number(s, COLUMN_status, record->status);
    bind_texts(s, record);
    sqlite_bind_blob(s, parameter(COLUMN_key_hash),
                     hash_view(record->key_hash, record->key.data != NULL));
    bind_times(s, record);
    bind_number(s, COLUMN_priority, record->priority);
    bind_number(s, COLUMN_attempts, record->attempts);
    sqlite_bind_double(s, parameter(COLUMN_progress), record->progress);
    bind_payload(s, parameter(COLUMN_input_type), &record->input);
    bind_payload(s, parameter(COLUMN_output_type), &record->output);
    sqlite_bind_blob(s, parameter(COLUMN_input), record->input.bytes);
    sqlite_bind_blob(s, parameter(COLUMN_output), record->output.bytes);
    bind_loan(s, parameter(COLUMN_loan_type), &record->loan);
    return sqlite_execute(s, err);
}

static uint64_t number_at(struct sqlite_statement *s, enum column column)
{
    return (uint64_t)sqlite_int(s, place(column));
}

static struct str text_at(struct sqlite_statement *s, enum column column)
{
    return sqlite_text(s, place(column));
}

/* An empty blob is not an absent one. */
static struct str bytes_at(struct sqlite_statement *s, int column)
{
    if (sqlite_is_null(s, column)) return (struct str){NULL, 0};
    struct str bytes = sqlite_blob(s, column);
    return bytes.size ? bytes : STR_EMPTY;
}

static bool read_hash(struct sqlite_statement *s, int column, uint8_t hash[SHA256_SIZE])
{
    struct str bytes = sqlite_blob(s, column);
    if (bytes.size != SHA256_SIZE) return false;
    memcpy(hash, bytes.data, SHA256_SIZE);
    return true;
}

static void read_payload(struct sqlite_statement *s, int first, struct record_payload *payload)
{
    payload->type = sqlite_text(s, first);
    payload->header_size = (uint64_t)sqlite_int(s, first + 1);
    payload->size = (uint64_t)sqlite_int(s, first + 2);
    payload->hashed = read_hash(s, first + 3, payload->hash);
    payload->keep =
        (enum record_keep)MIN((uint64_t)sqlite_int(s, first + 4), (uint64_t)RECORD_KEEP_OMITTED);
}

/* What filters look at. Views, valid until the statement moves on. */
static enum status read_key_part(struct sqlite_statement *s, struct record *record,
                                 struct error *err)
{
    struct str id = sqlite_blob(s, place(COLUMN_id));
    uint64_t state = number_at(s, COLUMN_state), source = number_at(s, COLUMN_source);
    if (id.size != RECORD_ID_BYTES || state >= RECORD_STATE_COUNT || source >= RECORD_SOURCE_COUNT)
        return fail(err, STATUS_DATA_LOSS,
                    "row %lld of table 'records' is not one that was written: run `slipway results "
                    "check`",
                    (long long)sqlite_int(s, 0));
    *record = (struct record){
        .state = (enum record_state)state,
        .source = (enum record_source)source,
        .status = status_from_number(sqlite_int(s, place(COLUMN_status))),
        .model = text_at(s, COLUMN_model),
        .version = text_at(s, COLUMN_version),
        .variant = text_at(s, COLUMN_variant),
        .key = text_at(s, COLUMN_key),
        .trace_id = text_at(s, COLUMN_trace_id),
        .queue = text_at(s, COLUMN_queue),
        .group = text_at(s, COLUMN_message_group),
    };
    record_id_unpack((const uint8_t *)id.data, record->id);
    return STATUS_OK;
}

static void read_rest(struct sqlite_statement *s, bool with_payloads, struct record *record)
{
    record->digest = text_at(s, COLUMN_digest);
    read_hash(s, place(COLUMN_key_hash), record->key_hash);
    record->request_id = text_at(s, COLUMN_request_id);
    record->message_id = text_at(s, COLUMN_message_id);
    record->received_us = number_at(s, COLUMN_received_us);
    record->queued_us = number_at(s, COLUMN_queued_us);
    record->started_us = number_at(s, COLUMN_started_us);
    record->done_us = number_at(s, COLUMN_done_us);
    record->error = text_at(s, COLUMN_error);
    record->label = text_at(s, COLUMN_label);
    record->priority = (uint32_t)number_at(s, COLUMN_priority);
    record->attempts = (uint32_t)number_at(s, COLUMN_attempts);
    record->start_us = number_at(s, COLUMN_start_us);
    record->expires_us = number_at(s, COLUMN_expires_us);
    record->callback = text_at(s, COLUMN_callback);
    record->progress = sqlite_double(s, place(COLUMN_progress));
    read_payload(s, place(COLUMN_input_type), &record->input);
    read_payload(s, place(COLUMN_output_type), &record->output);
    if (!with_payloads) return;
    record->input.bytes = bytes_at(s, place(COLUMN_input));
    record->output.bytes = bytes_at(s, place(COLUMN_output));
    record->loan.type = text_at(s, COLUMN_loan_type);
    record->loan.header_size = number_at(s, COLUMN_loan_header_size);
    record->loan.bytes = bytes_at(s, place(COLUMN_loan));
}

static enum status read_record(struct sqlite_statement *s, bool with_payloads, struct arena *arena,
                               struct record *ret_record, struct error *err)
{
    struct record record;
    TRY(read_key_part(s, &record, err));
    read_rest(s, with_payloads, &record);
    return record_copy(&record, with_payloads, arena, ret_record, err);
}

/* --- writes ----------------------------------------------------------------------------------- */

static enum status run_put(struct database_session *session, struct store_call *call,
                           struct error *err)
{
    for (size_t i = 0; i < call->put.count; i++) TRY(insert(session, &call->put.records[i], err));
    return STATUS_OK;
}

static enum status find_by_key(struct database_session *session, struct str model, struct str key,
                               struct sqlite_statement **ret_statement, struct error *err)
{
    struct sqlite_statement *s;
    TRY(sqlite_prepare(session,
                       "SELECT sequence" COLUMN_NAMES " FROM records WHERE model = ?1 AND key = ?2",
                       &s, err));
    sqlite_bind_text(s, 1, model);
    sqlite_bind_text(s, 2, key);
    *ret_statement = s;
    return STATUS_OK;
}

static enum status run_admit(struct database_session *session, struct store_call *call,
                             struct error *err)
{
    struct store_admit *admit = &call->admit;
    const struct record *record = admit->record;
    struct sqlite_statement *s CLEANUP(sqlite_resetp) = NULL;
    bool row;
    admit->existing = false;
    TRY(find_by_key(session, record->model, record->key, &s, err));
    TRY(sqlite_step(s, &row, err));
    if (!row) return insert(session, record, err);
    TRY(read_record(s, true, call->arena, &admit->found, err));
    if (memcmp(admit->found.key_hash, record->key_hash, SHA256_SIZE) != 0)
        return fail(err, STATUS_ALREADY_EXISTS,
                    "idempotency key '%.*s' was used with another input for model '%.*s'",
                    STR_ARGS(record->key), STR_ARGS(record->model));
    admit->existing = true;
    return STATUS_OK;
}

/* Parameter 1 of each statement about one record; `bytes` live as long as it is bound. */
static void bind_id(struct sqlite_statement *s, struct str text, uint8_t bytes[RECORD_ID_BYTES])
{
    record_id_pack(text, bytes);
    sqlite_bind_blob(s, 1, (struct str){(char *)bytes, RECORD_ID_BYTES});
}

static enum status no_record(struct str id, struct error *err)
{
    return fail(err, STATUS_NOT_FOUND, "there is no record '%.*s'", STR_ARGS(id));
}

static enum status read_state(struct database_session *session, struct str id,
                              enum record_state *ret_state, struct error *err)
{
    struct sqlite_statement *s CLEANUP(sqlite_resetp) = NULL;
    uint8_t bytes[RECORD_ID_BYTES];
    bool row;
    TRY(sqlite_prepare(session, "SELECT state FROM records WHERE id = ?1", &s, err));
    bind_id(s, id, bytes);
    TRY(sqlite_step(s, &row, err));
    if (!row) return no_record(id, err);
    *ret_state = (enum record_state)MIN((uint64_t)sqlite_int(s, 0), (uint64_t)RECORD_EXPIRED);
    return STATUS_OK;
}

static void bind_if(struct sqlite_statement *s, int number, bool set, int64_t value)
{
    if (set)
        sqlite_bind_int(s, number, value);
    else
        sqlite_bind_null(s, number);
}

static void bind_change(struct sqlite_statement *s, const struct store_change *change)
{
    static const struct record_payload none = {.keep = RECORD_KEEP_INLINE};
    sqlite_bind_int(s, 2, change->to);
    bind_if(s, 3, change->queued_us != 0, (int64_t)change->queued_us);
    bind_if(s, 4, change->started_us != 0, (int64_t)change->started_us);
    bind_if(s, 5, change->done_us != 0 || change->clear_output, (int64_t)change->done_us);
    bind_if(s, 6, change->set_status, change->status);
    sqlite_bind_text(s, 7, change->error);
    sqlite_bind_text(s, 8, change->version);
    sqlite_bind_text(s, 9, change->digest);
    sqlite_bind_text(s, 10, change->variant);
    sqlite_bind_text(s, 11, change->message_id);
    sqlite_bind_int(s, 12, change->attempts_add);
    if (change->progress >= 0)
        sqlite_bind_double(s, 13, change->progress);
    else
        sqlite_bind_null(s, 13);
    const struct record_payload *output = change->output ? change->output : &none;
    sqlite_bind_int(s, 14, change->output || change->clear_output);
    bind_payload(s, 15, output);
    sqlite_bind_blob(s, 20, output->bytes);
    sqlite_bind_int(s, 21, record_state_is_final(change->to));
    bind_loan(s, 22, change->loan ? change->loan : &none);
}

static enum status run_change(struct database_session *session, struct store_call *call,
                              struct error *err)
{
    struct store_change *change = &call->change;
    struct sqlite_statement *s CLEANUP(sqlite_resetp) = NULL;
    uint8_t id[RECORD_ID_BYTES];
    TRY(read_state(session, change->id, &change->was, err));
    if (!(change->from & 1U << change->was))
        return fail(err, STATUS_FAILED_PRECONDITION, "record '%.*s' is %s: it cannot become %s",
                    STR_ARGS(change->id), record_state_text(change->was),
                    record_state_text(change->to));
    TRY(sqlite_prepare(session,
                       "UPDATE records SET state = ?2, queued_us = coalesce(?3, queued_us),"
                       " started_us = coalesce(?4, started_us), done_us = coalesce(?5, done_us),"
                       " status = coalesce(?6, status), error = iif(?6 IS NULL, error, ?7),"
                       " version = coalesce(?8, version), digest = coalesce(?9, digest),"
                       " variant = coalesce(?10, variant),"
                       " message_id = coalesce(?11, message_id), attempts = attempts + ?12,"
                       " progress = coalesce(?13, progress),"
                       " output_type = iif(?14, ?15, output_type),"
                       " output_header_size = iif(?14, ?16, output_header_size),"
                       " output_size = iif(?14, ?17, output_size),"
                       " output_hash = iif(?14, ?18, output_hash),"
                       " output_keep = iif(?14, ?19, output_keep),"
                       " output = iif(?14, ?20, output),"
                       " loan_type = iif(?21, ?22, loan_type),"
                       " loan_header_size = iif(?21, ?23, loan_header_size),"
                       " loan = iif(?21, ?24, loan) WHERE id = ?1",
                       &s, err));
    bind_id(s, change->id, id);
    bind_change(s, change);
    return sqlite_execute(s, err);
}

static enum status run_label(struct database_session *session, struct store_call *call,
                             struct error *err)
{
    struct store_label *label = &call->label;
    struct sqlite_statement *s CLEANUP(sqlite_resetp) = NULL;
    uint8_t id[RECORD_ID_BYTES];
    TRY(sqlite_prepare(session, "UPDATE records SET label = ?2 WHERE id = ?1", &s, err));
    bind_id(s, label->id, id);
    sqlite_bind_text(s, 2, label->label.size ? label->label : (struct str){NULL, 0});
    TRY(sqlite_execute(s, err));
    return sqlite_changes(session) == 1 ? STATUS_OK : no_record(label->id, err);
}

/* --- pruning ---------------------------------------------------------------------------------- */

static enum status read_one_number(struct database_session *session, const char *sql,
                                   uint64_t *ret_value, struct error *err)
{
    struct sqlite_statement *s CLEANUP(sqlite_resetp) = NULL;
    bool row;
    TRY(sqlite_prepare(session, sql, &s, err));
    TRY(sqlite_step(s, &row, err));
    *ret_value = row ? (uint64_t)sqlite_int(s, 0) : 0;
    return STATUS_OK;
}

/*
 * Bytes that records take, by the mean of SIZE_SAMPLES rows: the file has queues in it, too, and a
 * sum kept up to date would cost every insert a write. Reading lengths reads no payload.
 */
static enum status read_size(struct database_session *session, uint64_t *ret_bytes,
                             struct error *err)
{
    uint64_t first, last, sum = 0;
    TRY(read_one_number(session, "SELECT min(sequence) FROM records", &first, err));
    TRY(read_one_number(session, "SELECT max(sequence) FROM records", &last, err));
    uint64_t count = last ? last - first + 1 : 0, samples = MIN(count, (uint64_t)SIZE_SAMPLES);
    for (uint64_t i = 0; i < samples; i++) {
        struct sqlite_statement *s CLEANUP(sqlite_resetp) = NULL;
        bool row;
        TRY(sqlite_prepare(session,
                           "SELECT " ROW_SIZE " FROM records WHERE sequence >= ?1"
                           " ORDER BY sequence LIMIT 1",
                           &s, err));
        sqlite_bind_int(s, 1, (int64_t)(first + (uint64_t)((uint128)count * i / samples)));
        TRY(sqlite_step(s, &row, err));
        if (row) sum += (uint64_t)sqlite_int(s, 0);
    }
    *ret_bytes = samples ? (uint64_t)((uint128)sum * count / samples) : 0;
    return STATUS_OK;
}

struct old_row {
    int64_t sequence;
    uint8_t id[RECORD_ID_BYTES];
    enum record_state state;
    uint64_t done_us;
    uint64_t size;
};

struct pruning {
    struct store_prune *prune;
    struct database_session *session;
    struct old_row rows[PRUNE_STEP];
    size_t row_count;
    uint8_t after[RECORD_ID_BYTES]; /* where the next look begins */
    uint64_t over_size;             /* bytes that are too many */
    bool ended;                     /* nothing that comes is old enough */
};

static enum status look_at_oldest(struct pruning *pruning, struct error *err)
{
    struct sqlite_statement *s CLEANUP(sqlite_resetp) = NULL;
    bool row;
    pruning->row_count = 0;
    TRY(sqlite_prepare(pruning->session,
                       "SELECT sequence, id, state, done_us, " ROW_SIZE
                       " FROM records WHERE id > ?1"
                       " ORDER BY id LIMIT ?2",
                       &s, err));
    sqlite_bind_blob(s, 1, (struct str){(char *)pruning->after, RECORD_ID_BYTES});
    sqlite_bind_int(s, 2, PRUNE_STEP);
    for (;;) {
        TRY(sqlite_step(s, &row, err));
        if (!row) break;
        struct old_row *old = &pruning->rows[pruning->row_count++];
        struct str id = sqlite_blob(s, 1);
        *old = (struct old_row){.sequence = sqlite_int(s, 0),
                                .state = (enum record_state)sqlite_int(s, 2),
                                .done_us = (uint64_t)sqlite_int(s, 3),
                                .size = (uint64_t)sqlite_int(s, 4)};
        memcpy(old->id, id.data, MIN(id.size, sizeof old->id));
        memcpy(pruning->after, old->id, sizeof old->id);
    }
    return STATUS_OK;
}

static enum status delete_row(struct pruning *pruning, const struct old_row *row, struct error *err)
{
    struct sqlite_statement *s CLEANUP(sqlite_resetp) = NULL;
    TRY(sqlite_prepare(pruning->session, "DELETE FROM records WHERE sequence = ?1", &s, err));
    sqlite_bind_int(s, 1, row->sequence);
    TRY(sqlite_execute(s, err));
    pruning->prune->deleted++;
    pruning->over_size -= MIN(pruning->over_size, row->size);
    return STATUS_OK;
}

static enum status look_at_size(struct pruning *pruning, struct error *err)
{
    uint64_t bytes, bytes_max = pruning->prune->bytes_max;
    if (bytes_max == 0) return STATUS_OK;
    TRY(read_size(pruning->session, &bytes, err));
    pruning->over_size = bytes > bytes_max ? bytes - bytes_max : 0;
    return STATUS_OK;
}

/* Records are looked at from the oldest on. One that began after `before_us` was not done before.
 */
static bool is_too_young(const struct pruning *pruning, const struct old_row *row)
{
    char id[RECORD_ID_SIZE + 1];
    record_id_unpack(row->id, id);
    return record_id_time_ms(str_of(id)) >= pruning->prune->before_us / 1000 + 1;
}

static enum status prune_rows(struct pruning *pruning, struct error *err)
{
    struct store_prune *prune = pruning->prune;
    for (size_t i = 0; i < pruning->row_count && !pruning->ended; i++) {
        const struct old_row *row = &pruning->rows[i];
        bool old = row->done_us < prune->before_us;
        if (!pruning->over_size && is_too_young(pruning, row))
            pruning->ended = true;
        else if (!record_state_is_final(row->state) || !(old || pruning->over_size))
            continue;
        else if (prune->deleted == prune->count_max)
            prune->more = pruning->ended = true;
        else
            TRY(delete_row(pruning, row, err));
    }
    return STATUS_OK;
}

static const char end_loans_sql[] =
    "UPDATE records SET loan = NULL, loan_type = NULL, loan_header_size = NULL WHERE sequence IN"
    " (SELECT sequence FROM records WHERE loan IS NOT NULL AND done_us < ?1 AND state >= 2"
    "  LIMIT ?2)";
_Static_assert(RECORD_SUCCEEDED == 2, "the states that are final, in the SQL above");

static enum status end_loans(struct database_session *session, struct store_prune *prune,
                             struct error *err)
{
    struct sqlite_statement *s CLEANUP(sqlite_resetp) = NULL;
    TRY(sqlite_prepare(session, end_loans_sql, &s, err));
    sqlite_bind_int(s, 1, (int64_t)MIN(prune->loans_before_us, (uint64_t)INT64_MAX));
    sqlite_bind_int(s, 2, prune->count_max);
    TRY(sqlite_execute(s, err));
    prune->loans_ended = (uint64_t)sqlite_changes(session);
    prune->more = prune->loans_ended == prune->count_max;
    return STATUS_OK;
}

static enum status run_prune(struct database_session *session, struct store_call *call,
                             struct error *err)
{
    struct pruning pruning = {.prune = &call->prune, .session = session};
    call->prune.deleted = 0;
    call->prune.more = false;
    TRY(end_loans(session, &call->prune, err));
    TRY(look_at_size(&pruning, err));
    for (size_t seen = 0; seen < SCAN_MAX && !pruning.ended; seen += PRUNE_STEP) {
        TRY(look_at_oldest(&pruning, err));
        if (pruning.row_count == 0) break;
        TRY(prune_rows(&pruning, err));
    }
    return STATUS_OK;
}

/* --- reads ------------------------------------------------------------------------------------ */

static enum status run_get(struct database_session *session, struct store_call *call,
                           struct error *err)
{
    struct store_get *get = &call->get;
    struct sqlite_statement *s CLEANUP(sqlite_resetp) = NULL;
    uint8_t id[RECORD_ID_BYTES];
    bool row;
    if (get->id.size) {
        TRY(sqlite_prepare(session, "SELECT sequence" COLUMN_NAMES " FROM records WHERE id = ?1",
                           &s, err));
        bind_id(s, get->id, id);
    } else {
        TRY(find_by_key(session, get->model, get->key, &s, err));
    }
    TRY(sqlite_step(s, &row, err));
    if (row) return read_record(s, !get->without_payloads, call->arena, &get->record, err);
    if (get->id.size) return no_record(get->id, err);
    return fail(err, STATUS_NOT_FOUND, "model '%.*s' has no record with key '%.*s'",
                STR_ARGS(get->model), STR_ARGS(get->key));
}

/* The index that leaves out most: by model, by state (what succeeded is not in it), by time. */
static const char *choose_sql(const struct store_list *list, int *ret_state)
{
#define SELECT_WHERE(condition, order)                                                             \
    "SELECT sequence" COLUMN_NAMES " FROM records WHERE " condition                                \
    "id BETWEEN ?1 AND ?2 ORDER BY id " order
    static const char *const texts[3][2] = {
        {SELECT_WHERE("", "DESC"), SELECT_WHERE("", "ASC")},
        {SELECT_WHERE("model = ?3 AND ", "DESC"), SELECT_WHERE("model = ?3 AND ", "ASC")},
        {SELECT_WHERE("state = ?3 AND state <> 2 AND ", "DESC"),
         SELECT_WHERE("state = ?3 AND state <> 2 AND ", "ASC")},
    };
#undef SELECT_WHERE
    unsigned states = list->filter.states;
    bool one_state = states && (states & (states - 1)) == 0 && states != 1U << RECORD_SUCCEEDED;
    *ret_state = one_state ? __builtin_ctz(states) : -1;
    return texts[one_state ? 2 : list->filter.model.size ? 1 : 0][list->ascending];
}

struct page {
    struct store_list *list;
    struct arena *arena;
    struct sqlite_statement *statement;
    char after[RECORD_ID_SIZE + 1]; /* the cursor's id, empty at the first page */
    char seen[RECORD_ID_SIZE + 1];  /* the last that is done with */
    size_t looked_at;
    bool ended; /* the page, not the list */
};

static enum status start_page(struct database_session *session, struct page *page,
                              uint8_t ids[2][RECORD_ID_BYTES], struct error *err)
{
    struct store_list *list = page->list;
    char range[2][RECORD_ID_SIZE + 1];
    int state;
    TRY(store_cursor_read(list, page->after, err));
    store_filter_range(&list->filter, range[0], range[1]);
    if (page->after[0]) memcpy(range[!list->ascending], page->after, sizeof page->after);
    TRY(sqlite_prepare(session, choose_sql(list, &state), &page->statement, err));
    for (int i = 0; i < 2; i++) {
        record_id_pack(str_of(range[i]), ids[i]);
        sqlite_bind_blob(page->statement, i + 1, (struct str){(char *)ids[i], RECORD_ID_BYTES});
    }
    if (state >= 0)
        sqlite_bind_int(page->statement, 3, state);
    else if (list->filter.model.size)
        sqlite_bind_text(page->statement, 3, list->filter.model);
    return STATUS_OK;
}

/* A record that finds no room ends the page, unless it is the first. */
static enum status take_row(struct page *page, struct error *err)
{
    struct store_list *list = page->list;
    struct record record;
    TRY(read_key_part(page->statement, &record, err));
    if (strcmp(record.id, page->after) == 0) return STATUS_OK;
    if (++page->looked_at > SCAN_MAX || list->count == list->count_max) {
        page->ended = true;
        return STATUS_OK;
    }
    if (store_filter_matches(&list->filter, &record)) {
        read_rest(page->statement, !list->without_payloads, &record);
        record.loan = (struct record_payload){.keep = RECORD_KEEP_INLINE};
        enum status status = record_copy(&record, !list->without_payloads, page->arena,
                                         &list->records[list->count], err);
        page->ended = status == STATUS_EXHAUSTED && list->count > 0;
        if (page->ended) return STATUS_OK;
        TRY(status);
        list->count++;
    }
    memcpy(page->seen, record.id, sizeof record.id);
    return STATUS_OK;
}

/* `room` was taken before the records, which may have filled the arena. */
static void end_page(const struct page *page, char *room)
{
    page->list->next = STR_EMPTY;
    if (!page->ended) return;
    assert(page->seen[0]);
    store_cursor_make(page->list, page->seen, room);
    page->list->next = (struct str){room, STORE_CURSOR_SIZE};
}

static enum status read_page(struct database_session *session, struct page *page, struct error *err)
{
    uint8_t ids[2][RECORD_ID_BYTES];
    bool row;
    TRY(start_page(session, page, ids, err));
    while (!page->ended) {
        TRY(sqlite_step(page->statement, &row, err));
        if (!row) break;
        TRY(take_row(page, err));
    }
    return STATUS_OK;
}

static enum status run_list(struct database_session *session, struct store_call *call,
                            struct error *err)
{
    struct store_list *list = &call->list;
    struct page page = {.list = list, .arena = call->arena};
    char *room = arena_try_new(call->arena, STORE_CURSOR_SIZE + 1);
    list->count = 0;
    list->records = ARENA_TRY_ARRAY(call->arena, struct record, list->count_max);
    if (!room || !list->records)
        return fail(err, STATUS_EXHAUSTED, "no memory for a page of %u records", list->count_max);
    enum status status = read_page(session, &page, err);
    sqlite_resetp(&page.statement);
    TRY(status);
    end_page(&page, room);
    return STATUS_OK;
}

static enum status read_oldest(struct database_session *session, uint64_t *ret_ms,
                               struct error *err)
{
    struct sqlite_statement *s CLEANUP(sqlite_resetp) = NULL;
    char id[RECORD_ID_SIZE + 1];
    bool row;
    TRY(sqlite_prepare(session, "SELECT id FROM records ORDER BY id LIMIT 1", &s, err));
    TRY(sqlite_step(s, &row, err));
    if (!row || sqlite_blob(s, 0).size != RECORD_ID_BYTES) return STATUS_OK;
    record_id_unpack((const uint8_t *)sqlite_blob(s, 0).data, id);
    *ret_ms = record_id_time_ms(str_of(id));
    return STATUS_OK;
}

static enum status count_states(struct database_session *session,
                                struct store_statistics *statistics, struct error *err)
{
    struct sqlite_statement *s CLEANUP(sqlite_resetp) = NULL;
    uint64_t others = 0;
    bool row;
    TRY(sqlite_prepare(session,
                       "SELECT state, count(*) FROM records INDEXED BY records_by_state"
                       " WHERE state <> 2 GROUP BY state",
                       &s, err));
    for (;;) {
        TRY(sqlite_step(s, &row, err));
        if (!row) break;
        uint64_t state = (uint64_t)sqlite_int(s, 0), count = (uint64_t)sqlite_int(s, 1);
        if (state < RECORD_STATE_COUNT) statistics->by_state[state] = count;
        others += count;
    }
    statistics->by_state[RECORD_SUCCEEDED] = statistics->records - others;
    return STATUS_OK;
}

static enum status run_statistics(struct database_session *session, struct store_call *call,
                                  struct error *err)
{
    struct store_statistics *statistics = &call->statistics;
    uint64_t oldest_ms = 0;
    *statistics = (struct store_statistics){0};
    TRY(read_one_number(session, "SELECT count(*) FROM records INDEXED BY records_by_id",
                        &statistics->records, err));
    TRY(count_states(session, statistics, err));
    TRY(read_size(session, &statistics->bytes, err));
    TRY(read_oldest(session, &oldest_ms, err));
    statistics->oldest_us = oldest_ms * 1000;
    return STATUS_OK;
}

/* --- the kind --------------------------------------------------------------------------------- */

static enum status run(struct store *store UNUSED, struct database_session *session,
                       struct store_call *call, struct error *err)
{
    switch (call->operation) {
    case STORE_PUT: return run_put(session, call, err);
    case STORE_ADMIT: return run_admit(session, call, err);
    case STORE_CHANGE: return run_change(session, call, err);
    case STORE_LABEL: return run_label(session, call, err);
    case STORE_PRUNE: return run_prune(session, call, err);
    case STORE_GET: return run_get(session, call, err);
    case STORE_LIST: return run_list(session, call, err);
    case STORE_STATISTICS: return run_statistics(session, call, err);
    }
    return fail(err, STATUS_UNIMPLEMENTED, "operation %d of the store", call->operation);
}

static void close_store(struct store *store)
{
    mem_free(store);
}

static const struct store_ops ops = {"sqlite", run, close_store};

enum status store_sqlite_new(struct database *database, struct store **ret_store, struct error *err)
{
    TRY(migrate(database, "store", migrations, COUNT_OF(migrations), err));
    struct store *store = MEM_NEW(struct store);
    *store = (struct store){&ops, database};
    *ret_store = store;
    return STATUS_OK;
}
