/*
 * Many records: lists, pruning, counting. All go along the index by_time, whose eight shards are
 * merged by id.
 */
#include "base/mem.h"
#include "store/cursor.h"
#include "store/store_dynamodb_private.h"

enum {
    SCAN_MAX = 20000, /* entries that one page or one pruning looks at */
    FETCH_MIN = 16,   /* entries of a shard that are asked for at once */
    FETCH_MAX = 1000,
    BATCH_MAX = 25, /* records that are read at once */
    BATCH_TRIES_MAX = 10,
    ID_SIZE = RECORD_ID_SIZE + 1,
};

/* --- walking -----------------------------------------------------------------------------------
 */

/* Entries of one shard that were fetched and not yet taken. */
struct shard {
    struct arena arena; /* of the entries */
    struct item *entries;
    size_t count;
    size_t at;
    bool ended; /* nothing is behind them */
    char last[ID_SIZE];
};

struct walk {
    struct dynamodb_work *work;
    char least[ID_SIZE], greatest[ID_SIZE]; /* both inclusive */
    bool ascending;
    size_t fetch_size;
    size_t looked_at;
    struct shard shards[ITEM_SHARDS];
};

static void walk_init(struct walk *walk, struct dynamodb_work *work, size_t fetch_size)
{
    *walk = (struct walk){.work = work,
                          .fetch_size = MIN(MAX(fetch_size, (size_t)FETCH_MIN), (size_t)FETCH_MAX)};
    for (int i = 0; i < ITEM_SHARDS; i++) arena_init(&walk->shards[i].arena, ITEM_ARENA_MAX);
}

static void walk_clear(struct walk *walk)
{
    for (int i = 0; i < ITEM_SHARDS; i++) arena_clear(&walk->shards[i].arena);
}

static void add_value(struct json_writer *json, const char *name, struct str text)
{
    json_add_name(json, str_of(name));
    item_add_text(json, text);
}

static void write_query(struct dynamodb_body *body, const struct walk *walk, unsigned number)
{
    static const char *const names[] = {"shard", "id", NULL};
    const struct shard *shard = &walk->shards[number];
    struct json_writer *json = &body->json;
    char name[2] = {(char)('0' + number), '\0'};
    json_put_string(json, STR("IndexName"), STR("by_time"));
    json_put_string(json, STR("KeyConditionExpression"),
                    STR("#shard = :shard AND #id BETWEEN :least AND :greatest"));
    dynamodb_add_names(json, names);
    json_add_name(json, STR("ExpressionAttributeValues"));
    json_begin_object(json);
    add_value(json, ":shard", str_of(name));
    add_value(json, ":least", str_of(walk->least));
    add_value(json, ":greatest", str_of(walk->greatest));
    json_end_object(json);
    json_put_bool(json, STR("ScanIndexForward"), walk->ascending);
    json_put_u64(json, STR("Limit"), walk->fetch_size);
    if (!shard->last[0]) return;
    char pk[ID_SIZE + 2];
    (void)snprintf(pk, sizeof pk, "r#%s", shard->last);
    json_add_name(json, STR("ExclusiveStartKey"));
    json_begin_object(json);
    add_value(json, "pk", str_of(pk));
    add_value(json, "shard", str_of(name));
    add_value(json, "id", str_of(shard->last));
    json_end_object(json);
}

static enum status read_entries(struct shard *shard, struct str items, size_t count_max,
                                struct error *err)
{
    struct json_reader reader;
    bool more;
    shard->entries = ARENA_TRY_ARRAY(&shard->arena, struct item, count_max);
    if (!shard->entries) return fail(err, STATUS_EXHAUSTED, "no memory for entries of the index");
    json_reader_init(&reader, items, &shard->arena);
    TRY(json_open_array(&reader, err));
    for (;;) {
        TRY(json_next_element(&reader, &more, err));
        if (!more) return STATUS_OK;
        if (shard->count == count_max)
            return fail(err, STATUS_UNAVAILABLE, "DynamoDB gives more entries than were asked for");
        TRY(item_read(&reader, &shard->arena, &shard->entries[shard->count], err));
        shard->count++;
    }
}

