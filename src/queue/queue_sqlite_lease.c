/* Leasing: ready messages by priority and arrival, groups by their heads. */
#include "queue/attributes.h"
#include "queue/queue_sqlite_private.h"
#include "queue/receipt.h"

enum {
    PROMOTE_MAX = 2048,        /* hidden messages made ready by one lease */
    GROUPS_PER_LEASE_MAX = 64, /* looked at by one lease of a FIFO queue */
};

/* One lease on its way. */
struct leasing {
    struct sqlite_queues *queues;
    struct database_session *session;
    struct queue_entry *entry;
    struct queue_call *call;
    uint64_t visible_ms; /* when what is leased comes back; now: stays visible */
};

static enum status no_memory(struct error *err)
{
    return fail(err, STATUS_EXHAUSTED, "the received messages do not fit the memory of a request");
}

/* --- hidden ones whose time has come ------------------------------------------------------------
 */

static enum status next_hidden(struct database_session *session, struct queue_entry *entry,
                               struct message_row *row, bool *ret_found, struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session,
                       "SELECT " MESSAGE_COLUMNS " FROM message WHERE queue = ? AND state > 0 "
                       "ORDER BY hidden_until LIMIT 1",
                       &statement, err));
    sqlite_bind_int(statement, 1, entry->id);
    TRY(sqlite_step(statement, ret_found, err));
    if (*ret_found) message_row_read(statement, row); /* its numbers only: reset forgets the rest */
    sqlite_reset(statement);
    return STATUS_OK;
}

static enum status make_ready(struct sqlite_queues *queues, struct database_session *session,
                              struct queue_entry *entry, const struct message_row *row,
                              struct error *err)
{
    struct sqlite_statement *statement;
    TRY(sqlite_prepare(session, "UPDATE message SET state = 0, hidden_until = 0 WHERE sequence = ?",
                       &statement, err));
    sqlite_bind_int(statement, 1, row->sequence);
    TRY(sqlite_execute(statement, err));
    entry_count(queues, entry, row->state, -1);
    entry_count(queues, entry, MESSAGE_READY, 1);
    return STATUS_OK;
}

enum status promote_due(struct sqlite_queues *queues, struct database_session *session,
                        struct queue_entry *entry, uint32_t count_max, struct error *err)
{
    struct message_row row;
    bool found = true;
    if (session->now_ms < entry->due_ms) return STATUS_OK;
    for (uint32_t i = 0; i < count_max; i++) {
        TRY(next_hidden(session, entry, &row, &found, err));
        entry->due_ms = found ? row.hidden_until : UINT64_MAX;
        if (session->now_ms < entry->due_ms) break;
        TRY(make_ready(queues, session, entry, &row, err));
    }
    return STATUS_OK;
}

/* --- one message ------------------------------------------------------------------------------ */

static enum status read_body(struct database_session *session, const struct message_row *row,
                             struct arena *arena, struct str *ret_body, struct error *err)
{
    struct sqlite_statement *statement;
    bool found;
    if (row->body.data) {
        *ret_body = arena_try_copy(arena, row->body);
        return ret_body->data ? STATUS_OK : no_memory(err);
    }
    TRY(sqlite_prepare(session, "SELECT body FROM message_body WHERE key = ?", &statement, err));
    sqlite_bind_int(statement, 1, row->body_key);
    TRY(sqlite_step(statement, &found, err));
    if (!found) return fail(err, STATUS_DATA_LOSS, "a stored message has lost its body");
    *ret_body = arena_try_copy(arena, sqlite_blob(statement, 0));
    sqlite_reset(statement);
    return ret_body->data ? STATUS_OK : no_memory(err);
}

static bool copy(struct arena *arena, struct str from, struct str *to)
{
    *to = from.data ? arena_try_copy(arena, from) : STR_EMPTY;
    return to->data != NULL;
}

/* The caller's view of a row: copied, since the row ends with its statement. */
static enum status fill(struct leasing *leasing, const struct message_row *row,
                        struct queue_message *message, struct error *err)
{
    struct arena *arena = leasing->call->arena;
    char receipt[RECEIPT_TEXT_SIZE];
    struct str attributes;
    receipt_write(&(struct receipt){(uint64_t)row->queue, (uint64_t)row->sequence, row->lease},
                  receipt);
    if (!copy(arena, row->id, &message->id) || !copy(arena, row->group, &message->group) ||
        !copy(arena, row->deduplication_id, &message->deduplication_id) ||
        !copy(arena, row->source, &message->dead_letter_source) ||
        !copy(arena, row->attributes, &attributes) ||
        !copy(arena, (struct str){receipt, sizeof receipt}, &message->receipt))
        return no_memory(err);
    message->sequence = (uint64_t)row->sequence;
    message->sent_ms = row->sent_ms;
    message->first_received_ms = row->first_received_ms;
    message->visible_ms = row->hidden_until;
    message->receive_count = row->receive_count;
    message->priority = (uint32_t)row->priority;
    TRY(attributes_read(attributes, arena, &message->attributes, &message->attribute_count,
                        &message->trace_header, err));
    return read_body(leasing->session, row, arena, &message->body, err);
}

