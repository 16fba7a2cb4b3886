/* Housekeeping, a bounded piece at a time, by one process at a time; redrives. */
#include "base/mem.h"
#include "queue/queue_postgres_private.h"

enum {
    SWEEP_ROWS = 1000,     /* looked at by one sweep for expired messages */
    SWEEP_BUSY = 200,      /* rows that one sweep deleted: there are more */
    MOVE_STEP = 256,       /* messages of one step of a redrive */
    CARE_LOCK = 0x534c5043 /* an advisory lock of ours, "SLPC" */
};

/* --- redrives -----------------------------------------------------------------------------------
 */

#define MOVE_COLUMNS                                                                               \
    "handle, source, destination, rate_max, state, failure, moved, to_move, started_ms"

/* The words of the table as constants: a move's state outlives its row. */
static const char *state_word(struct str text)
{
    static const char *const words[] = {"RUNNING", "COMPLETED", "CANCELLING", "CANCELLED"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (str_equal(text, str_of(words[i]))) return words[i];
    return "FAILED";
}

static enum status no_memory(struct error *err)
{
    return fail(err, STATUS_EXHAUSTED, "no memory for a move task");
}

static enum status move_read(const struct postgres_result *r, int row, struct arena *arena,
                             struct queue_move *move, struct error *err)
{
    struct str failure = postgres_text_at(r, row, 5);
    *move = (struct queue_move){
        .handle = arena_try_copy(arena, postgres_text_at(r, row, 0)),
        .source = arena_try_copy(arena, postgres_text_at(r, row, 1)),
        .destination = arena_try_copy(arena, postgres_text_at(r, row, 2)),
        .rate_max = (uint32_t)postgres_int_at(r, row, 3),
        .state = state_word(postgres_text_at(r, row, 4)),
        .moved = (uint64_t)postgres_int_at(r, row, 6),
        .to_move = (uint64_t)postgres_int_at(r, row, 7),
        .started_ms = (uint64_t)postgres_int_at(r, row, 8),
    };
    if (!move->handle.data || !move->source.data || !move->destination.data) return no_memory(err);
    if (!failure.data) return STATUS_OK;
    move->failure = arena_try_copy(arena, failure).data; /* with a NUL behind it */
    return move->failure ? STATUS_OK : no_memory(err);
}

static enum status check_move(struct operation *operation, struct error *err)
{
    const struct queue_move *move = &operation->call->move;
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct queue_entry *destination;
    struct postgres_value value = postgres_text_value(move->source);
    TRY(postgres_entry_find(operation->transaction, operation->session, move->source,
                            &operation->entry, err));
    if (move->destination.size > 0)
        TRY(postgres_entry_find(operation->transaction, operation->session, move->destination,
                                &destination, err));
    TRY(postgres_query(operation->session,
                       "SELECT EXISTS (SELECT 1 FROM queue WHERE dead_letter = $1::text"
                       "   AND dead_letter <> ''),"
                       " EXISTS (SELECT 1 FROM message_move WHERE source = $1::text"
                       "   AND state IN ('RUNNING', 'CANCELLING'))",
                       &value, 1, &r, err));
    if (!postgres_int_at(r, 0, 0))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "Source queue must be configured as a Dead Letter Queue.");
    if (!postgres_int_at(r, 0, 1)) return STATUS_OK;
    return fail(err, STATUS_FAILED_PRECONDITION,
                "There is already a task running. Only one active task is allowed for a source "
                "queue arn at a given time.");
}

