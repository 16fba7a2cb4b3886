/* Files that are no models, models that cannot be served, and calls that fail. */
#include "torch_harness.h"

#include <unistd.h>

static void expect_load_failure(const char *name, const struct slipway_load_options *options,
                                enum slipway_status status, const char *part)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, name, options), status);
    EXPECT_SAYS(running, part);
    EXPECT(!running.model);
}

TEST(torch_models_that_cannot_be_served)
{
    expect_load_failure("nowhere", NULL, SLIPWAY_NOT_FOUND, "nowhere.pt");
    expect_load_failure("strange_input", NULL, SLIPWAY_INVALID_ARGUMENT, "argument 'x'");
    expect_load_failure("strange_output", NULL, SLIPWAY_INVALID_ARGUMENT, "Dict[int, Tensor]");
    expect_load_failure("no_tensor", NULL, SLIPWAY_INVALID_ARGUMENT, "returns no tensor");
    expect_load_failure("free_list", NULL, SLIPWAY_FAILED_PRECONDITION, "declare all outputs");
    expect_load_failure("free_dict", NULL, SLIPWAY_FAILED_PRECONDITION, "declare all outputs");
    expect_load_failure("list_input", NULL, SLIPWAY_FAILED_PRECONDITION, "'xs__0'");
    expect_load_failure("oversized", NULL, SLIPWAY_INVALID_ARGUMENT, "larger than its data");
    expect_load_failure("weights", NULL, SLIPWAY_INVALID_ARGUMENT, "");
}

TEST(torch_configurations_that_do_not_fit)
{
    struct slipway_tensor_spec specs[] = {
        {.name = "a", .dtype = SLIPWAY_DTYPE_FP32, .rank = -1},
        {.name = "b", .dtype = SLIPWAY_DTYPE_FP32, .rank = -1},
        {.name = "c", .dtype = SLIPWAY_DTYPE_FP32, .rank = -1},
    };
    struct slipway_load_options options = {.inputs = specs, .input_count = 3};
    expect_load_failure("two", &options, SLIPWAY_FAILED_PRECONDITION, "declares 3 inputs");
    options = (struct slipway_load_options){.outputs = specs, .output_count = 3};
    expect_load_failure("two", &options, SLIPWAY_FAILED_PRECONDITION, "declares 3 outputs");
    specs[0].dtype = SLIPWAY_DTYPE_BYTES;
    options = (struct slipway_load_options){.inputs = specs, .input_count = 1};
    expect_load_failure("two", &options, SLIPWAY_FAILED_PRECONDITION, "strings");

    struct slipway_parameter wrong[] = {{"inference_mode", "perhaps"}};
    options = (struct slipway_load_options){.parameters = wrong, .parameter_count = 1};
    expect_load_failure("double", &options, SLIPWAY_INVALID_ARGUMENT, "perhaps");
    wrong[0] = (struct slipway_parameter){"INTRA_OP_THREAD_COUNT", "0"};
    expect_load_failure("double", &options, SLIPWAY_INVALID_ARGUMENT, "1 to 1024");
}

static char *read_model(const char *name, size_t *ret_size)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s.pt", MODELS_DIRECTORY, name);
    FILE *file = fopen(path, "rb");
    assert(file);
    char *bytes = mem_new(1 << 20);
    *ret_size = fread(bytes, 1, 1 << 20, file);
    (void)fclose(file);
    return bytes;
}

static void expect_refused(const char *bytes, size_t size, const char *what)
{
    char path[] = "/tmp/torch_XXXXXX";
    int file = mkstemp(path);
    assert(file >= 0 && write(file, bytes, size) == (ssize_t)size);
    (void)close(file);
    struct running running CLEANUP(running_clear) = {0};
    enum slipway_status status = load_path(&running, path, NULL);
    if (status != SLIPWAY_INVALID_ARGUMENT)
        test_failed(__FILE__, __LINE__, "%s: %d, %s", what, status, running.error.message);
    EXPECT(strlen(running.error.message) > 10 && !strchr(running.error.message, '\n'));
    (void)unlink(path);
}

