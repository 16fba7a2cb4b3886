/*
 * One record at a time: puts, admissions, changes. Each call has a thread of the database, and asks
 * DynamoDB on it.
 */
#include "base/mem.h"
#include "base/rand.h"
#include "store/store_dynamodb_private.h"

#include <time.h>

#define TARGET_PREFIX "DynamoDB_20120810."

enum {
    PUT_THREADS_MAX = 8, /* of one call */
    PUT_SHARE_MIN = 8,   /* records that are worth a thread */
    KEY_SIZE_MAX = 2048, /* DynamoDB's */
};

/* --- requests ----------------------------------------------------------------------------------
 */

void dynamodb_body_init(struct dynamodb_body *body, const struct dynamodb_work *work)
{
    buffer_init(&body->text, DYNAMODB_BODY_MAX);
    json_writer_init(&body->json, &body->text);
    json_begin_object(&body->json);
    json_put_string(&body->json, STR("TableName"), str_of(work->dynamodb->table));
}

enum status dynamodb_send(struct dynamodb_work *work, const char *operation, struct buffer *text,
                          struct aws_reply *reply, struct error *err)
{
    char target[64];
    (void)snprintf(target, sizeof target, TARGET_PREFIX "%s", operation);
    const struct aws_json_request request = {
        .target = target, .body = buffer_view(text), .reply_size_max = DYNAMODB_REPLY_MAX};
    enum status status;
    if (buffer_failed(text)) {
        aws_answer_none(reply);
        status = fail(err, STATUS_EXHAUSTED, "no memory for a request to DynamoDB");
    } else {
        status = aws_json_call(work->dynamodb->client, &request, &work->arena, reply, err);
    }
    buffer_clear(text);
    return status;
}

enum status dynamodb_ask(struct dynamodb_work *work, const char *operation,
                         struct dynamodb_body *body, struct aws_reply *reply, struct error *err)
{
    json_end_object(&body->json);
    return dynamodb_send(work, operation, &body->text, reply, err);
}

void dynamodb_add_names(struct json_writer *json, const char *const *names)
{
    char name[32];
    json_add_name(json, STR("ExpressionAttributeNames"));
    json_begin_object(json);
    for (; *names; names++) {
        (void)snprintf(name, sizeof name, "#%s", *names);
        json_put_string(json, str_of(name), str_of(*names));
    }
    json_end_object(json);
}

void dynamodb_add_key(struct json_writer *json, struct str pk)
{
    json_add_name(json, STR("Key"));
    json_begin_object(json);
    json_add_name(json, STR("pk"));
    item_add_text(json, pk);
    json_end_object(json);
}

void dynamodb_pause(unsigned attempt)
{
    struct prng prng;
    prng_seed(&prng, prng_seed_from_system());
    uint64_t ns = prng_below(&prng, (uint64_t)(10 * NS_PER_MS) << MIN(attempt, 6U));
    struct timespec rest = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
    (void)nanosleep(&rest, NULL); /* a signal makes a pause shorter */
}

bool dynamodb_is_live(const struct dynamodb_work *work, const struct item *item)
{
    return item->record.state < RECORD_STATE_COUNT && item->record.source < RECORD_SOURCE_COUNT &&
           (item->expires_s == 0 || item->expires_s >= work->now_s);
}

/* --- answers -----------------------------------------------------------------------------------
 */

bool dynamodb_member(struct str object, const char *name, struct str *ret_raw)
{
    struct json_reader reader;
    struct error unheard;
    struct str key;
    bool more;
    json_reader_init(&reader, object, NULL);
    if (json_open_object(&reader, &unheard) != STATUS_OK) return false;
    for (;;) {
        if (json_next_member(&reader, &key, &more, &unheard) != STATUS_OK || !more) return false;
        if (str_equal(key, str_of(name)))
            return json_read_raw(&reader, ret_raw, &unheard) == STATUS_OK;
        if (json_skip(&reader, &unheard) != STATUS_OK) return false;
    }
}

enum status dynamodb_read_member(struct dynamodb_work *work, struct str body, const char *name,
                                 struct item *ret_item, bool *ret_found, struct error *err)
{
    struct str raw;
    struct json_reader reader;
    *ret_found = dynamodb_member(body, name, &raw);
    if (!*ret_found) return STATUS_OK;
    json_reader_init(&reader, raw, &work->arena);
    return fail_while(err, item_read(&reader, &work->arena, ret_item, err), "an item of table '%s'",
                      work->dynamodb->table);
}

enum status dynamodb_get(struct dynamodb_work *work, struct str pk, struct item *ret_item,
                         bool *ret_found, struct error *err)
{
    struct dynamodb_body body;
    struct aws_reply reply;
    bool found;
    dynamodb_body_init(&body, work);
    dynamodb_add_key(&body.json, pk);
    json_put_bool(&body.json, STR("ConsistentRead"), true);
    TRY(dynamodb_ask(work, "GetItem", &body, &reply, err));
    TRY(dynamodb_read_member(work, reply.body, "Item", ret_item, &found, err));
    *ret_found = found && (ret_item->record.id[0] != '\0');
    return STATUS_OK;
}

