#include "cli/input.c"
#include "test.h"

static int64_t row_dims[] = {-1, 4};
static int64_t flat_dims[] = {3};
static int64_t text_dims[] = {1};

static void expect_input(const struct slipway_tensor_spec *input, const char *flag,
                         const char *shape, double first)
{
    struct infer_spec spec = {"m", input, 1, NULL, 0, 0};
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct infer_request request;
    infer_request_init(&request, &arena);
    struct error err;
    EXPECT_STATUS(input_read_flag(flag, &spec, &request, &err), STATUS_OK, err);
    if (request.input_count == 1) {
        const struct slipway_tensor *tensor = &request.inputs[0].tensor;
        struct buffer text;
        buffer_init(&text, 256);
        shape_print(&text, tensor->dims, tensor->rank);
        EXPECT_TEXT(buffer_text(&text), shape);
        buffer_clear(&text);
        double value = tensor->dtype == DTYPE_FP32    ? (double)((float *)tensor->data)[0]
                       : tensor->dtype == DTYPE_INT64 ? (double)((int64_t *)tensor->data)[0]
                                                      : 0;
        EXPECT(value == first);
    }
    arena_clear(&arena);
}

TEST(shapes_come_from_the_model_the_flag_or_the_values)
{
    struct slipway_tensor_spec rows = {"x", DTYPE_FP32, 0, 2, row_dims};
    struct slipway_tensor_spec unknown = {"x", DTYPE_ANY, 0, -1, NULL};
    struct slipway_tensor_spec flat = {"x", DTYPE_INT64, 0, 1, flat_dims};
    expect_input(&rows, "x=1,2,3,4", "[1,4]", 1);
    expect_input(&rows, "x=1,2,3,4,5,6,7,8", "[2,4]", 1);
    expect_input(&rows, "x[2,2]=5,6,7,8", "[2,2]", 5);
    expect_input(&rows, "x=[[1,2,3,4]]", "[1,4]", 1);
    expect_input(&rows, "x=1,2,3", "[3]", 1); /* the model says what is wrong with it */
    expect_input(&unknown, "x=1,2,3", "[3]", 1);
    expect_input(&unknown, "x:FP32[3,1]= 1, 2, 3", "[3,1]", 1);
    expect_input(&flat, "x=-7,2,3", "[3]", -7);
    expect_input(&flat, "INPUT__0=4,2,3", "[3]", 4);
}

TEST(text_needs_no_quotes)
{
    struct slipway_tensor_spec input = {"t", DTYPE_BYTES, 0, 1, text_dims};
    struct infer_spec spec = {"m", &input, 1, NULL, 0, 0};
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct infer_request request;
    infer_request_init(&request, &arena);
    struct error err;
    EXPECT_STATUS(input_read_flag("t=well, \"good\"", &spec, &request, &err), STATUS_OK, err);
    EXPECT_STATUS(input_read_flag("t=[\"a\",\"b=c\"]", &spec, &request, &err), STATUS_OK, err);
    REQUIRE(request.input_count == 2);
    const struct slipway_bytes *one = request.inputs[0].tensor.data;
    const struct slipway_bytes *two = request.inputs[1].tensor.data;
    EXPECT_STR(((struct str){one[0].data, one[0].size}), STR("well, \"good\""));
    EXPECT_STR(((struct str){two[1].data, two[1].size}), STR("b=c"));
    arena_clear(&arena);
}

static void expect_failure(const char *flag, const char *message)
{
    struct slipway_tensor_spec input = {"x", DTYPE_FP32, 0, 2, row_dims};
    struct infer_spec spec = {"m", &input, 1, NULL, 0, 0};
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct infer_request request;
    infer_request_init(&request, &arena);
    struct error err = {0};
    EXPECT_STATUS(input_read_flag(flag, &spec, &request, &err), STATUS_INVALID_ARGUMENT, err);
    if (!strstr(err.message, message))
        test_failed(__FILE__, __LINE__, "'%s' does not say '%s'", err.message, message);
    arena_clear(&arena);
}

TEST(mistakes_are_told)
{
    expect_failure("x", "NAME=VALUES");
    expect_failure("=1", "NAME=VALUES");
    expect_failure("x[2=1", "no ']'");
    expect_failure("x[a]=1", "no shape");
    expect_failure("x[-1]=1", "no shape");
    expect_failure("x[3]=1,2", "not what the shape [3] holds");
    expect_failure("x:FLOAT=1", "no type 'FLOAT'");
    expect_failure("x=1,a", "input 'x'");
    expect_failure("x=1,2]", "input 'x'");
    expect_failure("x=[[1],[2,3]]", "input 'x'");
}

static void expect_text(const char *text, const char *shape)
{
    struct slipway_tensor_spec input = {"x", DTYPE_FP32, 0, 2, row_dims};
    struct infer_spec spec = {"m", &input, 1, NULL, 0, 0};
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct infer_request request;
    infer_request_init(&request, &arena);
    struct error err;
    EXPECT_STATUS(input_read_text(str_of(text), INPUT_FORMAT_AUTO, &spec, &request, &err),
                  STATUS_OK, err);
    REQUIRE(request.input_count == 1);
    struct buffer out;
    buffer_init(&out, 256);
    shape_print(&out, request.inputs[0].tensor.dims, request.inputs[0].tensor.rank);
    EXPECT_TEXT(buffer_text(&out), shape);
    EXPECT(((float *)request.inputs[0].tensor.data)[1] == 2);
    buffer_clear(&out);
    arena_clear(&arena);
}

TEST(files_tell_their_format)
{
    expect_text(" {\"inputs\":[{\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"FP32\","
                "\"data\":[1,2]}]}",
                "[1,2]");
    expect_text("\n[[1,2,3,4]]", "[1,4]");
    expect_text("1,2,3,4\n5,6,7,8\n", "[2,4]");
    expect_text("a,b,c,d\r\n1, 2,3,4\r\n\r\n", "[1,4]");
}

TEST(rows_that_are_no_numbers_are_refused)
{
    struct slipway_tensor_spec input = {"x", DTYPE_FP32, 0, 2, row_dims};
    struct infer_spec spec = {"m", &input, 1, NULL, 0, 0};
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct infer_request request;
    infer_request_init(&request, &arena);
    struct error err;
    const char *const texts[] = {"", "a,b\n", "1,2\n3,x\n", "1,2\n3\n", "1,,2\n"};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        EXPECT_STATUS(input_read_text(str_of(texts[i]), INPUT_FORMAT_CSV, &spec, &request, &err),
                      STATUS_INVALID_ARGUMENT, err);
    arena_clear(&arena);
}