/* The next entries of a shard, from its own arena. */
static enum status fetch(struct walk *walk, unsigned number, struct error *err)
{
    struct shard *shard = &walk->shards[number];
    struct dynamodb_work work = {.dynamodb = walk->work->dynamodb, .now_s = walk->work->now_s};
    struct dynamodb_body body;
    struct aws_reply reply;
    struct str items, last;
    arena_reset(&shard->arena);
    shard->count = shard->at = 0;
    dynamodb_body_init(&body, &work);
    write_query(&body, walk, number);
    work.arena = shard->arena;
    enum status status = dynamodb_ask(&work, "Query", &body, &reply, err);
    shard->arena = work.arena;
    TRY(status);
    if (!dynamodb_member(reply.body, "Items", &items))
        return fail(err, STATUS_UNAVAILABLE, "DynamoDB answers a query without items");
    TRY(read_entries(shard, items, walk->fetch_size, err));
    shard->ended = !dynamodb_member(reply.body, "LastEvaluatedKey", &last) || shard->count == 0;
    if (shard->count > 0)
        memcpy(shard->last, shard->entries[shard->count - 1].record.id, sizeof shard->last);
    walk->fetch_size = MIN(walk->fetch_size * 2, (size_t)FETCH_MAX);
    return STATUS_OK;
}

/* True if `one` comes before `other` in the walk's order; other may be NULL. */
static bool comes_before(const struct walk *walk, const struct shard *one,
                         const struct shard *other)
{
    if (!other) return true;
    int order = strcmp(one->entries[one->at].record.id, other->entries[other->at].record.id);
    return walk->ascending ? order < 0 : order > 0;
}

/* The shard whose next entry is next of all; NULL at the end. */
static enum status choose_shard(struct walk *walk, struct shard **ret_best, struct error *err)
{
    struct shard *best = NULL;
    for (unsigned i = 0; i < ITEM_SHARDS; i++) {
        struct shard *shard = &walk->shards[i];
        if (shard->at == shard->count && !shard->ended) TRY(fetch(walk, i, err));
        if (shard->at < shard->count && comes_before(walk, shard, best)) best = shard;
    }
    *ret_best = best;
    return STATUS_OK;
}

/* The next entry that has not expired, in the walk's order; NULL at its end. Valid until the next
 * call. */
static enum status walk_next(struct walk *walk, struct item **ret_entry, struct error *err)
{
    for (;;) {
        struct shard *best;
        TRY(choose_shard(walk, &best, err));
        *ret_entry = best ? &best->entries[best->at++] : NULL;
        walk->looked_at += best != NULL;
        if (!best || dynamodb_is_live(walk->work, *ret_entry)) return STATUS_OK;
    }
}

/* --- records by their ids ----------------------------------------------------------------------
 */

struct batch {
    char (*ids)[ID_SIZE];
    size_t count;
    struct item items[BATCH_MAX]; /* as they come */
    size_t found;
};

static bool is_found(const struct batch *batch, const char *id)
{
    for (size_t i = 0; i < batch->found; i++)
        if (strcmp(batch->items[i].record.id, id) == 0) return true;
    return false;
}

static void write_keys(struct json_writer *json, const struct dynamodb_work *work,
                       const struct batch *batch, const bool *settled)
{
    char pk[ID_SIZE + 2];
    json_begin_object(json);
    json_add_name(json, STR("RequestItems"));
    json_begin_object(json);
    json_add_name(json, str_of(work->dynamodb->table));
    json_begin_object(json);
    json_put_bool(json, STR("ConsistentRead"), true);
    json_add_name(json, STR("Keys"));
    json_begin_array(json);
    for (size_t i = 0; i < batch->count; i++) {
        if (settled[i]) continue;
        (void)snprintf(pk, sizeof pk, "r#%s", batch->ids[i]);
        json_begin_object(json);
        add_value(json, "pk", str_of(pk));
        json_end_object(json);
    }
    json_end_array(json);
    json_end_object(json);
    json_end_object(json);
    json_end_object(json);
}

static enum status read_found(struct dynamodb_work *work, struct str responses, struct batch *batch,
                              struct error *err)
{
    struct json_reader reader;
    struct str items;
    bool more;
    if (!dynamodb_member(responses, work->dynamodb->table, &items)) return STATUS_OK;
    json_reader_init(&reader, items, &work->arena);
    TRY(json_open_array(&reader, err));
    for (;;) {
        TRY(json_next_element(&reader, &more, err));
        if (!more) return STATUS_OK;
        if (batch->found == BATCH_MAX)
            return fail(err, STATUS_UNAVAILABLE, "DynamoDB gives more records than were asked for");
        TRY(item_read(&reader, &work->arena, &batch->items[batch->found], err));
        batch->found++;
    }
}

