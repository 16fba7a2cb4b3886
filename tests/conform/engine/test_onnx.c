/* What is the onnx engine's own: how its models are described, its edge cases, hostile files. */
#include "harness.h"

#include <math.h>

#define MODEL(name) MODELS_DIRECTORY "/onnx/" name ".onnx"

static void refuse(const char *path, enum status status, const char *text)
{
    harness_refuse("onnx", path, status, text);
}

/* One run of a model with one FP32 input of one dimension; false if it failed. */
static bool run_floats(struct engine_instance *instance, const float *numbers, int64_t count,
                       struct engine_result *ret_result)
{
    struct slipway_tensor input = harness_tensor(DTYPE_FP32, &count, 1, numbers);
    return harness_run(instance, &input, 1, ret_result);
}

static void expect_floats(const struct slipway_tensor *tensor, const float *expected, size_t count)
{
    EXPECT_INT(tensor->dtype, DTYPE_FP32);
    REQUIRE(tensor->byte_size == count * sizeof *expected);
    EXPECT(memcmp(tensor->data, expected, tensor->byte_size) == 0);
}

/* ---- Descriptions ---- */

TEST(the_file_tells_types_and_shapes)
{
    struct engine_model *model = harness_load("onnx", MODEL("large"));
    REQUIRE(model);
    const struct slipway_model_info *info = engine_model_info(model);
    EXPECT_TEXT(info->platform, "onnxruntime_onnx");
    REQUIRE(info->input_count == 1 && info->output_count == 1);
    EXPECT_TEXT(info->inputs[0].name, "x");
    EXPECT_INT(info->inputs[0].dtype, DTYPE_FP32);
    EXPECT_INT(info->inputs[0].rank, 2);
    EXPECT_INT(info->inputs[0].dims[0], -1);
    EXPECT_INT(info->inputs[0].dims[1], 784);
    EXPECT_INT(info->outputs[0].dims[1], 10);
    EXPECT_INT(info->weight_bytes, (784 * 512 + 512 * 512 + 512 * 10) * 4);
    engine_model_unload(model);
}

/* Older libraries cannot say which of the two it is, and nothing may be refused then. */
static int32_t rank_of_a_scalar(void)
{
    const char *version = engine_version(harness_engine("onnx"));
    const char *minor = strstr(version, "Runtime 1.");
    EXPECT(minor);
    return minor && strtol(minor + strlen("Runtime 1."), NULL, 10) >= 24 ? 0 : -1;
}

TEST(a_scalar_is_told_from_an_unknown_shape)
{
    struct engine_model *scalar = harness_load("onnx", MODEL("scalar"));
    struct engine_model *unknown = harness_load("onnx", MODEL("unknown_rank"));
    REQUIRE(scalar && unknown);
    EXPECT_INT(engine_model_info(scalar)->inputs[0].rank, rank_of_a_scalar());
    EXPECT_INT(engine_model_info(unknown)->inputs[0].rank, -1);
    struct engine_instance *instance = harness_instance(unknown);
    float numbers[6] = {1, 2, 3, 4, 5, 6};
    for (uint32_t rank = 0; rank <= 3; rank++) {
        struct slipway_tensor input =
            harness_tensor(DTYPE_FP32, (int64_t[]){1, 2, 3}, rank, numbers);
        struct engine_result result;
        REQUIRE(harness_run(instance, &input, 1, &result));
        EXPECT(harness_same(&result.tensors[0], &input));
        engine_result_release(&result);
    }
    engine_instance_free(instance);
    engine_model_unload(scalar);
    engine_model_unload(unknown);
}

TEST(doubleit_doubles)
{
    struct engine_model *model = harness_load("onnx", MODEL("doubleit"));
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    for (int64_t round = 0; round < 5; round++) {
        int64_t numbers[] = {1, 2, 3, 4, round};
        struct slipway_tensor input = harness_tensor(DTYPE_INT64, (int64_t[]){5}, 1, numbers);
        struct engine_result result;
        REQUIRE(harness_run(instance, &input, 1, &result));
        const int64_t *doubled = result.tensors[0].data;
        for (size_t i = 0; i < 5; i++) EXPECT_INT(doubled[i], numbers[i] * 2);
        engine_result_release(&result);
    }
    engine_instance_free(instance);
    engine_model_unload(model);
}

