#include "jobs/payload.c"
#include "test.h"

static struct arena arena;

static const int64_t any_size[] = {-1};
static const struct slipway_tensor_spec x_spec = {
    .name = "x", .dtype = SLIPWAY_DTYPE_INT64, .rank = 1, .dims = any_size};

static const struct infer_spec spec = {
    .name = "doubleit", .inputs = &x_spec, .input_count = 1, .outputs = &x_spec, .output_count = 1};

static enum status read(struct payload *payload, struct infer_request *request, struct error *err)
{
    arena_clear(&arena);
    arena_init(&arena, 1 << 20);
    infer_request_init(request, &arena);
    return payload_read(payload, &spec, request, err);
}

TEST(a_face_survives_its_media_type)
{
    for (unsigned face = 0; face < PAYLOAD_FACES; face++)
        EXPECT_INT(payload_face_of(payload_type((enum payload_face)face)), face);
    EXPECT_INT(payload_face_of(STR("text/plain")), PAYLOAD_OIP);
    EXPECT_INT(payload_face_of((struct str){NULL, 0}), PAYLOAD_OIP);
}

TEST(what_a_message_is_shows_in_its_body)
{
    EXPECT_INT(payload_guess(STR("[1,2,3]")), PAYLOAD_BARE);
    EXPECT_INT(payload_guess(STR(" \n[1]")), PAYLOAD_BARE);
    EXPECT_INT(payload_guess(STR("7")), PAYLOAD_BARE);
    EXPECT_INT(payload_guess(STR_EMPTY), PAYLOAD_BARE);
    EXPECT_INT(payload_guess(STR("{\"inputs\":[]}")), PAYLOAD_OIP);
    EXPECT_INT(payload_guess(STR("  {\"id\":\"a\",\"instances\":[[1]]}")), PAYLOAD_V1);
    EXPECT_INT(payload_guess(STR("{\"a\":{\"instances\":1}}")), PAYLOAD_OIP);
    EXPECT_INT(payload_guess(STR("{\"instances")), PAYLOAD_OIP);
    EXPECT_INT(payload_guess(STR("{")), PAYLOAD_OIP);
}

TEST(members_are_found_at_the_top_only)
{
    EXPECT(payload_has_member(STR("{\"a\":1,\"request\":{}}"), STR("request")));
    EXPECT(!payload_has_member(STR("{\"a\":{\"request\":1}}"), STR("request")));
    EXPECT(!payload_has_member(STR("[\"request\"]"), STR("request")));
    EXPECT(!payload_has_member(STR(""), STR("request")));
}

TEST(every_face_reads_the_same_numbers)
{
    static const struct {
        enum payload_face face;
        const char *body;
    } cases[] = {
        {PAYLOAD_BARE, "[1,2,3]"},
        {PAYLOAD_V1, "{\"instances\":[1,2,3]}"},
        {PAYLOAD_OIP,
         "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"INT64\",\"shape\":[3],\"data\":[1,2,3]}]}"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct payload payload = {.face = cases[i].face, .body = str_of(cases[i].body)};
        struct infer_request request;
        struct error err;
        EXPECT_STATUS(read(&payload, &request, &err), STATUS_OK, err);
        REQUIRE(request.input_count == 1);
        const struct slipway_tensor *tensor = &request.inputs[0].tensor;
        EXPECT_INT(tensor->byte_size, 24);
        EXPECT(memcmp(tensor->data, (int64_t[]){1, 2, 3}, 24) == 0);
    }
    arena_clear(&arena);
}

TEST(a_header_that_does_not_fit_its_body_is_refused)
{
    struct payload payload = {.face = PAYLOAD_OIP_BINARY, .body = STR("{}"), .header_size = 3};
    struct infer_request request;
    struct error err;
    EXPECT_STATUS(read(&payload, &request, &err), STATUS_INVALID_ARGUMENT, err);
    arena_clear(&arena);
}

static enum status write(const struct payload *payload, bool binary, struct buffer *out,
                         struct str *type, uint64_t *header_size, struct error *err)
{
    static int64_t values[] = {2, 4, 6};
    static const int64_t dims[] = {3};
    struct infer_tensor output = {.name = STR("x"), .binary = binary};
    output.tensor = (struct slipway_tensor){
        .dtype = SLIPWAY_DTYPE_INT64, .rank = 1, .dims = dims, .data = values, .byte_size = 24};
    struct infer_reply reply = {
        .model_name = STR("m"), .model_version = STR("1"), .outputs = &output, .output_count = 1};
    arena_init(&arena, 1 << 20);
    enum status status = payload_write(payload, &reply, &arena, out, type, header_size, err);
    return status;
}

TEST(answers_are_written_as_their_face_has_them)
{
    struct payload payload = {.face = PAYLOAD_BARE};
    struct buffer out;
    struct str type;
    uint64_t header_size;
    struct error err;
    buffer_init(&out, 1 << 16);
    EXPECT_STATUS(write(&payload, false, &out, &type, &header_size, &err), STATUS_OK, err);
    EXPECT_STR(buffer_view(&out), STR("[2,4,6]"));
    EXPECT_STR(type, STR("application/json"));
    EXPECT_INT(header_size, 0);
    arena_clear(&arena);
    buffer_reset(&out);
    payload.face = PAYLOAD_OIP;
    EXPECT_STATUS(write(&payload, true, &out, &type, &header_size, &err), STATUS_OK, err);
    EXPECT_STR(type, STR("application/octet-stream"));
    EXPECT_INT(out.size, header_size + 24);
    EXPECT(memcmp(out.data + header_size, (int64_t[]){2, 4, 6}, 24) == 0);
    arena_clear(&arena);
    buffer_clear(&out);
}

TEST(an_answer_that_is_too_large_is_refused)
{
    struct payload payload = {.face = PAYLOAD_BARE};
    struct buffer out;
    struct str type;
    uint64_t header_size;
    struct error err;
    buffer_init(&out, 4);
    EXPECT_STATUS(write(&payload, false, &out, &type, &header_size, &err), STATUS_EXHAUSTED, err);
    arena_clear(&arena);
    buffer_clear(&out);
}
