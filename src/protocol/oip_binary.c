/* The binary tensor extension: little-endian, as this machine is. */
#include "protocol/oip_binary.h"

#include "base/mem.h"
#include "base/num.h"
#include "protocol/oip_json.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blobs are used as they stand");

enum { LENGTH_SIZE = 4 };

enum status oip_binary_header_size(struct str value, size_t body_size, size_t *ret_size,
                                   struct error *err)
{
    int shown = (int)MIN(value.size, (size_t)64);
    bool digits = value.size > 0;
    size_t first = value.size && (*value.data == '-' || *value.data == '+');
    for (size_t i = first; i < value.size; i++)
        digits &= value.data[i] >= '0' && value.data[i] <= '9';
    if (!digits || value.size == first)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "Unable to parse " OIP_BINARY_HEADER ", got: %.*s", shown, value.data);
    struct str magnitude = str_from(value, first);
    while (magnitude.size > 1 && *magnitude.data == '0') magnitude = str_from(magnitude, 1);
    bool negative = first && *value.data == '-';
    uint64_t size;
    if (!num_read_u64(magnitude, &size) || size > (uint64_t)INT32_MAX + negative)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "Unable to parse " OIP_BINARY_HEADER
                    ", value is out of range [ -2147483648, 2147483647 ], got: %.*s",
                    shown, value.data);
    if ((negative && size) || size > body_size)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "inference header size should be in range (0, %zu), got: %.*s", body_size,
                    shown, value.data);
    *ret_size = (size_t)size;
    return STATUS_OK;
}

enum status oip_binary_read(struct str body, size_t header_size, struct infer_request *request,
                            struct error *err)
{
    assert(header_size <= body.size);
    return oip_json_read((struct str){body.data, header_size}, str_from(body, header_size), request,
                         err);
}

enum status oip_binary_read_reply(struct str body, size_t header_size, struct arena *arena,
                                  struct infer_reply *ret_reply, struct error *err)
{
    if (header_size > body.size)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "the reply's " OIP_BINARY_HEADER " of %zu is larger than its body of %zu bytes",
                    header_size, body.size);
    return oip_json_read_reply((struct str){body.data, header_size}, str_from(body, header_size),
                               arena, ret_reply, err);
}

/* What a failure names. */
struct origin {
    struct str input;
    struct str model;
};

/* Takes one element off the front of `bytes`. */
static enum status take_element(struct str *bytes, const struct origin *origin,
                                struct slipway_bytes *ret_element, struct error *err)
{
    uint32_t length;
    if (bytes->size < LENGTH_SIZE)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "incomplete string length indicator for inference input '%.*s' for model "
                    "'%.*s', expecting 4 bytes but only %zu bytes available",
                    STR_ARGS(origin->input), STR_ARGS(origin->model), bytes->size);
    memcpy(&length, bytes->data, LENGTH_SIZE);
    struct str rest = str_from(*bytes, LENGTH_SIZE);
    if (length > rest.size)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "incomplete string data for inference input '%.*s' for model '%.*s', "
                    "expecting string of length %u but only %zu bytes available",
                    STR_ARGS(origin->input), STR_ARGS(origin->model), length, rest.size);
    *ret_element = (struct slipway_bytes){rest.data, length};
    *bytes = str_from(rest, length);
    return STATUS_OK;
}

static enum status fail_few(uint64_t expected, const struct origin *origin, uint64_t got,
                            struct error *err)
{
    return fail(
        err, STATUS_INVALID_ARGUMENT,
        "expected %llu string elements for inference input '%.*s' for model '%.*s', got %llu",
        (unsigned long long)expected, STR_ARGS(origin->input), STR_ARGS(origin->model),
        (unsigned long long)got);
}

/*
 * Exactly `count` elements. Each takes at least its length's bytes, so no shape makes us take
 * memory for more than the blob can hold.
 */
static enum status read_elements(struct str bytes, uint64_t count, const struct origin *origin,
                                 struct arena *arena, struct slipway_bytes **ret_elements,
                                 struct error *err)
{
    uint64_t most = bytes.size / LENGTH_SIZE, room = MIN(count, most);
    struct slipway_bytes *elements = arena_try_new(arena, (room + 1) * sizeof *elements);
    if (!elements)
        return fail(err, STATUS_EXHAUSTED, "no memory for the %llu elements of '%.*s'",
                    (unsigned long long)count, STR_ARGS(origin->input));
    uint64_t got = 0;
    for (; bytes.size; got++) {
        if (got == count)
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "unexpected number of string elements %llu for inference input '%.*s' for "
                        "model '%.*s', expecting %llu",
                        (unsigned long long)got + 1, STR_ARGS(origin->input),
                        STR_ARGS(origin->model), (unsigned long long)count);
        TRY(take_element(&bytes, origin, &elements[got], err));
    }
    if (got < count) return fail_few(count, origin, got, err);
    *ret_elements = elements;
    return STATUS_OK;
}

