/* Queues as such: made, changed, described, listed, emptied, deleted. */
#include "base/mem.h"
#include "queue/attributes.h"
#include "queue/queue_sqlite_private.h"
#include "queue/rules.h"

enum { REUSE_MS = 60 * 1000, PURGE_MS = 60 * 1000 };

static enum status no_memory(struct error *err)
{
    return fail(err, STATUS_EXHAUSTED, "the answer does not fit the memory of a request");
}

/* --- rows to descriptions -----------------------------------------------------------------------
 */

#define DESCRIPTION_COLUMNS                                                                        \
    "name, fifo, content_based, by_group, throughput_by_group, visibility_s, delay_s, "            \
    "retention_s, wait_s, size_max, max_receive_count, dead_letter, redrive_allow, other, tags, "  \
    "created_ms, modified_ms"

static bool copy(struct arena *arena, struct str from, struct str *to)
{
    *to = arena_try_copy(arena, from);
    return to->data != NULL;
}

static enum status describe_row(struct sqlite_statement *statement, struct arena *arena,
                                struct queue_description *description, struct error *err)
{
    struct queue_settings *settings = &description->settings;
    struct str tags, trace, dead = sqlite_text(statement, 11);
    struct queue_attribute *list;
    *settings = (struct queue_settings){
        .fifo = sqlite_int(statement, 1) != 0,
        .content_based_deduplication = sqlite_int(statement, 2) != 0,
        .deduplicate_by_group = sqlite_int(statement, 3) != 0,
        .throughput_per_group = sqlite_int(statement, 4) != 0,
        .visibility_s = (uint32_t)sqlite_int(statement, 5),
        .delay_s = (uint32_t)sqlite_int(statement, 6),
        .retention_s = (uint32_t)sqlite_int(statement, 7),
        .wait_s = (uint32_t)sqlite_int(statement, 8),
        .message_size_max = (uint32_t)sqlite_int(statement, 9),
        .max_receive_count = (uint32_t)sqlite_int(statement, 10),
    };
    memcpy(settings->dead_letter, dead.data, MIN(dead.size, (size_t)QUEUE_NAME_MAX));
    if (!copy(arena, sqlite_text(statement, 0), &description->name) ||
        !copy(arena, sqlite_blob(statement, 12), &settings->redrive_allow) ||
        !copy(arena, sqlite_blob(statement, 13), &settings->other) ||
        !copy(arena, sqlite_blob(statement, 14), &tags))
        return no_memory(err);
    TRY(attributes_read(tags, arena, &list, &description->tag_count, &trace, err));
    description->tags = list;
    description->created_ms = (uint64_t)sqlite_int(statement, 15);
    description->modified_ms = (uint64_t)sqlite_int(statement, 16);
    return STATUS_OK;
}

static enum status find_description(struct database_session *session, struct str name,
                                    struct arena *arena, struct queue_description *description,
                                    bool *ret_found, struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session, "SELECT " DESCRIPTION_COLUMNS " FROM queue WHERE name = ?",
                       &statement, err));
    struct sqlite_statement *at CLEANUP(sqlite_resetp) = statement;
    sqlite_bind_text(statement, 1, name);
    TRY(sqlite_step(at, ret_found, err));
    return *ret_found ? describe_row(at, arena, description, err) : STATUS_OK;
}

enum status sqlite_describe(struct database_session *session, struct queue_call *call,
                            struct error *err)
{
    bool found;
    TRY(find_description(session, call->queue, call->arena, &call->description, &found, err));
    if (!found) return fail(err, STATUS_NOT_FOUND, "The specified queue does not exist.");
    return STATUS_OK;
}

enum status sqlite_list(struct database_session *session, struct queue_call *call,
                        struct error *err)
{
    struct queue_page *page = &call->page;
    struct sqlite_statement *statement;
    bool row;
    TRY(sqlite_prepare(session,
                       "SELECT " DESCRIPTION_COLUMNS " FROM queue WHERE name > ?1 AND (?2 = '' OR "
                       "dead_letter = ?2) AND substr(name, 1, length(?3)) = ?3 ORDER BY name LIMIT "
                       "?4",
                       &statement, err));
    struct sqlite_statement *at CLEANUP(sqlite_resetp) = statement;
    page->queues = arena_try_zeroed(call->arena, page->count_max, sizeof *page->queues);
    if (!page->queues) return no_memory(err);
    sqlite_bind_text(at, 1, page->after.data ? page->after : STR_EMPTY);
    sqlite_bind_text(at, 2, page->dead_letter.data ? page->dead_letter : STR_EMPTY);
    sqlite_bind_text(at, 3, page->prefix.data ? page->prefix : STR_EMPTY);
    sqlite_bind_int(at, 4, (int64_t)page->count_max + 1);
    for (page->count = 0, page->more = false;;) {
        TRY(sqlite_step(at, &row, err));
        if (!row) return STATUS_OK;
        page->more = page->count == page->count_max;
        if (page->more) return STATUS_OK;
        TRY(describe_row(at, call->arena, &page->queues[page->count], err));
        page->count++;
    }
}

