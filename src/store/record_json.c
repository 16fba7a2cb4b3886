/* Records to JSON and CSV. */
#include "store/record_json.h"

#include "base/base64.h"
#include "base/clock.h"

/* --- JSON ------------------------------------------------------------------------------------- */

static void put_text(struct json_writer *writer, struct str name, struct str value)
{
    if (value.size > 0) json_put_string(writer, name, value);
}

static void put_time(struct json_writer *writer, struct str name, uint64_t us)
{
    if (us > 0) json_put_u64(writer, name, us);
}

static struct str format_time(uint64_t us, char text[CLOCK_TEXT_SIZE])
{
    clock_format_utc(us * NS_PER_US, text);
    return str_of(text);
}

/* Strictly: what is embedded must not make the whole unreadable. */
static bool is_json(struct str text)
{
    struct json_reader reader;
    struct error err;
    json_reader_init(&reader, text, NULL);
    reader.depth_max = JSON_DEPTH_MAX - 8; /* it goes a few levels down */
    return json_skip(&reader, &err) == STATUS_OK && json_end(&reader, &err) == STATUS_OK;
}

/* On one line: line ends in JSON stand only where a space may. */
static void put_json(struct json_writer *writer, struct str name, struct str json)
{
    json_add_name(writer, name);
    size_t start = writer->out->size;
    json_add_raw(writer, json);
    for (size_t i = start; i < writer->out->size; i++)
        if (writer->out->data[i] == '\n' || writer->out->data[i] == '\r')
            writer->out->data[i] = ' ';
}

static void put_base64(struct json_writer *writer, struct str name, struct str bytes)
{
    json_add_name(writer, name);
    buffer_add_byte(writer->out, '"');
    base64_encode(writer->out, bytes);
    buffer_add_byte(writer->out, '"');
    writer->comma = true;
}

static void put_bytes(struct json_writer *writer, const struct record_payload *payload)
{
    struct str bytes = payload->bytes;
    if (!bytes.data) return;
    if (payload->header_size == 0 && is_json(bytes)) {
        put_json(writer, STR("json"), bytes);
    } else if (payload->header_size == 0 && str_is_utf8(bytes)) {
        json_put_string(writer, STR("text"), bytes);
    } else {
        put_base64(writer, STR("base64"), bytes);
    }
}

static void put_payload(struct json_writer *writer, struct str name,
                        const struct record_payload *payload)
{
    char hash[SHA256_HEX_SIZE];
    json_add_name(writer, name);
    json_begin_object(writer);
    json_put_string(writer, STR("keep"), str_of(record_keep_text(payload->keep)));
    put_text(writer, STR("type"), payload->type);
    if (payload->keep != RECORD_KEEP_OMITTED) json_put_u64(writer, STR("size"), payload->size);
    if (payload->header_size) json_put_u64(writer, STR("header_size"), payload->header_size);
    if (payload->hashed) {
        sha256_hex(payload->hash, hash);
        json_put_string(writer, STR("sha256"), str_of(hash));
    }
    put_bytes(writer, payload);
    json_end_object(writer);
}

static void put_texts(struct json_writer *writer, const struct record *record)
{
    put_text(writer, STR("error"), record->error);
    put_text(writer, STR("key"), record->key);
    put_text(writer, STR("trace_id"), record->trace_id);
    put_text(writer, STR("request_id"), record->request_id);
    put_text(writer, STR("queue"), record->queue);
    put_text(writer, STR("message_id"), record->message_id);
    put_text(writer, STR("group"), record->group);
}

static void put_times(struct json_writer *writer, const struct record *record)
{
    char text[CLOCK_TEXT_SIZE];
    if (record->received_us > 0)
        json_put_string(writer, STR("received"), format_time(record->received_us, text));
    put_time(writer, STR("received_us"), record->received_us);
    put_time(writer, STR("queued_us"), record->queued_us);
    put_time(writer, STR("started_us"), record->started_us);
    put_time(writer, STR("done_us"), record->done_us);
}

static void put_job(struct json_writer *writer, const struct record *record)
{
    if (record->attempts) json_put_u64(writer, STR("attempts"), record->attempts);
    if (record->priority) json_put_u64(writer, STR("priority"), record->priority);
    put_time(writer, STR("start_us"), record->start_us);
    put_time(writer, STR("expires_us"), record->expires_us);
    if (record->progress > 0) json_put_double(writer, STR("progress"), record->progress);
}

void record_write_json(struct json_writer *writer, const struct record *record)
{
    json_begin_object(writer);
    json_put_string(writer, STR("id"), str_of(record->id));
    json_put_string(writer, STR("model"), record->model);
    put_text(writer, STR("version"), record->version);
    put_text(writer, STR("digest"), record->digest);
    put_text(writer, STR("variant"), record->variant);
    json_put_string(writer, STR("source"), str_of(record_source_text(record->source)));
    json_put_string(writer, STR("state"), str_of(record_state_text(record->state)));
    json_put_string(writer, STR("status"), str_of(status_name(record->status)));
    put_texts(writer, record);
    put_times(writer, record);
    put_job(writer, record);
    put_payload(writer, STR("input"), &record->input);
    put_payload(writer, STR("output"), &record->output);
    if (record->label.size > 0) put_json(writer, STR("label"), record->label);
    json_end_object(writer);
}

