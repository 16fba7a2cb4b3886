/* Queues in SQLite: what is known of each queue, and which function does what. */
#include "queue/queue_sqlite.h"

#include "base/mem.h"
#include "db/migrate.h"
#include "queue/queue_sqlite_private.h"

static const struct migration migrations[] = {
#include "migrations/queue_sqlite.inc"
};

/* --- entries ---------------------------------------------------------------------------------- */

static struct queue_entry **bucket_of(struct sqlite_queues *queues, struct str name)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < name.size; i++) hash = (hash ^ (uint8_t)name.data[i]) * 16777619u;
    return &queues->buckets[hash % ENTRY_BUCKETS];
}

static void entries_drop(struct sqlite_queues *queues)
{
    for (size_t i = 0; i < ENTRY_BUCKETS; i++)
        while (queues->buckets[i]) {
            struct queue_entry *entry = queues->buckets[i];
            queues->buckets[i] = entry->next;
            mem_free(entry);
        }
    list_init(&queues->changed);
    queues->loaded = queues->sequence_changed = false;
}

static enum status read_number(struct database_session *session, const char *sql,
                               int64_t *ret_value, struct error *err)
{
    struct sqlite_statement *statement;
    bool row;
    TRY(sqlite_prepare(session, sql, &statement, err));
    TRY(sqlite_step(statement, &row, err));
    if (!row) return fail(err, STATUS_DATA_LOSS, "the queues' tables have lost a row");
    *ret_value = sqlite_int(statement, 0);
    sqlite_reset(statement);
    return STATUS_OK;
}

enum status queues_enter(struct sqlite_queues *queues, struct database_session *session,
                         struct error *err)
{
    if (queues->flush.linked) return STATUS_OK;
    int64_t version;
    TRY(read_number(session, "PRAGMA data_version", &version, err));
    if (version != queues->version) entries_drop(queues);
    queues->version = version;
    if (!queues->loaded)
        TRY(read_number(session, "SELECT last FROM message_sequence", &queues->sequence, err));
    queues->loaded = true;
    database_flush_add(session, &queues->flush);
    return STATUS_OK;
}

#define ENTRY_COLUMNS                                                                              \
    "id, name, fifo, content_based, by_group, throughput_by_group, visibility_s, delay_s, "        \
    "retention_s, wait_s, size_max, max_receive_count, dead_letter, visible, delayed, in_flight, " \
    "purged_ms"

static void copy_name(char to[QUEUE_NAME_MAX + 1], struct str name)
{
    size_t size = MIN(name.size, (size_t)QUEUE_NAME_MAX);
    memcpy(to, name.data, size);
    to[size] = '\0';
}

static struct queue_entry *entry_read(struct sqlite_statement *statement)
{
    struct queue_entry *entry = MEM_NEW(struct queue_entry);
    struct queue_settings *settings = &entry->settings;
    list_init(&entry->changed);
    entry->id = sqlite_int(statement, 0);
    copy_name(entry->name, sqlite_text(statement, 1));
    settings->fifo = sqlite_int(statement, 2) != 0;
    settings->content_based_deduplication = sqlite_int(statement, 3) != 0;
    settings->deduplicate_by_group = sqlite_int(statement, 4) != 0;
    settings->throughput_per_group = sqlite_int(statement, 5) != 0;
    settings->visibility_s = (uint32_t)sqlite_int(statement, 6);
    settings->delay_s = (uint32_t)sqlite_int(statement, 7);
    settings->retention_s = (uint32_t)sqlite_int(statement, 8);
    settings->wait_s = (uint32_t)sqlite_int(statement, 9);
    settings->message_size_max = (uint32_t)sqlite_int(statement, 10);
    settings->max_receive_count = (uint32_t)sqlite_int(statement, 11);
    copy_name(settings->dead_letter, sqlite_text(statement, 12));
    for (int state = 0; state < MESSAGE_STATES; state++)
        entry->counts[state] = sqlite_int(statement, 13 + state);
    entry->purged_ms = (uint64_t)sqlite_int(statement, 16);
    return entry; /* due_ms is 0: the first look asks the file */
}

/* The row that the prepared statement yields, in memory from now on. */
static enum status entry_load(struct sqlite_queues *queues, struct sqlite_statement *statement,
                              struct queue_entry **ret_entry, struct error *err)
{
    bool row;
    TRY(sqlite_step(statement, &row, err));
    if (!row) return fail(err, STATUS_NOT_FOUND, "The specified queue does not exist.");
    struct queue_entry *entry = entry_read(statement);
    sqlite_reset(statement);
    struct queue_entry **bucket = bucket_of(queues, str_of(entry->name));
    entry->next = *bucket;
    *bucket = entry;
    *ret_entry = entry;
    return STATUS_OK;
}