/* ---- Optional inputs ---- */

TEST(an_initialiser_may_be_given_as_an_input)
{
    struct engine_model *model = harness_load("onnx", MODEL("optional"));
    REQUIRE(model);
    const struct slipway_model_info *info = engine_model_info(model);
    REQUIRE(info->input_count == 2);
    EXPECT_INT(info->inputs[0].optional, 0);
    EXPECT_INT(info->inputs[1].optional, 1);
    EXPECT_TEXT(info->inputs[1].name, "scale");
    struct engine_instance *instance = harness_instance(model);
    float numbers[] = {1, 2}, scale = 3;
    for (size_t i = 0; i < 6; i++) {
        bool is_given = i % 3 == 1;
        struct slipway_tensor inputs[] = {harness_tensor(DTYPE_FP32, (int64_t[]){2}, 1, numbers),
                                          {.dtype = DTYPE_ANY}};
        static const int64_t one = 1;
        if (is_given) inputs[1] = harness_tensor(DTYPE_FP32, &one, 1, &scale);
        struct engine_result result;
        REQUIRE(harness_run(instance, inputs, 2, &result));
        expect_floats(&result.tensors[0], is_given ? (float[]){3, 6} : (float[]){10, 20}, 2);
        engine_result_release(&result);
    }
    engine_instance_free(instance);
    engine_model_unload(model);
}

/* ---- Outputs that are not simply computed ---- */

TEST(an_output_may_be_an_input)
{
    struct engine_model *model = harness_load("onnx", MODEL("passthrough"));
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    for (size_t i = 0; i < 4; i++) {
        float numbers[] = {1, (float)i};
        struct engine_result result;
        REQUIRE(run_floats(instance, numbers, 2, &result));
        memset(numbers, 0xff, sizeof numbers);
        expect_floats(&result.tensors[0], (float[]){1, (float)i}, 2);
        expect_floats(&result.tensors[1], (float[]){-1, -(float)i}, 2);
        engine_result_release(&result);
    }
    engine_instance_free(instance);
    engine_model_unload(model);
}

TEST(all_outputs_may_be_inputs)
{
    struct engine_model *model = harness_load("onnx", MODEL("passthrough_only"));
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    struct slipway_bytes strings[] = {{"one", 3}, {"", 0}, {"three", 5}};
    struct slipway_tensor input = harness_tensor(DTYPE_BYTES, (int64_t[]){3}, 1, strings);
    struct engine_result result;
    REQUIRE(harness_run(instance, &input, 1, &result));
    EXPECT(harness_same(&result.tensors[0], &input));
    EXPECT(result.tensors[0].data != input.data);
    engine_result_release(&result);
    engine_instance_free(instance);
    engine_model_unload(model);
}

TEST(an_output_may_be_a_weight)
{
    struct engine_model *model = harness_load("onnx", MODEL("constant_output"));
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    for (size_t i = 0; i < 4; i++) {
        struct engine_result result;
        REQUIRE(run_floats(instance, (float[]){(float)i, 1}, 2, &result));
        expect_floats(&result.tensors[0], (float[]){1, 2, 3}, 3);
        expect_floats(&result.tensors[1], (float[]){-(float)i, -1}, 2);
        engine_result_release(&result);
    }
    engine_instance_free(instance);
    engine_model_unload(model);
}

