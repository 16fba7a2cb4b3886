/* The short codecs: bare, V1, problem, metadata. */
#include "protocol/bare.c"
#include "protocol/metadata.h"
#include "protocol/problem.h"
#include "protocol/v1.h"
#include "test.h"

static struct error err;
static struct arena arena;
static struct infer_request request;

static const int64_t any_rows[] = {-1, 2}, five[] = {5};
static const struct slipway_tensor_spec sole[] = {{"x", DTYPE_INT64, 0, 1, five}};
static const struct slipway_tensor_spec pair[] = {{"a", DTYPE_FP32, 0, 2, any_rows},
                                                  {"s", DTYPE_BYTES, 0, -1, NULL},
                                                  {"o", DTYPE_FP32, 1, -1, NULL}};
static const struct infer_spec one_input = {"M", sole, 1, sole, 1, 0};
static const struct infer_spec many_inputs = {"M", pair, 3, sole, 1, 8};

static void begin(void)
{
    arena_clear(&arena);
    arena_init(&arena, 1 << 20);
    infer_request_init(&request, &arena);
}

TEST(bare_arrays)
{
    begin();
    EXPECT_STATUS(bare_read(STR(" [1,2,3,4,5] "), &one_input, &request, &err), STATUS_OK, err);
    REQUIRE(request.input_count == 1);
    EXPECT_STR(request.inputs[0].name, STR("x"));
    EXPECT_INT(((int64_t *)request.inputs[0].tensor.data)[4], 5);
    struct infer_reply reply = {.outputs = request.inputs, .output_count = 1};
    struct buffer out;
    buffer_init(&out, 1000);
    EXPECT_STATUS(bare_write(&reply, &out, &err), STATUS_OK, err);
    EXPECT_TEXT(buffer_text(&out), "[1,2,3,4,5]");
    struct infer_tensor two[] = {request.inputs[0], request.inputs[0]};
    two[1].name = STR("y");
    reply = (struct infer_reply){.outputs = two, .output_count = 2};
    buffer_reset(&out);
    EXPECT_STATUS(bare_write(&reply, &out, &err), STATUS_OK, err);
    EXPECT_TEXT(buffer_text(&out), "{\"x\":[1,2,3,4,5],\"y\":[1,2,3,4,5]}");
    buffer_clear(&out);
    EXPECT_STATUS(bare_read(STR("[1] x"), &one_input, &request, &err), STATUS_INVALID_ARGUMENT,
                  err);
    EXPECT_STATUS(bare_read(STR("[1]"), &many_inputs, &request, &err), STATUS_INVALID_ARGUMENT,
                  err);
    EXPECT_TEXT(err.message,
                "a bare array stands for the only input of a model, but 'M' has 3 inputs; "
                "send {\"inputs\":[...]} instead");
    arena_clear(&arena);
}

static enum status read_v1(const char *text, const struct infer_spec *spec, bool *columnar)
{
    begin();
    return v1_read(str_of(text), spec, &request, columnar, &err);
}

TEST(v1_rows_and_columns)
{
    bool columnar = true;
    EXPECT_STATUS(
        read_v1("{\"signature_name\":\"x\",\"instances\":[1,2,3]}", &one_input, &columnar),
        STATUS_OK, err);
    EXPECT(!columnar && request.input_count == 1 && request.inputs[0].tensor.dims[0] == 3);
    EXPECT_STATUS(read_v1("{\"inputs\":[[1],[2]]}", &one_input, &columnar), STATUS_OK, err);
    EXPECT(columnar && request.inputs[0].tensor.rank == 2);
    EXPECT_STATUS(
        read_v1(
            "{\"instances\":[{\"a\":[1,2],\"s\":\"p\"},{\"s\":{\"b64\":\"aGk=\"},\"a\":[3,4]}]}",
            &many_inputs, &columnar),
        STATUS_OK, err);
    REQUIRE(request.input_count == 2);
    EXPECT_INT(request.inputs[0].tensor.rank, 2);
    EXPECT(((float *)request.inputs[0].tensor.data)[3] == 4);
    struct slipway_bytes *strings = request.inputs[1].tensor.data;
    EXPECT_STR(((struct str){strings[1].data, strings[1].size}), STR("hi"));
    EXPECT_STATUS(read_v1("{\"inputs\":{\"a\":[[1,2]],\"s\":[\"x\"]}}", &many_inputs, &columnar),
                  STATUS_OK, err);
    EXPECT(columnar && request.input_count == 2);
    arena_clear(&arena);
}

TEST(v1_refusals)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"instances\":1}",
        "{\"instances\":[1],\"inputs\":[1]}",
        "{\"instances\":[1],\"instances\":[1]}",
        "{\"instances\":[1]",
        "{\"instances\":[1]} x",
        "{\"instances\":[1]}",
        "{\"instances\":[{\"a\":[1,2]},{\"s\":\"x\"}]}",
        "{\"instances\":[{\"a\":[1,2]},{}]}",
        "{\"instances\":[{\"a\":[1,2],\"a\":[1,2]}]}",
        "{\"instances\":[{\"a\":[1,2]},3]}",
        "{\"instances\":[{\"q\":1}]}",
        "{\"inputs\":{\"q\":1}}",
        "{\"inputs\":{\"a\":1,\"a\":2}}",
        "{\"instances\":[{\"a\":[1,2]},{\"a\":[1]}]}",
    };
    bool columnar;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (read_v1(texts[i], &many_inputs, &columnar) == STATUS_OK)
            test_failed(__FILE__, __LINE__, "'%s' was taken", texts[i]);
    arena_clear(&arena);
}

