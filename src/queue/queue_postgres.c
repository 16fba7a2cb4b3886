/* Queues in PostgreSQL: what a transaction knows and holds, and which function does what. */
#include "queue/queue_postgres.h"

#include "base/mem.h"
#include "base/rand.h"
#include "db/migrate.h"
#include "queue/queue_postgres_private.h"

static const struct migration migrations[] = {
#include "migrations/queue_postgres.inc"
};

const char postgres_queue_channel[] = "slipway_queue";

enum { TRANSACTION_ARENA_MAX = 64 << 20 };

/* --- groups, before the commit ------------------------------------------------------------------
 */

static int compare_changed(const void *a, const void *b)
{
    const struct changed_group *left = a, *right = b;
    if (left->queue != right->queue) return left->queue < right->queue ? -1 : 1;
    return str_compare(left->group, right->group);
}

/* Sorted, each once. */
static void changed_sort(struct transaction *t)
{
    size_t kept = 0;
    if (t->changed_count == 0) return;
    qsort(t->changed, t->changed_count, sizeof t->changed[0], compare_changed);
    for (size_t i = 1; i < t->changed_count; i++)
        if (compare_changed(&t->changed[kept], &t->changed[i]) != 0)
            t->changed[++kept] = t->changed[i];
    t->changed_count = kept + 1;
}

static const char groups_sql[] =
    "WITH heads AS MATERIALIZED (SELECT w.queue, w.group_id, h.sequence, h.hidden_until"
    "   FROM unnest($1::bigint[], $2::text[]) AS w(queue, group_id)"
    "   LEFT JOIN LATERAL (SELECT sequence, hidden_until FROM message m WHERE m.queue = w.queue"
    "     AND m.group_id = w.group_id AND m.ordered ORDER BY m.sequence LIMIT 1) h ON true),"
    " gone AS (DELETE FROM message_group g USING heads WHERE heads.sequence IS NULL"
    "   AND g.queue = heads.queue AND g.group_id = heads.group_id),"
    " kept AS (INSERT INTO message_group AS g(queue, group_id, head, ready_ms)"
    "   SELECT queue, group_id, sequence, hidden_until FROM heads WHERE sequence IS NOT NULL"
    "   ON CONFLICT (queue, group_id) DO UPDATE"
    "     SET head = excluded.head, ready_ms = excluded.ready_ms"
    "     WHERE g.head <> excluded.head OR g.ready_ms <> excluded.ready_ms"
    "   RETURNING queue, ready_ms)"
    " SELECT DISTINCT q.name FROM kept JOIN queue q ON q.id = kept.queue"
    "   WHERE kept.ready_ms <= $3::bigint";

/* What the group's rows say follows from what their messages say now. */
static enum status transaction_run(struct postgres_hook *hook, struct database_session *session,
                                   struct error *err)
{
    struct transaction *t = CONTAINER_OF(hook, struct transaction, hook);
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    changed_sort(t);
    if (t->changed_count == 0) return STATUS_OK;
    int64_t *queues CLEANUP(mem_freep) = MEM_NEW_ARRAY(int64_t, t->changed_count);
    struct str *groups CLEANUP(mem_freep) = MEM_NEW_ARRAY(struct str, t->changed_count);
    for (size_t i = 0; i < t->changed_count; i++) {
        queues[i] = t->changed[i].queue;
        groups[i] = t->changed[i].group;
    }
    struct postgres_value values[] = {postgres_ints(queues, t->changed_count),
                                      postgres_texts(groups, t->changed_count),
                                      postgres_int((int64_t)session->now_ms)};
    TRY(postgres_query(session, groups_sql, values, COUNT_OF(values), &r, err));
    for (int i = 0; i < postgres_rows(r); i++)
        postgres_notify(session, postgres_queue_channel, postgres_text_at(r, i, 0));
    return STATUS_OK;
}

static void transaction_end(struct postgres_hook *hook)
{
    struct transaction *t = CONTAINER_OF(hook, struct transaction, hook);
    arena_clear(&t->arena);
    mem_free(t->changed);
    mem_free(t);
}

struct transaction *postgres_transaction(struct postgres_queues *queues,
                                         struct database_session *session)
{
    struct postgres_hook *hook = postgres_hook_find(session, queues);
    if (hook) return CONTAINER_OF(hook, struct transaction, hook);
    struct transaction *t = MEM_NEW(struct transaction);
    t->hook =
        (struct postgres_hook){.owner = queues, .run = transaction_run, .end = transaction_end};
    t->queues = queues;
    arena_init(&t->arena, TRANSACTION_ARENA_MAX);
    postgres_hook_add(session, &t->hook);
    return t;
}

