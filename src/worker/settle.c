/*
 * What came of the messages is written: of a group in its order, up to MEMBERS_MAX of them in one
 * transaction.
 */
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "worker/parts.h"

enum {
    STEPS_PER_MEMBER = 3, /* record, callback or answer, acknowledgement */
    MEMBERS_MAX = CHAIN_STEPS_MAX / STEPS_PER_MEMBER,
    PAUSE_MS_MIN = 100,
    PAUSE_MS_MAX = 5000,
};

struct member {
    struct work *work;
    struct record record; /* of a message that others sent */
    struct job_notice notice;
    struct reply reply;
    struct queue_receipt receipt;
};

struct settlement {
    struct group *group;
    struct worker *worker;
    struct member members[MEMBERS_MAX];
    size_t count;
    struct arena arena;
    struct chain chain;
    struct mail mail;
    enum status status;
    struct error error;
};

/* --- records ---------------------------------------------------------------------------------- */

static enum record_state state_of(enum work_outcome outcome)
{
    switch (outcome) {
    case OUTCOME_SUCCEEDED: return RECORD_SUCCEEDED;
    case OUTCOME_EXPIRED: return RECORD_EXPIRED;
    case OUTCOME_RETRY: return RECORD_PENDING;
    case OUTCOME_FAILED:
    case OUTCOME_RETURN:
    case OUTCOME_SKIP:
    case OUTCOME_LEAVE:
    case OUTCOME_DROP: break;
    }
    return RECORD_FAILED;
}

static bool writes_record(const struct work *work)
{
    switch (work->outcome) {
    case OUTCOME_SUCCEEDED:
    case OUTCOME_FAILED: return true;
    case OUTCOME_EXPIRED:
    case OUTCOME_RETRY: return work->is_job;
    case OUTCOME_RETURN:
    case OUTCOME_SKIP:
    case OUTCOME_LEAVE:
    case OUTCOME_DROP: break;
    }
    return false;
}

static struct str error_of(const struct work *work)
{
    return work->outcome == OUTCOME_SUCCEEDED ? STR_EMPTY : str_of(work->error.message);
}

static void add_change(struct settlement *settlement, struct member *member, uint64_t now_us)
{
    const struct work *work = member->work;
    struct store_call *call = chain_add_store(&settlement->chain);
    bool final = work->outcome != OUTCOME_RETRY;
    bool succeeded = work->outcome == OUTCOME_SUCCEEDED;
    call->operation = STORE_CHANGE;
    call->change = (struct store_change){
        .id = str_of(work->id),
        .from = 1u << RECORD_PENDING | 1u << RECORD_RUNNING | 1u << RECORD_FAILED,
        .to = state_of(work->outcome),
        .started_us = work->started_us,
        .done_us = final ? now_us : 0,
        .set_status = true,
        .status = succeeded ? STATUS_OK : work->error_status,
        .error = error_of(work),
        .version = *work->version ? str_of(work->version) : (struct str){NULL, 0},
        .output = succeeded ? &work->kept_output : NULL,
        .loan = succeeded && work->loan.bytes.data ? &work->loan : NULL,
        .message_id = work->reruns ? work->message->id : (struct str){NULL, 0},
        .attempts_add = work->started_us ? 1 : 0,
        .progress = succeeded ? 1 : -1,
    };
    if (final && work->found)
        job_notice_add(&member->notice, &work->record, &settlement->chain, &settlement->arena);
}

static void fill_record(struct member *member, uint64_t now_us)
{
    const struct work *work = member->work;
    const struct queue_message *message = work->message;
    struct record *record = &member->record;
    memcpy(record->id, work->id, sizeof record->id);
    record->model = work->ticket.model.data ? work->ticket.model : STR_EMPTY;
    record->version = str_of(work->version);
    record->source = RECORD_SOURCE_QUEUE;
    record->state = state_of(work->outcome);
    record->queue = str_of(work->lease->consumer->name);
    if (work->key.size > 0) record->key = work->key;
    memcpy(record->key_hash, work->key_hash, sizeof record->key_hash);
    if (*work->trace_id) record->trace_id = str_of(work->trace_id);
    record->message_id = message->id;
    record->group = message->group;
    record->received_us = record->queued_us = message->sent_ms * 1000;
    record->started_us = work->started_us;
    record->done_us = now_us;
    record->status = work->outcome == OUTCOME_SUCCEEDED ? STATUS_OK : work->error_status;
    record->error = error_of(work);
    record->attempts = message->receive_count;
    record->input = work->kept_input;
    record->output.keep = RECORD_KEEP_OMITTED;
    if (work->outcome == OUTCOME_SUCCEEDED) record->output = work->kept_output;
    record->progress = work->outcome == OUTCOME_SUCCEEDED ? 1 : 0;
}