enum status entry_find(struct sqlite_queues *queues, struct database_session *session,
                       struct str name, struct queue_entry **ret_entry, struct error *err)
{
    for (struct queue_entry *entry = *bucket_of(queues, name); entry; entry = entry->next)
        if (str_equal(str_of(entry->name), name)) {
            *ret_entry = entry;
            return STATUS_OK;
        }
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session, "SELECT " ENTRY_COLUMNS " FROM queue WHERE name = ?", &statement,
                       err));
    sqlite_bind_text(statement, 1, name);
    return entry_load(queues, statement, ret_entry, err);
}

enum status entry_by_id(struct sqlite_queues *queues, struct database_session *session, int64_t id,
                        struct queue_entry **ret_entry, struct error *err)
{
    for (size_t i = 0; i < ENTRY_BUCKETS; i++)
        for (struct queue_entry *entry = queues->buckets[i]; entry; entry = entry->next)
            if (entry->id == id) {
                *ret_entry = entry;
                return STATUS_OK;
            }
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session, "SELECT " ENTRY_COLUMNS " FROM queue WHERE id = ?", &statement,
                       err));
    sqlite_bind_int(statement, 1, id);
    return entry_load(queues, statement, ret_entry, err);
}

void entry_remove(struct sqlite_queues *queues, struct queue_entry *entry)
{
    struct queue_entry **at = bucket_of(queues, str_of(entry->name));
    while (*at != entry) at = &(*at)->next;
    *at = entry->next;
    list_remove(&entry->changed);
    mem_free(entry);
}

void entry_count(struct sqlite_queues *queues, struct queue_entry *entry, enum message_state state,
                 int64_t change)
{
    entry->counts[state] += change;
    if (!list_is_linked(&entry->changed)) list_add_last(&queues->changed, &entry->changed);
}

int64_t next_sequence(struct sqlite_queues *queues)
{
    queues->sequence_changed = true;
    return ++queues->sequence;
}

static enum status write_counts(struct database_session *session, const struct queue_entry *entry,
                                struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session,
                       "UPDATE queue SET visible = ?, delayed = ?, in_flight = ? WHERE id = ?",
                       &statement, err));
    for (int state = 0; state < MESSAGE_STATES; state++)
        sqlite_bind_int(statement, 1 + state, entry->counts[state]);
    sqlite_bind_int(statement, 4, entry->id);
    return sqlite_execute(statement, err);
}

static enum status flush_run(struct database_flush *flush, struct database_session *session,
                             struct error *err)
{
    struct sqlite_queues *queues = CONTAINER_OF(flush, struct sqlite_queues, flush);
    LIST_EACH(link, &queues->changed)
    TRY(write_counts(session, CONTAINER_OF(link, struct queue_entry, changed), err));
    if (!queues->sequence_changed) return STATUS_OK;
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session, "UPDATE message_sequence SET last = ?", &statement, err));
    sqlite_bind_int(statement, 1, queues->sequence);
    return sqlite_execute(statement, err);
}

static void flush_forget(struct database_flush *flush, bool kept)
{
    struct sqlite_queues *queues = CONTAINER_OF(flush, struct sqlite_queues, flush);
    if (!kept) {
        entries_drop(queues);
        return;
    }
    while (list_take_first(&queues->changed)) continue;
    queues->sequence_changed = false;
}

/* --- rows ------------------------------------------------------------------------------------- */

void message_row_read(struct sqlite_statement *statement, struct message_row *row)
{
    *row = (struct message_row){
        .sequence = sqlite_int(statement, 0),
        .queue = sqlite_int(statement, 1),
        .state = (enum message_state)sqlite_int(statement, 2),
        .ordered = sqlite_int(statement, 3) != 0,
        .priority = sqlite_int(statement, 4),
        .hidden_until = (uint64_t)sqlite_int(statement, 5),
        .lease = (uint64_t)sqlite_int(statement, 6),
        .leased_ms = (uint64_t)sqlite_int(statement, 7),
        .receive_count = (uint32_t)sqlite_int(statement, 8),
        .first_received_ms = (uint64_t)sqlite_int(statement, 9),
        .sent_ms = (uint64_t)sqlite_int(statement, 10),
        .body_key = sqlite_int(statement, 11),
        .id = sqlite_text(statement, 12),
        .group = sqlite_text(statement, 13),
        .deduplication_id = sqlite_text(statement, 14),
        .source = sqlite_text(statement, 15),
        .attributes = sqlite_blob(statement, 16),
        .body = sqlite_blob(statement, 17),
    };
}

