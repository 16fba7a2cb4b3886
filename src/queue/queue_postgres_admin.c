/* Queues as such: made, changed, described, listed, emptied, deleted. */
#include "base/mem.h"
#include "queue/attributes.h"
#include "queue/queue_postgres_private.h"
#include "queue/rules.h"

enum { REUSE_MS = 60 * 1000, PURGE_MS = 60 * 1000, SETTINGS_COUNT = 13 };

static enum status no_memory(struct error *err)
{
    return fail(err, STATUS_EXHAUSTED, "the answer does not fit the memory of a request");
}

static enum status no_queue(struct error *err)
{
    return fail(err, STATUS_NOT_FOUND, "The specified queue does not exist.");
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

static enum status describe_row(const struct postgres_result *r, int row, struct arena *arena,
                                struct queue_description *description, struct error *err)
{
    struct queue_settings *settings = &description->settings;
    struct str tags, trace, dead = postgres_text_at(r, row, 11);
    struct queue_attribute *list;
    *settings = (struct queue_settings){
        .fifo = postgres_int_at(r, row, 1) != 0,
        .content_based_deduplication = postgres_int_at(r, row, 2) != 0,
        .deduplicate_by_group = postgres_int_at(r, row, 3) != 0,
        .throughput_per_group = postgres_int_at(r, row, 4) != 0,
        .visibility_s = (uint32_t)postgres_int_at(r, row, 5),
        .delay_s = (uint32_t)postgres_int_at(r, row, 6),
        .retention_s = (uint32_t)postgres_int_at(r, row, 7),
        .wait_s = (uint32_t)postgres_int_at(r, row, 8),
        .message_size_max = (uint32_t)postgres_int_at(r, row, 9),
        .max_receive_count = (uint32_t)postgres_int_at(r, row, 10),
    };
    memcpy(settings->dead_letter, dead.data, MIN(dead.size, (size_t)QUEUE_NAME_MAX));
    if (!copy(arena, postgres_text_at(r, row, 0), &description->name) ||
        !copy(arena, postgres_bytes_at(r, row, 12), &settings->redrive_allow) ||
        !copy(arena, postgres_bytes_at(r, row, 13), &settings->other) ||
        !copy(arena, postgres_bytes_at(r, row, 14), &tags))
        return no_memory(err);
    TRY(attributes_read(tags, arena, &list, &description->tag_count, &trace, err));
    description->tags = list;
    description->created_ms = (uint64_t)postgres_int_at(r, row, 15);
    description->modified_ms = (uint64_t)postgres_int_at(r, row, 16);
    return STATUS_OK;
}

static enum status find_description(struct operation *operation,
                                    struct queue_description *description, bool *ret_found,
                                    struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value value = postgres_text_value(operation->call->queue);
    TRY(postgres_query(operation->session,
                       "SELECT " DESCRIPTION_COLUMNS " FROM queue WHERE name = $1::text", &value, 1,
                       &r, err));
    *ret_found = postgres_rows(r) > 0;
    return *ret_found ? describe_row(r, 0, operation->call->arena, description, err) : STATUS_OK;
}

enum status postgres_queue_describe(struct operation *operation, struct error *err)
{
    bool found;
    TRY(find_description(operation, &operation->call->description, &found, err));
    return found ? STATUS_OK : no_queue(err);
}

static struct str text_or_empty(struct str text)
{
    return text.data ? text : STR_EMPTY;
}

enum status postgres_queue_list(struct operation *operation, struct error *err)
{
    struct queue_page *page = &operation->call->page;
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value values[] = {postgres_text_value(text_or_empty(page->after)),
                                      postgres_text_value(text_or_empty(page->dead_letter)),
                                      postgres_text_value(text_or_empty(page->prefix)),
                                      postgres_int((int64_t)page->count_max + 1)};
    page->queues =
        ARENA_TRY_ARRAY(operation->call->arena, struct queue_description, page->count_max);
    if (!page->queues) return no_memory(err);
    TRY(postgres_query(operation->session,
                       "SELECT " DESCRIPTION_COLUMNS " FROM queue"
                       " WHERE name COLLATE \"C\" > $1::text"
                       "   AND ($2::text = '' OR dead_letter = $2::text)"
                       "   AND left(name, length($3::text)) = $3::text"
                       " ORDER BY name COLLATE \"C\" LIMIT $4::bigint",
                       values, COUNT_OF(values), &r, err));
    page->count = MIN((size_t)postgres_rows(r), (size_t)page->count_max);
    page->more = (size_t)postgres_rows(r) > page->count;
    for (size_t i = 0; i < page->count; i++)
        TRY(describe_row(r, (int)i, operation->call->arena, &page->queues[i], err));
    return STATUS_OK;
}

/* --- making and changing ------------------------------------------------------------------------
 */

static void set_settings(struct postgres_value values[SETTINGS_COUNT],
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
    _Static_assert(COUNT_OF(numbers) + 3 == SETTINGS_COUNT, "and three texts");
    size_t next = 0;
    for (; next < COUNT_OF(numbers); next++) values[next] = postgres_int(numbers[next]);
    values[next++] = postgres_text_value(str_of(settings->dead_letter));
    values[next++] = postgres_bytes_value(text_or_empty(settings->redrive_allow));
    values[next] = postgres_bytes_value(text_or_empty(settings->other));
}

#define SETTINGS_PARAMETERS                                                                        \
    "$1::bigint <> 0, $2::bigint <> 0, $3::bigint <> 0, $4::bigint <> 0, $5::bigint, $6::bigint, " \
    "$7::bigint, $8::bigint, $9::bigint, $10::bigint, $11::text, $12::bytea, $13::bytea"

static enum status write_tags(const struct queue_description *description, struct buffer *out,
                              struct error *err)
{
    attributes_write(description->tags, description->tag_count, STR_EMPTY, out);
    if (!buffer_failed(out)) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED, "the tags of the queue are too large");
}

