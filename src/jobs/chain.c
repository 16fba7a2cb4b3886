/* Calls that are made together. */
#include "jobs/chain.h"

void chain_init(struct chain *chain, struct store *store, struct queue_store *queues)
{
    struct database *database = queues ? queue_store_database(queues) : store_database(store);
    *chain = (struct chain){.store = store, .queues = queues};
    chain->shared = database && database == store_database(store);
}

static struct chain_step *add_step(struct chain *chain, bool is_queue)
{
    assert(chain->count < CHAIN_STEPS_MAX);
    struct chain_step *step = &chain->steps[chain->count++];
    step->is_queue = is_queue;
    return step;
}

struct store_call *chain_add_store(struct chain *chain)
{
    struct store_call *call = &add_step(chain, false)->store;
    call->context = chain;
    return call;
}

struct queue_call *chain_add_queue(struct chain *chain)
{
    struct queue_call *call = &add_step(chain, true)->queue;
    call->context = chain;
    return call;
}

/* --- what a call that went well may still say ------------------------------------------------- */

static enum status check_admission(const struct store_call *call, struct error *err)
{
    if (call->operation != STORE_ADMIT || !call->admit.existing) return STATUS_OK;
    return fail(err, STATUS_ALREADY_EXISTS, "the idempotency key is known already");
}

static enum status check_sent(const struct queue_send *send, struct error *err)
{
    for (size_t i = 0; i < send->count; i++)
        if (send->sent[i].status != STATUS_OK)
            return fail(err, send->sent[i].status, "%s",
                        send->sent[i].reason ? send->sent[i].reason : "the message was not taken");
    return STATUS_OK;
}

static enum status check_receipts(const struct queue_receipts *receipts, struct error *err)
{
    for (size_t i = 0; i < receipts->count; i++)
        if (receipts->receipts[i].status != STATUS_OK)
            return fail(err, receipts->receipts[i].status, "%s",
                        receipts->receipts[i].reason ? receipts->receipts[i].reason
                                                     : "the message is not held any more");
    return STATUS_OK;
}

static enum status check_queue_call(const struct queue_call *call, struct error *err)
{
    switch ((int)call->operation) {
    case QUEUE_SEND: return check_sent(&call->send, err);
    case QUEUE_ACK:
    case QUEUE_NACK:
    case QUEUE_BURY:
    case QUEUE_EXTEND: return check_receipts(&call->receipts, err);
    default: return STATUS_OK;
    }
}

static enum status check_step(const struct chain_step *step, struct error *err)
{
    return step->is_queue ? check_queue_call(&step->queue, err)
                          : check_admission(&step->store, err);
}

/* --- in one transaction ----------------------------------------------------------------------- */

static enum status run_check(struct database_task *task, struct database_session *session UNUSED,
                             struct error *err)
{
    const struct chain *chain = CONTAINER_OF(task, struct chain, check);
    for (size_t i = 0; i < chain->count; i++) TRY(check_step(&chain->steps[i], err));
    return STATUS_OK;
}

static void check_done(struct database_task *task, enum status status, const struct error *err)
{
    struct chain *chain = CONTAINER_OF(task, struct chain, check);
    chain->done(chain, status, err);
}

static void ignore_store_done(struct store_call *call UNUSED, enum status status UNUSED,
                              const struct error *err UNUSED)
{
}

static void ignore_queue_done(struct queue_call *call UNUSED, enum status status UNUSED,
                              const struct error *err UNUSED)
{
}

static enum status prepare_step(struct chain *chain, struct chain_step *step,
                                struct database_task **ret_task, struct error *err)
{
    if (step->is_queue) {
        step->queue.done = ignore_queue_done;
        TRY(queue_call_prepare(chain->queues, &step->queue, err));
        *ret_task = &step->queue.task;
        return STATUS_OK;
    }
    step->store.done = ignore_store_done;
    TRY(store_call_prepare(chain->store, &step->store, err));
    *ret_task = &step->store.task;
    return STATUS_OK;
}

static enum status submit_shared(struct chain *chain, struct error *err)
{
    struct database_task *first = NULL, *last = NULL;
    for (size_t i = 0; i < chain->count; i++) {
        struct database_task *task = NULL;
        TRY(prepare_step(chain, &chain->steps[i], &task, err));
        if (last)
            last->together = task;
        else
            first = task;
        last = task;
    }
    assert(first);
    chain->check = (struct database_task){.run = run_check, .done = check_done};
    chain->check.reads = first->reads;
    last->together = &chain->check;
    return database_submit(store_database(chain->store), first, err);
}

/* --- one after the other ---------------------------------------------------------------------- */

static void submit_next(struct chain *chain);

static void step_done(struct chain *chain, enum status status, const struct error *err)
{
    struct error failure;
    if (status == STATUS_OK) {
        status = check_step(&chain->steps[chain->next], &failure);
        err = &failure;
    }
    if (status != STATUS_OK) {
        chain->done(chain, status, err);
        return;
    }
    if (++chain->next == chain->count)
        chain->done(chain, STATUS_OK, NULL);
    else
        submit_next(chain);
}

static void store_step_done(struct store_call *call, enum status status, const struct error *err)
{
    step_done(call->context, status, err);
}

static void queue_step_done(struct queue_call *call, enum status status, const struct error *err)
{
    step_done(call->context, status, err);
}

static void submit_next(struct chain *chain)
{
    struct chain_step *step = &chain->steps[chain->next];
    struct error err;
    enum status status;
    if (step->is_queue) {
        step->queue.done = queue_step_done;
        status = queue_submit(chain->queues, &step->queue, &err);
    } else {
        step->store.done = store_step_done;
        status = store_submit(chain->store, &step->store, &err);
    }
    if (status != STATUS_OK) chain->done(chain, status, &err);
}

void chain_submit(struct chain *chain)
{
    struct error err;
    assert(chain->count > 0 && chain->done);
    if (!chain->shared) {
        chain->next = 0;
        submit_next(chain);
        return;
    }
    enum status status = submit_shared(chain, &err);
    if (status != STATUS_OK) chain->done(chain, status, &err);
}
