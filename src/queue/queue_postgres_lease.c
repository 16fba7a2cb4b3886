/* Leasing: what nobody else holds, by priority and arrival; of groups, the prefix. */
#include "base/mem.h"
#include "queue/attributes.h"
#include "queue/queue_postgres_private.h"
#include "queue/receipt.h"

enum {
    PROMOTE_MAX = 2048,    /* hidden messages made ready by one lease */
    PROMOTE_MS = 100,      /* while there is enough to lease, looked for no more often */
    GROUPS_PER_PAGE = 128, /* looked at by one lease of a FIFO queue, */
    GROUP_PAGES_MAX = 4,   /* so many times */
    GROUPS_AT_ONCE = 16,   /* locked together */
    COUNT_MS = 1000,       /* how old a count of what is in flight may be */
    COUNT_NEAR = 4 * QUEUE_LEASE_MAX,
};

/* One lease on its way. */
struct leasing {
    struct operation *operation;
    struct queue_lease *lease;
    uint64_t visible_ms; /* when what is leased comes back; now: stays visible */
    int64_t *chosen;     /* sequences, in the order they are told */
    int64_t *leases;     /* theirs from now on */
    size_t chosen_count;
    int64_t before[MESSAGE_STATES]; /* how many of them were in which state */
    int64_t gone[QUEUE_LEASE_MAX];  /* expired: to be deleted */
    size_t gone_count;
};

static enum status no_memory(struct error *err)
{
    return fail(err, STATUS_EXHAUSTED, "the received messages do not fit the memory of a request");
}

static bool wants_more(const struct leasing *leasing)
{
    return leasing->chosen_count < leasing->lease->count_max;
}

/* --- hidden ones whose time has come ------------------------------------------------------------
 */

static const char promote_sql[] =
    "WITH due AS MATERIALIZED (SELECT sequence, state FROM message WHERE queue = $1::bigint"
    "   AND state > 0 AND hidden_until <= $2::bigint ORDER BY hidden_until LIMIT $3::bigint"
    "   FOR UPDATE SKIP LOCKED),"
    " promoted AS (UPDATE message m SET state = 0, hidden_until = 0 FROM due"
    "   WHERE m.sequence = due.sequence RETURNING due.state)"
    " SELECT state, count(*) FROM promoted GROUP BY state";

static enum status promote_due(struct operation *operation, int64_t *ret_count, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    const struct queue_entry *entry = operation->entry;
    struct postgres_value values[] = {postgres_int(entry->id),
                                      postgres_int((int64_t)operation->session->now_ms),
                                      postgres_int(PROMOTE_MAX)};
    TRY(postgres_query(operation->session, promote_sql, values, COUNT_OF(values), &r, err));
    *ret_count = 0;
    for (int i = 0; i < postgres_rows(r); i++) {
        int64_t count = postgres_int_at(r, i, 1);
        *ret_count += count;
        postgres_entry_count(operation->session, entry->id,
                             (enum message_state)postgres_int_at(r, i, 0), -count);
        postgres_entry_count(operation->session, entry->id, MESSAGE_READY, count);
    }
    atomic_store(&recent_of(operation->queues, entry->id)->promoted_ms, operation->session->now_ms);
    return STATUS_OK;
}

static bool promotes_now(const struct operation *operation)
{
    uint64_t last = atomic_load(&recent_of(operation->queues, operation->entry->id)->promoted_ms);
    uint64_t now = operation->session->now_ms;
    return now < last || now - last >= PROMOTE_MS;
}

/* --- too many in flight -------------------------------------------------------------------------
 */

static enum status count_in_flight(struct operation *operation, int64_t *ret_count,
                                   struct error *err)
{
    struct recent *recent = recent_of(operation->queues, operation->entry->id);
    uint64_t now = operation->session->now_ms, last = atomic_load(&recent->counted_ms);
    char name[POSTGRES_COUNT_NAME_MAX + 1];
    *ret_count = atomic_load(&recent->in_flight);
    if (now >= last && now - last < COUNT_MS && *ret_count < QUEUE_IN_FLIGHT_MAX - COUNT_NEAR)
        return STATUS_OK;
    (void)snprintf(name, sizeof name, "queue.%lld.%d", (long long)operation->entry->id,
                   MESSAGE_IN_FLIGHT);
    TRY(postgres_count_read(operation->session, name, ret_count, err));
    atomic_store(&recent->in_flight, *ret_count);
    atomic_store(&recent->counted_ms, now);
    return STATUS_OK;
}

