/*
 * What every engine must do, run once for each: the same tests, with models of the same names that
 * return what they are given (tests/conform/engine/make_models.py writes those of echo and onnx).
 *
 *   SUITE_ENGINE "onnx"   SUITE_MODELS "directory of the models"   SUITE_EXTENSION ".onnx"
 *
 *   identity_DTYPE   (a, b) any type, variable shape; those that the engine has
 *   fixed            (5) INT64        scalar  () FP32
 *   batch            (n, 4) FP32      large   (n, 784) FP32 -> any, weights of about 2 MB
 */
#include "harness.h"

#include <math.h>
#include <pthread.h>

static char *model_path(const char *name)
{
    return mem_format("%s/%s%s", SUITE_MODELS, name, SUITE_EXTENSION);
}

static struct engine_model *load(const char *name)
{
    char *path CLEANUP(mem_freep) = model_path(name);
    return harness_load(SUITE_ENGINE, path);
}

/* ---- Files that are no models ---- */

TEST(a_missing_file_is_not_found)
{
    harness_refuse(SUITE_ENGINE, SUITE_MODELS "/nowhere" SUITE_EXTENSION, STATUS_NOT_FOUND,
                   "nowhere");
}

static void refuse_bytes(const char *what, const void *data, size_t size)
{
    char directory[] = "/tmp/slipway-suite-XXXXXX";
    REQUIRE(mkdtemp(directory));
    char *path CLEANUP(mem_freep) = mem_format("%s/model%s", directory, SUITE_EXTENSION);
    harness_write(path, data, size);
    struct engine_model *model = NULL;
    struct error err = {0};
    enum status status = harness_try_load(SUITE_ENGINE, path, NULL, 0, &model, &err);
    if (status != STATUS_INVALID_ARGUMENT)
        test_failed(__FILE__, __LINE__, "%s: %s (%s)", what, status_name(status), err.message);
    EXPECT(strstr(err.message, path) != NULL);
    engine_model_unload(model);
    (void)unlink(path);
    (void)rmdir(directory);
}

TEST(a_file_cut_short_is_refused)
{
    char *path CLEANUP(mem_freep) = model_path("large");
    size_t size;
    char *data CLEANUP(mem_freep) = harness_read(path, &size);
    for (size_t part = 0; part < 20; part++) {
        char *what CLEANUP(mem_freep) = mem_format("%zu/20 of the file", part);
        refuse_bytes(what, data, size * part / 20);
    }
}

TEST(garbage_is_refused)
{
    struct prng random;
    prng_seed(&random, test_seed());
    for (size_t i = 0; i < 50; i++) {
        char data[4096];
        for (size_t j = 0; j < sizeof data; j++) data[j] = (char)prng_u64(&random);
        refuse_bytes("noise", data, 1 + (size_t)(prng_below(&random, sizeof data)));
    }
    static const char empty_zip[] = "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    refuse_bytes("an empty archive", empty_zip, sizeof empty_zip);
    refuse_bytes("text", "hello, world\n", 13);
    refuse_bytes("a pickle", "\x80\x02}q\x00.", 6);
}

TEST(a_damaged_file_never_crashes)
{
    char *path CLEANUP(mem_freep) = model_path("batch");
    size_t size;
    char *data CLEANUP(mem_freep) = harness_read(path, &size);
    char directory[] = "/tmp/slipway-suite-XXXXXX";
    REQUIRE(mkdtemp(directory));
    char *damaged CLEANUP(mem_freep) = mem_format("%s/model%s", directory, SUITE_EXTENSION);
    struct prng random;
    prng_seed(&random, test_seed());
    for (size_t i = 0; i < 100; i++) {
        size_t at = (size_t)prng_below(&random, size);
        char before = data[at];
        data[at] = (char)prng_u64(&random);
        harness_write(damaged, data, size);
        struct engine_model *model = NULL;
        struct error err;
        if (harness_try_load(SUITE_ENGINE, damaged, NULL, 0, &model, &err) == STATUS_OK)
            engine_model_unload(model);
        else
            EXPECT(err.message[0] != '\0');
        data[at] = before;
    }
    (void)unlink(damaged);
    (void)rmdir(directory);
}

TEST(a_directory_is_refused)
{
    struct engine_model *model = NULL;
    struct error err = {0};
    EXPECT(harness_try_load(SUITE_ENGINE, "/tmp", NULL, 0, &model, &err) != STATUS_OK);
    EXPECT(err.message[0] != '\0');
}