/* What DynamoDB had no time or room for stands in UnprocessedKeys: again, with growing pauses. */
static void settle(const struct batch *batch, struct str body, bool *settled, size_t *ret_left)
{
    struct str left;
    bool some = dynamodb_member(body, "UnprocessedKeys", &left) && left.size > 2;
    *ret_left = 0;
    for (size_t i = 0; i < batch->count; i++) {
        bool again = some && !is_found(batch, batch->ids[i]) &&
                     memmem(left.data, left.size, batch->ids[i], RECORD_ID_SIZE);
        settled[i] = !again;
        *ret_left += again;
    }
}

static enum status read_batch(struct dynamodb_work *work, struct batch *batch, struct error *err)
{
    bool settled[BATCH_MAX] = {false};
    size_t left = batch->count;
    for (unsigned i = 0; left > 0; i++) {
        struct dynamodb_body body;
        struct aws_reply reply;
        struct str responses;
        if (i == BATCH_TRIES_MAX)
            return fail(err, STATUS_EXHAUSTED,
                        "DynamoDB leaves %zu of %zu records unread, again "
                        "and again: its table has too little capacity",
                        left, batch->count);
        if (i > 0) dynamodb_pause(i);
        buffer_init(&body.text, DYNAMODB_BODY_MAX);
        json_writer_init(&body.json, &body.text);
        write_keys(&body.json, work, batch, settled);
        TRY(dynamodb_send(work, "BatchGetItem", &body.text, &reply, err));
        if (dynamodb_member(reply.body, "Responses", &responses))
            TRY(read_found(work, responses, batch, err));
        settle(batch, reply.body, settled, &left);
    }
    return STATUS_OK;
}

static struct item *find_item(struct batch *batch, const char *id)
{
    for (size_t i = 0; i < batch->found; i++)
        if (strcmp(batch->items[i].record.id, id) == 0) return &batch->items[i];
    return NULL;
}

/* --- lists -------------------------------------------------------------------------------------
 */

struct page {
    struct dynamodb_work *work;
    struct store_list *list;
    struct arena *arena;
    char (*ids)[ID_SIZE]; /* of the entries that pass, in order */
    size_t id_count;
    char after[ID_SIZE]; /* the cursor's id, empty at the first page */
    char seen[ID_SIZE];  /* the last that is done with */
    bool ended;          /* the page, not the list */
};

static enum status choose(struct page *page, struct walk *walk, struct error *err)
{
    struct store_list *list = page->list;
    struct item *entry;
    for (;;) {
        TRY(walk_next(walk, &entry, err));
        if (!entry) return STATUS_OK;
        if (strcmp(entry->record.id, page->after) == 0) continue;
        if (walk->looked_at > SCAN_MAX || page->id_count == list->count_max) {
            page->ended = true;
            return STATUS_OK;
        }
        if (store_filter_matches(&list->filter, &entry->record))
            memcpy(page->ids[page->id_count++], entry->record.id, ID_SIZE);
        memcpy(page->seen, entry->record.id, ID_SIZE);
    }
}

static enum status walk_page(struct page *page, struct error *err)
{
    struct store_list *list = page->list;
    struct walk walk;
    TRY(store_cursor_read(list, page->after, err));
    walk_init(&walk, page->work, list->count_max / ITEM_SHARDS * 2);
    store_filter_range(&list->filter, walk.least, walk.greatest);
    walk.ascending = list->ascending;
    if (page->after[0]) memcpy(list->ascending ? walk.least : walk.greatest, page->after, ID_SIZE);
    /* Both ends may have crossed; DynamoDB does not take that. */
    enum status status =
        strcmp(walk.least, walk.greatest) > 0 ? STATUS_OK : choose(page, &walk, err);
    walk_clear(&walk);
    return status;
}

/* A record that finds no room ends the page, unless it is the first. The index may be behind: what
 * does not pass any more is left out. */
static enum status take_record(struct page *page, struct batch *batch, const char *id,
                               struct error *err)
{
    struct store_list *list = page->list;
    struct item *item = find_item(batch, id);
    if (item && dynamodb_is_live(page->work, item) &&
        store_filter_matches(&list->filter, &item->record)) {
        item->spills[ITEM_LOAN].key = (struct str){NULL, 0};
        item->record.loan = (struct record_payload){.keep = RECORD_KEEP_INLINE};
        enum status status = dynamodb_give(page->work, item, !list->without_payloads, page->arena,
                                           &list->records[list->count], err);
        if (status == STATUS_EXHAUSTED && list->count > 0) {
            page->ended = true;
            return STATUS_OK;
        }
        TRY(status);
        list->count++;
    }
    memcpy(page->seen, id, ID_SIZE);
    return STATUS_OK;
}