/* The record of an id; not found if it has expired. */
static enum status get_record(struct dynamodb_work *work, struct str id, struct item *ret_item,
                              bool *ret_found, struct error *err)
{
    struct buffer pk;
    buffer_init(&pk, KEY_SIZE_MAX);
    item_print_record_key(&pk, id);
    enum status status = dynamodb_get(work, buffer_view(&pk), ret_item, ret_found, err);
    buffer_clear(&pk);
    TRY(status);
    if (*ret_found) *ret_found = dynamodb_is_live(work, ret_item);
    return STATUS_OK;
}

/* --- payloads that lie in S3 -------------------------------------------------------------------
 */

static enum status spill(struct dynamodb_work *work, const char *id, enum item_part part,
                         const struct record_payload *payload, struct item_spill *ret_spill,
                         struct error *err)
{
    struct dynamodb *dynamodb = work->dynamodb;
    char hex[SHA256_HEX_SIZE];
    *ret_spill = (struct item_spill){.key = {NULL, 0}};
    if (item_payload_size(payload) <= ITEM_INLINE_MAX) return STATUS_OK;
    if (!dynamodb->s3)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "%s of %zu bytes: more than %d are kept in S3, and data.results_spill names no "
                    "place there",
                    item_part_name(part), payload->bytes.size, ITEM_INLINE_MAX);
    sha256_of(payload->bytes, ret_spill->hash);
    sha256_hex(ret_spill->hash, hex);
    size_t size = dynamodb->spill.key.size + RECORD_ID_SIZE + SHA256_HEX_SIZE + 16;
    char *key = arena_try_new(&work->arena, size);
    if (!key) return fail(err, STATUS_EXHAUSTED, "no memory for a payload's name");
    int length = snprintf(key, size, "%.*s%s%s/%s-%.16s", STR_ARGS(dynamodb->spill.key),
                          dynamodb->spill.key.size ? "/" : "", id, item_part_name(part), hex);
    ret_spill->key = (struct str){key, (size_t)length};
    return aws_s3_put(dynamodb->s3, (struct aws_s3_place){dynamodb->spill.bucket, ret_spill->key},
                      payload->bytes, STR("application/octet-stream"), err);
}

void dynamodb_forget_spill(struct dynamodb_work *work, const struct item_spill *spill)
{
    struct error unheard;
    if (!spill->key.data || !work->dynamodb->s3) return;
    (void)!aws_s3_delete(work->dynamodb->s3,
                         (struct aws_s3_place){work->dynamodb->spill.bucket, spill->key}, &unheard);
}

static enum status fetch_spill(struct dynamodb_work *work, struct item *item, enum item_part part,
                               struct error *err)
{
    struct dynamodb *dynamodb = work->dynamodb;
    const struct item_spill *spill = &item->spills[part];
    uint8_t hash[SHA256_SIZE];
    struct str bytes;
    if (!spill->key.data) return STATUS_OK;
    if (!dynamodb->s3)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "the %s of record '%s' lies in S3, and data.results_spill names no place there",
                    item_part_name(part), item->record.id);
    const struct aws_s3_place place = {dynamodb->spill.bucket, spill->key};
    enum status status =
        aws_s3_get(dynamodb->s3, place, RECORD_PAYLOAD_MAX, &work->arena, &bytes, err);
    if (status == STATUS_NOT_FOUND)
        return fail(err, STATUS_DATA_LOSS, "the %s of record '%s' is not in S3 any more",
                    item_part_name(part), item->record.id);
    TRY(status);
    sha256_of(bytes, hash);
    if (memcmp(hash, spill->hash, SHA256_SIZE) != 0)
        return fail(err, STATUS_DATA_LOSS, "the %s of record '%s' is not what was written to S3",
                    item_part_name(part), item->record.id);
    item_payload(&item->record, part)->bytes = bytes;
    return STATUS_OK;
}

enum status dynamodb_give(struct dynamodb_work *work, struct item *item, bool with_payloads,
                          struct arena *arena, struct record *ret_record, struct error *err)
{
    for (int part = 0; with_payloads && part < ITEM_PART_COUNT; part++)
        TRY(fetch_spill(work, item, (enum item_part)part, err));
    if (!with_payloads) item->record.loan = (struct record_payload){.keep = RECORD_KEEP_INLINE};
    return record_copy(&item->record, with_payloads, arena, ret_record, err);
}

/* --- puts --------------------------------------------------------------------------------------
 */

static uint64_t expiry_of(const struct dynamodb *dynamodb, enum record_state state,
                          uint64_t done_us)
{
    if (dynamodb->keep_age_ns == 0 || !record_state_is_final(state)) return 0;
    return (done_us + dynamodb->keep_age_ns / NS_PER_US) / 1000000 + 1;
}