enum status postgres_move_start(struct operation *operation, struct error *err)
{
    struct queue_move *move = &operation->call->move;
    char handle[UUID_SIZE + 1], name[POSTGRES_COUNT_NAME_MAX + 1];
    int64_t visible;
    TRY(check_move(operation, err));
    (void)snprintf(name, sizeof name, "queue.%lld.%d", (long long)operation->entry->id,
                   MESSAGE_READY);
    TRY(postgres_count_read(operation->session, name, &visible, err));
    postgres_uuid(handle);
    move->handle = arena_try_copy(operation->call->arena, (struct str){handle, UUID_SIZE});
    if (!move->handle.data) return no_memory(err);
    move->state = "RUNNING";
    move->to_move = (uint64_t)MAX(visible, (int64_t)0);
    move->started_ms = operation->session->now_ms;
    struct postgres_value values[] = {
        postgres_text_value(move->handle),
        postgres_text_value(move->source),
        postgres_text_value(move->destination.data ? move->destination : STR_EMPTY),
        postgres_int(move->rate_max),
        postgres_int((int64_t)move->to_move),
        postgres_int((int64_t)move->started_ms)};
    return postgres_execute(operation->session,
                            "INSERT INTO message_move VALUES($1::text, $2::text, $3::text,"
                            " $4::bigint, 'RUNNING', NULL, 0, $5::bigint, $6::bigint, 0)",
                            values, COUNT_OF(values), NULL, err);
}

enum status postgres_move_cancel(struct operation *operation, struct error *err)
{
    struct queue_move *move = &operation->call->move;
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value value = postgres_text_value(move->handle);
    TRY(postgres_query(operation->session,
                       "SELECT " MOVE_COLUMNS " FROM message_move WHERE handle = $1::text"
                       " FOR UPDATE",
                       &value, 1, &r, err));
    if (postgres_rows(r) == 0)
        return fail(err, STATUS_NOT_FOUND,
                    "The resource that you specified for the TaskHandle parameter doesn't exist.");
    TRY(move_read(r, 0, operation->call->arena, move, err));
    if (strcmp(move->state, "RUNNING") != 0)
        return fail(err, STATUS_FAILED_PRECONDITION, "Only active tasks can be cancelled.");
    value = postgres_text_value(move->handle);
    return postgres_execute(operation->session,
                            "UPDATE message_move SET state = 'CANCELLED' WHERE handle = $1::text",
                            &value, 1, NULL, err);
}

enum status postgres_move_list(struct operation *operation, struct error *err)
{
    struct queue_moves *moves = &operation->call->moves;
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value values[] = {postgres_text_value(moves->source),
                                      postgres_int(moves->count_max)};
    moves->moves = ARENA_TRY_ARRAY(operation->call->arena, struct queue_move, moves->count_max);
    if (!moves->moves) return no_memory(err);
    TRY(postgres_query(operation->session,
                       "SELECT " MOVE_COLUMNS " FROM message_move WHERE source = $1::text"
                       " ORDER BY started_ms DESC, handle LIMIT $2::bigint",
                       values, COUNT_OF(values), &r, err));
    for (moves->count = 0; moves->count < (size_t)postgres_rows(r); moves->count++)
        TRY(move_read(r, (int)moves->count, operation->call->arena, &moves->moves[moves->count],
                      err));
    return STATUS_OK;
}

/* Where a dead letter goes: the task's destination, else the queue it came from. */
static enum status find_destination(struct operation *operation, const struct queue_move *move,
                                    const struct message_row *row, struct queue_entry **ret_entry,
                                    struct error *err)
{
    struct str name = move->destination.size > 0 ? move->destination : row->source;
    if (!name.data)
        return fail(err, STATUS_NOT_FOUND,
                    "a message was sent to '%.*s' directly: it has no queue to go back to; name a "
                    "destination",
                    STR_ARGS(move->source));
    TRY(postgres_entry_find(operation->transaction, operation->session, name, ret_entry, err));
    if ((*ret_entry)->settings.fifo == operation->entry->settings.fifo) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "'%s' and '%s' are not of the same kind: one is a FIFO queue",
                operation->entry->name, (*ret_entry)->name);
}

