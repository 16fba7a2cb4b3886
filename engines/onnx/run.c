/*
 * Inputs. One of up to SMALL_INPUT_SIZE bytes is copied into memory of the run that stays bound:
 * that costs less than making and binding a value for the caller's memory. A larger one is bound
 * where it is, without a copy. Strings are copied, since the library has its own.
 *
 * Outputs. The first time, and whenever a shape changed, the library allocates them; they are then
 * bound as they are, and the next run with the same input shapes writes into them again. If a
 * model's output shapes depend on the values, such a run fails; it is repeated with new outputs,
 * and the model is marked so that it is not tried again. Outputs that nobody wants are not bound:
 * the library still computes the whole graph, but keeps none of them beyond their last use inside.
 */
#include "run.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALL_INPUT_SIZE = 4096,
    /* Runs kept for the next results: as many as a server has out at a time when it answers some
     * calls together; fewer of those that hold much memory. */
    POOL_SIZE_MAX = 32,
    POOL_LARGE_MAX = 2,
    LARGE_OUTPUT_SIZE = 64 * 1024,
    DATA_ALIGNMENT = 64
};

#define TRY_ORT(call) TRY_ONNX(onnx_check((call), ONNX_RUNNING, error))

/* What one input is bound to. */
struct input_slot {
    OrtValue *value;  /* NULL: not bound */
    void *own_memory; /* of a small input, SMALL_INPUT_SIZE bytes; NULL if not needed yet */
    const void *bound_data;
    uint32_t dtype, rank;
    int64_t dims[SLIPWAY_RANK_MAX];
};

/* One output as it was found after the last run. */
struct output_slot {
    bool is_wanted;
    OrtValue *value; /* NULL for one that repeats an input */
    int64_t dims[SLIPWAY_RANK_MAX];
    void *own_memory; /* strings, or the copy of an input */
};

struct run {
    struct pool *pool;
    struct run *next;
    OrtIoBinding *binding;
    struct input_slot *inputs;
    struct output_slot *outputs;
    struct slipway_tensor *tensors; /* what the result shows */
    bool outputs_are_bound;         /* and of the right shape if the inputs' shapes are the same */
};

/* Outlives its instance while results are out. */
struct pool {
    struct slipway_model *model;
    pthread_mutex_t lock; /* all below */
    struct run *free_runs;
    size_t free_count, out_count;
    bool is_closed;
};

struct slipway_instance {
    struct pool *pool;
};

/* ---- Runs ---- */

static void run_free(struct run *run)
{
    const struct slipway_model *model = run->pool->model;
    if (run->binding) ort->ReleaseIoBinding(run->binding);
    for (size_t i = 0; run->inputs && i < model->input_count; i++) {
        if (run->inputs[i].value) ort->ReleaseValue(run->inputs[i].value);
        free(run->inputs[i].own_memory);
    }
    for (size_t i = 0; run->outputs && i < model->output_count; i++) {
        if (run->outputs[i].value) ort->ReleaseValue(run->outputs[i].value);
        free(run->outputs[i].own_memory);
    }
    free(run->inputs);
    free(run->outputs);
    free(run->tensors);
    free(run);
}

static enum slipway_status run_new(struct pool *pool, struct run **ret_run,
                                   struct slipway_error *error)
{
    const struct slipway_model *model = pool->model;
    struct run *run = calloc(1, sizeof *run);
    if (!run) return onnx_fail(error, SLIPWAY_EXHAUSTED, "no memory for a run");
    run->pool = pool;
    run->inputs = calloc(model->input_count + 1, sizeof *run->inputs);
    run->outputs = calloc(model->output_count + 1, sizeof *run->outputs);
    run->tensors = calloc(model->output_count + 1, sizeof *run->tensors);
    enum slipway_status status = SLIPWAY_OK;
    if (!run->inputs || !run->outputs || !run->tensors)
        status = onnx_fail(error, SLIPWAY_EXHAUSTED, "no memory for a run");
    else
        status =
            onnx_check(ort->CreateIoBinding(model->session, &run->binding), ONNX_RUNNING, error);
    if (status != SLIPWAY_OK) {
        run_free(run);
        return status;
    }
    *ret_run = run;
    return SLIPWAY_OK;
}

/* ---- The pool ---- */

static void pool_free(struct pool *pool)
{
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}

