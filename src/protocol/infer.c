/* Binding a request to a model. The texts are Triton's: clients and their tests match on them. */
#include "protocol/infer.h"

#include "base/num.h"

enum { NAMES_PRINTED_MAX = 400, REPEATS_LOOKED_AT = 64 };

#define BATCH_NOTE                                                                                 \
    " NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to "  \
    "be prepended to each input shape. If you want to specify the full shape including the "       \
    "batch dim in your input dims config, try setting max_batch_size to zero"

/* As str_equal, of a name whose end is only known when it is reached. */
static inline bool is_named(const char *name, struct str wanted)
{
    size_t i = 0;
    while (i < wanted.size && name[i] == wanted.data[i] && name[i] != '\0') i++;
    return i == wanted.size && name[i] == '\0';
}

/* `alias` is what a name begins with whose rest is a position. */
static size_t position_of_alias(size_t count, struct str name, struct str alias)
{
    uint64_t position;
    if (!str_starts_with(name, alias) || !num_read_u64(str_from(name, alias.size), &position))
        return SIZE_MAX;
    return position < count ? (size_t)position : SIZE_MAX;
}

static inline size_t position_of(const struct slipway_tensor_spec *specs, size_t count,
                                 struct str name, struct str alias)
{
    for (size_t i = 0; i < count; i++)
        if (is_named(specs[i].name, name)) return i;
    return position_of_alias(count, name, alias);
}

size_t infer_input_find(const struct infer_spec *spec, struct str name)
{
    return position_of(spec->inputs, spec->input_count, name, STR("INPUT__"));
}

size_t infer_output_find(const struct infer_spec *spec, struct str name)
{
    return position_of(spec->outputs, spec->output_count, name, STR("OUTPUT__"));
}

const struct infer_parameter *infer_parameter_find(const struct infer_parameters *parameters,
                                                   struct str name)
{
    for (size_t i = 0; i < parameters->count; i++)
        if (str_equal(parameters->items[i].name, name)) return &parameters->items[i];
    return NULL;
}

/* "'a'," appended; a list too long for a message ends where it must. */
static void list_name(struct buffer *list, struct str name)
{
    if (list->size + name.size + 3 > NAMES_PRINTED_MAX / 2) return;
    if (list->size) buffer_add_byte(list, ',');
    buffer_add_byte(list, '\'');
    buffer_add(list, name);
    buffer_add_byte(list, '\'');
}

static bool is_given(const struct infer_spec *spec, const struct infer_request *request,
                     size_t position)
{
    for (size_t i = 0; i < request->input_count; i++)
        if (infer_input_find(spec, request->inputs[i].name) == position) return true;
    return false;
}

static enum status fail_input_count(const struct infer_spec *spec,
                                    const struct infer_request *request, size_t required,
                                    struct error *err)
{
    struct buffer given CLEANUP(buffer_clear), missing CLEANUP(buffer_clear);
    buffer_init(&given, NAMES_PRINTED_MAX);
    buffer_init(&missing, NAMES_PRINTED_MAX);
    for (size_t i = 0; i < request->input_count; i++) list_name(&given, request->inputs[i].name);
    for (size_t i = 0; i < spec->input_count; i++)
        if (!spec->inputs[i].optional && !is_given(spec, request, i))
            list_name(&missing, str_of(spec->inputs[i].name));
    char expected[80];
    if (required == spec->input_count)
        (void)snprintf(expected, sizeof expected, "expected %zu inputs", required);
    else
        (void)snprintf(expected, sizeof expected, "expected number of inputs between %zu and %zu",
                       required, spec->input_count);
    if (missing.size == 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "%s but got %zu inputs for model '%s'. Got input(s) [%s]", expected,
                    request->input_count, spec->name, buffer_text(&given));
    return fail(err, STATUS_INVALID_ARGUMENT,
                "%s but got %zu inputs for model '%s'. Got input(s) [%s], but missing required "
                "input(s) [%s]. Please provide all required input(s).",
                expected, request->input_count, spec->name, buffer_text(&given),
                buffer_text(&missing));
}

