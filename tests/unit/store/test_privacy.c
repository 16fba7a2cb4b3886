/* What is kept, and what is redacted before it is. */
#include "config/model_rules.h"
#include "store/privacy.c"
#include "test.h"

static struct arena arena;

static struct privacy_source json_source(struct str body)
{
    return (struct privacy_source){.body = body, .type = STR("application/json"), .is_json = true};
}

static void expect_redacted(const char *entry, const char *sole, const char *body,
                            const char *expected)
{
    struct error err;
    const struct str redact[] = {str_of(entry)};
    struct privacy privacy = {.bytes_max = 1 << 20, .redact = redact, .redact_count = 1};
    struct privacy_source source = json_source(str_of(body));
    struct record_payload payload;
    uint8_t hash[SHA256_SIZE];
    EXPECT_STATUS(model_config_check_redact(redact[0], &err), STATUS_OK, err);
    source.sole = str_of(sole);
    arena_init(&arena, 1 << 20);
    privacy_apply(&privacy, &source, &arena, &payload);
    EXPECT_STR(payload.bytes, str_of(expected));
    EXPECT_INT(payload.keep, RECORD_KEEP_INLINE);
    EXPECT_INT(payload.size, strlen(body));
    EXPECT_INT(payload.hashed, strcmp(body, expected) != 0);
    sha256_of(str_of(body), hash);
    EXPECT(!payload.hashed || memcmp(hash, payload.hash, sizeof hash) == 0);
    arena_clear(&arena);
}

TEST(a_tensor_is_redacted_in_every_protocol)
{
    expect_redacted("ssn", "",
                    "{\"inputs\": [{\"data\":[1,[2]],\"name\":\"ssn\",\"shape\":[2],"
                    "\"datatype\":\"INT64\"}, {\"name\":\"x\",\"data\":[3]}]}",
                    "{\"inputs\": [{\"data\":\"[redacted]\",\"name\":\"ssn\",\"shape\":[2],"
                    "\"datatype\":\"INT64\"}, {\"name\":\"x\",\"data\":[3]}]}");
    expect_redacted("ssn", "", "{\"instances\":[{\"ssn\":[1],\"x\":2},{\"x\":3,\"ssn\":4}]}",
                    "{\"instances\":[{\"ssn\":\"[redacted]\",\"x\":2},{\"x\":3,\"ssn\":"
                    "\"[redacted]\"}]}");
    expect_redacted("ssn", "x", "{\"inputs\":{\"ssn\":[1,2],\"x\":[3]}}",
                    "{\"inputs\":{\"ssn\":\"[redacted]\",\"x\":[3]}}");
    expect_redacted(
        "y", "", "{\"outputs\":[{\"name\":\"y\",\"data\":[1],\"odd\":{}}]}",
        "{\"outputs\":[{\"name\":\"y\",\"data\":\"[redacted]\",\"odd\":\"[redacted]\"}]}");
}

TEST(an_only_tensor_is_redacted_where_it_has_no_name)
{
    expect_redacted("ssn", "ssn", "[1,2,3]", "\"[redacted]\"");
    expect_redacted("ssn", "x", "[1,2,3]", "[1,2,3]");
    expect_redacted("ssn", "ssn", "{\"instances\":[1,2],\"signature_name\":\"s\"}",
                    "{\"instances\":\"[redacted]\",\"signature_name\":\"s\"}");
    expect_redacted("ssn", "ssn", "{\"instances\":[{\"b64\":\"QQ==\"}, 7]}",
                    "{\"instances\":[{\"b64\":\"[redacted]\"}, \"[redacted]\"]}");
    expect_redacted("y", "y", "{\"predictions\":[[1],[2]]}", "{\"predictions\":\"[redacted]\"}");
    expect_redacted("ssn", "ssn", "{\"inputs\":[{\"name\":\"ssn\",\"data\":[1]}]}",
                    "{\"inputs\":[{\"name\":\"ssn\",\"data\":\"[redacted]\"}]}");
}