/* What is not there, or not any more; `old_id`: or is this record's. */
static void add_absence(struct json_writer *json, const struct dynamodb_work *work,
                        const char *old_id)
{
    static const char *const names[] = {"pk", "expires_at", NULL};
    static const char *const names_and_id[] = {"pk", "expires_at", "id", NULL};
    json_put_string(json, STR("ConditionExpression"),
                    old_id ? STR("attribute_not_exists(#pk) OR #expires_at < :now OR #id = :old")
                           : STR("attribute_not_exists(#pk) OR #expires_at < :now"));
    dynamodb_add_names(json, old_id ? names_and_id : names);
    json_add_name(json, STR("ExpressionAttributeValues"));
    json_begin_object(json);
    json_add_name(json, STR(":now"));
    item_add_number(json, work->now_s);
    if (old_id) {
        json_add_name(json, STR(":old"));
        item_add_text(json, str_of(old_id));
    }
    json_end_object(json);
}

static enum status put_plain(struct dynamodb_work *work, const struct record *record,
                             const struct item_spill *spills, struct error *err)
{
    struct dynamodb_body body;
    struct aws_reply reply;
    dynamodb_body_init(&body, work);
    json_add_name(&body.json, STR("Item"));
    item_write(&body.json, record, spills,
               expiry_of(work->dynamodb, record->state, record->done_us));
    add_absence(&body.json, work, NULL);
    enum status status = dynamodb_ask(work, "PutItem", &body, &reply, err);
    return aws_reply_is(&reply, "ConditionalCheckFailedException") ? STATUS_OK : status;
}

/* What a transaction that was not made says: of the key, and of the record. */
struct refusal {
    bool key_is_known;
    bool record_is_known;
    bool conflict;               /* another transaction: again */
    char id[RECORD_ID_SIZE + 1]; /* of the known key */
};

static enum status read_reason(struct dynamodb_work *work, struct str reason, bool *ret_known,
                               struct refusal *refusal, struct error *err)
{
    struct str code;
    struct item item;
    bool found;
    if (!dynamodb_member(reason, "Code", &code)) return STATUS_OK;
    if (str_equal(code, STR("\"ConditionalCheckFailed\""))) {
        *ret_known = true;
        TRY(dynamodb_read_member(work, reason, "Item", &item, &found, err));
        if (found && ret_known == &refusal->key_is_known)
            memcpy(refusal->id, item.record.id, sizeof refusal->id);
    } else if (!str_equal(code, STR("\"None\""))) {
        refusal->conflict = true;
    }
    return STATUS_OK;
}

static enum status read_refusal(struct dynamodb_work *work, struct str body,
                                struct refusal *refusal, struct error *err)
{
    struct json_reader reader;
    struct str reasons, reason;
    bool more;
    *refusal = (struct refusal){.conflict = false};
    if (!dynamodb_member(body, "CancellationReasons", &reasons))
        return fail(err, STATUS_UNAVAILABLE, "DynamoDB gives no reason for its refusal");
    json_reader_init(&reader, reasons, &work->arena);
    TRY(json_open_array(&reader, err));
    for (int i = 0;; i++) {
        TRY(json_next_element(&reader, &more, err));
        if (!more) return STATUS_OK;
        TRY(json_read_raw(&reader, &reason, err));
        TRY(read_reason(work, reason, i == 0 ? &refusal->key_is_known : &refusal->record_is_known,
                        refusal, err));
    }
}

static void begin_put(struct json_writer *json, const struct dynamodb_work *work)
{
    json_begin_object(json);
    json_add_name(json, STR("Put"));
    json_begin_object(json);
    json_put_string(json, STR("TableName"), str_of(work->dynamodb->table));
    json_put_string(json, STR("ReturnValuesOnConditionCheckFailure"), STR("ALL_OLD"));
    json_add_name(json, STR("Item"));
}

static void end_put(struct json_writer *json)
{
    json_end_object(json);
    json_end_object(json);
}

static enum status write_key_item(struct json_writer *json, const struct record *record,
                                  uint64_t expires_s, struct error *err)
{
    struct buffer pk;
    buffer_init(&pk, KEY_SIZE_MAX);
    item_print_idempotency_key(&pk, record->model, record->key);
    bool failed = buffer_failed(&pk);
    json_begin_object(json);
    json_add_name(json, STR("pk"));
    item_add_text(json, buffer_view(&pk));
    json_add_name(json, STR("id"));
    item_add_text(json, str_of(record->id));
    if (expires_s) {
        json_add_name(json, STR("expires_at"));
        item_add_number(json, expires_s);
    }
    json_end_object(json);
    buffer_clear(&pk);
    if (!failed) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "model and idempotency key of %zu bytes together: DynamoDB takes %d",
                record->model.size + record->key.size, KEY_SIZE_MAX);
}

