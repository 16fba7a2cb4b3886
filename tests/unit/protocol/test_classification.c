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
