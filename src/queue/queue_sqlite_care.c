/* Housekeeping, a bounded piece at a time: what is due, expired or belongs to nobody; redrives. */
#include "base/mem.h"
#include "queue/queue_sqlite_private.h"

enum {
    SWEEP_ROWS = 512, /* looked at by one sweep for expired messages */
    SWEEP_BUSY = 128, /* rows that one sweep deleted: there are more */
    MOVE_STEP = 256,  /* messages of one step of a redrive */
    HANDLE_SIZE = UUID_SIZE,
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

static enum status move_read(struct sqlite_statement *statement, struct arena *arena,
                             struct queue_move *move, struct error *err)
{
    struct str failure = sqlite_text(statement, 5);
    *move = (struct queue_move){
        .handle = arena_try_copy(arena, sqlite_text(statement, 0)),
        .source = arena_try_copy(arena, sqlite_text(statement, 1)),
        .destination = arena_try_copy(arena, sqlite_text(statement, 2)),
        .rate_max = (uint32_t)sqlite_int(statement, 3),
        .state = state_word(sqlite_text(statement, 4)),
        .moved = (uint64_t)sqlite_int(statement, 6),
        .to_move = (uint64_t)sqlite_int(statement, 7),
        .started_ms = (uint64_t)sqlite_int(statement, 8),
    };
    if (!move->handle.data || !move->source.data || !move->destination.data)
        return fail(err, STATUS_EXHAUSTED, "no memory for a move task");
    if (!failure.data) return STATUS_OK;
    char *text = arena_try_new(arena, failure.size + 1);
    if (!text) return fail(err, STATUS_EXHAUSTED, "no memory for a move task");
    memcpy(text, failure.data, failure.size);
    text[failure.size] = '\0';
    move->failure = text;
    return STATUS_OK;
}

static enum status is_moving(struct database_session *session, struct str source, bool *ret_moving,
                             struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session,
                       "SELECT 1 FROM message_move WHERE source = ? AND state IN ('RUNNING', "
                       "'CANCELLING')",
                       &statement, err));
    sqlite_bind_text(statement, 1, source);
    TRY(sqlite_step(statement, ret_moving, err));
    sqlite_reset(statement);
    return STATUS_OK;
}

static enum status is_dead_letter_queue(struct database_session *session, struct str name,
                                        bool *ret_is, struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session, "SELECT 1 FROM queue WHERE dead_letter = ? AND dead_letter <> ''",
                       &statement, err));
    sqlite_bind_text(statement, 1, name);
    TRY(sqlite_step(statement, ret_is, err));
    sqlite_reset(statement);
    return STATUS_OK;
}

static enum status check_move(struct sqlite_queues *queues, struct database_session *session,
                              const struct queue_move *move, struct queue_entry **ret_source,
                              struct error *err)
{
    struct queue_entry *destination;
    bool moving, dead;
    TRY(entry_find(queues, session, move->source, ret_source, err));
    if (move->destination.size > 0)
        TRY(entry_find(queues, session, move->destination, &destination, err));
    TRY(is_dead_letter_queue(session, move->source, &dead, err));
    if (!dead)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "Source queue must be configured as a Dead Letter Queue.");
    TRY(is_moving(session, move->source, &moving, err));
    if (!moving) return STATUS_OK;
    return fail(err, STATUS_FAILED_PRECONDITION,
                "There is already a task running. Only one active task is allowed for a source "
                "queue arn at a given time.");
}

enum status sqlite_move_start(struct sqlite_queues *queues, struct database_session *session,
                              struct queue_call *call, struct error *err)
{
    struct queue_move *move = &call->move;
    struct queue_entry *source;
    struct sqlite_statement *statement;
    char handle[HANDLE_SIZE + 1];
    TRY(check_move(queues, session, move, &source, err));
    uuid_make(&queues->prng, handle);
    move->handle = arena_try_copy(call->arena, (struct str){handle, HANDLE_SIZE});
    if (!move->handle.data) return fail(err, STATUS_EXHAUSTED, "no memory for a move task");
    move->state = "RUNNING";
    move->to_move = (uint64_t)source->counts[MESSAGE_READY];
    move->started_ms = session->now_ms;
    TRY(sqlite_prepare(session,
                       "INSERT INTO message_move VALUES(?, ?, ?, ?, 'RUNNING', NULL, 0, ?, ?, 0)",
                       &statement, err));
    sqlite_bind_text(statement, 1, move->handle);
    sqlite_bind_text(statement, 2, move->source);
    sqlite_bind_text(statement, 3, move->destination.data ? move->destination : STR_EMPTY);
    sqlite_bind_int(statement, 4, move->rate_max);
    sqlite_bind_int(statement, 5, (int64_t)move->to_move);
    sqlite_bind_int(statement, 6, (int64_t)move->started_ms);
    return sqlite_execute(statement, err);
}

