/*
 * The redactor walks the JSON once and copies it in spans: what stands between two redacted values
 * is copied as it is. Which paths still fit is a set of bits, one per entry of the list.
 */
#include "store/privacy.h"

#include "base/json.h"
#include "base/mem.h"

enum { GROWTH_MAX = 16 }; /* a value of one byte becomes "[redacted]" */

static const struct str replacement = {"\"[redacted]\"", 12};

struct redactor {
    const struct privacy *privacy;
    bool sole; /* the model's only tensor is redacted: values without a name are its */
    struct json_reader reader;
    struct buffer *out;
    const char *copied; /* the input up to here is in `out` */
    bool changed;
    bool binary; /* a binary tensor was redacted */
};

/* --- what is to be redacted ------------------------------------------------------------------- */

static bool is_path(struct str entry)
{
    return str_starts_with(entry, STR("$."));
}

static bool is_redacted_name(const struct redactor *redactor, struct str name)
{
    for (size_t i = 0; i < redactor->privacy->redact_count; i++)
        if (str_equal(redactor->privacy->redact[i], name)) return true;
    return false;
}

/* The segment of a path at that depth; *ret_last if none follows. Data NULL behind the last. */
static struct str segment_at(struct str entry, size_t depth, bool *ret_last)
{
    struct str rest = str_from(entry, 2), segment = {NULL, 0};
    for (size_t i = 0; i <= depth; i++) {
        if (!rest.data) return (struct str){NULL, 0};
        segment = str_cut(&rest, '.');
    }
    *ret_last = rest.data == NULL;
    return segment;
}

/* Of the paths that lead here: those that lead to the child; *ret_redact if one ends there. */
static uint64_t follow(const struct redactor *redactor, uint64_t paths, struct str child,
                       size_t depth, bool *ret_redact)
{
    uint64_t further = 0;
    for (size_t i = 0; i < redactor->privacy->redact_count; i++) {
        bool last = false;
        if (!(paths >> i & 1)) continue;
        struct str segment = segment_at(redactor->privacy->redact[i], depth, &last);
        if (!segment.data || !(str_equal(segment, STR("*")) || str_equal(segment, child))) continue;
        if (last) *ret_redact = true;
        further |= UINT64_C(1) << i;
    }
    return further;
}

static uint64_t all_paths(const struct privacy *privacy)
{
    uint64_t paths = 0;
    for (size_t i = 0; i < privacy->redact_count; i++)
        if (is_path(privacy->redact[i])) paths |= UINT64_C(1) << i;
    return paths;
}

/* --- walking ---------------------------------------------------------------------------------- */

/* Where a value begins that is read next. */
struct place {
    uint64_t paths;
    size_t depth;
    bool tensors; /* the elements of this array are tensors with a name, or may be */
    bool tensor;  /* this object is one, whose values are to go */
};

static enum status walk(struct redactor *redactor, struct place place, struct error *err);

static enum status replace(struct redactor *redactor, struct error *err)
{
    struct json_reader *reader = &redactor->reader;
    (void)json_peek(reader);
    buffer_add(redactor->out,
               (struct str){redactor->copied, (size_t)(reader->at - redactor->copied)});
    buffer_add(redactor->out, replacement);
    TRY(json_skip(reader, err));
    redactor->copied = reader->at;
    redactor->changed = true;
    return STATUS_OK;
}

/* Looks ahead: has the object that stands next the name of a tensor that is redacted? */
static enum status look_for_name(struct redactor *redactor, bool *ret_found, struct error *err)
{
    struct json_reader ahead = redactor->reader;
    bool more;
    *ret_found = false;
    TRY(json_open_object(&ahead, err));
    for (;;) {
        struct str key, name;
        TRY(json_next_member(&ahead, &key, &more, err));
        if (!more) return STATUS_OK;
        if (!str_equal(key, STR("name")) || json_peek(&ahead) != JSON_STRING) {
            TRY(json_skip(&ahead, err));
            continue;
        }
        TRY(json_read_string(&ahead, &name, err));
        if (is_redacted_name(redactor, name)) *ret_found = true;
    }
}

/* What of a tensor says nothing of its values. */
static bool is_description(struct str key)
{
    return str_equal(key, STR("name")) || str_equal(key, STR("shape")) ||
           str_equal(key, STR("datatype")) || str_equal(key, STR("parameters"));
}

/* Members at the top that hold the values of all tensors, without names if there is only one. */
static bool holds_tensors(struct str key)
{
    return str_equal(key, STR("inputs")) || str_equal(key, STR("outputs")) ||
           str_equal(key, STR("instances")) || str_equal(key, STR("predictions"));
}