/* --- making and changing ------------------------------------------------------------------------
 */

static void bind_settings(struct sqlite_statement *statement, int first,
                          const struct queue_settings *settings)
{
    const int64_t numbers[] = {settings->fifo,
                               settings->content_based_deduplication,
                               settings->deduplicate_by_group,
                               settings->throughput_per_group,
                               settings->visibility_s,
                               settings->delay_s,
                               settings->retention_s,
                               settings->wait_s,
                               settings->message_size_max,
                               settings->max_receive_count};
    int next = first;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) sqlite_bind_int(statement, next++, numbers[i]);
    sqlite_bind_text(statement, next++, str_of(settings->dead_letter));
    sqlite_bind_blob(statement, next++,
                     settings->redrive_allow.data ? settings->redrive_allow : STR_EMPTY);
    sqlite_bind_blob(statement, next, settings->other.data ? settings->other : STR_EMPTY);
}

static enum status write_tags(const struct queue_description *description, struct buffer *out,
                              struct error *err)
{
    attributes_write(description->tags, description->tag_count, STR_EMPTY, out);
    if (!buffer_failed(out)) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED, "the tags of the queue are too large");
}

/* A name is free again a minute after its queue was deleted. */
static enum status check_deleted(struct database_session *session, struct str name,
                                 struct error *err)
{
    struct sqlite_statement *statement;
    bool recent;
    TRY(sqlite_prepare(session, "SELECT 1 FROM deleted_queue WHERE name = ? AND deleted_ms > ?",
                       &statement, err));
    sqlite_bind_text(statement, 1, name);
    sqlite_bind_int(statement, 2, (int64_t)session->now_ms - REUSE_MS);
    TRY(sqlite_step(statement, &recent, err));
    sqlite_reset(statement);
    if (!recent) return STATUS_OK;
    return fail(err, STATUS_ABORTED,
                "You must wait 60 seconds after deleting a queue before you can create another "
                "with the same name.");
}

