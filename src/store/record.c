/* States and ids. */
#include "store/record.h"

#include "base/clock.h"
#include "base/rand.h"

#include <stdatomic.h>

enum {
    COUNT_BITS = 16, /* of an id, behind the time: they rise within a millisecond */
    TEXT_SIZE_MAX = 4096,
    ERROR_SIZE_MAX = 64 * 1024,
};

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
_Static_assert(sizeof alphabet == 33, "five bits a character");

#define X(name, text) text,
static const char *const state_texts[] = {RECORD_STATE_TABLE(X)};
static const char *const source_texts[] = {RECORD_SOURCE_TABLE(X)};
static const char *const keep_texts[] = {RECORD_KEEP_TABLE(X)};
#undef X

const char *record_state_text(enum record_state state)
{
    assert(state < RECORD_STATE_COUNT);
    return state_texts[state];
}

const char *record_source_text(enum record_source source)
{
    assert(source < RECORD_SOURCE_COUNT);
    return source_texts[source];
}

const char *record_keep_text(enum record_keep keep)
{
    assert(keep < RECORD_KEEP_COUNT);
    return keep_texts[keep];
}

/* The position of a text in a table, `count` if it is not there. */
static unsigned find_text(const char *const *texts, unsigned count, struct str text)
{
    unsigned i = 0;
    while (i < count && !str_equal(str_of(texts[i]), text)) i++;
    return i;
}

bool record_state_of(struct str text, enum record_state *ret_state)
{
    unsigned found = find_text(state_texts, RECORD_STATE_COUNT, text);
    if (found == RECORD_STATE_COUNT) return false;
    *ret_state = (enum record_state)found;
    return true;
}

bool record_source_of(struct str text, enum record_source *ret_source)
{
    unsigned found = find_text(source_texts, RECORD_SOURCE_COUNT, text);
    if (found == RECORD_SOURCE_COUNT) return false;
    *ret_source = (enum record_source)found;
    return true;
}

bool record_state_is_final(enum record_state state)
{
    return state >= RECORD_SUCCEEDED;
}

/* --- ids --------------------------------------------------------------------------------------
 *
 *   48 bits      16 bits                             64 bits
 *   time in ms   count: begins anywhere in the       chance
 *                lower half, then one more each
 *
 * Time and count are one number: should a millisecond see more than 32,768 ids, the count carries
 * into the time, and the ids still rise.
 */

static uint64_t next_chance(void)
{
    static _Thread_local struct prng prng;
    static _Thread_local bool seeded;
    if (!seeded) prng_seed(&prng, prng_seed_from_system());
    seeded = true;
    return prng_u64(&prng);
}

