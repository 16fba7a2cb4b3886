/* An event source mapping of our own. */
#include "cli/lambda_local.h"

#include "app/data.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/console.h"
#include "cli/function.h"
#include "lambda/poller.h"
#include "store/record.h"

enum {
    BATCH_MAX = 10,
    WAIT_MS = 500, /* of a poll, so that the end is noticed */
    EVENT_SIZE_MAX = 64 * 1024 * 1024,
    LINE_SIZE_MAX = 64 * 1024,
    MEMORY_MAX = 256 * 1024 * 1024,
};

struct mapping {
    struct command_context *context;
    const struct config *config;
    struct function *function;
    struct queue_store *queues;
    struct queue_settings settings;
    struct arena arena; /* of a batch */
    struct buffer event;
    struct buffer line;
    bool failed[BATCH_MAX];
};

/* --- telling ---------------------------------------------------------------------------------- */

struct fate {
    const char *what;  /* "deleted", "back", "dead" */
    const char *where; /* of "dead": the queue; "" */
    uint64_t after_s;  /* of "back" */
};

static enum status tell(struct mapping *mapping, const struct queue_message *message,
                        const struct fate *fate, struct error *err)
{
    struct buffer *line = &mapping->line;
    struct json_writer writer;
    buffer_reset(line);
    if (mapping->config->lambda_json) {
        json_writer_init(&writer, line);
        json_begin_object(&writer);
        json_put_string(&writer, STR("message"), message->id);
        json_put_string(&writer, STR("fate"), str_of(fate->what));
        json_put_u64(&writer, STR("receives"), message->receive_count);
        if (message->group.size > 0) json_put_string(&writer, STR("group"), message->group);
        if (fate->after_s > 0) json_put_u64(&writer, STR("after_s"), fate->after_s);
        if (*fate->where) json_put_string(&writer, STR("queue"), str_of(fate->where));
        json_end_object(&writer);
    } else {
        buffer_add_format(line, "%-36.*s  receive %-3u %s", STR_ARGS(message->id),
                          message->receive_count, fate->what);
        if (fate->after_s > 0)
            buffer_add_format(line, " in %llu s", (unsigned long long)fate->after_s);
        if (*fate->where) buffer_add_format(line, " letter, in '%s'", fate->where);
        if (message->group.size > 0)
            buffer_add_format(line, ", group '%.*s'", STR_ARGS(message->group));
    }
    buffer_add_byte(line, '\n');
    return console_flush(line, mapping->context->out, err);
}

/* A message that failed stays hidden until its time is over; the receive that would be one too many
 * finds it a dead letter. */
static struct fate fate_of(const struct mapping *mapping, const struct queue_message *message,
                           bool failed)
{
    const struct queue_settings *settings = &mapping->settings;
    uint64_t now_ms = clock_wall_ns() / NS_PER_MS;
    uint64_t left_ms = message->visible_ms > now_ms ? message->visible_ms - now_ms : 0;
    if (!failed) return (struct fate){"deleted", "", 0};
    if (settings->max_receive_count > 0 && message->receive_count >= settings->max_receive_count)
        return (struct fate){"dead", settings->dead_letter, 0};
    return (struct fate){"back", "", (left_ms + 999) / 1000};
}

/* --- one batch -------------------------------------------------------------------------------- */

static enum status acknowledge(struct mapping *mapping, const struct queue_lease *lease,
                               struct error *err)
{
    struct queue_receipt receipts[BATCH_MAX];
    size_t count = 0;
    for (size_t i = 0; i < lease->count; i++)
        if (!mapping->failed[i])
            receipts[count++] = (struct queue_receipt){.receipt = lease->messages[i].receipt};
    if (count == 0) return STATUS_OK;
    struct queue_call call = {.operation = QUEUE_ACK,
                              .queue = str_of(mapping->config->lambda_queue),
                              .arena = &mapping->arena,
                              .receipts = {.receipts = receipts, .count = count}};
    return queue_run(mapping->queues, &call, err);
}

/* True if the whole batch comes back: an error, a time-out, an answer that is none. */
static void judge(struct mapping *mapping, const struct queue_lease *lease, enum status status,
                  struct str answer, uint64_t deadline_ms)
{
    bool late = clock_wall_ns() / NS_PER_MS > deadline_ms;
    if (late) log_error("the invocation took longer than its time: Lambda would have ended it");
    if (status == STATUS_OK && !late) {
        if (!lambda_poller_read(answer, lease->messages, lease->count, mapping->failed,
                                &mapping->arena))
            log_error("the answer names no messages of the event: all of them come back");
        return;
    }
    memset(mapping->failed, true, sizeof mapping->failed);
}

