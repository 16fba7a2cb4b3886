/* What is done by a receipt handle, and what ends a message. */
#include "base/mem.h"
#include "queue/queue_postgres_private.h"
#include "queue/receipt.h"

/* --- pieces ----------------------------------------------------------------------------------- */

void postgres_message_read(const struct postgres_result *r, int row, struct message_row *message)
{
    *message = (struct message_row){
        .sequence = postgres_int_at(r, row, 0),
        .state = (enum message_state)MIN((uint64_t)postgres_int_at(r, row, 1),
                                         (uint64_t)MESSAGE_IN_FLIGHT),
        .hidden_until = (uint64_t)postgres_int_at(r, row, 2),
        .lease = (uint64_t)postgres_int_at(r, row, 3),
        .leased_ms = (uint64_t)postgres_int_at(r, row, 4),
        .receive_count = (uint32_t)postgres_int_at(r, row, 5),
        .sent_ms = (uint64_t)postgres_int_at(r, row, 6),
        .ordered = postgres_int_at(r, row, 7) != 0,
        .id = postgres_text_at(r, row, 8),
        .group = postgres_text_at(r, row, 9),
        .source = postgres_text_at(r, row, 10),
    };
}

/* Of rows (state, group if ordered) that a DELETE returned. */
static void note_deleted(struct operation *operation, int64_t queue,
                         const struct postgres_result *r)
{
    int64_t deleted[MESSAGE_STATES] = {0};
    for (int i = 0; i < postgres_rows(r); i++) {
        deleted[MIN((uint64_t)postgres_int_at(r, i, 0), (uint64_t)MESSAGE_IN_FLIGHT)]++;
        if (!postgres_is_null(r, i, 1))
            postgres_group_changed(operation->transaction, queue, postgres_text_at(r, i, 1));
    }
    for (int state = 0; state < MESSAGE_STATES; state++)
        postgres_entry_count(operation->session, queue, (enum message_state)state, -deleted[state]);
}

enum status postgres_messages_delete(struct operation *operation, int64_t queue,
                                     const int64_t *sequences, size_t count, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value values[] = {postgres_ints(sequences, count), postgres_int(queue)};
    operation->wrote = true;
    TRY(postgres_query(operation->session,
                       "DELETE FROM message WHERE sequence = ANY($1::bigint[])"
                       " AND queue = $2::bigint"
                       " RETURNING state, CASE WHEN ordered THEN group_id END",
                       values, COUNT_OF(values), &r, err));
    note_deleted(operation, queue, r);
    return STATUS_OK;
}

