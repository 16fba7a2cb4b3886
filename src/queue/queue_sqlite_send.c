/* Sending: deduplication, then a row. */
#include "base/hash.h"
#include "base/mem.h"
#include "queue/attributes.h"
#include "queue/queue_sqlite_private.h"
#include "queue/rules.h"

/* The group's row, when its first message comes. */
static enum status group_begin(struct database_session *session, const struct queue_entry *entry,
                               struct str group, int64_t sequence, uint64_t hidden_until,
                               struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session,
                       "INSERT INTO message_group(queue, group_id, head, ready_ms) VALUES(?, ?, ?, "
                       "?) ON CONFLICT DO NOTHING",
                       &statement, err));
    sqlite_bind_int(statement, 1, entry->id);
    sqlite_bind_text(statement, 2, group);
    sqlite_bind_int(statement, 3, sequence);
    sqlite_bind_int(statement, 4, (int64_t)hidden_until);
    return sqlite_execute(statement, err);
}

static enum status body_insert(struct database_session *session, int64_t key, struct str body,
                               struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session, "INSERT INTO message_body(key, body) VALUES(?, ?)", &statement,
                       err));
    sqlite_bind_int(statement, 1, key);
    sqlite_bind_blob(statement, 2, body);
    return sqlite_execute(statement, err);
}

enum status message_insert(struct sqlite_queues *queues, struct database_session *session,
                           struct queue_entry *entry, const struct message_new *message,
                           int64_t *ret_sequence, struct error *err)
{
    struct sqlite_statement *statement;
    int64_t sequence = next_sequence(queues),
            key = message->body_key ? message->body_key : sequence;
    bool apart = message->body.data && message->body.size > BODY_INLINE_MAX;
    enum message_state state = message->hidden_until > 0 ? MESSAGE_DELAYED : MESSAGE_READY;
    TRY(sqlite_prepare(session,
                       "INSERT INTO message(sequence, queue, state, ordered, named, priority, "
                       "hidden_until, lease, leased_ms, receive_count, first_received_ms, sent_ms, "
                       "id, group_id, deduplication_id, source, attributes, body, body_key) "
                       "VALUES(?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                       &statement, err));
    sqlite_bind_int(statement, 1, sequence);
    sqlite_bind_int(statement, 2, entry->id);
    sqlite_bind_int(statement, 3, state);
    sqlite_bind_int(statement, 4, entry->settings.fifo);
    sqlite_bind_int(statement, 5, message->named);
    sqlite_bind_int(statement, 6, message->priority);
    sqlite_bind_int(statement, 7, (int64_t)message->hidden_until);
    sqlite_bind_int(statement, 8, message->receive_count);
    sqlite_bind_int(statement, 9, (int64_t)message->first_received_ms);
    sqlite_bind_int(statement, 10, (int64_t)message->sent_ms);
    sqlite_bind_text(statement, 11, message->id);
    sqlite_bind_text(statement, 12, message->group.size ? message->group : (struct str){0});
    sqlite_bind_text(statement, 13,
                     message->deduplication_id.size ? message->deduplication_id : (struct str){0});
    sqlite_bind_text(statement, 14, message->source.size ? message->source : (struct str){0});
    sqlite_bind_blob(statement, 15,
                     message->attributes.size ? message->attributes : (struct str){0});
    sqlite_bind_blob(statement, 16, apart ? (struct str){0} : message->body);
    sqlite_bind_int(statement, 17, key);
    TRY(sqlite_execute(statement, err));
    if (apart) TRY(body_insert(session, key, message->body, err));
    if (entry->settings.fifo)
        TRY(group_begin(session, entry, message->group, sequence, message->hidden_until, err));
    entry_count(queues, entry, state, 1);
    if (message->hidden_until > 0) entry->due_ms = MIN(entry->due_ms, message->hidden_until);
    *ret_sequence = sequence;
    return STATUS_OK;
}

/* --- deduplication ---------------------------------------------------------------------------- */

static struct str scope_of(const struct queue_entry *entry, const struct queue_new_message *message)
{
    return entry->settings.deduplicate_by_group ? message->group : STR_EMPTY;
}

static enum status find_duplicate(struct database_session *session, const struct queue_entry *entry,
                                  const struct queue_new_message *message, struct str id,
                                  struct arena *arena, struct queue_sent *sent, struct error *err)
{
    struct sqlite_statement *statement;
    bool row;
    TRY(sqlite_prepare(session,
                       "SELECT message_id, sequence FROM deduplication WHERE queue = ? AND scope = "
                       "? AND id = ? AND expires_ms > ?",
                       &statement, err));
    sqlite_bind_int(statement, 1, entry->id);
    sqlite_bind_text(statement, 2, scope_of(entry, message));
    sqlite_bind_text(statement, 3, id);
    sqlite_bind_int(statement, 4, (int64_t)session->now_ms);
    TRY(sqlite_step(statement, &row, err));
    if (row) {
        sent->id = arena_try_copy(arena, sqlite_text(statement, 0));
        sent->sequence = (uint64_t)sqlite_int(statement, 1);
        sent->duplicate = true;
    }
    sqlite_reset(statement);
    if (row && !sent->id.data) return fail(err, STATUS_EXHAUSTED, "no memory for a message's id");
    return STATUS_OK;
}

static enum status note_sent(struct database_session *session, const struct queue_entry *entry,
                             const struct queue_new_message *message, struct str id,
                             const struct queue_sent *sent, struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session,
                       "INSERT OR REPLACE INTO deduplication(queue, scope, id, message_id, "
                       "sequence, expires_ms) VALUES(?, ?, ?, ?, ?, ?)",
                       &statement, err));
    sqlite_bind_int(statement, 1, entry->id);
    sqlite_bind_text(statement, 2, scope_of(entry, message));
    sqlite_bind_text(statement, 3, id);
    sqlite_bind_text(statement, 4, sent->id);
    sqlite_bind_int(statement, 5, (int64_t)sent->sequence);
    sqlite_bind_int(statement, 6, (int64_t)(session->now_ms + QUEUE_DEDUPLICATION_MS));
    return sqlite_execute(statement, err);
}