static enum status take_records(struct page *page, struct error *err)
{
    struct dynamodb_work *outer = page->work;
    struct dynamodb_work work = {.dynamodb = outer->dynamodb, .now_s = outer->now_s};
    enum status status = STATUS_OK;
    bool cut = false;
    char last[ID_SIZE];
    memcpy(last, page->seen, ID_SIZE); /* of the walk, which went on behind the last that passed */
    page->work = &work;
    for (size_t i = 0; status == STATUS_OK && !cut && i < page->id_count; i += BATCH_MAX) {
        struct batch *batch CLEANUP(mem_freep) = MEM_NEW(struct batch);
        batch->ids = page->ids + i;
        batch->count = MIN(page->id_count - i, (size_t)BATCH_MAX);
        arena_init(&work.arena, ITEM_ARENA_MAX);
        status = read_batch(&work, batch, err);
        bool ended = page->ended;
        page->ended = false;
        for (size_t j = 0; status == STATUS_OK && !page->ended && j < batch->count; j++)
            status = take_record(page, batch, batch->ids[j], err);
        cut = page->ended;
        page->ended |= ended;
        arena_clear(&work.arena);
    }
    if (!cut) memcpy(page->seen, last, ID_SIZE);
    page->work = outer;
    return status;
}

static enum status run_page(struct page *page, struct error *err)
{
    TRY(walk_page(page, err));
    return take_records(page, err);
}

enum status dynamodb_run_list(struct dynamodb_work *work, struct store_call *call,
                              struct error *err)
{
    struct store_list *list = &call->list;
    struct page page = {.work = work, .list = list, .arena = call->arena};
    char *room = arena_try_new(call->arena, STORE_CURSOR_SIZE + 1);
    list->count = 0;
    list->next = STR_EMPTY;
    list->records = ARENA_TRY_ARRAY(call->arena, struct record, list->count_max);
    page.ids = arena_try_new(&work->arena, list->count_max * sizeof *page.ids);
    if (!room || !list->records || !page.ids)
        return fail(err, STATUS_EXHAUSTED, "no memory for a page of %u records", list->count_max);
    TRY(run_page(&page, err));
    if (!page.ended) return STATUS_OK;
    assert(page.seen[0]);
    store_cursor_make(list, page.seen, room);
    list->next = (struct str){room, STORE_CURSOR_SIZE};
    return STATUS_OK;
}

/* --- statistics --------------------------------------------------------------------------------
 */

static void walk_all(struct walk *walk, struct dynamodb_work *work)
{
    const struct store_filter none = {.since_us = 0};
    walk_init(walk, work, FETCH_MAX);
    store_filter_range(&none, walk->least, walk->greatest);
    walk->ascending = true;
}

static enum status count(struct walk *walk, struct store_statistics *statistics, struct error *err)
{
    struct item *entry;
    for (;;) {
        TRY(walk_next(walk, &entry, err));
        if (!entry) return STATUS_OK;
        if (statistics->records++ == 0)
            statistics->oldest_us = record_id_time_ms(str_of(entry->record.id)) * 1000;
        statistics->bytes += entry->bytes;
        statistics->by_state[entry->record.state]++;
    }
}

enum status dynamodb_run_statistics(struct dynamodb_work *work, struct store_call *call,
                                    struct error *err)
{
    struct walk walk;
    call->statistics = (struct store_statistics){0};
    walk_all(&walk, work);
    enum status status = count(&walk, &call->statistics, err);
    walk_clear(&walk);
    return status;
}

/* --- pruning -----------------------------------------------------------------------------------
 */

/* What is done to a finished record. */
struct change {
    const char *operation;
    const char *update; /* the expression; NULL: none */
    const char *const *names;
};

/* Sends a request about one finished record, done at `done_us` still; *ret_item is what it was, and
 * *ret_done false if it is another now. */