static enum status fail_shape(const struct infer_spec *spec, const struct infer_tensor *input,
                              const struct slipway_tensor_spec *wanted, struct error *err)
{
    struct buffer expected CLEANUP(buffer_clear), got CLEANUP(buffer_clear);
    buffer_init(&expected, NAMES_PRINTED_MAX);
    buffer_init(&got, NAMES_PRINTED_MAX);
    shape_print(&expected, wanted->dims, (size_t)wanted->rank);
    shape_print(&got, input->tensor.dims, input->tensor.rank);
    return fail(err, STATUS_INVALID_ARGUMENT,
                "unexpected shape for input '%.*s' for model '%s'. Expected %s, got %s.%s",
                STR_ARGS(input->name), spec->name, buffer_text(&expected), buffer_text(&got),
                spec->batch_size_max > 0 ? BATCH_NOTE : "");
}

static enum status check_batch(const struct infer_spec *spec, const struct infer_tensor *input,
                               int64_t *batch_size, struct error *err)
{
    if (input->tensor.rank == 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "input '%.*s' has no shape but model requires batch dimension for '%s'",
                    STR_ARGS(input->name), spec->name);
    int64_t rows = input->tensor.dims[0];
    if (*batch_size >= 0 && *batch_size != rows)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "input '%.*s' batch size does not match other inputs for '%s'",
                    STR_ARGS(input->name), spec->name);
    if (rows < 1 || rows > spec->batch_size_max)
        return fail(
            err, STATUS_INVALID_ARGUMENT, "inference request batch-size must be <= %lld for '%s'%s",
            (long long)spec->batch_size_max, spec->name, rows < 1 ? ", and at least 1" : "");
    *batch_size = rows;
    return STATUS_OK;
}

static enum status check_bytes(const struct infer_spec *spec, const struct infer_tensor *input,
                               struct error *err)
{
    const struct slipway_tensor *tensor = &input->tensor;
    size_t width = dtype_width((enum dtype)tensor->dtype);
    int64_t count;
    uint64_t expected;
    if (!shape_element_count(tensor->dims, tensor->rank, &count) ||
        __builtin_mul_overflow((uint64_t)count, width, &expected))
        return fail(err, STATUS_INVALID_ARGUMENT, "byte size overflow for input '%.*s'",
                    STR_ARGS(input->name));
    if (LIKELY(tensor->byte_size == expected)) return STATUS_OK;
    if (tensor->dtype == DTYPE_BYTES)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "expected %llu string elements for inference input '%.*s' for model '%s', "
                    "got %llu",
                    (unsigned long long)count, STR_ARGS(input->name), spec->name,
                    (unsigned long long)(tensor->byte_size / width));
    return fail(err, STATUS_INVALID_ARGUMENT,
                "input byte size mismatch for input '%.*s' for model '%s'. Expected %llu, got %llu",
                STR_ARGS(input->name), spec->name, (unsigned long long)expected,
                (unsigned long long)tensor->byte_size);
}

static enum status check_input(const struct infer_spec *spec, const struct infer_tensor *input,
                               const struct slipway_tensor_spec *wanted, int64_t *batch_size,
                               struct error *err)
{
    const struct slipway_tensor *tensor = &input->tensor;
    if (wanted->dtype != DTYPE_ANY && tensor->dtype != wanted->dtype)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "inference input '%.*s' data-type is '%s', but model '%s' expects '%s'",
                    STR_ARGS(input->name), dtype_name((enum dtype)tensor->dtype), spec->name,
                    dtype_name((enum dtype)wanted->dtype));
    if (spec->batch_size_max > 0) TRY(check_batch(spec, input, batch_size, err));
    if (wanted->rank >= 0 &&
        !shape_matches(wanted->dims, (size_t)wanted->rank, tensor->dims, tensor->rank))
        return fail_shape(spec, input, wanted, err);
    return check_bytes(spec, input, err);
}