/* A name is free again a minute after its queue was deleted. */
static enum status check_new(struct operation *operation, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value values[] = {postgres_text_value(operation->call->queue),
                                      postgres_int((int64_t)operation->session->now_ms - REUSE_MS)};
    TRY(postgres_query(operation->session,
                       "SELECT EXISTS (SELECT 1 FROM deleted_queue WHERE name = $1::text"
                       "   AND deleted_ms > $2::bigint), (SELECT count(*) FROM queue)",
                       values, COUNT_OF(values), &r, err));
    if (postgres_int_at(r, 0, 0))
        return fail(err, STATUS_ABORTED,
                    "You must wait 60 seconds after deleting a queue before you can create another "
                    "with the same name.");
    if (postgres_int_at(r, 0, 1) < QUEUE_QUEUES_MAX) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED, "there are %d queues already: delete some first",
                QUEUE_QUEUES_MAX);
}

static enum status insert_queue(struct operation *operation, int64_t *ret_inserted,
                                struct error *err)
{
    const struct queue_description *description = &operation->call->description;
    struct postgres_value values[SETTINGS_COUNT + 3];
    struct buffer tags CLEANUP(buffer_clear);
    buffer_init(&tags, QUEUE_MESSAGE_SIZE_MAX);
    TRY(write_tags(description, &tags, err));
    set_settings(values, &description->settings);
    values[SETTINGS_COUNT] = postgres_text_value(operation->call->queue);
    values[SETTINGS_COUNT + 1] = postgres_bytes_value(buffer_view(&tags));
    values[SETTINGS_COUNT + 2] = postgres_int((int64_t)operation->session->now_ms);
    return postgres_execute(operation->session,
                            "INSERT INTO queue(fifo, content_based, by_group,"
                            " throughput_by_group, visibility_s, delay_s, retention_s, wait_s,"
                            " size_max, max_receive_count, dead_letter, redrive_allow, other, id,"
                            " name, tags, created_ms, modified_ms)"
                            " VALUES(" SETTINGS_PARAMETERS ", nextval('queue_id'), $14::text,"
                            " $15::bytea, $16::bigint, $16::bigint) ON CONFLICT (name) DO NOTHING",
                            values, COUNT_OF(values), ret_inserted, err);
}

/* The same at the same time elsewhere: the later one finds it made. */
enum status postgres_queue_create(struct operation *operation, struct error *err)
{
    struct queue_description existing = {0};
    int64_t inserted;
    bool found;
    TRY(find_description(operation, &existing, &found, err));
    if (!found) {
        TRY(check_new(operation, err));
        TRY(insert_queue(operation, &inserted, err));
        if (inserted == 1) return STATUS_OK;
        TRY(find_description(operation, &existing, &found, err));
    }
    if (found)
        return rules_check_same(&existing.settings, &operation->call->description.settings, err);
    return fail(err, STATUS_ABORTED, "the queue was made and deleted meanwhile; try again");
}