/* Takes the message: a new receipt, a count more, hidden unless the visibility is 0. */
static enum status take(struct leasing *leasing, struct message_row *row, struct error *err)
{
    uint64_t now = leasing->session->now_ms;
    bool hides = leasing->visible_ms > now;
    struct sqlite_statement *statement;
    enum message_state before = row->state;
    row->state = hides ? MESSAGE_IN_FLIGHT : MESSAGE_READY;
    row->hidden_until = hides ? leasing->visible_ms : 0;
    row->lease = prng_u64(&leasing->queues->prng) >> 1; /* SQLite's integers are signed */
    row->receive_count++;
    if (row->first_received_ms == 0) row->first_received_ms = now;
    TRY(sqlite_prepare(leasing->session,
                       "UPDATE message SET state = ?, hidden_until = ?, lease = ?, leased_ms = ?, "
                       "receive_count = ?, first_received_ms = ? WHERE sequence = ?",
                       &statement, err));
    sqlite_bind_int(statement, 1, row->state);
    sqlite_bind_int(statement, 2, (int64_t)row->hidden_until);
    sqlite_bind_int(statement, 3, (int64_t)row->lease);
    sqlite_bind_int(statement, 4, (int64_t)now);
    sqlite_bind_int(statement, 5, row->receive_count);
    sqlite_bind_int(statement, 6, (int64_t)row->first_received_ms);
    sqlite_bind_int(statement, 7, row->sequence);
    TRY(sqlite_execute(statement, err));
    entry_count(leasing->queues, leasing->entry, before, -1);
    entry_count(leasing->queues, leasing->entry, row->state, 1);
    if (hides) leasing->entry->due_ms = MIN(leasing->entry->due_ms, row->hidden_until);
    return STATUS_OK;
}

/*
 * Decides what becomes of a message that could be leased: expired ones are deleted, those whose
 * receives are used up buried, the rest leased. `statement` is at the row, and reset afterwards.
 */
static enum status deliver(struct leasing *leasing, struct sqlite_statement *statement,
                           struct error *err)
{
    struct sqlite_statement *at CLEANUP(sqlite_resetp) = statement;
    struct queue_entry *entry = leasing->entry;
    struct message_row row;
    bool moved = false;
    message_row_read(at, &row);
    if (message_is_expired(entry, row.sent_ms, leasing->session->now_ms))
        return message_delete(leasing->queues, leasing->session, entry, &row, err);
    uint32_t receives_max = entry->settings.max_receive_count;
    if (receives_max > 0 && row.receive_count >= receives_max)
        TRY(message_bury(leasing->queues, leasing->session, entry, &row, &moved, err));
    leasing->call->lease.dead_lettered += moved;
    if (moved) return STATUS_OK;
    TRY(take(leasing, &row, err));
    struct queue_lease *lease = &leasing->call->lease;
    TRY(fill(leasing, &row, &lease->messages[lease->count], err));
    lease->count++;
    return STATUS_OK;
}

/* --- standard queues -------------------------------------------------------------------------- */

/*
 * The next ready one behind (priority, sequence). With a visibility time-out what is taken leaves
 * the index, but a visibility of 0 leaves it there: so the search moves on in any case.
 */
static enum status lease_plain(struct leasing *leasing, struct error *err)
{
    struct sqlite_statement *statement;
    int64_t priority = 0, sequence = 0;
    while (leasing->call->lease.count < leasing->call->lease.count_max) {
        bool found;
        TRY(sqlite_prepare(leasing->session,
                           "SELECT " MESSAGE_COLUMNS " FROM message WHERE queue = ? AND state = 0 "
                           "AND ordered = 0 AND (priority, sequence) > (?, ?) ORDER BY priority, "
                           "sequence LIMIT 1",
                           &statement, err));
        sqlite_bind_int(statement, 1, leasing->entry->id);
        sqlite_bind_int(statement, 2, priority);
        sqlite_bind_int(statement, 3, sequence);
        TRY(sqlite_step(statement, &found, err));
        if (!found) return STATUS_OK;
        sequence = sqlite_int(statement, 0);
        priority = sqlite_int(statement, 4);
        TRY(deliver(leasing, statement, err));
    }
    return STATUS_OK;
}