/* --- what is found ------------------------------------------------------------------------------
 */

/* A new receipt. One of a FIFO queue carries the stripe of its group: who has it can lock before he
 * looks. */
static void choose(struct leasing *leasing, const struct message_row *row)
{
    uint64_t lease = postgres_chance() >> 1;
    if (row->ordered) lease = (lease & ~(uint64_t)(STRIPES - 1)) | postgres_stripe(row->group);
    leasing->leases[leasing->chosen_count] = (int64_t)lease;
    leasing->chosen[leasing->chosen_count++] = row->sequence;
    leasing->before[row->state]++;
}

/* Expired ones are deleted, those whose receives are used up buried, the rest leased. */
static enum status judge(struct leasing *leasing, const struct message_row *row, struct error *err)
{
    struct operation *operation = leasing->operation;
    const struct queue_entry *entry = operation->entry;
    bool moved = false;
    if (message_is_expired(entry, row->sent_ms, operation->session->now_ms)) {
        if (leasing->gone_count < COUNT_OF(leasing->gone))
            leasing->gone[leasing->gone_count++] = row->sequence;
        return STATUS_OK;
    }
    uint32_t receives_max = entry->settings.max_receive_count;
    if (receives_max > 0 && row->receive_count >= receives_max)
        TRY(postgres_message_bury(operation, entry, row, &moved, err));
    operation->call->lease.dead_lettered += moved;
    if (!moved) choose(leasing, row);
    return STATUS_OK;
}

static enum status delete_gone(struct leasing *leasing, struct error *err)
{
    size_t count = leasing->gone_count;
    leasing->gone_count = 0;
    if (count == 0) return STATUS_OK;
    return postgres_messages_delete(leasing->operation, leasing->operation->entry->id,
                                    leasing->gone, count, err);
}

/* --- standard queues -------------------------------------------------------------------------- */

static const char ready_sql[] =
    "SELECT " MESSAGE_COLUMNS ", m.priority FROM message m WHERE m.queue = $1::bigint"
    " AND m.state = 0 AND NOT m.ordered AND (m.priority, m.sequence) > ($2::bigint, $3::bigint)"
    " ORDER BY m.priority, m.sequence LIMIT $4::bigint FOR UPDATE SKIP LOCKED";

/* What is buried or gone makes room for more: so the search moves on. */
static enum status choose_plain(struct leasing *leasing, struct error *err)
{
    struct operation *operation = leasing->operation;
    int64_t priority = 0, sequence = 0;
    while (wants_more(leasing)) {
        struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
        int64_t wanted = (int64_t)(leasing->lease->count_max - leasing->chosen_count);
        struct postgres_value values[] = {postgres_int(operation->entry->id),
                                          postgres_int(priority), postgres_int(sequence),
                                          postgres_int(wanted)};
        TRY(postgres_query(operation->session, ready_sql, values, COUNT_OF(values), &r, err));
        for (int i = 0; i < postgres_rows(r); i++) {
            struct message_row row;
            postgres_message_read(r, i, &row);
            priority = postgres_int_at(r, i, 11);
            sequence = row.sequence;
            TRY(judge(leasing, &row, err));
        }
        TRY(delete_gone(leasing, err));
        if (postgres_rows(r) < wanted) return STATUS_OK;
    }
    return STATUS_OK;
}

static enum status lease_plain(struct leasing *leasing, struct error *err)
{
    int64_t promoted = 0;
    bool looked = promotes_now(leasing->operation);
    if (looked) TRY(promote_due(leasing->operation, &promoted, err));
    TRY(choose_plain(leasing, err));
    if (!wants_more(leasing) || looked) return STATUS_OK;
    TRY(promote_due(leasing->operation, &promoted, err));
    return promoted > 0 ? choose_plain(leasing, err) : STATUS_OK;
}

/* --- FIFO queues ------------------------------------------------------------------------------ */

/* Groups that may have something, by readiness; a page of them, and those that are held of it. */
struct candidates {
    int64_t ready_ms, head; /* of the last of the page */
    struct str groups[GROUPS_PER_PAGE];
    size_t count;
    struct str held[GROUPS_PER_PAGE];
    size_t held_count;
};