static enum status insert_queue(struct database_session *session, const struct queue_call *call,
                                struct error *err)
{
    struct sqlite_statement *statement;
    struct buffer tags CLEANUP(buffer_clear);
    buffer_init(&tags, QUEUE_MESSAGE_SIZE_MAX);
    TRY(write_tags(&call->description, &tags, err));
    TRY(sqlite_prepare(session,
                       "INSERT INTO queue(fifo, content_based, by_group, throughput_by_group, "
                       "visibility_s, delay_s, retention_s, wait_s, size_max, max_receive_count, "
                       "dead_letter, redrive_allow, other, name, tags, created_ms, modified_ms) "
                       "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                       &statement, err));
    bind_settings(statement, 1, &call->description.settings);
    sqlite_bind_text(statement, 14, call->queue);
    sqlite_bind_blob(statement, 15, buffer_view(&tags));
    sqlite_bind_int(statement, 16, (int64_t)session->now_ms);
    sqlite_bind_int(statement, 17, (int64_t)session->now_ms);
    return sqlite_execute(statement, err);
}

static enum status check_count(struct database_session *session, struct error *err)
{
    struct sqlite_statement *statement;
    bool row;
    TRY(sqlite_prepare(session, "SELECT count(*) FROM queue", &statement, err));
    TRY(sqlite_step(statement, &row, err));
    bool full = row && sqlite_int(statement, 0) >= QUEUE_QUEUES_MAX;
    sqlite_reset(statement);
    if (!full) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED, "there are %d queues already: delete some first",
                QUEUE_QUEUES_MAX);
}

enum status sqlite_create(struct sqlite_queues *queues UNUSED, struct database_session *session,
                          struct queue_call *call, struct error *err)
{
    struct queue_description existing = {0};
    bool found;
    TRY(find_description(session, call->queue, call->arena, &existing, &found, err));
    if (found) return rules_check_same(&existing.settings, &call->description.settings, err);
    TRY(check_deleted(session, call->queue, err));
    TRY(check_count(session, err));
    return insert_queue(session, call, err);
}

/* A changed delay of a FIFO queue acts on what waits already. */
static enum status delay_again(struct database_session *session, const struct queue_entry *entry,
                               uint32_t delay_s, struct error *err)
{
    struct sqlite_statement *messages, *groups;
    TRY(sqlite_prepare(
        session,
        "UPDATE message SET hidden_until = sent_ms + ?1 WHERE queue = ?2 AND state = "
        "1 AND ordered = 1",
        &messages, err));
    sqlite_bind_int(messages, 1, (int64_t)delay_s * 1000);
    sqlite_bind_int(messages, 2, entry->id);
    TRY(sqlite_execute(messages, err));
    TRY(sqlite_prepare(
        session,
        "UPDATE message_group SET ready_ms = (SELECT hidden_until FROM message WHERE "
        "sequence = head) WHERE queue = ?",
        &groups, err));
    sqlite_bind_int(groups, 1, entry->id);
    return sqlite_execute(groups, err);
}

enum status sqlite_configure(struct sqlite_queues *queues, struct database_session *session,
                             struct queue_call *call, struct error *err)
{
    struct queue_entry *entry;
    struct sqlite_statement *statement;
    const struct queue_settings *settings = &call->description.settings;
    TRY(entry_find(queues, session, call->queue, &entry, err));
    if (settings->fifo != entry->settings.fifo)
        return fail(err, STATUS_INVALID_ARGUMENT, "Unknown Attribute FifoQueue.");
    if (settings->fifo && settings->delay_s != entry->settings.delay_s)
        TRY(delay_again(session, entry, settings->delay_s, err));
    TRY(sqlite_prepare(session,
                       "UPDATE queue SET fifo = ?, content_based = ?, by_group = ?, "
                       "throughput_by_group = ?, visibility_s = ?, delay_s = ?, retention_s = ?, "
                       "wait_s = ?, size_max = ?, max_receive_count = ?, dead_letter = ?, "
                       "redrive_allow = ?, other = ?, modified_ms = ? WHERE id = ?",
                       &statement, err));
    bind_settings(statement, 1, settings);
    sqlite_bind_int(statement, 14, (int64_t)session->now_ms);
    sqlite_bind_int(statement, 15, entry->id);
    TRY(sqlite_execute(statement, err));
    entry->settings = *settings;
    entry->settings.redrive_allow = entry->settings.other = (struct str){0};
    entry->due_ms = 0; /* looked up again */
    return STATUS_OK;
}

enum status sqlite_tag(struct sqlite_queues *queues, struct database_session *session,
                       struct queue_call *call, struct error *err)
{
    struct queue_entry *entry;
    struct sqlite_statement *statement;
    struct buffer tags CLEANUP(buffer_clear);
    buffer_init(&tags, QUEUE_MESSAGE_SIZE_MAX);
    TRY(entry_find(queues, session, call->queue, &entry, err));
    TRY(write_tags(&call->description, &tags, err));
    TRY(sqlite_prepare(session, "UPDATE queue SET tags = ? WHERE id = ?", &statement, err));
    sqlite_bind_blob(statement, 1, buffer_view(&tags));
    sqlite_bind_int(statement, 2, entry->id);
    return sqlite_execute(statement, err);
}

/* --- emptying and deleting -----------------------------------------------------------------------
 */

static enum status execute_for(struct database_session *session, const char *sql, int64_t number,
                               struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session, sql, &statement, err));
    sqlite_bind_int(statement, 1, number);
    return sqlite_execute(statement, err);
}

static enum status new_number(struct database_session *session, int64_t *ret_number,
                              struct error *err)
{
    struct sqlite_statement *statement;
    bool row;
    TRY(sqlite_prepare(session, "SELECT seq + 1 FROM sqlite_sequence WHERE name = 'queue'",
                       &statement, err));
    TRY(sqlite_step(statement, &row, err));
    if (!row) return fail(err, STATUS_DATA_LOSS, "the queues' tables have lost a row");
    *ret_number = sqlite_int(statement, 0);
    sqlite_reset(statement);
    return execute_for(session, "UPDATE sqlite_sequence SET seq = ? WHERE name = 'queue'",
                       *ret_number, err);
}

/* The queue under a new number, at once, however much is in it: what is left of the old one belongs
 * to nobody and is swept up later. */
