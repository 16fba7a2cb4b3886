/*
 * The results store in PostgreSQL. The schema is in src/db/migrations/store_postgres. Many write at
 * the same time, so what must not happen twice is one statement: an insert that finds the key
 * taken, an update that names the states it starts from.
 *
 * Lists walk one index in the wanted direction, a step of rows at a time, and leave out what does
 * not pass the filter; payloads are fetched for what is left. How many records there are, and what
 * they weigh, is counted as they are written (postgres_count).
 */
#include "store/store_postgres.h"

#include "base/mem.h"
#include "db/migrate.h"
#include "db/postgres.h"
#include "store/cursor.h"

enum {
    SCAN_MAX = 100000,        /* rows that one page or one pruning looks at */
    SCAN_STEP = 512,          /* rows of one exchange with the server */
    FETCH_BYTES = 8 << 20,    /* payloads of one exchange, about */
    PUT_BYTES = 32 << 20,     /* written in one exchange, about */
    WEIGHT_ROW = 512,         /* bytes of a row and its index entries without payloads, about */
    WEIGHT_EMPTY = 64 * 1024, /* of an empty store */
    PRUNE_LOCK = 0x534c5052,  /* an advisory lock: one process prunes at a time */
};

static const struct migration migrations[] = {
#include "migrations/store_postgres.inc"
};

/* X(name, number of its parameter, type) in the order of the SELECTs; payloads apart. */
#define COLUMN_TABLE(X)                                                                            \
    X(id, 1, bytea)                                                                                \
    X(state, 2, bigint)                                                                            \
    X(source, 3, bigint)                                                                           \
    X(status, 4, bigint)                                                                           \
    X(model, 5, text)                                                                              \
    X(version, 6, text)                                                                            \
    X(digest, 7, text)                                                                             \
    X(variant, 8, text)                                                                            \
    X(key, 9, text)                                                                                \
    X(key_hash, 10, bytea)                                                                         \
    X(trace_id, 11, text)                                                                          \
    X(request_id, 12, text)                                                                        \
    X(queue, 13, text)                                                                             \
    X(message_id, 14, text)                                                                        \
    X(message_group, 15, text)                                                                     \
    X(received_us, 16, bigint)                                                                     \
    X(queued_us, 17, bigint)                                                                       \
    X(started_us, 18, bigint)                                                                      \
    X(done_us, 19, bigint)                                                                         \
    X(error, 20, text)                                                                             \
    X(label, 21, text)                                                                             \
    X(priority, 22, bigint)                                                                        \
    X(attempts, 23, bigint)                                                                        \
    X(start_us, 24, bigint)                                                                        \
    X(expires_us, 25, bigint)                                                                      \
    X(callback, 26, text)                                                                          \
    X(progress, 27, double precision)                                                              \
    X(input_type, 28, text)                                                                        \
    X(input_header_size, 29, bigint)                                                               \
    X(input_size, 30, bigint)                                                                      \
    X(input_hash, 31, bytea)                                                                       \
    X(input_keep, 32, bigint)                                                                      \
    X(output_type, 33, text)                                                                       \
    X(output_header_size, 34, bigint)                                                              \
    X(output_size, 35, bigint)                                                                     \
    X(output_hash, 36, bytea)                                                                      \
    X(output_keep, 37, bigint)                                                                     \
    X(loan_type, 38, text)                                                                         \
    X(loan_header_size, 39, bigint)                                                                \
    X(weight, 40, bigint)

enum column {
#define X(name, number, type) COLUMN_##name,
    COLUMN_TABLE(X)
#undef X
        COLUMN_INPUT,
    COLUMN_OUTPUT,
    COLUMN_LOAN,
    COLUMN_COUNT
};

#define X(name, number, type) #name ", "
static const char insert_sql[] = "WITH inserted AS (INSERT INTO records (" COLUMN_TABLE(
    X) "input, output, loan) SELECT * FROM unnest("
#undef X
#define X(name, number, type) "$" #number "::" #type "[], "
    COLUMN_TABLE(X) "$41::bytea[], $42::bytea[], $43::bytea[]) ON CONFLICT DO NOTHING "
                    "RETURNING state, weight) SELECT state, count(*), sum(weight)::bigint FROM "
                    "inserted GROUP BY state";
#undef X
#define X(name, number, type) #name ", " /* for the SELECTs below */

/* A row with payloads, and one of the same shape without. */
#define SELECT_WHOLE "SELECT " COLUMN_TABLE(X) "input, output, loan FROM records "
#define SELECT_BARE "SELECT " COLUMN_TABLE(X) "NULL::bytea, NULL::bytea, NULL::bytea FROM records "

/* --- counting --------------------------------------------------------------------------------- */

static const char count_bytes[] = "store.bytes";

static const char *count_name(uint64_t state)
{
    static const char *const names[] = {"store.pending", "store.running",   "store.succeeded",
                                        "store.failed",  "store.cancelled", "store.expired"};
    _Static_assert(COUNT_OF(names) == RECORD_STATE_COUNT, "one for each state");
    return names[MIN(state, (uint64_t)RECORD_STATE_COUNT - 1)];
}

static uint64_t weight_of(const struct record *record)
{
    return WEIGHT_ROW + record->input.bytes.size + record->output.bytes.size +
           record->loan.bytes.size + record->error.size + record->label.size;
}

/* --- rows to parameters ----------------------------------------------------------------------- */

