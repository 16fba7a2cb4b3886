/*
 * The reference engine: its models repeat inputs as outputs, and fail in all the ways that models
 * do when their file says so (model_file.h). docs/engines.md walks through this file. It shows an
 * engine's whole duty: load, describe, run, own the results, and turn every problem into a status.
 */
#include "model_file.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A model is read-only once loaded, but for a counter: instances share it without a lock. */
struct slipway_model {
    struct echo_file file;
    struct slipway_tensor_spec inputs[ECHO_TENSORS_MAX];
    struct slipway_tensor_spec outputs[ECHO_TENSORS_MAX];
    char *weights;
    atomic_ullong calls;
};

struct slipway_instance {
    struct slipway_model *model;
};

static const struct slipway_host *host;

/* ---- Time ---- */

static void sleep_us(uint64_t us)
{
    struct timespec left = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    while (us > 0 && nanosleep(&left, &left) != 0) continue;
}

static uint64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void spin_us(uint64_t us)
{
    if (us == 0) return;
    uint64_t end = now_us() + us;
    while (now_us() < end) continue;
}

/* ---- Loading ---- */

static void describe(const struct echo_tensor *tensors, size_t count,
                     struct slipway_tensor_spec *specs)
{
    for (size_t i = 0; i < count; i++)
        specs[i] = (struct slipway_tensor_spec){.name = tensors[i].name,
                                                .dtype = tensors[i].dtype,
                                                .optional = tensors[i].optional,
                                                .rank = tensors[i].rank,
                                                .dims = tensors[i].dims};
}

/* An unknown parameter is worth a warning, not a failure: other engines have others. */
static void apply_parameters(struct echo_file *file, const struct slipway_load_options *options)
{
    for (size_t i = 0; i < options->parameter_count; i++) {
        const struct slipway_parameter *parameter = &options->parameters[i];
        if (echo_file_set(file, parameter->key, parameter->value)) continue;
        char text[256];
        (void)snprintf(text, sizeof text, "model '%.60s': parameter '%.60s' = '%.60s' is ignored",
                       options->name, parameter->key, parameter->value);
        host->log(SLIPWAY_LOG_WARNING, "echo", text);
    }
}

static void model_unload(struct slipway_model *model)
{
    free(model->weights);
    free(model);
}

static enum slipway_status fill(struct slipway_model *model,
                                const struct slipway_load_options *options,
                                struct slipway_error *error)
{
    struct echo_file *file = &model->file;
    enum slipway_status status = echo_file_read(options->path, file, error);
    if (status != SLIPWAY_OK) return status;
    apply_parameters(file, options);
    sleep_us(file->load_delay_us);
    if (file->crash_load) abort(); // as a library on a file that it cannot cope with
    if (file->fail_load != SLIPWAY_OK)
        return echo_fail(error, file->fail_load, "'%.200s' says that it cannot be loaded",
                         options->path);
    if (file->weight_bytes > 0) {
        model->weights = malloc(file->weight_bytes);
        if (!model->weights)
            return echo_fail(error, SLIPWAY_EXHAUSTED, "no memory for %llu bytes of weights",
                             (unsigned long long)file->weight_bytes);
        memset(model->weights, 1, file->weight_bytes);
    }
    describe(file->inputs, file->input_count, model->inputs);
    describe(file->outputs, file->output_count, model->outputs);
    return SLIPWAY_OK;
}

static enum slipway_status model_load(const struct slipway_load_options *options,
                                      struct slipway_model **ret_model, struct slipway_error *error)
{
    struct slipway_model *model = calloc(1, sizeof *model);
    if (!model) return echo_fail(error, SLIPWAY_EXHAUSTED, "no memory for a model");
    enum slipway_status status = fill(model, options, error);
    if (status != SLIPWAY_OK) {
        model_unload(model);
        return status;
    }
    *ret_model = model;
    return SLIPWAY_OK;
}

static void model_info(const struct slipway_model *model, struct slipway_model_info *info)
{
    info->platform = "echo";
    info->inputs = model->inputs;
    info->input_count = model->file.input_count;
    info->outputs = model->outputs;
    info->output_count = model->file.output_count;
    info->weight_bytes = model->file.weight_bytes;
}

static enum slipway_status instance_new(struct slipway_model *model,
                                        struct slipway_instance **ret_instance,
                                        struct slipway_error *error)
{
    if (model->file.fail_instance != SLIPWAY_OK)
        return echo_fail(error, model->file.fail_instance, "the model allows no instance");
    struct slipway_instance *instance = malloc(sizeof *instance);
    if (!instance) return echo_fail(error, SLIPWAY_EXHAUSTED, "no memory for an instance");
    instance->model = model;
    *ret_instance = instance;
    return SLIPWAY_OK;
}

static void instance_free(struct slipway_instance *instance)
{
    free(instance);
}

/* ---- Checking the inputs ---- */