void postgres_group_changed(struct transaction *t, int64_t queue, struct str group)
{
    if (t->changed_count == t->changed_capacity) {
        changed_sort(t);
        if (2 * t->changed_count >= t->changed_capacity) {
            t->changed_capacity = MAX(2 * t->changed_capacity, (size_t)64);
            t->changed = mem_resize(t->changed, t->changed_capacity * sizeof t->changed[0]);
        }
    }
    struct str copy = arena_try_copy(&t->arena, group);
    assert(copy.data); /* names are short, and the messages of a transaction limited */
    t->changed[t->changed_count++] = (struct changed_group){queue, copy};
}

/* --- entries ---------------------------------------------------------------------------------- */

static void copy_name(char to[QUEUE_NAME_MAX + 1], struct str name)
{
    size_t size = MIN(name.size, (size_t)QUEUE_NAME_MAX);
    memcpy(to, name.data, size);
    to[size] = '\0';
}

static void entry_read(const struct postgres_result *r, struct queue_entry *entry)
{
    struct queue_settings *settings = &entry->settings;
    entry->id = postgres_int_at(r, 0, 0);
    copy_name(entry->name, postgres_text_at(r, 0, 1));
    settings->fifo = postgres_int_at(r, 0, 2) != 0;
    settings->content_based_deduplication = postgres_int_at(r, 0, 3) != 0;
    settings->deduplicate_by_group = postgres_int_at(r, 0, 4) != 0;
    settings->throughput_per_group = postgres_int_at(r, 0, 5) != 0;
    settings->visibility_s = (uint32_t)postgres_int_at(r, 0, 6);
    settings->delay_s = (uint32_t)postgres_int_at(r, 0, 7);
    settings->retention_s = (uint32_t)postgres_int_at(r, 0, 8);
    settings->wait_s = (uint32_t)postgres_int_at(r, 0, 9);
    settings->message_size_max = (uint32_t)postgres_int_at(r, 0, 10);
    settings->max_receive_count = (uint32_t)postgres_int_at(r, 0, 11);
    copy_name(settings->dead_letter, postgres_text_at(r, 0, 12));
    entry->purged_ms = (uint64_t)postgres_int_at(r, 0, 13);
}

enum status postgres_entry_find(struct transaction *t, struct database_session *session,
                                struct str name, struct queue_entry **ret_entry, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    for (struct queue_entry *entry = t->entries; entry; entry = entry->next)
        if (str_equal(str_of(entry->name), name)) {
            *ret_entry = entry;
            return STATUS_OK;
        }
    struct postgres_value value = postgres_text_value(name.data ? name : STR_EMPTY);
    TRY(postgres_query(session,
                       "SELECT id, name, fifo, content_based, by_group, throughput_by_group, "
                       "visibility_s, delay_s, retention_s, wait_s, size_max, max_receive_count, "
                       "dead_letter, purged_ms FROM queue WHERE name = $1::text",
                       &value, 1, &r, err));
    if (postgres_rows(r) == 0)
        return fail(err, STATUS_NOT_FOUND, "The specified queue does not exist.");
    struct queue_entry *entry = ARENA_TRY_ARRAY(&t->arena, struct queue_entry, 1);
    if (!entry) return fail(err, STATUS_EXHAUSTED, "too many queues in one transaction");
    entry_read(r, entry);
    entry->next = t->entries;
    t->entries = entry;
    *ret_entry = entry;
    return STATUS_OK;
}

void postgres_entry_forget(struct transaction *t, struct str name)
{
    struct queue_entry **at = &t->entries;
    while (*at && !str_equal(str_of((*at)->name), name)) at = &(*at)->next;
    if (*at) *at = (*at)->next;
}

void postgres_entry_count(struct database_session *session, int64_t queue, enum message_state state,
                          int64_t change)
{
    char name[POSTGRES_COUNT_NAME_MAX + 1];
    if (change == 0) return;
    (void)snprintf(name, sizeof name, "queue.%lld.%d", (long long)queue, (int)state);
    postgres_count(session, name, change);
}