/* --- FIFO queues ------------------------------------------------------------------------------ */

/* The group's messages in order, up to the first that is hidden. */
static enum status lease_group(struct leasing *leasing, struct str group, struct error *err)
{
    struct queue_lease *lease = &leasing->call->lease;
    struct sqlite_statement *statement;
    int64_t sequence = 0;
    while (lease->count < lease->count_max) {
        bool found;
        TRY(sqlite_prepare(leasing->session,
                           "SELECT " MESSAGE_COLUMNS " FROM message WHERE queue = ? AND group_id = "
                           "? AND ordered = 1 AND sequence > ? ORDER BY sequence LIMIT 1",
                           &statement, err));
        sqlite_bind_int(statement, 1, leasing->entry->id);
        sqlite_bind_text(statement, 2, group);
        sqlite_bind_int(statement, 3, sequence);
        TRY(sqlite_step(statement, &found, err));
        if (!found) break;
        bool hidden = (uint64_t)sqlite_int(statement, 5) > leasing->session->now_ms;
        sequence = sqlite_int(statement, 0);
        if (hidden) {
            sqlite_reset(statement);
            break;
        }
        TRY(deliver(leasing, statement, err));
    }
    return group_refresh(leasing->session, leasing->entry, group, err);
}

static enum status lease_ordered(struct leasing *leasing, struct error *err)
{
    struct queue_lease *lease = &leasing->call->lease;
    struct sqlite_statement *statement;
    int64_t ready_ms = -1, head = 0;
    for (int i = 0; i < GROUPS_PER_LEASE_MAX && lease->count < lease->count_max; i++) {
        bool found;
        TRY(sqlite_prepare(
            leasing->session,
            "SELECT group_id, ready_ms, head FROM message_group WHERE queue = ?1 AND "
            "ready_ms <= ?2 AND (ready_ms, head) > (?3, ?4) ORDER BY ready_ms, head "
            "LIMIT 1",
            &statement, err));
        sqlite_bind_int(statement, 1, leasing->entry->id);
        sqlite_bind_int(statement, 2, (int64_t)leasing->session->now_ms);
        sqlite_bind_int(statement, 3, ready_ms);
        sqlite_bind_int(statement, 4, head);
        TRY(sqlite_step(statement, &found, err));
        if (!found) return STATUS_OK;
        struct str group = arena_try_copy(leasing->call->arena, sqlite_text(statement, 0));
        ready_ms = sqlite_int(statement, 1);
        head = sqlite_int(statement, 2);
        sqlite_reset(statement);
        if (!group.data) return no_memory(err);
        TRY(lease_group(leasing, group, err));
    }
    return STATUS_OK;
}

/* --- attempts: the same receive again -----------------------------------------------------------
 */

static enum status note_attempt(struct leasing *leasing, struct error *err)
{
    const struct queue_lease *lease = &leasing->call->lease;
    struct sqlite_statement *statement;
    struct receipt *leases = arena_try_zeroed(leasing->call->arena, lease->count, sizeof *leases);
    if (!leases) return no_memory(err);
    for (size_t i = 0; i < lease->count; i++)
        if (!receipt_read(lease->messages[i].receipt, &leases[i])) return no_memory(err);
    TRY(sqlite_prepare(leasing->session,
                       "INSERT OR REPLACE INTO receive_attempt VALUES(?, ?, ?, ?)", &statement,
                       err));
    sqlite_bind_int(statement, 1, leasing->entry->id);
    sqlite_bind_text(statement, 2, lease->attempt_id);
    sqlite_bind_int(statement, 3, (int64_t)(leasing->session->now_ms + QUEUE_DEDUPLICATION_MS));
    sqlite_bind_blob(statement, 4,
                     (struct str){(const char *)leases, lease->count * sizeof *leases});
    return sqlite_execute(statement, err);
}

/* Finds the message again if it is still held by that receive, and hides it for as long as the
 * repeated receive asks. */