/* A redriven message is a new one: another id, never received. */
static enum status move_message(struct operation *operation, const struct queue_entry *to,
                                const struct message_row *row, struct error *err)
{
    char id[UUID_SIZE + 1];
    postgres_uuid(id);
    struct postgres_value values[] = {postgres_int(row->sequence), postgres_int(to->id),
                                      postgres_text_value(str_of(id)),
                                      postgres_int((int64_t)operation->session->now_ms)};
    operation->wrote = true;
    TRY(postgres_execute(operation->session,
                         "UPDATE message SET sequence = nextval('message_sequence'),"
                         " queue = $2::bigint, id = $3::text, state = 0, hidden_until = 0,"
                         " lease = 0, leased_ms = 0, receive_count = 0, first_received_ms = 0,"
                         " sent_ms = $4::bigint, source = NULL, named = false,"
                         " deduplication_id = CASE WHEN ordered THEN $3::text END"
                         " WHERE sequence = $1::bigint",
                         values, COUNT_OF(values), NULL, err));
    postgres_entry_count(operation->session, operation->entry->id, row->state, -1);
    postgres_entry_count(operation->session, to->id, MESSAGE_READY, 1);
    if (!row->ordered) {
        postgres_queue_notify(operation->session, to);
        return STATUS_OK;
    }
    postgres_group_changed(operation->transaction, operation->entry->id, row->group);
    postgres_group_changed(operation->transaction, to->id, row->group);
    return STATUS_OK;
}

static const char next_plain[] =
    "SELECT " MESSAGE_COLUMNS " FROM message m WHERE m.queue = $1::bigint AND m.state = 0"
    " AND NOT m.ordered ORDER BY m.priority, m.sequence LIMIT $2::bigint FOR UPDATE SKIP LOCKED";
/* Heads of groups, up to their first hidden message. */
static const char next_ordered[] =
    "SELECT " MESSAGE_COLUMNS " FROM message m WHERE m.queue = $1::bigint AND m.ordered"
    " AND m.group_id IN (SELECT group_id FROM message_group WHERE queue = $1::bigint"
    "   AND ready_ms <= $3::bigint ORDER BY ready_ms, head LIMIT $2::bigint)"
    " AND NOT EXISTS (SELECT 1 FROM message h WHERE h.queue = m.queue AND h.ordered"
    "   AND h.group_id = m.group_id AND h.sequence <= m.sequence AND h.hidden_until > $3::bigint)"
    " ORDER BY m.sequence LIMIT $2::bigint";

static enum status find_letters(struct operation *operation, uint32_t count_max,
                                struct postgres_result **ret_result, struct error *err)
{
    bool fifo = operation->entry->settings.fifo;
    struct postgres_value values[] = {postgres_int(operation->entry->id), postgres_int(count_max),
                                      postgres_int((int64_t)operation->session->now_ms)};
    return postgres_query(operation->session, fifo ? next_ordered : next_plain, values,
                          fifo ? 3 : 2, ret_result, err);
}

/* Groups are locked first; then their messages are what they seem. */
static enum status lock_letters(struct operation *operation, const struct postgres_result *r,
                                struct error *err)
{
    unsigned stripes[MOVE_STEP];
    size_t count = MIN((size_t)postgres_rows(r), (size_t)MOVE_STEP);
    for (size_t i = 0; i < count; i++) stripes[i] = postgres_stripe(postgres_text_at(r, (int)i, 9));
    return postgres_stripes_lock(operation->transaction, operation->session, stripes, count, err);
}

static enum status move_letters(struct operation *operation, struct queue_move *move,
                                uint32_t count_max, uint32_t *ret_moved, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct queue_entry *to;
    TRY(postgres_entry_find(operation->transaction, operation->session, move->source,
                            &operation->entry, err));
    TRY(find_letters(operation, count_max, &r, err));
    if (operation->entry->settings.fifo) {
        TRY(lock_letters(operation, r, err));
        postgres_result_free(TAKE(r));
        TRY(find_letters(operation, count_max, &r, err));
    }
    for (int i = 0; i < postgres_rows(r); i++) {
        struct message_row row;
        postgres_message_read(r, i, &row);
        bool held =
            !row.ordered || (operation->transaction->held[postgres_stripe(row.group) / 64] >>
                                 (postgres_stripe(row.group) % 64) &
                             1);
        if (!held || row.hidden_until > operation->session->now_ms) continue;
        TRY(find_destination(operation, move, &row, &to, err));
        TRY(move_message(operation, to, &row, err));
        ++*ret_moved;
    }
    return STATUS_OK;
}

