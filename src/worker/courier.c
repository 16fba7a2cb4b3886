/* Callbacks, one at a time and thread. */
#include "worker/courier.h"

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "jobs/callback.h"
#include "jobs/json.h"
#include "net/client_web.h"

#include <pthread.h>

enum {
    COURIER_THREADS = 4,
    LEASE_WAIT_MS = 2000,
    PAUSE_MS_MIN = 5000,
    PAUSE_MS_MAX = 3600 * 1000,
    TROUBLE_MS = 1000, /* between leases that fail */
    EVENT_SIZE_MAX = 64 * 1024,
    FIELD_SIZE = 256,
};

struct courier_thread {
    struct courier *courier;
    pthread_t thread;
    bool started;
    struct client_web *web;
    struct prng prng;
    struct arena arena; /* of one delivery */
};

struct courier {
    struct jobs *jobs;
    _Atomic bool draining;
    struct courier_counters counters;
    struct courier_thread threads[COURIER_THREADS];
};

enum verdict { DELIVERED, AGAIN, NEVER };

/* --- one callback ------------------------------------------------------------------------------
 */

static enum status write_event(const struct record *record, uint64_t now_ms, struct buffer *out,
                               struct error *err)
{
    struct json_writer json;
    char event[32], id[FIELD_SIZE], time[CLOCK_TEXT_SIZE];
    (void)snprintf(event, sizeof event, "job.%s", record_state_text(record->state));
    (void)snprintf(id, sizeof id, "%s-%u", record->id, record->attempts);
    clock_format_utc(now_ms * NS_PER_MS, time);
    json_writer_init(&json, out);
    json_begin_object(&json);
    json_put_string(&json, STR("event"), str_of(event));
    json_put_string(&json, STR("id"), str_of(id));
    json_put_string(&json, STR("time"), str_of(time));
    json_add_name(&json, STR("job"));
    job_json_write(record, false, &json);
    json_end_object(&json);
    if (!buffer_failed(out)) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED, "the event is longer than %d bytes", EVENT_SIZE_MAX);
}

static enum verdict judge(int status, struct error *err)
{
    if (status >= 200 && status < 300) return DELIVERED;
    fail(err, STATUS_UNAVAILABLE, "answered %d", status);
    bool passes = status == 408 || status == 425 || status == 429 || status >= 500;
    return passes || status < 400 ? AGAIN : NEVER;
}

static enum status post(struct courier_thread *thread, const struct record *record,
                        bool private_is_allowed, int *ret_status, struct error *err)
{
    static const char agent[] = "User-Agent: slipway/" SLIPWAY_VERSION;
    const struct jobs_options *options = &thread->courier->jobs->options;
    struct buffer body;
    char fields[3][FIELD_SIZE], signature[CALLBACK_SIGNATURE_SIZE];
    uint64_t now_ms = jobs_now_ms(thread->courier->jobs);
    struct str url = arena_try_copy(&thread->arena, record->callback);
    if (!url.data) return fail(err, STATUS_EXHAUSTED, "no memory for a callback");
    buffer_init(&body, EVENT_SIZE_MAX);
    enum status status = write_event(record, now_ms, &body, err);
    if (status == STATUS_OK) {
        callback_sign(options->callback_secret, now_ms / 1000, buffer_view(&body), signature);
        (void)snprintf(fields[0], FIELD_SIZE, "Slipway-Signature: %s", signature);
        (void)snprintf(fields[1], FIELD_SIZE, "Slipway-Event: job.%s",
                       record_state_text(record->state));
        (void)snprintf(fields[2], FIELD_SIZE, "Slipway-Event-Id: %s-%u", record->id,
                       record->attempts);
        const char *const list[] = {"Content-Type: application/json", agent, fields[0], fields[1],
                                    fields[2]};
        const struct client_web_request request = {.url = url.data,
                                                   .body = buffer_view(&body),
                                                   .fields = list,
                                                   .field_count = COUNT_OF(list),
                                                   .timeout_ns = options->callback_timeout_ns,
                                                   .private_is_allowed = private_is_allowed};
        status = client_web_post(thread->web, &request, ret_status, err);
    }
    buffer_clear(&body);
    return status;
}

/* What became of it; `err` says why, unless it was delivered. */
static enum verdict tell(struct courier_thread *thread, const struct record *record,
                         struct error *err)
{
    bool private_is_allowed;
    int status = 0;
    if (callback_rules_check(thread->courier->jobs->options.callback_rules, record->callback,
                             &private_is_allowed, err) != STATUS_OK)
        return NEVER;
    if (post(thread, record, private_is_allowed, &status, err) != STATUS_OK) return AGAIN;
    return judge(status, err);
}

/* --- the message ------------------------------------------------------------------------------ */

static void finish(struct courier_thread *thread, const struct queue_message *message,
                   enum queue_operation operation, uint64_t pause_ms)
{
    struct jobs *jobs = thread->courier->jobs;
    struct error err;
    struct queue_receipt receipt = {.receipt = message->receipt,
                                    .visibility_ms = (int64_t)pause_ms};
    struct queue_call call = {.operation = operation,
                              .queue = STR(JOBS_CALLBACKS),
                              .arena = &thread->arena,
                              .receipts = {.receipts = &receipt, .count = 1}};
    if (queue_run(jobs->queues, &call, &err) != STATUS_OK)
        log_warning("a callback's message cannot be settled; it will come again",
                    LOG_STR("message_id", message->id), LOG_TEXT("error", err.message));
}

