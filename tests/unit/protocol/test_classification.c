#include "protocol/classification.c"
#include "test.h"

static struct error err;
static struct arena arena;

static struct str text_at(const struct infer_tensor *output, size_t index)
{
    const struct slipway_bytes *texts = output->tensor.data;
    return (struct str){texts[index].data, texts[index].size};
}

TEST(the_largest_come_first_with_labels)
{
    arena_init(&arena, 1 << 16);
    float values[] = {0.25F, 1.5F, -3, 1.5F};
    int64_t dims[] = {4};
    struct infer_tensor output = {.name = STR("y"), .tensor = {DTYPE_FP32, 1, dims, values, 16}};
    struct str labels[] = {STR("cat"), STR("dog"), STR("")};
    struct classification how = {.top_k = 3, .labels = labels, .label_count = 3};
    EXPECT_STATUS(classification_apply(&how, &arena, &output, &err), STATUS_OK, err);
    EXPECT_INT(output.tensor.dtype, DTYPE_BYTES);
    EXPECT(output.tensor.rank == 1 && output.tensor.dims[0] == 3);
    EXPECT_STR(text_at(&output, 0), STR("1.500000:1:dog"));
    EXPECT_STR(text_at(&output, 1), STR("1.500000:3"));
    EXPECT_STR(text_at(&output, 2), STR("0.250000:0:cat"));
    arena_clear(&arena);
}

TEST(rows_are_classified_by_themselves_and_k_is_clamped)
{
    arena_init(&arena, 1 << 16);
    int64_t values[] = {1, 2, INT64_MAX, INT64_MIN}, dims[] = {2, 2};
    struct infer_tensor output = {.name = STR("y"), .tensor = {DTYPE_INT64, 2, dims, values, 32}};
    struct classification how = {.top_k = 100, .batched = true};
    EXPECT_STATUS(classification_apply(&how, &arena, &output, &err), STATUS_OK, err);
    EXPECT(output.tensor.rank == 2 && output.tensor.dims[0] == 2 && output.tensor.dims[1] == 2);
    EXPECT_STR(text_at(&output, 0), STR("2:1"));
    EXPECT_STR(text_at(&output, 2), STR("9223372036854775807:0"));
    EXPECT_STR(text_at(&output, 3), STR("-9223372036854775808:1"));
    arena_clear(&arena);
}

TEST(nan_is_last_and_large_values_fit)
{
    arena_init(&arena, 1 << 16);
    double values[] = {__builtin_nan(""), -1.7976931348623157e308, 0};
    int64_t dims[] = {3}, none[] = {0, 5};
    struct infer_tensor output = {.name = STR("y"), .tensor = {DTYPE_FP64, 1, dims, values, 24}};
    struct classification how = {.top_k = 3};
    EXPECT_STATUS(classification_apply(&how, &arena, &output, &err), STATUS_OK, err);
    EXPECT_STR(text_at(&output, 0), STR("0.000000:2"));
    EXPECT(text_at(&output, 1).size > 300);
    EXPECT_STR(text_at(&output, 2), STR("nan:0"));
    output.tensor = (struct slipway_tensor){DTYPE_FP64, 2, none, NULL, 0};
    how.batched = true;
    EXPECT_STATUS(classification_apply(&how, &arena, &output, &err), STATUS_OK, err);
    EXPECT_INT(output.tensor.byte_size, 0);
    arena_clear(&arena);
}

TEST(what_cannot_be_classified)
{
    arena_init(&arena, 1 << 16);
    int64_t dims[] = {1}, large[] = {1000001};
    struct infer_tensor output = {.name = STR("y"), .tensor = {DTYPE_BYTES, 1, dims, NULL, 0}};
    struct classification how = {.top_k = 1};
    EXPECT_STATUS(classification_apply(&how, &arena, &output, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_TEXT(err.message,
                "class result not available for output due to unsupported type 'BYTES'");
    output.tensor = (struct slipway_tensor){DTYPE_FP32, 1, large, NULL, 4000004};
    EXPECT_STATUS(classification_apply(&how, &arena, &output, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_TEXT(err.message, "classification output tensor too large");
    arena_clear(&arena);
}

/* The classes of three elements, joined: "largest middle least". */
static void expect_order(uint32_t dtype, void *values, const char *expected)
{
    arena_init(&arena, 1 << 16);
    int64_t dims[] = {3};
    struct infer_tensor output = {
        .tensor = {dtype, 1, dims, values, 3 * dtype_width((enum dtype)dtype)}};
    struct classification how = {.top_k = 3};
    EXPECT_STATUS(classification_apply(&how, &arena, &output, &err), STATUS_OK, err);
    char text[1024];
    (void)snprintf(text, sizeof text, "%.*s %.*s %.*s", STR_ARGS(text_at(&output, 0)),
                   STR_ARGS(text_at(&output, 1)), STR_ARGS(text_at(&output, 2)));
    EXPECT_TEXT(text, expected);
    arena_clear(&arena);
}

/* Next to what a double holds, and at each type's ends. */
TEST(every_type_is_ordered_by_its_own_values)
{
    int64_t beyond[] = {INT64_C(1) << 53, (INT64_C(1) << 53) + 1, INT64_MIN};
    expect_order(DTYPE_INT64, beyond,
                 "9007199254740993:1 9007199254740992:0 "
                 "-9223372036854775808:2");
    uint64_t ends[] = {UINT64_MAX - 1, 0, UINT64_MAX};
    expect_order(DTYPE_UINT64, ends, "18446744073709551615:2 18446744073709551614:0 0:1");
    expect_order(DTYPE_BOOL, (uint8_t[]){0, 1, 0}, "1:1 0:0 0:2");
    expect_order(DTYPE_UINT8, (uint8_t[]){0, 128, 255}, "255:2 128:1 0:0");
    expect_order(DTYPE_INT8, (int8_t[]){0, -128, 127}, "127:2 0:0 -128:1");
    expect_order(DTYPE_UINT16, (uint16_t[]){1, 65535, 32768}, "65535:1 32768:2 1:0");
    expect_order(DTYPE_INT16, (int16_t[]){-1, -32768, 32767}, "32767:2 -1:0 -32768:1");
    expect_order(DTYPE_UINT32, (uint32_t[]){1, UINT32_MAX, 2}, "4294967295:1 2:2 1:0");
    expect_order(DTYPE_INT32, (int32_t[]){INT32_MIN, 0, INT32_MAX},
                 "2147483647:2 0:1 -2147483648:0");
    expect_order(DTYPE_FP64, (double[]){-0.0, 0.0, -1e-320}, "-0.000000:0 0.000000:1 -0.000000:2");
    expect_order(DTYPE_FP32, (float[]){-__builtin_inff(), __builtin_nanf(""), __builtin_inff()},
                 "inf:2 -inf:0 nan:1");
}