enum slipway_status onnx_instance_new(struct slipway_model *model,
                                      struct slipway_instance **ret_instance,
                                      struct slipway_error *error)
{
    struct slipway_instance *instance = calloc(1, sizeof *instance);
    struct pool *pool = calloc(1, sizeof *pool);
    if (!instance || !pool || pthread_mutex_init(&pool->lock, NULL) != 0) {
        free(instance);
        free(pool);
        return onnx_fail(error, SLIPWAY_EXHAUSTED, "no memory for an instance");
    }
    pool->model = model;
    instance->pool = pool;
    *ret_instance = instance;
    return SLIPWAY_OK;
}

void onnx_instance_free(struct slipway_instance *instance)
{
    struct pool *pool = instance->pool;
    (void)pthread_mutex_lock(&pool->lock);
    struct run *runs = pool->free_runs;
    pool->free_runs = NULL;
    pool->is_closed = true;
    bool is_last = pool->out_count == 0;
    (void)pthread_mutex_unlock(&pool->lock);
    while (runs) {
        struct run *run = runs;
        runs = run->next;
        run_free(run);
    }
    if (is_last) pool_free(pool);
    free(instance);
}

/* A run that was used before, NULL if there is none. Either way one more is out. */
static struct run *pool_take(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    struct run *run = pool->free_runs;
    if (run) {
        pool->free_runs = run->next;
        pool->free_count--;
    }
    pool->out_count++;
    (void)pthread_mutex_unlock(&pool->lock);
    return run;
}

static bool is_large(const struct run *run)
{
    uint64_t size = 0;
    for (size_t i = 0; i < run->pool->model->output_count; i++) size += run->tensors[i].byte_size;
    return size > LARGE_OUTPUT_SIZE;
}

/* Takes a run back, or NULL where one was promised and not made. */
static void pool_give(struct pool *pool, struct run *run)
{
    (void)pthread_mutex_lock(&pool->lock);
    size_t kept_max = run && is_large(run) ? POOL_LARGE_MAX : POOL_SIZE_MAX;
    bool is_kept = run && !pool->is_closed && pool->free_count < kept_max;
    if (is_kept) {
        run->next = pool->free_runs;
        pool->free_runs = run;
        pool->free_count++;
    }
    pool->out_count--;
    bool is_last = pool->is_closed && pool->out_count == 0;
    (void)pthread_mutex_unlock(&pool->lock);
    if (run && !is_kept) run_free(run);
    if (is_last) pool_free(pool);
}

/* ---- Inputs ---- */

static void print_dims(char *text, size_t size, const int64_t *dims, int32_t rank)
{
    size_t used = (size_t)snprintf(text, size, "[");
    for (int32_t i = 0; i < rank && used < size; i++)
        used +=
            (size_t)snprintf(text + used, size - used, i ? ",%lld" : "%lld", (long long)dims[i]);
    if (used < size) (void)snprintf(text + used, size - used, "]");
}

static enum slipway_status fail_shape(const struct slipway_tensor_spec *spec,
                                      const struct slipway_tensor *input,
                                      struct slipway_error *error)
{
    char got[200], expected[200];
    print_dims(got, sizeof got, input->dims, (int32_t)input->rank);
    print_dims(expected, sizeof expected, spec->dims, spec->rank);
    return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT,
                     "input '%.60s' has shape %s, the model takes %s", spec->name, got, expected);
}

/* The library would say the same less clearly, and for some models not at all. */
static enum slipway_status check_input(const struct slipway_tensor_spec *spec,
                                       const struct slipway_tensor *input,
                                       struct slipway_error *error)
{
    if (input->dtype == SLIPWAY_DTYPE_ANY) {
        if (spec->optional) return SLIPWAY_OK;
        return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT, "input '%.200s' is missing", spec->name);
    }
    if (input->dtype != spec->dtype)
        return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT,
                         "input '%.200s' is %s, the model takes %s", spec->name,
                         onnx_dtype_name(input->dtype), onnx_dtype_name(spec->dtype));
    if (input->rank > SLIPWAY_RANK_MAX)
        return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT,
                         "input '%.200s' has %u dimensions, at most %d are supported", spec->name,
                         input->rank, SLIPWAY_RANK_MAX);
    if (spec->rank < 0) return SLIPWAY_OK;
    bool fits = input->rank == (uint32_t)spec->rank;
    for (int32_t i = 0; fits && i < spec->rank; i++)
        fits = spec->dims[i] < 0 || spec->dims[i] == input->dims[i];
    return fits ? SLIPWAY_OK : fail_shape(spec, input, error);
}