TEST(no_spelling_escapes_redaction)
{
    expect_redacted("ssn", "", "{\"\\u0073sn\":1}", "{\"\\u0073sn\":\"[redacted]\"}");
    expect_redacted("ssn", "", "{\"inputs\":[{\"name\":\"s\\u0073n\",\"data\":[1]}]}",
                    "{\"inputs\":[{\"name\":\"s\\u0073n\",\"data\":\"[redacted]\"}]}");
    expect_redacted("ssn", "", "{\"inputs\":[{\"name\":\"x\",\"name\":\"ssn\",\"data\":[1]}]}",
                    "{\"inputs\":[{\"name\":\"x\",\"name\":\"ssn\",\"data\":\"[redacted]\"}]}");
    expect_redacted("ssn", "", " { \"ssn\" :\t[ 1 , NaN ] } ", " { \"ssn\" :\t\"[redacted]\" } ");
    expect_redacted("ssn", "", "{\"ssn\":1,\"ssn\":2}",
                    "{\"ssn\":\"[redacted]\",\"ssn\":\"[redacted]\"}");
}

TEST(paths)
{
    expect_redacted("$.parameters.user", "",
                    "{\"parameters\":{\"user\":{\"a\":1},\"x\":1},\"user\":2}",
                    "{\"parameters\":{\"user\":\"[redacted]\",\"x\":1},\"user\":2}");
    expect_redacted("$.a.*.b", "", "{\"a\":[{\"b\":1},{\"c\":{\"b\":2}},{\"b\":[3]}]}",
                    "{\"a\":[{\"b\":\"[redacted]\"},{\"c\":{\"b\":2}},{\"b\":\"[redacted]\"}]}");
    expect_redacted("$.a.1", "", "{\"a\":[1,2,3]}", "{\"a\":[1,\"[redacted]\",3]}");
    expect_redacted("$.*", "", "[1,{\"a\":2}]", "[\"[redacted]\",\"[redacted]\"]");
    expect_redacted("$.a.b.c", "", "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}");
}

TEST(a_header_ends_with_its_body)
{
    const struct str redact[] = {STR("ssn")};
    struct privacy privacy = {.bytes_max = 1 << 20, .redact = redact};
    struct privacy_source source = json_source(STR("[4]"));
    struct record_payload payload;
    source.header_size = 71;
    for (size_t count = 0; count < 2; count++) {
        privacy.redact_count = count;
        arena_init(&arena, 1 << 20);
        privacy_apply(&privacy, &source, &arena, &payload);
        EXPECT_STR(payload.bytes, STR("[4]"));
        EXPECT_INT(payload.header_size, 3);
        arena_clear(&arena);
    }
}

TEST(several_entries_at_once)
{
    const struct str redact[] = {STR("$.a.b"), STR("c"), STR("$.a.*.d")};
    struct privacy privacy = {.bytes_max = 1000, .redact = redact, .redact_count = 3};
    struct privacy_source source =
        json_source(STR("{\"a\":{\"b\":1,\"x\":{\"d\":2,\"c\":3,\"e\":4}}}"));
    struct record_payload payload;
    arena_init(&arena, 1 << 20);
    privacy_apply(&privacy, &source, &arena, &payload);
    EXPECT_STR(payload.bytes, STR("{\"a\":{\"b\":\"[redacted]\",\"x\":{\"d\":\"[redacted]\","
                                  "\"c\":\"[redacted]\",\"e\":4}}}"));
    arena_clear(&arena);
}

TEST(a_binary_section_goes_with_its_tensor)
{
    const char header[] =
        "{\"inputs\":[{\"name\":\"ssn\",\"parameters\":{\"binary_data_size\":4}}]}";
    char body[sizeof header + 4];
    const struct str redact[] = {STR("ssn")};
    struct privacy privacy = {.bytes_max = 1000, .redact = redact, .redact_count = 1};
    struct record_payload payload;
    memcpy(body, header, sizeof header - 1);
    memcpy(body + sizeof header - 1, "\1\2\3\4\5", 5);
    struct privacy_source source = json_source((struct str){body, sizeof header - 1 + 5});
    source.header_size = sizeof header - 1;
    arena_init(&arena, 1 << 20);
    privacy_apply(&privacy, &source, &arena, &payload);
    EXPECT_STR(payload.bytes, str_of(header));
    EXPECT_INT(payload.header_size, sizeof header - 1);
    EXPECT(payload.hashed && payload.size == sizeof header - 1 + 5);
    privacy.redact_count = 0;
    privacy_apply(&privacy, &source, &arena, &payload);
    EXPECT(payload.bytes.data == body && payload.bytes.size == source.body.size);
    EXPECT(!payload.hashed);
    arena_clear(&arena);
}