/* `failure` is why the task ended, or NULL. */
static enum status move_write(struct database_session *session, const struct queue_move *move,
                              const char *failure, uint64_t due_ms, struct error *err)
{
    struct postgres_value values[] = {
        postgres_text_value(move->handle), postgres_text_value(str_of(move->state)),
        postgres_text_value(failure ? str_of(failure) : (struct str){0}),
        postgres_int((int64_t)move->moved), postgres_int((int64_t)due_ms)};
    return postgres_execute(session,
                            "UPDATE message_move SET state = $2::text, failure = $3::text,"
                            " moved = $4::bigint, due_ms = $5::bigint WHERE handle = $1::text",
                            values, COUNT_OF(values), NULL, err);
}

/* As many as a step, or a second of the task's rate, allows. */
static enum status move_step(struct operation *operation, struct queue_move *move, bool *ret_more,
                             struct error *err)
{
    uint64_t left = move->to_move - MIN(move->moved, move->to_move);
    uint32_t step = move->rate_max > 0 ? MIN(move->rate_max, (uint32_t)MOVE_STEP) : MOVE_STEP;
    uint64_t due = move->rate_max > 0
                       ? operation->session->now_ms + UINT64_C(1000) * step / move->rate_max
                       : 0;
    uint32_t moved = 0;
    struct error why;
    enum status status =
        left > 0 ? move_letters(operation, move, (uint32_t)MIN((uint64_t)step, left), &moved, &why)
                 : STATUS_OK;
    move->moved += moved;
    if (status != STATUS_OK && (operation->session->dirty || operation->session->busy))
        return fail_again(err, &why);
    if (status != STATUS_OK) {
        move->state = "FAILED";
        return move_write(operation->session, move, why.message, 0, err);
    }
    if (moved == 0 || move->moved >= move->to_move) move->state = "COMPLETED";
    *ret_more |= due == 0 && strcmp(move->state, "RUNNING") == 0;
    return move_write(operation->session, move, NULL, due, err);
}

static enum status moves_continue(struct operation *operation, bool *ret_more, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct arena arena CLEANUP(arena_clear);
    struct queue_move move;
    struct postgres_value value = postgres_int((int64_t)operation->session->now_ms);
    arena_init(&arena, 1 << 20);
    TRY(postgres_query(operation->session,
                       "SELECT " MOVE_COLUMNS " FROM message_move WHERE state = 'RUNNING'"
                       " AND due_ms <= $1::bigint LIMIT 1 FOR UPDATE SKIP LOCKED",
                       &value, 1, &r, err));
    if (postgres_rows(r) == 0) return STATUS_OK;
    TRY(move_read(r, 0, &arena, &move, err));
    return move_step(operation, &move, ret_more, err);
}

/* --- what is over -------------------------------------------------------------------------------
 */

static enum status delete_expired(struct operation *operation, uint32_t work_max, bool *ret_more,
                                  struct error *err)
{
    static const char *const texts[] = {
        "DELETE FROM deduplication WHERE ctid = ANY(ARRAY(SELECT ctid FROM deduplication"
        " WHERE expires_ms <= $1::bigint ORDER BY expires_ms LIMIT $2::bigint"
        " FOR UPDATE SKIP LOCKED))",
        "DELETE FROM receive_attempt WHERE ctid = ANY(ARRAY(SELECT ctid FROM receive_attempt"
        " WHERE expires_ms <= $1::bigint LIMIT $2::bigint FOR UPDATE SKIP LOCKED))",
        "DELETE FROM deleted_queue WHERE ctid = ANY(ARRAY(SELECT ctid FROM deleted_queue"
        " WHERE deleted_ms + 60000 <= $1::bigint LIMIT $2::bigint FOR UPDATE SKIP LOCKED))",
        "DELETE FROM message_move WHERE ctid = ANY(ARRAY(SELECT ctid FROM message_move"
        " WHERE state <> 'RUNNING' AND started_ms + 1209600000 <= $1::bigint LIMIT $2::bigint"
        " FOR UPDATE SKIP LOCKED))",
    };
    struct postgres_value values[] = {postgres_int((int64_t)operation->session->now_ms),
                                      postgres_int(work_max)};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        int64_t deleted;
        TRY(postgres_execute(operation->session, texts[i], values, COUNT_OF(values), &deleted,
                             err));
        *ret_more |= deleted == (int64_t)work_max;
    }
    return STATUS_OK;
}