/* Columns that are not numbers. */
enum column_kind { KIND_NUMBER, KIND_TEXT, KIND_BYTES, KIND_DOUBLE };
static const enum column_kind column_kinds[COLUMN_COUNT] = {
    [COLUMN_id] = KIND_BYTES,         [COLUMN_model] = KIND_TEXT,
    [COLUMN_version] = KIND_TEXT,     [COLUMN_digest] = KIND_TEXT,
    [COLUMN_variant] = KIND_TEXT,     [COLUMN_key] = KIND_TEXT,
    [COLUMN_key_hash] = KIND_BYTES,   [COLUMN_trace_id] = KIND_TEXT,
    [COLUMN_request_id] = KIND_TEXT,  [COLUMN_queue] = KIND_TEXT,
    [COLUMN_message_id] = KIND_TEXT,  [COLUMN_message_group] = KIND_TEXT,
    [COLUMN_error] = KIND_TEXT,       [COLUMN_label] = KIND_TEXT,
    [COLUMN_callback] = KIND_TEXT,    [COLUMN_progress] = KIND_DOUBLE,
    [COLUMN_input_type] = KIND_TEXT,  [COLUMN_input_hash] = KIND_BYTES,
    [COLUMN_output_type] = KIND_TEXT, [COLUMN_output_hash] = KIND_BYTES,
    [COLUMN_loan_type] = KIND_TEXT,   [COLUMN_INPUT] = KIND_BYTES,
    [COLUMN_OUTPUT] = KIND_BYTES,     [COLUMN_LOAN] = KIND_BYTES,
};

/* What a column of a row is; which member counts is the column's kind. */
struct cell {
    int64_t number;
    double real;
    struct str text;
};

/* One record's cells, and where its id lies in binary form. */
struct row {
    struct cell cells[COLUMN_COUNT];
    uint8_t id[RECORD_ID_BYTES];
};

static void set_number(struct row *row, enum column column, uint64_t value)
{
    row->cells[column].number = (int64_t)MIN(value, (uint64_t)INT64_MAX);
}

static void set_text(struct row *row, enum column column, struct str value)
{
    row->cells[column].text = value;
}

static struct str hash_view(const uint8_t *hash, bool present)
{
    return present ? (struct str){(const char *)hash, SHA256_SIZE} : (struct str){NULL, 0};
}

static void set_payload(struct row *row, enum column first, enum column bytes,
                        const struct record_payload *payload)
{
    set_text(row, first, payload->type);
    set_number(row, first + 1, payload->header_size);
    set_number(row, first + 2, payload->size);
    set_text(row, first + 3, hash_view(payload->hash, payload->hashed));
    set_number(row, first + 4, payload->keep);
    set_text(row, bytes, payload->bytes);
}
_Static_assert((int)COLUMN_input_keep == (int)COLUMN_input_type + 4, "set_payload's order");
_Static_assert((int)COLUMN_output_keep == (int)COLUMN_output_type + 4, "set_payload's order");

static void set_texts(struct row *row, const struct record *record)
{
    set_text(row, COLUMN_model, record->model.data ? record->model : STR_EMPTY);
    set_text(row, COLUMN_version, record->version);
    set_text(row, COLUMN_digest, record->digest);
    set_text(row, COLUMN_variant, record->variant);
    set_text(row, COLUMN_key, record->key);
    set_text(row, COLUMN_key_hash, hash_view(record->key_hash, record->key.data != NULL));
    set_text(row, COLUMN_trace_id, record->trace_id);
    set_text(row, COLUMN_request_id, record->request_id);
    set_text(row, COLUMN_queue, record->queue);
    set_text(row, COLUMN_message_id, record->message_id);
    set_text(row, COLUMN_message_group, record->group);
    set_text(row, COLUMN_error, record->error);
    set_text(row, COLUMN_label, record->label);
    set_text(row, COLUMN_callback, record->callback);
}

static void set_row(struct row *row, const struct record *record)
{
    record_id_pack(str_of(record->id), row->id);
    set_text(row, COLUMN_id, (struct str){(const char *)row->id, RECORD_ID_BYTES});
    set_number(row, COLUMN_state, record->state);
    set_number(row, COLUMN_source, record->source);
    set_number(row, COLUMN_status, record->status);
    set_texts(row, record);
    set_number(row, COLUMN_received_us, record->received_us);
    set_number(row, COLUMN_queued_us, record->queued_us);
    set_number(row, COLUMN_started_us, record->started_us);
    set_number(row, COLUMN_done_us, record->done_us);
    set_number(row, COLUMN_priority, record->priority);
    set_number(row, COLUMN_attempts, record->attempts);
    set_number(row, COLUMN_start_us, record->start_us);
    set_number(row, COLUMN_expires_us, record->expires_us);
    row->cells[COLUMN_progress].real = record->progress;
    set_payload(row, COLUMN_input_type, COLUMN_INPUT, &record->input);
    set_payload(row, COLUMN_output_type, COLUMN_OUTPUT, &record->output);
    set_text(row, COLUMN_loan_type, record->loan.type);
    set_number(row, COLUMN_loan_header_size, record->loan.header_size);
    set_text(row, COLUMN_LOAN, record->loan.bytes);
    set_number(row, COLUMN_weight, weight_of(record));
}