TEST(output_shapes_may_depend_on_values)
{
    struct engine_model *model = harness_load("onnx", MODEL("nonzero"));
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    struct prng random;
    prng_seed(&random, test_seed());
    for (size_t i = 0; i < 100; i++) {
        float numbers[8];
        int64_t expected = 0;
        for (size_t j = 0; j < 8; j++) {
            numbers[j] = (float)prng_below(&random, 2);
            expected += numbers[j] != 0;
        }
        struct engine_result result;
        REQUIRE(run_floats(instance, numbers, 8, &result));
        EXPECT_INT(result.tensors[0].dims[1], expected);
        engine_result_release(&result);
    }
    engine_instance_free(instance);
    engine_model_unload(model);
}

static void run_wanting(struct engine_instance *instance, const uint8_t *wanted, size_t count,
                        float first)
{
    float numbers[3] = {first, 2, 3};
    struct slipway_bytes text = {"word", 4};
    struct slipway_tensor inputs[] = {
        harness_tensor(DTYPE_FP32, (int64_t[]){(int64_t)count}, 1, numbers),
        harness_tensor(DTYPE_BYTES, (int64_t[]){1}, 1, &text)};
    struct engine_result result;
    struct error err;
    REQUIRE(engine_execute(instance, inputs, 2, wanted, &result, &err) == STATUS_OK);
    REQUIRE(result.tensor_count == 4);
    for (size_t i = 0; i < 4; i++)
        if (wanted && !wanted[i]) EXPECT_INT(result.tensors[i].dtype, DTYPE_ANY);
    if (!wanted || wanted[0]) expect_floats(&result.tensors[0], (float[]){-first, -2, -3}, count);
    if (!wanted || wanted[1]) EXPECT(harness_same(&result.tensors[1], &inputs[1]));
    if (!wanted || wanted[2]) EXPECT(harness_same(&result.tensors[2], &inputs[0]));
    if (!wanted || wanted[3]) expect_floats(&result.tensors[3], (float[]){2 * first, 4, 6}, count);
    engine_result_release(&result);
}

TEST(outputs_that_nobody_wants_do_not_come)
{
    struct engine_model *model = harness_load("onnx", MODEL("several_outputs"));
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    struct prng random;
    prng_seed(&random, test_seed());
    uint8_t wanted[4] = {1, 1, 1, 1};
    for (size_t i = 0; i < 1000; i++) {
        /* Often the same ones again: then memory that is bound already is written. */
        if (prng_below(&random, 3) == 0)
            for (size_t k = 0; k < 4; k++) wanted[k] = (uint8_t)prng_below(&random, 2);
        bool all = prng_below(&random, 5) == 0;
        run_wanting(instance, all ? NULL : wanted, 1 + (size_t)prng_below(&random, 3), (float)i);
    }
    engine_instance_free(instance);
    engine_model_unload(model);
}

/* ---- Failures at run time ---- */

static void expect_run_failure(struct engine_instance *instance,
                               const struct slipway_tensor *inputs, size_t count, bool exhausted)
{
    struct engine_result result;
    struct error err = {0};
    enum status status = engine_execute(instance, inputs, count, NULL, &result, &err);
    EXPECT(status != STATUS_OK);
    if (status == STATUS_OK) engine_result_release(&result);
    if (exhausted) EXPECT_STATUS(status, STATUS_EXHAUSTED, err);
    EXPECT(err.message[0] != '\0' && !strchr(err.message, '\n'));
    EXPECT(!strstr(err.message, "onnxruntime_src"));
    EXPECT(!strstr(err.message, "::"));
}

TEST(an_index_out_of_range_is_an_error)
{
    struct engine_model *model = harness_load("onnx", MODEL("gather"));
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    for (size_t i = 0; i < 3; i++) {
        int64_t good[] = {0, 2}, bad[] = {0, 3};
        struct slipway_tensor input = harness_tensor(DTYPE_INT64, (int64_t[]){2}, 1, good);
        struct engine_result result;
        REQUIRE(harness_run(instance, &input, 1, &result));
        expect_floats(&result.tensors[0], (float[]){1, 3}, 2);
        engine_result_release(&result);
        input = harness_tensor(DTYPE_INT64, (int64_t[]){2}, 1, bad);
        expect_run_failure(instance, &input, 1, false);
    }
    engine_instance_free(instance);
    engine_model_unload(model);
}

