/* What every kind of store shares: arguments are checked, and calls become database tasks. */
#include "store/store.h"

#include "base/json.h"
#include "store/cursor.h"

static enum status run_task(struct database_task *task, struct database_session *session,
                            struct error *err)
{
    struct store_call *call = CONTAINER_OF(task, struct store_call, task);
    return call->store->ops->run(call->store, session, call, err);
}

static void task_done(struct database_task *task, enum status status, const struct error *err)
{
    struct store_call *call = CONTAINER_OF(task, struct store_call, task);
    call->done(call, status, err);
}

/* --- checks ----------------------------------------------------------------------------------- */

static enum status check_id(struct str id, struct error *err)
{
    if (record_id_is_valid(id)) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "'%.*s' is no id of a record: those have %d digits and capital letters",
                (int)MIN(id.size, (size_t)64), id.data ? id.data : "", RECORD_ID_SIZE);
}

static enum status check_put(const struct store_put *put, struct error *err)
{
    if (put->count == 0 || put->count > STORE_PUT_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "%zu records at once: 1 to %d can be written",
                    put->count, STORE_PUT_MAX);
    for (size_t i = 0; i < put->count; i++) TRY(record_check(&put->records[i], err));
    return STATUS_OK;
}

static enum status check_admit(const struct store_admit *admit, struct error *err)
{
    if (admit->record->key.size == 0)
        return fail(err, STATUS_INVALID_ARGUMENT, "the idempotency key is empty");
    return record_check(admit->record, err);
}

static enum status check_change(const struct store_change *change, struct error *err)
{
    struct record changed = {
        .model = STR_EMPTY,
        .version = change->version,
        .digest = change->digest,
        .variant = change->variant,
        .message_id = change->message_id,
        .error = change->error,
    };
    TRY(check_id(change->id, err));
    memcpy(changed.id, change->id.data, RECORD_ID_SIZE);
    if (change->output) changed.output = *change->output;
    if (change->loan) changed.loan = *change->loan;
    if (change->from == 0 || change->from >> RECORD_STATE_COUNT)
        return fail(err, STATUS_INVALID_ARGUMENT, "a change starts from no known state");
    if (change->output && change->clear_output)
        return fail(err, STATUS_INVALID_ARGUMENT, "a change both sets and clears the output");
    if (change->loan && !record_state_is_final(change->to))
        return fail(err, STATUS_INVALID_ARGUMENT, "a loan begins with a final state, not with %s",
                    record_state_text(change->to));
    return record_check(&changed, err);
}

static enum status check_label(const struct store_label *label, struct error *err)
{
    TRY(check_id(label->id, err));
    if (label->label.size == 0) return STATUS_OK;
    if (label->label.size > RECORD_LABEL_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "label of %zu bytes: at most %d are kept",
                    label->label.size, RECORD_LABEL_MAX);
    TRY(record_check_text(label->label, "label", err));
    struct json_reader reader;
    json_reader_init(&reader, label->label, NULL);
    TRY(fail_while(err, json_skip(&reader, err), "label"));
    return fail_while(err, json_end(&reader, err), "label");
}

static enum status check_get(const struct store_get *get, struct error *err)
{
    if (get->id.size) return check_id(get->id, err);
    if (get->model.size == 0 || get->key.size == 0)
        return fail(err, STATUS_INVALID_ARGUMENT, "a record is found by id, or by model and key");
    TRY(record_check_text(get->model, "model", err));
    return record_check_text(get->key, "key", err);
}

static enum status check_filter(const struct store_filter *filter, struct error *err)
{
    const struct {
        struct str text;
        const char *what;
    } texts[] = {
        {filter->model, "model"},       {filter->version, "version"}, {filter->variant, "variant"},
        {filter->group, "group"},       {filter->queue, "queue"},     {filter->key, "key"},
        {filter->trace_id, "trace id"},
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        TRY(record_check_text(texts[i].text, texts[i].what, err));
    if (filter->states >> RECORD_STATE_COUNT || filter->sources >> RECORD_SOURCE_COUNT)
        return fail(err, STATUS_INVALID_ARGUMENT, "the filter names an unknown state or source");
    return STATUS_OK;
}

static enum status check_list(const struct store_list *list, struct error *err)
{
    char id[RECORD_ID_SIZE + 1];
    if (list->count_max == 0 || list->count_max > STORE_LIST_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "a page of %u records: 1 to %d can be asked for",
                    list->count_max, STORE_LIST_MAX);
    TRY(check_filter(&list->filter, err));
    return store_cursor_read(list, id, err);
}

static enum status check(const struct store_call *call, struct error *err)
{
    assert(call->done);
    switch (call->operation) {
    case STORE_PUT: return check_put(&call->put, err);
    case STORE_ADMIT: assert(call->arena); return check_admit(&call->admit, err);
    case STORE_CHANGE: return check_change(&call->change, err);
    case STORE_LABEL: return check_label(&call->label, err);
    case STORE_PRUNE:
        if (call->prune.count_max > 0) return STATUS_OK;
        return fail(err, STATUS_INVALID_ARGUMENT, "pruning at most 0 records does nothing");
    case STORE_GET: assert(call->arena); return check_get(&call->get, err);
    case STORE_LIST: assert(call->arena); return check_list(&call->list, err);
    case STORE_STATISTICS: return STATUS_OK;
    }
    return fail(err, STATUS_INVALID_ARGUMENT, "the store has no operation %d", call->operation);
}

/* --- calls ------------------------------------------------------------------------------------ */

enum status store_call_prepare(struct store *store, struct store_call *call, struct error *err)
{
    TRY(check(call, err));
    call->store = store;
    call->task = (struct database_task){
        .run = run_task,
        .done = task_done,
        .reads = call->operation >= STORE_GET,
    };
    return STATUS_OK;
}

enum status store_submit(struct store *store, struct store_call *call, struct error *err)
{
    TRY(store_call_prepare(store, call, err));
    return database_submit(store->database, &call->task, err);
}

static void nothing_done(struct store_call *call UNUSED, enum status status UNUSED,
                         const struct error *err UNUSED)
{
}

enum status store_run(struct store *store, struct store_call *call, struct error *err)
{
    call->done = nothing_done; /* database_run waits instead */
    TRY(store_call_prepare(store, call, err));
    return database_run(store->database, &call->task, err);
}

struct database *store_database(struct store *store)
{
    return store->database;
}

const char *store_kind(const struct store *store)
{
    return store->ops->name;
}

void store_free(struct store *store)
{
    if (store) store->ops->close(store);
}