/* Key and record, or neither. *refusal says why not; `old_id`: the key may be taken from it. */
static enum status transact(struct dynamodb_work *work, const struct record *record,
                            const struct item_spill *spills, const char *old_id,
                            struct refusal *refusal, struct error *err)
{
    struct buffer text;
    struct json_writer json;
    struct aws_reply reply;
    uint64_t expires_s = expiry_of(work->dynamodb, record->state, record->done_us);
    *refusal = (struct refusal){.conflict = false};
    buffer_init(&text, DYNAMODB_BODY_MAX);
    json_writer_init(&json, &text);
    json_begin_object(&json);
    json_add_name(&json, STR("TransactItems"));
    json_begin_array(&json);
    begin_put(&json, work);
    enum status status = write_key_item(&json, record, expires_s, err);
    add_absence(&json, work, old_id);
    end_put(&json);
    begin_put(&json, work);
    item_write(&json, record, spills, expires_s);
    add_absence(&json, work, NULL);
    end_put(&json);
    json_end_array(&json);
    json_end_object(&json);
    if (status != STATUS_OK) {
        buffer_clear(&text);
        return status;
    }
    status = dynamodb_send(work, "TransactWriteItems", &text, &reply, err);
    if (!aws_reply_is(&reply, "TransactionCanceledException")) return status;
    return read_refusal(work, reply.body, refusal, err);
}

/* One record with a key, until it is there or another one with that key is. */
struct admission {
    const struct record *record;
    struct item_spill spills[ITEM_PART_COUNT];
    char old_id[RECORD_ID_SIZE + 1]; /* of a record that is gone, whose key is free */
    struct item known;               /* if existing */
    bool existing;
    bool settled;
};

static enum status try_admission(struct dynamodb_work *work, struct admission *admission,
                                 struct error *err)
{
    struct refusal refusal;
    const struct record *record = admission->record;
    TRY(transact(work, record, admission->spills, *admission->old_id ? admission->old_id : NULL,
                 &refusal, err));
    /* Known by its own id: an earlier request of ours, whose answer was lost. */
    bool own = refusal.key_is_known && strcmp(refusal.id, record->id) == 0;
    bool made = !refusal.key_is_known && !refusal.record_is_known && !refusal.conflict;
    if (made || own || (refusal.record_is_known && !refusal.key_is_known)) {
        admission->settled = true;
        return STATUS_OK;
    }
    if (!refusal.key_is_known) return STATUS_OK;
    TRY(get_record(work, str_of(refusal.id), &admission->known, &admission->existing, err));
    admission->settled = admission->existing;
    memcpy(admission->old_id, refusal.id, sizeof admission->old_id);
    return STATUS_OK;
}

static enum status admit(struct dynamodb_work *work, struct admission *admission, struct error *err)
{
    struct record copy = *admission->record;
    for (int part = 0; part < ITEM_PART_COUNT; part++)
        TRY(spill(work, copy.id, (enum item_part)part, item_payload(&copy, (enum item_part)part),
                  &admission->spills[part], err));
    for (unsigned i = 0; i < DYNAMODB_CONFLICTS_MAX; i++) {
        TRY(try_admission(work, admission, err));
        if (admission->settled) return STATUS_OK;
        dynamodb_pause(i);
    }
    return fail(err, STATUS_ABORTED,
                "idempotency key '%.*s' of model '%.*s' is being written by "
                "others, again and again",
                STR_ARGS(copy.key), STR_ARGS(copy.model));
}

static enum status put_one(struct dynamodb_work *work, const struct record *record,
                           struct error *err)
{
    struct admission admission = {.record = record};
    struct record copy = *record;
    if (record->key.data) return admit(work, &admission, err);
    for (int part = 0; part < ITEM_PART_COUNT; part++)
        TRY(spill(work, copy.id, (enum item_part)part, item_payload(&copy, (enum item_part)part),
                  &admission.spills[part], err));
    return put_plain(work, record, admission.spills, err);
}

/* A share of a call's records, on a thread. */
struct put_share {
    struct dynamodb_work work;
    const struct record *records;
    size_t count;
    enum status status;
    struct error error;
    pthread_t thread;
    bool started;
};

static void *put_share(void *context)
{
    struct put_share *share = context;
    for (size_t i = 0; i < share->count && share->status == STATUS_OK; i++) {
        share->status = put_one(&share->work, &share->records[i], &share->error);
        arena_reset(&share->work.arena);
    }
    return NULL;
}