/* Counts of queues that are no more, written by those who were at work on them at the end. */
static enum status delete_counts(struct operation *operation, struct error *err)
{
    return postgres_execute(operation->session,
                            "DELETE FROM slipway_counts WHERE name LIKE 'queue.%' AND"
                            " split_part(name, '.', 2)::bigint NOT IN (SELECT id FROM queue)"
                            " AND split_part(name, '.', 2)::bigint <"
                            "   (SELECT last_value - 100 FROM queue_id)",
                            NULL, 0, NULL, err);
}

/* Rows whose time is over, or whose queue is gone, among the next few. */
static const char sweep_sql[] =
    "SELECT m.sequence, m.queue, m.ordered, m.group_id,"
    "   q.id IS NULL OR m.sent_ms + q.retention_s * 1000 <= $2::bigint"
    " FROM (SELECT sequence, queue, ordered, group_id, sent_ms FROM message"
    "   WHERE sequence > $1::bigint ORDER BY sequence LIMIT $3::bigint) AS m"
    " LEFT JOIN queue q ON q.id = m.queue ORDER BY m.sequence";

/* Groups that others are at work on are left for the next time. */
static enum status delete_swept(struct operation *operation, const struct postgres_result *r,
                                int row, bool *ret_deleted, struct error *err)
{
    int64_t sequence = postgres_int_at(r, row, 0);
    bool held = true;
    if (postgres_int_at(r, row, 2)) {
        unsigned stripe = postgres_stripe(postgres_text_at(r, row, 3));
        TRY(postgres_stripes_try(operation->transaction, operation->session, &stripe, 1, &held,
                                 err));
    }
    *ret_deleted = held;
    if (!held) return STATUS_OK;
    return postgres_messages_delete(operation, postgres_int_at(r, row, 1), &sequence, 1, err);
}

/* Goes through all messages again and again, a few rows at a time. */
static enum status sweep(struct operation *operation, bool *ret_more, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value values[] = {postgres_int(atomic_load(&operation->queues->sweep_from)),
                                      postgres_int((int64_t)operation->session->now_ms),
                                      postgres_int(SWEEP_ROWS)};
    int deleted_count = 0;
    TRY(postgres_query(operation->session, sweep_sql, values, COUNT_OF(values), &r, err));
    int rows = postgres_rows(r);
    for (int i = 0; i < rows; i++) {
        bool deleted = false;
        if (postgres_int_at(r, i, 4)) TRY(delete_swept(operation, r, i, &deleted, err));
        deleted_count += deleted;
    }
    *ret_more |= deleted_count >= SWEEP_BUSY;
    atomic_store(&operation->queues->sweep_from,
                 rows == SWEEP_ROWS ? postgres_int_at(r, rows - 1, 0) : 0);
    return rows == SWEEP_ROWS ? STATUS_OK : delete_counts(operation, err);
}

static enum status lock_care(struct database_session *session, bool *ret_locked, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value value = postgres_int(CARE_LOCK);
    TRY(postgres_query(session, "SELECT pg_try_advisory_xact_lock($1::bigint)", &value, 1, &r,
                       err));
    *ret_locked = postgres_int_at(r, 0, 0) != 0;
    return STATUS_OK;
}

enum status postgres_maintain(struct queue_store *base, struct database_session *session,
                              uint32_t work_max, bool *ret_more, struct error *err)
{
    struct postgres_queues *queues = CONTAINER_OF(base, struct postgres_queues, base);
    struct operation operation = {
        .queues = queues, .transaction = postgres_transaction(queues, session), .session = session};
    bool locked;
    *ret_more = false;
    TRY(lock_care(session, &locked, err));
    if (!locked) return STATUS_OK;
    enum status status = moves_continue(&operation, ret_more, err);
    if (status == STATUS_OK) status = delete_expired(&operation, work_max, ret_more, err);
    if (status == STATUS_OK) status = sweep(&operation, ret_more, err);
    if (status != STATUS_OK && operation.wrote) session->dirty = true;
    return status;
}