/* One column of all rows as an array in the arena. */
static bool column_value(const struct row *rows, size_t count, enum column column,
                         struct arena *arena, struct postgres_value *value)
{
    enum column_kind kind = column_kinds[column];
    int64_t *numbers = kind == KIND_NUMBER ? ARENA_TRY_ARRAY(arena, int64_t, count) : NULL;
    double *reals = kind == KIND_DOUBLE ? ARENA_TRY_ARRAY(arena, double, count) : NULL;
    struct str *texts =
        kind == KIND_TEXT || kind == KIND_BYTES ? ARENA_TRY_ARRAY(arena, struct str, count) : NULL;
    if (!numbers && !reals && !texts) return false;
    for (size_t i = 0; i < count; i++) {
        const struct cell *cell = &rows[i].cells[column];
        if (numbers) numbers[i] = cell->number;
        if (reals) reals[i] = cell->real;
        if (texts) texts[i] = cell->text;
    }
    *value = numbers             ? postgres_ints(numbers, count)
             : reals             ? postgres_doubles(reals, count)
             : kind == KIND_TEXT ? postgres_texts(texts, count)
                                 : postgres_blobs(texts, count);
    return true;
}

static enum status run_insert(struct database_session *session, struct arena *arena,
                              const struct record *records, size_t count,
                              struct postgres_result **ret_result, struct error *err)
{
    struct postgres_value values[COLUMN_COUNT];
    struct row *rows = ARENA_TRY_ARRAY(arena, struct row, count);
    bool fits = rows != NULL;
    for (size_t i = 0; fits && i < count; i++) set_row(&rows[i], &records[i]);
    for (unsigned i = 0; fits && i < COLUMN_COUNT; i++)
        fits = column_value(rows, count, (enum column)i, arena, &values[i]);
    if (!fits) return fail(err, STATUS_EXHAUSTED, "no memory to write %zu records", count);
    return postgres_query(session, insert_sql, values, COLUMN_COUNT, ret_result, err);
}

enum { INSERT_ARENA_MAX = 64 << 20 };

/* Those whose id or key is known are left out; *ret_inserted says how many were not. */
static enum status insert(struct database_session *session, const struct record *records,
                          size_t count, int64_t *ret_inserted, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct arena arena CLEANUP(arena_clear);
    int64_t inserted = 0;
    arena_init(&arena, INSERT_ARENA_MAX);
    TRY(run_insert(session, &arena, records, count, &r, err));
    for (int i = 0; i < postgres_rows(r); i++) {
        inserted += postgres_int_at(r, i, 1);
        postgres_count(session, count_name((uint64_t)postgres_int_at(r, i, 0)),
                       postgres_int_at(r, i, 1));
        postgres_count(session, count_bytes, postgres_int_at(r, i, 2));
    }
    *ret_inserted = inserted;
    return STATUS_OK;
}

/* --- results to records ----------------------------------------------------------------------- */

static uint64_t number_at(const struct postgres_result *r, int row, enum column column)
{
    return (uint64_t)postgres_int_at(r, row, (int)column);
}

static struct str text_at(const struct postgres_result *r, int row, enum column column)
{
    return postgres_text_at(r, row, (int)column);
}

static bool read_hash(const struct postgres_result *r, int row, enum column column,
                      uint8_t hash[SHA256_SIZE])
{
    struct str bytes = postgres_bytes_at(r, row, (int)column);
    if (bytes.size != SHA256_SIZE) return false;
    memcpy(hash, bytes.data, SHA256_SIZE);
    return true;
}

static void read_payload(const struct postgres_result *r, int row, enum column first,
                         enum column bytes, struct record_payload *payload)
{
    payload->type = text_at(r, row, first);
    payload->header_size = number_at(r, row, first + 1);
    payload->size = number_at(r, row, first + 2);
    payload->hashed = read_hash(r, row, first + 3, payload->hash);
    payload->keep =
        (enum record_keep)MIN(number_at(r, row, first + 4), (uint64_t)RECORD_KEEP_OMITTED);
    payload->bytes = postgres_bytes_at(r, row, (int)bytes);
}

static void read_times(const struct postgres_result *r, int row, struct record *record)
{
    record->received_us = number_at(r, row, COLUMN_received_us);
    record->queued_us = number_at(r, row, COLUMN_queued_us);
    record->started_us = number_at(r, row, COLUMN_started_us);
    record->done_us = number_at(r, row, COLUMN_done_us);
    record->start_us = number_at(r, row, COLUMN_start_us);
    record->expires_us = number_at(r, row, COLUMN_expires_us);
}

static void read_texts(const struct postgres_result *r, int row, struct record *record)
{
    record->model = text_at(r, row, COLUMN_model);
    record->version = text_at(r, row, COLUMN_version);
    record->digest = text_at(r, row, COLUMN_digest);
    record->variant = text_at(r, row, COLUMN_variant);
    record->key = text_at(r, row, COLUMN_key);
    record->trace_id = text_at(r, row, COLUMN_trace_id);
    record->request_id = text_at(r, row, COLUMN_request_id);
    record->queue = text_at(r, row, COLUMN_queue);
    record->message_id = text_at(r, row, COLUMN_message_id);
    record->group = text_at(r, row, COLUMN_message_group);
    record->error = text_at(r, row, COLUMN_error);
    record->label = text_at(r, row, COLUMN_label);
    record->callback = text_at(r, row, COLUMN_callback);
}

