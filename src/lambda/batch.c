/* Partial batches. */
#include "lambda/batch.h"

#include "base/hash.h"
#include "base/log.h"

struct batch {
    const struct lambda_batch_options *options;
    struct sqs_record *records;
    size_t count;
    struct str *failures;
    size_t failure_count;
    uint64_t longest_ns; /* record so far */
    struct lambda_batch_counts counts;
};

static enum status count_records(struct str text, struct arena *arena, size_t *ret_count,
                                 struct error *err)
{
    struct sqs_event event;
    size_t count = 0;
    TRY(sqs_event_open(&event, text, arena, err));
    for (;;) {
        struct sqs_record record;
        bool more;
        TRY(sqs_event_next(&event, &record, &more, err));
        if (!more) break;
        if (record.message_id.size == 0)
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "record %zu of the event has no 'messageId', so it could not be reported",
                        count);
        if (++count > LAMBDA_RECORDS_MAX)
            return fail(err, STATUS_INVALID_ARGUMENT, "the event has more than %d records",
                        LAMBDA_RECORDS_MAX);
    }
    *ret_count = count;
    return STATUS_OK;
}

/* All are read before one is run: an event that is broken at its end comes again as a whole. */
static enum status read_records(struct batch *batch, struct str text, struct arena *arena,
                                struct error *err)
{
    struct sqs_event event;
    TRY(count_records(text, arena, &batch->count, err));
    batch->records = ARENA_TRY_ARRAY(arena, struct sqs_record, MAX(batch->count, 1U));
    batch->failures = ARENA_TRY_ARRAY(arena, struct str, MAX(batch->count, 1U));
    if (!batch->records || !batch->failures)
        return fail(err, STATUS_EXHAUSTED, "no memory for %zu records", batch->count);
    TRY(sqs_event_open(&event, text, arena, err));
    for (size_t i = 0; i < batch->count; i++) {
        bool more;
        TRY(sqs_event_next(&event, &batch->records[i], &more, err));
        assert(more);
    }
    return STATUS_OK;
}

static bool is_fifo(const struct sqs_record *record)
{
    return record->group_id.size > 0 && str_ends_with(record->event_source_arn, STR(".fifo"));
}

/* What is left for the next record; 0 if it would hardly be done. UINT64_MAX: no deadline. */
static uint64_t time_left_us(const struct batch *batch)
{
    const struct lambda_batch_options *options = batch->options;
    if (options->deadline_ms == 0) return UINT64_MAX;
    uint64_t now_ms = options->clock->wall_ns(options->clock) / NS_PER_MS;
    uint64_t margin_ms = LAMBDA_MARGIN_MS + batch->longest_ns / NS_PER_MS;
    if (now_ms + margin_ms >= options->deadline_ms) return 0;
    return (options->deadline_ms - now_ms - LAMBDA_MARGIN_MS) * 1000;
}

static enum status check_digest(const struct sqs_record *record, struct error *err)
{
    char digest[MD5_HEX_SIZE];
    if (record->body_md5.size == 0 || !md5_hex(record->body, digest) ||
        str_equal_ignoring_case(record->body_md5, str_of(digest)))
        return STATUS_OK;
    return fail(err, STATUS_DATA_LOSS, "md5OfBody is '%.*s', but that of the body is '%s'",
                STR_ARGS(record->body_md5), digest);
}

static bool run_record(struct batch *batch, const struct sqs_record *record, uint64_t left_us)
{
    struct clock *clock = batch->options->clock;
    struct error failure;
    uint64_t start_ns = clock->monotonic_ns(clock);
    enum status status = check_digest(record, &failure);
    batch->counts.refused += status != STATUS_OK;
    if (status == STATUS_OK)
        status = batch->options->run(batch->options->context, record, left_us, &failure);
    batch->longest_ns = MAX(batch->longest_ns, clock->monotonic_ns(clock) - start_ns);
    if (status == STATUS_OK) {
        batch->counts.succeeded++;
        return true;
    }
    batch->counts.failed++;
    log_error("record failed", LOG_STR("message_id", record->message_id),
              LOG_TEXT("status", status_name(status)), LOG_TEXT("error", failure.message),
              LOG_U64("receive_count", record->receive_count));
    return false;
}

static void run_records(struct batch *batch)
{
    bool stopped = false;
    for (size_t i = 0; i < batch->count; i++) {
        const struct sqs_record *record = &batch->records[i];
        uint64_t left_us = stopped ? 0 : time_left_us(batch);
        if (left_us > 0 && run_record(batch, record, left_us)) continue;
        if (left_us == 0) batch->counts.deferred++;
        stopped |= left_us == 0 || is_fifo(record);
        batch->failures[batch->failure_count++] = record->message_id;
    }
}

enum status lambda_batch_run(const struct lambda_batch_options *options, struct str event,
                             struct arena *arena, struct buffer *out,
                             struct lambda_batch_counts *ret_counts, struct error *err)
{
    struct batch batch = {.options = options};
    TRY(read_records(&batch, event, arena, err));
    batch.counts.records = batch.count;
    run_records(&batch);
    sqs_event_write_failures(batch.failures, batch.failure_count, out);
    if (buffer_failed(out))
        return fail(err, STATUS_EXHAUSTED, "no room for the names of %zu failed records",
                    batch.failure_count);
    *ret_counts = batch.counts;
    return STATUS_OK;
}