static const char candidates_sql[] =
    "SELECT group_id, ready_ms, head FROM message_group WHERE queue = $1::bigint"
    " AND ready_ms <= $2::bigint AND (ready_ms, head) > ($3::bigint, $4::bigint)"
    " ORDER BY ready_ms, head LIMIT $5::bigint";

static enum status candidates_read(struct leasing *leasing, struct candidates *candidates,
                                   struct error *err)
{
    struct operation *operation = leasing->operation;
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value values[] = {
        postgres_int(operation->entry->id), postgres_int((int64_t)operation->session->now_ms),
        postgres_int(candidates->ready_ms), postgres_int(candidates->head),
        postgres_int(GROUPS_PER_PAGE)};
    TRY(postgres_query(operation->session, candidates_sql, values, COUNT_OF(values), &r, err));
    candidates->count = (size_t)postgres_rows(r);
    for (size_t i = 0; i < candidates->count; i++) {
        candidates->groups[i] =
            arena_try_copy(operation->call->arena, postgres_text_at(r, (int)i, 0));
        candidates->ready_ms = postgres_int_at(r, (int)i, 1);
        candidates->head = postgres_int_at(r, (int)i, 2);
        if (!candidates->groups[i].data) return no_memory(err);
    }
    return STATUS_OK;
}

/* Tries the stripes of no more groups than may be needed: others want the rest. */
static enum status candidates_hold(struct leasing *leasing, struct candidates *candidates,
                                   size_t first, size_t count, struct error *err)
{
    unsigned stripes[GROUPS_PER_PAGE];
    bool held[GROUPS_PER_PAGE];
    for (size_t i = 0; i < count; i++) stripes[i] = postgres_stripe(candidates->groups[first + i]);
    TRY(postgres_stripes_try(leasing->operation->transaction, leasing->operation->session, stripes,
                             count, held, err));
    candidates->held_count = 0;
    for (size_t i = 0; i < count; i++)
        if (held[i]) candidates->held[candidates->held_count++] = candidates->groups[first + i];
    return STATUS_OK;
}

static const char prefix_sql[] =
    "SELECT " MESSAGE_COLUMNS ", w.place FROM unnest($2::text[]) WITH ORDINALITY AS w(g, place)"
    " CROSS JOIN LATERAL (SELECT * FROM message x WHERE x.queue = $1::bigint AND x.group_id = w.g"
    "   AND x.ordered ORDER BY x.sequence LIMIT $3::bigint) AS m ORDER BY w.place, m.sequence";

/* Of each group what comes before its first hidden message, as far as there is room. */
static enum status choose_prefixes(struct leasing *leasing, const struct candidates *candidates,
                                   struct error *err)
{
    struct operation *operation = leasing->operation;
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value values[] = {
        postgres_int(operation->entry->id),
        postgres_texts(candidates->held, candidates->held_count),
        postgres_int((int64_t)(leasing->lease->count_max - leasing->chosen_count))};
    int64_t closed = 0; /* the group, by its place, that a hidden message closes */
    TRY(postgres_query(operation->session, prefix_sql, values, COUNT_OF(values), &r, err));
    for (int i = 0; i < postgres_rows(r) && wants_more(leasing); i++) {
        struct message_row row;
        int64_t place = postgres_int_at(r, i, 11);
        postgres_message_read(r, i, &row);
        if (row.hidden_until > operation->session->now_ms) closed = place;
        if (place == closed) continue;
        postgres_group_changed(operation->transaction, operation->entry->id, row.group);
        TRY(judge(leasing, &row, err));
    }
    return delete_gone(leasing, err);
}

/* A few groups at a time: most often the first of them fill the lease. */
static enum status lease_page(struct leasing *leasing, struct candidates *candidates,
                              struct error *err)
{
    for (size_t i = 0, count; i < candidates->count && wants_more(leasing); i += count) {
        count = MIN(leasing->lease->count_max - leasing->chosen_count, candidates->count - i);
        count = MIN(count, (size_t)GROUPS_AT_ONCE);
        TRY(candidates_hold(leasing, candidates, i, count, err));
        if (candidates->held_count > 0) TRY(choose_prefixes(leasing, candidates, err));
    }
    return STATUS_OK;
}

