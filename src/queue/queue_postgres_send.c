/* Sending: deduplication and rows, all messages of a call in one statement. */
#include "base/hash.h"
#include "base/mem.h"
#include "queue/attributes.h"
#include "queue/queue_postgres_private.h"
#include "queue/rules.h"

/* The messages of one send that are to be stored, column by column. */
struct columns {
    size_t count;
    int64_t *places; /* in the call */
    struct str *ids, *bodies, *attributes, *groups, *scopes, *deduplications;
    int64_t *priorities, *hidden, *named;
    unsigned *stripes;
};

static enum status no_memory(struct error *err)
{
    return fail(err, STATUS_EXHAUSTED, "the messages to send do not fit the memory of a request");
}

static bool columns_init(struct columns *columns, struct arena *arena, size_t count)
{
    struct str **texts[] = {&columns->ids,    &columns->bodies, &columns->attributes,
                            &columns->groups, &columns->scopes, &columns->deduplications};
    int64_t **numbers[] = {&columns->places, &columns->priorities, &columns->hidden,
                           &columns->named};
    columns->count = 0;
    columns->stripes = ARENA_TRY_ARRAY(arena, unsigned, count);
    bool fits = columns->stripes != NULL;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        fits &= (*texts[i] = ARENA_TRY_ARRAY(arena, struct str, count)) != NULL;
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        fits &= (*numbers[i] = ARENA_TRY_ARRAY(arena, int64_t, count)) != NULL;
    return fits;
}

/* --- one message ------------------------------------------------------------------------------ */

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

static struct str make_id(const struct queue_new_message *message, struct arena *arena)
{
    char text[UUID_SIZE + 1];
    if (message->id.size > 0) return message->id;
    postgres_uuid(text);
    return arena_try_copy(arena, (struct str){text, UUID_SIZE});
}

static struct str make_deduplication(const struct queue_new_message *message, struct arena *arena)
{
    char hex[SHA256_HEX_SIZE];
    uint8_t digest[SHA256_SIZE];
    if (message->deduplication_id.size > 0) return message->deduplication_id;
    sha256_of(message->body, digest);
    sha256_hex(digest, hex);
    return arena_try_copy(arena, str_of(hex));
}

static struct str make_attributes(const struct queue_new_message *message, struct arena *arena)
{
    struct buffer out CLEANUP(buffer_clear);
    buffer_init(&out, 2 * (size_t)QUEUE_MESSAGE_SIZE_MAX);
    if (message->attribute_count == 0 && message->trace_header.size == 0) return STR_EMPTY;
    attributes_write(message->attributes, message->attribute_count, message->trace_header, &out);
    return buffer_failed(&out) ? (struct str){0} : arena_try_copy(arena, buffer_view(&out));
}

static bool columns_add(const struct operation *operation, struct columns *columns, size_t place)
{
    const struct queue_new_message *message = &operation->call->send.messages[place];
    const struct queue_settings *settings = &operation->entry->settings;
    struct arena *arena = operation->call->arena;
    uint64_t delay_ms = message->delay_ms >= 0 && !settings->fifo
                            ? (uint64_t)message->delay_ms
                            : settings->delay_s * UINT64_C(1000);
    size_t i = columns->count;
    struct str attributes = make_attributes(message, arena);
    columns->places[i] = (int64_t)place;
    columns->ids[i] = make_id(message, arena);
    columns->bodies[i] = message->body.data ? message->body : STR_EMPTY;
    columns->attributes[i] = text_or_null(attributes);
    columns->groups[i] = text_or_null(message->group);
    columns->scopes[i] = settings->deduplicate_by_group ? message->group : STR_EMPTY;
    columns->deduplications[i] = settings->fifo ? make_deduplication(message, arena)
                                                : text_or_null(message->deduplication_id);
    columns->priorities[i] = message->priority;
    columns->hidden[i] = delay_ms ? (int64_t)(operation->session->now_ms + delay_ms) : 0;
    columns->named[i] = message->id.size > 0;
    columns->stripes[i] = postgres_stripe(message->group);
    columns->count++;
    return attributes.data && columns->ids[i].data &&
           (!settings->fifo || columns->deduplications[i].data);
}