static enum status run_batch(struct mapping *mapping, const struct queue_lease *lease,
                             struct error *err)
{
    const struct lambda_source source = {.queue = str_of(mapping->config->lambda_queue),
                                         .region = str_of(mapping->config->sqs_region),
                                         .account = str_of(mapping->config->sqs_account)};
    uint64_t now_ms = clock_wall_ns() / NS_PER_MS;
    struct lambda_invocation invocation = {
        .deadline_ms = now_ms + mapping->config->lambda_timeout_ns / NS_PER_MS,
        .trace_id = STR_EMPTY,
        .function_arn = STR_EMPTY};
    struct function_answer answer;
    struct error failure;
    buffer_reset(&mapping->event);
    lambda_poller_write(&source, lease->messages, lease->count, &mapping->event);
    if (buffer_failed(&mapping->event))
        return fail(err, STATUS_EXHAUSTED, "the event is larger than %d bytes", EVENT_SIZE_MAX);
    invocation.event = buffer_view(&mapping->event);
    record_id_make(now_ms, invocation.request_id);
    enum status status = function_run(mapping->function, &invocation, &answer, &failure);
    judge(mapping, lease, status, answer.body, invocation.deadline_ms);
    TRY(acknowledge(mapping, lease, err));
    for (size_t i = 0; i < lease->count; i++) {
        struct fate fate = fate_of(mapping, &lease->messages[i], mapping->failed[i]);
        TRY(tell(mapping, &lease->messages[i], &fate, err));
    }
    return STATUS_OK;
}

/* --- the loop --------------------------------------------------------------------------------- */

static enum status poll_once(struct mapping *mapping, bool *ret_empty, struct error *err)
{
    arena_reset(&mapping->arena);
    struct queue_call call = {
        .operation = QUEUE_LEASE,
        .queue = str_of(mapping->config->lambda_queue),
        .arena = &mapping->arena,
        .lease = {.count_max = (uint32_t)mapping->config->lambda_batch_size,
                  .visibility_ms = -1,
                  .wait_ms = mapping->config->lambda_once ? 0 : WAIT_MS},
    };
    TRY(queue_run(mapping->queues, &call, err));
    if (call.lease.dead_lettered > 0)
        log_warning("messages with no receives left were moved to the dead-letter queue",
                    LOG_U64("messages", call.lease.dead_lettered),
                    LOG_TEXT("queue", mapping->settings.dead_letter));
    *ret_empty = call.lease.count == 0;
    return *ret_empty ? STATUS_OK : run_batch(mapping, &call.lease, err);
}

static enum status describe(struct mapping *mapping, struct error *err)
{
    struct queue_call call = {.operation = QUEUE_DESCRIBE,
                              .queue = str_of(mapping->config->lambda_queue),
                              .arena = &mapping->arena};
    enum status status = queue_run(mapping->queues, &call, err);
    if (status == STATUS_NOT_FOUND)
        return fail(err, status,
                    "there is no queue '%s' in this data store: create it through a server of the "
                    "same data.url, as a sender would (aws sqs create-queue --endpoint-url ...)",
                    mapping->config->lambda_queue);
    TRY(fail_while(err, status, "queue '%s'", mapping->config->lambda_queue));
    mapping->settings = call.description.settings;
    uint64_t timeout_s = mapping->config->lambda_timeout_ns / NS_PER_S;
    if (mapping->settings.visibility_s < 6 * timeout_s)
        log_warning("AWS asks for a visibility time-out of 6 times the function's",
                    LOG_U64("visibility_s", mapping->settings.visibility_s),
                    LOG_U64("timeout_s", timeout_s));
    if (mapping->settings.max_receive_count == 0)
        log_warning(
            "the queue has no dead-letter queue: what fails comes back until it is too old");
    return STATUS_OK;
}

static enum status map(struct mapping *mapping, const _Atomic bool *stop, struct error *err)
{
    struct data_parts parts;
    TRY(function_data(mapping->function, &parts, err));
    if (!parts.queues)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "data.url has no queues; name a database by it, and the results' store by "
                    "data.results_url");
    mapping->queues = parts.queues;
    TRY(describe(mapping, err));
    while (!atomic_load(stop)) {
        bool empty;
        TRY(poll_once(mapping, &empty, err));
        if (empty && mapping->config->lambda_once) return STATUS_OK;
    }
    return STATUS_OK;
}

enum status lambda_local_run(struct command_context *context, const _Atomic bool *stop,
                             struct error *err)
{
    struct mapping mapping = {.context = context, .config = context->config};
    if (!*context->config->lambda_queue)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "name the queue that events come from: --local --queue NAME");
    arena_init(&mapping.arena, MEMORY_MAX);
    buffer_init(&mapping.event, EVENT_SIZE_MAX);
    buffer_init(&mapping.line, LINE_SIZE_MAX);
    enum status status =
        function_open(context, &(struct function_options){.stop = stop}, &mapping.function, err);
    if (status == STATUS_OK) status = map(&mapping, stop, err);
    function_close(mapping.function);
    buffer_clear(&mapping.line);
    buffer_clear(&mapping.event);
    arena_clear(&mapping.arena);
    return status;
}