TEST(what_cannot_be_redacted_is_not_kept)
{
    static const char *const bodies[] = {"{\"a\":", "no json", "{} {}", "\xff", ""};
    const struct str redact[] = {STR("ssn")};
    struct privacy privacy = {.bytes_max = 1000, .redact = redact, .redact_count = 1};
    struct record_payload payload;
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        struct privacy_source source = json_source(str_of(bodies[i]));
        privacy_apply(&privacy, &source, &arena, &payload);
        EXPECT(!payload.bytes.data && payload.hashed && payload.keep == RECORD_KEEP_HASHED);
        EXPECT_INT(payload.size, strlen(bodies[i]));
    }
    struct privacy_source raw = json_source(STR("{\"x\":1}"));
    raw.is_json = false;
    privacy_apply(&privacy, &raw, &arena, &payload);
    EXPECT(!payload.bytes.data && payload.keep == RECORD_KEEP_HASHED);
    arena_clear(&arena);
    struct arena none;
    arena_init(&none, 0);
    struct privacy_source source = json_source(STR("{\"ssn\":1}"));
    privacy_apply(&privacy, &source, &none, &payload);
    EXPECT(!payload.bytes.data && payload.keep == RECORD_KEEP_HASHED);
}

TEST(how_much_is_kept)
{
    struct privacy privacy = {.bytes_max = 4};
    struct privacy_source small = json_source(STR("[12]")), large = json_source(STR("[123]"));
    struct record_payload payload;
    uint8_t hash[SHA256_SIZE];
    sha256_of(large.body, hash);
    arena_init(&arena, 1 << 20);
    privacy_apply(&privacy, &small, &arena, &payload);
    EXPECT(payload.keep == RECORD_KEEP_INLINE && !payload.hashed && payload.size == 4);
    EXPECT_STR(payload.type, STR("application/json"));
    privacy_apply(&privacy, &large, &arena, &payload);
    EXPECT(payload.keep == RECORD_KEEP_HASHED && !payload.bytes.data && payload.size == 5);
    EXPECT(memcmp(payload.hash, hash, sizeof hash) == 0);
    privacy.keep = RECORD_KEEP_TRUNCATED;
    privacy_apply(&privacy, &large, &arena, &payload);
    EXPECT(payload.keep == RECORD_KEEP_TRUNCATED && payload.hashed && payload.size == 5);
    EXPECT_STR(payload.bytes, STR("[123"));
    privacy_apply(&privacy, &small, &arena, &payload);
    EXPECT(payload.keep == RECORD_KEEP_INLINE && !payload.hashed);
    privacy.keep = RECORD_KEEP_HASHED;
    privacy_apply(&privacy, &small, &arena, &payload);
    EXPECT(payload.keep == RECORD_KEEP_HASHED && !payload.bytes.data && payload.hashed);
    privacy.keep = RECORD_KEEP_OMITTED;
    privacy_apply(&privacy, &small, &arena, &payload);
    EXPECT(payload.keep == RECORD_KEEP_OMITTED && !payload.bytes.data && !payload.hashed);
    EXPECT(payload.size == 0 && !payload.type.data);
    arena_clear(&arena);
}

