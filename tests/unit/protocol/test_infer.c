#include "protocol/infer.c"
#include "test.h"

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

static struct error err;
static struct arena arena;

static const struct slipway_tensor_spec two_inputs[] = {
    {"a", DTYPE_INT32, 0, 2, DIMS(-1, 16)},
    {"b", DTYPE_BYTES, 1, 2, DIMS(-1, 2)},
};
static const struct slipway_tensor_spec two_outputs[] = {
    {"x", DTYPE_INT32, 0, 2, DIMS(-1, 16)},
    {"y", DTYPE_FP32, 0, 2, DIMS(-1, 1)},
};
static const struct infer_spec batched = {"M", two_inputs, 2, two_outputs, 2, 8};

static struct infer_tensor tensor(const char *name, enum dtype dtype, uint32_t rank,
                                  const int64_t *dims)
{
    static char data[1 << 16] __attribute__((aligned(16)));
    int64_t count = 0;
    if (!shape_element_count(dims, rank, &count)) count = 0;
    return (struct infer_tensor){
        .name = str_of(name),
        .tensor = {dtype, rank, dims, data, (uint64_t)count * dtype_width(dtype)},
    };
}

static enum status bind(const struct infer_spec *spec, struct infer_tensor *inputs, size_t count,
                        struct infer_bound *bound)
{
    struct infer_request request;
    infer_request_init(&request, &arena);
    request.inputs = inputs;
    request.input_count = count;
    return infer_request_bind(spec, &request, bound, &err);
}

#define REFUSED(spec, wording, ...)                                                                \
    do {                                                                                           \
        struct infer_tensor inputs_[] = {__VA_ARGS__};                                             \
        struct infer_bound bound_;                                                                 \
        arena_init(&arena, 1 << 16);                                                               \
        EXPECT(bind(spec, inputs_, COUNT_OF(inputs_), &bound_) == STATUS_INVALID_ARGUMENT);        \
        EXPECT_TEXT(err.message, wording);                                                         \
        arena_clear(&arena);                                                                       \
    } while (0)

TEST(inputs_are_put_in_the_models_order)
{
    arena_init(&arena, 1 << 16);
    struct infer_tensor inputs[] = {tensor("b", DTYPE_BYTES, 2, DIMS(3, 2)),
                                    tensor("a", DTYPE_INT32, 2, DIMS(3, 16))};
    struct infer_bound bound;
    EXPECT_STATUS(bind(&batched, inputs, 2, &bound), STATUS_OK, err);
    EXPECT_INT(bound.batch_size, 3);
    EXPECT_INT(bound.tensors[0].dtype, DTYPE_INT32);
    EXPECT_INT(bound.tensors[1].dtype, DTYPE_BYTES);
    EXPECT(bound.wanted[0] == 1 && bound.wanted[1] == 1);
    EXPECT_STATUS(bind(&batched, inputs + 1, 1, &bound), STATUS_OK, err);
    EXPECT_INT(bound.tensors[1].dtype, DTYPE_ANY);
    arena_clear(&arena);
}

TEST(positions_have_aliases)
{
    arena_init(&arena, 1 << 16);
    struct infer_tensor mixed[] = {tensor("b", DTYPE_BYTES, 2, DIMS(1, 2)),
                                   tensor("INPUT__0", DTYPE_INT32, 2, DIMS(1, 16))};
    struct infer_bound bound;
    EXPECT_STATUS(bind(&batched, mixed, 2, &bound), STATUS_OK, err);
    EXPECT_INT(bound.tensors[0].dtype, DTYPE_INT32);
    EXPECT(infer_input_find(&batched, STR("INPUT__2")) == SIZE_MAX);
    EXPECT(infer_input_find(&batched, STR("INPUT__01")) == SIZE_MAX);
    EXPECT(infer_input_find(&batched, STR("INPUT__")) == SIZE_MAX);
    EXPECT(infer_output_find(&batched, STR("OUTPUT__1")) == 1);
    EXPECT(infer_output_find(&batched, STR("INPUT__1")) == SIZE_MAX);
    /* A literal name wins over the alias. */
    static const struct slipway_tensor_spec crossed[] = {{"INPUT__1", DTYPE_ANY, 0, -1, NULL},
                                                         {"z", DTYPE_ANY, 0, -1, NULL}};
    const struct infer_spec spec = {"M", crossed, 2, two_outputs, 2, 0};
    EXPECT(infer_input_find(&spec, STR("INPUT__1")) == 0);
    EXPECT(infer_input_find(&spec, STR("INPUT__0")) == 0);
    arena_clear(&arena);
}

