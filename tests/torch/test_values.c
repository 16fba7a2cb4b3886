/* What goes in and what comes out. */
#include "torch_harness.h"

static void expect_specs(const struct slipway_tensor_spec *specs, size_t count, const char *names)
{
    char text[512] = "";
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof text - used, "%s%s%s", i ? " " : "", specs[i].name,
                       specs[i].optional ? "?" : "");
    }
    EXPECT_TEXT(text, names);
}

TEST(torch_double_of_the_seed_models)
{
    static const char *const seeds[] = {"doubleit_a", "doubleit_b", "doubleit_c"};
    for (size_t i = 0; i < COUNT_OF(seeds); i++) {
        struct running running CLEANUP(running_clear) = {0};
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s.pt", SEEDS_DIRECTORY, seeds[i]);
        EXPECT_ENGINE(running, load_path(&running, path, NULL), SLIPWAY_OK);
        REQUIRE(running.instance);
        expect_specs(running.info.inputs, running.info.input_count, "x");
        expect_specs(running.info.outputs, running.info.output_count, "OUTPUT__0");
        EXPECT_INT(running.info.inputs[0].dtype, SLIPWAY_DTYPE_ANY);
        EXPECT_INT(running.info.inputs[0].rank, -1);
        running.inputs[0] = INTS(1, -2, INT64_C(1) << 62);
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
        EXPECT_INT(int_at(&running, 0, 1), -4);
        EXPECT_INT(int_at(&running, 0, 2), INT64_MIN);
        EXPECT_INT(running.result.tensors[0].rank, 1);
        EXPECT_INT(running.result.tensors[0].dims[0], 3);
    }
}

/* Several images, which libtorch convolves with scratch memory of its own: once of no size. */
TEST(torch_convolution_of_a_batch)
{
    static float pixels[10 * 8 * 8];
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, load_path(&running, SHIPPED_DIRECTORY "/digits/1/model.pt", NULL),
                  SLIPWAY_OK);
    REQUIRE(running.instance);
    for (int64_t images = 1; images <= 10; images++) {
        running.inputs[0] =
            (struct slipway_tensor){SLIPWAY_DTYPE_FP32, 4, (int64_t[]){images, 1, 8, 8}, pixels,
                                    (uint64_t)images * 8 * 8 * sizeof(float)};
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
        REQUIRE(running.has_result);
        EXPECT_INT(running.result.tensors[0].byte_size, images * 10 * (int64_t)sizeof(float));
    }
}

TEST(torch_every_dtype)
{
    static char bytes[16] = {0};
    static const struct {
        uint32_t dtype;
        uint64_t width;
    } types[] = {{SLIPWAY_DTYPE_BOOL, 1},  {SLIPWAY_DTYPE_UINT8, 1}, {SLIPWAY_DTYPE_INT8, 1},
                 {SLIPWAY_DTYPE_INT16, 2}, {SLIPWAY_DTYPE_INT32, 4}, {SLIPWAY_DTYPE_INT64, 8},
                 {SLIPWAY_DTYPE_FP16, 2},  {SLIPWAY_DTYPE_BF16, 2},  {SLIPWAY_DTYPE_FP32, 4},
                 {SLIPWAY_DTYPE_FP64, 8}};
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "identity", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        for (size_t b = 0; b < sizeof bytes; b++) bytes[b] = (char)(b % 2);
        running.inputs[0] = (struct slipway_tensor){types[i].dtype, 2, (int64_t[]){2, 1}, bytes,
                                                    2 * types[i].width};
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
        REQUIRE(running.has_result);
        const struct slipway_tensor *output = &running.result.tensors[0];
        EXPECT_INT(output->dtype, types[i].dtype);
        EXPECT_INT(output->byte_size, 2 * types[i].width);
        EXPECT_INT(output->rank, 2);
        EXPECT(memcmp(output->data, bytes, output->byte_size) == 0);
    }
}

TEST(torch_empty_and_rank_0)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "identity", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    running.inputs[0] =
        (struct slipway_tensor){SLIPWAY_DTYPE_FP32, 3, (int64_t[]){2, 0, 3}, NULL, 0};
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
    EXPECT_INT(running.result.tensors[0].rank, 3);
    EXPECT_INT(running.result.tensors[0].byte_size, 0);
    running.inputs[0] = SCALAR(FP32, float, 2.5F);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
    EXPECT_INT(running.result.tensors[0].rank, 0);
    EXPECT(float_at(&running, 0, 0) == 2.5F);
}