TEST(what_is_no_entry)
{
    struct error err;
    static const char *const bad[] = {"", "$", "$.", "$.a..b", "$.a.", "\xff"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        EXPECT_STATUS(model_config_check_redact(str_of(bad[i]), &err), STATUS_INVALID_ARGUMENT,
                      err);
    EXPECT_STATUS(model_config_check_redact(STR("$.a.*"), &err), STATUS_OK, err);
    EXPECT_STATUS(model_config_check_redact(STR("x.y"), &err), STATUS_OK, err);
}

TEST(a_model_has_the_last_word_and_both_redact)
{
    const struct str general_names[] = {STR("a"), STR("b")};
    const char *texts[] = {"c"};
    struct privacy general = {.bytes_max = 10, .redact = general_names, .redact_count = 2}, privacy;
    struct model_config_record record = {.output = MODEL_CONFIG_KEEP_OMITTED, .redact = {texts, 1}};
    struct str names[PRIVACY_REDACT_MAX];
    privacy_of_model(&general, NULL, PRIVACY_INPUT, names, &privacy);
    EXPECT(privacy.keep == RECORD_KEEP_INLINE && privacy.redact_count == 2);
    privacy_of_model(&general, &record, PRIVACY_INPUT, names, &privacy);
    EXPECT(privacy.keep == RECORD_KEEP_INLINE && privacy.bytes_max == 10);
    EXPECT_INT(privacy.redact_count, 3);
    EXPECT_STR(privacy.redact[2], STR("c"));
    record.bytes_max = 5;
    privacy_of_model(&general, &record, PRIVACY_OUTPUT, names, &privacy);
    EXPECT(privacy.keep == RECORD_KEEP_OMITTED && privacy.bytes_max == 5);
}

TEST(a_default_limit_is_not_for_what_is_the_answer_itself)
{
    const struct {
        enum record_keep keep;
        bool unlimited;
        enum record_keep expected;
        size_t size;
    } cases[] = {
        {RECORD_KEEP_INLINE, true, RECORD_KEEP_INLINE, 10},
        {RECORD_KEEP_INLINE, false, RECORD_KEEP_HASHED, 0},
        {RECORD_KEEP_TRUNCATED, true, RECORD_KEEP_TRUNCATED, 4},
        {RECORD_KEEP_HASHED, true, RECORD_KEEP_HASHED, 0},
        {RECORD_KEEP_OMITTED, true, RECORD_KEEP_OMITTED, 0},
    };
    struct privacy_source source = json_source(STR("[12345678]"));
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct privacy privacy = {
            .keep = cases[i].keep, .bytes_max = 4, .inline_unlimited = cases[i].unlimited};
        struct record_payload payload;
        privacy_apply(&privacy, &source, &arena, &payload);
        EXPECT_INT(payload.keep, cases[i].expected);
        EXPECT_INT(payload.bytes.size, cases[i].size);
        EXPECT_INT(record_payload_is_whole(&payload), i == 0);
    }
    arena_clear(&arena);
}

TEST(a_limit_of_the_model_is_one_that_somebody_chose)
{
    struct privacy general = {.bytes_max = 10, .inline_unlimited = true}, privacy;
    struct model_config_record record = {.output = MODEL_CONFIG_KEEP_TRUNCATED};
    struct str names[PRIVACY_REDACT_MAX];
    privacy_of_model(&general, &record, PRIVACY_OUTPUT, names, &privacy);
    EXPECT(privacy.inline_unlimited && privacy.bytes_max == 10);
    record.bytes_max = 5;
    privacy_of_model(&general, &record, PRIVACY_INPUT, names, &privacy);
    EXPECT(!privacy.inline_unlimited && privacy.bytes_max == 5);
}

/* What was redacted is inline, and yet not what came. */
TEST(what_was_redacted_is_not_whole)
{
    const struct str redact[] = {STR("ssn")};
    struct privacy privacy = {.inline_unlimited = true, .redact = redact, .redact_count = 1};
    static const struct {
        const char *body;
        bool whole;
    } cases[] = {
        {"{\"ssn\":1}", false},
        {"{\"ssn\":\"[redacted]\"}", false}, /* a client may well send that */
        {"{\"name\":1}", true},
        {"{\"ssn\":", false}, /* no JSON: its hash alone */
    };
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct privacy_source source = json_source(str_of(cases[i].body));
        struct record_payload payload;
        privacy_apply(&privacy, &source, &arena, &payload);
        EXPECT_INT(record_payload_is_whole(&payload), cases[i].whole);
    }
    arena_clear(&arena);
}

/* Redaction that finds no memory keeps nothing but size and hash. */
TEST(without_memory_nothing_is_kept)
{
    const struct str redact[] = {STR("ssn")};
    struct privacy privacy = {.inline_unlimited = true, .redact = redact, .redact_count = 1};
    struct str body =
        STR("{\"ssn\":123456789,\"rest\":\"as long as the arena has room or longer\"}");
    struct privacy_source source = json_source(body);
    for (size_t room = 1; room < 64; room++) {
        struct record_payload payload;
        arena_init(&arena, room);
        privacy_apply(&privacy, &source, &arena, &payload);
        EXPECT(!payload.bytes.data && payload.keep == RECORD_KEEP_HASHED && payload.hashed);
        EXPECT_INT(payload.size, body.size);
        arena_clear(&arena);
    }
}