enum status sqlite_move_cancel(struct sqlite_queues *queues UNUSED,
                               struct database_session *session, struct queue_call *call,
                               struct error *err)
{
    struct sqlite_statement *statement;
    bool found;
    TRY(sqlite_prepare(session, "SELECT " MOVE_COLUMNS " FROM message_move WHERE handle = ?",
                       &statement, err));
    struct sqlite_statement *at CLEANUP(sqlite_resetp) = statement;
    sqlite_bind_text(statement, 1, call->move.handle);
    TRY(sqlite_step(at, &found, err));
    if (!found)
        return fail(err, STATUS_NOT_FOUND,
                    "The resource that you specified for the TaskHandle "
                    "parameter doesn't exist.");
    TRY(move_read(at, call->arena, &call->move, err));
    if (strcmp(call->move.state, "RUNNING") != 0)
        return fail(err, STATUS_FAILED_PRECONDITION, "Only active tasks can be cancelled.");
    sqlite_reset(at);
    TRY(sqlite_prepare(session, "UPDATE message_move SET state = 'CANCELLED' WHERE handle = ?",
                       &statement, err));
    sqlite_bind_text(statement, 1, call->move.handle);
    return sqlite_execute(statement, err);
}

enum status sqlite_move_list(struct database_session *session, struct queue_call *call,
                             struct error *err)
{
    struct queue_moves *moves = &call->moves;
    struct sqlite_statement *statement;
    bool row;
    TRY(sqlite_prepare(session,
                       "SELECT " MOVE_COLUMNS " FROM message_move WHERE source = ? ORDER BY "
                       "started_ms DESC, handle LIMIT ?",
                       &statement, err));
    struct sqlite_statement *at CLEANUP(sqlite_resetp) = statement;
    moves->moves = arena_try_zeroed(call->arena, moves->count_max, sizeof *moves->moves);
    if (!moves->moves) return fail(err, STATUS_EXHAUSTED, "no memory for move tasks");
    sqlite_bind_text(at, 1, moves->source);
    sqlite_bind_int(at, 2, moves->count_max);
    for (moves->count = 0;; moves->count++) {
        TRY(sqlite_step(at, &row, err));
        if (!row) return STATUS_OK;
        TRY(move_read(at, call->arena, &moves->moves[moves->count], err));
    }
}

/* Where a dead letter goes: the task's destination, else the queue it came from. */
static enum status find_destination(struct sqlite_queues *queues, struct database_session *session,
                                    const struct queue_move *move, const struct message_row *row,
                                    struct queue_entry **ret_entry, struct error *err)
{
    struct str name = move->destination.size > 0 ? move->destination : row->source;
    if (!name.data)
        return fail(err, STATUS_NOT_FOUND,
                    "a message was sent to '%.*s' directly: it has no queue "
                    "to go back to; name a destination",
                    STR_ARGS(move->source));
    return entry_find(queues, session, name, ret_entry, err);
}

/* A redriven message is a new one: another id, never received. */
static enum status move_message(struct sqlite_queues *queues, struct database_session *session,
                                struct queue_entry *from, struct queue_entry *to,
                                const struct message_row *row, struct error *err)
{
    char id[UUID_SIZE + 1];
    int64_t sequence;
    struct sqlite_statement *statement;
    uuid_make(&queues->prng, id);
    TRY(message_insert(
        queues, session, to,
        &(struct message_new){.id = {id, UUID_SIZE},
                              .body = row->body,
                              .attributes = row->attributes.data ? row->attributes : STR_EMPTY,
                              .group = row->group.data ? row->group : STR_EMPTY,
                              .deduplication_id =
                                  to->settings.fifo ? (struct str){id, UUID_SIZE} : STR_EMPTY,
                              .body_key = row->body_key,
                              .priority = row->priority,
                              .sent_ms = session->now_ms},
        &sequence, err));
    TRY(sqlite_prepare(session, "DELETE FROM message WHERE sequence = ?", &statement, err));
    sqlite_bind_int(statement, 1, row->sequence);
    TRY(sqlite_execute(statement, err));
    entry_count(queues, from, row->state, -1);
    return row->ordered ? group_refresh(session, from, row->group, err) : STATUS_OK;
}

