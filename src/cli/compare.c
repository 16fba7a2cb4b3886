/* Tensors side by side. */
#include "cli/compare.h"

#include <math.h>
#include <stdarg.h>

const struct compare_tolerance compare_tolerance_default = {1e-5, 1e-4};

/* A half-precision number: 1 sign, 5 exponent, 10 fraction bits. */
static double half_value(uint16_t bits)
{
    int exponent = (bits >> 10) & 31;
    double fraction = bits & 1023;
    double value = exponent == 31  ? (fraction != 0 ? NAN : INFINITY)
                   : exponent == 0 ? ldexp(fraction, -24)
                                   : ldexp(fraction + 1024, exponent - 25);
    return bits >> 15 ? -value : value;
}

static double bfloat_value(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return (double)value;
}

double compare_element(const struct slipway_tensor *tensor, uint64_t index)
{
    const void *data = tensor->data;
    switch ((enum dtype)tensor->dtype) {
    case DTYPE_BOOL:
    case DTYPE_UINT8: return ((const uint8_t *)data)[index];
    case DTYPE_UINT16: return ((const uint16_t *)data)[index];
    case DTYPE_UINT32: return ((const uint32_t *)data)[index];
    case DTYPE_UINT64: return (double)((const uint64_t *)data)[index];
    case DTYPE_INT8: return ((const int8_t *)data)[index];
    case DTYPE_INT16: return ((const int16_t *)data)[index];
    case DTYPE_INT32: return ((const int32_t *)data)[index];
    case DTYPE_INT64: return (double)((const int64_t *)data)[index];
    case DTYPE_FP16: return half_value(((const uint16_t *)data)[index]);
    case DTYPE_BF16: return bfloat_value(((const uint16_t *)data)[index]);
    case DTYPE_FP32: return (double)((const float *)data)[index];
    case DTYPE_FP64: return ((const double *)data)[index];
    case DTYPE_ANY:
    case DTYPE_BYTES: return 0;
    default: return 0;
    }
}

static void say(struct compare_result *result, const char *format, ...) PRINTF_LIKE(2, 3);
static void say(struct compare_result *result, const char *format, ...)
{
    result->equal = false;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(result->text, sizeof result->text, format, arguments);
    va_end(arguments);
}

static bool types_agree(enum dtype got, enum dtype expected)
{
    if (got == expected) return true;
    return dtype_is_float(got) && dtype_is_float(expected);
}

static bool shapes_agree(const struct slipway_tensor *got, const struct slipway_tensor *expected,
                         struct compare_result *result)
{
    if (got->rank == expected->rank &&
        (got->rank == 0 || memcmp(got->dims, expected->dims, got->rank * sizeof *got->dims) == 0))
        return true;
    struct buffer text;
    buffer_init(&text, COMPARE_TEXT_SIZE);
    buffer_add(&text, STR("shape "));
    shape_print(&text, got->dims, got->rank);
    buffer_add(&text, STR(", expected "));
    shape_print(&text, expected->dims, expected->rank);
    say(result, "%s", buffer_text(&text));
    buffer_clear(&text);
    return false;
}

static bool numbers_agree(double got, double expected, const struct compare_tolerance *tolerance)
{
    if (isnan(got) || isnan(expected)) return isnan(got) && isnan(expected);
    if (isinf(got) || isinf(expected)) return got == expected;
    return fabs(got - expected) <= tolerance->absolute + tolerance->relative * fabs(expected);
}

static double difference(double got, double expected)
{
    if (got == expected || (isnan(got) && isnan(expected))) return 0;
    double distance = fabs(got - expected);
    return isnan(distance) ? INFINITY : distance;
}

static void compare_floats(const struct slipway_tensor *got, const struct slipway_tensor *expected,
                           const struct compare_tolerance *tolerance, struct compare_result *result)
{
    for (uint64_t i = 0; i < result->count; i++) {
        double a = compare_element(got, i), b = compare_element(expected, i);
        double distance = difference(a, b);
        if (distance > result->worst) {
            result->worst = distance;
            result->worst_at = i;
        }
        if (!numbers_agree(a, b, tolerance)) result->different++;
    }
}

