/*
 * What engine tests share: one registry, loading a model and running it. A failed step fails the
 * test and yields NULL, so that a test can go on to clean up.
 */
#ifndef ENGINE_HARNESS_H
#define ENGINE_HARNESS_H

#include "base/mem.h"
#include "engine/loader.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"
#include "test.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static inline struct engine *harness_engine(const char *name)
{
    static struct engine_registry *registry; // one per process, as the product has
    if (!registry) registry = engine_registry_new(ENGINE_DIRECTORY);
    struct engine *engine = NULL;
    struct error err;
    EXPECT_STATUS(engine_open(registry, name, &engine, &err), STATUS_OK, err);
    return engine;
}

/* The status of loading a file; the model, if it loaded, is the caller's. */
static inline enum status harness_try_load(const char *engine_name, const char *path,
                                           const struct slipway_parameter *parameters, size_t count,
                                           struct engine_model **ret_model, struct error *err)
{
    struct engine *engine = harness_engine(engine_name);
    if (!engine) return fail(err, STATUS_NOT_FOUND, "no engine");
    struct slipway_load_options options = {
        .name = "test", .path = path, .parameters = parameters, .parameter_count = count};
    return engine_model_load(engine, &options, ret_model, err);
}

/* A model that must load; NULL if it does not. */
static inline struct engine_model *harness_load(const char *engine_name, const char *path)
{
    struct engine_model *model = NULL;
    struct error err = {0};
    EXPECT_STATUS(harness_try_load(engine_name, path, NULL, 0, &model, &err), STATUS_OK, err);
    return model;
}

/* A file that must not load, and what the message must say. */
static inline void harness_refuse(const char *engine_name, const char *path, enum status status,
                                  const char *text)
{
    struct engine_model *model = NULL;
    struct error err = {0};
    EXPECT_STATUS(harness_try_load(engine_name, path, NULL, 0, &model, &err), status, err);
    EXPECT(model == NULL);
    if (!strstr(err.message, text))
        test_failed(__FILE__, __LINE__, "'%s' does not say '%s'", err.message, text);
    engine_model_unload(model);
}

static inline struct engine_instance *harness_instance(struct engine_model *model)
{
    struct engine_instance *instance = NULL;
    struct error err = {0};
    EXPECT_STATUS(engine_instance_new(model, &instance, &err), STATUS_OK, err);
    return instance;
}

static inline struct slipway_tensor harness_tensor(enum dtype dtype, const int64_t *dims,
                                                   uint32_t rank, const void *data)
{
    int64_t count = 0;
    assert(shape_element_count(dims, rank, &count));
    union {
        const void *constant;
        void *variable;
    } memory = {data};
    return (struct slipway_tensor){dtype, rank, dims, memory.variable,
                                   (uint64_t)count * dtype_width(dtype)};
}

/* Runs; the failure is the test's. Call engine_result_release if true. */
static inline bool harness_run(struct engine_instance *instance,
                               const struct slipway_tensor *inputs, size_t count,
                               struct engine_result *ret_result)
{
    struct error err = {0};
    enum status status = engine_execute(instance, inputs, count, NULL, ret_result, &err);
    EXPECT_STATUS(status, STATUS_OK, err);
    return status == STATUS_OK;
}

/* Same type, shape and bytes; of strings, the same strings. */
static inline bool harness_same(const struct slipway_tensor *a, const struct slipway_tensor *b)
{
    if (a->dtype != b->dtype || a->rank != b->rank || a->byte_size != b->byte_size) return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    if (a->byte_size == 0) return true;
    if (a->dtype != DTYPE_BYTES) return memcmp(a->data, b->data, a->byte_size) == 0;
    const struct slipway_bytes *left = a->data, *right = b->data;
    for (size_t i = 0; i < a->byte_size / sizeof *left; i++)
        if (!str_equal((struct str){left[i].data, left[i].size},
                       (struct str){right[i].data, right[i].size}))
            return false;
    return true;
}

/* Resident memory of this process in KiB. */
static inline uint64_t harness_resident_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    assert(file);
    unsigned long long total, resident;
    int read = fscanf(file, "%llu %llu", &total, &resident);
    assert(read == 2);
    (void)fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

/* A whole file, owned by the caller. */
static inline char *harness_read(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "re");
    assert(file);
    struct stat status;
    assert(fstat(fileno(file), &status) == 0);
    char *data = mem_new((size_t)status.st_size + 1);
    *ret_size = fread(data, 1, (size_t)status.st_size, file);
    (void)fclose(file);
    return data;
}

static inline void harness_write(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "we");
    assert(file);
    assert(fwrite(data, 1, size, file) == size);
    (void)fclose(file);
}

#endif
