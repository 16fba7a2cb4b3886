/*
 * How long it takes from a process' start to an engine's first answer, and the memory then:
 *
 *   engine_start ENGINE.so MODEL f32|i64 DIM...
 *
 * Of torch the program to compare with is bare_torch, run in turns with this one.
 */
#include "base/base.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/str.h"

#include <dlfcn.h>
#include <unistd.h>

static void log_line(uint32_t level, const char *engine, const char *message)
{
    if (level >= SLIPWAY_LOG_WARNING) (void)fprintf(stderr, "%s: %s\n", engine, message);
}

static const struct slipway_engine *open_engine(const char *path)
{
    static const struct slipway_host host = {.struct_size = sizeof host,
                                             .abi_version = SLIPWAY_ENGINE_ABI_VERSION,
                                             .server_version = SLIPWAY_VERSION,
                                             .processor_count = 1,
                                             .log = log_line};
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        (void)fprintf(stderr, "%s\n", dlerror());
        return NULL;
    }
    slipway_engine_entry_function *entry;
    *(void **)&entry = dlsym(library, SLIPWAY_ENGINE_ENTRY_SYMBOL);
    return entry ? entry(&host) : NULL;
}

/* Zeros of the shape that the arguments give; false if they give none. */
static bool read_input(int count, char **arguments, int64_t *dims, struct slipway_tensor *ret)
{
    bool is_float = strcmp(arguments[0], "f32") == 0;
    int64_t elements = 1;
    for (int i = 1; i < count; i++) {
        if (i > SLIPWAY_RANK_MAX || !num_read_i64(str_of(arguments[i]), &dims[i - 1])) return false;
        if (dims[i - 1] < 0 || dims[i - 1] > 1 << 20) return false;
        elements *= dims[i - 1];
    }
    size_t size = (size_t)elements * (is_float ? 4 : 8);
    *ret = (struct slipway_tensor){.dtype = is_float ? SLIPWAY_DTYPE_FP32 : SLIPWAY_DTYPE_INT64,
                                   .rank = (uint32_t)(count - 1),
                                   .dims = dims,
                                   .data = mem_new_zeroed(1, size + 1),
                                   .byte_size = size};
    return true;
}

static enum slipway_status answer(const struct slipway_engine *engine, const char *path,
                                  const struct slipway_tensor *input, struct slipway_error *error)
{
    struct slipway_load_options options = {
        .struct_size = sizeof options, .name = "bench", .path = path};
    struct slipway_model *model;
    struct slipway_instance *instance;
    struct slipway_result result = {.struct_size = sizeof result};
    enum slipway_status status = engine->model_load(&options, &model, error);
    if (status == SLIPWAY_OK) status = engine->instance_new(model, &instance, error);
    if (status == SLIPWAY_OK) status = engine->execute(instance, input, 1, NULL, &result, error);
    return status;
}

static double resident_mib(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long total = 0, resident = 0;
    if (!file || fscanf(file, "%lu %lu", &total, &resident) != 2) resident = 0;
    if (file) (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

int main(int count, char **arguments)
{
    int64_t dims[SLIPWAY_RANK_MAX];
    struct slipway_tensor input;
    if (count < 5 || !read_input(count - 3, arguments + 3, dims, &input)) {
        (void)fprintf(stderr, "usage: engine_start ENGINE.so MODEL f32|i64 DIM...\n");
        return 64;
    }
    uint64_t start = clock_monotonic_ns();
    const struct slipway_engine *engine = open_engine(arguments[1]);
    if (!engine) return 1;
    uint64_t opened = clock_monotonic_ns();
    struct slipway_error error;
    if (answer(engine, arguments[2], &input, &error) != SLIPWAY_OK) {
        (void)fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    uint64_t end = clock_monotonic_ns();
    (void)printf("%s: opened after %.1f ms, first answer after %.1f ms, %.1f MiB resident\n",
                 engine->version, (double)(opened - start) / 1e6, (double)(end - start) / 1e6,
                 resident_mib());
    (void)fflush(stdout);
    _exit(0); // without the destructors of the engine's statics, as the server ends
}