static void add_put(struct settlement *settlement, struct member *member, uint64_t now_us)
{
    struct store_call *call = chain_add_store(&settlement->chain);
    fill_record(member, now_us);
    call->operation = STORE_PUT;
    call->put = (struct store_put){.records = &member->record, .count = 1};
}

/* --- messages --------------------------------------------------------------------------------- */

static enum queue_operation operation_for(const struct work *work)
{
    const struct consumer *consumer = work->lease->consumer;
    switch (work->outcome) {
    case OUTCOME_RETRY: return QUEUE_EXTEND; /* back after a pause, the receive counted */
    case OUTCOME_RETURN: return QUEUE_NACK;
    case OUTCOME_LEAVE: return QUEUE_EXTEND;
    case OUTCOME_FAILED:
        /* Where to, the store knows best: what we know of the queue may be a moment old. */
        if (queue_store_can(consumer->queues, QUEUE_BURY)) return QUEUE_BURY;
        return consumer->has_dead_letter ? QUEUE_EXTEND : QUEUE_ACK;
    case OUTCOME_SUCCEEDED:
    case OUTCOME_EXPIRED:
    case OUTCOME_SKIP:
    case OUTCOME_DROP: break;
    }
    return QUEUE_ACK;
}

static void add_receipt(struct settlement *settlement, struct member *member)
{
    const struct work *work = member->work;
    struct queue_call *call = chain_add_queue(&settlement->chain);
    bool pauses = work->outcome == OUTCOME_RETRY || work->outcome == OUTCOME_RETURN;
    member->receipt = (struct queue_receipt){
        .receipt = work->message->receipt,
        .visibility_ms = pauses ? (int64_t)work->retry_ms : 0,
        .must_hold = true,
    };
    call->operation = operation_for(work);
    call->queue = str_of(work->lease->consumer->name);
    call->arena = &settlement->arena;
    call->receipts = (struct queue_receipts){.receipts = &member->receipt, .count = 1};
}

static void add_member(struct settlement *settlement, struct work *work, uint64_t now_us)
{
    struct member *member = &settlement->members[settlement->count++];
    member->work = work;
    work->state = WORK_SETTLING;
    if (writes_record(work) && (work->is_job || work->reruns))
        add_change(settlement, member, now_us);
    else if (writes_record(work))
        add_put(settlement, member, now_us);
    if (work_wants_reply(work)) reply_add(&member->reply, work, &settlement->chain);
    add_receipt(settlement, member);
}

/* --- the end of a settlement ------------------------------------------------------------------ */

static void count_outcome(struct worker_counters *counters, enum work_outcome outcome)
{
    switch (outcome) {
    case OUTCOME_SUCCEEDED: counter_add(&counters->succeeded, 1); break;
    case OUTCOME_FAILED: counter_add(&counters->failed, 1); break;
    case OUTCOME_RETRY: counter_add(&counters->retried, 1); break;
    case OUTCOME_RETURN: counter_add(&counters->returned, 1); break;
    case OUTCOME_EXPIRED:
    case OUTCOME_LEAVE:
    case OUTCOME_SKIP: counter_add(&counters->skipped, 1); break;
    case OUTCOME_DROP: counter_add(&counters->lost, 1); break;
    }
}