/* A changed delay of a FIFO queue acts on what waits already. All stripes: of every group. */
static enum status delay_again(struct operation *operation, uint32_t delay_s, struct error *err)
{
    unsigned stripes[STRIPES];
    for (unsigned i = 0; i < STRIPES; i++) stripes[i] = i;
    TRY(postgres_stripes_lock(operation->transaction, operation->session, stripes, STRIPES, err));
    struct postgres_value values[] = {postgres_int((int64_t)delay_s * 1000),
                                      postgres_int(operation->entry->id)};
    operation->wrote = true;
    TRY(postgres_execute(operation->session,
                         "UPDATE message SET hidden_until = sent_ms + $1::bigint"
                         " WHERE queue = $2::bigint AND state = 1 AND ordered",
                         values, COUNT_OF(values), NULL, err));
    return postgres_execute(operation->session,
                            "UPDATE message_group SET ready_ms ="
                            " (SELECT hidden_until FROM message WHERE sequence = head)"
                            " WHERE queue = $1::bigint",
                            &values[1], 1, NULL, err);
}

enum status postgres_queue_configure(struct operation *operation, struct error *err)
{
    const struct queue_settings *settings = &operation->call->description.settings;
    struct queue_entry *entry = operation->entry;
    struct postgres_value values[SETTINGS_COUNT + 2];
    if (settings->fifo != entry->settings.fifo)
        return fail(err, STATUS_INVALID_ARGUMENT, "Unknown Attribute FifoQueue.");
    if (settings->fifo && settings->delay_s != entry->settings.delay_s)
        TRY(delay_again(operation, settings->delay_s, err));
    set_settings(values, settings);
    values[SETTINGS_COUNT] = postgres_int((int64_t)operation->session->now_ms);
    values[SETTINGS_COUNT + 1] = postgres_int(entry->id);
    operation->wrote = true;
    TRY(postgres_execute(operation->session,
                         "UPDATE queue SET (fifo, content_based, by_group, throughput_by_group,"
                         " visibility_s, delay_s, retention_s, wait_s, size_max,"
                         " max_receive_count, dead_letter, redrive_allow, other, modified_ms) ="
                         " (" SETTINGS_PARAMETERS ", $14::bigint) WHERE id = $15::bigint",
                         values, COUNT_OF(values), NULL, err));
    postgres_queue_notify(operation->session, entry); /* what was delayed may be due */
    postgres_entry_forget(operation->transaction, operation->call->queue);
    return STATUS_OK;
}

enum status postgres_queue_tag(struct operation *operation, struct error *err)
{
    struct buffer tags CLEANUP(buffer_clear);
    buffer_init(&tags, QUEUE_MESSAGE_SIZE_MAX);
    TRY(write_tags(&operation->call->description, &tags, err));
    struct postgres_value values[] = {postgres_int(operation->entry->id),
                                      postgres_bytes_value(buffer_view(&tags))};
    return postgres_execute(operation->session,
                            "UPDATE queue SET tags = $2::bytea WHERE id = $1::bigint", values,
                            COUNT_OF(values), NULL, err);
}

/* --- emptying and deleting -----------------------------------------------------------------------
 */

static enum status forget_counts(struct operation *operation, struct error *err)
{
    char name[POSTGRES_COUNT_NAME_MAX + 1];
    for (int state = 0; state < MESSAGE_STATES; state++) {
        (void)snprintf(name, sizeof name, "queue.%lld.%d", (long long)operation->entry->id, state);
        TRY(postgres_count_forget(operation->session, name, err));
    }
    return STATUS_OK;
}

/*
 * The queue under a new number, at once, however much is in it: what is left of the old one belongs
 * to nobody and is swept up later. So does what is sent at the same moment.
 */
enum status postgres_queue_purge(struct operation *operation, struct error *err)
{
    const struct queue_entry *entry = operation->entry;
    uint64_t now = operation->session->now_ms;
    struct postgres_value values[] = {postgres_int(entry->id), postgres_int((int64_t)now)};
    int64_t changed;
    if (entry->purged_ms > 0 && entry->purged_ms + PURGE_MS > now)
        return fail(err, STATUS_ABORTED,
                    "Only one PurgeQueue operation on %s is allowed every 60 seconds.",
                    entry->name);
    operation->wrote = true;
    TRY(postgres_execute(operation->session,
                         "UPDATE queue SET id = nextval('queue_id'), purged_ms = $2::bigint"
                         " WHERE id = $1::bigint",
                         values, COUNT_OF(values), &changed, err));
    if (changed == 0)
        return fail(err, STATUS_ABORTED, "queue '%s' is being purged or deleted elsewhere",
                    entry->name);
    TRY(forget_counts(operation, err));
    postgres_entry_forget(operation->transaction, operation->call->queue);
    return STATUS_OK;
}

