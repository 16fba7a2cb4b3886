/* What is done by a receipt handle, and what ends a message. */
#include "base/mem.h"
#include "queue/queue_sqlite_private.h"
#include "queue/receipt.h"

/* --- pieces ----------------------------------------------------------------------------------- */

static enum status delete_body(struct database_session *session, int64_t key, struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session, "DELETE FROM message_body WHERE key = ?", &statement, err));
    sqlite_bind_int(statement, 1, key);
    return sqlite_execute(statement, err);
}

static enum status delete_row(struct database_session *session, int64_t sequence, struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session, "DELETE FROM message WHERE sequence = ?", &statement, err));
    sqlite_bind_int(statement, 1, sequence);
    return sqlite_execute(statement, err);
}

enum status message_delete(struct sqlite_queues *queues, struct database_session *session,
                           struct queue_entry *entry, const struct message_row *row,
                           struct error *err)
{
    if (!row->body.data) TRY(delete_body(session, row->body_key, err));
    TRY(delete_row(session, row->sequence, err));
    entry_count(queues, entry, row->state, -1);
    return STATUS_OK;
}

enum status group_refresh(struct database_session *session, const struct queue_entry *entry,
                          struct str group, struct error *err)
{
    struct sqlite_statement *head, *write;
    bool found;
    TRY(sqlite_prepare(
        session,
        "SELECT sequence, hidden_until FROM message WHERE queue = ? AND group_id = ? "
        "AND ordered = 1 ORDER BY sequence LIMIT 1",
        &head, err));
    sqlite_bind_int(head, 1, entry->id);
    sqlite_bind_text(head, 2, group);
    TRY(sqlite_step(head, &found, err));
    int64_t sequence = found ? sqlite_int(head, 0) : 0, hidden = found ? sqlite_int(head, 1) : 0;
    sqlite_reset(head);
    TRY(sqlite_prepare(session,
                       found
                           ? "UPDATE message_group SET head = ?1, ready_ms = ?2 WHERE queue = ?3 "
                             "AND group_id = ?4"
                           : "DELETE FROM message_group WHERE ?1 = ?2 AND queue = ?3 AND group_id "
                             "= ?4",
                       &write, err));
    sqlite_bind_int(write, 1, sequence);
    sqlite_bind_int(write, 2, hidden);
    sqlite_bind_int(write, 3, entry->id);
    sqlite_bind_text(write, 4, group);
    return sqlite_execute(write, err);
}

/* The dead-letter queue; *ret_entry is NULL if there is none any more. */
static enum status find_dead_letter(struct sqlite_queues *queues, struct database_session *session,
                                    const struct queue_entry *entry, struct queue_entry **ret_entry,
                                    struct error *err)
{
    *ret_entry = NULL;
    if (!*entry->settings.dead_letter) return STATUS_OK;
    enum status status =
        entry_find(queues, session, str_of(entry->settings.dead_letter), ret_entry, err);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status message_bury(struct sqlite_queues *queues, struct database_session *session,
                         struct queue_entry *entry, const struct message_row *row, bool *ret_moved,
                         struct error *err)
{
    struct queue_entry *dead;
    int64_t sequence;
    TRY(find_dead_letter(queues, session, entry, &dead, err));
    *ret_moved = dead != NULL;
    if (!dead) return STATUS_OK;
    bool fifo = dead->settings.fifo;
    struct message_new copy = {
        .id = row->id,
        .body = row->body,
        .attributes = row->attributes.data ? row->attributes : STR_EMPTY,
        .group = row->group.data ? row->group : STR_EMPTY,
        .deduplication_id = fifo ? row->id : row->deduplication_id,
        .source = str_of(entry->name),
        .body_key = row->body_key,
        .priority = row->priority,
        .sent_ms = fifo ? session->now_ms : row->sent_ms,
        .receive_count = row->receive_count,
        .first_received_ms = row->first_received_ms,
    };
    TRY(message_insert(queues, session, dead, &copy, &sequence, err));
    TRY(delete_row(session, row->sequence, err));
    entry_count(queues, entry, row->state, -1);
    return STATUS_OK;
}

/* --- one receipt -------------------------------------------------------------------------------
 */

/* One operation by receipts on its way. */
struct receipting {
    struct sqlite_queues *queues;
    struct database_session *session;
    struct queue_entry *entry;
    struct queue_call *call;
    struct str group; /* changed by the last receipt; data NULL: none */
};

/* The message that a handle names, at `statement`, which is reset by the caller. */
static enum status find_message(struct receipting *receipting, const struct receipt *receipt,
                                struct sqlite_statement **ret_statement, struct message_row *row,
                                bool *ret_found, struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(receipting->session,
                       "SELECT " MESSAGE_COLUMNS " FROM message WHERE sequence = ? AND queue = ?",
                       &statement, err));
    sqlite_bind_int(statement, 1, (int64_t)receipt->sequence);
    sqlite_bind_int(statement, 2, receipting->entry->id);
    TRY(sqlite_step(statement, ret_found, err));
    if (*ret_found) message_row_read(statement, row);
    *ret_statement = statement;
    return STATUS_OK;
}