static enum status place_bytes(struct str bytes, size_t width, struct infer_tensor *tensor,
                               struct arena *arena, struct error *err)
{
    /* An engine only reads its inputs, so the view may lose its const. */
    tensor->tensor.data = (void *)(uintptr_t)bytes.data;
    if (bytes.size == 0) tensor->tensor.data = NULL;
    if (bytes.size == 0 || (uintptr_t)bytes.data % width == 0) return STATUS_OK;
    void *copy = arena_try_new(arena, bytes.size);
    if (!copy)
        return fail(err, STATUS_EXHAUSTED, "no memory for the %zu bytes of '%.*s'", bytes.size,
                    STR_ARGS(tensor->name));
    memcpy(copy, bytes.data, bytes.size);
    tensor->tensor.data = copy;
    return STATUS_OK;
}

/* A BOOL is 0 or 1: other bytes would be a trap in an engine. */
static enum status check_bools(struct str bytes, struct str name, struct error *err)
{
    for (size_t i = 0; i < bytes.size; i++)
        if (bytes.data[i] & ~1)
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "element %zu of '%.*s' is %d, but a BOOL is 0 or 1", i, STR_ARGS(name),
                        (unsigned char)bytes.data[i]);
    return STATUS_OK;
}

enum status oip_binary_read_tensor(struct str bytes, struct str model_name,
                                   struct infer_tensor *tensor, struct arena *arena,
                                   struct error *err)
{
    struct slipway_tensor *view = &tensor->tensor;
    enum dtype dtype = (enum dtype)view->dtype;
    int64_t count;
    if (!shape_element_count(view->dims, view->rank, &count))
        return fail(err, STATUS_INVALID_ARGUMENT, "byte size overflow for input '%.*s'",
                    STR_ARGS(tensor->name));
    size_t width = dtype_width(dtype);
    if (dtype == DTYPE_BYTES) {
        struct slipway_bytes *elements;
        struct origin origin = {tensor->name, model_name};
        TRY(read_elements(bytes, (uint64_t)count, &origin, arena, &elements, err));
        view->data = elements;
        view->byte_size = (uint64_t)count * width;
        return STATUS_OK;
    }
    if (bytes.size % width || bytes.size / width != (uint64_t)count)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "input byte size mismatch for input '%.*s' for model '%.*s'. Expected %llu, "
                    "got %zu",
                    STR_ARGS(tensor->name), STR_ARGS(model_name), (unsigned long long)count * width,
                    bytes.size);
    if (dtype == DTYPE_BOOL) TRY(check_bools(bytes, tensor->name, err));
    view->byte_size = bytes.size;
    return place_bytes(bytes, width, tensor, arena, err);
}

/* The shape of a raw body: one row, and the one variable dimension from the number of elements. */
static enum status deduce_shape(const struct infer_spec *spec, size_t byte_size, int64_t *dims,
                                struct error *err)
{
    const struct slipway_tensor_spec *input = &spec->inputs[0];
    size_t variable = SIZE_MAX, count = 0;
    uint64_t known = dtype_width((enum dtype)input->dtype);
    bool batch = spec->batch_size_max > 0;
    for (size_t i = 0; i < (size_t)input->rank; i++) {
        dims[i] = batch && i == 0 ? 1 : input->dims[i];
        if (dims[i] >= 0) {
            if (__builtin_mul_overflow(known, (uint64_t)dims[i], &known)) known = 0;
            continue;
        }
        variable = i;
        count++;
    }
    if (count > 1)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "The shape of the raw input '%s' can not be deduced because there are more "
                    "than one variable-sized dimension",
                    input->name);
    if (count == 1) dims[variable] = known ? (int64_t)(byte_size / known) : 0;
    return STATUS_OK;
}

/* A raw BYTES input is one string: the whole body. */
static enum status read_raw_string(struct str body, const struct infer_spec *spec,
                                   struct infer_tensor *tensor, struct arena *arena,
                                   struct error *err)
{
    const struct slipway_tensor_spec *input = &spec->inputs[0];
    int64_t *dims = ARENA_TRY_ARRAY(arena, int64_t, SHAPE_RANK_MAX);
    struct slipway_bytes *element = arena_try_new(arena, sizeof *element);
    if (!dims || !element) return fail(err, STATUS_EXHAUSTED, "no memory for the raw input");
    for (int32_t i = 0; i < input->rank; i++) {
        dims[i] = 1;
        if (input->dims[i] > 1)
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "For BYTE datatype raw input '%s', the model must have input shape [1]",
                        input->name);
    }
    *element = (struct slipway_bytes){body.data, body.size};
    tensor->tensor = (struct slipway_tensor){
        .dtype = DTYPE_BYTES,
        .rank = (uint32_t)input->rank,
        .dims = dims,
        .data = element,
        .byte_size = sizeof *element,
    };
    return STATUS_OK;
}

