#include "protocol/oip_binary.c"
#include "test.h"

static struct error err;
static struct arena arena;
static struct infer_request request;

static void begin(void)
{
    arena_clear(&arena);
    arena_init(&arena, 1 << 22);
    infer_request_init(&request, &arena);
    request.model_name = STR("M");
}

/* A body whose header is `json` and whose blobs are `bytes`. */
static enum status read_body(struct str json, struct str bytes)
{
    static char body[4096] __attribute__((aligned(16)));
    assert(json.size + bytes.size <= sizeof body);
    memcpy(body, json.data, json.size);
    memcpy(body + json.size, bytes.data, bytes.size);
    begin();
    return oip_binary_read((struct str){body, json.size + bytes.size}, json.size, &request, &err);
}

#define HEADER(members) "{\"inputs\":[" members "]}"
#define X(shape, dtype, size)                                                                      \
    "{\"name\":\"x\",\"shape\":" shape ",\"datatype\":\"" dtype                                    \
    "\",\"parameters\":{\"binary_data_size\":" #size "}}"

TEST(header_sizes)
{
    size_t size = 99;
    EXPECT_STATUS(oip_binary_header_size(STR("12"), 20, &size, &err), STATUS_OK, err);
    EXPECT_INT(size, 12);
    EXPECT_STATUS(oip_binary_header_size(STR("0"), 20, &size, &err), STATUS_OK, err);
    EXPECT_INT(size, 0);
    EXPECT_STATUS(oip_binary_header_size(STR("21"), 20, &size, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_TEXT(err.message, "inference header size should be in range (0, 20), got: 21");
    EXPECT_STATUS(oip_binary_header_size(STR("-1"), 20, &size, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_TEXT(err.message, "inference header size should be in range (0, 20), got: -1");
    EXPECT_STATUS(oip_binary_header_size(STR("a"), 20, &size, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_TEXT(err.message, "Unable to parse Inference-Header-Content-Length, got: a");
    EXPECT_STATUS(oip_binary_header_size(STR(""), 20, &size, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_STATUS(oip_binary_header_size(STR("-"), 20, &size, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_STATUS(oip_binary_header_size(STR("2147483648"), 20, &size, &err),
                  STATUS_INVALID_ARGUMENT, err);
    EXPECT_TEXT(err.message,
                "Unable to parse Inference-Header-Content-Length, value is out of range "
                "[ -2147483648, 2147483647 ], got: 2147483648");
    EXPECT_STATUS(oip_binary_header_size(STR("99999999999999999999999"), 20, &size, &err),
                  STATUS_INVALID_ARGUMENT, err);
    EXPECT_INT(size, 0);
}

TEST(blobs_are_views_unless_misaligned)
{
    for (size_t pad = 0; pad < 4; pad++) {
        char json[256];
        int size = snprintf(json, sizeof json, "%*s" HEADER(X("[2]", "INT32", 8)), (int)pad, "");
        EXPECT_STATUS(read_body((struct str){json, (size_t)size}, STR("\1\0\0\0\2\0\0\0")),
                      STATUS_OK, err);
        REQUIRE(request.input_count == 1);
        const int32_t *data = request.inputs[0].tensor.data;
        EXPECT((uintptr_t)data % 4 == 0);
        EXPECT(data[0] == 1 && data[1] == 2);
        EXPECT_INT(request.inputs[0].tensor.byte_size, 8);
    }
    arena_clear(&arena);
}

TEST(blobs_and_json_mix_in_order)
{
    EXPECT_STATUS(
        read_body(
            STR(HEADER(X("[1]", "UINT8",
                         1) ",{\"name\":\"j\",\"shape\":[1],\"datatype\":\"UINT8\",\"data\":[7]},"
                            "{\"name\":\"z\",\"datatype\":\"BYTES\",\"parameters\":{\"binary_data_"
                            "size\":11},\"shape\":[2]}," X("[0]", "FP32", 0))),
            STR("\5\3\0\0\0abc\0\0\0\0")),
        STATUS_OK, err);
    REQUIRE(request.input_count == 4);
    EXPECT_INT(*(uint8_t *)request.inputs[0].tensor.data, 5);
    EXPECT_INT(*(uint8_t *)request.inputs[1].tensor.data, 7);
    const struct slipway_bytes *elements = request.inputs[2].tensor.data;
    EXPECT_STR(((struct str){elements[0].data, elements[0].size}), STR("abc"));
    EXPECT_INT(elements[1].size, 0);
    EXPECT_INT(request.inputs[3].tensor.byte_size, 0);
    arena_clear(&arena);
}

#define REFUSED(json, bytes, wording)                                                              \
    do {                                                                                           \
        EXPECT_STATUS(read_body(STR(json), STR(bytes)), STATUS_INVALID_ARGUMENT, err);             \
        EXPECT_TEXT(err.message, wording);                                                         \
    } while (0)

TEST(sizes_must_fit)
{
    REFUSED(HEADER(X("[2]", "INT32", 8)), "1234",
            "unexpected size for input 'x', expecting 4 additional bytes for model 'M'");
    REFUSED(HEADER(X("[1]", "INT32", 4)), "12345",
            "unexpected additional input data for model 'M'");
    REFUSED(HEADER(X("[2]", "INT32", 4)), "1234",
            "input byte size mismatch for input 'x' for model 'M'. Expected 8, got 4");
    REFUSED(HEADER(X("[1]", "INT32", 5)), "12345",
            "input byte size mismatch for input 'x' for model 'M'. Expected 4, got 5");
    REFUSED(HEADER(X("[2]", "BOOL", 2)), "\1\2", "element 1 of 'x' is 2, but a BOOL is 0 or 1");
    REFUSED(HEADER(X("[2]", "BYTES", 5)), "\1\0\0\0a",
            "expected 2 string elements for inference input 'x' for model 'M', got 1");
    REFUSED(HEADER(X("[1]", "BYTES", 10)), "\1\0\0\0a\1\0\0\0b",
            "unexpected number of string elements 2 for inference input 'x' for model 'M', "
            "expecting 1");
    REFUSED(HEADER(X("[1]", "BYTES", 3)), "\1\0\0",
            "incomplete string length indicator for inference input 'x' for model 'M', expecting 4 "
            "bytes but only 3 bytes available");
    REFUSED(
        HEADER(X("[1]", "BYTES", 5)), "\2\0\0\0a",
        "incomplete string data for inference input 'x' for model 'M', expecting string of length "
        "2 but only 1 bytes available");
    REFUSED(
        HEADER(X("[1]", "BYTES", 4)), "\377\377\377\377",
        "incomplete string data for inference input 'x' for model 'M', expecting string of length "
        "4294967295 but only 0 bytes available");
    REFUSED(HEADER(X("[1000000000000]", "BYTES", 4)), "\0\0\0\0",
            "expected 1000000000000 string elements for inference input 'x' for model 'M', got 1");
    arena_clear(&arena);
}

static enum status read_raw(enum dtype dtype, int32_t rank, const int64_t *dims, int64_t batch,
                            struct str body)
{
    struct slipway_tensor_spec input = {"x", dtype, 0, rank, dims};
    struct infer_spec spec = {"M", &input, 1, NULL, 0, batch};
    begin();
    return oip_binary_read_raw(body, &spec, &request, &err);
}

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

TEST(raw_requests)
{
    static const char body[32] __attribute__((aligned(8))) = "12345678";
    EXPECT_STATUS(read_raw(DTYPE_INT32, 2, DIMS(-1, -1), 8, (struct str){body, 16}), STATUS_OK,
                  err);
    EXPECT_INT(request.inputs[0].tensor.dims[0], 1);
    EXPECT_INT(request.inputs[0].tensor.dims[1], 4);
    EXPECT(request.binary_output_default);
    EXPECT_STATUS(read_raw(DTYPE_INT32, 2, DIMS(-1, -1), 0, (struct str){body, 16}),
                  STATUS_INVALID_ARGUMENT, err);
    EXPECT_TEXT(err.message,
                "The shape of the raw input 'x' can not be deduced because there are more "
                "than one variable-sized dimension");
    EXPECT_STATUS(read_raw(DTYPE_INT32, 2, DIMS(2, 2), 0, (struct str){body, 12}),
                  STATUS_INVALID_ARGUMENT, err);
    EXPECT_TEXT(err.message,
                "input byte size mismatch for input 'x' for model 'M'. Expected 16, got 12");
    EXPECT_STATUS(read_raw(DTYPE_INT32, 2, DIMS(-1, 3), 0, (struct str){body, 13}),
                  STATUS_INVALID_ARGUMENT, err);
    EXPECT_STATUS(read_raw(DTYPE_BYTES, 2, DIMS(-1, 1), 8, STR("hello")), STATUS_OK, err);
    EXPECT_INT(((struct slipway_bytes *)request.inputs[0].tensor.data)->size, 5);
    EXPECT_STATUS(read_raw(DTYPE_BYTES, 1, DIMS(2), 0, STR("hello")), STATUS_INVALID_ARGUMENT, err);
    EXPECT_TEXT(err.message,
                "For BYTE datatype raw input 'x', the model must have input shape [1]");
    EXPECT_STATUS(read_raw(DTYPE_ANY, -1, NULL, 0, STR("hello")), STATUS_INVALID_ARGUMENT, err);
    struct slipway_tensor_spec three[3] = {{.name = "x"}};
    struct infer_spec spec = {"M", three, 3, NULL, 0, 0};
    EXPECT_STATUS(oip_binary_read_raw(STR("x"), &spec, &request, &err), STATUS_INVALID_ARGUMENT,
                  err);
    EXPECT_TEXT(err.message,
                "Raw request must only have 1 input (found 1) to be deduced but got 3 inputs "
                "in 'M' model configuration");
    arena_clear(&arena);
}

static struct str join(const struct buffer *header, const struct oip_binary_blobs *blobs,
                       char *body)
{
    size_t size = header->size;
    memcpy(body, header->data, size);
    for (size_t i = 0; i < blobs->count; i++) {
        if (blobs->items[i].size) memcpy(body + size, blobs->items[i].data, blobs->items[i].size);
        size += blobs->items[i].size;
    }
    return (struct str){body, size};
}

/* What is written is read back equal, every type, binary and JSON mixed; damage never crashes. */
TEST(messages_round_trip)
{
    static char body[1 << 16], again_body[1 << 16];
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct buffer header;
    buffer_init(&header, 1 << 16);
    for (int i = 0; i < 2000; i++) {
        begin();
        struct infer_tensor tensors[4] = {0};
        size_t count = prng_below(&prng, 5);
        for (size_t j = 0; j < count; j++) {
            static const char *const names[] = {"a", "b", "c", "d"};
            enum dtype dtype = (enum dtype)(1 + prng_below(&prng, DTYPE_COUNT - 1));
            int64_t *dims = ARENA_TRY_ARRAY(&arena, int64_t, 2);
            dims[0] = (int64_t)prng_below(&prng, 5);
            dims[1] = (int64_t)prng_below(&prng, 5);
            size_t elements = (size_t)(dims[0] * dims[1]), size = elements * dtype_width(dtype);
            uint8_t *data = arena_try_new(&arena, size + 1);
            for (size_t k = 0; k < size; k++)
                data[k] = (uint8_t)prng_u64(&prng) & (dtype == DTYPE_BOOL ? 1 : 0x3F);
            for (size_t k = 0; k < elements && dtype == DTYPE_BYTES; k++)
                ((struct slipway_bytes *)(void *)data)[k] =
                    (struct slipway_bytes){"hello world", prng_below(&prng, 12)};
            bool json = prng_below(&prng, 3) == 0 && dtype != DTYPE_FP16 && dtype != DTYPE_BF16;
            tensors[j] = (struct infer_tensor){
                .name = str_of(names[j]), .tensor = {dtype, 2, dims, data, size}, .binary = !json};
        }
        struct infer_reply reply = {.model_name = STR("m"),
                                    .model_version = STR("1"),
                                    .id = STR(""),
                                    .outputs = tensors,
                                    .output_count = count};
        struct oip_binary_blobs blobs;
        buffer_reset(&header);
        EXPECT_STATUS(oip_binary_write(&reply, &arena, &header, &blobs, &err), STATUS_OK, err);
        struct str whole = join(&header, &blobs, body);
        EXPECT_INT(whole.size - header.size, blobs.byte_size);
        struct infer_reply again;
        EXPECT_STATUS(oip_binary_read_reply(whole, header.size, &arena, &again, &err), STATUS_OK,
                      err);
        for (size_t j = 0; j < again.output_count; j++) again.outputs[j].binary = tensors[j].binary;
        size_t header_size = header.size;
        buffer_reset(&header);
        EXPECT_STATUS(oip_binary_write(&again, &arena, &header, &blobs, &err), STATUS_OK, err);
        EXPECT_STR(join(&header, &blobs, again_body), whole);
        for (int j = 0; j < 10; j++) {
            body[prng_below(&prng, whole.size)] = (char)prng_u64(&prng);
            (void)!oip_binary_read_reply(whole, header_size, &arena, &again, &err);
        }
    }
    buffer_clear(&header);
    arena_clear(&arena);
}

TEST(requests_of_the_client)
{
    begin();
    int32_t values[] = {1, 2};
    struct infer_tensor input = {.name = STR("x"),
                                 .tensor = {DTYPE_INT32, 1, (const int64_t[]){2}, values, 8},
                                 .binary = true};
    request.inputs = &input;
    request.input_count = 1;
    request.id = STR("7");
    request.binary_output_default = true;
    struct buffer header;
    buffer_init(&header, 1 << 16);
    struct oip_binary_blobs blobs;
    EXPECT_STATUS(oip_binary_write_request(&request, &header, &blobs, &err), STATUS_OK, err);
    EXPECT_TEXT(
        buffer_text(&header),
        "{\"id\":\"7\",\"parameters\":{\"binary_data_output\":true},\"inputs\":[{\"name\":\"x\","
        "\"datatype\":\"INT32\",\"shape\":[2],\"parameters\":{\"binary_data_size\":8}}]}");
    REQUIRE(blobs.count == 1);
    EXPECT(blobs.items[0].data == (void *)values && blobs.byte_size == 8);
    buffer_clear(&header);
    arena_clear(&arena);
}