enum status postgres_queue_delete(struct operation *operation, struct error *err)
{
    struct postgres_value id = postgres_int(operation->entry->id);
    struct postgres_value values[] = {postgres_text_value(operation->call->queue),
                                      postgres_int((int64_t)operation->session->now_ms)};
    int64_t deleted;
    TRY(postgres_execute(operation->session, "DELETE FROM queue WHERE id = $1::bigint", &id, 1,
                         &deleted, err));
    if (deleted == 0) return no_queue(err);
    operation->wrote = true;
    TRY(postgres_execute(operation->session,
                         "INSERT INTO deleted_queue VALUES($1::text, $2::bigint)"
                         " ON CONFLICT (name) DO UPDATE SET deleted_ms = excluded.deleted_ms",
                         values, COUNT_OF(values), NULL, err));
    TRY(forget_counts(operation, err));
    postgres_entry_forget(operation->transaction, operation->call->queue);
    return STATUS_OK;
}

/* --- depth ---------------------------------------------------------------------------------------
 */

static const char depth_sql[] =
    "SELECT"
    " (SELECT coalesce(sum(value), 0)::bigint FROM slipway_counts WHERE name = $2::text || '.0'),"
    " (SELECT coalesce(sum(value), 0)::bigint FROM slipway_counts WHERE name = $2::text || '.1'),"
    " (SELECT coalesce(sum(value), 0)::bigint FROM slipway_counts WHERE name = $2::text || '.2'),"
    /* Hidden ones whose time has come, and that no lease has looked at yet, are visible. */
    " (SELECT count(*) FROM message WHERE queue = $1::bigint AND state > 0"
    "   AND hidden_until <= $3::bigint AND state = 1),"
    " (SELECT count(*) FROM message WHERE queue = $1::bigint AND state > 0"
    "   AND hidden_until <= $3::bigint AND state = 2),"
    /* The oldest that is ready, of each priority; a FIFO queue's is the oldest head of a group. */
    " least((SELECT min(o.sent_ms) FROM generate_series(0, 9) AS p(priority)"
    "     CROSS JOIN LATERAL (SELECT sent_ms FROM message m WHERE m.queue = $1::bigint"
    "       AND m.state = 0 AND NOT m.ordered AND m.priority = p.priority"
    "       ORDER BY m.sequence LIMIT 1) AS o),"
    "   (SELECT sent_ms FROM message WHERE sequence ="
    "     (SELECT min(head) FROM message_group WHERE queue = $1::bigint)))";
_Static_assert(QUEUE_PRIORITY_MAX == 9, "as in the text above");

enum status postgres_queue_depth(struct operation *operation, struct error *err)
{
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    char name[POSTGRES_COUNT_NAME_MAX + 1];
    uint64_t now = operation->session->now_ms;
    (void)snprintf(name, sizeof name, "queue.%lld", (long long)operation->entry->id);
    struct postgres_value values[] = {postgres_int(operation->entry->id),
                                      postgres_text_value(str_of(name)),
                                      postgres_int((int64_t)now)};
    TRY(postgres_query(operation->session, depth_sql, values, COUNT_OF(values), &r, err));
    int64_t visible = postgres_int_at(r, 0, 0), delayed = postgres_int_at(r, 0, 1);
    int64_t in_flight = postgres_int_at(r, 0, 2), due_delayed = postgres_int_at(r, 0, 3);
    int64_t due_in_flight = postgres_int_at(r, 0, 4);
    uint64_t sent = postgres_is_null(r, 0, 5) ? now : (uint64_t)postgres_int_at(r, 0, 5);
    operation->call->depth = (struct queue_depth){
        .visible = (uint64_t)MAX(visible + due_delayed + due_in_flight, (int64_t)0),
        .delayed = (uint64_t)MAX(delayed - due_delayed, (int64_t)0),
        .in_flight = (uint64_t)MAX(in_flight - due_in_flight, (int64_t)0),
        .oldest_ms = now > sent ? now - sent : 0,
    };
    return STATUS_OK;
}
