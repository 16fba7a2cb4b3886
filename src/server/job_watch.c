/*
 * Watching a job: a look at its record, another whenever the bell rings or a while has passed,
 * until it is over, the time is, or the client goes. One watch serves the single look, the long
 * poll, the result, and the events.
 */
#include "base/json.h"
#include "base/num.h"
#include "jobs/jobs.h"
#include "jobs/json.h"
#include "protocol/oip_binary.h"
#include "server/answer.h"
#include "server/errand.h"
#include "server/job_request.h"
#include "server/routes_jobs.h"

enum {
    LOOK_MS_MIN = 100, /* between looks that no bell asked for; grows to ... */
    LOOK_MS_MAX = 1000,
    WAIT_S_MAX = JOB_WAIT_S_MAX,
    APPLIED_SIZE = 40,
    LOCATION_SIZE = 64,
    HEARTBEAT_MS = 15000,
    UNSENT_MAX = 64 * 1024, /* of events; above, one is left out */
};

enum watch_kind { WATCH_JOB, WATCH_RESULT, WATCH_EVENTS };

struct watch {
    struct errand errand;
    enum watch_kind kind;
    struct str id;
    struct arena arena;
    struct store_call call;
    struct bell_listener listener;
    bool listening;
    bool looking;
    bool again;   /* the bell rang during a look */
    bool over;    /* answered, or the client is gone: it ends when nothing is on its way */
    bool ringing; /* a ring is on its way still */
    struct loop_timer timer;
    uint64_t until_ns; /* of the long poll */
    bool submitted;    /* the request that made the job waits, as Prefer says: */
    uint32_t wait_s;
    uint64_t pause_ms;
    enum status status;
    struct error error;

    /* events */
    bool streaming;
    uint64_t last_event;
    uint64_t heartbeat_ns;
};