void uuid_make(struct prng *prng, char text[UUID_SIZE + 1])
{
    uint64_t halves[2] = {(prng_u64(prng) & ~UINT64_C(0xf000)) | 0x4000,
                          (prng_u64(prng) & ~(UINT64_C(3) << 62)) | UINT64_C(2) << 62};
    char *to = text;
    for (int i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20) *to++ = '-';
        *to++ = "0123456789abcdef"[halves[i / 16] >> (60 - i % 16 * 4) & 15];
    }
    *to = '\0';
}

bool message_is_expired(const struct queue_entry *entry, uint64_t sent_ms, uint64_t now_ms)
{
    return sent_ms + (uint64_t)entry->settings.retention_s * 1000 <= now_ms;
}

/* --- operations ------------------------------------------------------------------------------- */

static enum status run_writing(struct sqlite_queues *queues, struct database_session *session,
                               struct queue_call *call, struct error *err)
{
    TRY(queues_enter(queues, session, err));
    switch (call->operation) {
    case QUEUE_CREATE: return sqlite_create(queues, session, call, err);
    case QUEUE_DELETE: return sqlite_delete(queues, session, call, err);
    case QUEUE_CONFIGURE: return sqlite_configure(queues, session, call, err);
    case QUEUE_TAG: return sqlite_tag(queues, session, call, err);
    case QUEUE_PURGE: return sqlite_purge(queues, session, call, err);
    case QUEUE_SEND: return sqlite_send(queues, session, call, err);
    case QUEUE_LEASE: return sqlite_lease(queues, session, call, err);
    case QUEUE_EXTEND:
    case QUEUE_ACK:
    case QUEUE_NACK:
    case QUEUE_BURY: return sqlite_receipts(queues, session, call, err);
    case QUEUE_CANCEL: return sqlite_cancel(queues, session, call, err);
    case QUEUE_MOVE_START: return sqlite_move_start(queues, session, call, err);
    case QUEUE_MOVE_CANCEL: return sqlite_move_cancel(queues, session, call, err);
    case QUEUE_DESCRIBE:
    case QUEUE_LIST:
    case QUEUE_DEPTH:
    case QUEUE_MOVE_LIST: break;
    }
    return fail(err, STATUS_INTERNAL, "no such queue operation");
}

static enum status run(struct queue_store *base, struct database_session *session,
                       struct queue_call *call, struct error *err)
{
    struct sqlite_queues *queues = CONTAINER_OF(base, struct sqlite_queues, base);
    if (call->operation == QUEUE_DESCRIBE) return sqlite_describe(session, call, err);
    if (call->operation == QUEUE_LIST) return sqlite_list(session, call, err);
    if (call->operation == QUEUE_DEPTH) return sqlite_depth(session, call, err);
    if (call->operation == QUEUE_MOVE_LIST) return sqlite_move_list(session, call, err);
    return run_writing(queues, session, call, err);
}

/* Asked on the writer: also what was hidden a moment ago counts. */
static enum status next_due(struct queue_store *base, struct database_session *session,
                            struct str queue, uint64_t *ret_due_ms, struct error *err)
{
    struct sqlite_queues *queues = CONTAINER_OF(base, struct sqlite_queues, base);
    struct queue_entry *entry;
    struct sqlite_statement *statement;
    bool row;
    TRY(queues_enter(queues, session, err));
    TRY(entry_find(queues, session, queue, &entry, err));
    TRY(sqlite_prepare(session,
                       "SELECT hidden_until FROM message WHERE queue = ? AND state > 0 ORDER BY "
                       "hidden_until LIMIT 1",
                       &statement, err));
    sqlite_bind_int(statement, 1, entry->id);
    TRY(sqlite_step(statement, &row, err));
    *ret_due_ms = row ? (uint64_t)sqlite_int(statement, 0) : UINT64_MAX;
    sqlite_reset(statement);
    return STATUS_OK;
}

static void close_queues(struct queue_store *base)
{
    struct sqlite_queues *queues = CONTAINER_OF(base, struct sqlite_queues, base);
    entries_drop(queues);
    mem_free(queues);
}

static const struct queue_ops ops = {
    .name = "sqlite",
    .run = run,
    .maintain = sqlite_maintain,
    .next_due = next_due,
    .close = close_queues,
};

enum status queue_sqlite_new(struct database *database, struct queue_store **ret_queues,
                             struct error *err)
{
    TRY(migrate(database, "queue", migrations, COUNT_OF(migrations), err));
    struct sqlite_queues *queues = MEM_NEW(struct sqlite_queues);
    queues->flush = (struct database_flush){.run = flush_run, .forget = flush_forget};
    list_init(&queues->changed);
    prng_seed(&queues->prng, prng_seed_from_system());
    queue_store_init(&queues->base, &ops, database);
    *ret_queues = &queues->base;
    return STATUS_OK;
}