static bool same_shape(const struct input_slot *slot, const struct slipway_tensor *input)
{
    return slot->rank == input->rank &&
           (input->rank == 0 ||
            memcmp(slot->dims, input->dims, input->rank * sizeof *input->dims) == 0);
}

static enum slipway_status make_string_value(const struct slipway_tensor *input,
                                             OrtValue **ret_value, struct slipway_error *error)
{
    OrtAllocator *allocator;
    TRY_ORT(ort->GetAllocatorWithDefaultOptions(&allocator));
    TRY_ORT(ort->CreateTensorAsOrtValue(allocator, input->dims, input->rank,
                                        ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, ret_value));
    const struct slipway_bytes *strings = input->data;
    for (size_t i = 0; i < input->byte_size / sizeof *strings; i++) {
        char *room;
        TRY_ORT(ort->GetResizedStringTensorElementBuffer(*ret_value, i, strings[i].size, &room));
        if (strings[i].size > 0) memcpy(room, strings[i].data, strings[i].size);
    }
    return SLIPWAY_OK;
}

static enum slipway_status make_value(const struct slipway_tensor *input, const void *data,
                                      OrtValue **ret_value, struct slipway_error *error)
{
    if (input->dtype == SLIPWAY_DTYPE_BYTES) return make_string_value(input, ret_value, error);
    union {
        const void *constant;
        void *variable; // the library takes it so; it does not write to inputs
    } memory = {data};
    return onnx_check(ort->CreateTensorWithDataAsOrtValue(
                          onnx_cpu_memory, memory.variable, input->byte_size, input->dims,
                          input->rank, onnx_dtype_to(input->dtype), ret_value),
                      ONNX_RUNNING, error);
}

/* Binds a new value for an input; what was bound is released. */
static enum slipway_status bind_input(struct run *run, size_t index,
                                      const struct slipway_tensor *input, const void *data,
                                      struct slipway_error *error)
{
    struct input_slot *slot = &run->inputs[index];
    OrtValue *value = NULL;
    enum slipway_status status = make_value(input, data, &value, error);
    if (status == SLIPWAY_OK)
        status =
            onnx_check(ort->BindInput(run->binding, run->pool->model->inputs[index].name, value),
                       ONNX_RUNNING, error);
    if (status != SLIPWAY_OK) {
        if (value) ort->ReleaseValue(value);
        return status;
    }
    if (slot->value) ort->ReleaseValue(slot->value);
    slot->value = value;
    slot->bound_data = data;
    if (!same_shape(slot, input)) run->outputs_are_bound = false;
    slot->dtype = input->dtype;
    slot->rank = input->rank;
    if (input->rank > 0) memcpy(slot->dims, input->dims, input->rank * sizeof *input->dims);
    return SLIPWAY_OK;
}

/* Where the library reads an input from: the run's memory for a small one, else where it is. */
static enum slipway_status place_input(struct input_slot *slot, const struct slipway_tensor *input,
                                       const void **ret_data, struct slipway_error *error)
{
    if (input->byte_size > SMALL_INPUT_SIZE || input->dtype == SLIPWAY_DTYPE_BYTES) {
        *ret_data = input->data;
        return SLIPWAY_OK;
    }
    if (!slot->own_memory) slot->own_memory = aligned_alloc(DATA_ALIGNMENT, SMALL_INPUT_SIZE);
    if (!slot->own_memory) return onnx_fail(error, SLIPWAY_EXHAUSTED, "no memory for an input");
    if (input->byte_size > 0) memcpy(slot->own_memory, input->data, input->byte_size);
    *ret_data = slot->own_memory;
    return SLIPWAY_OK;
}

static enum slipway_status set_input(struct run *run, size_t index,
                                     const struct slipway_tensor *input,
                                     struct slipway_error *error)
{
    struct input_slot *slot = &run->inputs[index];
    const void *data;
    TRY_ONNX(place_input(slot, input, &data, error));
    bool is_bound = slot->value && slot->bound_data == data && slot->dtype == input->dtype &&
                    input->dtype != SLIPWAY_DTYPE_BYTES && same_shape(slot, input);
    return is_bound ? SLIPWAY_OK : bind_input(run, index, input, data, error);
}