/* The next ready message of the source, whatever kind of queue it is. */
static const char next_plain[] =
    "SELECT " MESSAGE_COLUMNS " FROM message WHERE queue = ?1 AND state = 0 AND ordered = 0 "
    "ORDER BY priority, sequence LIMIT 1";
static const char next_ordered[] =
    "SELECT " MESSAGE_COLUMNS " FROM message WHERE sequence = (SELECT head FROM message_group "
    "WHERE queue = ?1 AND ready_ms <= ?2 ORDER BY ready_ms, head LIMIT 1)";

static enum status move_next(struct sqlite_queues *queues, struct database_session *session,
                             const struct queue_move *move, bool *ret_moved, struct error *err)
{
    struct queue_entry *from, *to;
    struct sqlite_statement *statement;
    struct message_row row;
    TRY(entry_find(queues, session, move->source, &from, err));
    TRY(sqlite_prepare(session, from->settings.fifo ? next_ordered : next_plain, &statement, err));
    struct sqlite_statement *at CLEANUP(sqlite_resetp) = statement;
    sqlite_bind_int(at, 1, from->id);
    if (from->settings.fifo) sqlite_bind_int(at, 2, (int64_t)session->now_ms);
    TRY(sqlite_step(at, ret_moved, err));
    if (!*ret_moved) return STATUS_OK;
    message_row_read(at, &row);
    TRY(find_destination(queues, session, move, &row, &to, err));
    if (to->settings.fifo != from->settings.fifo)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%s' and '%s' are not of the same kind: one is a FIFO queue", from->name,
                    to->name);
    return move_message(queues, session, from, to, &row, err);
}

/* `failure` is why the task ended, or NULL. */
static enum status move_write(struct database_session *session, const struct queue_move *move,
                              const char *failure, uint64_t due_ms, struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(
        session,
        "UPDATE message_move SET state = ?, failure = ?, moved = ?, due_ms = ? WHERE "
        "handle = ?",
        &statement, err));
    sqlite_bind_text(statement, 1, str_of(move->state));
    sqlite_bind_text(statement, 2, failure ? str_of(failure) : (struct str){0});
    sqlite_bind_int(statement, 3, (int64_t)move->moved);
    sqlite_bind_int(statement, 4, (int64_t)due_ms);
    sqlite_bind_text(statement, 5, move->handle);
    return sqlite_execute(statement, err);
}

/* As many as a step, or a second of the task's rate, allows. */
static enum status move_step(struct sqlite_queues *queues, struct database_session *session,
                             struct queue_move *move, bool *ret_more, struct error *err)
{
    uint32_t step = move->rate_max > 0 ? MIN(move->rate_max, (uint32_t)MOVE_STEP) : MOVE_STEP;
    uint64_t due = move->rate_max > 0 ? session->now_ms + 1000 * step / move->rate_max : 0;
    bool moved = true;
    struct error why;
    for (uint32_t i = 0; i < step && moved && move->moved < move->to_move; i++) {
        enum status status = move_next(queues, session, move, &moved, &why);
        if (status != STATUS_OK && session->dirty) return fail_again(err, &why);
        if (status != STATUS_OK) {
            move->state = "FAILED";
            return move_write(session, move, why.message, 0, err);
        }
        move->moved += moved;
    }
    if (!moved || move->moved >= move->to_move) move->state = "COMPLETED";
    *ret_more |= due == 0 && strcmp(move->state, "RUNNING") == 0;
    return move_write(session, move, NULL, due, err);
}

static enum status moves_continue(struct sqlite_queues *queues, struct database_session *session,
                                  bool *ret_more, struct error *err)
{
    struct arena arena CLEANUP(arena_clear);
    struct sqlite_statement *statement;
    struct queue_move move;
    bool found;
    arena_init(&arena, 1 << 20);
    TRY(sqlite_prepare(session,
                       "SELECT " MOVE_COLUMNS " FROM message_move WHERE state = 'RUNNING' AND "
                       "due_ms <= ? LIMIT 1",
                       &statement, err));
    struct sqlite_statement *at CLEANUP(sqlite_resetp) = statement;
    sqlite_bind_int(at, 1, (int64_t)session->now_ms);
    TRY(sqlite_step(at, &found, err));
    if (!found) return STATUS_OK;
    TRY(move_read(at, &arena, &move, err));
    sqlite_reset(at);
    return move_step(queues, session, &move, ret_more, err);
}