static enum status walk_member(struct redactor *redactor, struct place place, struct str key,
                               struct error *err)
{
    struct place inner = {.depth = place.depth + 1};
    bool redact = is_redacted_name(redactor, key) || (place.tensor && !is_description(key)) ||
                  (redactor->sole && str_equal(key, STR("b64")));
    inner.paths = follow(redactor, place.paths, key, place.depth, &redact);
    inner.tensors = place.depth == 0 && holds_tensors(key);
    if (place.tensor && str_equal(key, STR("parameters"))) redactor->binary = true;
    return redact ? replace(redactor, err) : walk(redactor, inner, err);
}

static enum status walk_object(struct redactor *redactor, struct place place, struct error *err)
{
    bool more;
    TRY(json_open_object(&redactor->reader, err));
    for (;;) {
        struct str key;
        TRY(json_next_member(&redactor->reader, &key, &more, err));
        if (!more) return STATUS_OK;
        TRY(walk_member(redactor, place, key, err));
    }
}

static enum status walk_element(struct redactor *redactor, struct place place, size_t position,
                                struct error *err)
{
    struct place inner = {.depth = place.depth + 1};
    char digits[24];
    bool redact = false;
    struct str text = {digits, (size_t)snprintf(digits, sizeof digits, "%zu", position)};
    if (place.paths) inner.paths = follow(redactor, place.paths, text, place.depth, &redact);
    bool object = json_peek(&redactor->reader) == JSON_OBJECT;
    if (redact || (place.tensors && redactor->sole && !object)) return replace(redactor, err);
    if (place.tensors && object) TRY(look_for_name(redactor, &inner.tensor, err));
    return walk(redactor, inner, err);
}

static enum status walk_array(struct redactor *redactor, struct place place, struct error *err)
{
    bool more;
    TRY(json_open_array(&redactor->reader, err));
    for (size_t position = 0;; position++) {
        TRY(json_next_element(&redactor->reader, &more, err));
        if (!more) return STATUS_OK;
        TRY(walk_element(redactor, place, position, err));
    }
}

/* The values of an only tensor stand without its name, unless its elements are objects. */
static enum status is_nameless(struct redactor *redactor, struct place place, bool *ret_nameless,
                               struct error *err)
{
    enum json_kind kind = json_peek(&redactor->reader);
    struct json_reader ahead = redactor->reader;
    bool more = false;
    *ret_nameless = false;
    if (!redactor->sole) return STATUS_OK;
    if (place.depth == 0) *ret_nameless = kind != JSON_OBJECT;
    if (!place.tensors) return STATUS_OK;
    if (kind == JSON_ARRAY) {
        TRY(json_open_array(&ahead, err));
        TRY(json_next_element(&ahead, &more, err));
        kind = more ? json_peek(&ahead) : kind;
    }
    *ret_nameless = kind != JSON_OBJECT;
    return STATUS_OK;
}

static enum status walk(struct redactor *redactor, struct place place, struct error *err)
{
    bool nameless;
    TRY(is_nameless(redactor, place, &nameless, err));
    if (nameless) return replace(redactor, err);
    enum json_kind kind = json_peek(&redactor->reader);
    if (kind == JSON_OBJECT) return walk_object(redactor, place, err);
    if (kind == JSON_ARRAY) return walk_array(redactor, place, err);
    return json_skip(&redactor->reader, err);
}

static enum status redact_json(struct redactor *redactor, struct str json, struct arena *arena,
                               struct error *err)
{
    json_reader_init(&redactor->reader, json, arena);
    redactor->reader.nonfinite_allowed = true;
    redactor->copied = redactor->reader.start;
    TRY(walk(redactor, (struct place){.paths = all_paths(redactor->privacy)}, err));
    TRY(json_end(&redactor->reader, err));
    const char *end = redactor->reader.end;
    buffer_add(redactor->out, (struct str){redactor->copied, (size_t)(end - redactor->copied)});
    return STATUS_OK;
}

/* --- payloads --------------------------------------------------------------------------------- */

static void keep_hash(struct str body, struct record_payload *payload)
{
    payload->bytes = (struct str){NULL, 0};
    payload->header_size = 0;
    payload->keep = RECORD_KEEP_HASHED;
    payload->hashed = true;
    sha256_of(body, payload->hash);
}