/* Unbinds all: an optional input that was given the last time is not given now. */
static void forget_inputs(struct run *run)
{
    ort->ClearBoundInputs(run->binding);
    for (size_t i = 0; i < run->pool->model->input_count; i++) {
        if (run->inputs[i].value) ort->ReleaseValue(run->inputs[i].value);
        run->inputs[i].value = NULL;
    }
    run->outputs_are_bound = false;
}

static enum slipway_status set_inputs(struct run *run, const struct slipway_tensor *inputs,
                                      struct slipway_error *error)
{
    const struct slipway_model *model = run->pool->model;
    for (size_t i = 0; i < model->input_count; i++)
        if (inputs[i].dtype == SLIPWAY_DTYPE_ANY && run->inputs[i].value) {
            forget_inputs(run);
            break;
        }
    for (size_t i = 0; i < model->input_count; i++) {
        if (inputs[i].dtype == SLIPWAY_DTYPE_ANY) continue;
        TRY_ONNX(set_input(run, i, &inputs[i], error));
    }
    return SLIPWAY_OK;
}

/* ---- Outputs ---- */

/* Notes which outputs are wanted; those of the last run are of no use if it was others. */
static void want_outputs(struct run *run, const uint8_t *wanted)
{
    for (size_t i = 0; i < run->pool->model->output_count; i++) {
        bool is_wanted = !wanted || wanted[i] != 0;
        if (run->outputs[i].is_wanted == is_wanted) continue;
        run->outputs[i].is_wanted = is_wanted;
        run->outputs_are_bound = false;
    }
}

/* True for an output that simply repeats an input that was given: the library is not asked. */
static bool repeats_input(const struct slipway_model *model, const struct slipway_tensor *inputs,
                          size_t output)
{
    int input = model->outputs[output].same_as_input;
    return input != ONNX_NO_INPUT && inputs[input].dtype != SLIPWAY_DTYPE_ANY;
}

/* True for an output that the library is asked for. */
static bool is_asked(const struct run *run, const struct slipway_tensor *inputs, size_t output)
{
    return run->outputs[output].is_wanted && !repeats_input(run->pool->model, inputs, output);
}

/* Has the library allocate the outputs that it is asked for. */
static enum slipway_status unbind_outputs(struct run *run, const struct slipway_tensor *inputs,
                                          struct slipway_error *error)
{
    const struct slipway_model *model = run->pool->model;
    ort->ClearBoundOutputs(run->binding);
    run->outputs_are_bound = false;
    for (size_t i = 0; i < model->output_count; i++) {
        if (run->outputs[i].value) ort->ReleaseValue(run->outputs[i].value);
        run->outputs[i].value = NULL;
        if (!is_asked(run, inputs, i)) continue;
        TRY_ORT(ort->BindOutputToDevice(run->binding, model->outputs[i].name, onnx_cpu_memory));
    }
    return SLIPWAY_OK;
}

/* Takes the values that the library allocated. */
static enum slipway_status take_outputs(struct run *run, const struct slipway_tensor *inputs,
                                        struct slipway_error *error)
{
    const struct slipway_model *model = run->pool->model;
    OrtAllocator *allocator;
    TRY_ORT(ort->GetAllocatorWithDefaultOptions(&allocator));
    OrtValue **values = NULL;
    size_t count = 0, taken = 0;
    TRY_ORT(ort->GetBoundOutputValues(run->binding, allocator, &values, &count));
    for (size_t i = 0; i < model->output_count; i++)
        if (is_asked(run, inputs, i) && taken < count) run->outputs[i].value = values[taken++];
    if (values) allocator->Free(allocator, values);
    return SLIPWAY_OK;
}

/* Strings come out as one text and offsets; one allocation holds elements and text. */
static enum slipway_status show_strings(struct output_slot *slot, struct slipway_tensor *tensor,
                                        size_t count, struct slipway_error *error)
{
    size_t text_size = 0;
    TRY_ORT(ort->GetStringTensorDataLength(slot->value, &text_size));
    free(slot->own_memory);
    slot->own_memory =
        calloc(1, count * (sizeof(struct slipway_bytes) + sizeof(size_t)) + text_size + 1);
    if (!slot->own_memory) return onnx_fail(error, SLIPWAY_EXHAUSTED, "no memory for strings");
    struct slipway_bytes *strings = slot->own_memory;
    size_t *offsets = (size_t *)(void *)(strings + count);
    char *text = (char *)(offsets + count);
    if (count > 0)
        TRY_ORT(ort->GetStringTensorContent(slot->value, text, text_size, offsets, count));
    for (size_t i = 0; i < count; i++) {
        size_t end = i + 1 < count ? offsets[i + 1] : text_size;
        strings[i] = (struct slipway_bytes){text + offsets[i], end - offsets[i]};
    }
    tensor->data = strings;
    return SLIPWAY_OK;
}