void postgres_queue_notify(struct database_session *session, const struct queue_entry *entry)
{
    postgres_notify(session, postgres_queue_channel, str_of(entry->name));
}

/* --- stripes ---------------------------------------------------------------------------------- */

unsigned postgres_stripe(struct str group)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < group.size; i++) hash = (hash ^ (uint8_t)group.data[i]) * 16777619u;
    return (hash ^ hash >> 16) % STRIPES;
}

static bool holds(const struct transaction *t, unsigned stripe)
{
    return t->held[stripe / 64] >> (stripe % 64) & 1;
}

static void hold(struct transaction *t, unsigned stripe)
{
    t->held[stripe / 64] |= UINT64_C(1) << (stripe % 64);
    t->holds = true;
}

/* Keys of advisory locks: "SLPQ" before the stripe. */
static int64_t lock_key(unsigned stripe)
{
    return (int64_t)(UINT64_C(0x534c5051) << 32 | stripe);
}

/* Those that are not held yet, each once, in order. */
static size_t wanted_keys(const struct transaction *t, const unsigned *stripes, size_t count,
                          int64_t keys[STRIPES])
{
    uint64_t wanted[STRIPES / 64] = {0};
    size_t key_count = 0;
    for (size_t i = 0; i < count; i++)
        if (!holds(t, stripes[i])) wanted[stripes[i] / 64] |= UINT64_C(1) << (stripes[i] % 64);
    for (unsigned stripe = 0; stripe < STRIPES; stripe++)
        if (wanted[stripe / 64] >> (stripe % 64) & 1) keys[key_count++] = lock_key(stripe);
    return key_count;
}

static enum status try_keys(struct transaction *t, struct database_session *session,
                            const int64_t *keys, size_t count, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value value = postgres_ints(keys, count);
    TRY(postgres_query(session,
                       "SELECT k, pg_try_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS w(k)",
                       &value, 1, &r, err));
    for (int i = 0; i < postgres_rows(r); i++)
        if (postgres_int_at(r, i, 1)) hold(t, (unsigned)postgres_int_at(r, i, 0) % STRIPES);
    return STATUS_OK;
}

static enum status wait_keys(struct transaction *t, struct database_session *session,
                             const int64_t *keys, size_t count, struct error *err)
{
    struct postgres_value value = postgres_ints(keys, count);
    TRY(postgres_execute(session,
                         "SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS w(k)",
                         &value, 1, NULL, err));
    for (size_t i = 0; i < count; i++) hold(t, (unsigned)keys[i] % STRIPES);
    return STATUS_OK;
}

enum status postgres_stripes_lock(struct transaction *t, struct database_session *session,
                                  const unsigned *stripes, size_t count, struct error *err)
{
    int64_t keys[STRIPES];
    size_t wanted = wanted_keys(t, stripes, count, keys);
    if (wanted == 0) return STATUS_OK;
    if (!t->holds) return wait_keys(t, session, keys, wanted, err);
    TRY(try_keys(t, session, keys, wanted, err));
    if (wanted_keys(t, stripes, count, keys) == 0) return STATUS_OK;
    session->busy = true;
    return fail(err, STATUS_ABORTED, "others are at work on the same message groups; try again");
}

enum status postgres_stripes_try(struct transaction *t, struct database_session *session,
                                 const unsigned *stripes, size_t count, bool *ret_held,
                                 struct error *err)
{
    int64_t keys[STRIPES];
    size_t wanted = wanted_keys(t, stripes, count, keys);
    if (wanted > 0) TRY(try_keys(t, session, keys, wanted, err));
    for (size_t i = 0; i < count; i++) ret_held[i] = holds(t, stripes[i]);
    return STATUS_OK;
}

/* --- chance ----------------------------------------------------------------------------------- */

uint64_t postgres_chance(void)
{
    static _Thread_local struct prng prng;
    static _Thread_local bool seeded;
    if (!seeded) prng_seed(&prng, prng_seed_from_system());
    seeded = true;
    return prng_u64(&prng);
}

void postgres_uuid(char text[UUID_SIZE + 1])
{
    uint64_t high = (postgres_chance() & ~UINT64_C(0xf000)) | 0x4000,
             low = (postgres_chance() & ~(UINT64_C(3) << 62)) | UINT64_C(2) << 62;
    (void)snprintf(text, UUID_SIZE + 1, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
                   (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff),
                   (unsigned)(low >> 48), (unsigned long long)(low & 0xffffffffffff));
}

