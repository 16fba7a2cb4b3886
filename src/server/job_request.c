/* Headers, query and wrapper of a job's submission. */
#include "server/job_request.h"

#include "base/json.h"
#include "base/num.h"
#include "server/router.h"

enum { TIME_MS_MAX_DIGITS = 15 };

/* --- times ------------------------------------------------------------------------------------ */

/* Days since 1970-01-01 of a date in the Gregorian calendar. */
static uint64_t days_of(uint64_t year, uint64_t month, uint64_t day)
{
    /* The year begins in March, so that the leap day is its last. */
    year -= month <= 2;
    uint64_t era = year / 400, year_of_era = year % 400;
    uint64_t day_of_year = (153 * (month + (month > 2 ? 0 : 12) - 3) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static bool read_digits(struct str *text, size_t count, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (text->size < count) return false;
    for (size_t i = 0; i < count; i++) {
        if (text->data[i] < '0' || text->data[i] > '9') return false;
        value = value * 10 + (uint64_t)(text->data[i] - '0');
    }
    *text = str_from(*text, count);
    *ret_value = value;
    return true;
}

static bool take(struct str *text, char byte)
{
    if (text->size == 0 || *text->data != byte) return false;
    *text = str_from(*text, 1);
    return true;
}

static bool is_date(uint64_t year, uint64_t month, uint64_t day)
{
    static const uint8_t days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days[month - 1]) return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month != 2 || day < 29 || leap;
}

static bool read_fraction(struct str *text, uint64_t *ms)
{
    uint64_t unit = 100;
    if (!take(text, '.')) return true;
    if (text->size == 0) return false;
    for (; text->size > 0 && *text->data >= '0' && *text->data <= '9'; unit /= 10) {
        *ms += unit * (uint64_t)(*text->data - '0');
        *text = str_from(*text, 1);
    }
    return unit < 100;
}

static bool read_date_time(struct str text, uint64_t *ret_ms)
{
    uint64_t year, month, day, hour, minute, second;
    if (!read_digits(&text, 4, &year) || !take(&text, '-') || !read_digits(&text, 2, &month) ||
        !take(&text, '-') || !read_digits(&text, 2, &day) || !take(&text, 'T') ||
        !read_digits(&text, 2, &hour) || !take(&text, ':') || !read_digits(&text, 2, &minute) ||
        !take(&text, ':') || !read_digits(&text, 2, &second))
        return false;
    if (!is_date(year, month, day) || hour > 23 || minute > 59 || second > 60) return false;
    uint64_t ms = (((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000;
    if (!read_fraction(&text, &ms) || !take(&text, 'Z') || text.size > 0) return false;
    *ret_ms = ms;
    return true;
}

/* Seconds with decimals, as milliseconds. */
static bool read_seconds(struct str text, uint64_t *ret_ms)
{
    uint64_t seconds, ms = 0;
    struct str rest = text;
    struct str whole = str_cut(&rest, '.');
    if (whole.size > TIME_MS_MAX_DIGITS - 3 || !num_read_u64(whole, &seconds)) return false;
    struct str fraction = {text.data + whole.size, text.size - whole.size};
    if (!read_fraction(&fraction, &ms) || fraction.size > 0) return false;
    *ret_ms = seconds * 1000 + ms;
    return true;
}

bool job_time_read(struct str text, uint64_t *ret_ms)
{
    return read_date_time(text, ret_ms) || read_seconds(text, ret_ms);
}

static bool read_span(struct str text, uint64_t *ret_ms)
{
    uint64_t ns;
    if (read_seconds(text, ret_ms)) return true;
    if (!num_read_duration(text, &ns)) return false;
    *ret_ms = ns / NS_PER_MS;
    return true;
}

/* --- one parameter ---------------------------------------------------------------------------- */

enum parameter {
    GROUP,
    DELAY,
    START_AT,
    TTL,
    EXPIRES_AT,
    PRIORITY,
    CALLBACK,
    KEY,
    PARAMETERS,
};

#define TEXT(literal)                                                                              \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }

static const struct {
    struct str name;   /* of the query and of the wrapper */
    struct str header; /* in lower case */
} parameters[PARAMETERS] = {
    [GROUP] = {TEXT("group"), TEXT("slipway-group")},
    [DELAY] = {TEXT("delay"), TEXT("slipway-delay")},
    [START_AT] = {TEXT("start_at"), TEXT("slipway-start-at")},
    [TTL] = {TEXT("ttl"), TEXT("slipway-ttl")},
    [EXPIRES_AT] = {TEXT("expires_at"), TEXT("slipway-expires-at")},
    [PRIORITY] = {TEXT("priority"), TEXT("slipway-priority")},
    [CALLBACK] = {TEXT("callback"), TEXT("slipway-callback")},
    [KEY] = {TEXT("idempotency_key"), TEXT("idempotency-key")},
};

static enum status wrong(enum parameter parameter, struct str value, const char *expected,
                         struct error *err)
{
    return fail(err, STATUS_INVALID_ARGUMENT, "job parameter '%s' is '%.*s': expected %s",
                parameters[parameter].name.data, (int)MIN(value.size, (size_t)128), value.data,
                expected);
}

static enum status set_text(enum parameter parameter, struct str value, size_t size_max,
                            struct str *text, struct error *err)
{
    if (value.size == 0 || value.size > size_max || !str_is_utf8(value) ||
        memchr(value.data, 0, value.size))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "job parameter '%s' has %zu bytes: expected 1 to %zu of UTF-8",
                    parameters[parameter].name.data, value.size, size_max);
    *text = value;
    return STATUS_OK;
}

/* A group's name is part of a message: letters, digits and punctuation. */
static enum status set_group(struct str value, struct record *record, struct error *err)
{
    TRY(set_text(GROUP, value, JOB_GROUP_MAX, &record->group, err));
    for (size_t i = 0; i < value.size; i++)
        if (value.data[i] <= ' ' || value.data[i] > '~')
            return wrong(GROUP, value, "ASCII letters, digits and punctuation", err);
    return STATUS_OK;
}

static enum status set_start(enum parameter parameter, struct str value, uint64_t now_ms,
                             struct record *record, struct error *err)
{
    uint64_t ms;
    bool good = parameter == DELAY ? read_span(value, &ms) : job_time_read(value, &ms);
    if (!good)
        return wrong(parameter, value,
                     parameter == DELAY
                         ? "seconds or a duration like '1m30s'"
                         : "a time like '2026-01-02T03:04:05Z' or seconds since 1970",
                     err);
    if (parameter == DELAY) ms += now_ms;
    if (ms > now_ms + JOB_DELAY_MS_MAX)
        return wrong(parameter, value, "at most 7 days from now", err);
    record->start_us = ms > now_ms ? ms * 1000 : 0;
    return STATUS_OK;
}

static enum status set_expiry(enum parameter parameter, struct str value, uint64_t now_ms,
                              struct record *record, struct error *err)
{
    uint64_t ms;
    bool good = parameter == TTL ? read_span(value, &ms) : job_time_read(value, &ms);
    if (!good || (parameter == TTL && ms == 0))
        return wrong(parameter, value,
                     parameter == TTL ? "seconds or a duration like '1m30s', more than 0"
                                      : "a time like '2026-01-02T03:04:05Z' or seconds since 1970",
                     err);
    if (parameter == TTL) ms += now_ms;
    if (ms <= now_ms) return wrong(parameter, value, "a time to come", err);
    record->expires_us = ms * 1000;
    return STATUS_OK;
}

static enum status set_priority(struct str value, struct record *record, struct error *err)
{
    uint64_t priority;
    if (!num_read_u64(value, &priority) || priority > QUEUE_PRIORITY_MAX)
        return wrong(PRIORITY, value, "0 (first) to 9", err);
    record->priority = (uint32_t)priority;
    return STATUS_OK;
}

static enum status set(enum parameter parameter, struct str value, uint64_t now_ms,
                       struct record *record, struct error *err)
{
    switch (parameter) {
    case GROUP: return set_group(value, record, err);
    case DELAY:
    case START_AT: return set_start(parameter, value, now_ms, record, err);
    case TTL:
    case EXPIRES_AT: return set_expiry(parameter, value, now_ms, record, err);
    case PRIORITY: return set_priority(value, record, err);
    case CALLBACK: return set_text(CALLBACK, value, CALLBACK_URL_MAX, &record->callback, err);
    case KEY: return set_text(KEY, value, RECORD_KEY_MAX, &record->key, err);
    case PARAMETERS: break;
    }
    return STATUS_OK;
}

/* --- where they stand ------------------------------------------------------------------------- */

static enum status read_outside(struct http_exchange *exchange, uint64_t now_ms,
                                struct record *record, struct error *err)
{
    for (unsigned i = 0; i < PARAMETERS; i++) {
        struct str value = http_exchange_header_find(exchange, parameters[i].header);
        if (value.data) TRY(set((enum parameter)i, value, now_ms, record, err));
        value = query_find(exchange->query, parameters[i].name, exchange->arena);
        if (value.data) TRY(set((enum parameter)i, value, now_ms, record, err));
    }
    return STATUS_OK;
}

static enum status read_member(struct json_reader *reader, struct str key, uint64_t now_ms,
                               struct record *record, struct error *err)
{
    struct str value;
    for (unsigned i = 0; i < PARAMETERS; i++) {
        if (!str_equal(parameters[i].name, key)) continue;
        if (json_peek(reader) == JSON_NUMBER)
            TRY(json_read_number(reader, &value, err));
        else
            TRY(json_read_string(reader, &value, err));
        return set((enum parameter)i, value, now_ms, record, err);
    }
    return fail(err, STATUS_INVALID_ARGUMENT, "job parameter '%.*s' is unknown", STR_ARGS(key));
}

static enum status read_wrapper(struct http_exchange *exchange, uint64_t now_ms,
                                struct record *record, struct str *ret_body, struct error *err)
{
    struct json_reader reader;
    struct str body = {NULL, 0};
    json_reader_init(&reader, exchange->body, exchange->arena);
    TRY(json_open_object(&reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(&reader, &key, &more, err));
        if (!more) break;
        if (str_equal(key, STR("request")))
            TRY(json_read_raw(&reader, &body, err));
        else
            TRY(read_member(&reader, key, now_ms, record, err));
    }
    assert(body.data);
    *ret_body = body;
    return json_end(&reader, err);
}

/* The 32 digits of a traceparent's trace id; data NULL if it has none. */
static struct str trace_id_of(struct str traceparent)
{
    struct str rest = traceparent;
    struct str version = str_cut(&rest, '-');
    struct str id = rest.data ? str_cut(&rest, '-') : STR_EMPTY;
    if (version.size != 2 || id.size != 32) return (struct str){NULL, 0};
    return id;
}

enum status job_request_read(struct http_exchange *exchange, bool may_be_wrapped, uint64_t now_ms,
                             struct record *record, struct str *ret_body, struct error *err)
{
    record->priority = JOB_PRIORITY;
    record->trace_id = trace_id_of(http_exchange_header(exchange, HTTP_HEADER_TRACEPARENT));
    record->request_id = http_exchange_header(exchange, HTTP_HEADER_X_REQUEST_ID);
    *ret_body = exchange->body;
    TRY(read_outside(exchange, now_ms, record, err));
    if (may_be_wrapped && payload_has_member(exchange->body, STR("request")))
        TRY(read_wrapper(exchange, now_ms, record, ret_body, err));
    if (record->expires_us && record->expires_us <= record->start_us)
        return fail(err, STATUS_INVALID_ARGUMENT, "the job would expire before it may start");
    return STATUS_OK;
}

static void read_wait(struct str value, struct job_preference *preference)
{
    uint64_t seconds;
    if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"')
        value = (struct str){value.data + 1, value.size - 2};
    if (!value.data || !num_read_u64(value, &seconds)) return;
    preference->waits = true;
    preference->wait_s = (uint32_t)MIN(seconds, (uint64_t)JOB_WAIT_S_MAX);
}

struct job_preference job_preference_read(struct str prefer)
{
    struct job_preference preference = {0};
    bool wait_seen = false;
    while (prefer.data) {
        struct str one = str_cut(&prefer, ',');
        struct str value = str_cut(&one, ';');
        struct str name = str_trim(str_cut(&value, '='));
        if (str_equal_ignoring_case(name, STR("respond-async"))) preference.async = true;
        if (wait_seen || !str_equal_ignoring_case(name, STR("wait"))) continue;
        wait_seen = true;
        if (value.data) read_wait(str_trim(value), &preference);
    }
    return preference;
}

bool job_request_prefers_async(struct str prefer)
{
    return job_preference_read(prefer).async;
}
