/* Loading and unloading, threads, and results that outlive what made them. */
#include "torch_harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static size_t resident_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    assert(file);
    unsigned long total, resident;
    int read = fscanf(file, "%lu %lu", &total, &resident);
    assert(read == 2);
    (void)fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void load_run_unload(void)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "mlp", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    static float zeros[784];
    running.inputs[0] =
        (struct slipway_tensor){SLIPWAY_DTYPE_FP32, 2, (int64_t[]){1, 784}, zeros, sizeof zeros};
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
    EXPECT_INT(running.result.tensors[0].dims[1], 10);
}

/* The weights are 400 KiB: 200 leaked models would be 80 MiB. A sanitizer's quarantine is not. */
TEST(torch_loading_200_times_does_not_grow)
{
    for (int i = 0; i < 20; i++) load_run_unload();
    size_t before = resident_kib();
    for (int i = 0; i < 200; i++) load_run_unload();
    size_t after = resident_kib();
    if (after > before + 24 * 1024)
        test_failed(__FILE__, __LINE__, "%zu KiB became %zu KiB", before, after);
}

TEST(torch_failing_loads_and_calls_do_not_grow)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "linear", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    static float values[100000];
    running.inputs[0] =
        (struct slipway_tensor){SLIPWAY_DTYPE_FP32, 1, (int64_t[]){100000}, values, sizeof values};
    size_t before = 0;
    for (int i = 0; i < 500; i++) {
        if (i == 50) before = resident_kib();
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_INVALID_ARGUMENT);
        struct running refused CLEANUP(running_clear) = {0};
        if (i % 10 == 0)
            EXPECT_ENGINE(refused, running_load(&refused, "free_list", NULL),
                          SLIPWAY_FAILED_PRECONDITION);
    }
    EXPECT(resident_kib() < before + 24 * 1024);
}

TEST(torch_results_outlive_the_instance_and_later_calls)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "nested", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    enum { COUNT = 200 }; // more than the pool keeps
    struct slipway_result results[COUNT];
    for (int i = 0; i < COUNT; i++) {
        running.inputs[0] = FLOATS((float)i, 0);
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
        results[i] = running.result;
        running.has_result = false;
    }
    torch_engine()->instance_free(running.instance);
    running.instance = NULL;
    for (int i = 0; i < COUNT; i++) {
        EXPECT(((const float *)results[i].tensors[0].data)[0] == (float)i);
        EXPECT(((const float *)results[i].tensors[3].data)[0] == (float)(i + 3));
        torch_engine()->result_release(&results[i]);
    }
}

struct worker {
    struct slipway_model *model;
    float seed;
    atomic_int failures;
};

static void *work(void *context)
{
    struct worker *worker = context;
    struct running running = {.model = worker->model, .info = {.input_count = 1}};
    if (torch_engine()->instance_new(worker->model, &running.instance, &running.error)) return NULL;
    for (int i = 0; i < 300; i++) {
        float value = worker->seed + (float)i;
        running.inputs[0] = FLOATS(value, 2 * value);
        if (running_execute(&running) != SLIPWAY_OK)
            worker->failures++;
        else if (float_at(&running, 0, 1) != 4 * value)
            worker->failures++;
    }
    running_release(&running);
    torch_engine()->instance_free(running.instance);
    return NULL;
}

TEST(torch_instances_run_in_parallel)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "double", NULL), SLIPWAY_OK);
    REQUIRE(running.model);
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.model = running.model, .seed = (float)(i * 1000)};
        REQUIRE(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
        EXPECT_INT(workers[i].failures, 0);
    }
}

static void *count_up(void *context)
{
    struct worker *worker = context;
    struct running running = {.model = worker->model, .info = {.input_count = 1}};
    if (torch_engine()->instance_new(worker->model, &running.instance, &running.error)) return NULL;
    running.inputs[0] = FLOATS(0);
    for (int i = 0; i < 200; i++)
        if (running_execute(&running) != SLIPWAY_OK) worker->failures++;
    running_release(&running);
    torch_engine()->instance_free(running.instance);
    return NULL;
}

/* No count is lost: instances of a model with state take turns. */
TEST(torch_instances_share_state_safely)
{
    static const char *const models[] = {"counts", "keeps_input"};
    for (size_t m = 0; m < COUNT_OF(models); m++) {
        struct running running CLEANUP(running_clear) = {0};
        EXPECT_ENGINE(running, running_load(&running, models[m], NULL), SLIPWAY_OK);
        REQUIRE(running.model);
        pthread_t threads[3];
        struct worker worker = {.model = running.model};
        for (size_t i = 0; i < COUNT_OF(threads); i++)
            REQUIRE(pthread_create(&threads[i], NULL, count_up, &worker) == 0);
        for (size_t i = 0; i < COUNT_OF(threads); i++) (void)pthread_join(threads[i], NULL);
        EXPECT_INT(worker.failures, 0);
        if (m > 0) continue;
        running.inputs[0] = FLOATS(0);
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
        EXPECT_INT(int_at(&running, 0, 0), 601);
    }
}

static void *load_some(void *context)
{
    (void)context;
    for (int i = 0; i < 10; i++) load_run_unload();
    return NULL;
}

TEST(torch_loads_run_in_parallel)
{
    pthread_t threads[3];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        REQUIRE(pthread_create(&threads[i], NULL, load_some, NULL) == 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++) (void)pthread_join(threads[i], NULL);
}

/* Each switch loads and gives the same numbers. */
TEST(torch_parameters)
{
    static const struct slipway_parameter sets[][2] = {
        {{"INFERENCE_MODE", "false"}, {"FREEZE", "false"}},
        {{"DISABLE_OPTIMIZED_EXECUTION", "true"}, {"ENABLE_NVFUSER", "true"}},
        {{"OPTIMIZE_FOR_INFERENCE", "true"}, {"INTRA_OP_THREAD_COUNT", "2"}},
        {{"inference_mode", "1"}, {"freeze", "on"}},
    };
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        struct slipway_load_options options = {.parameters = sets[i], .parameter_count = 2};
        struct running running CLEANUP(running_clear) = {0};
        EXPECT_ENGINE(running, running_load(&running, "linear", &options), SLIPWAY_OK);
        REQUIRE(running.instance);
        running.inputs[0] = FLOATS(1, 1, 1, 1);
        for (int round = 0; round < 5; round++) {
            EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
            REQUIRE(running.has_result);
            EXPECT(float_at(&running, 0, 1) == 21.5F);
        }
    }
}

/* What libtorch is linked with and does not use stays out (engines/torch/stubs.py). */
TEST(torch_maps_nothing_that_it_does_not_use)
{
    load_run_unload();
    FILE *file = fopen("/proc/self/maps", "re");
    REQUIRE(file);
    char line[1024];
    bool has_torch = false;
    while (fgets(line, sizeof line, file)) {
        has_torch |= strstr(line, "/libtorch_cpu") != NULL;
        if (strstr(line, "/torch-stubs/")) continue;
        if (strstr(line, "/libopencv_") || strstr(line, "/libavcodec") || strstr(line, "/libzmq"))
            test_failed(__FILE__, __LINE__, "mapped: %s", line);
    }
    (void)fclose(file);
    EXPECT(has_torch);
}