static uint64_t now_ns(const struct watch *watch)
{
    return loop_now_ns(watch->errand.thread->loop);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void end_if_quiet(struct watch *watch)
{
    if (!watch->over || watch->looking || watch->ringing) return;
    arena_clear(&watch->arena);
    errand_end(&watch->errand);
}

static void watch_end(struct watch *watch)
{
    assert(!watch->over);
    watch->over = true;
    loop_timer_stop(watch->errand.thread->loop, &watch->timer);
    if (watch->listening) {
        watch->listening = false;
        watch->ringing = !bell_leave(watch->errand.thread->options->jobs->bell, &watch->listener);
    }
    end_if_quiet(watch);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Preference-Applied: the wait, and respond-async if that was needed as well. */
static struct http_field applied_field(const struct watch *watch, bool async,
                                       char text[APPLIED_SIZE])
{
    int size =
        snprintf(text, APPLIED_SIZE, "%swait=%u", async ? "respond-async, " : "", watch->wait_s);
    return (struct http_field){STR("Preference-Applied"), {text, (size_t)size}};
}

static void answer_state(struct watch *watch, int status, const struct record *record)
{
    struct http_exchange *exchange = watch->errand.exchange;
    struct buffer *out = http_exchange_scratch(exchange);
    struct json_writer json;
    char applied[APPLIED_SIZE], location[LOCATION_SIZE];
    json_writer_init(&json, out);
    job_json_write(record, true, &json);
    bool waits = !record_state_is_final(record->state);
    int size = snprintf(location, sizeof location, "/v2/jobs/%s", record->id);
    const struct http_field fields[] = {{STR("Retry-After"), STR("1")},
                                        {STR("Location"), {location, (size_t)size}},
                                        applied_field(watch, true, applied)};
    struct http_response response = {
        .status = status,
        .content_type = STR("application/json"),
        .fields = fields,
        .field_count = !waits             ? 0
                       : watch->submitted ? COUNT_OF(fields)
                                          : 1,
        .body = buffer_view(out),
    };
    answer_response(watch->errand.thread, exchange, &response);
}

/* What the synchronous call would have answered. */
static void answer_output(struct watch *watch, const struct record_payload *output)
{
    char text[24], applied[APPLIED_SIZE];
    int digits = snprintf(text, sizeof text, "%llu", (unsigned long long)output->header_size);
    struct http_field fields[2];
    struct http_response response = {
        .status = 200, .content_type = output->type, .fields = fields, .body = output->bytes};
    if (output->header_size > 0)
        fields[response.field_count++] =
            (struct http_field){STR(OIP_BINARY_HEADER), {text, (size_t)digits}};
    if (watch->submitted) fields[response.field_count++] = applied_field(watch, false, applied);
    answer_response(watch->errand.thread, watch->errand.exchange, &response);
}

static void answer_gone(struct watch *watch, const struct record *record)
{
    struct error err;
    fail(&err, STATUS_CANCELLED, "job '%s' has no result: it was %s", record->id,
         record_state_text(record->state));
    struct failure failure = {410, record->request_id, &err};
    answer_failure_of(watch->errand.thread, watch->errand.exchange, &failure);
}

/* Not what was redacted or cut short in its place: that would pass for an answer. */
static void answer_not_kept(struct watch *watch, const struct record *record)
{
    struct error err;
    fail(
        &err, STATUS_FAILED_PRECONDITION,
        "the result of job '%s' is gone: record.output, record.redact or the model's own rules let "
        "it be there for jobs.result_ttl only; submit the input again",
        record->id);
    struct failure failure = {410, record->request_id, &err};
    answer_failure_of(watch->errand.thread, watch->errand.exchange, &failure);
}

static void answer_failed(struct watch *watch, const struct record *record)
{
    struct error err;
    fail(&err, record->status, "%.*s", STR_ARGS(record->error));
    struct failure failure = {status_http(record->status), record->request_id, &err};
    answer_failure_of(watch->errand.thread, watch->errand.exchange, &failure);
}

static void answer_result(struct watch *watch, const struct record *record)
{
    const struct record_payload *output = record_whole_output(record);
    switch (record->state) {
    case RECORD_PENDING:
    case RECORD_RUNNING: answer_state(watch, 202, record); return;
    case RECORD_SUCCEEDED:
        if (output)
            answer_output(watch, output);
        else
            answer_not_kept(watch, record);
        return;
    case RECORD_FAILED: answer_failed(watch, record); return;
    case RECORD_CANCELLED:
    case RECORD_EXPIRED:
    case RECORD_STATE_COUNT: break;
    }
    answer_gone(watch, record);
}

/* --- events ----------------------------------------------------------------------------------- */

/* Rises with everything that may happen to a job, and is the same for every reader. */
static uint64_t event_number(const struct record *record)
{
    uint64_t stage = record->state == RECORD_PENDING   ? 1
                     : record->state == RECORD_RUNNING ? 2 + (uint64_t)(record->progress * 1000)
                                                       : 9000;
    return (uint64_t)record->attempts * 10000 + stage;
}

static void start_stream(struct watch *watch)
{
    const struct http_field fields[] = {{STR("Cache-Control"), STR("no-store")},
                                        {STR("X-Accel-Buffering"), STR("no")}};
    struct http_response response = {
        .status = 200,
        .content_type = STR("text/event-stream"),
        .fields = fields,
        .field_count = 2,
        .never_compressed = true,
    };
    watch->streaming = true;
    watch->heartbeat_ns = now_ns(watch) + HEARTBEAT_MS * NS_PER_MS;
    answer_stream_start(watch->errand.thread, watch->errand.exchange, &response);
}

static void write_event(struct watch *watch, const struct record *record)
{
    struct buffer text;
    struct json_writer json;
    uint64_t number = event_number(record);
    if (number <= watch->last_event) return;
    buffer_init(&text, JOB_ARENA_MAX);
    buffer_add_format(&text, "id: %llu\nevent: %s\ndata: ", (unsigned long long)number,
                      record_state_text(record->state));
    json_writer_init(&json, &text);
    job_json_write(record, false, &json);
    buffer_add(&text, STR("\n\n"));
    if (!buffer_failed(&text)) {
        (void)http_stream_write(watch->errand.exchange, buffer_view(&text));
        watch->last_event = number;
        watch->heartbeat_ns = now_ns(watch) + HEARTBEAT_MS * NS_PER_MS;
    }
    buffer_clear(&text);
}

static void write_heartbeat(struct watch *watch)
{
    if (now_ns(watch) < watch->heartbeat_ns) return;
    watch->heartbeat_ns = now_ns(watch) + HEARTBEAT_MS * NS_PER_MS;
    size_t unsent = http_stream_write(watch->errand.exchange, STR(": still there\n\n"));
    /* Who reads nothing for so long has gone, or might as well have. */
    if (unsent > UNSENT_MAX) watch->errand.gone = true;
}

/* --- looks ------------------------------------------------------------------------------------ */

static void look(struct watch *watch);

static bool waits_on(const struct watch *watch)
{
    return !watch->errand.thread->draining &&
           (watch->kind == WATCH_EVENTS || now_ns(watch) < watch->until_ns);
}

static void look_later(struct watch *watch)
{
    uint64_t pause_ns = watch->pause_ms * NS_PER_MS;
    uint64_t when_ns = now_ns(watch) + pause_ns;
    if (watch->kind != WATCH_EVENTS) when_ns = MIN(when_ns, watch->until_ns);
    watch->pause_ms = MIN(2 * watch->pause_ms, (uint64_t)LOOK_MS_MAX);
    if (!loop_timer_start(watch->errand.thread->loop, &watch->timer, when_ns)) look(watch);
}

static void answer_watch(struct watch *watch, const struct record *record)
{
    if (watch->kind == WATCH_RESULT)
        answer_result(watch, record);
    else
        answer_state(watch, 200, record);
}

static void see(struct watch *watch, const struct record *record)
{
    bool goes_on = !record_state_is_final(record->state) && waits_on(watch);
    if (watch->kind == WATCH_EVENTS) {
        if (!watch->streaming) start_stream(watch);
        write_event(watch, record);
        write_heartbeat(watch);
        if (!goes_on) http_stream_end(watch->errand.exchange);
    } else if (!goes_on) {
        answer_watch(watch, record);
    }
    if (watch->errand.gone || !goes_on)
        watch_end(watch);
    else if (watch->again)
        look(watch);
    else
        look_later(watch);
}

static void fail_watch(struct watch *watch, const struct error *err)
{
    if (watch->streaming)
        http_stream_end(watch->errand.exchange);
    else
        answer_failure(watch->errand.thread, watch->errand.exchange, err);
    watch_end(watch);
}

static void looked(struct errand *errand)
{
    struct watch *watch = CONTAINER_OF(errand, struct watch, errand);
    const struct record *record = &watch->call.get.record;
    struct error err;
    watch->looking = false;
    if (watch->over) {
        end_if_quiet(watch);
    } else if (watch->status == STATUS_NOT_FOUND ||
               (watch->status == STATUS_OK && record->source != RECORD_SOURCE_JOB)) {
        fail(&err, STATUS_NOT_FOUND, "there is no job '%.*s'", STR_ARGS(watch->id));
        fail_watch(watch, &err);
    } else if (watch->status != STATUS_OK) {
        fail_watch(watch, &watch->error);
    } else {
        see(watch, record);
    }
}

static void got(struct store_call *call, enum status status, const struct error *err)
{
    struct watch *watch = call->context;
    watch->status = status;
    if (status != STATUS_OK) watch->error = *err;
    errand_return(&watch->errand);
}

static void look(struct watch *watch)
{
    struct server_thread *thread = watch->errand.thread;
    loop_timer_stop(thread->loop, &watch->timer);
    arena_reset(&watch->arena);
    watch->again = false;
    watch->looking = true;
    watch->call = (struct store_call){
        .operation = STORE_GET,
        .arena = &watch->arena,
        .done = got,
        .context = watch,
        .get = {.id = watch->id, .without_payloads = watch->kind == WATCH_EVENTS},
    };
    struct error failure; /* once it is taken, the watch is `got`'s */
    if (store_submit(thread->options->jobs->store, &watch->call, &failure) == STATUS_OK) return;
    watch->status = failure.status;
    watch->error = failure;
    errand_return(&watch->errand);
}

static void on_ring(struct bell_listener *listener)
{
    struct watch *watch = CONTAINER_OF(listener, struct watch, listener);
    if (watch->over) {
        watch->ringing = false;
        end_if_quiet(watch);
    } else if (watch->looking) {
        watch->again = true;
    } else {
        look(watch);
    }
}

static void on_time(struct loop_timer *timer)
{
    struct watch *watch = CONTAINER_OF(timer, struct watch, timer);
    if (!watch->looking) look(watch);
}

static void on_gone(struct exchange_user *user)
{
    struct watch *watch = CONTAINER_OF(user, struct watch, errand.user);
    watch->errand.gone = true;
    if (!watch->over) watch_end(watch);
}

/* --- the ways in ------------------------------------------------------------------------------ */

static enum status read_wait(const struct watch *watch, uint64_t *ret_ns, struct error *err)
{
    const struct http_exchange *exchange = watch->errand.exchange;
    struct str text = query_find(exchange->query, STR("wait"), exchange->arena);
    uint64_t seconds = 0, ns = 0;
    bool plain = text.data && num_read_u64(text, &seconds);
    if (text.data && !plain && !num_read_duration(text, &ns))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "wait is '%.*s': expected seconds, up to %d, or a duration like '500ms'",
                    (int)MIN(text.size, (size_t)32), text.data, WAIT_S_MAX);
    if (plain) ns = MIN(seconds, (uint64_t)WAIT_S_MAX) * NS_PER_S;
    *ret_ns = MIN(ns, WAIT_S_MAX * NS_PER_S);
    return STATUS_OK;
}

static enum status read_last_event(struct watch *watch, struct error *err)
{
    struct str last = http_exchange_header_find(watch->errand.exchange, STR("last-event-id"));
    if (!last.data || last.size == 0 || num_read_u64(last, &watch->last_event)) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT, "Last-Event-ID is '%.*s': expected a number",
                (int)MIN(last.size, (size_t)32), last.data);
}