enum status sqlite_purge(struct sqlite_queues *queues, struct database_session *session,
                         struct queue_call *call, struct error *err)
{
    struct queue_entry *entry;
    struct sqlite_statement *statement;
    int64_t number;
    TRY(entry_find(queues, session, call->queue, &entry, err));
    if (entry->purged_ms > 0 && entry->purged_ms + PURGE_MS > session->now_ms)
        return fail(err, STATUS_ABORTED,
                    "Only one PurgeQueue operation on %s is allowed every 60 seconds.",
                    entry->name);
    TRY(new_number(session, &number, err));
    TRY(sqlite_prepare(session, "UPDATE queue SET id = ?, purged_ms = ? WHERE id = ?", &statement,
                       err));
    sqlite_bind_int(statement, 1, number);
    sqlite_bind_int(statement, 2, (int64_t)session->now_ms);
    sqlite_bind_int(statement, 3, entry->id);
    TRY(sqlite_execute(statement, err));
    entry->id = number;
    entry->purged_ms = session->now_ms;
    entry->due_ms = UINT64_MAX;
    for (int state = 0; state < MESSAGE_STATES; state++)
        entry_count(queues, entry, (enum message_state)state, -entry->counts[state]);
    return STATUS_OK;
}

enum status sqlite_delete(struct sqlite_queues *queues, struct database_session *session,
                          struct queue_call *call, struct error *err)
{
    struct queue_entry *entry;
    struct sqlite_statement *statement;
    TRY(entry_find(queues, session, call->queue, &entry, err));
    TRY(execute_for(session, "DELETE FROM queue WHERE id = ?", entry->id, err));
    TRY(sqlite_prepare(session, "INSERT OR REPLACE INTO deleted_queue VALUES(?, ?)", &statement,
                       err));
    sqlite_bind_text(statement, 1, call->queue);
    sqlite_bind_int(statement, 2, (int64_t)session->now_ms);
    entry_remove(queues, entry);
    return sqlite_execute(statement, err);
}

/* --- depth ---------------------------------------------------------------------------------------
 */

/* The oldest ready message. A FIFO queue's is the oldest head of its groups. */
static enum status oldest(struct database_session *session, int64_t queue, uint64_t *ret_age_ms,
                          struct error *err)
{
    struct sqlite_statement *statement;
    bool row;
    TRY(sqlite_prepare(session,
                       "SELECT min(sent_ms) FROM (SELECT sent_ms FROM message WHERE sequence IN "
                       "(SELECT min(sequence) FROM message WHERE queue = ?1 AND state = 0 AND "
                       "ordered = 0 GROUP BY priority) UNION ALL SELECT sent_ms FROM message WHERE "
                       "sequence = (SELECT min(head) FROM message_group WHERE queue = ?1))",
                       &statement, err));
    sqlite_bind_int(statement, 1, queue);
    TRY(sqlite_step(statement, &row, err));
    uint64_t sent =
        row && !sqlite_is_null(statement, 0) ? (uint64_t)sqlite_int(statement, 0) : session->now_ms;
    sqlite_reset(statement);
    *ret_age_ms = session->now_ms > sent ? session->now_ms - sent : 0;
    return STATUS_OK;
}

/* Hidden messages whose time has come, and that no lease has looked at yet: they count as visible.
 */
static enum status count_due(struct database_session *session, int64_t queue,
                             struct queue_depth *depth, struct error *err)
{
    struct sqlite_statement *statement;
    bool row = true;
    TRY(sqlite_prepare(session,
                       "SELECT state, count(*) FROM message WHERE queue = ? AND state > 0 AND "
                       "hidden_until <= ? GROUP BY state",
                       &statement, err));
    sqlite_bind_int(statement, 1, queue);
    sqlite_bind_int(statement, 2, (int64_t)session->now_ms);
    for (;;) {
        TRY(sqlite_step(statement, &row, err));
        if (!row) return STATUS_OK;
        uint64_t *from =
            sqlite_int(statement, 0) == MESSAGE_DELAYED ? &depth->delayed : &depth->in_flight;
        uint64_t due = MIN((uint64_t)sqlite_int(statement, 1), *from);
        *from -= due;
        depth->visible += due;
    }
}

enum status sqlite_depth(struct database_session *session, struct queue_call *call,
                         struct error *err)
{
    struct sqlite_statement *statement;
    bool found;
    TRY(sqlite_prepare(session, "SELECT id, visible, delayed, in_flight FROM queue WHERE name = ?",
                       &statement, err));
    sqlite_bind_text(statement, 1, call->queue);
    TRY(sqlite_step(statement, &found, err));
    if (!found) return fail(err, STATUS_NOT_FOUND, "The specified queue does not exist.");
    int64_t id = sqlite_int(statement, 0);
    call->depth = (struct queue_depth){.visible = (uint64_t)sqlite_int(statement, 1),
                                       .delayed = (uint64_t)sqlite_int(statement, 2),
                                       .in_flight = (uint64_t)sqlite_int(statement, 3)};
    sqlite_reset(statement);
    TRY(count_due(session, id, &call->depth, err));
    return oldest(session, id, &call->depth.oldest_ms, err);
}