static enum slipway_status check_input(const struct slipway_tensor_spec *spec,
                                       const struct slipway_tensor *tensor,
                                       struct slipway_error *error)
{
    if (tensor->dtype == SLIPWAY_DTYPE_ANY && spec->optional) return SLIPWAY_OK;
    if (tensor->dtype == SLIPWAY_DTYPE_ANY)
        return echo_fail(error, SLIPWAY_INVALID_ARGUMENT, "input '%s' is missing", spec->name);
    if (spec->dtype != SLIPWAY_DTYPE_ANY && tensor->dtype != spec->dtype)
        return echo_fail(error, SLIPWAY_INVALID_ARGUMENT, "input '%s' has type %u, not %u",
                         spec->name, tensor->dtype, spec->dtype);
    bool fits = spec->rank < 0 || tensor->rank == (uint32_t)spec->rank;
    for (int32_t i = 0; fits && i < spec->rank; i++)
        fits = spec->dims[i] < 0 || spec->dims[i] == tensor->dims[i];
    if (!fits)
        return echo_fail(error, SLIPWAY_INVALID_ARGUMENT, "input '%s' has the wrong shape",
                         spec->name);
    return SLIPWAY_OK;
}

static bool has_negative(const struct slipway_tensor *tensor)
{
    for (uint64_t at = 0; at < tensor->byte_size; at += 8) {
        int64_t whole;
        if (tensor->dtype == SLIPWAY_DTYPE_INT64) {
            memcpy(&whole, (const char *)tensor->data + at, sizeof whole);
            if (whole < 0) return true;
        } else if (tensor->dtype == SLIPWAY_DTYPE_FP32) {
            float reals[2] = {0, 0};
            uint64_t size = tensor->byte_size - at < 8 ? tensor->byte_size - at : 8;
            memcpy(reals, (const char *)tensor->data + at, size);
            if (reals[0] < 0 || reals[1] < 0) return true;
        }
    }
    return false;
}

/* ---- Results: one allocation each, so that releasing one is free() ---- */

struct echo_result {
    struct slipway_tensor tensors[ECHO_TENSORS_MAX];
    int64_t dims[ECHO_TENSORS_MAX][SLIPWAY_RANK_MAX];
    _Alignas(16) char data[];
};

static uint64_t padded(uint64_t size)
{
    return (size + 15) / 16 * 16;
}

/* Bytes behind the struct that a copy of the tensor takes. */
static uint64_t size_of_copy(const struct slipway_tensor *tensor)
{
    uint64_t size = padded(tensor->byte_size);
    const struct slipway_bytes *strings = tensor->data;
    if (tensor->dtype == SLIPWAY_DTYPE_BYTES)
        for (uint64_t i = 0; i < tensor->byte_size / sizeof *strings; i++) size += strings[i].size;
    return padded(size);
}

static void copy_strings(const struct slipway_tensor *from, struct slipway_bytes *to, char *text)
{
    const struct slipway_bytes *strings = from->data;
    for (uint64_t i = 0; i < from->byte_size / sizeof *strings; i++) {
        if (strings[i].size > 0) memcpy(text, strings[i].data, strings[i].size);
        to[i] = (struct slipway_bytes){text, strings[i].size};
        text += strings[i].size;
    }
}

static void copy_tensor(const struct slipway_tensor *from, struct slipway_tensor *to,
                        int64_t dims[SLIPWAY_RANK_MAX], char *room)
{
    *to = *from;
    to->dims = dims;
    to->data = room;
    if (from->rank > 0) memcpy(dims, from->dims, from->rank * sizeof *dims);
    if (from->dtype == SLIPWAY_DTYPE_BYTES)
        copy_strings(from, (struct slipway_bytes *)(void *)room, room + padded(from->byte_size));
    else if (from->byte_size > 0)
        memcpy(room, from->data, from->byte_size);
}

/* What an output repeats: its input, or nothing at all if that is optional and absent. */
static struct slipway_tensor source_of(const struct slipway_model *model,
                                       const struct slipway_tensor *inputs, size_t output)
{
    static const int64_t none[SLIPWAY_RANK_MAX] = {0};
    const struct echo_tensor *declared = &model->file.outputs[output];
    struct slipway_tensor source = inputs[declared->source];
    if (source.dtype == SLIPWAY_DTYPE_ANY)
        source = (struct slipway_tensor){.dtype = declared->dtype, .rank = 1, .dims = none};
    return source;
}

static void fill_with_nan(struct slipway_tensor *tensor)
{
    static const uint16_t half = 0x7e00, brain = 0x7fc0;
    const float single = NAN;
    const double real = NAN;
    const void *value = NULL;
    size_t width = 0;
    switch (tensor->dtype) {
    case SLIPWAY_DTYPE_FP16: value = &half, width = sizeof half; break;
    case SLIPWAY_DTYPE_BF16: value = &brain, width = sizeof brain; break;
    case SLIPWAY_DTYPE_FP32: value = &single, width = sizeof single; break;
    case SLIPWAY_DTYPE_FP64: value = &real, width = sizeof real; break;
    default: return;
    }
    for (uint64_t at = 0; at + width <= tensor->byte_size; at += width)
        memcpy((char *)tensor->data + at, value, width);
}