/* Views into the result. */
static enum status read_record(const struct postgres_result *r, int row, struct record *record,
                               struct error *err)
{
    struct str id = postgres_bytes_at(r, row, COLUMN_id);
    uint64_t state = number_at(r, row, COLUMN_state), source = number_at(r, row, COLUMN_source);
    if (id.size != RECORD_ID_BYTES || state >= RECORD_STATE_COUNT || source >= RECORD_SOURCE_COUNT)
        return fail(err, STATUS_DATA_LOSS,
                    "a row of table 'records' is not one that was written: restore a backup");
    *record = (struct record){
        .state = (enum record_state)state,
        .source = (enum record_source)source,
        .status = status_from_number(postgres_int_at(r, row, COLUMN_status)),
        .priority = (uint32_t)number_at(r, row, COLUMN_priority),
        .attempts = (uint32_t)number_at(r, row, COLUMN_attempts),
        .progress = postgres_double_at(r, row, COLUMN_progress),
    };
    record_id_unpack((const uint8_t *)id.data, record->id);
    read_texts(r, row, record);
    read_times(r, row, record);
    (void)read_hash(r, row, COLUMN_key_hash, record->key_hash); /* absent without a key */
    read_payload(r, row, COLUMN_input_type, COLUMN_INPUT, &record->input);
    read_payload(r, row, COLUMN_output_type, COLUMN_OUTPUT, &record->output);
    record->loan.type = text_at(r, row, COLUMN_loan_type);
    record->loan.header_size = number_at(r, row, COLUMN_loan_header_size);
    record->loan.bytes = postgres_bytes_at(r, row, COLUMN_LOAN);
    return STATUS_OK;
}

/* --- writes ----------------------------------------------------------------------------------- */

/* How many of the records go well in one exchange. */
static size_t fitting(const struct record *records, size_t count)
{
    size_t bytes = 0, fit = 0;
    do bytes += weight_of(&records[fit++]);
    while (fit < count && bytes < PUT_BYTES);
    return fit;
}

static enum status run_put(struct database_session *session, struct store_call *call,
                           struct error *err)
{
    const struct store_put *put = &call->put;
    int64_t inserted;
    for (size_t done = 0, count; done < put->count; done += count) {
        count = fitting(&put->records[done], put->count - done);
        TRY(insert(session, &put->records[done], count, &inserted, err));
    }
    return STATUS_OK;
}

static enum status find_by_key(struct database_session *session, struct str model, struct str key,
                               struct postgres_result **ret_result, struct error *err)
{
    struct postgres_value values[] = {postgres_text_value(model), postgres_text_value(key)};
    return postgres_query(session, SELECT_WHOLE "WHERE model = $1::text AND key = $2::text", values,
                          COUNT_OF(values), ret_result, err);
}

static enum status run_admit(struct database_session *session, struct store_call *call,
                             struct error *err)
{
    struct store_admit *admit = &call->admit;
    const struct record *record = admit->record;
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct record found;
    int64_t inserted;
    admit->existing = false;
    TRY(insert(session, record, 1, &inserted, err));
    if (inserted == 1) return STATUS_OK;
    TRY(find_by_key(session, record->model, record->key, &r, err));
    if (postgres_rows(r) == 0) return STATUS_OK; /* its id is known: the same again */
    TRY(read_record(r, 0, &found, err));
    if (memcmp(found.key_hash, record->key_hash, SHA256_SIZE) != 0)
        return fail(err, STATUS_ALREADY_EXISTS,
                    "idempotency key '%.*s' was used with another input for model '%.*s'",
                    STR_ARGS(record->key), STR_ARGS(record->model));
    TRY(record_copy(&found, true, call->arena, &admit->found, err));
    admit->existing = true;
    return STATUS_OK;
}

static enum status no_record(struct str id, struct error *err)
{
    return fail(err, STATUS_NOT_FOUND, "there is no record '%.*s'", STR_ARGS(id));
}

/* `bytes` live as long as the value. */
static struct postgres_value id_value(struct str text, uint8_t bytes[RECORD_ID_BYTES])
{
    record_id_pack(text, bytes);
    return postgres_bytes_value((struct str){(const char *)bytes, RECORD_ID_BYTES});
}

/* Nothing was changed: why not. */
static enum status refuse_change(struct database_session *session, struct store_change *change,
                                 struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    uint8_t id[RECORD_ID_BYTES];
    struct postgres_value value = id_value(change->id, id);
    TRY(postgres_query(session, "SELECT state FROM records WHERE id = $1::bytea", &value, 1, &r,
                       err));
    if (postgres_rows(r) == 0) return no_record(change->id, err);
    change->was = (enum record_state)MIN(number_at(r, 0, 0), (uint64_t)RECORD_EXPIRED);
    return fail(err, STATUS_FAILED_PRECONDITION, "record '%.*s' is %s: it cannot become %s",
                STR_ARGS(change->id), record_state_text(change->was),
                record_state_text(change->to));
}

static struct postgres_value int_if(bool set, int64_t value)
{
    return set ? postgres_int(value) : (struct postgres_value){.type = POSTGRES_NULL};
}