/* Outputs that are, or are part of, the input must not be its memory. */
TEST(torch_outputs_do_not_alias_inputs)
{
    static const char *const models[] = {"identity", "view"};
    for (size_t m = 0; m < COUNT_OF(models); m++) {
        struct running running CLEANUP(running_clear) = {0};
        EXPECT_ENGINE(running, running_load(&running, models[m], NULL), SLIPWAY_OK);
        REQUIRE(running.instance);
        float *values = mem_new(6 * sizeof *values);
        for (int i = 0; i < 6; i++) values[i] = (float)i;
        running.inputs[0] = (struct slipway_tensor){SLIPWAY_DTYPE_FP32, 2, (int64_t[]){2, 3},
                                                    values, 6 * sizeof *values};
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
        REQUIRE(running.has_result);
        for (int i = 0; i < 6; i++) values[i] = -1;
        mem_free(values);
        size_t last = running.result.tensor_count - 1;
        for (size_t i = 0; i < 6; i++) EXPECT(float_at(&running, last, i) == (float)i);
        if (m == 0) continue;
        EXPECT(float_at(&running, 0, 0) == 3);
        EXPECT(float_at(&running, 1, 1) == 3 && float_at(&running, 1, 2) == 1);
        EXPECT_INT(running.result.tensors[1].dims[0], 3);
    }
}

TEST(torch_inputs_are_not_written_to)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "writes_input", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    float values[] = {1, 2};
    running.inputs[0] =
        (struct slipway_tensor){SLIPWAY_DTYPE_FP32, 1, (int64_t[]){2}, values, sizeof values};
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
    EXPECT(values[0] == 1 && values[1] == 2);
    EXPECT(float_at(&running, 0, 1) == 3);
}

TEST(torch_model_may_keep_its_input)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "keeps_input", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    for (int round = 0; round < 4; round++) {
        float *values = mem_new(4 * sizeof *values);
        for (int i = 0; i < 4; i++) values[i] = (float)round;
        running.inputs[0] =
            (struct slipway_tensor){SLIPWAY_DTYPE_FP32, 1, (int64_t[]){4}, values, 16};
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
        mem_free(values);
        if (round > 0) EXPECT(float_at(&running, 0, 3) == (float)(round - 1));
    }
}

/* One instance, one buffer that is written over, shapes and types that come and go. */
TEST(torch_inputs_that_change_under_one_instance)
{
    static const char *const models[] = {"double", "identity"};
    for (size_t m = 0; m < COUNT_OF(models); m++) {
        struct running running CLEANUP(running_clear) = {0};
        EXPECT_ENGINE(running, running_load(&running, models[m], NULL), SLIPWAY_OK);
        REQUIRE(running.instance);
        enum { CALLS = 60, SIZE = 8 };
        struct slipway_result results[CALLS];
        float values[SIZE];
        for (int call = 0; call < CALLS; call++) {
            int64_t size = 1 + call / 5 % SIZE;
            int64_t whole[SIZE];
            for (int64_t i = 0; i < size; i++) values[i] = (float)(whole[i] = call + i);
            running.inputs[0] = (struct slipway_tensor){SLIPWAY_DTYPE_FP32, 1, &size, values,
                                                        (uint64_t)size * sizeof(float)};
            if (call % 7 == 6)
                running.inputs[0] = (struct slipway_tensor){SLIPWAY_DTYPE_INT64, 1, &size, whole,
                                                            (uint64_t)size * sizeof(int64_t)};
            EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
            results[call] = running.result;
            running.has_result = false;
            memset(values, 0xFF, sizeof values);
            memset(whole, 0xFF, sizeof whole);
        }
        for (int call = 0; call < CALLS; call++) {
            const struct slipway_tensor *output = &results[call].tensors[0];
            int factor = m == 0 ? 2 : 1, size = 1 + call / 5 % SIZE;
            EXPECT(output->rank == 1 && output->dims[0] == size);
            for (int i = 0; i < size && call % 7 == 6; i++)
                EXPECT_INT(((const int64_t *)output->data)[i], (call + i) * factor);
            for (int i = 0; i < size && call % 7 != 6; i++)
                EXPECT(((const float *)output->data)[i] == (float)((call + i) * factor));
            torch_engine()->result_release(&results[call]);
        }
    }
}

