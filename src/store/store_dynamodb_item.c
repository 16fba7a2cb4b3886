/* Attributes, one by one. */
#include "store/store_dynamodb_item.h"

#include "base/base64.h"
#include "base/num.h"

#include <stddef.h>

enum { NAME_SIZE = 32 };

/* --- names -------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    size_t offset;
} texts[] = {
    {"model", offsetof(struct record, model)},
    {"version", offsetof(struct record, version)},
    {"digest", offsetof(struct record, digest)},
    {"variant", offsetof(struct record, variant)},
    {"key", offsetof(struct record, key)},
    {"trace_id", offsetof(struct record, trace_id)},
    {"request_id", offsetof(struct record, request_id)},
    {"queue", offsetof(struct record, queue)},
    {"message_id", offsetof(struct record, message_id)},
    {"message_group", offsetof(struct record, group)},
    {"error", offsetof(struct record, error)},
    {"label", offsetof(struct record, label)},
    {"callback", offsetof(struct record, callback)},
};

static const struct {
    const char *name;
    size_t offset;
} numbers[] = {
    {"received_us", offsetof(struct record, received_us)},
    {"queued_us", offsetof(struct record, queued_us)},
    {"started_us", offsetof(struct record, started_us)},
    {"done_us", offsetof(struct record, done_us)},
    {"start_us", offsetof(struct record, start_us)},
    {"expires_us", offsetof(struct record, expires_us)},
};

static const char *const parts[ITEM_PART_COUNT] = {"input", "output", "loan"};

const char *item_part_name(enum item_part part)
{
    return parts[part];
}

struct record_payload *item_payload(struct record *record, enum item_part part)
{
    if (part == ITEM_INPUT) return &record->input;
    return part == ITEM_OUTPUT ? &record->output : &record->loan;
}

static struct str text_of(const struct record *record, size_t offset)
{
    struct str text;
    memcpy(&text, (const char *)record + offset, sizeof text);
    return text;
}

static uint64_t number_of(const struct record *record, size_t offset)
{
    uint64_t number;
    memcpy(&number, (const char *)record + offset, sizeof number);
    return number;
}

void item_print_record_key(struct buffer *out, struct str id)
{
    buffer_add(out, STR("r#"));
    buffer_add(out, id);
}

/* The model's size comes first, so that no two pairs have one key. */
void item_print_idempotency_key(struct buffer *out, struct str model, struct str key)
{
    buffer_add_format(out, "k#%zu#", model.size);
    buffer_add(out, model);
    buffer_add_byte(out, '#');
    buffer_add(out, key);
}

unsigned item_shard(struct str id)
{
    assert(id.size == RECORD_ID_SIZE);
    return (unsigned char)id.data[RECORD_ID_SIZE - 1] % ITEM_SHARDS;
}

/* --- values ------------------------------------------------------------------------------------
 */

void item_add_text(struct json_writer *writer, struct str text)
{
    json_begin_object(writer);
    json_put_string(writer, STR("S"), text);
    json_end_object(writer);
}

void item_add_number(struct json_writer *writer, uint64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    json_begin_object(writer);
    json_put_string(writer, STR("N"), str_of(text));
    json_end_object(writer);
}

/* What is closer to nothing than DynamoDB's numbers is nothing. */
void item_add_progress(struct json_writer *writer, double progress)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%.17g", progress < 1e-100 ? 0 : progress);
    json_begin_object(writer);
    json_put_string(writer, STR("N"), str_of(text));
    json_end_object(writer);
}

void item_add_bytes(struct json_writer *writer, struct str bytes)
{
    json_begin_object(writer);
    json_add_name(writer, STR("B"));
    json_add_raw(writer, STR("\""));
    base64_encode(writer->out, bytes);
    buffer_add_byte(writer->out, '"');
    json_end_object(writer);
}

static void add_name(struct json_writer *writer, const char *part, const char *end)
{
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof name, "%s%s", part, end);
    json_add_name(writer, str_of(name));
}

uint64_t item_payload_size(const struct record_payload *payload)
{
    return payload->bytes.data ? payload->bytes.size : 0;
}

