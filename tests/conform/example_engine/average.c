/*
 * A complete engine: docs/engines.md explains it line by line. Its model file holds one number, the
 * weight of the newest value; the model turns a batch of rows of any length into their
 * exponentially weighted averages, (n, columns) FP64 -> (n) FP64.
 *
 *   cc -shared -fPIC -I SLIPWAY/include average.c -o slipway_engine_average.so
 */
#include <slipway/engine.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Read-only once loaded: any number of instances use it at the same time, without a lock. */
struct slipway_model {
    double weight;
};

/* What one thread needs to run the model. Nothing here; usually scratch memory. */
struct slipway_instance {
    const struct slipway_model *model;
};

/* What a result owns, in one allocation, so that releasing it is one free(). */
struct result {
    struct slipway_tensor tensor;
    int64_t dims[1];
    double averages[];
};

static const struct slipway_host *host;

/* Who, what, why, in one sentence without a final full stop. */
__attribute__((format(printf, 3, 4))) static enum slipway_status
fail(struct slipway_error *error, enum slipway_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    error->status = status;
    return status;
}

/* ---- Models ---- */

static enum slipway_status read_weight(const char *path, double *ret_weight,
                                       struct slipway_error *error)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return fail(error, errno == ENOENT ? SLIPWAY_NOT_FOUND : SLIPWAY_INVALID_ARGUMENT,
                    "cannot open '%s': %s", path, strerror(errno));
    double weight;
    int count = fscanf(file, "%lf", &weight);
    fclose(file);
    if (count != 1 || !(weight > 0 && weight <= 1))
        return fail(error, SLIPWAY_INVALID_ARGUMENT, "'%s' does not hold a number in (0, 1]", path);
    *ret_weight = weight;
    return SLIPWAY_OK;
}

static enum slipway_status model_load(const struct slipway_load_options *options,
                                      struct slipway_model **ret_model, struct slipway_error *error)
{
    double weight = 0;
    enum slipway_status status = read_weight(options->path, &weight, error);
    if (status != SLIPWAY_OK) return status;
    struct slipway_model *model = malloc(sizeof *model);
    if (!model) return fail(error, SLIPWAY_EXHAUSTED, "no memory for '%s'", options->name);
    model->weight = weight;
    for (size_t i = 0; i < options->parameter_count; i++)
        host->log(SLIPWAY_LOG_WARNING, "average", options->parameters[i].key);
    *ret_model = model;
    return SLIPWAY_OK;
}

static void model_info(const struct slipway_model *model, struct slipway_model_info *info)
{
    static const int64_t input_dims[] = {-1, -1}, output_dims[] = {-1};
    static const struct slipway_tensor_spec input = {
        .name = "rows", .dtype = SLIPWAY_DTYPE_FP64, .rank = 2, .dims = input_dims};
    static const struct slipway_tensor_spec output = {
        .name = "averages", .dtype = SLIPWAY_DTYPE_FP64, .rank = 1, .dims = output_dims};
    (void)model;
    info->platform = "average";
    info->inputs = &input;
    info->input_count = 1;
    info->outputs = &output;
    info->output_count = 1;
}

static void model_unload(struct slipway_model *model)
{
    free(model);
}

/* ---- Instances ---- */

static enum slipway_status instance_new(struct slipway_model *model,
                                        struct slipway_instance **ret_instance,
                                        struct slipway_error *error)
{
    struct slipway_instance *instance = malloc(sizeof *instance);
    if (!instance) return fail(error, SLIPWAY_EXHAUSTED, "no memory for an instance");
    instance->model = model;
    *ret_instance = instance;
    return SLIPWAY_OK;
}

static void instance_free(struct slipway_instance *instance)
{
    free(instance);
}

/* ---- Running ---- */

static double average(double weight, const double *values, int64_t count)
{
    double result = count > 0 ? values[0] : 0;
    for (int64_t i = 1; i < count; i++) result += weight * (values[i] - result);
    return result;
}

static enum slipway_status execute(struct slipway_instance *instance,
                                   const struct slipway_tensor *inputs, size_t input_count,
                                   const uint8_t *wanted, struct slipway_result *ret_result,
                                   struct slipway_error *error)
{
    (void)wanted; // there is one output, and it is wanted
    const struct slipway_tensor *rows = &inputs[0];
    if (input_count != 1 || rows->dtype != SLIPWAY_DTYPE_FP64 || rows->rank != 2)
        return fail(error, SLIPWAY_INVALID_ARGUMENT,
                    "input 'rows' must be FP64 with two dimensions");
    int64_t count = rows->dims[0], columns = rows->dims[1];
    size_t size = (size_t)count * sizeof(double);
    struct result *result = malloc(sizeof *result + size);
    if (!result) return fail(error, SLIPWAY_EXHAUSTED, "no memory for %zu bytes of averages", size);
    const double *values = rows->data;
    for (int64_t i = 0; i < count; i++)
        result->averages[i] = average(instance->model->weight, values + i * columns, columns);
    result->dims[0] = count;
    result->tensor = (struct slipway_tensor){.dtype = SLIPWAY_DTYPE_FP64,
                                             .rank = 1,
                                             .dims = result->dims,
                                             .data = result->averages,
                                             .byte_size = size};
    ret_result->tensors = &result->tensor;
    ret_result->tensor_count = 1;
    ret_result->handle = result;
    return SLIPWAY_OK;
}

static void result_release(struct slipway_result *result)
{
    free(result->handle);
}

/* ---- The table ---- */

static const struct slipway_engine engine = {
    .struct_size = sizeof engine,
    .abi_version = SLIPWAY_ENGINE_ABI_VERSION,
    .name = "average",
    .version = "average 1",
    .model_load = model_load,
    .model_info = model_info,
    .model_unload = model_unload,
    .instance_new = instance_new,
    .instance_free = instance_free,
    .execute = execute,
    .result_release = result_release,
};

const struct slipway_engine *slipway_engine_entry(const struct slipway_host *offered)
{
    if (offered->abi_version != SLIPWAY_ENGINE_ABI_VERSION) return NULL;
    host = offered;
    return &engine;
}