TEST(torch_files_that_are_no_models)
{
    expect_refused("", 0, "nothing");
    expect_refused("hello, world", 12, "text");
    expect_refused("\x80\x02}q\x00.", 6, "a pickle");
    char noise[4096];
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)prng_u64(&prng);
    expect_refused(noise, sizeof noise, "noise");
    memcpy(noise, "PK\3\4", 4);
    expect_refused(noise, sizeof noise, "noise that starts like a zip file");
}

TEST(torch_files_cut_at_many_places)
{
    size_t size;
    char *bytes CLEANUP(mem_freep) = read_model("linear", &size);
    for (size_t cut = 0; cut < size; cut += 1 + size / 97) expect_refused(bytes, cut, "a cut file");
}

TEST(torch_calls_that_fail_and_the_next_that_does_not)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "linear", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    for (int round = 0; round < 3; round++) {
        running.inputs[0] = FLOATS(1, 2, 3);
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_INVALID_ARGUMENT);
        EXPECT_SAYS(running, "Error: ");
        EXPECT(!strstr(running.error.message, "Traceback"));
        running.inputs[0] = INTS(1, 2, 3, 4);
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_INVALID_ARGUMENT);
        running.inputs[0] = TENSOR(UINT32, uint32_t, 1, 2, 3, 4);
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_INVALID_ARGUMENT);
        running.inputs[0] = (struct slipway_tensor){0};
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_INVALID_ARGUMENT);
        EXPECT_SAYS(running, "missing");
        running.inputs[0] = FLOATS(1, 1, 1, 1);
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
        EXPECT(float_at(&running, 0, 0) == 6.5F);
    }
}

TEST(torch_types_it_has_not)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "identity", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    struct slipway_bytes text = {"x", 1};
    running.inputs[0] = (struct slipway_tensor){SLIPWAY_DTYPE_BYTES, 0, NULL, &text, sizeof text};
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_INVALID_ARGUMENT);
    EXPECT_SAYS(running, "BYTES");
    running.inputs[0] = TENSOR(BOOL, uint8_t, 0, 2);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_INVALID_ARGUMENT);
    EXPECT_SAYS(running, "neither 0 nor 1");
}

TEST(torch_model_that_raises)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "raises", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    running.inputs[0] = FLOATS(1, 2, 3);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_INVALID_ARGUMENT);
    EXPECT_SAYS(running, "at most two elements, please. Really");
    EXPECT(!strstr(running.error.message, "Traceback"));
}

TEST(torch_memory_that_is_refused)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "greedy", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    running.inputs[0] = FLOATS(1);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_EXHAUSTED);
}

TEST(torch_outputs_that_no_reply_can_carry)
{
    static const char *const models[] = {"complex_output", "sparse_output", "high_rank"};
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        struct running running CLEANUP(running_clear) = {0};
        EXPECT_ENGINE(running, running_load(&running, models[i], NULL), SLIPWAY_OK);
        REQUIRE(running.instance);
        running.inputs[0] = FLOATS(1, 2);
        EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_UNIMPLEMENTED);
        EXPECT_SAYS(running, "output 'OUTPUT__0'");
    }
}

TEST(torch_output_of_another_type_than_declared)
{
    struct slipway_tensor_spec spec = {.name = "y", .dtype = SLIPWAY_DTYPE_FP32, .rank = -1};
    struct slipway_load_options options = {.outputs = &spec, .output_count = 1};
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "double", &options), SLIPWAY_OK);
    REQUIRE(running.instance);
    running.inputs[0] = INTS(1);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_FAILED_PRECONDITION);
    EXPECT_SAYS(running, "'y' is INT64");
}

TEST(torch_scalars_of_the_wrong_kind)
{
    struct running running CLEANUP(running_clear) = {0};
    EXPECT_ENGINE(running, running_load(&running, "scalars", NULL), SLIPWAY_OK);
    REQUIRE(running.instance);
    running.inputs[0] = FLOATS(1);
    running.inputs[1] = FLOATS(1);
    running.inputs[2] = SCALAR(BOOL, uint8_t, 1);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_INVALID_ARGUMENT);
    running.inputs[0] = INTS(1, 2);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_INVALID_ARGUMENT);
    EXPECT_SAYS(running, "2 elements");
    running.inputs[0] = INTS(1);
    EXPECT_ENGINE(running, running_execute(&running), SLIPWAY_OK);
}