static bool write_redacted(struct redactor *redactor, const struct privacy_source *source,
                           struct arena *arena, struct record_payload *payload)
{
    struct error err;
    bool split = source->header_size > 0;
    struct str json = source->body;
    if (split) json.size = (size_t)source->header_size;
    struct str rest = str_from(source->body, json.size);
    if (redact_json(redactor, json, arena, &err) != STATUS_OK) return false;
    if (split) payload->header_size = redactor->out->size;
    if (!redactor->binary) buffer_add(redactor->out, rest);
    if (redactor->binary && rest.size) redactor->changed = true;
    if (buffer_failed(redactor->out)) return false;
    if (!redactor->changed) return true;
    payload->bytes = arena_try_copy(arena, buffer_view(redactor->out));
    return payload->bytes.data != NULL;
}

static bool redact(const struct privacy *privacy, const struct privacy_source *source,
                   struct arena *arena, struct record_payload *payload)
{
    struct buffer out;
    struct redactor redactor = {.privacy = privacy, .out = &out};
    size_t ceiling;
    redactor.sole = source->sole.size > 0 && is_redacted_name(&redactor, source->sole);
    if (!source->is_json || !size_multiply(source->body.size, GROWTH_MAX, &ceiling)) return false;
    buffer_init(&out, ceiling + replacement.size);
    bool done = write_redacted(&redactor, source, arena, payload);
    if (done && redactor.changed) {
        payload->hashed = true;
        sha256_of(source->body, payload->hash);
    } else if (done) {
        payload->header_size = source->header_size;
    }
    buffer_clear(&out);
    return done;
}

static void limit(const struct privacy *privacy, const struct privacy_source *source,
                  struct record_payload *payload)
{
    bool unlimited = privacy->keep == RECORD_KEEP_INLINE && privacy->inline_unlimited;
    uint64_t bytes_max = unlimited ? (uint64_t)RECORD_PAYLOAD_MAX : privacy->bytes_max;
    bytes_max = MIN(bytes_max, (uint64_t)RECORD_PAYLOAD_MAX);
    payload->keep = RECORD_KEEP_INLINE;
    if (payload->bytes.size <= bytes_max) return;
    if (privacy->keep == RECORD_KEEP_INLINE) {
        keep_hash(source->body, payload);
        return;
    }
    payload->keep = RECORD_KEEP_TRUNCATED;
    payload->bytes.size = (size_t)bytes_max;
    payload->header_size = MIN(payload->header_size, bytes_max);
    payload->hashed = true;
    sha256_of(source->body, payload->hash);
}

void privacy_apply(const struct privacy *privacy, const struct privacy_source *source,
                   struct arena *arena, struct record_payload *ret_payload)
{
    assert(privacy->redact_count <= PRIVACY_REDACT_MAX);
    struct record_payload payload = {.keep = RECORD_KEEP_OMITTED};
    *ret_payload = payload;
    if (privacy->keep == RECORD_KEEP_OMITTED || !source->body.data) return;
    /* A sender's claim: a body cut short or refused can be smaller than the header it names. */
    struct privacy_source bounded = *source;
    bounded.header_size = MIN(source->header_size, (uint64_t)source->body.size);
    payload.bytes = bounded.body;
    payload.type = bounded.type;
    payload.header_size = bounded.header_size;
    payload.size = bounded.body.size;
    if (privacy->keep == RECORD_KEEP_HASHED ||
        (privacy->redact_count > 0 && !redact(privacy, &bounded, arena, &payload)))
        keep_hash(bounded.body, &payload);
    else
        limit(privacy, &bounded, &payload);
    *ret_payload = payload;
}

void privacy_of_model(const struct privacy *general, const struct model_config_record *record,
                      enum privacy_side side, struct str names[PRIVACY_REDACT_MAX],
                      struct privacy *ret_privacy)
{
    *ret_privacy = *general;
    if (!record) return;
    int32_t keep = side == PRIVACY_INPUT ? record->input : record->output;
    if (keep != MODEL_CONFIG_KEEP_DEFAULT)
        ret_privacy->keep = (enum record_keep)(keep - MODEL_CONFIG_KEEP_INLINE);
    if (record->bytes_max > 0) {
        ret_privacy->bytes_max = record->bytes_max;
        ret_privacy->inline_unlimited = false;
    }
    if (record->redact.count == 0) return;
    assert(general->redact_count + record->redact.count <= PRIVACY_REDACT_MAX);
    for (size_t i = 0; i < general->redact_count; i++) names[i] = general->redact[i];
    for (size_t i = 0; i < record->redact.count; i++)
        names[general->redact_count + i] = str_of(record->redact.items[i]);
    ret_privacy->redact = names;
    ret_privacy->redact_count = general->redact_count + record->redact.count;
}