static const char change_sql[] =
    "UPDATE records SET was = state, weight_was = weight, state = $3::bigint,"
    " queued_us = coalesce($4::bigint, queued_us),"
    " started_us = coalesce($5::bigint, started_us), done_us = coalesce($6::bigint, done_us),"
    " status = coalesce($7::bigint, status),"
    " error = CASE WHEN $7::bigint IS NULL THEN error ELSE $8::text END,"
    " version = coalesce($9::text, version), digest = coalesce($10::text, digest),"
    " variant = coalesce($11::text, variant), message_id = coalesce($12::text, message_id),"
    " attempts = attempts + $13::bigint,"
    " progress = coalesce($14::double precision, progress),"
    " output_type = CASE WHEN $15::bigint = 1 THEN $16::text ELSE output_type END,"
    " output_header_size ="
    "   CASE WHEN $15::bigint = 1 THEN $17::bigint ELSE output_header_size END,"
    " output_size = CASE WHEN $15::bigint = 1 THEN $18::bigint ELSE output_size END,"
    " output_hash = CASE WHEN $15::bigint = 1 THEN $19::bytea ELSE output_hash END,"
    " output_keep = CASE WHEN $15::bigint = 1 THEN $20::bigint ELSE output_keep END,"
    " output = CASE WHEN $15::bigint = 1 THEN $21::bytea ELSE output END,"
    " loan_type = CASE WHEN $22::bigint = 1 THEN $23::text ELSE loan_type END,"
    " loan_header_size = CASE WHEN $22::bigint = 1 THEN $24::bigint ELSE loan_header_size END,"
    " loan = CASE WHEN $22::bigint = 1 THEN $25::bytea ELSE loan END,"
    " weight = weight + CASE WHEN $15::bigint = 1 THEN coalesce(octet_length($21::bytea), 0)"
    "   - coalesce(octet_length(output), 0) ELSE 0 END"
    "   + CASE WHEN $22::bigint = 1 THEN coalesce(octet_length($25::bytea), 0)"
    "   - coalesce(octet_length(loan), 0) ELSE 0 END"
    " WHERE id = $1::bytea AND ($2::bigint >> state) & 1 = 1"
    " RETURNING was, weight - weight_was";

static enum status update_record(struct database_session *session, struct store_change *change,
                                 struct postgres_result **ret_result, struct error *err)
{
    static const struct record_payload none = {.keep = RECORD_KEEP_INLINE};
    const struct record_payload *output = change->output ? change->output : &none;
    const struct record_payload *loan = change->loan ? change->loan : &none;
    uint8_t id[RECORD_ID_BYTES];
    struct postgres_value values[] = {
        id_value(change->id, id),
        postgres_int(change->from),
        postgres_int(change->to),
        int_if(change->queued_us != 0, (int64_t)change->queued_us),
        int_if(change->started_us != 0, (int64_t)change->started_us),
        int_if(change->done_us != 0 || change->clear_output, (int64_t)change->done_us),
        int_if(change->set_status, change->status),
        postgres_text_value(change->error),
        postgres_text_value(change->version),
        postgres_text_value(change->digest),
        postgres_text_value(change->variant),
        postgres_text_value(change->message_id),
        postgres_int(change->attempts_add),
        change->progress >= 0 ? postgres_double(change->progress) : int_if(false, 0),
        postgres_int(change->output || change->clear_output),
        postgres_text_value(output->type),
        postgres_int((int64_t)output->header_size),
        postgres_int((int64_t)output->size),
        postgres_bytes_value(hash_view(output->hash, output->hashed)),
        postgres_int(output->keep),
        postgres_bytes_value(output->bytes),
        postgres_int(record_state_is_final(change->to)),
        postgres_text_value(loan->type),
        postgres_int((int64_t)loan->header_size),
        postgres_bytes_value(loan->bytes),
    };
    return postgres_query(session, change_sql, values, COUNT_OF(values), ret_result, err);
}

static enum status run_change(struct database_session *session, struct store_call *call,
                              struct error *err)
{
    struct store_change *change = &call->change;
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    TRY(update_record(session, change, &r, err));
    if (postgres_rows(r) == 0) return refuse_change(session, change, err);
    change->was = (enum record_state)MIN(number_at(r, 0, 0), (uint64_t)RECORD_EXPIRED);
    postgres_count(session, count_name(change->was), -1);
    postgres_count(session, count_name(change->to), 1);
    postgres_count(session, count_bytes, postgres_int_at(r, 0, 1));
    return STATUS_OK;
}

static enum status run_label(struct database_session *session, struct store_call *call,
                             struct error *err)
{
    struct store_label *label = &call->label;
    uint8_t id[RECORD_ID_BYTES];
    struct postgres_value values[] = {
        id_value(label->id, id),
        postgres_text_value(label->label.size ? label->label : (struct str){0})};
    int64_t changed;
    TRY(postgres_execute(session, "UPDATE records SET label = $2::text WHERE id = $1::bytea",
                         values, COUNT_OF(values), &changed, err));
    return changed == 1 ? STATUS_OK : no_record(label->id, err);
}

/* --- pruning ---------------------------------------------------------------------------------- */

struct pruning {
    struct store_prune *prune;
    struct database_session *session;
    uint8_t after[RECORD_ID_BYTES]; /* where the next look begins */
    int64_t bytes;                  /* of the whole store */
    struct str doomed[SCAN_STEP];   /* ids, views into the step's result */
    size_t doomed_count;
    bool ended; /* nothing that comes is old enough */
};

static enum status look_at_oldest(struct pruning *pruning, struct postgres_result **ret_result,
                                  struct error *err)
{
    struct postgres_value values[] = {
        postgres_bytes_value((struct str){(const char *)pruning->after, RECORD_ID_BYTES}),
        postgres_int(SCAN_STEP)};
    return postgres_query(pruning->session,
                          "SELECT id, state, done_us, weight FROM records WHERE id > $1::bytea"
                          " ORDER BY id LIMIT $2::bigint",
                          values, COUNT_OF(values), ret_result, err);
}

/* Records are looked at from the oldest on. One that began after `before_us` was not done before.
 */