static enum status replay_one(struct leasing *leasing, const struct receipt *receipt,
                              bool *ret_held, struct error *err)
{
    struct sqlite_statement *statement;
    struct queue_lease *lease = &leasing->call->lease;
    struct message_row row;
    TRY(sqlite_prepare(leasing->session,
                       "SELECT " MESSAGE_COLUMNS " FROM message WHERE sequence = ? AND lease = ? "
                       "AND hidden_until > ?",
                       &statement, err));
    struct sqlite_statement *at CLEANUP(sqlite_resetp) = statement;
    sqlite_bind_int(statement, 1, (int64_t)receipt->sequence);
    sqlite_bind_int(statement, 2, (int64_t)receipt->lease);
    sqlite_bind_int(statement, 3, (int64_t)leasing->session->now_ms);
    TRY(sqlite_step(at, ret_held, err));
    if (!*ret_held) return STATUS_OK;
    message_row_read(at, &row);
    row.hidden_until = leasing->visible_ms;
    TRY(fill(leasing, &row, &lease->messages[lease->count], err));
    lease->count++;
    struct sqlite_statement *update;
    TRY(sqlite_prepare(leasing->session, "UPDATE message SET hidden_until = ? WHERE sequence = ?",
                       &update, err));
    sqlite_bind_int(update, 1, (int64_t)leasing->visible_ms);
    sqlite_bind_int(update, 2, row.sequence);
    TRY(sqlite_execute(update, err));
    return group_refresh(leasing->session, leasing->entry, row.group, err);
}

/* The set that this attempt got before; none if anything of it has changed since. */
static enum status replay(struct leasing *leasing, struct error *err)
{
    struct sqlite_statement *statement;
    struct queue_lease *lease = &leasing->call->lease;
    bool found, held = true;
    TRY(sqlite_prepare(leasing->session,
                       "SELECT leases FROM receive_attempt WHERE queue = ? AND id = ? AND "
                       "expires_ms > ?",
                       &statement, err));
    sqlite_bind_int(statement, 1, leasing->entry->id);
    sqlite_bind_text(statement, 2, lease->attempt_id);
    sqlite_bind_int(statement, 3, (int64_t)leasing->session->now_ms);
    TRY(sqlite_step(statement, &found, err));
    if (!found) return STATUS_OK;
    struct str bytes = arena_try_copy(leasing->call->arena, sqlite_blob(statement, 0));
    sqlite_reset(statement);
    if (!bytes.data) return no_memory(err);
    size_t count = MIN(bytes.size / sizeof(struct receipt), (size_t)lease->count_max);
    for (size_t i = 0; i < count && held; i++) {
        struct receipt receipt;
        memcpy(&receipt, bytes.data + i * sizeof receipt, sizeof receipt);
        TRY(replay_one(leasing, &receipt, &held, err));
    }
    if (!held) lease->count = 0;
    return STATUS_OK;
}

/* --- the operation ---------------------------------------------------------------------------- */

static enum status lease_new(struct leasing *leasing, struct error *err)
{
    struct queue_lease *lease = &leasing->call->lease;
    TRY(promote_due(leasing->queues, leasing->session, leasing->entry, PROMOTE_MAX, err));
    if (leasing->entry->counts[MESSAGE_IN_FLIGHT] >= QUEUE_IN_FLIGHT_MAX) return STATUS_OK;
    TRY(leasing->entry->settings.fifo ? lease_ordered(leasing, err) : lease_plain(leasing, err));
    if (lease->attempt_id.size == 0 || lease->count == 0 || !leasing->entry->settings.fifo)
        return STATUS_OK;
    return note_attempt(leasing, err);
}

enum status sqlite_lease(struct sqlite_queues *queues, struct database_session *session,
                         struct queue_call *call, struct error *err)
{
    struct leasing leasing = {.queues = queues, .session = session, .call = call};
    struct queue_lease *lease = &call->lease;
    TRY(entry_find(queues, session, call->queue, &leasing.entry, err));
    lease->count = 0;
    if (lease->wait_ms < 0) lease->wait_ms = (int64_t)leasing.entry->settings.wait_s * 1000;
    /* A long poll looks more than once. */
    if (!lease->messages)
        lease->messages = arena_try_zeroed(call->arena, lease->count_max, sizeof *lease->messages);
    if (!lease->messages) return no_memory(err);
    leasing.visible_ms =
        session->now_ms + (lease->visibility_ms >= 0
                               ? (uint64_t)lease->visibility_ms
                               : (uint64_t)leasing.entry->settings.visibility_s * 1000);
    if (lease->attempt_id.size > 0 && leasing.entry->settings.fifo) TRY(replay(&leasing, err));
    return lease->count > 0 ? STATUS_OK : lease_new(&leasing, err);
}
