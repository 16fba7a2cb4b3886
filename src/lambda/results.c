/* Outcomes to records. */
#include "lambda/results.h"

#include "base/clock.h"
#include "base/rand.h"
#include "jobs/keep.h"

#include <time.h>

enum { TRIES_MAX = 4, PAUSE_MS = 40 };

/* --- keys ------------------------------------------------------------------------------------- */

struct str lambda_queue_name(struct str arn)
{
    struct str name = arn;
    while (name.data && str_find(name, ':') != SIZE_MAX) (void)str_cut(&name, ':');
    return name;
}

/* A queue with content-based deduplication has made the id itself: two that are sent with the same
 * body, hours apart, are two. */
static bool is_of_the_body(const struct sqs_record *record)
{
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_HEX_SIZE];
    sha256_of(record->body, digest);
    sha256_hex(digest, text);
    return str_equal_ignoring_case(record->deduplication_id, str_of(text));
}

static struct str shorten(struct str key, struct arena *arena)
{
    uint8_t digest[SHA256_SIZE];
    if (key.size <= RECORD_KEY_MAX) return key;
    char *text = arena_try_aligned(arena, SHA256_HEX_SIZE, 1);
    if (!text) return (struct str){NULL, 0};
    sha256_of(key, digest);
    sha256_hex(digest, text);
    return str_of(text);
}

static struct str join_key(const struct sqs_record *record, struct arena *arena)
{
    struct str queue = lambda_queue_name(record->event_source_arn);
    struct buffer text CLEANUP(buffer_clear);
    buffer_init(&text, 4096);
    buffer_add_format(&text, "%.*s/%.*s/%.*s", STR_ARGS(queue), STR_ARGS(record->group_id),
                      STR_ARGS(record->deduplication_id));
    if (buffer_failed(&text)) return (struct str){NULL, 0};
    return arena_try_copy(arena, buffer_view(&text));
}

enum status lambda_result_key(const struct sqs_record *record, struct arena *arena,
                              struct str *ret_key, struct error *err)
{
    struct str key;
    TRY(sqs_event_attribute(record, STR("idempotency-key"), arena, &key, err));
    if (!key.data || key.size == 0) {
        bool fifo = record->group_id.size > 0 && record->deduplication_id.size > 0;
        key = fifo && !is_of_the_body(record) ? join_key(record, arena) : record->message_id;
    }
    if (key.data) key = shorten(key, arena);
    if (!key.data)
        return fail(err, STATUS_EXHAUSTED, "no memory for the key of record '%.*s'",
                    STR_ARGS(record->message_id));
    *ret_key = key;
    return STATUS_OK;
}

/* --- the store -------------------------------------------------------------------------------- */

bool lambda_failure_is_permanent(const struct error *failure)
{
    switch (failure->status) {
    case STATUS_INVALID_ARGUMENT:
    case STATUS_OUT_OF_RANGE:
    case STATUS_UNIMPLEMENTED:
    case STATUS_NOT_FOUND: return true;
    case STATUS_OK:
    case STATUS_CANCELLED:
    case STATUS_UNKNOWN:
    case STATUS_DEADLINE_EXCEEDED:
    case STATUS_ALREADY_EXISTS:
    case STATUS_PERMISSION_DENIED:
    case STATUS_EXHAUSTED:
    case STATUS_FAILED_PRECONDITION:
    case STATUS_ABORTED:
    case STATUS_INTERNAL:
    case STATUS_UNAVAILABLE:
    case STATUS_DATA_LOSS:
    case STATUS_UNAUTHENTICATED: break;
    }
    return false;
}

/* Longer each time, and jittered; false if there is no time for it. */
static bool pause_before(unsigned try, uint64_t until_ms)
{
    static struct prng prng;
    static bool seeded;
    if (!seeded) prng_seed(&prng, clock_monotonic_ns());
    seeded = true;
    uint64_t ms = PAUSE_MS + prng_below(&prng, (uint64_t)PAUSE_MS << try);
    if (until_ms && clock_wall_ns() / NS_PER_MS + 2 * ms >= until_ms) return false;
    const struct timespec pause = {0, (long)(ms * NS_PER_MS)};
    (void)nanosleep(&pause, NULL); /* interrupted: a shorter pause */
    return true;
}

/* Every call may be made twice: what was written is found again. */
static enum status run(const struct lambda_results *results, struct store_call *call,
                       uint64_t until_ms, struct error *err)
{
    enum status status = store_run(results->store, call, err);
    for (unsigned try = 1; try < TRIES_MAX && status != STATUS_OK && status_retryable(status);
         try++) {
        if (!pause_before(try, until_ms)) break;
        status = store_run(results->store, call, err);
    }
    return status;
}

static struct str name_of(const struct lambda_result *result)
{
    return result->model ? serve_model_name(result->model) : result->model_name;
}

static enum status fail_for_input(const struct lambda_result *result, struct error *err)
{
    return fail(err, STATUS_ALREADY_EXISTS,
                "the key '%.*s' was used with another input; keys are for the same again",
                STR_ARGS(result->key));
}