/* A message whose deduplication id comes earlier in the same call; SIZE_MAX if there is none. */
static size_t find_twin(const struct columns *columns, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (str_equal(columns->deduplications[i], columns->deduplications[j]) &&
            str_equal(columns->scopes[i], columns->scopes[j]))
            return j;
    return SIZE_MAX;
}

/* --- statements ------------------------------------------------------------------------------- */

static const char plain_sql[] =
    "INSERT INTO message(sequence, queue, state, ordered, named, priority, hidden_until, lease,"
    "   leased_ms, receive_count, first_received_ms, sent_ms, id, group_id, deduplication_id,"
    "   attributes, body)"
    " SELECT nextval('message_sequence'), $1::bigint, CASE WHEN hidden > 0 THEN 1 ELSE 0 END,"
    "   false, named <> 0, priority, hidden, 0, 0, 0, 0, $2::bigint, id, group_id, deduplication,"
    "   attributes, body"
    " FROM unnest($3::text[], $4::bytea[], $5::bytea[], $6::text[], $7::text[], $8::bigint[],"
    "   $9::bigint[], $10::bigint[])"
    "   AS w(id, body, attributes, group_id, deduplication, priority, hidden, named)"
    " RETURNING sequence";

static enum status insert_plain(struct operation *operation, const struct columns *columns,
                                struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    size_t count = columns->count;
    struct postgres_value values[] = {postgres_int(operation->entry->id),
                                      postgres_int((int64_t)operation->session->now_ms),
                                      postgres_texts(columns->ids, count),
                                      postgres_blobs(columns->bodies, count),
                                      postgres_blobs(columns->attributes, count),
                                      postgres_texts(columns->groups, count),
                                      postgres_texts(columns->deduplications, count),
                                      postgres_ints(columns->priorities, count),
                                      postgres_ints(columns->hidden, count),
                                      postgres_ints(columns->named, count)};
    operation->wrote = true;
    TRY(postgres_query(operation->session, plain_sql, values, COUNT_OF(values), &r, err));
    for (size_t i = 0; i < count; i++) {
        struct queue_sent *sent = &operation->call->send.sent[columns->places[i]];
        sent->id = columns->ids[i];
        sent->sequence = (uint64_t)postgres_int_at(r, (int)i, 0);
    }
    return STATUS_OK;
}

/*
 * Of those with a new deduplication id (or one whose time is over) the rows; of the others what was
 * sent before. `first` is the id's first in this call: an upsert may not touch a row twice.
 */
static const char ordered_sql[] =
    "WITH given AS MATERIALIZED (SELECT nextval('message_sequence') AS sequence, w.*"
    "   FROM unnest($3::text[], $4::bytea[], $5::bytea[], $6::text[], $7::text[], $8::bigint[],"
    "     $9::bigint[], $10::bigint[], $11::text[]) WITH ORDINALITY"
    "     AS w(id, body, attributes, group_id, deduplication, priority, hidden, named, scope,"
    "       place)),"
    " fresh AS (INSERT INTO deduplication AS d(queue, scope, id, message_id, sequence, expires_ms)"
    "   SELECT $1::bigint, scope, deduplication, id, sequence, $2::bigint + $12::bigint FROM given"
    "     WHERE named >= 0"
    "   ON CONFLICT (queue, scope, id) DO UPDATE SET message_id = excluded.message_id,"
    "     sequence = excluded.sequence, expires_ms = excluded.expires_ms"
    "     WHERE d.expires_ms <= $2::bigint"
    "   RETURNING sequence),"
    " put AS (INSERT INTO message(sequence, queue, state, ordered, named, priority, hidden_until,"
    "     lease, leased_ms, receive_count, first_received_ms, sent_ms, id, group_id,"
    "     deduplication_id, attributes, body)"
    "   SELECT sequence, $1::bigint, CASE WHEN hidden > 0 THEN 1 ELSE 0 END, true, named > 0,"
    "     priority, hidden, 0, 0, 0, 0, $2::bigint, id, group_id, deduplication, attributes, body"
    "   FROM given WHERE sequence IN (SELECT sequence FROM fresh))"
    " SELECT g.sequence, f.sequence IS NOT NULL, d.message_id, d.sequence"
    " FROM given g LEFT JOIN fresh f ON f.sequence = g.sequence"
    "   LEFT JOIN deduplication d ON f.sequence IS NULL AND d.queue = $1::bigint"
    "     AND d.scope = g.scope AND d.id = g.deduplication"
    " ORDER BY g.place";