/* ---- Descriptions ---- */

TEST(a_model_says_what_it_takes)
{
    struct engine_model *model = load("batch");
    REQUIRE(model);
    const struct slipway_model_info *info = engine_model_info(model);
    EXPECT_INT(info->input_count, 1);
    EXPECT_INT(info->output_count, 1);
    EXPECT(info->platform[0] != '\0');
    EXPECT(info->inputs[0].name[0] != '\0');
    EXPECT_INT(info->inputs[0].optional, 0);
    engine_model_unload(model);
}

TEST(an_unknown_parameter_is_no_failure)
{
    char *path CLEANUP(mem_freep) = model_path("batch");
    struct slipway_parameter parameters[] = {{"no_such_parameter", "1"}, {"", ""}};
    struct engine_model *model = NULL;
    struct error err;
    EXPECT_STATUS(
        harness_try_load(SUITE_ENGINE, path, parameters, COUNT_OF(parameters), &model, &err),
        STATUS_OK, err);
    engine_model_unload(model);
}

/* ---- Values ---- */

/* Runs a model that returns what it is given, and compares. */
static void round_trip(struct engine_instance *instance, const struct slipway_tensor *input)
{
    struct engine_result result;
    if (!harness_run(instance, input, 1, &result)) return;
    REQUIRE(result.tensor_count == 1);
    EXPECT(harness_same(&result.tensors[0], input));
    engine_result_release(&result);
}

static void round_trip_values(struct engine_instance *instance, enum dtype dtype,
                              struct prng *random)
{
    for (size_t i = 0; i < 20; i++) {
        int64_t dims[] = {(int64_t)(prng_below(random, 40)), (int64_t)(prng_below(random, 40))};
        size_t size = (size_t)(dims[0] * dims[1]) * dtype_width(dtype);
        unsigned char *data CLEANUP(mem_freep) = mem_new(size + 1);
        for (size_t j = 0; j < size; j++)
            data[j] = (unsigned char)(prng_u64(random) & (dtype == DTYPE_BOOL ? 1 : 0xff));
        struct slipway_tensor input = harness_tensor(dtype, dims, 2, data);
        round_trip(instance, &input);
    }
}

static void round_trip_strings(struct engine_instance *instance)
{
    struct slipway_bytes strings[] = {
        {"", 0},
        {"a", 1},
        {"with\0zero", 9},
        {"\xc3\xa4\xe2\x82\xac", 5},
        {"long enough to be on the heap of whoever stores short strings inline", 68},
        {"\n", 1}};
    int64_t dims[] = {2, 3};
    struct slipway_tensor input = harness_tensor(DTYPE_BYTES, dims, 2, strings);
    round_trip(instance, &input);
    round_trip(instance, &input);
    int64_t empty[] = {0, 3};
    input = harness_tensor(DTYPE_BYTES, empty, 2, NULL);
    round_trip(instance, &input);
}

TEST(every_type_goes_through_unchanged)
{
    struct prng random;
    prng_seed(&random, test_seed());
    size_t tested = 0;
    for (enum dtype dtype = DTYPE_BOOL; dtype < DTYPE_COUNT; dtype++) {
        char *name CLEANUP(mem_freep) = mem_format("identity_%s", dtype_name(dtype));
        char *path CLEANUP(mem_freep) = model_path(name);
        if (access(path, F_OK) != 0) continue; // a type that this engine does not have
        struct engine_model *model = harness_load(SUITE_ENGINE, path);
        REQUIRE(model);
        struct engine_instance *instance = harness_instance(model);
        if (dtype == DTYPE_BYTES)
            round_trip_strings(instance);
        else
            round_trip_values(instance, dtype, &random);
        engine_instance_free(instance);
        engine_model_unload(model);
        tested++;
    }
    EXPECT(tested >= 8);
}

TEST(a_scalar_stays_a_scalar)
{
    struct engine_model *model = load("scalar");
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    float number = 2.5f;
    struct slipway_tensor input = harness_tensor(DTYPE_FP32, NULL, 0, &number);
    round_trip(instance, &input);
    engine_instance_free(instance);
    engine_model_unload(model);
}

TEST(no_number_and_infinity_go_through)
{
    struct engine_model *model = load("batch");
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    float numbers[] = {NAN, INFINITY, -INFINITY, -0.0f};
    struct slipway_tensor input = harness_tensor(DTYPE_FP32, (int64_t[]){1, 4}, 2, numbers);
    round_trip(instance, &input);
    engine_instance_free(instance);
    engine_model_unload(model);
}