static uint64_t next_high(uint64_t now_ms, uint64_t chance)
{
    static _Atomic uint64_t last;
    uint64_t fresh = now_ms << COUNT_BITS | (chance & 0x7FFF);
    uint64_t seen = atomic_load_explicit(&last, memory_order_relaxed);
    uint64_t next;
    do {
        next = seen >> COUNT_BITS < now_ms ? fresh : seen + 1;
    } while (!atomic_compare_exchange_weak_explicit(&last, &seen, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return next;
}

/* 128 bits as 26 digits of 5, the first two bits of the first are zero. */
static void print_id(uint64_t high, uint64_t low, char ret_id[RECORD_ID_SIZE + 1])
{
    uint128 value = (uint128)high << 64 | low;
    for (int i = RECORD_ID_SIZE - 1; i >= 0; i--) {
        ret_id[i] = alphabet[(unsigned)value & 31];
        value >>= 5;
    }
    ret_id[RECORD_ID_SIZE] = '\0';
}

void record_id_make(uint64_t now_ms, char ret_id[RECORD_ID_SIZE + 1])
{
    uint64_t high = next_high(now_ms & UINT64_C(0xFFFFFFFFFFFF), next_chance());
    print_id(high, next_chance(), ret_id);
}

void record_id_first(uint64_t ms, char ret_id[RECORD_ID_SIZE + 1])
{
    print_id(MIN(ms, UINT64_C(0xFFFFFFFFFFFF)) << COUNT_BITS, 0, ret_id);
}

/* The value of a digit, 32 for a byte that is none. */
static unsigned digit_value(char byte)
{
    const char *found = byte ? strchr(alphabet, byte) : NULL;
    return found ? (unsigned)(found - alphabet) : 32;
}

bool record_id_is_valid(struct str text)
{
    if (text.size != RECORD_ID_SIZE || text.data[0] > '7') return false;
    for (size_t i = 0; i < text.size; i++)
        if (digit_value(text.data[i]) > 31) return false;
    return true;
}

static uint128 id_value(struct str id)
{
    assert(record_id_is_valid(id));
    uint128 value = 0;
    for (size_t i = 0; i < id.size; i++) value = value << 5 | digit_value(id.data[i]);
    return value;
}

uint64_t record_id_time_ms(struct str id)
{
    return (uint64_t)(id_value(id) >> 80);
}

void record_id_pack(struct str id, uint8_t ret_bytes[RECORD_ID_BYTES])
{
    uint128 value = id_value(id);
    for (int i = RECORD_ID_BYTES - 1; i >= 0; i--) {
        ret_bytes[i] = (uint8_t)value;
        value >>= 8;
    }
}

void record_id_unpack(const uint8_t bytes[RECORD_ID_BYTES], char ret_id[RECORD_ID_SIZE + 1])
{
    uint64_t high = 0, low = 0;
    for (int i = 0; i < 8; i++) {
        high = high << 8 | bytes[i];
        low = low << 8 | bytes[8 + i];
    }
    print_id(high, low, ret_id);
}

/* --- checks ----------------------------------------------------------------------------------- */

static enum status check_sized(struct str text, size_t size_max, const char *what,
                               struct error *err)
{
    if (text.size > size_max)
        return fail(err, STATUS_INVALID_ARGUMENT, "%s of %zu bytes: at most %zu are kept", what,
                    text.size, size_max);
    if (text.size && (memchr(text.data, 0, text.size) || !str_is_utf8(text)))
        return fail(err, STATUS_INVALID_ARGUMENT, "%s is not UTF-8 text without NUL", what);
    return STATUS_OK;
}

enum status record_check_text(struct str text, const char *what, struct error *err)
{
    return check_sized(text, TEXT_SIZE_MAX, what, err);
}

static enum status check_payload(const struct record_payload *payload, const char *what,
                                 struct error *err)
{
    assert(payload->keep < RECORD_KEEP_COUNT);
    TRY(record_check_text(payload->type, "type of a payload", err));
    if (payload->bytes.size > RECORD_PAYLOAD_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "%s of %zu bytes: at most %d are kept", what,
                    payload->bytes.size, RECORD_PAYLOAD_MAX);
    return STATUS_OK;
}

enum status record_check(const struct record *record, struct error *err)
{
    const struct {
        struct str text;
        const char *what;
    } texts[] = {
        {record->model, "model"},         {record->version, "version"},
        {record->digest, "digest"},       {record->variant, "variant"},
        {record->trace_id, "trace id"},   {record->request_id, "request id"},
        {record->queue, "queue"},         {record->message_id, "message id"},
        {record->group, "message group"}, {record->callback, "callback"},
    };
    assert(record->state < RECORD_STATE_COUNT && record->source < RECORD_SOURCE_COUNT);
    if (!record_id_is_valid(str_of(record->id)))
        return fail(err, STATUS_INVALID_ARGUMENT, "'%.26s' is no id of a record", record->id);
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        TRY(record_check_text(texts[i].text, texts[i].what, err));
    TRY(check_sized(record->key, RECORD_KEY_MAX, "idempotency key", err));
    TRY(check_sized(record->error, ERROR_SIZE_MAX, "error", err));
    TRY(check_sized(record->label, RECORD_LABEL_MAX, "label", err));
    TRY(check_payload(&record->input, "input", err));
    TRY(check_payload(&record->output, "output", err));
    return check_payload(&record->loan, "payload on loan", err);
}

/* --- what is whole -----------------------------------------------------------------------------
 */

bool record_payload_is_whole(const struct record_payload *payload)
{
    return payload->keep == RECORD_KEEP_INLINE && !payload->hashed && payload->bytes.data;
}

const struct record_payload *record_whole_input(const struct record *record)
{
    if (record_payload_is_whole(&record->input)) return &record->input;
    if (record_state_is_final(record->state) || !record->loan.bytes.data) return NULL;
    return &record->loan;
}

const struct record_payload *record_whole_output(const struct record *record)
{
    if (record->state != RECORD_SUCCEEDED) return NULL;
    if (record_payload_is_whole(&record->output)) return &record->output;
    return record->loan.bytes.data ? &record->loan : NULL;
}

/* --- copies ----------------------------------------------------------------------------------- */

static bool copy_text(struct arena *arena, struct str *text)
{
    if (!text->data) return true;
    *text = arena_try_copy(arena, *text);
    return text->data != NULL;
}

static bool copy_payload(struct arena *arena, bool with_bytes, struct record_payload *payload)
{
    if (!with_bytes) payload->bytes = (struct str){NULL, 0};
    return copy_text(arena, &payload->type) && copy_text(arena, &payload->bytes);
}

enum status record_copy(const struct record *record, bool with_payloads, struct arena *arena,
                        struct record *ret_copy, struct error *err)
{
    struct record copy = *record;
    struct str *const texts[] = {&copy.model,      &copy.version,  &copy.digest,     &copy.variant,
                                 &copy.key,        &copy.trace_id, &copy.request_id, &copy.queue,
                                 &copy.message_id, &copy.group,    &copy.error,      &copy.label,
                                 &copy.callback};
    bool fits = copy_payload(arena, with_payloads, &copy.input) &&
                copy_payload(arena, with_payloads, &copy.output) &&
                copy_payload(arena, with_payloads, &copy.loan);
    for (size_t i = 0; fits && i < COUNT_OF(texts); i++) fits = copy_text(arena, texts[i]);
    if (!fits)
        return fail(err, STATUS_EXHAUSTED, "record '%s' does not fit in what is left of memory",
                    record->id);
    *ret_copy = copy;
    return STATUS_OK;
}