/*
 * Rows of groups say what they said when this transaction began: those that an earlier operation in
 * it has emptied or locked are passed over, since the messages themselves say so.
 */
static enum status lease_ordered(struct leasing *leasing, struct error *err)
{
    struct candidates *candidates =
        ARENA_TRY_ARRAY(leasing->operation->call->arena, struct candidates, 1);
    if (!candidates) return no_memory(err);
    candidates->ready_ms = -1;
    for (int page = 0; page < GROUP_PAGES_MAX && wants_more(leasing); page++) {
        TRY(candidates_read(leasing, candidates, err));
        TRY(lease_page(leasing, candidates, err));
        if (candidates->count < GROUPS_PER_PAGE) return STATUS_OK;
    }
    return STATUS_OK;
}

/* --- taking ------------------------------------------------------------------------------------
 */

static const char take_sql[] =
    "UPDATE message m SET state = $3::bigint, hidden_until = $4::bigint, leased_ms = $5::bigint,"
    "   lease = w.lease, receive_count = m.receive_count + 1,"
    "   first_received_ms = CASE WHEN m.first_received_ms = 0 THEN $5::bigint"
    "     ELSE m.first_received_ms END"
    " FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS w(sequence, lease, place)"
    " WHERE m.sequence = w.sequence"
    " RETURNING w.place, m.sequence, m.lease, m.sent_ms, m.first_received_ms, m.hidden_until,"
    "   m.receive_count, m.priority, m.id, m.group_id, m.deduplication_id, m.source,"
    "   m.attributes, m.body";

static bool copy(struct arena *arena, struct str from, struct str *to)
{
    *to = from.data ? arena_try_copy(arena, from) : STR_EMPTY;
    return to->data != NULL;
}

static enum status fill(struct leasing *leasing, const struct postgres_result *r, int row,
                        struct queue_message *message, struct error *err)
{
    struct arena *arena = leasing->operation->call->arena;
    char receipt[RECEIPT_TEXT_SIZE];
    struct str attributes;
    message->sequence = (uint64_t)postgres_int_at(r, row, 1);
    receipt_write(&(struct receipt){(uint64_t)leasing->operation->entry->id, message->sequence,
                                    (uint64_t)postgres_int_at(r, row, 2)},
                  receipt);
    message->sent_ms = (uint64_t)postgres_int_at(r, row, 3);
    message->first_received_ms = (uint64_t)postgres_int_at(r, row, 4);
    message->visible_ms = (uint64_t)postgres_int_at(r, row, 5);
    message->receive_count = (uint32_t)postgres_int_at(r, row, 6);
    message->priority = (uint32_t)postgres_int_at(r, row, 7);
    if (!copy(arena, postgres_text_at(r, row, 8), &message->id) ||
        !copy(arena, postgres_text_at(r, row, 9), &message->group) ||
        !copy(arena, postgres_text_at(r, row, 10), &message->deduplication_id) ||
        !copy(arena, postgres_text_at(r, row, 11), &message->dead_letter_source) ||
        !copy(arena, postgres_bytes_at(r, row, 12), &attributes) ||
        !copy(arena, postgres_bytes_at(r, row, 13), &message->body) ||
        !copy(arena, (struct str){receipt, sizeof receipt}, &message->receipt))
        return no_memory(err);
    return attributes_read(attributes, arena, &message->attributes, &message->attribute_count,
                           &message->trace_header, err);
}

/* UPDATE returns rows in any order; each has its place. */
static enum status fill_all(struct leasing *leasing, const struct postgres_result *r,
                            struct error *err)
{
    if ((size_t)postgres_rows(r) != leasing->chosen_count)
        return fail(err, STATUS_INTERNAL, "of %zu messages only %d could be leased",
                    leasing->chosen_count, postgres_rows(r));
    for (int row = 0; row < postgres_rows(r); row++) {
        size_t place = (size_t)postgres_int_at(r, row, 0) - 1;
        TRY(fill(leasing, r, row, &leasing->lease->messages[place], err));
    }
    leasing->lease->count = leasing->chosen_count;
    return STATUS_OK;
}

