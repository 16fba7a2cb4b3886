#include "cli/compare.c"
#include "test.h"

static struct slipway_tensor floats(float *data, const int64_t *dims)
{
    return (struct slipway_tensor){DTYPE_FP32, 1, dims, data, (uint64_t)dims[0] * 4};
}

TEST(tolerance_is_absolute_plus_relative)
{
    int64_t dims[] = {2};
    float a[] = {100.0F, 1.0F}, b[] = {101.0F, 1.0F};
    struct slipway_tensor got = floats(a, dims), expected = floats(b, dims);
    struct compare_result result;
    compare_tensors(&got, &expected, &(struct compare_tolerance){0, 0.0099}, &result);
    EXPECT(!result.equal);
    EXPECT_INT(result.different, 1);
    EXPECT_INT(result.worst_at, 0);
    EXPECT(strstr(result.text, "got 100, expected 101 (by 1)") != NULL);
    compare_tensors(&got, &expected, &(struct compare_tolerance){0, 0.01}, &result);
    EXPECT(result.equal && result.worst == 1);
    compare_tensors(&got, &expected, &(struct compare_tolerance){1, 0}, &result);
    EXPECT(result.equal);
}

TEST(exact_is_bit_by_bit)
{
    int64_t dims[] = {1};
    float zero[] = {0.0F}, minus_zero[] = {-0.0F};
    struct slipway_tensor got = floats(zero, dims), expected = floats(minus_zero, dims);
    struct compare_result result;
    compare_tensors(&got, &expected, &(struct compare_tolerance){0, 0}, &result);
    EXPECT(!result.equal);
    compare_tensors(&got, &expected, &compare_tolerance_default, &result);
    EXPECT(result.equal);
}

TEST(nan_equals_nan_only)
{
    int64_t dims[] = {1};
    float nan[] = {NAN}, one[] = {1.0F}, infinite[] = {INFINITY}, minus[] = {-INFINITY};
    struct compare_tolerance wide = {1e30, 1e30};
    struct slipway_tensor nans = floats(nan, dims), ones = floats(one, dims);
    struct slipway_tensor up = floats(infinite, dims), down = floats(minus, dims);
    struct compare_result result;
    compare_tensors(&nans, &nans, &wide, &result);
    EXPECT(result.equal);
    compare_tensors(&nans, &ones, &wide, &result);
    EXPECT(!result.equal);
    compare_tensors(&ones, &nans, &wide, &result);
    EXPECT(!result.equal && isinf(result.worst));
    compare_tensors(&up, &up, &wide, &result);
    EXPECT(result.equal);
    compare_tensors(&up, &down, &wide, &result);
    EXPECT(!result.equal);
    compare_tensors(&up, &ones, &wide, &result);
    EXPECT(!result.equal);
}

TEST(shape_and_type_are_compared_first)
{
    int64_t two[] = {2}, flat[] = {1, 2};
    float a[] = {1, 2};
    int64_t whole[] = {1, 2};
    struct slipway_tensor got = floats(a, two), expected = floats(a, two);
    expected.rank = 2;
    expected.dims = flat;
    struct compare_result result;
    compare_tensors(&got, &expected, &compare_tolerance_default, &result);
    EXPECT_TEXT(result.text, "shape [2], expected [1,2]");
    struct slipway_tensor integers = {DTYPE_INT64, 1, two, whole, 16};
    compare_tensors(&got, &integers, &compare_tolerance_default, &result);
    EXPECT_TEXT(result.text, "type FP32, expected INT64");
}

TEST(integers_and_text_are_exact)
{
    int64_t dims[] = {2};
    int64_t a[] = {INT64_MAX, 5}, b[] = {INT64_MAX - 1, 5};
    struct slipway_tensor got = {DTYPE_INT64, 1, dims, a, 16},
                          expected = {DTYPE_INT64, 1, dims, b, 16};
    struct compare_result result;
    compare_tensors(&got, &expected, &(struct compare_tolerance){10, 10}, &result);
    EXPECT(!result.equal);
    EXPECT(strstr(result.text, "got 9223372036854775807, expected 9223372036854775806") != NULL);
    struct slipway_bytes x[] = {{"a", 1}, {"", 0}}, y[] = {{"a", 1}, {"b", 1}};
    struct slipway_tensor text = {DTYPE_BYTES, 1, dims, x, sizeof x};
    struct slipway_tensor other = {DTYPE_BYTES, 1, dims, y, sizeof y};
    compare_tensors(&text, &other, &compare_tolerance_default, &result);
    EXPECT(!result.equal && result.worst_at == 1);
    EXPECT(strstr(result.text, "got \"\", expected \"b\"") != NULL);
}

TEST(halves_are_numbers)
{
    EXPECT(half_value(0x3c00) == 1 && half_value(0xc000) == -2 && half_value(0x7bff) == 65504);
    EXPECT(half_value(1) == ldexp(1, -24) && isnan(half_value(0x7e00)));
    EXPECT(half_value(0xfc00) == -INFINITY);
    EXPECT(bfloat_value(0x3f80) == 1 && isinf(bfloat_value(0x7f80)));
}

TEST(nonfinite_values_are_counted)
{
    int64_t dims[] = {4};
    float a[] = {NAN, 1, INFINITY, -INFINITY};
    struct slipway_tensor tensor = floats(a, dims);
    uint64_t nans, infinite;
    compare_count_nonfinite(&tensor, &nans, &infinite);
    EXPECT(nans == 1 && infinite == 2);
}