TEST(torch_state_does_not_change_results_given_out)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "counts", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    running.inputs[0] = FLOATS(1);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
    struct slipway_result first = running.result;
    running.has_result = false;
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
    EXPECT_INT(*(const int64_t *)first.tensors[0].data, 1);
    EXPECT_INT(int_at(&running, 0, 0), 2);
    torch_engine()->result_release(&first);
}

TEST(torch_eval_mode_and_weights)
{
    struct running drop CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(drop, running_load(&drop, "dropout", NULL), SLIPWAY_OK);
    REQUIRE(drop.instance);
    drop.inputs[0] = FLOATS(1, 2, 3, 4);
    EXPECT_ENGINE(drop, running_execute(&drop), SLIPWAY_OK);
    EXPECT(float_at(&drop, 0, 0) == 1 && float_at(&drop, 0, 3) == 4);

    static const char *const models[] = {"linear", "traced"};
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        struct running linear CLEANUP(running_clear) = {0};
        EXPECT_ENGINE(linear, running_load(&linear, models[i], NULL), SLIPWAY_OK);
        REQUIRE(linear.instance);
        EXPECT_INT(linear.info.weight_bytes, 40);
        linear.inputs[0] = FLOATS(1, 1, 1, 1);
        linear.inputs[0].rank = 2;
        linear.inputs[0].dims = (int64_t[]){1, 4};
        EXPECT_ENGINE(linear, running_execute(&linear), SLIPWAY_OK);
        EXPECT(float_at(&linear, 0, 0) == 6.5F && float_at(&linear, 0, 1) == 21.5F);
    }
}

TEST(torch_several_tensors_and_wanted)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "two", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    expect_specs(running.info.inputs, running.info.input_count, "a b");
    expect_specs(running.info.outputs, running.info.output_count, "OUTPUT__0 OUTPUT__1");
    running.inputs[0] = FLOATS(5);
    running.inputs[1] = FLOATS(3);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
    EXPECT(float_at(&running, 0, 0) == 8 && float_at(&running, 1, 0) == 2);
    EXPECT_ENGINE(running, running_execute_wanted(&running, (uint8_t[]){0, 1}), SLIPWAY_OK);
    EXPECT_INT(running.result.tensors[0].dtype, SLIPWAY_DTYPE_ANY);
    EXPECT(float_at(&running, 1, 0) == 2);
}

TEST(torch_defaults_and_optional_inputs)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "defaults", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    expect_specs(running.info.inputs, running.info.input_count, "x scale? bias?");
    running.inputs[0] = FLOATS(2);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
    EXPECT(float_at(&running, 0, 0) == 6);
    running.inputs[1] = SCALAR(FP32, float, 0.5F);
    running.inputs[2] = FLOATS(10);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
    EXPECT(float_at(&running, 0, 0) == 11);
}

TEST(torch_numbers)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "scalars", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    EXPECT_INT(running.info.inputs[0].dtype, SLIPWAY_DTYPE_INT64);
    EXPECT_INT(running.info.inputs[1].dtype, SLIPWAY_DTYPE_FP64);
    EXPECT_INT(running.info.inputs[2].dtype, SLIPWAY_DTYPE_BOOL);
    running.inputs[0] = SCALAR(INT64, int64_t, 41);
    running.inputs[1] = SCALAR(FP64, double, 0.25);
    running.inputs[2] = SCALAR(BOOL, uint8_t, 1);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
    EXPECT_INT(int_at(&running, 0, 0), 42);
    EXPECT_INT(running.result.tensors[0].rank, 0);
    EXPECT(*(const double *)running.result.tensors[1].data == 0.5);
    EXPECT_INT(*(const uint8_t *)running.result.tensors[2].data, 0);
    EXPECT_INT(running.result.tensors[2].byte_size, 1);
}

TEST(torch_lists_of_numbers)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "number_lists", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    running.inputs[0] = INTS(1, 2);
    running.inputs[1] = FLOATS(0.5F, 4);
    running.inputs[2] = TENSOR(BOOL, uint8_t, 1, 0);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
    REQUIRE(running.has_result);
    EXPECT_INT(running.result.tensors[0].dims[0], 3);
    EXPECT_INT(int_at(&running, 0, 2), 7);
    EXPECT(((const double *)running.result.tensors[1].data)[1] == 8);
    EXPECT_INT(((const uint8_t *)running.result.tensors[2].data)[1], 1);
}