static enum status ask_finished(struct dynamodb_work *work, const struct change *change,
                                const struct item *entry, struct item *ret_item, bool *ret_done,
                                struct error *err)
{
    struct dynamodb_body body;
    struct aws_reply reply;
    char pk[ID_SIZE + 2];
    (void)snprintf(pk, sizeof pk, "r#%s", entry->record.id);
    dynamodb_body_init(&body, work);
    dynamodb_add_key(&body.json, str_of(pk));
    if (change->update)
        json_put_string(&body.json, STR("UpdateExpression"), str_of(change->update));
    json_put_string(&body.json, STR("ConditionExpression"),
                    STR("#state >= :final AND #done_us = :done"));
    dynamodb_add_names(&body.json, change->names);
    json_add_name(&body.json, STR("ExpressionAttributeValues"));
    json_begin_object(&body.json);
    json_add_name(&body.json, STR(":final"));
    item_add_number(&body.json, RECORD_SUCCEEDED);
    json_add_name(&body.json, STR(":done"));
    item_add_number(&body.json, entry->record.done_us);
    json_end_object(&body.json);
    json_put_string(&body.json, STR("ReturnValues"), STR("ALL_OLD"));
    enum status status = dynamodb_ask(work, change->operation, &body, &reply, err);
    *ret_done = status == STATUS_OK;
    if (aws_reply_is(&reply, "ConditionalCheckFailedException")) return STATUS_OK;
    TRY(status);
    return dynamodb_read_member(work, reply.body, "Attributes", ret_item, ret_done, err);
}
_Static_assert(RECORD_SUCCEEDED == 2 && RECORD_RUNNING < 2, "states from 2 on are final");

/* A key goes with its record, unless it is another's by now. */
static void forget_key(struct dynamodb_work *work, const struct record *record)
{
    static const char *const names[] = {"id", NULL};
    struct dynamodb_body body;
    struct aws_reply reply;
    struct error unheard;
    struct buffer pk;
    if (!record->key.data) return;
    buffer_init(&pk, 2048);
    item_print_idempotency_key(&pk, record->model, record->key);
    dynamodb_body_init(&body, work);
    dynamodb_add_key(&body.json, buffer_view(&pk));
    json_put_string(&body.json, STR("ConditionExpression"), STR("#id = :id"));
    dynamodb_add_names(&body.json, names);
    json_add_name(&body.json, STR("ExpressionAttributeValues"));
    json_begin_object(&body.json);
    add_value(&body.json, ":id", str_of(record->id));
    json_end_object(&body.json);
    (void)!dynamodb_ask(work, "DeleteItem", &body, &reply, &unheard);
    buffer_clear(&pk);
}

/* Pruning keeps nothing in the work's arena: it is empty again behind each record. */
static enum status delete_record(struct dynamodb_work *work, const struct item *entry,
                                 bool *ret_done, struct error *err)
{
    static const char *const names[] = {"state", "done_us", NULL};
    static const struct change change = {"DeleteItem", NULL, names};
    struct item old;
    enum status status = ask_finished(work, &change, entry, &old, ret_done, err);
    if (status == STATUS_OK && *ret_done) {
        for (int part = 0; part < ITEM_PART_COUNT; part++)
            dynamodb_forget_spill(work, &old.spills[part]);
        forget_key(work, &old.record);
    }
    arena_reset(&work->arena);
    return status;
}

static enum status end_loan(struct dynamodb_work *work, const struct item *entry, bool *ret_done,
                            struct error *err)
{
    static const char *const names[] = {
        "state",     "done_us",   "bytes",        "loan_bytes", "lent",
        "loan",      "loan_at",   "loan_type",    "loan_hash",  "loan_header_size",
        "loan_size", "loan_keep", "loan_at_hash", NULL};
    static const struct change change = {
        "UpdateItem",
        "SET #bytes = #bytes - #loan_bytes REMOVE #lent, #loan, #loan_bytes, #loan_at, "
        "#loan_at_hash, #loan_type, #loan_hash, #loan_header_size, #loan_size, #loan_keep",
        names};
    struct item old;
    enum status status = ask_finished(work, &change, entry, &old, ret_done, err);
    if (status == STATUS_OK && *ret_done) dynamodb_forget_spill(work, &old.spills[ITEM_LOAN]);
    arena_reset(&work->arena);
    return status;
}

/* Where the loans begin that are not ended: what is before is not looked at again. */
struct loans {
    struct store_prune *prune;
    char settled[ID_SIZE]; /* up to here, if `unbroken` */
    bool unbroken;
};