static enum status wait_from_now(struct watch *watch, uint64_t wait_ns, struct error *err)
{
    struct server_thread *thread = watch->errand.thread;
    watch->until_ns = now_ns(watch) + wait_ns;
    watch->pause_ms = LOOK_MS_MIN;
    watch->timer.on_time = on_time;
    if (wait_ns == 0 && watch->kind != WATCH_EVENTS) return STATUS_OK;
    /* Before the first look, so that nothing that happens after it is missed. */
    watch->listener.on_ring = on_ring;
    watch->listening =
        bell_listen(thread->options->jobs->bell, &watch->listener, thread->loop, watch->id);
    if (watch->listening) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED, "%d requests wait for jobs already; ask without 'wait'",
                BELL_LISTENERS_MAX);
}

static enum status watch_start(struct watch *watch, struct error *err)
{
    uint64_t wait_ns;
    TRY(errand_check_id(watch->id, err));
    TRY(read_wait(watch, &wait_ns, err));
    if (watch->kind == WATCH_EVENTS) TRY(read_last_event(watch, err));
    return wait_from_now(watch, wait_ns, err);
}

static void watch_begin(struct watch *watch)
{
    arena_init(&watch->arena, JOB_RECORD_MAX);
    errand_begin(&watch->errand, looked);
    watch->errand.user.on_abort = on_gone;
    look(watch);
}