TEST(torch_texts)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "texts", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    EXPECT_INT(running.info.inputs[0].dtype, SLIPWAY_DTYPE_BYTES);
    EXPECT_INT(running.info.inputs[1].rank, 1);
    struct slipway_bytes one = {"h\xc3\xa4", 3}, many[] = {{"a\0b", 3}, {NULL, 0}};
    running.inputs[0] = (struct slipway_tensor){SLIPWAY_DTYPE_BYTES, 0, NULL, &one, sizeof one};
    running.inputs[1] =
        (struct slipway_tensor){SLIPWAY_DTYPE_BYTES, 1, (int64_t[]){2}, many, sizeof many};
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
    REQUIRE(running.has_result);
    const struct slipway_bytes *first = running.result.tensors[0].data;
    const struct slipway_bytes *second = running.result.tensors[1].data;
    EXPECT_STR(((struct str){first->data, first->size}), STR("h\xc3\xa4!"));
    EXPECT_INT(running.result.tensors[1].dims[0], 2);
    EXPECT(second[0].size == 4 && memcmp(second[0].data, "a\0b?", 4) == 0);
    EXPECT_STR(((struct str){second[1].data, second[1].size}), STR("?"));
    running.inputs[1] = (struct slipway_tensor){SLIPWAY_DTYPE_BYTES, 1, (int64_t[]){0}, NULL, 0};
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
    EXPECT_INT(running.result.tensors[1].byte_size, 0);
}

TEST(torch_containers_of_outputs)
{
    static const struct {
        const char *model, *outputs;
        float first[5];
    } cases[] = {
        {"constant_dict", "sum twice", {2, 4}},
        {"grown_dict", "logits scores", {3, 1}},
        {"nested", "OUTPUT__0 OUTPUT__1 OUTPUT__2 three", {2, 3, 4, 5}},
        {"constant_list", "OUTPUT__0 OUTPUT__1 OUTPUT__2", {2, 3, 4}},
        {"named", "left right", {2, -2}},
        {"maybe", "OUTPUT__0?", {2}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct running running CLEANUP(running_clear) = {0};
        EXPECT_ENGINE(running, running_load(&running, cases[i].model, NULL), SLIPWAY_OK);
        REQUIRE(running.instance);
        expect_specs(running.info.outputs, running.info.output_count, cases[i].outputs);
        running.inputs[0] = FLOATS(2);
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
        REQUIRE(running.has_result);
        EXPECT_INT(running.result.tensor_count, running.info.output_count);
        for (size_t o = 0; o < running.info.output_count; o++)
            EXPECT(float_at(&running, o, 0) == cases[i].first[o]);
    }
}

TEST(torch_none_is_an_empty_output)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "maybe", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    running.inputs[0] = FLOATS(-1);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
    EXPECT_INT(running.result.tensors[0].rank, 1);
    EXPECT_INT(running.result.tensors[0].byte_size, 0);
}

#define SPEC(spec_name)                                                                            \
    {                                                                                              \
        .name = spec_name, .dtype = SLIPWAY_DTYPE_FP32, .rank = -1                                 \
    }

static struct slipway_load_options declaring(const struct slipway_tensor_spec *inputs,
                                             size_t input_count,
                                             const struct slipway_tensor_spec *outputs,
                                             size_t output_count)
{
    return (struct slipway_load_options){.inputs = inputs,
                                         .input_count = input_count,
                                         .outputs = outputs,
                                         .output_count = output_count};
}