TEST(v1_answers)
{
    float values[] = {1, 2, 3, 4};
    int64_t wide[] = {2, 2}, narrow[] = {2}, other[] = {4};
    int32_t classes[] = {7, 8};
    struct infer_tensor outputs[] = {
        {.name = STR("p"), .tensor = {DTYPE_FP32, 2, wide, values, 16}},
        {.name = STR("c"), .tensor = {DTYPE_INT32, 1, narrow, classes, 8}}};
    struct infer_reply reply = {.outputs = outputs, .output_count = 1};
    struct buffer out;
    buffer_init(&out, 1000);
    EXPECT_STATUS(v1_write(&reply, false, &out, &err), STATUS_OK, err);
    EXPECT_TEXT(buffer_text(&out), "{\"predictions\":[[1.0,2.0],[3.0,4.0]]}");
    buffer_reset(&out);
    EXPECT_STATUS(v1_write(&reply, true, &out, &err), STATUS_OK, err);
    EXPECT_TEXT(buffer_text(&out), "{\"outputs\":[[1.0,2.0],[3.0,4.0]]}");
    reply.output_count = 2;
    buffer_reset(&out);
    EXPECT_STATUS(v1_write(&reply, false, &out, &err), STATUS_OK, err);
    EXPECT_TEXT(buffer_text(&out),
                "{\"predictions\":[{\"p\":[1.0,2.0],\"c\":7},{\"p\":[3.0,4.0],\"c\":8}]}");
    buffer_reset(&out);
    EXPECT_STATUS(v1_write(&reply, true, &out, &err), STATUS_OK, err);
    EXPECT_TEXT(buffer_text(&out), "{\"outputs\":{\"p\":[[1.0,2.0],[3.0,4.0]],\"c\":[7,8]}}");
    outputs[1].tensor.dims = other;
    EXPECT_STATUS(v1_write(&reply, false, &out, &err), STATUS_INVALID_ARGUMENT, err);
    buffer_clear(&out);
}

TEST(problems_round_trip)
{
    struct buffer out;
    buffer_init(&out, 1000);
    problem_write(&out, "model 'x\"' is not found\n");
    EXPECT_TEXT(buffer_text(&out), "{\"error\":\"model 'x\\\"' is not found\\n\"}");
    EXPECT_STATUS(problem_read(buffer_view(&out), 404, &err), STATUS_NOT_FOUND, err);
    EXPECT_TEXT(err.message, "model 'x\"' is not found\n");
    EXPECT_STATUS(problem_read(STR("<html>"), 502, &err), STATUS_UNKNOWN, err);
    EXPECT_TEXT(err.message, "the server answered with HTTP status 502 and \"<html>\"");
    EXPECT_STATUS(problem_read(STR(""), 503, &err), STATUS_UNAVAILABLE, err);
    EXPECT_STATUS(problem_read(STR("{\"error\":{}}"), 400, &err), STATUS_INVALID_ARGUMENT, err);
    buffer_clear(&out);
}

TEST(metadata_bodies)
{
    struct buffer out;
    buffer_init(&out, 4000);
    struct str versions[] = {STR("1"), STR("3")};
    struct metadata_model model = {&many_inputs, "onnxruntime_onnx", versions, 2};
    metadata_write_model(&model, &out);
    EXPECT_TEXT(
        buffer_text(&out),
        "{\"name\":\"M\",\"versions\":[\"1\",\"3\"],\"platform\":\"onnxruntime_onnx\",\"inputs\":["
        "{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[-1,2]},{\"name\":\"s\",\"datatype\":"
        "\"BYTES\","
        "\"shape\":[-1]},{\"name\":\"o\",\"datatype\":\"FP32\",\"shape\":[-1]}],\"outputs\":[{"
        "\"name\":\"x\","
        "\"datatype\":\"INT64\",\"shape\":[5]}]}");
    buffer_reset(&out);
    const char *extensions[] = {"binary_tensor_data", "statistics"};
    struct metadata_server server = {"slipway", "0.1.0", extensions, 2};
    metadata_write_server(&server, &out);
    EXPECT_TEXT(buffer_text(&out), "{\"name\":\"slipway\",\"version\":\"0.1.0\",\"extensions\":["
                                   "\"binary_tensor_data\",\"statistics\"]}");
    buffer_reset(&out);
    struct metadata_index_row rows[] = {{STR("a"), STR("1"), STR("READY"), STR("")},
                                        {STR("b"), STR(""), STR(""), STR("")}};
    metadata_write_index(rows, 2, &out);
    EXPECT_TEXT(buffer_text(&out), "[{\"name\":\"a\",\"version\":\"1\",\"state\":\"READY\","
                                   "\"reason\":\"\"},{\"name\":\"b\"}]");
    buffer_clear(&out);
}