/* By the model's name as it was submitted. */
static void count_job(struct worker *worker, const struct work *work)
{
    static const struct {
        bool counts;
        enum job_count kind;
    } kinds[] = {
        [OUTCOME_SUCCEEDED] = {true, JOB_COUNT_SUCCEEDED},
        [OUTCOME_FAILED] = {true, JOB_COUNT_FAILED},
        [OUTCOME_EXPIRED] = {true, JOB_COUNT_EXPIRED},
        [OUTCOME_RETRY] = {true, JOB_COUNT_RETRIED},
        [OUTCOME_RETURN] = {false, 0},
        [OUTCOME_SKIP] = {false, 0},
        [OUTCOME_LEAVE] = {false, 0},
        [OUTCOME_DROP] = {false, 0},
    };
    if (kinds[work->outcome].counts)
        tally_add(&worker->jobs->tally, work->ticket.model, kinds[work->outcome].kind, 1);
}

static void log_outcome(const struct work *work)
{
    if (work->outcome != OUTCOME_FAILED && work->outcome != OUTCOME_RETRY) return;
    const struct log_field fields[] = {
        LOG_STR("queue", str_of(work->lease->consumer->name)),
        LOG_STR("message_id", work->message->id),
        LOG_STR("record", str_of(work->id)),
        LOG_U64("receive", work->message->receive_count),
        LOG_TEXT("error", work->error.message),
    };
    bool failed = work->outcome == OUTCOME_FAILED;
    log_write(LOG_LEVEL_WARNING, failed ? "message failed" : "message failed and will be retried",
              fields, COUNT_OF(fields));
}

static bool ends_group(const struct work *work)
{
    return work->outcome == OUTCOME_RETRY || work->outcome == OUTCOME_RETURN;
}

static void member_settled(struct settlement *settlement, struct work *work)
{
    struct worker *worker = settlement->worker;
    count_outcome(&worker->counters, work->outcome);
    counter_add(&worker->counters.replied, work_wants_reply(work));
    log_outcome(work);
    if (ends_group(work)) settlement->group->stopped = true;
    if (work->is_job) count_job(worker, work);
    if (work->is_job) bell_ring(worker->jobs->bell, str_of(work->id));
    work->state = WORK_DECIDED;
    work_finish(work);
}

static void take_back(const struct settlement *settlement)
{
    for (size_t i = 0; i < settlement->count; i++)
        settlement->members[i].work->state = WORK_DECIDED;
}

static bool is_lost(enum status status)
{
    return status == STATUS_FAILED_PRECONDITION || status == STATUS_NOT_FOUND;
}

/*
 * Either the record is final (cancelled meanwhile, or answered by somebody else): then the message
 * is not needed any more; or the lease is not ours any more: then nothing is to be done.
 */
static void look_again(struct settlement *settlement, struct work *work)
{
    struct group *group = settlement->group;
    if (work->looked_again || !writes_record(work) || !work->is_job) {
        group->lost = true;
        return;
    }
    work->looked_again = true;
    work->outcome = OUTCOME_SKIP;
}

/* The store does not take the result as it is: that is the result. */
static void record_refusal(struct settlement *settlement, struct work *work)
{
    if (work->refused || work->outcome == OUTCOME_SKIP || work->outcome == OUTCOME_RETURN) {
        settlement->group->lost = true;
        return;
    }
    work->refused = true;
    work->error = settlement->error;
    work->error_status = STATUS_INTERNAL;
    work->outcome = OUTCOME_FAILED;
}

static bool is_for_good(enum status status)
{
    return status == STATUS_NOT_FOUND || status == STATUS_INVALID_ARGUMENT ||
           status == STATUS_PERMISSION_DENIED || status == STATUS_UNIMPLEMENTED;
}

/* It may have been the answer's queue that said no. The result counts without it: if it was not,
 * the next settlement says so. */
static void refuse_reply(struct settlement *settlement, struct work *work)
{
    work->reply_refused = true;
    counter_add(&settlement->worker->counters.replies_refused, 1);
    log_warning("an answer cannot be sent", LOG_STR("queue", work->reply_to),
                LOG_STR("message_id", work->message->id),
                LOG_TEXT("error", settlement->error.message));
}

