/* Cancelling and running again. */
#include "jobs/change.h"

static void tell(struct job_change *change, enum status status, const struct error *err)
{
    if (status == STATUS_OK) bell_ring(change->jobs->bell, change->id);
    change->done(change, status, err);
}

static void changed(struct chain *chain, enum status status, const struct error *err)
{
    struct job_change *change = CONTAINER_OF(chain, struct job_change, chain);
    enum job_count kind = change->kind == JOB_RETRY ? JOB_COUNT_RETRIED : JOB_COUNT_CANCELLED;
    if (status == STATUS_OK) tally_add(&change->jobs->tally, change->get.get.record.model, kind, 1);
    tell(change, status, err);
}

/* The message, if it waits in this queue. */
static void add_cancel(struct job_change *change, struct str queue, struct str message_id)
{
    struct queue_call *call = chain_add_queue(&change->chain);
    change->receipt = (struct queue_receipt){.receipt = message_id};
    call->operation = QUEUE_CANCEL;
    call->queue = queue;
    call->arena = &change->arena;
    call->receipts = (struct queue_receipts){.receipts = &change->receipt, .count = 1};
}

static enum status refuse(const struct record *record, const char *why, struct error *err)
{
    return fail(err, STATUS_FAILED_PRECONDITION, "job '%s' has %s: %s", record->id,
                record_state_text(record->state), why);
}

static enum status cancel(struct job_change *change, struct error *err)
{
    const struct record *record = &change->get.get.record;
    if (record->state == RECORD_CANCELLED) return STATUS_OK;
    if (record_state_is_final(record->state))
        return refuse(record, "there is nothing to cancel", err);
    struct store_call *call = chain_add_store(&change->chain);
    call->operation = STORE_CHANGE;
    call->change = (struct store_change){
        .id = change->id,
        .from = 1u << RECORD_PENDING | 1u << RECORD_RUNNING,
        .to = RECORD_CANCELLED,
        .done_us = jobs_now_ms(change->jobs) * 1000,
        .set_status = true,
        .status = STATUS_CANCELLED,
        .error = STR("cancelled by request"),
        .progress = -1,
    };
    add_cancel(change, record->queue, record->message_id);
    job_notice_add(&change->notice, record, &change->chain, &change->arena);
    return STATUS_OK;
}

static enum status check_retry(struct job_change *change, uint64_t now_ms, struct error *err)
{
    const struct record *record = &change->get.get.record;
    if (!record_state_is_final(record->state))
        return fail(err, STATUS_FAILED_PRECONDITION, "job '%s' is %s: it is not over yet",
                    record->id, record_state_text(record->state));
    if (record->state == RECORD_SUCCEEDED)
        return refuse(record, "submit its input as a new job to run it again", err);
    if (record->expires_us && record->expires_us / 1000 <= now_ms)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "the time of job '%s' is over: submit it as a new one", record->id);
    if (!record_whole_input(record))
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "the input of job '%s' was not kept as it came (record.input, record.redact, "
                    "or the model's own rules): submit it as a new one",
                    record->id);
    return STATUS_OK;
}

static enum status retry(struct job_change *change, struct error *err)
{
    const struct record *record = &change->get.get.record;
    uint64_t now_ms = jobs_now_ms(change->jobs);
    TRY(check_retry(change, now_ms, err));
    job_message_make(&change->message, record, now_ms, record->attempts + 1);
    struct store_call *call = chain_add_store(&change->chain);
    call->operation = STORE_CHANGE;
    call->change = (struct store_change){
        .id = change->id,
        .from = 1u << RECORD_FAILED | 1u << RECORD_CANCELLED,
        .to = RECORD_PENDING,
        .queued_us = now_ms * 1000,
        .set_status = true,
        .status = STATUS_OK,
        .error = STR_EMPTY,
        .message_id = str_of(change->message.id),
        .clear_output = true,
        .progress = 0,
    };
    add_cancel(change, job_dead_queue(record), record->message_id);
    struct queue_call *send = chain_add_queue(&change->chain);
    send->operation = QUEUE_SEND;
    send->queue = job_queue(record);
    send->arena = &change->arena;
    send->send = (struct queue_send){
        .messages = &change->message.message, .count = 1, .sent = &change->message.sent};
    return STATUS_OK;
}

static enum status plan(struct job_change *change, struct error *err)
{
    const struct record *record = &change->get.get.record;
    if (record->source != RECORD_SOURCE_JOB)
        return fail(err, STATUS_NOT_FOUND, "there is no job '%.*s'", STR_ARGS(change->id));
    if (change->kind == JOB_RETRY) return retry(change, err);
    return cancel(change, err);
}

static void got(struct store_call *call, enum status status, const struct error *err)
{
    struct job_change *change = call->context;
    struct error failure;
    if (status == STATUS_NOT_FOUND)
        fail(&failure, status, "there is no job '%.*s'", STR_ARGS(change->id));
    else if (status != STATUS_OK)
        failure = *err;
    else
        status = plan(change, &failure);
    if (status == STATUS_OK && change->chain.count > 0)
        chain_submit(&change->chain);
    else
        tell(change, status, &failure);
}

void job_change(struct job_change *change)
{
    struct error err;
    arena_init(&change->arena, JOB_RECORD_MAX);
    chain_init(&change->chain, change->jobs->store, change->jobs->queues);
    change->chain.done = changed;
    change->get = (struct store_call){
        .operation = STORE_GET,
        .arena = &change->arena,
        .done = got,
        .context = change,
        .get = {.id = change->id, .without_payloads = change->kind != JOB_RETRY},
    };
    enum status status = store_submit(change->jobs->store, &change->get, &err);
    if (status != STATUS_OK) tell(change, status, &err);
}

void job_change_clear(struct job_change *change)
{
    arena_clear(&change->arena);
}
