/* Records to JSON. */
#include "jobs/json.h"

#include "base/clock.h"

static void put_time(struct json_writer *json, struct str name, uint64_t us)
{
    char text[CLOCK_TEXT_SIZE];
    if (us == 0) return;
    clock_format_utc(us * NS_PER_US, text);
    json_put_string(json, name, str_of(text));
}

static void put_text(struct json_writer *json, struct str name, struct str text)
{
    if (text.size > 0) json_put_string(json, name, text);
}

static void put_times(struct json_writer *json, const struct record *record)
{
    put_time(json, STR("received_at"), record->received_us);
    put_time(json, STR("start_at"), record->start_us);
    put_time(json, STR("expires_at"), record->expires_us);
    put_time(json, STR("started_at"), record->started_us);
    put_time(json, STR("done_at"), record->done_us);
}

static void put_outcome(struct json_writer *json, const struct record *record)
{
    if (record->status == STATUS_OK) return;
    json_put_string(json, STR("error"), record->error.data ? record->error : STR_EMPTY);
    json_put_string(json, STR("code"), str_of(status_name(record->status)));
}

static void put_result(struct json_writer *json, const struct record *record)
{
    const struct record_payload *output = record_whole_output(record);
    if (!output || output->bytes.size == 0 || !str_equal(output->type, STR("application/json")))
        return;
    json_add_name(json, STR("result"));
    json_add_raw(json, output->bytes);
}

void job_json_write(const struct record *record, bool result, struct json_writer *json)
{
    json_begin_object(json);
    json_put_string(json, STR("id"), str_of(record->id));
    json_put_string(json, STR("model"), record->model);
    put_text(json, STR("version"), record->version);
    json_put_string(json, STR("state"), str_of(record_state_text(record->state)));
    json_put_double(json, STR("progress"), record->progress);
    json_put_u64(json, STR("attempts"), record->attempts);
    json_put_u64(json, STR("priority"), record->priority);
    put_text(json, STR("group"), record->group);
    put_text(json, STR("idempotency_key"), record->key);
    put_text(json, STR("request_id"), record->request_id);
    put_text(json, STR("trace_id"), record->trace_id);
    put_text(json, STR("callback"), record->callback);
    put_times(json, record);
    put_outcome(json, record);
    if (result) put_result(json, record);
    json_end_object(json);
}