TEST(what_the_file_does_not_say_takes_anything)
{
    static const struct slipway_tensor_spec any[] = {{"x", DTYPE_ANY, 0, -1, NULL}};
    const struct infer_spec spec = {"M", any, 1, two_outputs, 2, 0};
    arena_init(&arena, 1 << 16);
    struct infer_tensor scalar[] = {tensor("x", DTYPE_FP64, 0, NULL)};
    struct infer_bound bound;
    EXPECT_STATUS(bind(&spec, scalar, 1, &bound), STATUS_OK, err);
    struct infer_tensor cube[] = {tensor("x", DTYPE_BOOL, 3, DIMS(2, 3, 4))};
    EXPECT_STATUS(bind(&spec, cube, 1, &bound), STATUS_OK, err);
    EXPECT_INT(bound.batch_size, 1);
    arena_clear(&arena);
}

TEST(counts_and_names)
{
    const struct slipway_tensor_spec three[] = {{"INPUT0", DTYPE_INT32, 0, 1, DIMS(4)},
                                                {"INPUT1", DTYPE_INT32, 0, 1, DIMS(4)},
                                                {"INPUT2", DTYPE_INT32, 0, 1, DIMS(4)}};
    const struct infer_spec spec = {"M", three, 3, two_outputs, 2, 0};
    REFUSED(
        &spec,
        "expected 3 inputs but got 1 inputs for model 'M'. Got input(s) ['INPUT0'], but missing "
        "required input(s) ['INPUT1','INPUT2']. Please provide all required input(s).",
        tensor("INPUT0", DTYPE_INT32, 1, DIMS(4)));
    REFUSED(
        &batched,
        "expected number of inputs between 1 and 2 but got 3 inputs for model 'M'. Got input(s) "
        "['a','b','c']",
        tensor("a", DTYPE_INT32, 2, DIMS(1, 16)), tensor("b", DTYPE_BYTES, 2, DIMS(1, 2)),
        tensor("c", DTYPE_INT32, 0, NULL));
    REFUSED(
        &batched,
        "expected number of inputs between 1 and 2 but got 1 inputs for model 'M'. Got input(s) "
        "['b'], but missing required input(s) ['a']. Please provide all required input(s).",
        tensor("b", DTYPE_BYTES, 2, DIMS(1, 2)));
    REFUSED(&batched, "unexpected inference input 'q' for model 'M'",
            tensor("q", DTYPE_INT32, 2, DIMS(1, 16)));
    REFUSED(&batched, "input 'INPUT__0' already exists in request",
            tensor("a", DTYPE_INT32, 2, DIMS(1, 16)),
            tensor("INPUT__0", DTYPE_INT32, 2, DIMS(1, 16)));
    REFUSED(&batched, "input 'a' already exists in request",
            tensor("a", DTYPE_INT32, 2, DIMS(1, 16)), tensor("b", DTYPE_BYTES, 2, DIMS(1, 2)),
            tensor("c", DTYPE_INT32, 2, DIMS(1, 16)), tensor("a", DTYPE_INT32, 2, DIMS(1, 16)));
}