static enum status read_raw_numbers(struct str body, const struct infer_spec *spec,
                                    struct infer_tensor *tensor, struct arena *arena,
                                    struct error *err)
{
    const struct slipway_tensor_spec *input = &spec->inputs[0];
    int64_t *dims = ARENA_TRY_ARRAY(arena, int64_t, SHAPE_RANK_MAX);
    if (!dims) return fail(err, STATUS_EXHAUSTED, "no memory for the raw input");
    TRY(deduce_shape(spec, body.size, dims, err));
    tensor->tensor =
        (struct slipway_tensor){.dtype = input->dtype, .rank = (uint32_t)input->rank, .dims = dims};
    return oip_binary_read_tensor(body, str_of(spec->name), tensor, arena, err);
}

enum status oip_binary_read_raw(struct str body, const struct infer_spec *spec,
                                struct infer_request *request, struct error *err)
{
    if (spec->input_count != 1)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "Raw request must only have 1 input (found 1) to be deduced but got %zu inputs "
                    "in '%s' model configuration",
                    spec->input_count, spec->name);
    const struct slipway_tensor_spec *input = &spec->inputs[0];
    if (input->dtype == DTYPE_ANY || input->rank < 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "the raw input '%s' can not be deduced because model '%s' does not declare its "
                    "type and shape",
                    input->name, spec->name);
    struct infer_tensor *tensor = ARENA_TRY_ARRAY(request->arena, struct infer_tensor, 1);
    if (!tensor) return fail(err, STATUS_EXHAUSTED, "no memory for the raw input");
    tensor->name = str_of(input->name);
    if (input->dtype == DTYPE_BYTES)
        TRY(read_raw_string(body, spec, tensor, request->arena, err));
    else
        TRY(read_raw_numbers(body, spec, tensor, request->arena, err));
    request->inputs = tensor;
    request->input_count = 1;
    request->outputs = NULL;
    request->output_count = 0;
    request->binary_output_default = true;
    return STATUS_OK;
}

/* The encoding of BYTES elements, in the arena. */
static enum status encode_elements(const struct infer_tensor *tensor, struct arena *arena,
                                   struct str *ret_blob, struct error *err)
{
    const struct slipway_bytes *elements = tensor->tensor.data;
    size_t count = tensor->tensor.byte_size / sizeof *elements, size = 0;
    for (size_t i = 0; i < count; i++) {
        if (elements[i].size > UINT32_MAX || !size_add(size, elements[i].size + LENGTH_SIZE, &size))
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "element %zu of '%.*s' is too long for the binary format", i,
                        STR_ARGS(tensor->name));
    }
    char *out = arena_try_aligned(arena, size + 1, 1);
    if (!out)
        return fail(err, STATUS_EXHAUSTED, "no memory for the %zu bytes of '%.*s'", size,
                    STR_ARGS(tensor->name));
    *ret_blob = (struct str){out, size};
    for (size_t i = 0; i < count; i++) {
        uint32_t length = (uint32_t)elements[i].size;
        memcpy(out, &length, LENGTH_SIZE);
        if (length) memcpy(out + LENGTH_SIZE, elements[i].data, length);
        out += LENGTH_SIZE + length;
    }
    return STATUS_OK;
}

/* The blobs of the tensors marked binary, and each tensor's size: 0 for the others. */
static enum status collect_blobs(const struct infer_tensor *tensors, size_t count,
                                 struct arena *arena, struct oip_binary_blobs *ret_blobs,
                                 uint64_t **ret_sizes, struct error *err)
{
    struct oip_binary_blobs blobs = {.count = 0};
    blobs.items = ARENA_TRY_ARRAY(arena, struct str, count + 1);
    uint64_t *sizes = ARENA_TRY_ARRAY(arena, uint64_t, count + 1);
    if (!blobs.items || !sizes)
        return fail(err, STATUS_EXHAUSTED, "no memory for %zu tensors", count);
    for (size_t i = 0; i < count; i++) {
        if (!tensors[i].binary) continue;
        const struct slipway_tensor *view = &tensors[i].tensor;
        struct str blob = {view->data, view->byte_size};
        if (view->dtype == DTYPE_BYTES) TRY(encode_elements(&tensors[i], arena, &blob, err));
        sizes[i] = blob.size;
        blobs.byte_size += blob.size;
        blobs.items[blobs.count++] = blob;
    }
    *ret_blobs = blobs;
    *ret_sizes = sizes;
    return STATUS_OK;
}

enum status oip_binary_write(const struct infer_reply *reply, struct arena *arena,
                             struct buffer *out, struct oip_binary_blobs *ret_blobs,
                             struct error *err)
{
    struct oip_binary_blobs blobs;
    uint64_t *sizes;
    TRY(collect_blobs(reply->outputs, reply->output_count, arena, &blobs, &sizes, err));
    TRY(oip_json_write_header(reply, sizes, out, err));
    *ret_blobs = blobs;
    return STATUS_OK;
}

enum status oip_binary_write_request(const struct infer_request *request, struct buffer *out,
                                     struct oip_binary_blobs *ret_blobs, struct error *err)
{
    struct oip_binary_blobs blobs;
    uint64_t *sizes;
    TRY(collect_blobs(request->inputs, request->input_count, request->arena, &blobs, &sizes, err));
    TRY(oip_json_write_request_header(request, sizes, out, err));
    *ret_blobs = blobs;
    return STATUS_OK;
}