static void pause_group(struct settlement *settlement)
{
    struct group *group = settlement->group;
    uint64_t pause_ms =
        MIN((uint64_t)PAUSE_MS_MIN << MIN(group->tries, 8u), (uint64_t)PAUSE_MS_MAX);
    if (group->tries++ == 0)
        log_warning("results cannot be written; they are kept and tried again",
                    LOG_TEXT("error", settlement->error.message));
    group->again_ns = loop_now_ns(settlement->worker->loop) + pause_ms * NS_PER_MS;
}

static void settlement_failed(struct settlement *settlement)
{
    struct group *group = settlement->group;
    struct work *work = settlement->members[0].work;
    take_back(settlement);
    if (settlement->count > 1)
        group->single = true;
    else if (work_wants_reply(work) && is_for_good(settlement->status))
        refuse_reply(settlement, work);
    else if (is_lost(settlement->status))
        look_again(settlement, work);
    else if (settlement->status == STATUS_INVALID_ARGUMENT)
        record_refusal(settlement, work);
    else
        pause_group(settlement);
}

static void receive_settled(struct mail *mail)
{
    struct settlement *settlement = CONTAINER_OF(mail, struct settlement, mail);
    struct worker *worker = settlement->worker;
    struct group *group = settlement->group;
    group->settling = false;
    if (settlement->status != STATUS_OK) {
        settlement_failed(settlement);
    } else {
        group->tries = 0;
        for (size_t i = 0; i < settlement->count; i++)
            member_settled(settlement, settlement->members[i].work);
    }
    arena_clear(&settlement->arena);
    mem_free(settlement);
    group_advance(group);
    worker_end_call(worker);
}

static void settled(struct chain *chain, enum status status, const struct error *err)
{
    struct settlement *settlement = CONTAINER_OF(chain, struct settlement, chain);
    settlement->status = status;
    if (status != STATUS_OK) settlement->error = *err;
    loop_post(settlement->worker->loop, &settlement->mail);
}

/* --- the group -------------------------------------------------------------------------------- */

/* What is left of a group that stopped, or whose lease is gone, is not run to its end. */
static void redirect(struct group *group)
{
    group->settling = true; /* a call that is taken back is released from inside */
    for (struct work *work = group->first; work; work = work->next) {
        if (group->stopped) {
            work->outcome = OUTCOME_RETURN;
            work->retry_ms = 0;
        }
        if (group->lost) work->outcome = OUTCOME_DROP;
        work_abandon(work);
        work->decided = true;
        if (work->state == WORK_WAITING) work->state = WORK_DECIDED;
    }
    group->settling = false;
}

static void drop_decided(struct worker *worker, struct group *group)
{
    while (group->first && group->first->state == WORK_DECIDED) {
        count_outcome(&worker->counters, OUTCOME_DROP);
        work_finish(group->first);
    }
}

static size_t members_max(const struct group *group)
{
    return group->single ? 1 : (size_t)MEMBERS_MAX;
}

static void settle(struct worker *worker, struct group *group)
{
    struct settlement *settlement = MEM_NEW(struct settlement);
    uint64_t now_us = jobs_now_ms(worker->jobs) * 1000;
    settlement->group = group;
    settlement->worker = worker;
    settlement->mail.receive = receive_settled;
    arena_init(&settlement->arena, JOB_ARENA_MAX);
    chain_init(&settlement->chain, worker->jobs->store, group->first->lease->consumer->queues);
    for (struct work *work = group->first;
         work && work->state == WORK_DECIDED && settlement->count < members_max(group);
         work = work->next) {
        add_member(settlement, work, now_us);
        if (ends_group(work) && !group->stopped) break;
    }
    settlement->chain.done = settled;
    group->settling = true;
    worker_begin_call(worker);
    chain_submit(&settlement->chain);
}

void group_advance(struct group *group)
{
    if (group->settling || !group->first) return;
    struct worker *worker = group->first->lease->consumer->worker;
    if (group->again_ns && loop_now_ns(worker->loop) < group->again_ns) return;
    group->again_ns = 0;
    if (group->stopped || group->lost) redirect(group);
    if (group->lost)
        drop_decided(worker, group);
    else if (group->first->state == WORK_DECIDED)
        settle(worker, group);
}
