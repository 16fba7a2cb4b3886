/* The wrappers against an engine that misbehaves on purpose. */
#include "harness.h"

#include <math.h>

#define MODEL(name) MODELS_DIRECTORY "/echo/" name ".echo"

static enum status run_one(struct engine_instance *instance, float number, struct error *err)
{
    struct slipway_tensor input = harness_tensor(DTYPE_FP32, (int64_t[]){1}, 1, &number);
    struct engine_result result;
    enum status status = engine_execute(instance, &input, 1, NULL, &result, err);
    if (status == STATUS_OK) engine_result_release(&result);
    return status;
}

TEST(malformed_results_are_errors)
{
    static const struct {
        const char *path, *text;
    } models[] = {
        {MODEL("malformed_shape"), "negative or too large"},
        {MODEL("malformed_type"), "type 99"},
        {MODEL("malformed_size"), "need 16"},
        {MODEL("malformed_count"), "2 outputs"},
        {MODEL("malformed_data"), "no data"},
        {MODEL("malformed_rank"), "rank 1000000"},
    };
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        struct engine_model *model = harness_load("echo", models[i].path);
        REQUIRE(model);
        struct engine_instance *instance = harness_instance(model);
        float numbers[4] = {1, 2, 3, 4};
        struct slipway_tensor input = harness_tensor(DTYPE_FP32, (int64_t[]){1, 4}, 2, numbers);
        struct engine_result result;
        struct error err = {0};
        EXPECT_STATUS(engine_execute(instance, &input, 1, NULL, &result, &err), STATUS_INTERNAL,
                      err);
        EXPECT(strstr(err.message, "engine 'echo' returned a malformed result") != NULL);
        if (!strstr(err.message, models[i].text))
            test_failed(__FILE__, __LINE__, "'%s' does not say '%s'", err.message, models[i].text);
        engine_instance_free(instance);
        engine_model_unload(model);
    }
}

TEST(planned_failures_come_through)
{
    struct engine_model *model = harness_load("echo", MODEL("fail_every"));
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    for (size_t i = 1; i <= 9; i++) {
        struct error err = {0};
        EXPECT_STATUS(run_one(instance, 1, &err), i % 3 ? STATUS_OK : STATUS_UNAVAILABLE, err);
        EXPECT((err.message[0] != '\0') == (i % 3 == 0));
    }
    engine_instance_free(instance);
    engine_model_unload(model);
}

TEST(a_value_may_be_refused)
{
    struct engine_model *model = harness_load("echo", MODEL("fail_negative"));
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    struct error err;
    EXPECT_STATUS(run_one(instance, 1, &err), STATUS_OK, err);
    EXPECT_STATUS(run_one(instance, -1, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_STATUS(run_one(instance, 1, &err), STATUS_OK, err);
    engine_instance_free(instance);
    engine_model_unload(model);
}

TEST(loading_and_instances_may_fail)
{
    harness_refuse("echo", MODEL("fail_load"), STATUS_EXHAUSTED, "cannot be loaded");
    struct engine_model *model = harness_load("echo", MODEL("fail_instance"));
    REQUIRE(model);
    struct engine_instance *instance = NULL;
    struct error err;
    EXPECT_STATUS(engine_instance_new(model, &instance, &err), STATUS_EXHAUSTED, err);
    EXPECT(instance == NULL);
    engine_model_unload(model);
}

TEST(a_description_is_checked)
{
    harness_refuse("echo", MODEL("twice"), STATUS_INTERNAL, "two inputs are called 'x'");
}

TEST(outputs_may_be_no_numbers)
{
    struct engine_model *model = harness_load("echo", MODEL("nan"));
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    float number = 1;
    struct slipway_tensor input = harness_tensor(DTYPE_FP32, (int64_t[]){1}, 1, &number);
    struct engine_result result;
    REQUIRE(harness_run(instance, &input, 1, &result));
    EXPECT(isnan(*(const float *)result.tensors[0].data));
    engine_result_release(&result);
    engine_instance_free(instance);
    engine_model_unload(model);
}

TEST(an_absent_optional_input_and_an_unwanted_output)
{
    struct engine_model *model = harness_load("echo", MODEL("optional"));
    REQUIRE(model);
    struct engine_instance *instance = harness_instance(model);
    float number = 1;
    struct slipway_tensor inputs[] = {harness_tensor(DTYPE_FP32, (int64_t[]){1}, 1, &number),
                                      {.dtype = DTYPE_ANY}};
    struct engine_result result;
    REQUIRE(harness_run(instance, inputs, 2, &result));
    EXPECT_INT(result.tensors[1].dtype, DTYPE_BYTES);
    EXPECT_INT(result.tensors[1].byte_size, 0);
    engine_result_release(&result);
    struct error err;
    uint8_t wanted[] = {0, 1};
    EXPECT_STATUS(engine_execute(instance, inputs, 2, wanted, &result, &err), STATUS_OK, err);
    EXPECT_INT(result.tensors[0].dtype, DTYPE_ANY);
    engine_result_release(&result);
    engine_instance_free(instance);
    engine_model_unload(model);
}