static enum slipway_status read_shape(const OrtValue *value, struct output_slot *slot,
                                      const char *name, struct slipway_tensor *tensor,
                                      struct slipway_error *error)
{
    OrtTensorTypeAndShapeInfo *info = NULL;
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    size_t rank = 0;
    TRY_ORT(ort->GetTensorTypeAndShape(value, &info));
    enum slipway_status status =
        onnx_check(ort->GetTensorElementType(info, &type), ONNX_RUNNING, error);
    if (status == SLIPWAY_OK)
        status = onnx_check(ort->GetDimensionsCount(info, &rank), ONNX_RUNNING, error);
    if (status == SLIPWAY_OK && rank > SLIPWAY_RANK_MAX)
        status =
            onnx_fail(error, SLIPWAY_INTERNAL, "output '%.100s' has %zu dimensions", name, rank);
    if (status == SLIPWAY_OK)
        status = onnx_check(ort->GetDimensions(info, slot->dims, rank), ONNX_RUNNING, error);
    ort->ReleaseTensorTypeAndShapeInfo(info);
    tensor->dtype = onnx_dtype_from(type);
    tensor->rank = (uint32_t)rank;
    tensor->dims = slot->dims;
    return status;
}

static const uint8_t widths[] = {
#define X(name, value, width) [value] = width,
    SLIPWAY_DTYPE_TABLE(X)
#undef X
};

static enum slipway_status show_output(struct output_slot *slot, const char *name,
                                       struct slipway_tensor *tensor, struct slipway_error *error)
{
    int is_tensor = 0;
    TRY_ORT(ort->IsTensor(slot->value, &is_tensor));
    if (!is_tensor) return onnx_fail(error, SLIPWAY_INTERNAL, "output '%.100s' is no tensor", name);
    TRY_ONNX(read_shape(slot->value, slot, name, tensor, error));
    uint64_t count = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) count *= (uint64_t)slot->dims[i];
    tensor->byte_size = count * widths[tensor->dtype];
    if (tensor->dtype == SLIPWAY_DTYPE_BYTES) return show_strings(slot, tensor, count, error);
    TRY_ORT(ort->GetTensorMutableData(slot->value, &tensor->data));
    return SLIPWAY_OK;
}

/* An output that repeats an input gets a copy: the caller's memory is not ours to show. */
static enum slipway_status show_input(struct output_slot *slot, const struct slipway_tensor *input,
                                      struct slipway_tensor *tensor, struct slipway_error *error)
{
    const struct slipway_bytes *strings = input->data;
    size_t count = input->dtype == SLIPWAY_DTYPE_BYTES ? input->byte_size / sizeof *strings : 0;
    size_t size = input->byte_size;
    for (size_t i = 0; i < count; i++) size += strings[i].size;
    free(slot->own_memory);
    slot->own_memory = malloc(size + 1);
    if (!slot->own_memory) return onnx_fail(error, SLIPWAY_EXHAUSTED, "no memory for an output");
    if (input->byte_size > 0) memcpy(slot->own_memory, input->data, input->byte_size);
    struct slipway_bytes *copies = slot->own_memory;
    char *text = (char *)slot->own_memory + input->byte_size;
    for (size_t i = 0; i < count; i++) {
        if (strings[i].size > 0) memcpy(text, strings[i].data, strings[i].size);
        copies[i].data = text;
        text += strings[i].size;
    }
    if (input->rank > 0) memcpy(slot->dims, input->dims, input->rank * sizeof *input->dims);
    *tensor = *input;
    tensor->dims = slot->dims;
    tensor->data = slot->own_memory;
    return SLIPWAY_OK;
}

static enum slipway_status show_outputs(struct run *run, const struct slipway_tensor *inputs,
                                        struct slipway_error *error)
{
    const struct slipway_model *model = run->pool->model;
    for (size_t i = 0; i < model->output_count; i++) {
        struct output_slot *slot = &run->outputs[i];
        if (!slot->is_wanted)
            run->tensors[i] = (struct slipway_tensor){.dtype = SLIPWAY_DTYPE_ANY};
        else if (repeats_input(model, inputs, i))
            TRY_ONNX(show_input(slot, &inputs[model->outputs[i].same_as_input], &run->tensors[i],
                                error));
        else
            TRY_ONNX(show_output(slot, model->outputs[i].name, &run->tensors[i], error));
    }
    return SLIPWAY_OK;
}

