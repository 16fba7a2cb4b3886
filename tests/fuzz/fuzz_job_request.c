/*
 * How a job is to be run, from any bytes: the first byte says whether a wrapper may come, then
 * lines (the query, header fields "name: value") up to an empty one, then the body. What is taken
 * lies within the limits of a record; `Prefer` and times are read beside it.
 */
#include "net/http_private.h"
#include "server/job_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t now_ms = UINT64_C(1800000000000);

static void add_field(struct http_work *work, struct str line)
{
    struct str value = line;
    struct str name = str_cut(&value, ':');
    if (!value.data || work->field_count == HTTP_FIELDS_MAX) return;
    work->fields[work->field_count] = (struct http_field){name, str_trim(value)};
    uint32_t number = ++work->field_count;
    if (str_equal_ignoring_case(name, STR("traceparent")))
        work->slots[HTTP_HEADER_TRACEPARENT] = (uint8_t)number;
    if (str_equal_ignoring_case(name, STR("x-request-id")))
        work->slots[HTTP_HEADER_X_REQUEST_ID] = (uint8_t)number;
}

static void check_text(struct str text, size_t size_max)
{
    if (!text.data) return;
    if (text.size == 0 || text.size > size_max || !str_is_utf8(text)) abort();
}

static void check(const struct record *record, struct str body)
{
    check_text(record->group, JOB_GROUP_MAX);
    check_text(record->key, RECORD_KEY_MAX);
    check_text(record->callback, CALLBACK_URL_MAX);
    if (record->priority > QUEUE_PRIORITY_MAX || !body.data) abort();
    if (record->start_us && record->start_us <= now_ms * 1000) abort();
    if (record->start_us > (now_ms + JOB_DELAY_MS_MAX) * 1000) abort();
    if (record->expires_us && record->expires_us <= MAX(now_ms * 1000, record->start_us)) abort();
    if (record->expires_us > INT64_MAX) abort(); /* the stores' columns are signed */
    if (record->trace_id.data && record->trace_id.size != 32) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_work work;
    if (size < 1 || size > 65536) return 0;
    struct arena arena CLEANUP(arena_clear);
    struct record record = {.model = STR("m")};
    struct str rest = {(const char *)data + 1, size - 1}, body = {0};
    struct error err;
    uint64_t ms;
    arena_init(&arena, 1 << 22);
    work.field_count = 0;
    memset(work.slots, 0, sizeof work.slots);
    work.exchange = (struct http_exchange){.arena = &arena, .query = str_cut(&rest, '\n')};
    while (rest.data) {
        struct str line = str_cut(&rest, '\n');
        if (line.size == 0) break;
        if (job_request_prefers_async(line) && !memmem(line.data, line.size, "sync", 4) &&
            !memmem(line.data, line.size, "SYNC", 4) && line.size < strlen("respond-async"))
            abort();
        if (job_time_read(line, &ms) && ms > UINT64_MAX / 2000) abort();
        add_field(&work, line);
    }
    work.exchange.body = rest.data ? rest : STR_EMPTY;
    if (job_request_read(&work.exchange, data[0] & 1, now_ms, &record, &body, &err) == STATUS_OK)
        check(&record, body);
    else if (err.status != STATUS_INVALID_ARGUMENT && err.status != STATUS_EXHAUSTED)
        abort();
    return 0;
}