enum status lambda_results_find(const struct lambda_results *results,
                                const struct lambda_result *result, struct arena *arena,
                                bool *ret_found, struct error *err)
{
    uint8_t hash[SHA256_SIZE];
    struct store_call call = {
        .operation = STORE_GET,
        .arena = arena,
        .get = {.model = name_of(result), .key = result->key, .without_payloads = true},
    };
    enum status status = run(results, &call, result->until_ms, err);
    *ret_found = false;
    if (status == STATUS_NOT_FOUND) return STATUS_OK;
    TRY(status);
    sha256_of(result->input.body, hash);
    if (memcmp(hash, call.get.record.key_hash, SHA256_SIZE) != 0)
        return fail_for_input(result, err);
    *ret_found = call.get.record.state == RECORD_SUCCEEDED;
    return STATUS_OK;
}

static void keep_input(const struct lambda_results *results, const struct lambda_result *result,
                       struct arena *arena, struct record_payload *payload)
{
    const struct privacy_source source = keep_source(&result->input);
    keep_payload(results->input, result->model, PRIVACY_INPUT, &source, arena, payload);
}

static void keep_output(const struct lambda_results *results, const struct lambda_result *result,
                        struct arena *arena, struct record_payload *payload)
{
    const struct privacy_source source = {
        .body = result->output,
        .type = result->output_type,
        .header_size = result->output_header_size,
        .is_json = true,
    };
    payload->keep = RECORD_KEEP_OMITTED;
    if (result->failure) return;
    keep_payload(results->output, result->model, PRIVACY_OUTPUT, &source, arena, payload);
}

static struct str or_none(struct str text)
{
    struct error err;
    if (text.size == 0 || record_check_text(text, "text", &err) != STATUS_OK)
        return (struct str){NULL, 0};
    return text;
}

static void fill_outcome(const struct lambda_result *result, struct record *record)
{
    record->state = result->failure ? RECORD_FAILED : RECORD_SUCCEEDED;
    record->progress = result->failure ? 0 : 1;
    if (!result->failure) return;
    record->status = result->failure->status;
    record->error = or_none(str_of(result->failure->message));
    if (!record->error.data) record->error = str_of(status_text(record->status));
}

static bool fill(const struct lambda_results *results, const struct lambda_result *result,
                 struct arena *arena, struct record *record)
{
    char *digest = arena_try_aligned(arena, SHA256_HEX_SIZE, 1);
    if (!digest) return false;
    *record = (struct record){
        .model = name_of(result),
        .version = result->model ? serve_model_version(result->model) : STR_EMPTY,
        .source = RECORD_SOURCE_QUEUE,
        .key = result->key,
        .trace_id = or_none(result->trace_id),
        .request_id = or_none(result->request_id),
        .queue = or_none(result->queue),
        .message_id = or_none(result->message_id),
        .group = or_none(result->group),
        .started_us = result->started_us,
        .done_us = clock_wall_ns() / NS_PER_US,
        .attempts = result->attempts,
    };
    record->received_us = result->sent_ms ? result->sent_ms * 1000 : result->started_us;
    record->queued_us = record->received_us;
    if (result->model) {
        sha256_hex(serve_model_digest(result->model), digest);
        record->digest = str_of(digest);
    }
    sha256_of(result->input.body, record->key_hash);
    record_id_make(record->done_us / 1000, record->id);
    fill_outcome(result, record);
    keep_input(results, result, arena, &record->input);
    keep_output(results, result, arena, &record->output);
    return true;
}

/* What failed before has succeeded: FAILED_PRECONDITION if it had meanwhile. */
static enum status replace(const struct lambda_results *results, const struct record *record,
                           const struct record *found, uint64_t until_ms, struct error *err)
{
    struct store_call call = {
        .operation = STORE_CHANGE,
        .change =
            {
                .id = str_of(found->id),
                .from = 1u << RECORD_FAILED,
                .to = record->state,
                .started_us = record->started_us,
                .done_us = record->done_us,
                .set_status = true,
                .status = record->status,
                .error = record->error.data ? record->error : STR_EMPTY,
                .version = record->version,
                .digest = record->digest,
                .output = record->state == RECORD_SUCCEEDED ? &record->output : NULL,
                .attempts_add = 1,
                .progress = record->progress,
            },
    };
    enum status status = run(results, &call, until_ms, err);
    return status == STATUS_FAILED_PRECONDITION ? STATUS_OK : status;
}

enum status lambda_results_keep(const struct lambda_results *results,
                                const struct lambda_result *result, struct arena *arena,
                                bool *ret_existing, struct error *err)
{
    struct record record;
    struct store_call call = {
        .operation = STORE_ADMIT, .arena = arena, .admit = {.record = &record}};
    if (!fill(results, result, arena, &record))
        return fail(err, STATUS_EXHAUSTED, "no memory for the record of '%.*s'",
                    STR_ARGS(result->key));
    enum status status = run(results, &call, result->until_ms, err);
    if (status == STATUS_ALREADY_EXISTS) return fail_for_input(result, err);
    TRY(status);
    *ret_existing = call.admit.existing;
    if (!call.admit.existing || call.admit.found.state != RECORD_FAILED) return STATUS_OK;
    *ret_existing = false;
    return replace(results, &record, &call.admit.found, result->until_ms, err);
}
