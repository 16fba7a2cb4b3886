/*
 * What the engine ABI costs: the same ONNX model run by a bare loop over the library's C API and by
 * the engine as the server calls it, in alternating rounds.
 *
 *   engine_loop ENGINES LIBRARY MODEL [ROUNDS [CALLS [BATCH]]]
 *
 * ENGINES is the directory of slipway_engine_onnx.so, LIBRARY libonnxruntime.so.1. The model has
 * numeric inputs; a variable dimension is run as BATCH (1). The bare loop wraps input and output
 * buffers anew for each call, as a program does that gets each request in another buffer; `bound`
 * is the library's own best, one binding of fixed buffers. Prints nanoseconds and ratios, medians.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "engine/loader.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

#include <dlfcn.h>
#include <onnxruntime_c_api.h>

enum { ROUNDS_MAX = 1000, CALLS_MAX = 1000000, BATCH_MAX = 4096 };

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) die(__LINE__, #condition);                                               \
    } while (0)

static void die(int line, const char *what)
{
    (void)fprintf(stderr, "engine_loop:%d: %s failed\n", line, what);
    abort();
}

/* One model, both ways, with one set of buffers. */
struct bench {
    const OrtApi *ort;
    OrtSession *session;
    OrtMemoryInfo *memory;
    OrtIoBinding *binding;
    struct engine_instance *instance;
    const struct slipway_model_info *info;
    struct slipway_tensor *inputs, *outputs;
};

static int compare_u64(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static uint64_t median(uint64_t *values, size_t count)
{
    qsort(values, count, sizeof *values, compare_u64);
    return values[count / 2];
}

static ONNXTensorElementDataType onnx_type(uint32_t dtype)
{
    switch (dtype) {
    case DTYPE_FP32: return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    case DTYPE_FP64: return ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE;
    case DTYPE_INT32: return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
    case DTYPE_INT64: return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
    case DTYPE_UINT8: return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    default:
        MUST(!"a type that this program knows");
        return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    }
}

/* Buffers for specs, variable dimensions `batch`. */
static struct slipway_tensor *make_tensors(const struct slipway_tensor_spec *specs, size_t count,
                                           int64_t batch)
{
    struct slipway_tensor *tensors = MEM_NEW_ARRAY(struct slipway_tensor, count + 1);
    for (size_t i = 0; i < count; i++) {
        MUST(specs[i].rank >= 0);
        int64_t *dims = MEM_NEW_ARRAY(int64_t, (size_t)specs[i].rank + 1);
        int64_t elements;
        for (int32_t j = 0; j < specs[i].rank; j++)
            dims[j] = specs[i].dims[j] < 0 ? batch : specs[i].dims[j];
        MUST(shape_element_count(dims, (size_t)specs[i].rank, &elements));
        size_t size = (size_t)elements * dtype_width((enum dtype)specs[i].dtype);
        tensors[i] = (struct slipway_tensor){specs[i].dtype, (uint32_t)specs[i].rank, dims,
                                             mem_new_zeroed(size + 1, 1), size};
    }
    return tensors;
}

/* ---- The bare loops ---- */

static OrtValue *wrap(const struct bench *bench, const struct slipway_tensor *tensor)
{
    OrtValue *value = NULL;
    MUST(!bench->ort->CreateTensorWithDataAsOrtValue(bench->memory, tensor->data, tensor->byte_size,
                                                     tensor->dims, tensor->rank,
                                                     onnx_type(tensor->dtype), &value));
    return value;
}

static void call_bare(struct bench *bench)
{
    enum { COUNT_MAX = 8 };
    const struct slipway_model_info *info = bench->info;
    const char *input_names[COUNT_MAX], *output_names[COUNT_MAX];
    OrtValue *inputs[COUNT_MAX], *outputs[COUNT_MAX];
    for (size_t i = 0; i < info->input_count; i++) {
        input_names[i] = info->inputs[i].name;
        inputs[i] = wrap(bench, &bench->inputs[i]);
    }
    for (size_t i = 0; i < info->output_count; i++) {
        output_names[i] = info->outputs[i].name;
        outputs[i] = wrap(bench, &bench->outputs[i]);
    }
    MUST(!bench->ort->Run(bench->session, NULL, input_names, (const OrtValue *const *)inputs,
                          info->input_count, output_names, info->output_count, outputs));
    for (size_t i = 0; i < info->input_count; i++) bench->ort->ReleaseValue(inputs[i]);
    for (size_t i = 0; i < info->output_count; i++) bench->ort->ReleaseValue(outputs[i]);
}

static void call_bound(struct bench *bench)
{
    MUST(!bench->ort->RunWithBinding(bench->session, NULL, bench->binding));
}

static void call_engine(struct bench *bench)
{
    struct engine_result result;
    struct error err;
    MUST(engine_execute(bench->instance, bench->inputs, bench->info->input_count, NULL, &result,
                        &err) == STATUS_OK);
    engine_result_release(&result);
}

/* ---- Opening ---- */

static void open_engine(struct bench *bench, const char *directory, const char *path)
{
    struct error err;
    struct engine *engine;
    struct engine_model *model;
    uint64_t start = clock_monotonic_ns();
    struct engine_registry *registry = engine_registry_new(directory);
    if (engine_open(registry, "onnx", &engine, &err) != STATUS_OK) die(__LINE__, err.message);
    uint64_t opened = clock_monotonic_ns();
    struct slipway_load_options options = {.name = "bench", .path = path};
    if (engine_model_load(engine, &options, &model, &err) != STATUS_OK) die(__LINE__, err.message);
    if (engine_instance_new(model, &bench->instance, &err) != STATUS_OK) die(__LINE__, err.message);
    bench->info = engine_model_info(model);
    uint64_t loaded = clock_monotonic_ns();
    (void)printf("engine opened in %.1f ms, model loaded in %.1f ms\n",
                 (double)(opened - start) / 1e6, (double)(loaded - opened) / 1e6);
}

/* The same session options as the engine's. */
static void open_bare(struct bench *bench, const char *library, const char *path)
{
    void *object = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    MUST(object);
    const OrtApiBase *(*get_base)(void);
    void *symbol = dlsym(object, "OrtGetApiBase");
    MUST(symbol);
    memcpy(&get_base, &symbol, sizeof get_base);
    const OrtApi *ort = bench->ort = get_base()->GetApi(20);
    MUST(ort);
    OrtEnv *environment;
    OrtSessionOptions *options;
    MUST(!ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "bench", &environment));
    MUST(!ort->CreateSessionOptions(&options));
    MUST(!ort->SetIntraOpNumThreads(options, 1));
    MUST(!ort->SetSessionGraphOptimizationLevel(options, ORT_ENABLE_ALL));
    MUST(!ort->CreateSession(environment, path, options, &bench->session));
    MUST(!ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &bench->memory));
    MUST(!ort->CreateIoBinding(bench->session, &bench->binding));
    for (size_t i = 0; i < bench->info->input_count; i++)
        MUST(!ort->BindInput(bench->binding, bench->info->inputs[i].name,
                             wrap(bench, &bench->inputs[i])));
    for (size_t i = 0; i < bench->info->output_count; i++)
        MUST(!ort->BindOutput(bench->binding, bench->info->outputs[i].name,
                              wrap(bench, &bench->outputs[i])));
}