/* --- and back --------------------------------------------------------------------------------- */

static enum status read_hash(struct json_reader *reader, struct record_payload *payload,
                             struct error *err)
{
    struct str text;
    TRY(json_read_string(reader, &text, err));
    if (text.size != SHA256_HEX_SIZE - 1) return json_fail(reader, "no SHA-256 in hex", err);
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        const char *digits = "0123456789abcdef", *at = text.data + 2 * i;
        const char *high = strchr(digits, at[0]), *low = strchr(digits, at[1]);
        if (!at[0] || !at[1] || !high || !low) return json_fail(reader, "no SHA-256 in hex", err);
        payload->hash[i] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    payload->hashed = true;
    return STATUS_OK;
}

static enum status read_keep(struct json_reader *reader, enum record_keep *ret_keep,
                             struct error *err)
{
    struct str text;
    TRY(json_read_string(reader, &text, err));
    for (unsigned keep = 0; keep < RECORD_KEEP_COUNT; keep++)
        if (str_equal(text, str_of(record_keep_text((enum record_keep)keep))))
            *ret_keep = (enum record_keep)keep;
    return STATUS_OK;
}

static enum status read_payload_member(struct json_reader *reader, struct str key,
                                       struct record_payload *payload, struct error *err)
{
    struct str text;
    if (str_equal(key, STR("keep"))) return read_keep(reader, &payload->keep, err);
    if (str_equal(key, STR("type"))) return json_read_string(reader, &payload->type, err);
    if (str_equal(key, STR("size"))) return json_read_u64(reader, &payload->size, err);
    if (str_equal(key, STR("header_size")))
        return json_read_u64(reader, &payload->header_size, err);
    if (str_equal(key, STR("sha256"))) return read_hash(reader, payload, err);
    if (str_equal(key, STR("json"))) return json_read_raw(reader, &payload->bytes, err);
    if (str_equal(key, STR("text"))) return json_read_string(reader, &payload->bytes, err);
    if (!str_equal(key, STR("base64"))) return json_skip(reader, err);
    TRY(json_read_string(reader, &text, err));
    return base64_decode(text, reader->arena, &payload->bytes, err);
}

static enum status read_payload(struct json_reader *reader, struct record_payload *payload,
                                struct error *err)
{
    bool more;
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return STATUS_OK;
        TRY(read_payload_member(reader, key, payload, err));
    }
}

static enum status read_id(struct json_reader *reader, struct record *record, struct error *err)
{
    struct str text;
    TRY(json_read_string(reader, &text, err));
    if (!record_id_is_valid(text)) return json_fail(reader, "no id of a record", err);
    memcpy(record->id, text.data, RECORD_ID_SIZE);
    return STATUS_OK;
}

/* States, sources and statuses: a name that is not known leaves the first one. */
static enum status read_name(struct json_reader *reader, struct str key, struct record *record,
                             struct error *err)
{
    struct str text;
    TRY(json_read_string(reader, &text, err));
    if (str_equal(key, STR("state"))) (void)record_state_of(text, &record->state);
    if (str_equal(key, STR("source"))) (void)record_source_of(text, &record->source);
    for (int i = 0; i < STATUS_COUNT && str_equal(key, STR("status")); i++)
        if (str_equal(text, str_of(status_name((enum status)i)))) record->status = (enum status)i;
    return STATUS_OK;
}

static enum status read_number(struct json_reader *reader, struct str key, struct record *record,
                               bool *ret_known, struct error *err)
{
    const struct {
        struct str name;
        uint64_t *field;
    } numbers[] = {
        {STR("received_us"), &record->received_us}, {STR("queued_us"), &record->queued_us},
        {STR("started_us"), &record->started_us},   {STR("done_us"), &record->done_us},
        {STR("start_us"), &record->start_us},       {STR("expires_us"), &record->expires_us},
    };
    uint64_t value;
    *ret_known = true;
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        if (str_equal(key, numbers[i].name)) return json_read_u64(reader, numbers[i].field, err);
    *ret_known = str_equal(key, STR("attempts")) || str_equal(key, STR("priority"));
    if (!*ret_known) return STATUS_OK;
    TRY(json_read_u64(reader, &value, err));
    *(str_equal(key, STR("attempts")) ? &record->attempts : &record->priority) = (uint32_t)value;
    return STATUS_OK;
}