static bool elements_equal(const struct slipway_tensor *a, const struct slipway_tensor *b,
                           uint64_t index)
{
    if (a->dtype != DTYPE_BYTES) {
        size_t width = dtype_width((enum dtype)a->dtype);
        return memcmp((const char *)a->data + index * width, (const char *)b->data + index * width,
                      width) == 0;
    }
    const struct slipway_bytes *x = (const struct slipway_bytes *)a->data + index;
    const struct slipway_bytes *y = (const struct slipway_bytes *)b->data + index;
    return str_equal((struct str){x->data, x->size}, (struct str){y->data, y->size});
}

static void compare_exactly(const struct slipway_tensor *got, const struct slipway_tensor *expected,
                            struct compare_result *result)
{
    for (uint64_t i = 0; i < result->count; i++) {
        if (elements_equal(got, expected, i)) continue;
        double distance = difference(compare_element(got, i), compare_element(expected, i));
        if (result->different++ == 0 || distance > result->worst) {
            result->worst = distance;
            result->worst_at = i;
        }
    }
}

static void print_element(char *text, size_t size, const struct slipway_tensor *tensor,
                          uint64_t index)
{
    if (tensor->dtype == DTYPE_BYTES) {
        const struct slipway_bytes *bytes = (const struct slipway_bytes *)tensor->data + index;
        (void)snprintf(text, size, "\"%.*s\"", (int)MIN(bytes->size, UINT64_C(40)), bytes->data);
    } else if (tensor->dtype == DTYPE_INT64) {
        (void)snprintf(text, size, "%lld", (long long)((const int64_t *)tensor->data)[index]);
    } else if (tensor->dtype == DTYPE_UINT64) {
        (void)snprintf(text, size, "%llu",
                       (unsigned long long)((const uint64_t *)tensor->data)[index]);
    } else {
        (void)snprintf(text, size, "%.9g", compare_element(tensor, index));
    }
}

void compare_tensors(const struct slipway_tensor *got, const struct slipway_tensor *expected,
                     const struct compare_tolerance *tolerance, struct compare_result *ret_result)
{
    struct compare_result *result = ret_result;
    *result = (struct compare_result){.equal = true};
    enum dtype got_type = (enum dtype)got->dtype, expected_type = (enum dtype)expected->dtype;
    if (!types_agree(got_type, expected_type)) {
        say(result, "type %s, expected %s", dtype_name(got_type), dtype_name(expected_type));
        return;
    }
    if (!shapes_agree(got, expected, result)) return;
    result->count = got->byte_size / dtype_width(got_type);
    bool exact = tolerance->absolute == 0 && tolerance->relative == 0 && got_type == expected_type;
    if (dtype_is_float(got_type) && !exact)
        compare_floats(got, expected, tolerance, result);
    else
        compare_exactly(got, expected, result);
    if (result->different == 0) return;
    char a[64], b[64];
    print_element(a, sizeof a, got, result->worst_at);
    print_element(b, sizeof b, expected, result->worst_at);
    say(result, "%llu of %llu values differ; worst at [%llu]: got %s, expected %s (by %.3g)",
        (unsigned long long)result->different, (unsigned long long)result->count,
        (unsigned long long)result->worst_at, a, b, result->worst);
}

void compare_count_nonfinite(const struct slipway_tensor *tensor, uint64_t *ret_nan,
                             uint64_t *ret_infinite)
{
    uint64_t nans = 0, infinite = 0;
    if (dtype_is_float((enum dtype)tensor->dtype)) {
        uint64_t count = tensor->byte_size / dtype_width((enum dtype)tensor->dtype);
        for (uint64_t i = 0; i < count; i++) {
            double value = compare_element(tensor, i);
            nans += isnan(value) != 0;
            infinite += isinf(value) != 0;
        }
    }
    *ret_nan = nans;
    *ret_infinite = infinite;
}