/* --- what is over -------------------------------------------------------------------------------
 */

static enum status delete_expired(struct database_session *session, const char *sql,
                                  uint32_t work_max, bool *ret_more, struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session, sql, &statement, err));
    sqlite_bind_int(statement, 1, (int64_t)session->now_ms);
    sqlite_bind_int(statement, 2, work_max);
    TRY(sqlite_execute(statement, err));
    *ret_more |= sqlite_changes(session) == (int64_t)work_max;
    return STATUS_OK;
}

/* A row that the sweep looks at: gone if its queue is, or its time is over. */
static enum status sweep_row(struct sqlite_queues *queues, struct database_session *session,
                             const struct message_row *row, int *deleted_count, struct error *err)
{
    struct queue_entry *entry;
    struct error missing;
    enum status status = entry_by_id(queues, session, row->queue, &entry, &missing);
    if (status == STATUS_NOT_FOUND) {
        struct queue_entry nobody = {.id = row->queue};
        list_init(&nobody.changed);
        TRY(message_delete(queues, session, &nobody, row, err));
        list_remove(&nobody.changed);
        (*deleted_count)++;
        return row->ordered ? group_refresh(session, &nobody, row->group, err) : STATUS_OK;
    }
    if (status != STATUS_OK) return fail_again(err, &missing);
    if (!message_is_expired(entry, row->sent_ms, session->now_ms)) return STATUS_OK;
    TRY(message_delete(queues, session, entry, row, err));
    (*deleted_count)++;
    return row->ordered ? group_refresh(session, entry, row->group, err) : STATUS_OK;
}

/* Goes through all messages again and again, a few rows at a time. */
static enum status sweep(struct sqlite_queues *queues, struct database_session *session,
                         bool *ret_more, struct error *err)
{
    struct sqlite_statement *statement;
    bool found = true;
    int deleted_count = 0;
    for (int i = 0; i < SWEEP_ROWS; i++) {
        TRY(sqlite_prepare(session,
                           "SELECT " MESSAGE_COLUMNS " FROM message WHERE sequence > ? ORDER BY "
                           "sequence LIMIT 1",
                           &statement, err));
        struct sqlite_statement *at CLEANUP(sqlite_resetp) = statement;
        sqlite_bind_int(at, 1, queues->sweep_from);
        TRY(sqlite_step(at, &found, err));
        queues->sweep_from = found ? sqlite_int(at, 0) : 0;
        if (!found) return STATUS_OK;
        struct message_row row;
        message_row_read(at, &row);
        TRY(sweep_row(queues, session, &row, &deleted_count, err));
    }
    *ret_more |= deleted_count >= SWEEP_BUSY;
    return STATUS_OK;
}

enum status sqlite_maintain(struct queue_store *base, struct database_session *session,
                            uint32_t work_max, bool *ret_more, struct error *err)
{
    struct sqlite_queues *queues = CONTAINER_OF(base, struct sqlite_queues, base);
    *ret_more = false;
    TRY(queues_enter(queues, session, err));
    TRY(moves_continue(queues, session, ret_more, err));
    TRY(delete_expired(
        session,
        "DELETE FROM deduplication WHERE (queue, scope, id) IN (SELECT queue, scope, "
        "id FROM deduplication WHERE expires_ms <= ? LIMIT ?)",
        work_max, ret_more, err));
    TRY(delete_expired(session,
                       "DELETE FROM receive_attempt WHERE (queue, id) IN (SELECT queue, id FROM "
                       "receive_attempt WHERE expires_ms <= ? LIMIT ?)",
                       work_max, ret_more, err));
    TRY(delete_expired(session,
                       "DELETE FROM deleted_queue WHERE name IN (SELECT name FROM deleted_queue "
                       "WHERE deleted_ms + 60000 <= ? LIMIT ?)",
                       work_max, ret_more, err));
    TRY(delete_expired(session,
                       "DELETE FROM message_move WHERE handle IN (SELECT handle FROM message_move "
                       "WHERE state <> 'RUNNING' AND started_ms + 1209600000 <= ? LIMIT ?)",
                       work_max, ret_more, err));
    return sweep(queues, session, ret_more, err);
}
