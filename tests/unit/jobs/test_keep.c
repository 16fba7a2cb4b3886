/* What may be kept without a model, and how redaction sees the faces of the protocol. */
#include "jobs/keep.c"
#include "test.h"

TEST(every_face_is_json_but_raw_bytes)
{
    for (unsigned face = 0; face < PAYLOAD_FACES; face++) {
        struct payload payload = {.face = (enum payload_face)face, .body = STR("[1]")};
        struct privacy_source source = keep_source(&payload);
        EXPECT_INT(source.is_json, face != PAYLOAD_OIP_BINARY);
        EXPECT_STR(source.type, payload_type(payload.face));
        EXPECT_STR(source.body, payload.body);
        EXPECT_INT(source.header_size, 0);
    }
    struct payload payload = {.face = PAYLOAD_OIP_BINARY, .body = STR("{}\1\2"), .header_size = 2};
    struct privacy_source source = keep_source(&payload);
    EXPECT(source.is_json && source.header_size == 2);
}

/* A model that is not there may have rules that nobody knows. */
TEST(without_a_model_a_hash_is_kept_at_most)
{
    const struct privacy_source source = {
        .body = STR("{\"ssn\":1}"), .type = STR("application/json"), .is_json = true};
    for (unsigned keep = 0; keep < RECORD_KEEP_COUNT; keep++) {
        struct privacy general = {
            .keep = (enum record_keep)keep, .bytes_max = 1 << 20, .inline_unlimited = true};
        struct record_payload payload;
        struct arena arena;
        arena_init(&arena, 1 << 16);
        keep_payload(&general, NULL, PRIVACY_INPUT, &source, &arena, &payload);
        EXPECT(!payload.bytes.data);
        EXPECT_INT(payload.keep,
                   keep == RECORD_KEEP_OMITTED ? RECORD_KEEP_OMITTED : RECORD_KEEP_HASHED);
        EXPECT_INT(payload.hashed, keep != RECORD_KEEP_OMITTED);
        EXPECT_INT(payload.size, keep == RECORD_KEEP_OMITTED ? 0 : source.body.size);
        arena_clear(&arena);
    }
}
