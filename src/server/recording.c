/* Inferences to records. */
#include "server/recording.h"

#include "jobs/keep.h"
#include "net/http.h"
#include "protocol/oip_binary.h"

/* "00-<32 hex>-<16 hex>-<2 hex>" */
enum { TRACE_START = 3, TRACE_SIZE = 32 };

static struct str trace_id_of(const struct http_exchange *exchange)
{
    struct str parent = http_exchange_header(exchange, HTTP_HEADER_TRACEPARENT);
    if (parent.size < TRACE_START + TRACE_SIZE + 1 || parent.data[TRACE_START + TRACE_SIZE] != '-')
        return (struct str){NULL, 0};
    struct str id = {parent.data + TRACE_START, TRACE_SIZE};
    for (size_t i = 0; i < id.size; i++)
        if (!strchr("0123456789abcdef", id.data[i]) || !id.data[i]) return (struct str){NULL, 0};
    return id;
}

/* A text that the store would refuse is left out: the rest is worth keeping. */
static struct str clean(struct str text)
{
    struct error err;
    if (text.size == 0 || record_check_text(text, "text", &err) != STATUS_OK)
        return (struct str){NULL, 0};
    return text;
}

static struct str request_id_of(const struct recording *recording)
{
    if (recording->request_id.size > 0) return clean(recording->request_id);
    return clean(http_exchange_header(recording->exchange, HTTP_HEADER_X_REQUEST_ID));
}

uint64_t recording_input_header(const struct http_exchange *exchange, bool *ret_is_json)
{
    struct str value = http_exchange_header(exchange, HTTP_HEADER_INFERENCE_HEADER_CONTENT_LENGTH);
    struct error err;
    size_t size = 0;
    *ret_is_json = !value.data;
    if (!value.data) return 0;
    *ret_is_json =
        oip_binary_header_size(value, exchange->body.size, &size, &err) == STATUS_OK && size > 0;
    return *ret_is_json ? size : 0;
}

static void fill_input(const struct recording *recording, struct arena *arena,
                       struct record_payload *payload)
{
    struct privacy_source source = {.body = recording->exchange->body};
    source.header_size = recording_input_header(recording->exchange, &source.is_json);
    bool plain = source.is_json && source.header_size == 0;
    source.type = plain ? recording->input_type : STR("application/octet-stream");
    keep_payload(&recorder_options(recording->thread->options->recorder)->input,
                 recording->call->model, PRIVACY_INPUT, &source, arena, payload);
}

static void fill_output(const struct recording *recording, struct arena *arena,
                        struct record_payload *payload)
{
    const struct privacy_source source = {
        .body = recording->output,
        .type = recording->output_type,
        .header_size = recording->output_header_size,
        .is_json = true,
    };
    keep_payload(&recorder_options(recording->thread->options->recorder)->output,
                 recording->call->model, PRIVACY_OUTPUT, &source, arena, payload);
}

static uint64_t wall_us(uint64_t now_wall_ns, uint64_t now_ns, uint64_t at_ns)
{
    return (now_wall_ns - (now_ns - MIN(at_ns, now_ns))) / NS_PER_US;
}

static void fill_times(const struct recording *recording, struct record *record)
{
    uint64_t wall_ns = clock_wall_ns(), now_ns = clock_monotonic_ns();
    record->received_us = wall_us(wall_ns, now_ns, recording->exchange->received_ns);
    record->done_us = wall_ns / NS_PER_US;
    if (recording->err) return;
    record->queued_us = wall_us(wall_ns, now_ns, recording->call->times.queued_ns);
    record->started_us = wall_us(wall_ns, now_ns, recording->call->times.compute_start_ns);
}

static void fill_outcome(const struct recording *recording, struct record *record)
{
    record->state = recording->err ? RECORD_FAILED : RECORD_SUCCEEDED;
    record->output.keep = RECORD_KEEP_OMITTED;
    if (!recording->err) return;
    record->status = recording->err->status;
    record->error = clean(str_of(recording->err->message));
    if (!record->error.data) record->error = str_of(status_text(record->status));
}

bool recording_fill(const struct recording *recording, struct arena *arena, struct record *record)
{
    const struct serve_model *model = recording->call->model;
    char *digest = arena_try_aligned(arena, SHA256_HEX_SIZE, 1);
    if (!digest) return false;
    sha256_hex(serve_model_digest(model), digest);
    record->model = serve_model_name(model);
    record->version = serve_model_version(model);
    record->digest = str_of(digest);
    record->source = RECORD_SOURCE_HTTP;
    record->trace_id = trace_id_of(recording->exchange);
    record->request_id = request_id_of(recording);
    fill_times(recording, record);
    fill_outcome(recording, record);
    record_id_make(record->received_us / 1000, record->id);
    fill_input(recording, arena, &record->input);
    if (!recording->err) fill_output(recording, arena, &record->output);
    return true;
}

void recording_note(const struct recording *recording)
{
    struct recorder *recorder = recording->thread->recorder;
    uint32_t ring = recording->thread->index;
    struct arena *arena;
    struct record *place = recorder_begin(recorder, ring, &arena);
    struct record record = {.model = STR_EMPTY};
    struct error err;
    if (!place) return;
    bool kept = recording_fill(recording, arena, &record) &&
                record_copy(&record, true, arena, place, &err) == STATUS_OK;
    if (kept)
        recorder_end(recorder, ring);
    else
        recorder_drop(recorder, ring);
}
