/* The engine of docs/engines.md, built by `build` with nothing of ours but the public header. */
#include "../engine/harness.h"

static char *new_model(const char *text)
{
    char template[] = "/tmp/slipway-average-XXXXXX";
    assert(mkdtemp(template));
    char *path = mem_format("%s/model.average", template);
    harness_write(path, text, strlen(text));
    return path;
}

static void remove_model(char *path)
{
    (void)unlink(path);
    *strrchr(path, '/') = '\0';
    (void)rmdir(path);
    mem_free(path);
}

TEST(it_is_opened_by_its_name)
{
    struct engine *engine = harness_engine("average");
    REQUIRE(engine);
    EXPECT_TEXT(engine_version(engine), "average 1");
    EXPECT_TEXT(engine_path(engine), ENGINE_DIRECTORY "/slipway_engine_average.so");
}

TEST(it_averages)
{
    char *path = new_model("0.5\n");
    struct engine_model *model = harness_load("average", path);
    REQUIRE(model);
    EXPECT_TEXT(engine_model_info(model)->platform, "average");
    struct engine_instance *instance = harness_instance(model);
    double rows[] = {1, 3, 5, 0, 0, 8};
    struct slipway_tensor input = harness_tensor(DTYPE_FP64, (int64_t[]){2, 3}, 2, rows);
    struct engine_result result;
    REQUIRE(harness_run(instance, &input, 1, &result));
    const double *averages = result.tensors[0].data;
    EXPECT_INT(result.tensors[0].dims[0], 2);
    EXPECT(averages[0] == 3.5 && averages[1] == 4);
    engine_result_release(&result);
    input = harness_tensor(DTYPE_FP64, (int64_t[]){0, 3}, 2, NULL);
    REQUIRE(harness_run(instance, &input, 1, &result));
    EXPECT_INT(result.tensors[0].byte_size, 0);
    engine_result_release(&result);
    engine_instance_free(instance);
    engine_model_unload(model);
    remove_model(path);
}

TEST(it_says_what_is_wrong)
{
    harness_refuse("average", "/nowhere/model.average", STATUS_NOT_FOUND, "/nowhere");
    char *path = new_model("two\n");
    harness_refuse("average", path, STATUS_INVALID_ARGUMENT, "(0, 1]");
    remove_model(path);
}