/* Of a request that is refused anyway, in place of its number of inputs, which says less. */
static enum status check_repeats(const struct infer_request *request, struct error *err)
{
    size_t count = MIN(request->input_count, (size_t)REPEATS_LOOKED_AT);
    for (size_t i = 1; i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (str_equal(request->inputs[i].name, request->inputs[k].name))
                return fail(err, STATUS_INVALID_ARGUMENT, "input '%.*s' already exists in request",
                            STR_ARGS(request->inputs[i].name));
    return STATUS_OK;
}

static size_t count_required(const struct infer_spec *spec)
{
    size_t required = 0;
    for (size_t i = 0; i < spec->input_count; i++) required += !spec->inputs[i].optional;
    return required;
}

/* Of a request that does not bring as many inputs as the model has. */
static enum status check_input_count(const struct infer_spec *spec,
                                     const struct infer_request *request, struct error *err)
{
    size_t required = count_required(spec);
    if (request->input_count >= required && request->input_count < spec->input_count)
        return STATUS_OK;
    TRY(check_repeats(request, err));
    return fail_input_count(spec, request, required, err);
}

static enum status check_missing(const struct infer_spec *spec, const struct infer_request *request,
                                 const struct infer_bound *bound, struct error *err)
{
    for (size_t i = 0; i < spec->input_count; i++)
        if (!spec->inputs[i].optional && bound->tensors[i].dtype == DTYPE_ANY)
            return fail_input_count(spec, request, count_required(spec), err);
    return STATUS_OK;
}

/* As many as the model has, each another one, are all that it has: then nothing is missing. */
static enum status bind_inputs(const struct infer_spec *spec, const struct infer_request *request,
                               struct infer_bound *bound, struct error *err)
{
    bool all = request->input_count == spec->input_count;
    if (UNLIKELY(!all)) TRY(check_input_count(spec, request, err));
    int64_t batch_size = -1;
    for (size_t i = 0; i < request->input_count; i++) {
        const struct infer_tensor *input = &request->inputs[i];
        size_t position = infer_input_find(spec, input->name);
        if (position == SIZE_MAX)
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "unexpected inference input '%.*s' for model '%s'", STR_ARGS(input->name),
                        spec->name);
        if (bound->tensors[position].dtype != DTYPE_ANY)
            return fail(err, STATUS_INVALID_ARGUMENT, "input '%.*s' already exists in request",
                        STR_ARGS(input->name));
        TRY(check_input(spec, input, &spec->inputs[position], &batch_size, err));
        bound->tensors[position] = input->tensor;
    }
    if (UNLIKELY(!all)) TRY(check_missing(spec, request, bound, err));
    bound->batch_size = batch_size < 0 ? 1 : batch_size;
    return STATUS_OK;
}

static enum status bind_outputs(const struct infer_spec *spec, const struct infer_request *request,
                                struct infer_bound *bound, struct error *err)
{
    for (size_t i = 0; i < request->output_count; i++) {
        struct str name = request->outputs[i].name;
        size_t position = infer_output_find(spec, name);
        if (position == SIZE_MAX)
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "unexpected inference output '%.*s' for model '%s'", STR_ARGS(name),
                        spec->name);
        if (bound->wanted[position])
            return fail(err, STATUS_INVALID_ARGUMENT, "output '%.*s' already exists in request",
                        STR_ARGS(name));
        bound->wanted[position] = 1;
    }
    return STATUS_OK;
}

/* Both arrays in one piece of memory, nothing given yet, all outputs wanted or none. */
static bool take_bound(const struct infer_spec *spec, struct arena *arena, bool wanted,
                       struct infer_bound *bound)
{
    size_t tensors_size = spec->input_count * sizeof *bound->tensors;
    char *memory = arena_try_new(arena, tensors_size + spec->output_count + 1);
    if (UNLIKELY(!memory)) return false;
    bound->tensors = (struct slipway_tensor *)(void *)memory;
    bound->wanted = (uint8_t *)memory + tensors_size;
    for (size_t i = 0; i < spec->input_count; i++)
        bound->tensors[i] = (struct slipway_tensor){.dtype = DTYPE_ANY};
    for (size_t i = 0; i < spec->output_count; i++) bound->wanted[i] = wanted;
    return true;
}

enum status infer_request_bind(const struct infer_spec *spec, struct infer_request *request,
                               struct infer_bound *ret_bound, struct error *err)
{
    struct infer_bound bound = {.batch_size = 1};
    if (!take_bound(spec, request->arena, request->output_count == 0, &bound))
        return fail(err, STATUS_EXHAUSTED, "no memory for the request's %zu inputs",
                    spec->input_count);
    TRY(bind_outputs(spec, request, &bound, err));
    TRY(bind_inputs(spec, request, &bound, err));
    *ret_bound = bound;
    return STATUS_OK;
}