static enum status read_sent(struct operation *operation, struct columns *columns,
                             const struct postgres_result *r, size_t i, struct error *err)
{
    struct queue_sent *sent = &operation->call->send.sent[columns->places[i]];
    int row = (int)i;
    sent->duplicate = postgres_int_at(r, row, 1) == 0;
    sent->sequence = (uint64_t)postgres_int_at(r, row, sent->duplicate ? 3 : 0);
    sent->id = columns->ids[i];
    if (!sent->duplicate) {
        postgres_group_changed(operation->transaction, operation->entry->id, columns->groups[i]);
        return STATUS_OK;
    }
    size_t twin = find_twin(columns, i);
    if (twin != SIZE_MAX) {
        const struct queue_sent *first = &operation->call->send.sent[columns->places[twin]];
        sent->id = first->id;
        sent->sequence = first->sequence;
        return STATUS_OK;
    }
    if (!postgres_is_null(r, row, 2)) {
        sent->id = arena_try_copy(operation->call->arena, postgres_text_at(r, row, 2));
        return sent->id.data ? STATUS_OK : no_memory(err);
    }
    /* Another transaction sent it while this statement ran: now it can be seen. */
    operation->session->busy = true;
    return fail(err, STATUS_ABORTED, "the same message is being sent elsewhere; try again");
}

static enum status insert_ordered(struct operation *operation, struct columns *columns,
                                  struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    size_t count = columns->count;
    for (size_t i = 0; i < count; i++)
        if (find_twin(columns, i) != SIZE_MAX) columns->named[i] = -1;
    struct postgres_value values[] = {postgres_int(operation->entry->id),
                                      postgres_int((int64_t)operation->session->now_ms),
                                      postgres_texts(columns->ids, count),
                                      postgres_blobs(columns->bodies, count),
                                      postgres_blobs(columns->attributes, count),
                                      postgres_texts(columns->groups, count),
                                      postgres_texts(columns->deduplications, count),
                                      postgres_ints(columns->priorities, count),
                                      postgres_ints(columns->hidden, count),
                                      postgres_ints(columns->named, count),
                                      postgres_texts(columns->scopes, count),
                                      postgres_int(QUEUE_DEDUPLICATION_MS)};
    operation->wrote = true;
    TRY(postgres_query(operation->session, ordered_sql, values, COUNT_OF(values), &r, err));
    for (size_t i = 0; i < count; i++) TRY(read_sent(operation, columns, r, i, err));
    return STATUS_OK;
}

/* --- the operation ---------------------------------------------------------------------------- */

static void count_sent(struct operation *operation, const struct columns *columns)
{
    int64_t added[MESSAGE_STATES] = {0};
    for (size_t i = 0; i < columns->count; i++)
        if (!operation->call->send.sent[columns->places[i]].duplicate)
            added[columns->hidden[i] > 0 ? MESSAGE_DELAYED : MESSAGE_READY]++;
    for (int state = 0; state < MESSAGE_STATES; state++)
        postgres_entry_count(operation->session, operation->entry->id, (enum message_state)state,
                             added[state]);
    /* A group says so itself when its row is written. */
    if (added[MESSAGE_READY] > 0 && !operation->entry->settings.fifo)
        postgres_queue_notify(operation->session, operation->entry);
}

enum status postgres_queue_send(struct operation *operation, struct error *err)
{
    struct queue_send *send = &operation->call->send;
    struct columns columns;
    if (!columns_init(&columns, operation->call->arena, send->count)) return no_memory(err);
    for (size_t i = 0; i < send->count; i++) {
        struct queue_sent *sent = &send->sent[i];
        *sent = (struct queue_sent){
            .reason = refusal(operation->entry, &send->messages[i], operation->call->arena)};
        if (sent->reason)
            sent->status = STATUS_INVALID_ARGUMENT;
        else if (!columns_add(operation, &columns, i))
            return no_memory(err);
    }
    if (columns.count == 0) return STATUS_OK;
    if (!operation->entry->settings.fifo)
        TRY(insert_plain(operation, &columns, err));
    else {
        TRY(postgres_stripes_lock(operation->transaction, operation->session, columns.stripes,
                                  columns.count, err));
        TRY(insert_ordered(operation, &columns, err));
    }
    count_sent(operation, &columns);
    return STATUS_OK;
}