TEST(types_shapes_and_batches)
{
    REFUSED(&batched, "inference input 'a' data-type is 'FP32', but model 'M' expects 'INT32'",
            tensor("a", DTYPE_FP32, 2, DIMS(1, 16)));
    REFUSED(
        &batched,
        "unexpected shape for input 'a' for model 'M'. Expected [-1,16], got [1,17]." BATCH_NOTE,
        tensor("a", DTYPE_INT32, 2, DIMS(1, 17)));
    REFUSED(&batched, "inference request batch-size must be <= 8 for 'M'",
            tensor("a", DTYPE_INT32, 2, DIMS(9, 16)));
    REFUSED(&batched, "inference request batch-size must be <= 8 for 'M', and at least 1",
            tensor("a", DTYPE_INT32, 2, DIMS(0, 16)));
    REFUSED(&batched, "input 'b' batch size does not match other inputs for 'M'",
            tensor("a", DTYPE_INT32, 2, DIMS(2, 16)), tensor("b", DTYPE_BYTES, 2, DIMS(1, 2)));
    REFUSED(&batched, "input 'a' has no shape but model requires batch dimension for 'M'",
            tensor("a", DTYPE_INT32, 0, NULL));
}

TEST(byte_sizes)
{
    struct infer_tensor short_one = tensor("a", DTYPE_INT32, 2, DIMS(1, 16));
    short_one.tensor.byte_size = 40;
    REFUSED(&batched, "input byte size mismatch for input 'a' for model 'M'. Expected 64, got 40",
            short_one);
    struct infer_tensor strings = tensor("b", DTYPE_BYTES, 2, DIMS(1, 2));
    strings.tensor.byte_size = 16;
    REFUSED(&batched, "expected 2 string elements for inference input 'b' for model 'M', got 1",
            tensor("a", DTYPE_INT32, 2, DIMS(1, 16)), strings);
    static const struct slipway_tensor_spec any[] = {{"x", DTYPE_ANY, 0, -1, NULL}};
    const struct infer_spec spec = {"M", any, 1, two_outputs, 2, 0};
    REFUSED(&spec, "byte size overflow for input 'x'",
            tensor("x", DTYPE_INT32, 2, DIMS(INT64_MAX, 4)));
    REFUSED(&spec, "byte size overflow for input 'x'",
            tensor("x", DTYPE_BYTES, 1, DIMS(INT64_MAX)));
}

TEST(wanted_outputs)
{
    arena_init(&arena, 1 << 16);
    struct infer_tensor input = tensor("a", DTYPE_INT32, 2, DIMS(1, 16));
    struct infer_wanted_output outputs[] = {{.name = STR("OUTPUT__1")}, {.name = STR("y")}};
    struct infer_request request;
    infer_request_init(&request, &arena);
    request.inputs = &input;
    request.input_count = 1;
    request.outputs = outputs;
    request.output_count = 1;
    struct infer_bound bound;
    EXPECT_STATUS(infer_request_bind(&batched, &request, &bound, &err), STATUS_OK, err);
    EXPECT(bound.wanted[0] == 0 && bound.wanted[1] == 1);
    request.output_count = 2;
    EXPECT(infer_request_bind(&batched, &request, &bound, &err) == STATUS_INVALID_ARGUMENT);
    EXPECT_TEXT(err.message, "output 'y' already exists in request");
    outputs[0].name = STR("O");
    EXPECT(infer_request_bind(&batched, &request, &bound, &err) == STATUS_INVALID_ARGUMENT);
    EXPECT_TEXT(err.message, "unexpected inference output 'O' for model 'M'");
    arena_clear(&arena);
    arena_init(&arena, 16);
    EXPECT_STATUS(infer_request_bind(&batched, &request, &bound, &err), STATUS_EXHAUSTED, err);
}

TEST(parameters_are_found)
{
    struct infer_parameter items[] = {{.name = STR("a")}, {.name = STR("b")}};
    struct infer_parameters parameters = {items, 2};
    EXPECT(infer_parameter_find(&parameters, STR("b")) == &items[1]);
    EXPECT(infer_parameter_find(&parameters, STR("c")) == NULL);
}