/* Breaks the ABI's promises on purpose: the server must survive it. */
static void spoil(enum echo_malformed malformed, struct slipway_tensor *tensor,
                  struct slipway_result *result)
{
    static const int64_t negative[SLIPWAY_RANK_MAX] = {-5, 1, 1, 1};
    switch (malformed) {
    case ECHO_WELL_FORMED: break;
    case ECHO_MALFORMED_SHAPE: tensor->dims = negative; break;
    case ECHO_MALFORMED_TYPE: tensor->dtype = 99; break;
    case ECHO_MALFORMED_SIZE: tensor->byte_size += 4; break;
    case ECHO_MALFORMED_COUNT: result->tensor_count++; break;
    case ECHO_MALFORMED_DATA: tensor->data = NULL; break;
    case ECHO_MALFORMED_RANK: tensor->rank = 1000000; break;
    }
}

static enum slipway_status answer(const struct slipway_model *model,
                                  const struct slipway_tensor *inputs, const uint8_t *wanted,
                                  struct slipway_result *result, struct slipway_error *error)
{
    uint64_t size = 0;
    for (size_t i = 0; i < model->file.output_count; i++) {
        struct slipway_tensor source = source_of(model, inputs, i);
        size += size_of_copy(&source);
    }
    struct echo_result *own = malloc(sizeof *own + size);
    if (!own)
        return echo_fail(error, SLIPWAY_EXHAUSTED, "no memory for %llu bytes of outputs",
                         (unsigned long long)size);
    char *room = own->data;
    for (size_t i = 0; i < model->file.output_count; i++) {
        struct slipway_tensor source = source_of(model, inputs, i);
        own->tensors[i].dtype = SLIPWAY_DTYPE_ANY;
        if (wanted && !wanted[i]) continue;
        copy_tensor(&source, &own->tensors[i], own->dims[i], room);
        room += size_of_copy(&source);
        if (model->file.nan) fill_with_nan(&own->tensors[i]);
    }
    result->tensors = own->tensors;
    result->tensor_count = model->file.output_count;
    result->handle = own;
    spoil(model->file.malformed, &own->tensors[0], result);
    return SLIPWAY_OK;
}

/* ---- Running ---- */

/* Delays, hangs, leaks and planned failures of one call. */
static enum slipway_status misbehave(struct slipway_model *model,
                                     const struct slipway_tensor *inputs,
                                     struct slipway_error *error)
{
    const struct echo_file *file = &model->file;
    unsigned long long call = atomic_fetch_add(&model->calls, 1) + 1;
    sleep_us(file->delay_us);
    spin_us(file->spin_us);
    bool hangs = file->hang_until[0] && (!file->hang_negative || has_negative(&inputs[0]));
    while (hangs && access(file->hang_until, F_OK) != 0) sleep_us(1000);
    if (file->leak_bytes > 0) {
        volatile char *lost = malloc(file->leak_bytes);
        for (uint64_t i = 0; lost && i < file->leak_bytes; i += 4096) lost[i] = 1;
    }
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the file asked for the leak
    if (file->fail_every > 0 && call % file->fail_every == 0)
        return echo_fail(error, file->fail_status, "call %llu fails, as the model's file says",
                         call);
    if (file->fail_negative != SLIPWAY_OK && file->input_count > 0 && has_negative(&inputs[0]))
        return echo_fail(error, file->fail_negative, "input '%s' holds a negative number",
                         file->inputs[0].name);
    return SLIPWAY_OK;
}

static enum slipway_status execute(struct slipway_instance *instance,
                                   const struct slipway_tensor *inputs, size_t input_count,
                                   const uint8_t *wanted, struct slipway_result *ret_result,
                                   struct slipway_error *error)
{
    struct slipway_model *model = instance->model;
    if (input_count != model->file.input_count)
        return echo_fail(error, SLIPWAY_INVALID_ARGUMENT, "%zu inputs, the model has %zu",
                         input_count, model->file.input_count);
    for (size_t i = 0; i < input_count; i++) {
        enum slipway_status status = check_input(&model->inputs[i], &inputs[i], error);
        if (status != SLIPWAY_OK) return status;
    }
    enum slipway_status status = misbehave(model, inputs, error);
    if (status != SLIPWAY_OK) return status;
    return answer(model, inputs, wanted, ret_result, error);
}

static void result_release(struct slipway_result *result)
{
    free(result->handle);
}

/* ---- The table ---- */

static const struct slipway_engine engine = {
    .struct_size = sizeof engine,
    .abi_version = SLIPWAY_ENGINE_ABI_VERSION,
    .name = "echo",
    .version = "echo 1",
    .model_load = model_load,
    .model_info = model_info,
    .model_unload = model_unload,
    .instance_new = instance_new,
    .instance_free = instance_free,
    .execute = execute,
    .result_release = result_release,
};

__attribute__((visibility("default"))) const struct slipway_engine *
slipway_engine_entry(const struct slipway_host *offered)
{
    if (offered->abi_version != SLIPWAY_ENGINE_ABI_VERSION) return NULL;
    host = offered;
    return &engine;
}