static bool is_too_young(const struct pruning *pruning, struct str id)
{
    char text[RECORD_ID_SIZE + 1];
    record_id_unpack((const uint8_t *)id.data, text);
    return record_id_time_ms(str_of(text)) >= pruning->prune->before_us / 1000 + 1;
}

static void judge(struct pruning *pruning, const struct postgres_result *r, int row)
{
    struct store_prune *prune = pruning->prune;
    struct str id = postgres_bytes_at(r, row, 0);
    enum record_state state =
        (enum record_state)MIN(number_at(r, row, 1), (uint64_t)RECORD_EXPIRED);
    bool over_size = prune->bytes_max > 0 && pruning->bytes > (int64_t)prune->bytes_max;
    bool old = number_at(r, row, 2) < prune->before_us;
    memcpy(pruning->after, id.data, RECORD_ID_BYTES);
    if (!over_size && is_too_young(pruning, id))
        pruning->ended = true;
    else if (!record_state_is_final(state) || !(old || over_size))
        return;
    else if (prune->deleted + pruning->doomed_count == prune->count_max)
        prune->more = pruning->ended = true;
    else {
        pruning->doomed[pruning->doomed_count++] = id;
        pruning->bytes -= postgres_int_at(r, row, 3);
    }
}

/* What others have changed or deleted meanwhile is left alone. */
static enum status delete_doomed(struct pruning *pruning, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value value = postgres_blobs(pruning->doomed, pruning->doomed_count);
    if (pruning->doomed_count == 0) return STATUS_OK;
    TRY(postgres_query(pruning->session,
                       "WITH deleted AS (DELETE FROM records WHERE id = ANY($1::bytea[])"
                       "   AND state >= 2 RETURNING state, weight)"
                       " SELECT state, count(*), sum(weight)::bigint FROM deleted GROUP BY state",
                       &value, 1, &r, err));
    _Static_assert(RECORD_SUCCEEDED == 2, "the states that are final, in the SQL above");
    for (int i = 0; i < postgres_rows(r); i++) {
        pruning->prune->deleted += number_at(r, i, 1);
        postgres_count(pruning->session, count_name(number_at(r, i, 0)), -postgres_int_at(r, i, 1));
        postgres_count(pruning->session, count_bytes, -postgres_int_at(r, i, 2));
    }
    pruning->doomed_count = 0;
    return STATUS_OK;
}

static enum status prune_step(struct pruning *pruning, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    TRY(look_at_oldest(pruning, &r, err));
    for (int row = 0; row < postgres_rows(r) && !pruning->ended; row++) judge(pruning, r, row);
    if (postgres_rows(r) < SCAN_STEP) pruning->ended = true;
    return delete_doomed(pruning, err);
}

/* What others have ended meanwhile has no loan any more. */
static enum status end_loans(struct pruning *pruning, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct store_prune *prune = pruning->prune;
    struct postgres_value values[] = {
        postgres_int((int64_t)MIN(prune->loans_before_us, (uint64_t)INT64_MAX)),
        postgres_int(prune->count_max)};
    TRY(postgres_query(pruning->session,
                       "WITH ended AS (UPDATE records SET loan = NULL, loan_type = NULL,"
                       " loan_header_size = 0, weight_was = weight,"
                       " weight = weight - octet_length(loan) WHERE id IN (SELECT id FROM records"
                       "   WHERE loan IS NOT NULL AND done_us < $1::bigint AND state >= 2"
                       "   LIMIT $2::bigint)"
                       " AND loan IS NOT NULL RETURNING weight_was - weight AS less)"
                       " SELECT count(*), coalesce(sum(less), 0)::bigint FROM ended",
                       values, COUNT_OF(values), &r, err));
    prune->loans_ended = number_at(r, 0, 0);
    prune->more = prune->loans_ended == prune->count_max;
    postgres_count(pruning->session, count_bytes, -postgres_int_at(r, 0, 1));
    return STATUS_OK;
}

/* One process at a time; the others have nothing to do. */
static enum status lock_pruning(struct database_session *session, bool *ret_locked,
                                struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value value = postgres_int(PRUNE_LOCK);
    TRY(postgres_query(session, "SELECT pg_try_advisory_xact_lock($1::bigint)", &value, 1, &r,
                       err));
    *ret_locked = postgres_int_at(r, 0, 0) != 0;
    return STATUS_OK;
}

static enum status run_prune(struct database_session *session, struct store_call *call,
                             struct error *err)
{
    struct pruning pruning = {.prune = &call->prune, .session = session};
    bool locked;
    call->prune.deleted = 0;
    call->prune.more = false;
    TRY(lock_pruning(session, &locked, err));
    if (!locked) return STATUS_OK;
    TRY(end_loans(&pruning, err));
    TRY(postgres_count_read(session, count_bytes, &pruning.bytes, err));
    pruning.bytes += WEIGHT_EMPTY;
    for (size_t seen = 0; seen < SCAN_MAX && !pruning.ended; seen += SCAN_STEP)
        TRY(prune_step(&pruning, err));
    return STATUS_OK;
}

/* --- reads ------------------------------------------------------------------------------------ */