static enum status read_member(struct json_reader *reader, struct str key, struct record *record,
                               struct error *err)
{
    const struct {
        struct str name;
        struct str *field;
    } texts[] = {
        {STR("model"), &record->model},       {STR("version"), &record->version},
        {STR("digest"), &record->digest},     {STR("variant"), &record->variant},
        {STR("error"), &record->error},       {STR("key"), &record->key},
        {STR("trace_id"), &record->trace_id}, {STR("request_id"), &record->request_id},
        {STR("queue"), &record->queue},       {STR("message_id"), &record->message_id},
        {STR("group"), &record->group},
    };
    bool known = true;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (str_equal(key, texts[i].name)) return json_read_string(reader, texts[i].field, err);
    if (str_equal(key, STR("id"))) return read_id(reader, record, err);
    if (str_equal(key, STR("input"))) return read_payload(reader, &record->input, err);
    if (str_equal(key, STR("output"))) return read_payload(reader, &record->output, err);
    if (str_equal(key, STR("label"))) return json_read_raw(reader, &record->label, err);
    if (str_equal(key, STR("progress"))) return json_read_double(reader, &record->progress, err);
    if (str_equal(key, STR("state")) || str_equal(key, STR("source")) ||
        str_equal(key, STR("status")))
        return read_name(reader, key, record, err);
    TRY(read_number(reader, key, record, &known, err));
    return known ? STATUS_OK : json_skip(reader, err);
}

enum status record_read_json(struct json_reader *reader, struct record *ret_record,
                             struct error *err)
{
    struct record record = {.model = STR_EMPTY};
    bool more;
    assert(reader->arena);
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) break;
        TRY(read_member(reader, key, &record, err));
    }
    *ret_record = record;
    return STATUS_OK;
}

/* --- CSV -------------------------------------------------------------------------------------- */

/* New columns go to the end: exports are read by position. */
static const char csv_header[] =
    "id,model,version,digest,variant,source,state,status,error,key,trace_id,request_id,queue,"
    "message_id,group,received,received_us,queued_us,started_us,done_us,attempts,input_keep,"
    "input_type,input_size,input_sha256,input,output_keep,output_type,output_size,output_sha256,"
    "output,label\r\n";

static bool needs_quotes(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if (strchr(",\"\r\n", text.data[i]) && text.data[i]) return true;
    return false;
}

/* `first` of a row has no comma before it. */
static void add_field(struct buffer *out, bool first, struct str text)
{
    if (!first) buffer_add_byte(out, ',');
    if (text.size == 0) return;
    if (!needs_quotes(text)) {
        buffer_add(out, text);
        return;
    }
    buffer_add_byte(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '"') buffer_add_byte(out, '"');
        buffer_add_byte(out, text.data[i]);
    }
    buffer_add_byte(out, '"');
}

/* A spreadsheet takes text that begins so for a formula: an apostrophe makes it a text. */
static void add_foreign(struct buffer *out, struct str text)
{
    bool formula = text.size > 0 && text.data[0] && strchr("=+-@\t\r", text.data[0]);
    if (!formula) {
        add_field(out, false, text);
        return;
    }
    struct buffer safe;
    buffer_init(&safe, text.size + 1);
    buffer_add_byte(&safe, '\'');
    buffer_add(&safe, text);
    add_field(out, false, buffer_view(&safe));
    buffer_clear(&safe);
}

static void add_number(struct buffer *out, uint64_t value)
{
    buffer_add_byte(out, ',');
    buffer_add_u64(out, value);
}

static void add_payload(struct buffer *out, const struct record_payload *payload)
{
    char hash[SHA256_HEX_SIZE] = "";
    if (payload->hashed) sha256_hex(payload->hash, hash);
    add_field(out, false, str_of(record_keep_text(payload->keep)));
    add_field(out, false, payload->type);
    add_number(out, payload->size);
    add_field(out, false, str_of(hash));
    struct str bytes = payload->bytes;
    bool text = bytes.size == 0 || (payload->header_size == 0 && str_is_utf8(bytes) &&
                                    !memchr(bytes.data, 0, bytes.size));
    if (text && is_json(bytes))
        add_field(out, false, bytes);
    else if (text)
        add_foreign(out, bytes);
    if (text) return;
    buffer_add(out, STR(",base64:"));
    base64_encode(out, bytes);
}

void record_write_csv_header(struct buffer *out)
{
    buffer_add_text(out, csv_header);
}

void record_write_csv(struct buffer *out, const struct record *record)
{
    char received[CLOCK_TEXT_SIZE];
    const struct str foreign[] = {record->error,      record->key,   record->trace_id,
                                  record->request_id, record->queue, record->message_id,
                                  record->group};
    add_field(out, true, str_of(record->id));
    add_foreign(out, record->model);
    add_field(out, false, record->version);
    add_field(out, false, record->digest);
    add_field(out, false, record->variant);
    add_field(out, false, str_of(record_source_text(record->source)));
    add_field(out, false, str_of(record_state_text(record->state)));
    add_field(out, false, str_of(status_name(record->status)));
    for (size_t i = 0; i < COUNT_OF(foreign); i++) add_foreign(out, foreign[i]);
    add_field(out, false, format_time(record->received_us, received));
    add_number(out, record->received_us);
    add_number(out, record->queued_us);
    add_number(out, record->started_us);
    add_number(out, record->done_us);
    add_number(out, record->attempts);
    add_payload(out, &record->input);
    add_payload(out, &record->output);
    add_field(out, false, record->label);
    buffer_add(out, STR("\r\n"));
}