TEST(values_that_do_not_fit_are_an_error)
{
    struct engine_model *model = harness_load("onnx", MODEL("reshape_by_value"));
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    float numbers[6] = {1, 2, 3, 4, 5, 6};
    int64_t shapes[][2] = {{2, 3}, {3, 2}, {4, 2}, {1, 6}, {-1, -1}, {6, 1}, {-5, 1}};
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct slipway_tensor inputs[] = {
            harness_tensor(DTYPE_FP32, (int64_t[]){6}, 1, numbers),
            harness_tensor(DTYPE_INT64, (int64_t[]){2}, 1, shapes[i])};
        if (shapes[i][0] * shapes[i][1] != 6) {
            expect_run_failure(instance, inputs, 2, false);
            continue;
        }
        struct engine_result result;
        REQUIRE(harness_run(instance, inputs, 2, &result));
        EXPECT_INT(result.tensors[0].dims[0], shapes[i][0]);
        engine_result_release(&result);
    }
    engine_instance_free(instance);
    engine_model_unload(model);
}

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { HAS_SANITIZER = 1 }; // which ends the process where operator new would throw
#else
enum { HAS_SANITIZER = 0 };
#endif

TEST(memory_that_is_not_there_is_exhausted)
{
    struct engine_model *model = harness_load("onnx", MODEL("fill_by_value"));
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    int64_t count = INT64_C(1) << 44;
    struct slipway_tensor input = harness_tensor(DTYPE_INT64, (int64_t[]){1}, 1, &count);
    if (!HAS_SANITIZER) expect_run_failure(instance, &input, 1, true);
    count = 3;
    struct engine_result result;
    REQUIRE(harness_run(instance, &input, 1, &result));
    expect_floats(&result.tensors[0], (float[]){0, 0, 0}, 3);
    engine_result_release(&result);
    engine_instance_free(instance);
    engine_model_unload(model);
}

/* ---- Files ---- */

TEST(what_has_no_tensor_form_is_refused)
{
    refuse(MODEL("sequence_output"), STATUS_INVALID_ARGUMENT, "zipmap=False");
    refuse(MODEL("identity_COMPLEX64"), STATUS_INVALID_ARGUMENT, "");
    refuse(MODEL("unknown_operator"), STATUS_INVALID_ARGUMENT, "NoSuchOperator");
}

TEST(absurd_tensors_are_refused)
{
    refuse(MODEL("huge_initializer"), STATUS_INVALID_ARGUMENT, "do not fit");
    refuse(MODEL("overflowing_initializer"), STATUS_INVALID_ARGUMENT, "too large");
    refuse(MODEL("negative_initializer"), STATUS_INVALID_ARGUMENT, "negative");
    refuse(MODEL("huge_attribute"), STATUS_INVALID_ARGUMENT, "do not fit");
    refuse(MODEL("deep_graph"), STATUS_INVALID_ARGUMENT, "nested");
}

TEST(a_constant_larger_than_memory_is_an_error)
{
    if (HAS_SANITIZER) return;
    struct engine_model *model = NULL;
    struct error err = {0};
    enum status status = harness_try_load("onnx", MODEL("huge_constant"), NULL, 0, &model, &err);
    if (status != STATUS_OK) { // found at load: the library folds constants
        EXPECT_STATUS(status, STATUS_EXHAUSTED, err);
        return;
    }
    struct engine_instance *instance = harness_instance(model);
    int64_t number = 1;
    struct slipway_tensor input = harness_tensor(DTYPE_INT64, NULL, 0, &number);
    struct engine_result result;
    // The library may find that only the size is asked for, and never make the constant.
    status = engine_execute(instance, &input, 1, NULL, &result, &err);
    if (status == STATUS_OK)
        engine_result_release(&result);
    else
        EXPECT_STATUS(status, STATUS_EXHAUSTED, err);
    engine_instance_free(instance);
    engine_model_unload(model);
}

