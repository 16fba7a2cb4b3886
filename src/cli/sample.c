/* Made-up requests. */
#include "cli/sample.h"

static void write_number(enum dtype dtype, void *data, uint64_t index, struct prng *prng)
{
    uint64_t whole = prng_below(prng, 10);
    double real = prng_double(prng);
    switch (dtype) {
    case DTYPE_BOOL: ((uint8_t *)data)[index] = whole & 1; break;
    case DTYPE_UINT8:
    case DTYPE_INT8: ((uint8_t *)data)[index] = (uint8_t)whole; break;
    case DTYPE_UINT16:
    case DTYPE_INT16: ((uint16_t *)data)[index] = (uint16_t)whole; break;
    case DTYPE_UINT32:
    case DTYPE_INT32: ((uint32_t *)data)[index] = (uint32_t)whole; break;
    case DTYPE_UINT64:
    case DTYPE_INT64: ((uint64_t *)data)[index] = whole; break;
    /* Sign 0, exponent of [0.5, 1), random fraction: halves have 10 bits of it, bfloats 7. */
    case DTYPE_FP16:
        ((uint16_t *)data)[index] = (uint16_t)(0x3800 | (unsigned)(real * 1024));
        break;
    case DTYPE_BF16: ((uint16_t *)data)[index] = (uint16_t)(0x3f00 | (unsigned)(real * 128)); break;
    case DTYPE_FP32: ((float *)data)[index] = (float)real * 0.99999994F; break;
    case DTYPE_FP64: ((double *)data)[index] = real; break;
    case DTYPE_BYTES:
        ((struct slipway_bytes *)data)[index] = (struct slipway_bytes){"abcdefghij" + whole, 1};
        break;
    case DTYPE_ANY:
    default: break;
    }
}

struct maker {
    const struct infer_spec *spec;
    int64_t rows;
    struct prng *prng;
    struct arena *arena;
    bool guessed; /* the model did not say */
};

static enum status choose_shape(struct maker *maker, const struct slipway_tensor_spec *input,
                                struct slipway_tensor *tensor, struct error *err)
{
    bool batchable = maker->spec->batch_size_max > 0;
    uint32_t rank = input->rank >= 0 ? (uint32_t)input->rank : batchable ? 2 : 1;
    int64_t *dims = ARENA_TRY_ARRAY(maker->arena, int64_t, MAX(rank, 1U));
    if (!dims) return fail(err, STATUS_EXHAUSTED, "no memory for a request");
    if (input->rank < 0 || input->dtype == DTYPE_ANY) maker->guessed = true;
    for (uint32_t i = 0; i < rank; i++) {
        bool known = input->rank >= 0 && input->dims[i] >= 0;
        dims[i] = known ? input->dims[i] : 1;
        if (!known && !(batchable && i == 0)) maker->guessed = true;
    }
    if (batchable && rank > 0) dims[0] = maker->rows;
    tensor->rank = rank;
    tensor->dims = dims;
    return STATUS_OK;
}

static enum status fill_input(struct maker *maker, const struct slipway_tensor_spec *input,
                              struct infer_tensor *ret_input, struct error *err)
{
    struct slipway_tensor tensor = {.dtype = input->dtype == DTYPE_ANY ? DTYPE_FP32 : input->dtype};
    TRY(choose_shape(maker, input, &tensor, err));
    size_t width = dtype_width((enum dtype)tensor.dtype);
    int64_t count;
    if (!shape_element_count(tensor.dims, tensor.rank, &count) ||
        (uint64_t)count > SAMPLE_BYTES_MAX / width)
        return fail(err, STATUS_EXHAUSTED,
                    "a request for model '%s' would be larger than %d MiB; give one instead",
                    maker->spec->name, SAMPLE_BYTES_MAX >> 20);
    tensor.byte_size = (uint64_t)count * width;
    tensor.data = arena_try_aligned(maker->arena, MAX(tensor.byte_size, UINT64_C(1)), 64);
    if (!tensor.data) return fail(err, STATUS_EXHAUSTED, "no memory for a request");
    for (uint64_t i = 0; i < (uint64_t)count; i++)
        write_number((enum dtype)tensor.dtype, tensor.data, i, maker->prng);
    *ret_input = (struct infer_tensor){.name = str_of(input->name), .tensor = tensor};
    return STATUS_OK;
}

enum status sample_fill(const struct infer_spec *spec, int64_t rows, struct prng *prng,
                        struct infer_request *request, bool *ret_guessed, struct error *err)
{
    struct infer_tensor *inputs =
        ARENA_TRY_ARRAY(request->arena, struct infer_tensor, MAX(spec->input_count, (size_t)1));
    if (!inputs) return fail(err, STATUS_EXHAUSTED, "no memory for a request");
    struct maker maker = {.spec = spec, .rows = rows, .prng = prng, .arena = request->arena};
    size_t count = 0;
    for (size_t i = 0; i < spec->input_count; i++) {
        if (spec->inputs[i].optional) continue;
        TRY(fill_input(&maker, &spec->inputs[i], &inputs[count++], err));
    }
    request->inputs = inputs;
    request->input_count = count;
    *ret_guessed = maker.guessed;
    return STATUS_OK;
}