TEST(the_batch_may_have_any_size)
{
    struct engine_model *model = load("batch");
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    static float numbers[3000 * 4];
    for (size_t i = 0; i < COUNT_OF(numbers); i++) numbers[i] = (float)i;
    static const int64_t sizes[] = {1, 0, 2, 2, 0, 0, 255, 256, 257, 3000, 1, 3000, 3};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        numbers[0] = (float)i;
        int64_t dims[] = {sizes[i], 4};
        struct slipway_tensor input = harness_tensor(DTYPE_FP32, dims, 2, numbers);
        round_trip(instance, &input);
    }
    engine_instance_free(instance);
    engine_model_unload(model);
}

TEST(inputs_are_not_written_to)
{
    struct engine_model *model = load("batch");
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    float numbers[] = {1, 2, 3, 4}, before[4];
    memcpy(before, numbers, sizeof before);
    struct slipway_tensor input = harness_tensor(DTYPE_FP32, (int64_t[]){1, 4}, 2, numbers);
    round_trip(instance, &input);
    EXPECT(memcmp(numbers, before, sizeof before) == 0);
    engine_instance_free(instance);
    engine_model_unload(model);
}

/* ---- Results and their lifetime ---- */

TEST(a_result_outlives_the_next_runs_and_the_instance)
{
    enum { COUNT = 20 };
    struct engine_model *model = load("batch");
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    struct engine_result results[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        float numbers[] = {(float)i, 1, 2, 3};
        struct slipway_tensor input = harness_tensor(DTYPE_FP32, (int64_t[]){1, 4}, 2, numbers);
        REQUIRE(harness_run(instance, &input, 1, &results[i]));
        memset(numbers, 0xff, sizeof numbers); // the caller's memory is the caller's again
    }
    engine_instance_free(instance);
    for (size_t i = 0; i < COUNT; i++) {
        const float *numbers = results[i].tensors[0].data;
        EXPECT(numbers[0] == (float)i && numbers[3] == 3.0f);
        engine_result_release(&results[i]);
    }
    engine_model_unload(model);
}

TEST(results_in_any_order)
{
    struct engine_model *model = load("batch");
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    struct engine_result results[8];
    bool is_out[8] = {false};
    struct prng random;
    prng_seed(&random, test_seed());
    float expected[8] = {0};
    for (size_t i = 0; i < 500; i++) {
        size_t at = (size_t)prng_below(&random, 8);
        if (is_out[at]) {
            const float *numbers = results[at].tensors[0].data;
            EXPECT(numbers[0] == expected[at]);
            engine_result_release(&results[at]);
        } else {
            int64_t rows = 1 + (int64_t)(prng_below(&random, 2));
            float numbers[8] = {(float)i};
            expected[at] = (float)i;
            int64_t dims[] = {rows, 4};
            struct slipway_tensor input = harness_tensor(DTYPE_FP32, dims, 2, numbers);
            REQUIRE(harness_run(instance, &input, 1, &results[at]));
        }
        is_out[at] = !is_out[at];
    }
    for (size_t i = 0; i < 8; i++)
        if (is_out[i]) engine_result_release(&results[i]);
    engine_instance_free(instance);
    engine_model_unload(model);
}

/* ---- Wrong inputs ---- */

static void fails_then_works(struct engine_instance *instance, const struct slipway_tensor *wrong,
                             const struct slipway_tensor *right)
{
    struct engine_result result;
    struct error err = {0};
    enum status status = engine_execute(instance, wrong, 1, NULL, &result, &err);
    EXPECT(status != STATUS_OK);
    if (status == STATUS_OK) engine_result_release(&result);
    EXPECT(err.message[0] != '\0');
    round_trip(instance, right);
}