static uint64_t pause_ms(struct courier_thread *thread, uint32_t receive_count)
{
    uint32_t doublings = MIN(MAX(receive_count, 1u) - 1, 20u);
    uint64_t pause = MIN((uint64_t)PAUSE_MS_MIN << doublings, (uint64_t)PAUSE_MS_MAX);
    return pause / 2 + prng_below(&thread->prng, pause / 2 + 1);
}

static void log_try(const struct record *record, const struct queue_message *message,
                    const struct error *err, bool last)
{
    const struct log_field fields[] = {
        LOG_STR("job", str_of(record->id)),
        LOG_STR("url", record->callback),
        LOG_U64("try", message->receive_count),
        LOG_TEXT("error", err->message),
    };
    log_write(LOG_LEVEL_WARNING,
              last ? "callback given up" : "callback failed, will be tried again", fields,
              COUNT_OF(fields));
}

static void deliver(struct courier_thread *thread, const struct queue_message *message,
                    const struct record *record)
{
    struct courier *courier = thread->courier;
    struct error err;
    enum verdict verdict = tell(thread, record, &err);
    bool last = verdict == NEVER || message->receive_count >= courier->jobs->options.callback_tries;
    if (verdict == DELIVERED) {
        atomic_fetch_add(&courier->counters.delivered, 1);
        finish(thread, message, QUEUE_ACK, 0);
        return;
    }
    log_try(record, message, &err, last);
    atomic_fetch_add(last ? &courier->counters.given_up : &courier->counters.retried, 1);
    finish(thread, message, last ? QUEUE_BURY : QUEUE_EXTEND,
           pause_ms(thread, message->receive_count));
}

static void handle(struct courier_thread *thread, const struct queue_message *message)
{
    struct jobs *jobs = thread->courier->jobs;
    struct error err;
    struct store_call call = {
        .operation = STORE_GET,
        .arena = &thread->arena,
        .get = {.id = job_attribute(message, STR("job")), .without_payloads = true}};
    enum status status = store_run(jobs->store, &call, &err);
    const struct record *record = &call.get.record;
    if (status == STATUS_NOT_FOUND || status == STATUS_INVALID_ARGUMENT)
        finish(thread, message, QUEUE_ACK, 0); /* its record is gone: there is nothing to tell */
    else if (status != STATUS_OK)
        finish(thread, message, QUEUE_NACK, PAUSE_MS_MIN);
    else if (record->callback.size == 0 || !record_state_is_final(record->state))
        finish(thread, message, QUEUE_ACK, 0); /* run once more since: that will tell */
    else
        deliver(thread, message, record);
}

/* --- threads ---------------------------------------------------------------------------------- */

static uint64_t lease_ms(const struct jobs *jobs)
{
    return jobs->options.callback_timeout_ns / NS_PER_MS + 30 * 1000;
}

static void pause_after_trouble(void)
{
    struct timespec pause = {TROUBLE_MS / 1000, TROUBLE_MS % 1000 * (long)NS_PER_MS};
    (void)nanosleep(&pause, NULL); /* interrupted: a shorter pause */
}

static void *courier_run(void *context)
{
    struct courier_thread *thread = context;
    struct jobs *jobs = thread->courier->jobs;
    struct error err;
    while (!atomic_load(&thread->courier->draining)) {
        struct queue_call call = {.operation = QUEUE_LEASE,
                                  .queue = STR(JOBS_CALLBACKS),
                                  .arena = &thread->arena,
                                  .lease = {.count_max = 1,
                                            .visibility_ms = (int64_t)lease_ms(jobs),
                                            .wait_ms = LEASE_WAIT_MS}};
        if (queue_run(jobs->queues, &call, &err) != STATUS_OK)
            pause_after_trouble();
        else if (call.lease.count > 0)
            handle(thread, &call.lease.messages[0]);
        arena_reset(&thread->arena);
    }
    return NULL;
}

static enum status thread_start(struct courier *courier, struct courier_thread *thread,
                                struct error *err)
{
    thread->courier = courier;
    arena_init(&thread->arena, JOB_ARENA_MAX);
    prng_seed(&thread->prng, prng_seed_from_system());
    TRY(client_web_new(&thread->web, err));
    int problem = pthread_create(&thread->thread, NULL, courier_run, thread);
    if (problem) return fail_errno(err, problem, "starting a thread for callbacks");
    thread->started = true;
    return STATUS_OK;
}

enum status courier_start(struct jobs *jobs, struct courier **ret_courier, struct error *err)
{
    struct courier *courier = MEM_NEW(struct courier);
    courier->jobs = jobs;
    enum status status = client_web_start(err);
    for (size_t i = 0; status == STATUS_OK && i < COURIER_THREADS; i++)
        status = thread_start(courier, &courier->threads[i], err);
    if (status != STATUS_OK) {
        courier_stop(courier);
        return status;
    }
    *ret_courier = courier;
    return STATUS_OK;
}

void courier_drain(struct courier *courier)
{
    atomic_store(&courier->draining, true);
}

void courier_stop(struct courier *courier)
{
    if (!courier) return;
    courier_drain(courier);
    for (size_t i = 0; i < COURIER_THREADS; i++) {
        struct courier_thread *thread = &courier->threads[i];
        if (thread->started) (void)pthread_join(thread->thread, NULL);
        client_web_free(thread->web);
        if (thread->courier) arena_clear(&thread->arena);
    }
    mem_free(courier);
}

const struct courier_counters *courier_counters(const struct courier *courier)
{
    return &courier->counters;
}