TEST(torch_names_of_the_configuration)
{
    static const struct {
        const char *first, *second, *expected;
    } cases[] = {
        {"INPUT__0", "INPUT__1", "INPUT__0 INPUT__1"},
        {"INPUT__1", "INPUT__0", "INPUT__0 INPUT__1"},
        {"b", "a", "a b"},
        {"b", "other", "other b"},
        {"INPUT__1", "a", "a INPUT__1"},
        {"left", "right", "left right"},
        {"X__0", "b", "X__0 b"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slipway_tensor_spec specs[] = {SPEC(cases[i].first), SPEC(cases[i].second)};
        struct slipway_load_options options = declaring(specs, 2, specs, 2);
        struct running running CLEANUP(running_clear) = {0};
        EXPECT_ENGINE(running, running_load(&running, "two", &options), SLIPWAY_OK);
        REQUIRE(running.instance);
        expect_specs(running.info.inputs, running.info.input_count, cases[i].expected);
        EXPECT_INT(running.info.inputs[0].dtype, SLIPWAY_DTYPE_FP32);
        running.inputs[0] = FLOATS(5);
        running.inputs[1] = FLOATS(3);
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
        EXPECT(float_at(&running, 1, 0) == 2);
    }
}

TEST(torch_declared_shapes_are_kept)
{
    int64_t dims[] = {-1, 4};
    struct slipway_tensor_spec inputs[] = {
        {.name = "INPUT__0", .dtype = SLIPWAY_DTYPE_FP32, .rank = 2, .dims = dims}};
    struct slipway_load_options options = declaring(inputs, 1, NULL, 0);
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "linear", &options), SLIPWAY_OK);
    REQUIRE(running.instance);
    dims[1] = 99; // borrowed during the load only
    EXPECT_INT(running.info.inputs[0].rank, 2);
    EXPECT_INT(running.info.inputs[0].dims[1], 4);
}

TEST(torch_lists_and_dicts_that_the_configuration_sizes)
{
    struct slipway_tensor_spec two[] = {SPEC("p"), SPEC("q")};
    struct slipway_load_options options = declaring(NULL, 0, two, 2);
    struct running list CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(list, running_load(&list, "free_list", &options), SLIPWAY_OK);
    REQUIRE(list.instance);
    list.inputs[0] = FLOATS(8, 9);
    EXPECT_ENGINE(list, running_execute(&list), SLIPWAY_OK);
    EXPECT(float_at(&list, 1, 0) == 9);
    list.inputs[0] = FLOATS(1, 2, 3);
    EXPECT_ENGINE(list, running_execute(&list), SLIPWAY_FAILED_PRECONDITION);
    EXPECT_SAYS(list, "3 elements");

    struct running dict CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(dict, running_load(&dict, "free_dict", &options), SLIPWAY_OK);
    REQUIRE(dict.instance);
    struct slipway_bytes names[] = {{"q", 1}, {"p", 1}};
    dict.inputs[0] = FLOATS(4);
    dict.inputs[1] =
        (struct slipway_tensor){SLIPWAY_DTYPE_BYTES, 1, (int64_t[]){2}, names, sizeof names};
    EXPECT_ENGINE(dict, running_execute(&dict), SLIPWAY_OK);
    EXPECT(float_at(&dict, 1, 0) == 4);
    names[0] = (struct slipway_bytes){"other", 5};
    EXPECT_ENGINE(dict, running_execute(&dict), SLIPWAY_FAILED_PRECONDITION);
    EXPECT_SAYS(dict, "without 'q'");
}

TEST(torch_containers_as_inputs)
{
    struct slipway_tensor_spec list_names[] = {SPEC("xs__0"), SPEC("xs__1")};
    struct slipway_tensor_spec dict_names[] = {SPEC("b"), SPEC("a")};
    struct slipway_load_options options = declaring(list_names, 2, NULL, 0);
    struct running list CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(list, running_load(&list, "list_input", &options), SLIPWAY_OK);
    REQUIRE(list.instance);
    list.inputs[0] = FLOATS(1, 2);
    list.inputs[1] = FLOATS(10, 20);
    EXPECT_ENGINE(list, running_execute(&list), SLIPWAY_OK);
    EXPECT(float_at(&list, 0, 1) == 22);

    options = declaring(dict_names, 2, NULL, 0);
    struct running dict CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(dict, running_load(&dict, "dict_input", &options), SLIPWAY_OK);
    REQUIRE(dict.instance);
    expect_specs(dict.info.inputs, dict.info.input_count, "b a");
    dict.inputs[0] = FLOATS(1);
    dict.inputs[1] = FLOATS(2);
    EXPECT_ENGINE(dict, running_execute(&dict), SLIPWAY_OK);
    EXPECT(float_at(&dict, 0, 0) == 21);

    struct running tuple CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(tuple, running_load(&tuple, "tuple_input", NULL), SLIPWAY_OK);
    REQUIRE(tuple.instance);
    expect_specs(tuple.info.inputs, tuple.info.input_count, "pair__0 pair__1");
    tuple.inputs[0] = FLOATS(5);
    tuple.inputs[1] = FLOATS(2);
    EXPECT_ENGINE(tuple, running_execute(&tuple), SLIPWAY_OK);
    EXPECT(float_at(&tuple, 0, 0) == 3);
}
