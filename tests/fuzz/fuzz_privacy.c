/* Redaction of any bytes: what comes out is JSON again, and redacting it again changes nothing. */
#include "base/json.h"
#include "store/privacy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(struct str text, struct arena *arena)
{
    struct json_reader reader;
    struct error err;
    json_reader_init(&reader, text, arena);
    reader.nonfinite_allowed = true;
    if (json_skip(&reader, &err) != STATUS_OK || json_end(&reader, &err) != STATUS_OK) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str redact[] = {STR("ssn"), STR("$.parameters.*"), STR("$.*.0.data.1"),
                                 STR("$.a.b.c")};
    struct arena arena CLEANUP(arena_clear);
    struct record_payload first, second;
    arena_init(&arena, 16 << 20);
    if (size < 2) return 0;
    struct privacy privacy = {.bytes_max = data[0] % 2 ? 16 : 1 << 20,
                              .inline_unlimited = data[0] & 32,
                              .keep = (enum record_keep)(data[0] / 2 % RECORD_KEEP_COUNT),
                              .redact = redact,
                              .redact_count = COUNT_OF(redact)};
    struct privacy_source source = {.body = {(const char *)data + 2, size - 2},
                                    .header_size = data[1] % 2 ? data[1] : 0,
                                    .is_json = true,
                                    .sole = data[0] & 64 ? STR("ssn") : STR("other")};
    privacy_apply(&privacy, &source, &arena, &first);
    if (first.bytes.size > RECORD_PAYLOAD_MAX || first.header_size > first.bytes.size) abort();
    /* What passes for whole is what came: it may be run, or given out, again. */
    if (record_payload_is_whole(&first) && !str_equal(first.bytes, source.body)) abort();
    if (first.keep != RECORD_KEEP_INLINE) return 0;
    if (!str_equal(first.bytes, source.body) && !first.hashed) abort();
    struct str json = first.bytes;
    if (first.header_size) json.size = (size_t)first.header_size;
    check_json(json, &arena);
    source.body = first.bytes;
    source.header_size = first.header_size;
    privacy.bytes_max = 32 << 20;
    privacy_apply(&privacy, &source, &arena, &second);
    if (!str_equal(first.bytes, second.bytes)) abort();
    return 0;
}