static void refuse(struct queue_receipt *one, enum status status, const char *reason)
{
    one->status = status;
    one->reason = reason;
}

static const char expired_handle[] =
    "Value for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.";
static const char not_available[] =
    "Value for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not "
    "available for visibility timeout change.";
static const char too_long[] =
    "Value for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the "
    "message is beyond the limit [43200 seconds].";
static const char no_dead_letter[] = "the dead-letter queue was deleted";

/* Sets when the message comes back: ready at once, or hidden. */
static enum status hide(struct receipting *receipting, const struct message_row *row,
                        uint64_t until_ms, uint32_t receive_count, struct error *err)
{
    struct queue_entry *entry = receipting->entry;
    bool hides = until_ms > receipting->session->now_ms;
    enum message_state state = hides ? MESSAGE_IN_FLIGHT : MESSAGE_READY;
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(receipting->session,
                       "UPDATE message SET state = ?, hidden_until = ?, receive_count = ? WHERE "
                       "sequence = ?",
                       &statement, err));
    sqlite_bind_int(statement, 1, state);
    sqlite_bind_int(statement, 2, hides ? (int64_t)until_ms : 0);
    sqlite_bind_int(statement, 3, receive_count);
    sqlite_bind_int(statement, 4, row->sequence);
    TRY(sqlite_execute(statement, err));
    entry_count(receipting->queues, entry, row->state, -1);
    entry_count(receipting->queues, entry, state, 1);
    if (hides) entry->due_ms = MIN(entry->due_ms, until_ms);
    return STATUS_OK;
}

static enum status extend(struct receipting *receipting, struct queue_receipt *one,
                          const struct message_row *row, struct error *err)
{
    uint64_t now = receipting->session->now_ms, until = now + (uint64_t)one->visibility_ms;
    if (until > row->leased_ms + (uint64_t)QUEUE_VISIBILITY_S_MAX * 1000 &&
        one->visibility_ms > 0) {
        refuse(one, STATUS_INVALID_ARGUMENT, too_long);
        return STATUS_OK;
    }
    return hide(receipting, row, until, row->receive_count, err);
}

static enum status bury(struct receipting *receipting, struct queue_receipt *one,
                        const struct message_row *row, struct error *err)
{
    struct queue_entry *entry = receipting->entry;
    if (!*entry->settings.dead_letter)
        return message_delete(receipting->queues, receipting->session, entry, row, err);
    TRY(message_bury(receipting->queues, receipting->session, entry, row, &one->buried, err));
    if (!one->buried) refuse(one, STATUS_FAILED_PRECONDITION, no_dead_letter);
    return STATUS_OK;
}

/* Does the operation to a message whose receipt is in order. */
static enum status apply(struct receipting *receipting, struct queue_receipt *one,
                         const struct message_row *row, struct error *err)
{
    enum queue_operation operation = receipting->call->operation;
    if (operation == QUEUE_ACK)
        return message_delete(receipting->queues, receipting->session, receipting->entry, row, err);
    if (operation == QUEUE_EXTEND) return extend(receipting, one, row, err);
    if (operation == QUEUE_BURY) return bury(receipting, one, row, err);
    /* NACK: as if it had not been received, but not before its time. */
    return hide(receipting, row, receipting->session->now_ms + (uint64_t)one->visibility_ms,
                row->receive_count - (row->receive_count > 0), err);
}

/* What a handle means when it is not that of the message's last receive, or its time is over. */
static bool is_usable(const struct receipting *receipting, struct queue_receipt *one,
                      const struct message_row *row, const struct receipt *receipt)
{
    bool newest = row->lease == receipt->lease;
    bool holds = newest && row->hidden_until > receipting->session->now_ms;
    if (holds) return true;
    if (one->must_hold || receipting->entry->settings.fifo)
        refuse(one, STATUS_FAILED_PRECONDITION, expired_handle);
    else if (newest)
        return true; /* standard: late, and nobody else has received it since */
    return false;    /* an old handle: told OK, and nothing is done */
}

static void missing(const struct receipting *receipting, struct queue_receipt *one)
{
    if (one->must_hold)
        refuse(one, STATUS_FAILED_PRECONDITION, expired_handle);
    else if (receipting->call->operation != QUEUE_ACK)
        refuse(one, STATUS_NOT_FOUND, not_available);
}