/* ---- Measuring ---- */

typedef void call_function(struct bench *bench);

/* Median nanoseconds of a call. */
static uint64_t measure(struct bench *bench, call_function *call, size_t calls, uint64_t *times)
{
    for (size_t i = 0; i < calls; i++) {
        uint64_t start = clock_monotonic_ns();
        call(bench);
        times[i] = clock_monotonic_ns() - start;
    }
    return median(times, calls);
}

static uint64_t clock_cost(uint64_t *times, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t start = clock_monotonic_ns();
        times[i] = clock_monotonic_ns() - start;
    }
    return median(times, count);
}

static unsigned long argument(char **arguments, int count, int index, unsigned long otherwise)
{
    return index < count ? strtoul(arguments[index], NULL, 10) : otherwise;
}

int main(int count, char **arguments)
{
    if (count < 4) {
        (void)fprintf(stderr,
                      "usage: engine_loop ENGINES LIBRARY MODEL [ROUNDS [CALLS [BATCH]]]\n");
        return 64;
    }
    size_t rounds = argument(arguments, count, 4, 21), calls = argument(arguments, count, 5, 5000);
    size_t batch = argument(arguments, count, 6, 1);
    if (rounds == 0 || rounds > ROUNDS_MAX || calls == 0 || calls > CALLS_MAX || batch == 0 ||
        batch > BATCH_MAX)
        return 64;
    struct bench bench = {0};
    open_engine(&bench, arguments[1], arguments[3]);
    bench.inputs = make_tensors(bench.info->inputs, bench.info->input_count, (int64_t)batch);
    bench.outputs = make_tensors(bench.info->outputs, bench.info->output_count, (int64_t)batch);
    open_bare(&bench, arguments[2], arguments[3]);

    static call_function *const functions[] = {call_bare, call_bound, call_engine};
    static const char *const names[] = {"bare", "bound", "engine"};
    uint64_t medians[COUNT_OF(functions)][ROUNDS_MAX];
    uint64_t *times = MEM_NEW_ARRAY(uint64_t, calls);
    uint64_t cost = clock_cost(times, calls);
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < COUNT_OF(functions); i++)
            medians[i][round] = measure(&bench, functions[i], calls, times) - cost;
    uint64_t bare = median(medians[0], rounds);
    for (size_t i = 0; i < COUNT_OF(functions); i++) {
        uint64_t p50 = median(medians[i], rounds);
        (void)printf("%-8s p50 %8llu ns   %.2f of bare  %10.0f rows/s\n", names[i],
                     (unsigned long long)p50, (double)p50 / (double)bare,
                     (double)batch * 1e9 / (double)p50);
    }
    return 0;
}
