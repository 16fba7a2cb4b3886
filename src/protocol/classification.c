/* The k largest of each row, with their labels. */
#include "protocol/classification.h"

#include "base/mem.h"

/* "-1.797...e308" as %f has 309 digits before the point. */
enum { VALUE_TEXT_MAX = 340, INDEX_TEXT_MAX = 24 };

static double value_at(const struct slipway_tensor *tensor, uint64_t index)
{
#define VALUE(TYPE, type)                                                                          \
    case DTYPE_##TYPE: return (double)((const type *)tensor->data)[index]
    switch ((enum dtype)tensor->dtype) {
        VALUE(BOOL, uint8_t);
        VALUE(UINT8, uint8_t);
        VALUE(UINT16, uint16_t);
        VALUE(UINT32, uint32_t);
        VALUE(UINT64, uint64_t);
        VALUE(INT8, int8_t);
        VALUE(INT16, int16_t);
        VALUE(INT32, int32_t);
        VALUE(INT64, int64_t);
        VALUE(FP32, float);
        VALUE(FP64, double);
    case DTYPE_ANY:
    case DTYPE_FP16:
    case DTYPE_BF16:
    case DTYPE_BYTES: break;
    }
#undef VALUE
    assert(!"classification_apply refuses the other types");
    return 0;
}

struct candidate {
    uint64_t rank; /* larger for larger values; 0 for NaN */
    uint32_t index;
};

#define SIGN_BIT (UINT64_C(1) << 63)

/* A double has not all digits of 64 bits, so integers are not compared as such. */
static uint64_t rank_at(const struct slipway_tensor *tensor, uint64_t index)
{
    if (tensor->dtype == DTYPE_UINT64) return ((const uint64_t *)tensor->data)[index];
    if (tensor->dtype == DTYPE_INT64)
        return (uint64_t)((const int64_t *)tensor->data)[index] ^ SIGN_BIT;
    double value = value_at(tensor, index) + 0.0; /* no negative zero */
    if (value != value) return 0;
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & SIGN_BIT ? ~bits : bits | SIGN_BIT;
}

/* Descending by value, NaN last, ascending by index among equals. */
static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *first = a, *second = b;
    if (first->rank != second->rank) return first->rank > second->rank ? -1 : 1;
    return (first->index > second->index) - (first->index < second->index);
}

/* Integers are printed as such: %f of a double would lose the low digits of 64 bits. */
static size_t print_value(char *text, const struct slipway_tensor *tensor, uint64_t index)
{
    int size;
    if (tensor->dtype == DTYPE_INT64)
        size = snprintf(text, VALUE_TEXT_MAX, "%lld",
                        (long long)((const int64_t *)tensor->data)[index]);
    else if (tensor->dtype == DTYPE_UINT64)
        size = snprintf(text, VALUE_TEXT_MAX, "%llu",
                        (unsigned long long)((const uint64_t *)tensor->data)[index]);
    else if (dtype_is_float((enum dtype)tensor->dtype))
        size = snprintf(text, VALUE_TEXT_MAX, "%f", value_at(tensor, index));
    else
        size = snprintf(text, VALUE_TEXT_MAX, "%.0f", value_at(tensor, index));
    assert(size > 0 && size < VALUE_TEXT_MAX);
    return (size_t)size;
}

static enum status print_class(const struct classification *how, struct arena *arena,
                               const struct slipway_tensor *tensor, uint64_t index, uint32_t class,
                               struct slipway_bytes *ret_text, struct error *err)
{
    char text[VALUE_TEXT_MAX + INDEX_TEXT_MAX];
    size_t size = print_value(text, tensor, index);
    size += (size_t)snprintf(text + size, sizeof text - size, ":%u", class);
    struct str label = class < how->label_count ? how->labels[class] : STR_EMPTY;
    char *whole = arena_try_aligned(arena, size + label.size + 1, 1);
    if (!whole) return fail(err, STATUS_EXHAUSTED, "no memory for the classes of an output");
    memcpy(whole, text, size);
    if (label.size) {
        whole[size++] = ':';
        memcpy(whole + size, label.data, label.size);
    }
    *ret_text = (struct slipway_bytes){whole, size + label.size};
    return STATUS_OK;
}

static enum status check_output(const struct infer_tensor *output, int64_t *ret_count,
                                struct error *err)
{
    enum dtype dtype = (enum dtype)output->tensor.dtype;
    if (dtype == DTYPE_BYTES || dtype == DTYPE_FP16 || dtype == DTYPE_BF16 || dtype == DTYPE_ANY)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "class result not available for output due to unsupported type '%s'",
                    dtype_name(dtype));
    if (!shape_element_count(output->tensor.dims, output->tensor.rank, ret_count) ||
        *ret_count > CLASSIFICATION_ELEMENTS_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "classification output tensor too large");
    return STATUS_OK;
}

enum status classification_apply(const struct classification *how, struct arena *arena,
                                 struct infer_tensor *output, struct error *err)
{
    const struct slipway_tensor *from = &output->tensor;
    int64_t count;
    assert(how->top_k > 0);
    TRY(check_output(output, &count, err));
    bool batched = how->batched && from->rank > 0;
    size_t rows = batched ? (size_t)from->dims[0] : 1;
    size_t classes = rows ? (size_t)count / rows : 0;
    size_t kept = MIN((size_t)how->top_k, classes);
    struct candidate *candidates CLEANUP(mem_freep) =
        mem_try_new((classes + 1) * sizeof *candidates);
    struct slipway_bytes *texts = arena_try_new(arena, (rows * kept + 1) * sizeof *texts);
    int64_t *dims = arena_try_new(arena, 2 * sizeof *dims);
    if (!candidates || !texts || !dims)
        return fail(err, STATUS_EXHAUSTED, "no memory for the classes of an output");
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < classes; i++)
            candidates[i] = (struct candidate){rank_at(from, row * classes + i), (uint32_t)i};
        qsort(candidates, classes, sizeof *candidates, compare_candidates);
        for (size_t i = 0; i < kept; i++)
            TRY(print_class(how, arena, from, row * classes + candidates[i].index,
                            candidates[i].index, &texts[row * kept + i], err));
    }
    dims[0] = (int64_t)(batched ? rows : kept);
    dims[1] = (int64_t)kept;
    output->tensor = (struct slipway_tensor){DTYPE_BYTES, batched ? 2 : 1, dims, texts,
                                             rows * kept * sizeof *texts};
    output->classification = how->top_k;
    return STATUS_OK;
}