/* Many records go over several connections at once. */
static enum status run_put(struct dynamodb_work *work, struct store_call *call, struct error *err)
{
    const struct store_put *put = &call->put;
    struct put_share shares[PUT_THREADS_MAX];
    enum status status = STATUS_OK;
    size_t count = MIN(put->count / PUT_SHARE_MIN + 1, (size_t)PUT_THREADS_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t start = put->count * i / count, end = put->count * (i + 1) / count;
        shares[i] = (struct put_share){.work = {.dynamodb = work->dynamodb, .now_s = work->now_s},
                                       .records = put->records + start,
                                       .count = end - start,
                                       .status = STATUS_OK};
        arena_init(&shares[i].work.arena, ITEM_ARENA_MAX);
        if (i + 1 < count)
            shares[i].started = pthread_create(&shares[i].thread, NULL, put_share, &shares[i]) == 0;
        if (!shares[i].started) put_share(&shares[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (shares[i].started) (void)pthread_join(shares[i].thread, NULL);
        arena_clear(&shares[i].work.arena);
        if (status == STATUS_OK && shares[i].status != STATUS_OK)
            status = fail_again(err, &shares[i].error);
    }
    return status;
}

static enum status run_admit(struct dynamodb_work *work, struct store_call *call, struct error *err)
{
    struct store_admit *admit_call = &call->admit;
    const struct record *record = admit_call->record;
    struct admission admission = {.record = record};
    admit_call->existing = false;
    TRY(admit(work, &admission, err));
    if (!admission.existing) return STATUS_OK;
    TRY(dynamodb_give(work, &admission.known, true, call->arena, &admit_call->found, err));
    if (memcmp(admit_call->found.key_hash, record->key_hash, SHA256_SIZE) != 0)
        return fail(err, STATUS_ALREADY_EXISTS,
                    "idempotency key '%.*s' was used with another input for model '%.*s'",
                    STR_ARGS(record->key), STR_ARGS(record->model));
    admit_call->existing = true;
    return STATUS_OK;
}

/* --- gets --------------------------------------------------------------------------------------
 */

static enum status no_record(struct str id, struct error *err)
{
    return fail(err, STATUS_NOT_FOUND, "there is no record '%.*s'", STR_ARGS(id));
}

static enum status get_by_key(struct dynamodb_work *work, const struct store_get *get,
                              struct item *ret_item, bool *ret_found, struct error *err)
{
    struct buffer pk;
    struct item key;
    buffer_init(&pk, KEY_SIZE_MAX);
    item_print_idempotency_key(&pk, get->model, get->key);
    *ret_found = false;
    enum status status = STATUS_OK;
    if (!buffer_failed(&pk)) status = dynamodb_get(work, buffer_view(&pk), &key, ret_found, err);
    buffer_clear(&pk);
    TRY(status);
    if (!*ret_found) return STATUS_OK;
    return get_record(work, str_of(key.record.id), ret_item, ret_found, err);
}

static enum status run_get(struct dynamodb_work *work, struct store_call *call, struct error *err)
{
    struct store_get *get = &call->get;
    struct item item;
    bool found;
    if (get->id.size)
        TRY(get_record(work, get->id, &item, &found, err));
    else
        TRY(get_by_key(work, get, &item, &found, err));
    if (found)
        return dynamodb_give(work, &item, !get->without_payloads, call->arena, &get->record, err);
    if (get->id.size) return no_record(get->id, err);
    return fail(err, STATUS_NOT_FOUND, "model '%.*s' has no record with key '%.*s'",
                STR_ARGS(get->model), STR_ARGS(get->key));
}

/* --- changes -----------------------------------------------------------------------------------
 */

/* An UpdateItem that is being written: what is set and removed, with names and values. */
struct update {
    struct buffer set;
    struct buffer removed;
    struct buffer names;
    struct buffer values;
    struct json_writer name_writer;
    struct json_writer value_writer;
};

static void update_init(struct update *update)
{
    buffer_init(&update->set, DYNAMODB_BODY_MAX);
    buffer_init(&update->removed, DYNAMODB_BODY_MAX);
    buffer_init(&update->names, DYNAMODB_BODY_MAX);
    buffer_init(&update->values, DYNAMODB_BODY_MAX);
    json_writer_init(&update->name_writer, &update->names);
    json_writer_init(&update->value_writer, &update->values);
    json_begin_object(&update->name_writer);
    json_begin_object(&update->value_writer);
}

static void update_clear(struct update *update)
{
    buffer_clear(&update->set);
    buffer_clear(&update->removed);
    buffer_clear(&update->names);
    buffer_clear(&update->values);
}

static void update_name(struct update *update, const char *name)
{
    char marked[40];
    (void)snprintf(marked, sizeof marked, "#%s", name);
    json_put_string(&update->name_writer, str_of(marked), str_of(name));
}

/* The value's writer, for exactly one value of ":name". */
static struct json_writer *update_value(struct update *update, const char *name)
{
    char marked[40];
    (void)snprintf(marked, sizeof marked, ":%s", name);
    json_add_name(&update->value_writer, str_of(marked));
    return &update->value_writer;
}

static struct json_writer *update_set(struct update *update, const char *name)
{
    buffer_add_format(&update->set, "%s#%s = :%s", update->set.size ? ", " : "SET ", name, name);
    update_name(update, name);
    return update_value(update, name);
}

static void update_remove(struct update *update, const char *name)
{
    buffer_add_format(&update->removed, "%s#%s", update->removed.size ? ", " : " REMOVE ", name);
    update_name(update, name);
}

static void set_text(struct update *update, const char *name, struct str text)
{
    if (text.data) item_add_text(update_set(update, name), text);
}

static void set_number(struct update *update, const char *name, uint64_t number, bool set)
{
    if (set) item_add_number(update_set(update, name), number);
}

/* Every attribute that a payload may have is set or removed, so that nothing of an older one stays.
 */
static void set_payload(struct update *update, enum item_part part,
                        const struct record_payload *payload, const struct item_spill *spill)
{
    const char *base = item_part_name(part);
    char names[9][32];
    static const char *const ends[9] = {"_header_size", "_size", "_keep",    "_bytes", "_type",
                                        "_hash",        "_at",   "_at_hash", ""};
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        (void)snprintf(names[i], sizeof names[i], "%s%s", base, ends[i]);
    const uint64_t numbers[4] = {payload->header_size, payload->size, payload->keep,
                                 item_payload_size(payload)};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) set_number(update, names[i], numbers[i], true);
    const struct {
        bool present;
        bool is_text;
        struct str value;
    } rest[5] = {
        {payload->type.data != NULL, true, payload->type},
        {payload->hashed, false, {(const char *)payload->hash, SHA256_SIZE}},
        {spill->key.data != NULL, true, spill->key},
        {spill->key.data != NULL, false, {(const char *)spill->hash, SHA256_SIZE}},
        {payload->bytes.data && !spill->key.data, false, payload->bytes},
    };
    for (size_t i = 0; i < COUNT_OF(rest); i++) {
        if (!rest[i].present)
            update_remove(update, names[4 + i]);
        else if (rest[i].is_text)
            item_add_text(update_set(update, names[4 + i]), rest[i].value);
        else
            item_add_bytes(update_set(update, names[4 + i]), rest[i].value);
    }
}

static const struct record_payload no_payload = {.keep = RECORD_KEEP_INLINE};

/* A change as it is made. */
struct changing {
    struct store_change *change;
    struct item_spill spills[ITEM_PART_COUNT];
    char token[17];  /* of this change and no other */
    struct item old; /* as it was */
};

static void set_payloads(struct update *update, const struct changing *changing)
{
    const struct store_change *change = changing->change;
    bool final = record_state_is_final(change->to), output = change->output || change->clear_output;
    const struct record_payload *loan = change->loan ? change->loan : &no_payload;
    if (output)
        set_payload(update, ITEM_OUTPUT, change->output ? change->output : &no_payload,
                    &changing->spills[ITEM_OUTPUT]);
    if (final) set_payload(update, ITEM_LOAN, loan, &changing->spills[ITEM_LOAN]);
    if (final && change->loan) set_number(update, "lent", 1, true);
    if (final && !change->loan) update_remove(update, "lent");
    if (!output && !final) return;
    uint64_t bytes = ITEM_BASE_SIZE + item_payload_size(loan);
    if (change->output) bytes += item_payload_size(change->output);
    buffer_add_text(&update->set, ", #bytes = #input_bytes + :more");
    update_name(update, "bytes");
    update_name(update, "input_bytes");
    item_add_number(update_value(update, "more"), bytes);
}

static void set_error(struct update *update, const struct store_change *change)
{
    if (!change->set_status) return;
    set_number(update, "status", change->status, true);
    if (change->error.data)
        set_text(update, "error", change->error);
    else
        update_remove(update, "error");
}

static void write_change(struct update *update, const struct dynamodb_work *work,
                         const struct changing *changing)
{
    const struct store_change *change = changing->change;
    uint64_t expires_s = expiry_of(work->dynamodb, change->to,
                                   change->done_us ? change->done_us : work->now_s * 1000000);
    set_number(update, "state", change->to, true);
    set_number(update, "queued_us", change->queued_us, change->queued_us != 0);
    set_number(update, "started_us", change->started_us, change->started_us != 0);
    set_number(update, "done_us", change->done_us, change->done_us != 0 || change->clear_output);
    set_error(update, change);
    set_text(update, "version", change->version);
    set_text(update, "digest", change->digest);
    set_text(update, "variant", change->variant);
    set_text(update, "message_id", change->message_id);
    if (change->progress >= 0) item_add_progress(update_set(update, "progress"), change->progress);
    set_payloads(update, changing);
    set_text(update, "change", str_of(changing->token));
    buffer_add_text(&update->set, ", #change_was = #state, #attempts = #attempts + :attempts");
    update_name(update, "change_was");
    update_name(update, "attempts");
    item_add_number(update_value(update, "attempts"), (uint64_t)MAX(change->attempts_add, 0));
    if (expires_s)
        set_number(update, "expires_at", expires_s, true);
    else
        update_remove(update, "expires_at");
}

/* Live, and in one of the states. */
static void write_states(struct update *update, const struct dynamodb_work *work, unsigned from,
                         struct buffer *condition)
{
    char name[16];
    bool first = true;
    buffer_add_text(condition, "attribute_exists(#pk) AND (attribute_not_exists(#expires_at) OR "
                               "#expires_at >= :now)");
    update_name(update, "pk");
    item_add_number(update_value(update, "now"), work->now_s);
    if (from == 0) return;
    buffer_add_text(condition, " AND #state IN (");
    for (unsigned state = 0; state < RECORD_STATE_COUNT; state++) {
        if (!(from & 1U << state)) continue;
        (void)snprintf(name, sizeof name, "from%u", state);
        buffer_add_format(condition, "%s:%s", first ? "" : ", ", name);
        item_add_number(update_value(update, name), state);
        first = false;
    }
    buffer_add_byte(condition, ')');
}

static enum status send_update(struct dynamodb_work *work, struct update *update, struct str id,
                               struct str condition, struct aws_reply *reply, struct error *err)
{
    struct dynamodb_body body;
    struct buffer pk;
    buffer_init(&pk, KEY_SIZE_MAX);
    item_print_record_key(&pk, id);
    json_end_object(&update->name_writer);
    json_end_object(&update->value_writer);
    buffer_add(&update->set, buffer_view(&update->removed));
    dynamodb_body_init(&body, work);
    dynamodb_add_key(&body.json, buffer_view(&pk));
    json_put_string(&body.json, STR("UpdateExpression"), buffer_view(&update->set));
    json_put_string(&body.json, STR("ConditionExpression"), condition);
    json_add_name(&body.json, STR("ExpressionAttributeNames"));
    json_add_raw(&body.json, buffer_view(&update->names));
    json_add_name(&body.json, STR("ExpressionAttributeValues"));
    json_add_raw(&body.json, buffer_view(&update->values));
    json_put_string(&body.json, STR("ReturnValues"), STR("ALL_OLD"));
    json_put_string(&body.json, STR("ReturnValuesOnConditionCheckFailure"), STR("ALL_OLD"));
    body.text.failed |= update->set.failed || update->names.failed || update->values.failed;
    buffer_clear(&pk);
    return dynamodb_ask(work, "UpdateItem", &body, reply, err);
}

/* The condition did not hold: there is none, it is in another state, or it was us before. */
static enum status explain_change(struct dynamodb_work *work, struct changing *changing,
                                  const struct aws_reply *reply, struct error *err)
{
    struct store_change *change = changing->change;
    struct item item;
    bool found;
    TRY(dynamodb_read_member(work, reply->body, "Item", &item, &found, err));
    if (!found || !dynamodb_is_live(work, &item)) return no_record(change->id, err);
    if (str_equal(item.change.data ? item.change : STR_EMPTY, str_of(changing->token))) {
        change->was = (enum record_state)MIN(item.change_was, (uint64_t)RECORD_EXPIRED);
        changing->old =
            (struct item){.record = {.model = item.record.model, .key = item.record.key}};
        return STATUS_OK;
    }
    change->was = item.record.state;
    return fail(err, STATUS_FAILED_PRECONDITION, "record '%.*s' is %s: it cannot become %s",
                STR_ARGS(change->id), record_state_text(change->was),
                record_state_text(change->to));
}

/* An idempotency key is kept as long as its record. It is no harm if this is not done: a key whose
 * record is gone does not count. */
static void keep_key(struct dynamodb_work *work, const struct changing *changing)
{
    static const char *const names[] = {"id", "expires_at", NULL};
    const struct record *record = &changing->old.record;
    const struct store_change *change = changing->change;
    struct dynamodb_body body;
    struct aws_reply reply;
    struct error unheard;
    struct buffer pk;
    uint64_t expires_s = expiry_of(work->dynamodb, change->to,
                                   change->done_us ? change->done_us : work->now_s * 1000000);
    if (!record->key.data || !expires_s) return;
    buffer_init(&pk, KEY_SIZE_MAX);
    item_print_idempotency_key(&pk, record->model, record->key);
    dynamodb_body_init(&body, work);
    dynamodb_add_key(&body.json, buffer_view(&pk));
    json_put_string(&body.json, STR("UpdateExpression"), STR("SET #expires_at = :expires"));
    json_put_string(&body.json, STR("ConditionExpression"), STR("#id = :id"));
    dynamodb_add_names(&body.json, names);
    json_add_name(&body.json, STR("ExpressionAttributeValues"));
    json_begin_object(&body.json);
    json_add_name(&body.json, STR(":expires"));
    item_add_number(&body.json, expires_s);
    json_add_name(&body.json, STR(":id"));
    item_add_text(&body.json, change->id);
    json_end_object(&body.json);
    (void)!dynamodb_ask(work, "UpdateItem", &body, &reply, &unheard);
    buffer_clear(&pk);
}

/* What S3 holds of payloads that are no part of the record any more. */
static void forget_old_spills(struct dynamodb_work *work, const struct changing *changing)
{
    const struct store_change *change = changing->change;
    const struct item_spill *old = changing->old.spills;
    bool same = old[ITEM_OUTPUT].key.data && changing->spills[ITEM_OUTPUT].key.data &&
                str_equal(old[ITEM_OUTPUT].key, changing->spills[ITEM_OUTPUT].key);
    if ((change->output || change->clear_output) && !same)
        dynamodb_forget_spill(work, &old[ITEM_OUTPUT]);
    same = old[ITEM_LOAN].key.data && changing->spills[ITEM_LOAN].key.data &&
           str_equal(old[ITEM_LOAN].key, changing->spills[ITEM_LOAN].key);
    if (record_state_is_final(change->to) && !same) dynamodb_forget_spill(work, &old[ITEM_LOAN]);
}

static enum status send_change(struct dynamodb_work *work, struct changing *changing,
                               struct error *err)
{
    struct update update;
    struct buffer condition;
    struct aws_reply reply;
    bool found;
    update_init(&update);
    buffer_init(&condition, 1024);
    write_change(&update, work, changing);
    write_states(&update, work, changing->change->from, &condition);
    enum status status =
        send_update(work, &update, changing->change->id, buffer_view(&condition), &reply, err);
    update_clear(&update);
    buffer_clear(&condition);
    if (aws_reply_is(&reply, "ConditionalCheckFailedException"))
        return explain_change(work, changing, &reply, err);
    TRY(status);
    TRY(dynamodb_read_member(work, reply.body, "Attributes", &changing->old, &found, err));
    changing->change->was = changing->old.record.state;
    return STATUS_OK;
}

static enum status run_change(struct dynamodb_work *work, struct store_call *call,
                              struct error *err)
{
    struct store_change *change = &call->change;
    struct changing changing = {.change = change};
    char id[RECORD_ID_SIZE + 1] = "";
    memcpy(id, change->id.data, RECORD_ID_SIZE);
    (void)snprintf(changing.token, sizeof changing.token, "%016llx",
                   (unsigned long long)prng_seed_from_system());
    if (change->output)
        TRY(spill(work, id, ITEM_OUTPUT, change->output, &changing.spills[ITEM_OUTPUT], err));
    if (change->loan)
        TRY(spill(work, id, ITEM_LOAN, change->loan, &changing.spills[ITEM_LOAN], err));
    TRY(send_change(work, &changing, err));
    forget_old_spills(work, &changing);
    keep_key(work, &changing);
    return STATUS_OK;
}

static enum status run_label(struct dynamodb_work *work, struct store_call *call, struct error *err)
{
    struct store_label *label = &call->label;
    struct update update;
    struct buffer condition;
    struct aws_reply reply;
    update_init(&update);
    buffer_init(&condition, 1024);
    if (label->label.size)
        set_text(&update, "label", label->label);
    else
        update_remove(&update, "label");
    update_name(&update, "expires_at");
    write_states(&update, work, 0, &condition);
    enum status status =
        send_update(work, &update, label->id, buffer_view(&condition), &reply, err);
    update_clear(&update);
    buffer_clear(&condition);
    if (aws_reply_is(&reply, "ConditionalCheckFailedException")) return no_record(label->id, err);
    return status;
}

/* --- the kind ----------------------------------------------------------------------------------
 */

static enum status run_work(struct dynamodb_work *work, struct store_call *call, struct error *err)
{
    switch (call->operation) {
    case STORE_PUT: return run_put(work, call, err);
    case STORE_ADMIT: return run_admit(work, call, err);
    case STORE_CHANGE: return run_change(work, call, err);
    case STORE_LABEL: return run_label(work, call, err);
    case STORE_PRUNE: return dynamodb_run_prune(work, call, err);
    case STORE_GET: return run_get(work, call, err);
    case STORE_LIST: return dynamodb_run_list(work, call, err);
    case STORE_STATISTICS: return dynamodb_run_statistics(work, call, err);
    }
    return fail(err, STATUS_UNIMPLEMENTED, "operation %d of the store", call->operation);
}

static enum status run(struct store *store, struct database_session *session,
                       struct store_call *call, struct error *err)
{
    struct dynamodb_work work = {.dynamodb = database_state(store->database),
                                 .now_s = session->now_ms / 1000};
    arena_init(&work.arena, ITEM_ARENA_MAX);
    enum status status = run_work(&work, call, err);
    arena_clear(&work.arena);
    return status;
}

static void close_store(struct store *store)
{
    mem_free(store);
}

static const struct store_ops ops = {"dynamodb", run, close_store};

enum status store_dynamodb_new(struct database *database, struct store **ret_store,
                               struct error *err UNUSED)
{
    struct store *store = MEM_NEW(struct store);
    *store = (struct store){&ops, database};
    *ret_store = store;
    return STATUS_OK;
}