TEST(external_data_is_read_beside_the_model)
{
    static const struct {
        const char *path;
        float first;
    } models[] = {{MODEL("external"), 1}, {MODEL("external_offset"), 5}};
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        struct engine_model *model = harness_load("onnx", models[i].path);
        REQUIRE(model);
        struct engine_instance *instance = harness_instance(model);
        struct engine_result result;
        REQUIRE(run_floats(instance, (float[]){0, 0, 0, 0}, 4, &result));
        float first = models[i].first;
        expect_floats(&result.tensors[0], (float[]){first, first + 1, first + 2, first + 3}, 4);
        engine_result_release(&result);
        engine_instance_free(instance);
        engine_model_unload(model);
    }
}

TEST(external_data_elsewhere_is_refused)
{
    refuse(MODEL("external_parent"), STATUS_INVALID_ARGUMENT, "outside");
    refuse(MODEL("external_inner_parent"), STATUS_INVALID_ARGUMENT, "outside");
    refuse(MODEL("external_absolute"), STATUS_INVALID_ARGUMENT, "outside");
    refuse(MODEL("external_link"), STATUS_INVALID_ARGUMENT, "leads outside");
    refuse(MODEL("external_directory"), STATUS_INVALID_ARGUMENT, "external data '.'");
    refuse(MODEL("external_missing"), STATUS_INVALID_ARGUMENT, "nowhere.bin");
    refuse(MODEL("external_short"), STATUS_INVALID_ARGUMENT, "shorter");
}

/* ---- Parameters ---- */

static void load_with(const char *key, const char *value, enum status expected)
{
    struct slipway_parameter parameter = {key, value};
    struct engine_model *model = NULL;
    struct error err = {0};
    enum status status = harness_try_load("onnx", MODEL("doubleit"), &parameter, 1, &model, &err);
    EXPECT_STATUS(status, expected, err);
    if (expected != STATUS_OK) EXPECT(strstr(err.message, key) != NULL);
    engine_model_unload(model);
}

TEST(parameters_are_checked)
{
    static const char *const good[][2] = {{"intra_op_thread_count", "2"},
                                          {"intra_op_thread_count", "0"},
                                          {"intra_op_thread_count", "1000"},
                                          {"inter_op_thread_count", "1"},
                                          {"execution_mode", "1"},
                                          {"graph_optimization_level", "basic"},
                                          {"graph_optimization_level", "0"},
                                          {"enable_mem_arena", "false"},
                                          {"enable_mem_pattern", "true"},
                                          {"session.set_denormal_as_zero", "1"},
                                          {"session.intra_op.allow_spinning", "0"}};
    for (size_t i = 0; i < COUNT_OF(good); i++) load_with(good[i][0], good[i][1], STATUS_OK);
    static const char *const bad[][2] = {
        {"intra_op_thread_count", "two"},     {"intra_op_thread_count", ""},
        {"intra_op_thread_count", "-1"},      {"execution_mode", "2"},
        {"graph_optimization_level", "3"},    {"enable_mem_arena", "maybe"},
        {"session.set_denormal_as_zero", "x"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        load_with(bad[i][0], bad[i][1], STATUS_INVALID_ARGUMENT);
}

TEST(a_parameter_cannot_name_a_file)
{
    struct slipway_parameter parameters[] = {
        {"session.optimized_model_filepath", "/tmp/slipway-must-not-be-written"},
        {"session.collect_node_memory_stats_to_file", "/tmp/slipway-must-not-be-written"},
        {"session.model_external_initializers_file_folder_path", "/etc"}};
    struct engine_model *model = NULL;
    struct error err;
    EXPECT_STATUS(
        harness_try_load("onnx", MODEL("external"), parameters, COUNT_OF(parameters), &model, &err),
        STATUS_OK, err);
    EXPECT(access("/tmp/slipway-must-not-be-written", F_OK) != 0);
    engine_model_unload(model);
}