/* --- one message ------------------------------------------------------------------------------ */

static enum status insert(struct sqlite_queues *queues, struct database_session *session,
                          struct queue_entry *entry, const struct queue_new_message *message,
                          struct str deduplication_id, struct queue_sent *sent, struct error *err)
{
    uint64_t delay_ms = message->delay_ms >= 0 && !entry->settings.fifo
                            ? (uint64_t)message->delay_ms
                            : (uint64_t)entry->settings.delay_s * 1000;
    struct buffer attributes CLEANUP(buffer_clear);
    buffer_init(&attributes, 2 * (size_t)QUEUE_MESSAGE_SIZE_MAX);
    if (message->attribute_count > 0 || message->trace_header.size > 0)
        attributes_write(message->attributes, message->attribute_count, message->trace_header,
                         &attributes);
    if (buffer_failed(&attributes))
        return fail(err, STATUS_EXHAUSTED, "no memory for a message's attributes");
    int64_t sequence = 0;
    TRY(message_insert(
        queues, session, entry,
        &(struct message_new){.id = sent->id,
                              .body = message->body,
                              .attributes = buffer_view(&attributes),
                              .group = message->group,
                              .deduplication_id = deduplication_id,
                              .priority = message->priority,
                              .sent_ms = session->now_ms,
                              .hidden_until = delay_ms ? session->now_ms + delay_ms : 0,
                              .named = message->id.size > 0},
        &sequence, err));
    sent->sequence = (uint64_t)sequence;
    return STATUS_OK;
}

static enum status make_id(struct sqlite_queues *queues, const struct queue_new_message *message,
                           struct arena *arena, struct queue_sent *sent, struct error *err)
{
    char text[UUID_SIZE + 1];
    sent->id = message->id;
    if (message->id.size > 0) return STATUS_OK;
    uuid_make(&queues->prng, text);
    sent->id = arena_try_copy(arena, (struct str){text, UUID_SIZE});
    if (!sent->id.data) return fail(err, STATUS_EXHAUSTED, "no memory for a message's id");
    return STATUS_OK;
}

static enum status send_fifo(struct sqlite_queues *queues, struct database_session *session,
                             struct queue_entry *entry, const struct queue_new_message *message,
                             struct arena *arena, struct queue_sent *sent, struct error *err)
{
    char hex[SHA256_HEX_SIZE];
    struct str id = message->deduplication_id;
    if (id.size == 0) {
        uint8_t digest[SHA256_SIZE];
        sha256_of(message->body, digest);
        sha256_hex(digest, hex);
        id = str_of(hex);
    }
    TRY(find_duplicate(session, entry, message, id, arena, sent, err));
    if (sent->duplicate) return STATUS_OK;
    TRY(make_id(queues, message, arena, sent, err));
    TRY(insert(queues, session, entry, message, id, sent, err));
    return note_sent(session, entry, message, id, sent, err);
}

/* What only the queue's settings can tell. NULL: nothing is wrong. */
static const char *refusal(const struct queue_entry *entry, const struct queue_new_message *message,
                           struct arena *arena)
{
    const struct queue_settings *settings = &entry->settings;
    size_t size = message->body.size;
    for (size_t i = 0; i < message->attribute_count; i++)
        size += message->attributes[i].name.size + message->attributes[i].type.size +
                message->attributes[i].value.size;
    if (size > settings->message_size_max)
        return rules_too_large(settings->message_size_max, arena);
    if (!settings->fifo) return NULL;
    if (message->group.size == 0) return "The request must contain the parameter MessageGroupId.";
    if (message->deduplication_id.size == 0 && !settings->content_based_deduplication)
        return "The queue should either have ContentBasedDeduplication enabled or "
               "MessageDeduplicationId provided explicitly";
    if (message->delay_ms > 0)
        return "Value for parameter DelaySeconds is invalid. Reason: The request include parameter "
               "that is not valid for this queue type.";
    return NULL;
}

enum status sqlite_send(struct sqlite_queues *queues, struct database_session *session,
                        struct queue_call *call, struct error *err)
{
    struct queue_entry *entry;
    TRY(entry_find(queues, session, call->queue, &entry, err));
    for (size_t i = 0; i < call->send.count; i++) {
        const struct queue_new_message *message = &call->send.messages[i];
        struct queue_sent *sent = &call->send.sent[i];
        *sent = (struct queue_sent){.reason = refusal(entry, message, call->arena)};
        if (sent->reason) {
            sent->status = STATUS_INVALID_ARGUMENT;
            continue;
        }
        if (entry->settings.fifo)
            TRY(send_fifo(queues, session, entry, message, call->arena, sent, err));
        else {
            TRY(make_id(queues, message, call->arena, sent, err));
            TRY(insert(queues, session, entry, message, message->deduplication_id, sent, err));
        }
    }
    return STATUS_OK;
}