bool jobs_wait(struct server_thread *thread, struct http_exchange *exchange, struct str id,
               const struct job_preference *preference)
{
    struct error err;
    struct watch *watch = errand_new_for_jobs(thread, exchange, sizeof *watch, &err);
    if (!watch) return false;
    watch->kind = WATCH_RESULT;
    watch->id = id;
    watch->submitted = true;
    watch->wait_s = preference->wait_s;
    if (wait_from_now(watch, preference->wait_s * NS_PER_S, &err) != STATUS_OK) return false;
    watch_begin(watch);
    return true;
}

static void handle(struct server_thread *thread, struct http_exchange *exchange,
                   const struct route_match *match, enum watch_kind kind)
{
    struct error err;
    struct watch *watch = errand_new_for_jobs(thread, exchange, sizeof *watch, &err);
    if (!watch) {
        answer_failure(thread, exchange, &err);
        return;
    }
    watch->kind = kind;
    watch->id = match->captures[0];
    if (watch_start(watch, &err) != STATUS_OK) {
        answer_failure(thread, exchange, &err);
        return;
    }
    watch_begin(watch);
}

void jobs_handle_get(struct server_thread *thread, struct http_exchange *exchange,
                     const struct route_match *match)
{
    handle(thread, exchange, match, WATCH_JOB);
}

void jobs_handle_result(struct server_thread *thread, struct http_exchange *exchange,
                        const struct route_match *match)
{
    handle(thread, exchange, match, WATCH_RESULT);
}

void jobs_handle_events(struct server_thread *thread, struct http_exchange *exchange,
                        const struct route_match *match)
{
    handle(thread, exchange, match, WATCH_EVENTS);
}