/* A count more, hidden unless the visibility is 0. */
static enum status take(struct leasing *leasing, struct error *err)
{
    struct operation *operation = leasing->operation;
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    size_t count = leasing->chosen_count;
    uint64_t now = operation->session->now_ms;
    bool hides = leasing->visible_ms > now;
    enum message_state after = hides ? MESSAGE_IN_FLIGHT : MESSAGE_READY;
    struct postgres_value values[] = {postgres_ints(leasing->chosen, count),
                                      postgres_ints(leasing->leases, count), postgres_int(after),
                                      postgres_int(hides ? (int64_t)leasing->visible_ms : 0),
                                      postgres_int((int64_t)now)};
    if (count == 0) return STATUS_OK;
    operation->wrote = true;
    TRY(postgres_query(operation->session, take_sql, values, COUNT_OF(values), &r, err));
    for (int state = 0; state < MESSAGE_STATES; state++)
        postgres_entry_count(operation->session, operation->entry->id, (enum message_state)state,
                             -leasing->before[state]);
    postgres_entry_count(operation->session, operation->entry->id, after, (int64_t)count);
    if (hides)
        atomic_fetch_add(&recent_of(operation->queues, operation->entry->id)->in_flight,
                         (int64_t)count);
    return fill_all(leasing, r, err);
}

/* --- attempts: the same receive again -----------------------------------------------------------
 */

static enum status note_attempt(struct leasing *leasing, struct error *err)
{
    struct operation *operation = leasing->operation;
    size_t count = leasing->chosen_count;
    struct postgres_value values[] = {
        postgres_int(operation->entry->id), postgres_text_value(leasing->lease->attempt_id),
        postgres_int((int64_t)(operation->session->now_ms + QUEUE_DEDUPLICATION_MS)),
        postgres_ints(leasing->chosen, count), postgres_ints(leasing->leases, count)};
    return postgres_execute(operation->session,
                            "INSERT INTO receive_attempt AS a VALUES($1::bigint, $2::text,"
                            " $3::bigint, $4::bigint[], $5::bigint[])"
                            " ON CONFLICT (queue, id) DO UPDATE SET"
                            " expires_ms = excluded.expires_ms, sequences = excluded.sequences,"
                            " leases = excluded.leases",
                            values, COUNT_OF(values), NULL, err);
}

/* The messages of the attempt and whether it still holds them, in its order. */
static enum status find_attempt(struct leasing *leasing, struct postgres_result **ret_result,
                                struct error *err)
{
    struct operation *operation = leasing->operation;
    struct postgres_value values[] = {
        postgres_int(operation->entry->id), postgres_text_value(leasing->lease->attempt_id),
        postgres_int((int64_t)operation->session->now_ms), postgres_int(leasing->lease->count_max)};
    return postgres_query(operation->session,
                          "SELECT w.sequence, w.lease, m.lease = w.lease AND m.hidden_until >"
                          "   $3::bigint AND m.queue = $1::bigint, m.group_id"
                          " FROM receive_attempt a CROSS JOIN LATERAL"
                          "   unnest(a.sequences, a.leases) WITH ORDINALITY"
                          "   AS w(sequence, lease, place)"
                          " LEFT JOIN message m ON m.sequence = w.sequence"
                          " WHERE a.queue = $1::bigint AND a.id = $2::text"
                          "   AND a.expires_ms > $3::bigint AND w.place <= $4::bigint"
                          " ORDER BY w.place",
                          values, COUNT_OF(values), ret_result, err);
}

/* The stripes of what the attempt holds are in its leases. */
static enum status lock_attempt(struct leasing *leasing, const struct postgres_result *r,
                                struct error *err)
{
    struct operation *operation = leasing->operation;
    size_t count = (size_t)postgres_rows(r);
    unsigned *stripes = ARENA_TRY_ARRAY(operation->call->arena, unsigned, MAX(count, (size_t)1));
    if (!stripes) return no_memory(err);
    for (size_t i = 0; i < count; i++)
        stripes[i] = (unsigned)(postgres_int_at(r, (int)i, 1) & (STRIPES - 1));
    return postgres_stripes_lock(operation->transaction, operation->session, stripes, count, err);
}