TEST(a_wrong_input_is_an_error_and_no_more)
{
    struct engine_model *model = load("fixed");
    REQUIRE(model);
    const struct slipway_tensor_spec *spec = &engine_model_info(model)->inputs[0];
    if (spec->rank < 0 || spec->dtype == DTYPE_ANY) { // a model that takes anything
        engine_model_unload(model);
        return;
    }
    struct engine_instance *instance = harness_instance(model);
    int64_t numbers[12] = {1, 2, 3, 4, 5};
    struct slipway_tensor right = harness_tensor(DTYPE_INT64, (int64_t[]){5}, 1, numbers);
    round_trip(instance, &right);
    struct slipway_tensor wrong[] = {
        harness_tensor(DTYPE_INT64, (int64_t[]){4}, 1, numbers),
        harness_tensor(DTYPE_INT64, (int64_t[]){0}, 1, numbers),
        harness_tensor(DTYPE_INT64, (int64_t[]){1, 5}, 2, numbers),
        harness_tensor(DTYPE_INT64, NULL, 0, numbers),
        harness_tensor(DTYPE_INT32, (int64_t[]){5}, 1, numbers),
        harness_tensor(DTYPE_FP64, (int64_t[]){5}, 1, numbers),
        {.dtype = DTYPE_ANY},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) fails_then_works(instance, &wrong[i], &right);
    engine_instance_free(instance);
    engine_model_unload(model);
}

/* ---- Threads ---- */

struct runner {
    struct engine_model *model;
    uint32_t number;
    pthread_t thread;
};

static void *run_many(void *context)
{
    struct runner *runner = context;
    struct engine_instance *instance = harness_instance(runner->model);
    for (uint32_t i = 0; i < 200; i++) {
        float numbers[8] = {(float)(runner->number * 1000 + i)};
        int64_t dims[] = {1 + i % 2, 4};
        struct slipway_tensor input = harness_tensor(DTYPE_FP32, dims, 2, numbers);
        round_trip(instance, &input);
    }
    engine_instance_free(instance);
    return NULL;
}

TEST(instances_run_at_the_same_time)
{
    struct engine_model *model = load("batch");
    REQUIRE(model);
    struct runner runners[4];
    for (uint32_t i = 0; i < COUNT_OF(runners); i++) {
        runners[i] = (struct runner){.model = model, .number = i};
        EXPECT(pthread_create(&runners[i].thread, NULL, run_many, &runners[i]) == 0);
    }
    for (size_t i = 0; i < COUNT_OF(runners); i++) (void)pthread_join(runners[i].thread, NULL);
    engine_model_unload(model);
}

static void *load_and_run(void *context)
{
    (void)context;
    for (uint32_t i = 0; i < 3; i++) {
        struct engine_model *model = load("batch");
        if (!model) return NULL;
        struct runner runner = {.model = model, .number = i};
        (void)run_many(&runner);
        engine_model_unload(model);
    }
    return NULL;
}

TEST(models_load_at_the_same_time)
{
    REQUIRE(harness_engine(SUITE_ENGINE)); // the registry of the harness is not locked
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        EXPECT(pthread_create(&threads[i], NULL, load_and_run, NULL) == 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++) (void)pthread_join(threads[i], NULL);
}

/* ---- Memory ---- */

static void load_run_unload(void)
{
    static float numbers[2 * 784];
    struct engine_model *model = load("large");
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    struct slipway_tensor input = harness_tensor(DTYPE_FP32, (int64_t[]){2, 784}, 2, numbers);
    struct engine_result result;
    if (harness_run(instance, &input, 1, &result)) engine_result_release(&result);
    engine_instance_free(instance);
    engine_model_unload(model);
}

TEST(unloading_gives_the_memory_back)
{
    for (size_t i = 0; i < 20; i++) load_run_unload();
    uint64_t before = harness_resident_kib();
    for (size_t i = 0; i < 200; i++) load_run_unload();
    uint64_t after = harness_resident_kib();
    // 200 models of 2 MB; a sanitizer keeps freed memory for a while.
    uint64_t allowed = before + SUITE_GROWTH_KIB;
    if (after > allowed)
        test_failed(__FILE__, __LINE__, "resident: %llu KiB, then %llu KiB",
                    (unsigned long long)before, (unsigned long long)after);
}

TEST(running_does_not_grow)
{
    struct engine_model *model = load("batch");
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    uint64_t before = 0;
    for (size_t i = 0; i < 20000; i++) {
        float numbers[40] = {(float)i};
        int64_t dims[] = {1 + (int64_t)(i % 10), 4};
        struct slipway_tensor input = harness_tensor(DTYPE_FP32, dims, 2, numbers);
        round_trip(instance, &input);
        if (i == 2000) before = harness_resident_kib();
    }
    uint64_t after = harness_resident_kib();
    if (after > before + SUITE_GROWTH_KIB / 4)
        test_failed(__FILE__, __LINE__, "resident: %llu KiB, then %llu KiB",
                    (unsigned long long)before, (unsigned long long)after);
    engine_instance_free(instance);
    engine_model_unload(model);
}