void item_write_payload(struct json_writer *writer, enum item_part part,
                        const struct record_payload *payload, const struct item_spill *spill)
{
    const char *name = parts[part];
    const struct {
        const char *end;
        uint64_t number;
    } rows[] = {{"_header_size", payload->header_size},
                {"_size", payload->size},
                {"_keep", payload->keep},
                {"_bytes", item_payload_size(payload)}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        add_name(writer, name, rows[i].end);
        item_add_number(writer, rows[i].number);
    }
    if (payload->type.data) {
        add_name(writer, name, "_type");
        item_add_text(writer, payload->type);
    }
    if (payload->hashed) {
        add_name(writer, name, "_hash");
        item_add_bytes(writer, (struct str){(const char *)payload->hash, SHA256_SIZE});
    }
    if (spill->key.data) {
        add_name(writer, name, "_at");
        item_add_text(writer, spill->key);
        add_name(writer, name, "_at_hash");
        item_add_bytes(writer, (struct str){(const char *)spill->hash, SHA256_SIZE});
    } else if (payload->bytes.data) {
        json_add_name(writer, str_of(name));
        item_add_bytes(writer, payload->bytes);
    }
}

static void put_text(struct json_writer *writer, const char *name, struct str text)
{
    json_add_name(writer, str_of(name));
    item_add_text(writer, text);
}

static void put_number(struct json_writer *writer, const char *name, uint64_t number)
{
    json_add_name(writer, str_of(name));
    item_add_number(writer, number);
}

static void write_identity(struct json_writer *writer, const struct record *record)
{
    struct buffer key;
    char shard[2] = {(char)('0' + item_shard(str_of(record->id))), '\0'};
    buffer_init(&key, NAME_SIZE);
    item_print_record_key(&key, str_of(record->id));
    put_text(writer, "pk", buffer_view(&key));
    buffer_clear(&key);
    put_text(writer, "shard", str_of(shard));
    put_text(writer, "id", str_of(record->id));
}

void item_write(struct json_writer *writer, const struct record *record,
                const struct item_spill spills[ITEM_PART_COUNT], uint64_t expires_s)
{
    uint64_t bytes = ITEM_BASE_SIZE;
    json_begin_object(writer);
    write_identity(writer, record);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct str text = text_of(record, texts[i].offset);
        if (text.data) put_text(writer, texts[i].name, text);
    }
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        put_number(writer, numbers[i].name,
                   MIN(number_of(record, numbers[i].offset), (uint64_t)INT64_MAX));
    put_number(writer, "state", record->state);
    put_number(writer, "source", record->source);
    put_number(writer, "status", record->status);
    put_number(writer, "priority", record->priority);
    put_number(writer, "attempts", record->attempts);
    json_add_name(writer, STR("progress"));
    item_add_progress(writer, record->progress);
    if (record->key.data) {
        json_add_name(writer, STR("key_hash"));
        item_add_bytes(writer, (struct str){(const char *)record->key_hash, SHA256_SIZE});
    }
    struct record copy = *record;
    for (int part = 0; part < ITEM_PART_COUNT; part++) {
        const struct record_payload *payload = item_payload(&copy, (enum item_part)part);
        item_write_payload(writer, (enum item_part)part, payload, &spills[part]);
        bytes += item_payload_size(payload);
    }
    put_number(writer, "bytes", bytes);
    if (record->loan.bytes.data) put_number(writer, "lent", 1);
    if (expires_s) put_number(writer, "expires_at", expires_s);
    json_end_object(writer);
}

/* --- reading -----------------------------------------------------------------------------------
 */

/* One attribute's value: the type's letter, and its text (numbers as they stand). */
struct value {
    char kind;
    struct str text;
};

static enum status read_value(struct json_reader *reader, struct value *value, struct error *err)
{
    struct str kind;
    bool more;
    *value = (struct value){.kind = '?', .text = STR_EMPTY};
    TRY(json_open_object(reader, err));
    for (;;) {
        TRY(json_next_member(reader, &kind, &more, err));
        if (!more) return STATUS_OK;
        if (json_peek(reader) == JSON_STRING) {
            TRY(json_read_string(reader, &value->text, err));
            value->kind = kind.size == 1 ? kind.data[0] : '?';
        } else {
            TRY(json_skip(reader, err));
        }
    }
}

static uint64_t number_in(const struct value *value)
{
    uint64_t number;
    return value->kind == 'N' && num_read_u64(value->text, &number) ? number : 0;
}

static enum status bytes_in(const struct value *value, struct arena *arena, struct str *ret_bytes,
                            struct error *err)
{
    struct str bytes;
    if (value->kind != 'B') return STATUS_OK;
    TRY(base64_decode(value->text, arena, &bytes, err));
    *ret_bytes = bytes.size ? bytes : STR_EMPTY;
    return STATUS_OK;
}

static enum status hash_in(const struct value *value, struct arena *arena, uint8_t *hash,
                           bool *ret_set, struct error *err)
{
    struct str bytes = {NULL, 0};
    TRY(bytes_in(value, arena, &bytes, err));
    if (bytes.size != SHA256_SIZE) return STATUS_OK;
    memcpy(hash, bytes.data, SHA256_SIZE);
    *ret_set = true;
    return STATUS_OK;
}