static enum status run_get(struct database_session *session, struct store_call *call,
                           struct error *err)
{
    struct store_get *get = &call->get;
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct record found;
    uint8_t id[RECORD_ID_BYTES];
    if (get->id.size) {
        struct postgres_value value = id_value(get->id, id);
        TRY(postgres_query(session,
                           get->without_payloads ? SELECT_BARE "WHERE id = $1::bytea"
                                                 : SELECT_WHOLE "WHERE id = $1::bytea",
                           &value, 1, &r, err));
    } else {
        TRY(find_by_key(session, get->model, get->key, &r, err));
    }
    if (postgres_rows(r) == 0 && get->id.size) return no_record(get->id, err);
    if (postgres_rows(r) == 0)
        return fail(err, STATUS_NOT_FOUND, "model '%.*s' has no record with key '%.*s'",
                    STR_ARGS(get->model), STR_ARGS(get->key));
    TRY(read_record(r, 0, &found, err));
    return record_copy(&found, !get->without_payloads, call->arena, &get->record, err);
}

/*
 * The index that leaves out most: by model, by state (what succeeded is not in it), by time.
 * Compared as a row, and ordered by both columns, so that no other index will do.
 */
static const char *choose_sql(const struct store_list *list, int *ret_state)
{
#define BY_ID(from, to, order)                                                                     \
    SELECT_BARE "WHERE id " from " $1::bytea AND id " to " $2::bytea ORDER BY id " order           \
                " LIMIT $3::bigint"
#define BY_MODEL(from, to, order)                                                                  \
    SELECT_BARE "WHERE (model, id) " from " ($4::text, $1::bytea) AND (model, id) " to             \
                " ($4::text, $2::bytea) ORDER BY model " order ", id " order " LIMIT $3::bigint"
#define BY_STATE(from, to, order)                                                                  \
    SELECT_BARE "WHERE state <> 2 AND (state, id) " from " ($4::bigint::smallint, $1::bytea)"      \
                " AND (state, id) " to " ($4::bigint::smallint, $2::bytea)"                        \
                " ORDER BY state " order ", id " order " LIMIT $3::bigint"
    static const char *const texts[3][2] = {
        {BY_ID("<=", ">=", "DESC"), BY_ID(">=", "<=", "ASC")},
        {BY_MODEL("<=", ">=", "DESC"), BY_MODEL(">=", "<=", "ASC")},
        {BY_STATE("<=", ">=", "DESC"), BY_STATE(">=", "<=", "ASC")},
    };
    unsigned states = list->filter.states;
    bool one_state = states && (states & (states - 1)) == 0 && states != 1U << RECORD_SUCCEEDED;
    *ret_state = one_state ? __builtin_ctz(states) : -1;
    return texts[one_state ? 2 : list->filter.model.size ? 1 : 0][list->ascending];
}

struct page {
    struct store_list *list;
    struct arena *arena;
    struct database_session *session;
    char from[RECORD_ID_SIZE + 1]; /* where the next step begins, itself seen if `begun` */
    char to[RECORD_ID_SIZE + 1];
    bool begun;
    size_t looked_at;
    bool ended; /* the page, not the list */
};

static enum status start_page(struct page *page, struct error *err)
{
    struct store_list *list = page->list;
    char after[RECORD_ID_SIZE + 1], range[2][RECORD_ID_SIZE + 1];
    TRY(store_cursor_read(list, after, err));
    store_filter_range(&list->filter, range[0], range[1]);
    page->begun = after[0] != '\0';
    memcpy(page->from, page->begun ? after : range[!list->ascending], sizeof page->from);
    memcpy(page->to, range[list->ascending], sizeof page->to);
    return STATUS_OK;
}

/* Two more than wanted: the one seen before, and the one that says there is a next page. */
static int64_t step_size(const struct store_list *list)
{
    return MIN((int64_t)list->count_max - (int64_t)list->count + 2, (int64_t)SCAN_STEP);
}

static enum status read_step(struct page *page, struct postgres_result **ret_result,
                             struct error *err)
{
    const struct store_list *list = page->list;
    uint8_t from[RECORD_ID_BYTES], to[RECORD_ID_BYTES];
    int state;
    const char *sql = choose_sql(list, &state);
    struct postgres_value values[] = {id_value(str_of(page->from), from),
                                      id_value(str_of(page->to), to), postgres_int(step_size(list)),
                                      state >= 0 ? postgres_int(state)
                                                 : postgres_text_value(list->filter.model)};
    bool third = state >= 0 || list->filter.model.size > 0;
    return postgres_query(page->session, sql, values, third ? 4 : 3, ret_result, err);
}

/* What rows of a step passed the filter, views into its result. */
struct passed {
    struct record records[SCAN_STEP];
    size_t count;
};

static enum status filter_step(struct page *page, const struct postgres_result *r,
                               struct passed *passed, struct error *err)
{
    const struct store_list *list = page->list;
    for (int row = 0; row < postgres_rows(r); row++) {
        struct record record;
        TRY(read_record(r, row, &record, err));
        if (page->begun && strcmp(record.id, page->from) == 0) continue;
        if (page->looked_at == SCAN_MAX || list->count + passed->count == list->count_max) {
            page->ended = true;
            return STATUS_OK;
        }
        page->looked_at++;
        page->begun = true;
        memcpy(page->from, record.id, sizeof record.id);
        if (store_filter_matches(&list->filter, &record)) passed->records[passed->count++] = record;
    }
    return STATUS_OK;
}

