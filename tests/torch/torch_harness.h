/*
 * Runs models by the torch engine's table itself, without the engine room between, so that the
 * tests see what crosses the ABI.
 *
 *   struct running running CLEANUP(running_clear) = {0};
 *   REQUIRE(running_load(&running, "double", NULL) == SLIPWAY_OK);
 *   running.inputs[0] = FLOATS(1, 2, 3);
 *   EXPECT(running_execute(&running) == SLIPWAY_OK);
 *   EXPECT(float_at(&running, 0, 1) == 4);
 */
#ifndef TORCH_HARNESS_H
#define TORCH_HARNESS_H

#include "base/mem.h"
#include "test.h"

#include <dlfcn.h>

enum { INPUTS_MAX = 8 };

struct running {
    struct slipway_model *model;
    struct slipway_instance *instance;
    struct slipway_model_info info;
    struct slipway_tensor inputs[INPUTS_MAX];
    struct slipway_result result;
    bool has_result;
    struct slipway_error error;
};

static void log_nothing(uint32_t level, const char *engine, const char *message)
{
    if (level >= SLIPWAY_LOG_WARNING) (void)fprintf(stderr, "%s: %s\n", engine, message);
}

static UNUSED const struct slipway_engine *torch_engine(void)
{
    static const struct slipway_host host = {.struct_size = sizeof host,
                                             .abi_version = SLIPWAY_ENGINE_ABI_VERSION,
                                             .server_version = "test",
                                             .processor_count = 2,
                                             .log = log_nothing};
    static const struct slipway_engine *engine;
    if (engine) return engine;
    void *library = dlopen(TORCH_ENGINE, RTLD_NOW | RTLD_LOCAL);
    if (!library) (void)fprintf(stderr, "%s\n", dlerror());
    assert(library);
    slipway_engine_entry_function *entry;
    *(void **)&entry = dlsym(library, SLIPWAY_ENGINE_ENTRY_SYMBOL);
    assert(entry);
    engine = entry(&host);
    assert(engine && engine->abi_version == SLIPWAY_ENGINE_ABI_VERSION);
    return engine;
}

static UNUSED enum slipway_status load_path(struct running *running, const char *path,
                                            const struct slipway_load_options *more)
{
    struct slipway_load_options options = {0};
    if (more) options = *more;
    options.struct_size = sizeof options;
    options.name = "tested";
    options.path = path;
    enum slipway_status status =
        torch_engine()->model_load(&options, &running->model, &running->error);
    if (status != SLIPWAY_OK) return status;
    running->info.struct_size = sizeof running->info;
    torch_engine()->model_info(running->model, &running->info);
    return torch_engine()->instance_new(running->model, &running->instance, &running->error);
}

static UNUSED enum slipway_status running_load(struct running *running, const char *name,
                                               const struct slipway_load_options *more)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s.pt", MODELS_DIRECTORY, name);
    return load_path(running, path, more);
}

static UNUSED void running_release(struct running *running)
{
    if (running->has_result) torch_engine()->result_release(&running->result);
    running->has_result = false;
}

static UNUSED enum slipway_status running_execute_wanted(struct running *running,
                                                         const uint8_t *wanted)
{
    running_release(running);
    running->result = (struct slipway_result){.struct_size = sizeof running->result};
    enum slipway_status status =
        torch_engine()->execute(running->instance, running->inputs, running->info.input_count,
                                wanted, &running->result, &running->error);
    running->has_result = status == SLIPWAY_OK;
    return status;
}

static UNUSED enum slipway_status running_execute(struct running *running)
{
    return running_execute_wanted(running, NULL);
}

static UNUSED void running_clear(struct running *running)
{
    running_release(running);
    if (running->instance) torch_engine()->instance_free(running->instance);
    if (running->model) torch_engine()->model_unload(running->model);
}

#define TENSOR(type, ctype, ...)                                                                   \
    ((struct slipway_tensor){.dtype = SLIPWAY_DTYPE_##type,                                        \
                             .rank = 1,                                                            \
                             .dims = (int64_t[]){sizeof((ctype[]){__VA_ARGS__}) / sizeof(ctype)},  \
                             .data = (ctype[]){__VA_ARGS__},                                       \
                             .byte_size = sizeof((ctype[]){__VA_ARGS__})})
#define FLOATS(...) TENSOR(FP32, float, __VA_ARGS__)
#define INTS(...) TENSOR(INT64, int64_t, __VA_ARGS__)
#define SCALAR(type, ctype, value)                                                                 \
    ((struct slipway_tensor){                                                                      \
        .dtype = SLIPWAY_DTYPE_##type, .data = &(ctype){value}, .byte_size = sizeof(ctype)})

static UNUSED float float_at(const struct running *running, size_t output, size_t index)
{
    const struct slipway_tensor *tensor = &running->result.tensors[output];
    assert(tensor->dtype == SLIPWAY_DTYPE_FP32 && index < tensor->byte_size / sizeof(float));
    return ((const float *)tensor->data)[index];
}

static UNUSED int64_t int_at(const struct running *running, size_t output, size_t index)
{
    const struct slipway_tensor *tensor = &running->result.tensors[output];
    assert(tensor->dtype == SLIPWAY_DTYPE_INT64 && index < tensor->byte_size / sizeof(int64_t));
    return ((const int64_t *)tensor->data)[index];
}

#define EXPECT_ENGINE(running, actual, expected)                                                   \
    do {                                                                                           \
        int status_ = (int)(actual);                                                               \
        if (status_ != (int)(expected))                                                            \
            test_failed(__FILE__, __LINE__, "%s is %d (%s), not %d", #actual, status_,             \
                        status_ ? (running).error.message : "", (int)(expected));                  \
    } while (0)

#define EXPECT_SAYS(running, part)                                                                 \
    do {                                                                                           \
        if (!strstr((running).error.message, part))                                                \
            test_failed(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", (running).error.message, \
                        part);                                                                     \
        if (strchr((running).error.message, '\n')) test_failed(__FILE__, __LINE__, "two lines");   \
    } while (0)

#endif