/* True if what the library allocated may be written again by the next run. */
static bool may_bind_outputs(const struct run *run)
{
    const struct slipway_model *model = run->pool->model;
    for (size_t i = 0; i < model->output_count; i++)
        if (run->outputs[i].is_wanted && (model->outputs[i].same_as_input != ONNX_NO_INPUT ||
                                          run->tensors[i].dtype == SLIPWAY_DTYPE_BYTES))
            return false;
    return atomic_load_explicit(&model->reuses_outputs, memory_order_relaxed);
}

static enum slipway_status bind_outputs(struct run *run, struct slipway_error *error)
{
    const struct slipway_model *model = run->pool->model;
    if (!may_bind_outputs(run)) return SLIPWAY_OK;
    ort->ClearBoundOutputs(run->binding);
    for (size_t i = 0; i < model->output_count; i++)
        if (run->outputs[i].is_wanted)
            TRY_ORT(ort->BindOutput(run->binding, model->outputs[i].name, run->outputs[i].value));
    run->outputs_are_bound = true;
    return SLIPWAY_OK;
}

/* ---- Executing ---- */

static enum slipway_status run_binding(struct run *run, struct slipway_error *error)
{
    const struct slipway_model *model = run->pool->model;
    return onnx_check(ort->RunWithBinding(model->session, model->run_options, run->binding),
                      ONNX_RUNNING, error);
}

/* False if there is nothing that the library would have to compute. */
static bool asks_for_any(const struct run *run, const struct slipway_tensor *inputs)
{
    for (size_t i = 0; i < run->pool->model->output_count; i++)
        if (is_asked(run, inputs, i)) return true;
    return false;
}

/* With outputs that the library allocates. */
static enum slipway_status run_afresh(struct run *run, const struct slipway_tensor *inputs,
                                      struct slipway_error *error)
{
    TRY_ONNX(unbind_outputs(run, inputs, error));
    if (asks_for_any(run, inputs)) {
        TRY_ONNX(run_binding(run, error));
        TRY_ONNX(take_outputs(run, inputs, error));
    }
    TRY_ONNX(show_outputs(run, inputs, error));
    return bind_outputs(run, error);
}

static enum slipway_status run_once(struct run *run, const struct slipway_tensor *inputs,
                                    struct slipway_error *error)
{
    struct slipway_model *model = run->pool->model;
    TRY_ONNX(set_inputs(run, inputs, error));
    if (!run->outputs_are_bound) return run_afresh(run, inputs, error);
    if (run_binding(run, error) == SLIPWAY_OK) return SLIPWAY_OK;
    // Was it the outputs' old shape? If it works with new outputs, it was.
    TRY_ONNX(run_afresh(run, inputs, error));
    atomic_store_explicit(&model->reuses_outputs, false, memory_order_relaxed);
    run->outputs_are_bound = false;
    return SLIPWAY_OK;
}

enum slipway_status onnx_execute(struct slipway_instance *instance,
                                 const struct slipway_tensor *inputs, size_t input_count,
                                 const uint8_t *wanted, struct slipway_result *ret_result,
                                 struct slipway_error *error)
{
    struct pool *pool = instance->pool;
    struct slipway_model *model = pool->model;
    if (input_count != model->input_count)
        return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT, "%zu inputs, the model has %zu",
                         input_count, model->input_count);
    for (size_t i = 0; i < input_count; i++)
        TRY_ONNX(check_input(&model->input_specs[i], &inputs[i], error));
    struct run *run = pool_take(pool);
    enum slipway_status status = run ? SLIPWAY_OK : run_new(pool, &run, error);
    if (status == SLIPWAY_OK) {
        want_outputs(run, wanted);
        status = run_once(run, inputs, error);
    }
    if (status != SLIPWAY_OK) {
        // Whatever state it is in, the next one starts clean.
        if (run) run_free(run);
        pool_give(pool, NULL);
        return status;
    }
    ret_result->tensors = run->tensors;
    ret_result->tensor_count = model->output_count;
    ret_result->handle = run;
    return SLIPWAY_OK;
}

void onnx_result_release(struct slipway_result *result)
{
    struct run *run = result->handle;
    pool_give(run->pool, run);
}