/* Payloads of the next records that fit into one exchange; all of them seen in one snapshot. */
static enum status fetch_payloads(struct page *page, struct record *records, size_t *count,
                                  struct postgres_result **ret_result, struct error *err)
{
    uint8_t ids[SCAN_STEP][RECORD_ID_BYTES];
    struct str views[SCAN_STEP];
    uint64_t bytes = 0;
    size_t used = 0;
    for (; used < *count && bytes < FETCH_BYTES; used++) {
        record_id_pack(str_of(records[used].id), ids[used]);
        views[used] = (struct str){(const char *)ids[used], RECORD_ID_BYTES};
        bytes += MIN(records[used].input.size, (uint64_t)RECORD_PAYLOAD_MAX) +
                 MIN(records[used].output.size, (uint64_t)RECORD_PAYLOAD_MAX);
    }
    struct postgres_value value = postgres_blobs(views, used);
    TRY(postgres_query(page->session,
                       "SELECT r.input, r.output FROM unnest($1::bytea[]) WITH ORDINALITY AS"
                       " w(id, place) LEFT JOIN records r ON r.id = w.id ORDER BY w.place",
                       &value, 1, ret_result, err));
    for (size_t i = 0; i < used; i++) {
        records[i].input.bytes = postgres_bytes_at(*ret_result, (int)i, 0);
        records[i].output.bytes = postgres_bytes_at(*ret_result, (int)i, 1);
    }
    *count = used;
    return STATUS_OK;
}

/* A record that finds no room ends the page before it, unless it is the first. */
static enum status keep_records(struct page *page, const struct record *records, size_t count,
                                struct error *err)
{
    struct store_list *list = page->list;
    for (size_t i = 0; i < count && !page->ended; i++) {
        enum status status = record_copy(&records[i], !list->without_payloads, page->arena,
                                         &list->records[list->count], err);
        if (status == STATUS_EXHAUSTED && list->count > 0) {
            memcpy(page->from, list->records[list->count - 1].id, sizeof page->from);
            page->ended = true;
            return STATUS_OK;
        }
        TRY(status);
        list->count++;
    }
    return STATUS_OK;
}

static enum status keep_passed(struct page *page, struct passed *passed, struct error *err)
{
    /* The filter may have ended the page: what it let pass belongs to it. */
    bool ended = page->ended;
    page->ended = false;
    for (size_t kept = 0, count; kept < passed->count && !page->ended; kept += count) {
        struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
        count = passed->count - kept;
        if (!page->list->without_payloads)
            TRY(fetch_payloads(page, &passed->records[kept], &count, &r, err));
        TRY(keep_records(page, &passed->records[kept], count, err));
    }
    page->ended = page->ended || ended;
    return STATUS_OK;
}

static enum status read_page(struct page *page, struct error *err)
{
    struct passed *passed CLEANUP(mem_freep) = MEM_NEW(struct passed);
    TRY(start_page(page, err));
    while (!page->ended) {
        struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
        int64_t asked = step_size(page->list);
        passed->count = 0;
        TRY(read_step(page, &r, err));
        TRY(filter_step(page, r, passed, err));
        TRY(keep_passed(page, passed, err));
        if (postgres_rows(r) < asked) break;
    }
    return STATUS_OK;
}

static enum status run_list(struct database_session *session, struct store_call *call,
                            struct error *err)
{
    struct store_list *list = &call->list;
    struct page page = {.list = list, .arena = call->arena, .session = session};
    char *room = arena_try_new(call->arena, STORE_CURSOR_SIZE + 1);
    list->count = 0;
    list->records = ARENA_TRY_ARRAY(call->arena, struct record, list->count_max);
    if (!room || !list->records)
        return fail(err, STATUS_EXHAUSTED, "no memory for a page of %u records", list->count_max);
    TRY(read_page(&page, err));
    list->next = STR_EMPTY;
    if (!page.ended) return STATUS_OK;
    assert(page.begun);
    store_cursor_make(list, page.from, room);
    list->next = (struct str){room, STORE_CURSOR_SIZE};
    return STATUS_OK;
}

static enum status read_oldest(struct database_session *session, uint64_t *ret_ms,
                               struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    char id[RECORD_ID_SIZE + 1];
    TRY(postgres_query(session, "SELECT id FROM records ORDER BY id LIMIT 1", NULL, 0, &r, err));
    if (postgres_rows(r) == 0 || postgres_bytes_at(r, 0, 0).size != RECORD_ID_BYTES)
        return STATUS_OK;
    record_id_unpack((const uint8_t *)postgres_bytes_at(r, 0, 0).data, id);
    *ret_ms = record_id_time_ms(str_of(id));
    return STATUS_OK;
}

static enum status run_statistics(struct database_session *session, struct store_call *call,
                                  struct error *err)
{
    struct store_statistics *statistics = &call->statistics;
    uint64_t oldest_ms = 0;
    int64_t bytes, records;
    *statistics = (struct store_statistics){0};
    for (uint64_t state = 0; state < RECORD_STATE_COUNT; state++) {
        TRY(postgres_count_read(session, count_name(state), &records, err));
        statistics->by_state[state] = (uint64_t)MAX(records, (int64_t)0);
        statistics->records += statistics->by_state[state];
    }
    TRY(postgres_count_read(session, count_bytes, &bytes, err));
    TRY(read_oldest(session, &oldest_ms, err));
    statistics->bytes = (uint64_t)MAX(bytes, (int64_t)0) + WEIGHT_EMPTY;
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

static const struct store_ops ops = {"postgres", run, close_store};

enum status store_postgres_new(struct database *database, struct store **ret_store,
                               struct error *err)
{
    TRY(migrate(database, "store", migrations, COUNT_OF(migrations), err));
    struct store *store = MEM_NEW(struct store);
    *store = (struct store){&ops, database};
    *ret_store = store;
    return STATUS_OK;
}