/* --- operations ------------------------------------------------------------------------------- */

/* `finds`: the queue that the call names is looked up first. */
static const struct {
    operation_function *run;
    bool finds;
} operations[] = {
    [QUEUE_CREATE] = {postgres_queue_create, false},
    [QUEUE_DELETE] = {postgres_queue_delete, true},
    [QUEUE_DESCRIBE] = {postgres_queue_describe, false},
    [QUEUE_CONFIGURE] = {postgres_queue_configure, true},
    [QUEUE_TAG] = {postgres_queue_tag, true},
    [QUEUE_LIST] = {postgres_queue_list, false},
    [QUEUE_SEND] = {postgres_queue_send, true},
    [QUEUE_LEASE] = {postgres_queue_lease, true},
    [QUEUE_EXTEND] = {postgres_queue_receipts, true},
    [QUEUE_ACK] = {postgres_queue_receipts, true},
    [QUEUE_NACK] = {postgres_queue_receipts, true},
    [QUEUE_BURY] = {postgres_queue_receipts, true},
    [QUEUE_CANCEL] = {postgres_queue_cancel, true},
    [QUEUE_DEPTH] = {postgres_queue_depth, true},
    [QUEUE_PURGE] = {postgres_queue_purge, true},
    [QUEUE_MOVE_START] = {postgres_move_start, false},
    [QUEUE_MOVE_LIST] = {postgres_move_list, false},
    [QUEUE_MOVE_CANCEL] = {postgres_move_cancel, false},
};

static enum status run(struct queue_store *base, struct database_session *session,
                       struct queue_call *call, struct error *err)
{
    struct postgres_queues *queues = CONTAINER_OF(base, struct postgres_queues, base);
    struct operation operation = {.queues = queues,
                                  .transaction = postgres_transaction(queues, session),
                                  .session = session,
                                  .call = call};
    assert((size_t)call->operation < COUNT_OF(operations));
    if (operations[call->operation].finds)
        TRY(postgres_entry_find(operation.transaction, session, call->queue, &operation.entry,
                                err));
    enum status status = operations[call->operation].run(&operation, err);
    if (status != STATUS_OK && operation.wrote) session->dirty = true;
    return status;
}

static enum status next_due(struct queue_store *base, struct database_session *session,
                            struct str queue, uint64_t *ret_due_ms, struct error *err)
{
    struct postgres_queues *queues = CONTAINER_OF(base, struct postgres_queues, base);
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct queue_entry *entry;
    TRY(postgres_entry_find(postgres_transaction(queues, session), session, queue, &entry, err));
    struct postgres_value values[] = {postgres_int(entry->id),
                                      postgres_int((int64_t)session->now_ms)};
    TRY(postgres_query(session,
                       "SELECT hidden_until FROM message WHERE queue = $1::bigint AND state > 0"
                       " AND hidden_until > $2::bigint ORDER BY hidden_until LIMIT 1",
                       values, COUNT_OF(values), &r, err));
    *ret_due_ms = postgres_rows(r) > 0 ? (uint64_t)postgres_int_at(r, 0, 0) : UINT64_MAX;
    return STATUS_OK;
}

static void heard(void *context, struct str channel UNUSED, struct str payload)
{
    struct postgres_queues *queues = context;
    queue_store_wake(&queues->base, payload);
}

/* The front is gone by now, and with it whom a notice could wake. */
static void close_queues(struct queue_store *base)
{
    mem_free(CONTAINER_OF(base, struct postgres_queues, base));
}

static void ending(struct queue_store *base)
{
    postgres_unlisten(base->database, postgres_queue_channel);
}

static const struct queue_ops ops = {
    .name = "postgres",
    .run = run,
    .maintain = postgres_maintain,
    .next_due = next_due,
    .ending = ending,
    .close = close_queues,
};

enum status queue_postgres_new(struct database *database, struct queue_store **ret_queues,
                               struct error *err)
{
    TRY(migrate(database, "queue", migrations, COUNT_OF(migrations), err));
    struct postgres_queues *queues = MEM_NEW(struct postgres_queues);
    queue_store_init(&queues->base, &ops, database);
    enum status status = postgres_listen(database, postgres_queue_channel, heard, queues, err);
    if (status != STATUS_OK) {
        queue_store_free(&queues->base);
        return status;
    }
    *ret_queues = &queues->base;
    return STATUS_OK;
}