/* The dead-letter queue; *ret_entry is NULL if there is none any more. */
static enum status find_dead_letter(struct operation *operation, const struct queue_entry *entry,
                                    struct queue_entry **ret_entry, struct error *err)
{
    *ret_entry = NULL;
    if (!*entry->settings.dead_letter) return STATUS_OK;
    enum status status = postgres_entry_find(operation->transaction, operation->session,
                                             str_of(entry->settings.dead_letter), ret_entry, err);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* Groups of one name share a stripe in all queues: that of the dead letters is held, too. */
enum status postgres_message_bury(struct operation *operation, const struct queue_entry *from,
                                  const struct message_row *row, bool *ret_moved, struct error *err)
{
    struct queue_entry *dead;
    TRY(find_dead_letter(operation, from, &dead, err));
    *ret_moved = dead != NULL;
    if (!dead) return STATUS_OK;
    bool fifo = dead->settings.fifo;
    struct postgres_value values[] = {
        postgres_int(row->sequence), postgres_int(dead->id), postgres_int(fifo),
        postgres_int((int64_t)operation->session->now_ms), postgres_text_value(str_of(from->name))};
    operation->wrote = true;
    TRY(postgres_execute(operation->session,
                         "UPDATE message SET sequence = nextval('message_sequence'),"
                         " queue = $2::bigint, state = 0, hidden_until = 0, lease = 0,"
                         " leased_ms = 0, ordered = $3::bigint <> 0, source = $5::text,"
                         " sent_ms = CASE WHEN $3::bigint <> 0 THEN $4::bigint ELSE sent_ms END,"
                         " deduplication_id ="
                         "   CASE WHEN $3::bigint <> 0 THEN id ELSE deduplication_id END"
                         " WHERE sequence = $1::bigint",
                         values, COUNT_OF(values), NULL, err));
    postgres_entry_count(operation->session, from->id, row->state, -1);
    postgres_entry_count(operation->session, dead->id, MESSAGE_READY, 1);
    if (row->ordered) postgres_group_changed(operation->transaction, from->id, row->group);
    if (fifo)
        postgres_group_changed(operation->transaction, dead->id, row->group);
    else
        postgres_queue_notify(operation->session, dead);
    return STATUS_OK;
}

/* --- handles -----------------------------------------------------------------------------------
 */

/* One operation by receipts on its way. */
struct receipting {
    struct operation *operation;
    struct queue_receipt *receipts;
    size_t count;
    struct receipt *handles; /* of those that are handles, else zeros */
    int64_t *sequences, *leases;
    unsigned *stripes;
    size_t handle_count;
    /* What is to be written: hidden again, or deleted. */
    int64_t *hide_sequences, *hide_until, *hide_counts;
    size_t hide_count;
    int64_t *delete_sequences;
    size_t delete_count;
};

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

static enum status no_memory(struct error *err)
{
    return fail(err, STATUS_EXHAUSTED, "no memory for an answer");
}

static enum status refuse_handle(struct receipting *receipting, struct queue_receipt *one,
                                 struct error *err)
{
    char text[QUEUE_RECEIPT_MAX + 128];
    int size = snprintf(text, sizeof text,
                        "The input receipt handle \"%.*s\" is not a valid receipt handle.",
                        (int)MIN(one->receipt.size, (size_t)QUEUE_RECEIPT_MAX), one->receipt.data);
    struct str kept =
        arena_try_copy(receipting->operation->call->arena, (struct str){text, (size_t)size + 1});
    if (!kept.data) return no_memory(err);
    refuse(one, STATUS_INVALID_ARGUMENT, kept.data);
    return STATUS_OK;
}

static bool receipting_init(struct receipting *receipting, struct arena *arena)
{
    int64_t **numbers[] = {&receipting->sequences,      &receipting->leases,
                           &receipting->hide_sequences, &receipting->hide_until,
                           &receipting->hide_counts,    &receipting->delete_sequences};
    bool fits = true;
    receipting->handles = ARENA_TRY_ARRAY(arena, struct receipt, receipting->count);
    receipting->stripes = ARENA_TRY_ARRAY(arena, unsigned, receipting->count);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        fits &= (*numbers[i] = ARENA_TRY_ARRAY(arena, int64_t, receipting->count)) != NULL;
    return fits && receipting->handles && receipting->stripes;
}

static enum status read_handles(struct receipting *receipting, struct error *err)
{
    for (size_t i = 0; i < receipting->count; i++) {
        struct queue_receipt *one = &receipting->receipts[i];
        struct receipt *handle = &receipting->handles[i];
        one->status = STATUS_OK;
        one->reason = NULL;
        /* Another queue's handle is none here. */
        if (!receipt_read(one->receipt, handle) ||
            handle->queue != (uint64_t)receipting->operation->entry->id) {
            *handle = (struct receipt){0};
            TRY(refuse_handle(receipting, one, err));
            continue;
        }
        receipting->sequences[receipting->handle_count] = (int64_t)handle->sequence;
        receipting->leases[receipting->handle_count] = (int64_t)handle->lease;
        receipting->stripes[receipting->handle_count++] = (unsigned)(handle->lease & (STRIPES - 1));
    }
    return STATUS_OK;
}

/* --- the short way -------------------------------------------------------------------------------
 *
 * Acknowledgements of a standard queue: one statement deletes those whose newest receive it is. Old
 * handles and those of messages that are gone are told OK. Where all must hold, the count tells.
 */

static enum status acknowledge(struct receipting *receipting, bool must_hold, struct error *err)
{
    struct operation *operation = receipting->operation;
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value values[] = {
        postgres_int(operation->entry->id),
        postgres_ints(receipting->sequences, receipting->handle_count),
        postgres_ints(receipting->leases, receipting->handle_count),
        postgres_int(must_hold ? (int64_t)operation->session->now_ms : -1)};
    TRY(postgres_query(operation->session,
                       "DELETE FROM message m"
                       " USING unnest($2::bigint[], $3::bigint[]) AS w(sequence, lease)"
                       " WHERE m.sequence = w.sequence AND m.lease = w.lease"
                       "   AND m.queue = $1::bigint AND m.hidden_until > $4::bigint"
                       " RETURNING m.state, CASE WHEN m.ordered THEN m.group_id END",
                       values, COUNT_OF(values), &r, err));
    operation->wrote = postgres_rows(r) > 0;
    if (must_hold && (size_t)postgres_rows(r) != receipting->handle_count)
        return fail(err, STATUS_FAILED_PRECONDITION, "%s", expired_handle);
    note_deleted(operation, operation->entry->id, r);
    return STATUS_OK;
}

/* True if the short way serves: no receipt may differ from the others in what it needs. */
static bool is_plain_acknowledgement(const struct receipting *receipting, bool *ret_must_hold)
{
    bool must = receipting->receipts[0].must_hold;
    if (receipting->operation->call->operation != QUEUE_ACK) return false;
    if (receipting->operation->entry->settings.fifo && !must) return false;
    for (size_t i = 0; i < receipting->count; i++)
        if (receipting->receipts[i].must_hold != must ||
            (must && receipting->receipts[i].status != STATUS_OK))
            return false;
    *ret_must_hold = must;
    return true;
}

/* --- one by one ---------------------------------------------------------------------------------
 */

/* What a handle means when it is not that of the message's last receive, or its time is over. */
static bool is_usable(const struct receipting *receipting, struct queue_receipt *one,
                      const struct message_row *row, const struct receipt *receipt)
{
    bool newest = row->lease == receipt->lease;
    if (newest && row->hidden_until > receipting->operation->session->now_ms) return true;
    if (one->must_hold || receipting->operation->entry->settings.fifo)
        refuse(one, STATUS_FAILED_PRECONDITION, expired_handle);
    else if (newest)
        return true; /* standard: late, and nobody else has received it since */
    return false;    /* an old handle: told OK, and nothing is done */
}

static void missing(const struct receipting *receipting, struct queue_receipt *one)
{
    if (one->must_hold)
        refuse(one, STATUS_FAILED_PRECONDITION, expired_handle);
    else if (receipting->operation->call->operation != QUEUE_ACK)
        refuse(one, STATUS_NOT_FOUND, not_available);
}

static void hide(struct receipting *receipting, const struct message_row *row, int64_t after_ms,
                 uint32_t receive_count)
{
    struct operation *operation = receipting->operation;
    uint64_t now = operation->session->now_ms;
    size_t i = receipting->hide_count++;
    receipting->hide_sequences[i] = row->sequence;
    receipting->hide_until[i] = after_ms > 0 ? (int64_t)(now + (uint64_t)after_ms) : 0;
    receipting->hide_counts[i] = receive_count;
    postgres_entry_count(operation->session, operation->entry->id, row->state, -1);
    postgres_entry_count(operation->session, operation->entry->id,
                         after_ms > 0 ? MESSAGE_IN_FLIGHT : MESSAGE_READY, 1);
    if (row->ordered)
        postgres_group_changed(operation->transaction, operation->entry->id, row->group);
    else if (after_ms == 0)
        postgres_queue_notify(operation->session, operation->entry);
}

static void extend(struct receipting *receipting, struct queue_receipt *one,
                   const struct message_row *row)
{
    uint64_t until = receipting->operation->session->now_ms + (uint64_t)one->visibility_ms;
    if (one->visibility_ms > 0 && until > row->leased_ms + QUEUE_VISIBILITY_S_MAX * UINT64_C(1000))
        refuse(one, STATUS_INVALID_ARGUMENT, too_long);
    else
        hide(receipting, row, one->visibility_ms, row->receive_count);
}

/* Notes what is to become of a message whose receipt is in order. */
static enum status plan(struct receipting *receipting, struct queue_receipt *one,
                        const struct message_row *row, struct error *err)
{
    struct operation *operation = receipting->operation;
    enum queue_operation asked = operation->call->operation;
    if (asked == QUEUE_BURY && !*operation->entry->settings.dead_letter) asked = QUEUE_ACK;
    if (asked == QUEUE_ACK) {
        receipting->delete_sequences[receipting->delete_count++] = row->sequence;
    } else if (asked == QUEUE_EXTEND) {
        extend(receipting, one, row);
    } else if (asked == QUEUE_NACK) {
        hide(receipting, row, one->visibility_ms, row->receive_count - (row->receive_count > 0));
    } else {
        TRY(postgres_message_bury(operation, operation->entry, row, &one->buried, err));
        if (!one->buried) refuse(one, STATUS_FAILED_PRECONDITION, no_dead_letter);
    }
    return STATUS_OK;
}

static enum status read_rows(struct receipting *receipting, struct postgres_result **ret_result,
                             struct error *err)
{
    struct postgres_value values[] = {
        postgres_int(receipting->operation->entry->id),
        postgres_ints(receipting->sequences, receipting->handle_count)};
    return postgres_query(receipting->operation->session,
                          "SELECT " MESSAGE_COLUMNS " FROM message m"
                          " WHERE m.sequence = ANY($2::bigint[]) AND m.queue = $1::bigint"
                          " ORDER BY m.sequence FOR UPDATE",
                          values, COUNT_OF(values), ret_result, err);
}

/* The row of that sequence number; rows are in their order. */
static int find_row(const struct postgres_result *r, int64_t sequence)
{
    int low = 0, high = postgres_rows(r);
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (postgres_int_at(r, middle, 0) < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low < postgres_rows(r) && postgres_int_at(r, low, 0) == sequence ? low : -1;
}

/* A handle that comes twice in one call is the same message: what is done to it is done once. */
static bool came_before(const struct receipting *receipting, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (receipting->handles[j].sequence == receipting->handles[i].sequence &&
            receipting->receipts[j].status == STATUS_OK)
            return true;
    return false;
}

static enum status plan_one(struct receipting *receipting, const struct postgres_result *r,
                            size_t i, struct error *err)
{
    struct queue_receipt *one = &receipting->receipts[i];
    const struct receipt *handle = &receipting->handles[i];
    struct message_row row;
    if (one->status != STATUS_OK || came_before(receipting, i)) return STATUS_OK;
    int at = find_row(r, (int64_t)handle->sequence);
    if (at < 0) {
        missing(receipting, one);
        return STATUS_OK;
    }
    postgres_message_read(r, at, &row);
    return is_usable(receipting, one, &row, handle) ? plan(receipting, one, &row, err) : STATUS_OK;
}

static enum status write_plan(struct receipting *receipting, struct error *err)
{
    struct operation *operation = receipting->operation;
    if (receipting->delete_count > 0)
        TRY(postgres_messages_delete(operation, operation->entry->id, receipting->delete_sequences,
                                     receipting->delete_count, err));
    if (receipting->hide_count == 0) return STATUS_OK;
    struct postgres_value values[] = {
        postgres_ints(receipting->hide_sequences, receipting->hide_count),
        postgres_ints(receipting->hide_until, receipting->hide_count),
        postgres_ints(receipting->hide_counts, receipting->hide_count)};
    operation->wrote = true;
    return postgres_execute(operation->session,
                            "UPDATE message m SET hidden_until = w.hidden,"
                            " state = CASE WHEN w.hidden > 0 THEN 2 ELSE 0 END,"
                            " receive_count = w.receives"
                            " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])"
                            "   AS w(sequence, hidden, receives) WHERE m.sequence = w.sequence",
                            values, COUNT_OF(values), NULL, err);
}

static enum status run_one_by_one(struct receipting *receipting, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    TRY(read_rows(receipting, &r, err));
    for (size_t i = 0; i < receipting->count; i++) {
        const struct queue_receipt *one = &receipting->receipts[i];
        TRY(plan_one(receipting, r, i, err));
        if (!one->must_hold || one->status == STATUS_OK) continue;
        /* What was planned and counted for those before it is undone by a rollback. */
        receipting->operation->wrote |= i > 0;
        return fail(err, one->status, "%s", one->reason);
    }
    return write_plan(receipting, err);
}

enum status postgres_queue_receipts(struct operation *operation, struct error *err)
{
    struct receipting receipting = {.operation = operation,
                                    .receipts = operation->call->receipts.receipts,
                                    .count = operation->call->receipts.count};
    bool must_hold;
    if (!receipting_init(&receipting, operation->call->arena)) return no_memory(err);
    TRY(read_handles(&receipting, err));
    if (operation->entry->settings.fifo)
        TRY(postgres_stripes_lock(operation->transaction, operation->session, receipting.stripes,
                                  receipting.handle_count, err));
    if (is_plain_acknowledgement(&receipting, &must_hold) && receipting.handle_count > 0)
        return acknowledge(&receipting, must_hold, err);
    return run_one_by_one(&receipting, err);
}

/* --- by message id -----------------------------------------------------------------------------
 */

static enum status find_named(struct operation *operation, struct str id,
                              struct postgres_result **ret_result, struct error *err)
{
    struct postgres_value values[] = {postgres_int(operation->entry->id), postgres_text_value(id)};
    return postgres_query(operation->session,
                          "SELECT " MESSAGE_COLUMNS " FROM message m WHERE m.id = $2::text"
                          " AND m.named AND m.queue = $1::bigint FOR UPDATE",
                          values, COUNT_OF(values), ret_result, err);
}

/* The groups of what is to be cancelled, before any row is locked. */
static enum status lock_named(struct operation *operation, struct error *err)
{
    const struct queue_receipts *receipts = &operation->call->receipts;
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct str *ids = ARENA_TRY_ARRAY(operation->call->arena, struct str, receipts->count);
    unsigned *stripes = ARENA_TRY_ARRAY(operation->call->arena, unsigned, receipts->count);
    if (!ids || !stripes) return no_memory(err);
    for (size_t i = 0; i < receipts->count; i++) ids[i] = receipts->receipts[i].receipt;
    struct postgres_value values[] = {postgres_int(operation->entry->id),
                                      postgres_texts(ids, receipts->count)};
    TRY(postgres_query(operation->session,
                       "SELECT DISTINCT group_id FROM message WHERE id = ANY($2::text[]) AND named"
                       " AND queue = $1::bigint AND ordered",
                       values, COUNT_OF(values), &r, err));
    size_t count = MIN((size_t)postgres_rows(r), receipts->count);
    for (size_t i = 0; i < count; i++) stripes[i] = postgres_stripe(postgres_text_at(r, (int)i, 0));
    return postgres_stripes_lock(operation->transaction, operation->session, stripes, count, err);
}

static enum status cancel_one(struct operation *operation, struct queue_receipt *one,
                              struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct message_row row;
    TRY(find_named(operation, one->receipt, &r, err));
    if (postgres_rows(r) > 0) postgres_message_read(r, 0, &row);
    if (postgres_rows(r) == 0 ||
        (row.state == MESSAGE_IN_FLIGHT && row.hidden_until > operation->session->now_ms)) {
        refuse(one, STATUS_NOT_FOUND,
               "no such message waits: it is in flight, done or was never sent");
        return STATUS_OK;
    }
    one->status = STATUS_OK;
    one->reason = NULL;
    return postgres_messages_delete(operation, operation->entry->id, &row.sequence, 1, err);
}

enum status postgres_queue_cancel(struct operation *operation, struct error *err)
{
    if (operation->entry->settings.fifo) TRY(lock_named(operation, err));
    for (size_t i = 0; i < operation->call->receipts.count; i++)
        TRY(cancel_one(operation, &operation->call->receipts.receipts[i], err));
    return STATUS_OK;
}
