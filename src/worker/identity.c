/*
 * Who a message of others is: the record that belongs to it, whether two of them are the same, and
 * who wants to know what came of it.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "worker/parts.h"

/*
 * The record of a message that others sent: its time is the message's, its chance what the queue
 * and the message are called, so that every receive finds the same record.
 */
static void derive_record_id(const struct work *work, char ret_id[RECORD_ID_SIZE + 1])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_add(&hash, str_of(work->lease->consumer->name));
    sha256_add(&hash, STR("/"));
    sha256_add(&hash, work->message->id);
    sha256_end(&hash, digest);
    uint128 value = work->message->sent_ms & UINT64_C(0xFFFFFFFFFFFF);
    for (size_t i = 0; i < 10; i++) value = value << 8 | digest[i];
    for (int i = RECORD_ID_SIZE - 1; i >= 0; i--, value >>= 5)
        ret_id[i] = digits[(unsigned)value & 31];
    ret_id[RECORD_ID_SIZE] = '\0';
}

/* --- keys ------------------------------------------------------------------------------------- */

/* A queue that makes deduplication ids of bodies gives the same body the same id for ever, which
 * says nothing about whether a message was meant to be another one. */
static bool was_chosen(const struct queue_message *message)
{
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_HEX_SIZE];
    struct str id = message->deduplication_id;
    if (id.size == 0 || str_equal(id, message->id))
        return false; /* it was in a dead-letter queue */
    sha256_of(message->body, digest);
    sha256_hex(digest, text);
    return !str_equal(id, str_of(text));
}

/* Queue, group and deduplication id; of a text that is too long for a key its digest. */
static struct str key_of_group(struct work *work)
{
    const struct queue_message *message = work->message;
    struct buffer text CLEANUP(buffer_clear);
    uint8_t digest[SHA256_SIZE];
    char hex[SHA256_HEX_SIZE];
    buffer_init(&text, QUEUE_NAME_MAX + 2 * (size_t)QUEUE_ID_MAX + 16);
    buffer_add_text(&text, work->lease->consumer->name);
    buffer_add_byte(&text, '/');
    buffer_add(&text, message->group);
    buffer_add_byte(&text, '/');
    buffer_add(&text, message->deduplication_id);
    if (text.size > RECORD_KEY_MAX) {
        sha256_of(buffer_view(&text), digest);
        sha256_hex(digest, hex);
        buffer_reset(&text);
        buffer_add_format(&text, "sha256:%s", hex);
    }
    return buffer_failed(&text) ? STR_EMPTY : arena_try_copy(&work->arena, buffer_view(&text));
}

/* A key is one of a model: without a model there is none. */
static void find_key(struct work *work)
{
    struct error err;
    struct str given = job_attribute(work->message, STR("idempotency-key"));
    struct str key = STR_EMPTY;
    if (given.data)
        key = given;
    else if (work->lease->consumer->fifo && was_chosen(work->message))
        key = key_of_group(work);
    if (!key.data || key.size == 0 || work_name_model(work, &err) != STATUS_OK) return;
    work->key = key;
    sha256_of(work->message->body, work->key_hash);
}

static enum status check_key(const struct work *work, struct error *err)
{
    struct str given = job_attribute(work->message, STR("idempotency-key"));
    if (!given.data) return STATUS_OK;
    if (given.size == 0 || given.size > RECORD_KEY_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "attribute 'idempotency-key' has %zu bytes: it may have 1 to %d", given.size,
                    RECORD_KEY_MAX);
    return record_check_text(given, "attribute 'idempotency-key'", err);
}

bool work_conflicts(const struct work *work)
{
    const struct record *record = &work->record;
    return work->key.size > 0 && record->source == RECORD_SOURCE_QUEUE &&
           memcmp(record->key_hash, work->key_hash, sizeof work->key_hash) != 0;
}

/* --- answers ---------------------------------------------------------------------------------- */

static bool is_set_for_queue(const struct work *work)
{
    return work->reply_to.data == work->lease->consumer->reply_to;
}

static enum status check_reply(const struct work *work, struct error *err)
{
    const struct worker_options *options = &work->lease->consumer->worker->options;
    if (!work->reply_to.data || is_set_for_queue(work)) return STATUS_OK;
    for (size_t i = 0; i < options->reply_allow_count; i++)
        if (worker_pattern_fits(str_of(options->reply_allow[i]), work->reply_to)) return STATUS_OK;
    return fail(
        err, STATUS_PERMISSION_DENIED,
        "the message wants its answer in the queue '%.*s', which queue.reply_allow does not "
        "name",
        STR_ARGS(work->reply_to));
}

enum status work_check(const struct work *work, struct error *err)
{
    TRY(check_key(work, err));
    return check_reply(work, err);
}

/* --- traces ----------------------------------------------------------------------------------- */

static bool is_hex(struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
    }
    return true;
}

/* "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=...": W3C's trace id is both parts of the root.
 */
static void read_trace(struct work *work)
{
    enum { ROOT_SIZE = 35, TIME_SIZE = 8, CHANCE_SIZE = 24 };
    struct str rest = work->message->trace_header;
    while (rest.data) {
        struct str part = str_trim(str_cut(&rest, ';'));
        if (!str_starts_with(part, STR("Root=1-"))) continue;
        struct str root = str_from(part, strlen("Root="));
        struct str time = {root.data + 2, TIME_SIZE};
        if (root.size != ROOT_SIZE || root.data[2 + TIME_SIZE] != '-' || !is_hex(time)) return;
        struct str chance = {root.data + 3 + TIME_SIZE, CHANCE_SIZE};
        if (!is_hex(chance)) return;
        (void)snprintf(work->trace_id, sizeof work->trace_id, "%.*s%.*s", STR_ARGS(time),
                       STR_ARGS(chance));
        return;
    }
}

void work_identify(struct work *work)
{
    work->key = STR_EMPTY;
    work->reply_to = job_attribute(work->message, STR("reply-to"));
    if (!work->reply_to.data && work->lease->consumer->reply_to)
        work->reply_to = str_of(work->lease->consumer->reply_to);
    work->correlation = job_attribute(work->message, STR("correlation-id"));
    if (!work->correlation.data) work->correlation = work->message->id;
    derive_record_id(work, work->id);
    find_key(work);
    read_trace(work);
}