static enum status read_part(struct item *item, enum item_part part, struct str end,
                             const struct value *value, struct arena *arena, struct error *err)
{
    struct record_payload *payload = item_payload(&item->record, part);
    struct item_spill *spill = &item->spills[part];
    bool ignored;
    if (end.size == 0) return bytes_in(value, arena, &payload->bytes, err);
    if (str_equal(end, STR("_hash")))
        return hash_in(value, arena, payload->hash, &payload->hashed, err);
    if (str_equal(end, STR("_at_hash"))) return hash_in(value, arena, spill->hash, &ignored, err);
    if (str_equal(end, STR("_type")))
        payload->type = value->text;
    else if (str_equal(end, STR("_at")))
        spill->key = value->text;
    else if (str_equal(end, STR("_header_size")))
        payload->header_size = number_in(value);
    else if (str_equal(end, STR("_size")))
        payload->size = number_in(value);
    else if (str_equal(end, STR("_keep")))
        payload->keep = (enum record_keep)MIN(number_in(value), (uint64_t)RECORD_KEEP_OMITTED);
    return STATUS_OK;
}

static bool read_text(struct record *record, struct str name, const struct value *value)
{
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (str_equal(name, str_of(texts[i].name))) {
            memcpy((char *)record + texts[i].offset, &value->text, sizeof value->text);
            return true;
        }
    return false;
}

static bool read_number(struct record *record, struct str name, uint64_t number)
{
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        if (str_equal(name, str_of(numbers[i].name))) {
            memcpy((char *)record + numbers[i].offset, &number, sizeof number);
            return true;
        }
    return false;
}

static bool read_small(struct item *item, struct str name, const struct value *value)
{
    uint64_t number = number_in(value);
    struct record *record = &item->record;
    if (str_equal(name, STR("state")))
        record->state = (enum record_state)MIN(number, (uint64_t)RECORD_STATE_COUNT);
    else if (str_equal(name, STR("source")))
        record->source = (enum record_source)MIN(number, (uint64_t)RECORD_SOURCE_COUNT);
    else if (str_equal(name, STR("status")))
        record->status = status_from_number((int64_t)MIN(number, (uint64_t)INT64_MAX));
    else if (str_equal(name, STR("priority")))
        record->priority = (uint32_t)MIN(number, (uint64_t)UINT32_MAX);
    else if (str_equal(name, STR("attempts")))
        record->attempts = (uint32_t)MIN(number, (uint64_t)UINT32_MAX);
    else if (str_equal(name, STR("progress")))
        (void)!num_read_double(value->text, &record->progress); /* else it stays 0 */
    else
        return false;
    return true;
}

static bool read_own(struct item *item, struct str name, const struct value *value)
{
    if (str_equal(name, STR("bytes")))
        item->bytes = number_in(value);
    else if (str_equal(name, STR("expires_at")))
        item->expires_s = number_in(value);
    else if (str_equal(name, STR("lent")))
        item->lent = true;
    else if (str_equal(name, STR("change")))
        item->change = value->text;
    else if (str_equal(name, STR("change_was")))
        item->change_was = number_in(value);
    else if (str_equal(name, STR("id")) && record_id_is_valid(value->text))
        memcpy(item->record.id, value->text.data, RECORD_ID_SIZE);
    else
        return false;
    return true;
}

static enum status read_attribute(struct item *item, struct str name, const struct value *value,
                                  struct arena *arena, struct error *err)
{
    bool ignored;
    if (str_equal(name, STR("key_hash")))
        return hash_in(value, arena, item->record.key_hash, &ignored, err);
    if (read_text(&item->record, name, value) || read_small(item, name, value) ||
        read_own(item, name, value) || read_number(&item->record, name, number_in(value)))
        return STATUS_OK;
    for (int part = 0; part < ITEM_PART_COUNT; part++) {
        struct str prefix = str_of(parts[part]);
        if (!str_starts_with(name, prefix)) continue;
        return read_part(item, (enum item_part)part, str_from(name, prefix.size), value, arena,
                         err);
    }
    return STATUS_OK;
}

enum status item_read(struct json_reader *reader, struct arena *arena, struct item *ret_item,
                      struct error *err)
{
    struct item item = {.record = {.model = STR_EMPTY, .state = RECORD_STATE_COUNT}};
    struct value value;
    struct str name;
    bool more;
    TRY(json_open_object(reader, err));
    for (;;) {
        TRY(json_next_member(reader, &name, &more, err));
        if (!more) break;
        TRY(read_value(reader, &value, err));
        TRY(read_attribute(&item, name, &value, arena, err));
    }
    *ret_item = item;
    return STATUS_OK;
}