static enum status end_loans_on(struct walk *walk, struct loans *loans, struct error *err)
{
    struct store_prune *prune = loans->prune;
    struct item *entry;
    for (;;) {
        bool done;
        TRY(walk_next(walk, &entry, err));
        if (!entry || walk->looked_at > SCAN_MAX) return STATUS_OK;
        const struct record *record = &entry->record;
        bool final = record_state_is_final(record->state);
        bool over = entry->lent && final && record->done_us < prune->loans_before_us;
        if (over && prune->loans_ended == prune->count_max) {
            prune->more = true;
            return STATUS_OK;
        }
        if (over) TRY(end_loan(walk->work, entry, &done, err));
        if (over && done) prune->loans_ended++;
        loans->unbroken &= final && (!entry->lent || over);
        if (loans->unbroken) memcpy(loans->settled, record->id, ID_SIZE);
    }
}

/* Records that began later cannot have been done before. */
static enum status end_loans(struct dynamodb_work *work, struct store_prune *prune,
                             struct error *err)
{
    struct dynamodb *dynamodb = work->dynamodb;
    const struct store_filter range = {.until_us = prune->loans_before_us};
    struct loans loans = {.prune = prune, .unbroken = true};
    struct walk walk;
    prune->loans_ended = 0;
    if (prune->loans_before_us == 0) return STATUS_OK;
    walk_init(&walk, work, FETCH_MAX);
    store_filter_range(&range, walk.least, walk.greatest);
    walk.ascending = true;
    (void)pthread_mutex_lock(&dynamodb->mutex);
    if (dynamodb->loans_until[0]) memcpy(walk.least, dynamodb->loans_until, ID_SIZE);
    (void)pthread_mutex_unlock(&dynamodb->mutex);
    enum status status = STATUS_OK;
    if (strcmp(walk.least, walk.greatest) <= 0) status = end_loans_on(&walk, &loans, err);
    walk_clear(&walk);
    TRY(status);
    (void)pthread_mutex_lock(&dynamodb->mutex);
    if (strcmp(loans.settled, dynamodb->loans_until) > 0)
        memcpy(dynamodb->loans_until, loans.settled, ID_SIZE);
    (void)pthread_mutex_unlock(&dynamodb->mutex);
    return STATUS_OK;
}

/* The table's own size decides whether it is worth to add up the records. */
static enum status look_at_size(struct dynamodb_work *work, uint64_t bytes_max, uint64_t *ret_over,
                                struct error *err)
{
    uint64_t table_size;
    struct store_call call = {.operation = STORE_STATISTICS};
    *ret_over = 0;
    if (bytes_max == 0) return STATUS_OK;
    TRY(dynamodb_table_size(work, &table_size, err));
    if (table_size <= bytes_max) return STATUS_OK;
    TRY(dynamodb_run_statistics(work, &call, err));
    if (call.statistics.bytes > bytes_max) *ret_over = call.statistics.bytes - bytes_max;
    return STATUS_OK;
}

static enum status delete_oldest(struct walk *walk, struct store_prune *prune, uint64_t over,
                                 struct error *err)
{
    struct item *entry;
    for (;;) {
        bool done;
        TRY(walk_next(walk, &entry, err));
        if (!entry || walk->looked_at > SCAN_MAX) return STATUS_OK;
        const struct record *record = &entry->record;
        uint64_t began_ms = record_id_time_ms(str_of(record->id));
        if (over == 0 && began_ms >= prune->before_us / 1000 + 1) return STATUS_OK;
        bool old = record->done_us < prune->before_us;
        if (!record_state_is_final(record->state) || !(old || over)) continue;
        if (prune->deleted == prune->count_max) {
            prune->more = true;
            return STATUS_OK;
        }
        TRY(delete_record(walk->work, entry, &done, err));
        if (!done) continue;
        prune->deleted++;
        over -= MIN(over, entry->bytes);
    }
}

enum status dynamodb_run_prune(struct dynamodb_work *work, struct store_call *call,
                               struct error *err)
{
    struct store_prune *prune = &call->prune;
    struct walk walk;
    uint64_t over;
    prune->deleted = 0;
    prune->more = false;
    TRY(end_loans(work, prune, err));
    TRY(look_at_size(work, prune->bytes_max, &over, err));
    walk_all(&walk, work);
    walk.fetch_size = FETCH_MIN;
    enum status status = delete_oldest(&walk, prune, over, err);
    walk_clear(&walk);
    return status;
}