static enum status run_found(struct receipting *receipting, struct queue_receipt *one,
                             const struct message_row *row, const struct receipt *receipt,
                             struct error *err)
{
    if (!is_usable(receipting, one, row, receipt)) return STATUS_OK;
    if (row->ordered) {
        receipting->group = arena_try_copy(receipting->call->arena, row->group);
        if (!receipting->group.data) return fail(err, STATUS_EXHAUSTED, "no memory for a group");
    }
    return apply(receipting, one, row, err);
}

static enum status refuse_handle(struct receipting *receipting, struct queue_receipt *one,
                                 struct error *err)
{
    char text[QUEUE_RECEIPT_MAX + 128];
    int size = snprintf(text, sizeof text,
                        "The input receipt handle \"%.*s\" is not a valid receipt handle.",
                        (int)MIN(one->receipt.size, (size_t)QUEUE_RECEIPT_MAX), one->receipt.data);
    struct str kept = arena_try_copy(receipting->call->arena, (struct str){text, (size_t)size + 1});
    if (!kept.data) return fail(err, STATUS_EXHAUSTED, "no memory for an answer");
    refuse(one, STATUS_INVALID_ARGUMENT, kept.data);
    return STATUS_OK;
}

static enum status run_one(struct receipting *receipting, struct queue_receipt *one,
                           struct error *err)
{
    struct sqlite_statement *statement CLEANUP(sqlite_resetp) = NULL;
    struct receipt receipt;
    struct message_row row;
    bool found;
    one->status = STATUS_OK;
    one->reason = NULL;
    receipting->group = (struct str){0};
    /* Another queue's handle is none here: by its number alone it would find its message. */
    if (!receipt_read(one->receipt, &receipt) || receipt.queue != (uint64_t)receipting->entry->id)
        return refuse_handle(receipting, one, err);
    TRY(find_message(receipting, &receipt, &statement, &row, &found, err));
    if (!found) {
        missing(receipting, one);
        return STATUS_OK;
    }
    TRY(run_found(receipting, one, &row, &receipt, err));
    if (!receipting->group.data) return STATUS_OK;
    return group_refresh(receipting->session, receipting->entry, receipting->group, err);
}

enum status sqlite_receipts(struct sqlite_queues *queues, struct database_session *session,
                            struct queue_call *call, struct error *err)
{
    struct receipting receipting = {.queues = queues, .session = session, .call = call};
    TRY(entry_find(queues, session, call->queue, &receipting.entry, err));
    for (size_t i = 0; i < call->receipts.count; i++) {
        struct queue_receipt *one = &call->receipts.receipts[i];
        TRY(run_one(&receipting, one, err));
        if (!one->must_hold || one->status == STATUS_OK) continue;
        session->dirty = i > 0; /* those before it have written */
        return fail(err, one->status, "%s", one->reason);
    }
    return STATUS_OK;
}

/* --- by message id -----------------------------------------------------------------------------
 */

static enum status cancel_one(struct receipting *receipting, struct queue_receipt *one,
                              struct error *err)
{
    struct sqlite_statement *statement;
    struct message_row row;
    bool found;
    TRY(sqlite_prepare(receipting->session,
                       "SELECT " MESSAGE_COLUMNS " FROM message WHERE id = ? AND named = 1 AND "
                       "queue = ?",
                       &statement, err));
    struct sqlite_statement *at CLEANUP(sqlite_resetp) = statement;
    sqlite_bind_text(statement, 1, one->receipt);
    sqlite_bind_int(statement, 2, receipting->entry->id);
    TRY(sqlite_step(at, &found, err));
    if (found) message_row_read(at, &row);
    if (!found ||
        (row.state == MESSAGE_IN_FLIGHT && row.hidden_until > receipting->session->now_ms)) {
        refuse(one, STATUS_NOT_FOUND,
               "no such message waits: it is in flight, done or was never sent");
        return STATUS_OK;
    }
    one->status = STATUS_OK;
    one->reason = NULL;
    TRY(message_delete(receipting->queues, receipting->session, receipting->entry, &row, err));
    return row.ordered ? group_refresh(receipting->session, receipting->entry, row.group, err)
                       : STATUS_OK;
}

enum status sqlite_cancel(struct sqlite_queues *queues, struct database_session *session,
                          struct queue_call *call, struct error *err)
{
    struct receipting receipting = {.queues = queues, .session = session, .call = call};
    TRY(entry_find(queues, session, call->queue, &receipting.entry, err));
    for (size_t i = 0; i < call->receipts.count; i++)
        TRY(cancel_one(&receipting, &call->receipts.receipts[i], err));
    return STATUS_OK;
}