static const char replay_sql[] =
    "UPDATE message m SET hidden_until = $3::bigint"
    " FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS w(sequence, lease, place)"
    " WHERE m.sequence = w.sequence AND m.lease = w.lease"
    " RETURNING w.place, m.sequence, m.lease, m.sent_ms, m.first_received_ms, m.hidden_until,"
    "   m.receive_count, m.priority, m.id, m.group_id, m.deduplication_id, m.source,"
    "   m.attributes, m.body";

/* Hides them again, for as long as the repeated receive asks. */
static enum status replay_all(struct leasing *leasing, const struct postgres_result *found,
                              struct error *err)
{
    struct operation *operation = leasing->operation;
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    for (int i = 0; i < postgres_rows(found); i++) {
        leasing->chosen[i] = postgres_int_at(found, i, 0);
        leasing->leases[i] = postgres_int_at(found, i, 1);
        postgres_group_changed(operation->transaction, operation->entry->id,
                               postgres_text_at(found, i, 3));
    }
    leasing->chosen_count = (size_t)postgres_rows(found);
    struct postgres_value values[] = {postgres_ints(leasing->chosen, leasing->chosen_count),
                                      postgres_ints(leasing->leases, leasing->chosen_count),
                                      postgres_int((int64_t)leasing->visible_ms)};
    operation->wrote = true;
    TRY(postgres_query(operation->session, replay_sql, values, COUNT_OF(values), &r, err));
    return fill_all(leasing, r, err);
}

/* The set that this attempt got before; none if anything of it has changed since. */
static enum status replay(struct leasing *leasing, struct error *err)
{
    struct postgres_result *seen CLEANUP(postgres_result_freep) = NULL;
    struct postgres_result *found CLEANUP(postgres_result_freep) = NULL;
    TRY(find_attempt(leasing, &seen, err));
    if (postgres_rows(seen) == 0) return STATUS_OK;
    TRY(lock_attempt(leasing, seen, err));
    TRY(find_attempt(leasing, &found, err));
    for (int i = 0; i < postgres_rows(found); i++)
        if (postgres_int_at(found, i, 2) == 0) return STATUS_OK;
    return postgres_rows(found) > 0 ? replay_all(leasing, found, err) : STATUS_OK;
}

/* --- the operation ---------------------------------------------------------------------------- */

static enum status lease_new(struct leasing *leasing, struct error *err)
{
    bool fifo = leasing->operation->entry->settings.fifo;
    int64_t in_flight;
    TRY(count_in_flight(leasing->operation, &in_flight, err));
    if (in_flight >= QUEUE_IN_FLIGHT_MAX) return STATUS_OK;
    TRY(fifo ? lease_ordered(leasing, err) : lease_plain(leasing, err));
    TRY(take(leasing, err));
    if (!fifo || leasing->lease->attempt_id.size == 0 || leasing->chosen_count == 0)
        return STATUS_OK;
    return note_attempt(leasing, err);
}

static enum status make_room(struct leasing *leasing, struct error *err)
{
    struct arena *arena = leasing->operation->call->arena;
    struct queue_lease *lease = leasing->lease;
    /* A long poll looks more than once. */
    if (!lease->messages)
        lease->messages = ARENA_TRY_ARRAY(arena, struct queue_message, lease->count_max);
    leasing->chosen = ARENA_TRY_ARRAY(arena, int64_t, lease->count_max);
    leasing->leases = ARENA_TRY_ARRAY(arena, int64_t, lease->count_max);
    return lease->messages && leasing->chosen && leasing->leases ? STATUS_OK : no_memory(err);
}

enum status postgres_queue_lease(struct operation *operation, struct error *err)
{
    struct leasing leasing = {.operation = operation, .lease = &operation->call->lease};
    const struct queue_settings *settings = &operation->entry->settings;
    struct queue_lease *lease = leasing.lease;
    lease->count = 0;
    if (lease->wait_ms < 0) lease->wait_ms = (int64_t)settings->wait_s * 1000;
    TRY(make_room(&leasing, err));
    leasing.visible_ms = operation->session->now_ms +
                         (lease->visibility_ms >= 0 ? (uint64_t)lease->visibility_ms
                                                    : settings->visibility_s * UINT64_C(1000));
    if (settings->fifo && lease->attempt_id.size > 0) TRY(replay(&leasing, err));
    return lease->count > 0 ? STATUS_OK : lease_new(&leasing, err);
}
