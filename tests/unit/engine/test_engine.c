/* The wrappers against tables made up here: each breaks one promise of the ABI. */
#include "engine/engine.c"
#include "test.h"

/* What the made-up engine does next; each test sets it anew. */
static struct plan {
    enum slipway_status status;
    const char *message;
    bool returns_nothing;
    struct slipway_model_info info;
    struct slipway_tensor tensor;
    size_t unloads, frees, releases;
} plan;

static int model_memory, instance_memory;

static void put_message(struct slipway_error *error)
{
    memset(error->message, 'x', sizeof error->message); // no NUL anywhere
    if (plan.message) (void)snprintf(error->message, sizeof error->message, "%s", plan.message);
}

static enum slipway_status fake_load(const struct slipway_load_options *options,
                                     struct slipway_model **ret_model, struct slipway_error *error)
{
    EXPECT_INT(options->struct_size, sizeof *options);
    if (plan.status != SLIPWAY_OK) put_message(error);
    if (plan.status == SLIPWAY_OK && !plan.returns_nothing)
        *ret_model = (struct slipway_model *)(void *)&model_memory;
    return plan.status;
}

static void fake_info(const struct slipway_model *model UNUSED, struct slipway_model_info *info)
{
    EXPECT_INT(info->struct_size, sizeof *info);
    *info = plan.info;
}

static void fake_unload(struct slipway_model *model UNUSED)
{
    plan.unloads++;
}

static enum slipway_status fake_instance(struct slipway_model *model UNUSED,
                                         struct slipway_instance **ret_instance,
                                         struct slipway_error *error)
{
    if (plan.status != SLIPWAY_OK) put_message(error);
    if (plan.status == SLIPWAY_OK && !plan.returns_nothing)
        *ret_instance = (struct slipway_instance *)(void *)&instance_memory;
    return plan.status;
}

static void fake_instance_free(struct slipway_instance *instance UNUSED)
{
    plan.frees++;
}

static enum slipway_status fake_execute(struct slipway_instance *instance UNUSED,
                                        const struct slipway_tensor *inputs UNUSED,
                                        size_t input_count UNUSED, const uint8_t *wanted UNUSED,
                                        struct slipway_result *ret_result,
                                        struct slipway_error *error)
{
    EXPECT_INT(ret_result->struct_size, sizeof *ret_result);
    if (plan.status != SLIPWAY_OK) {
        put_message(error);
        return plan.status;
    }
    ret_result->tensors = plan.returns_nothing ? NULL : &plan.tensor;
    ret_result->tensor_count = 1;
    return SLIPWAY_OK;
}

static void fake_release(struct slipway_result *result UNUSED)
{
    plan.releases++;
}

static const struct slipway_engine table = {sizeof table,
                                            SLIPWAY_ENGINE_ABI_VERSION,
                                            "fake",
                                            "fake 1",
                                            fake_load,
                                            fake_info,
                                            fake_unload,
                                            fake_instance,
                                            fake_instance_free,
                                            fake_execute,
                                            fake_release};

static const int64_t two_dims[] = {2, 2};
static const struct slipway_tensor_spec one_spec[] = {{"y", DTYPE_FP32, 0, 2, two_dims}};
static float numbers[4];

static struct engine *begin(void)
{
    plan = (struct plan){
        .info = {.platform = "fake", .outputs = one_spec, .output_count = 1},
        .tensor = {DTYPE_FP32, 2, two_dims, numbers, sizeof numbers},
    };
    struct engine *engine = NULL;
    struct error err;
    EXPECT_STATUS(engine_new(&table, "fake", "/fake.so", &engine, &err), STATUS_OK, err);
    return engine;
}

static enum status load(struct engine *engine, struct engine_model **ret_model, struct error *err)
{
    return engine_model_load(engine, &(struct slipway_load_options){.path = "/m", .name = "m"},
                             ret_model, err);
}

static void expect_message(const struct error *err, const char *text)
{
    if (!strstr(err->message, text))
        test_failed(__FILE__, __LINE__, "'%s' does not say '%s'", err->message, text);
}

/* ---- Errors ---- */

static void load_fails(enum slipway_status status, const char *message, enum status expected,
                       const char *text)
{
    struct engine *engine = begin();
    plan.status = status;
    plan.message = message;
    struct engine_model *model = NULL;
    struct error err;
    EXPECT_STATUS(load(engine, &model, &err), expected, err);
    EXPECT_INT(err.status, expected);
    EXPECT(model == NULL && plan.unloads == 0);
    EXPECT(str_is_utf8(str_of(err.message)));
    expect_message(&err, text);
    engine_free(engine);
}

TEST(failures_come_through_as_text)
{
    load_fails(SLIPWAY_NOT_FOUND, "no such file", STATUS_NOT_FOUND, "no such file");
    load_fails(SLIPWAY_EXHAUSTED, "", STATUS_EXHAUSTED, "did not say why");
    load_fails(SLIPWAY_INTERNAL, NULL, STATUS_INTERNAL, "xxxx");
    load_fails(SLIPWAY_INTERNAL, "not \xff text", STATUS_INTERNAL, "not ? text");
    load_fails(SLIPWAY_INTERNAL, "two\nlines\x1b[31m", STATUS_INTERNAL, "two lines [31m");
    load_fails(SLIPWAY_INTERNAL, "\xc3\xa4", STATUS_INTERNAL, "\xc3\xa4");
    load_fails((enum slipway_status)17, "odd", STATUS_INTERNAL, "status 17 from model_load: odd");
    load_fails((enum slipway_status) - 1, "odd", STATUS_INTERNAL, "status -1");
}

TEST(success_without_a_model_is_a_failure)
{
    struct engine *engine = begin();
    plan.returns_nothing = true;
    struct engine_model *model = NULL;
    struct error err;
    EXPECT_STATUS(load(engine, &model, &err), STATUS_INTERNAL, err);
    expect_message(&err, "returned no model");
    engine_free(engine);
}

/* ---- Descriptions ---- */

static void info_is_refused(const char *text)
{
    struct engine *engine;
    struct engine_model *model = NULL;
    struct error err = {0};
    struct slipway_model_info info = plan.info;
    engine = begin();
    plan.info = info;
    EXPECT_STATUS(load(engine, &model, &err), STATUS_INTERNAL, err);
    expect_message(&err, text);
    EXPECT_INT(plan.unloads, 1); // what was loaded is not lost
    engine_free(engine);
}

TEST(descriptions_are_checked)
{
    plan.info = (struct slipway_model_info){.platform = NULL};
    info_is_refused("no platform");
    plan.info = (struct slipway_model_info){.platform = "p", .input_count = 1};
    info_is_refused("inputs are missing");
    plan.info = (struct slipway_model_info){.platform = "p", .output_count = 1025};
    info_is_refused("at most 1024");
    static const int64_t bad_dims[] = {-2};
    static const struct slipway_tensor_spec bad[] = {
        {NULL, DTYPE_FP32, 0, 0, NULL},     {"", DTYPE_FP32, 0, 0, NULL},
        {"\xff", DTYPE_FP32, 0, 0, NULL},   {"x", 15, 0, 0, NULL},
        {"x", DTYPE_FP32, 0, 17, two_dims}, {"x", DTYPE_FP32, 0, -2, two_dims},
        {"x", DTYPE_FP32, 0, 1, NULL},      {"x", DTYPE_FP32, 0, 1, bad_dims}};
    static const char *const texts[] = {"no name", "no name", "no name",       "type 15",
                                        "rank 17", "rank -2", "no dimensions", "dimension -2"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        plan.info =
            (struct slipway_model_info){.platform = "p", .inputs = &bad[i], .input_count = 1};
        info_is_refused(texts[i]);
    }
}

/* ---- Instances and results ---- */

TEST(instances_may_fail)
{
    struct engine *engine = begin();
    struct engine_model *model;
    struct engine_instance *instance = NULL;
    struct error err;
    REQUIRE(load(engine, &model, &err) == STATUS_OK);
    plan.status = SLIPWAY_EXHAUSTED;
    plan.message = "no memory";
    EXPECT_STATUS(engine_instance_new(model, &instance, &err), STATUS_EXHAUSTED, err);
    plan.status = SLIPWAY_OK;
    plan.returns_nothing = true;
    EXPECT_STATUS(engine_instance_new(model, &instance, &err), STATUS_INTERNAL, err);
    EXPECT(instance == NULL && plan.frees == 0);
    engine_model_unload(model);
    EXPECT_INT(plan.unloads, 1);
    engine_free(engine);
}

/* Runs with the tensor that the plan holds. */
static enum status run(const uint8_t *wanted, struct slipway_tensor tensor, bool returns_nothing,
                       struct error *err)
{
    struct engine *engine = begin();
    plan.tensor = tensor;
    struct engine_model *model = NULL;
    struct engine_instance *instance = NULL;
    enum status status = load(engine, &model, err);
    if (status == STATUS_OK) status = engine_instance_new(model, &instance, err);
    assert(status == STATUS_OK);
    plan.returns_nothing = returns_nothing;
    struct engine_result result;
    status = engine_execute(instance, NULL, 0, wanted, &result, err);
    if (status == STATUS_OK) engine_result_release(&result);
    EXPECT_INT(plan.releases, 1); // also of a result that was refused
    engine_instance_free(instance);
    engine_model_unload(model);
    engine_free(engine);
    return status;
}

static void result_is_refused(struct slipway_tensor tensor, const char *text)
{
    struct error err = {0};
    EXPECT_STATUS(run(NULL, tensor, false, &err), STATUS_INTERNAL, err);
    expect_message(&err, text);
}

TEST(results_are_checked)
{
    const struct slipway_tensor good = {DTYPE_FP32, 2, two_dims, numbers, sizeof numbers};
    struct error err = {0};
    EXPECT_STATUS(run(NULL, good, false, &err), STATUS_OK, err);
    EXPECT_STATUS(run(NULL, good, true, &err), STATUS_INTERNAL, err);

    struct slipway_tensor bad = good;
    bad.dtype = 15;
    result_is_refused(bad, "type 15");
    bad = good, bad.dtype = DTYPE_ANY;
    result_is_refused(bad, "type 0");
    EXPECT_STATUS(run((const uint8_t[]){0}, bad, false, &err), STATUS_OK, err);
    EXPECT_STATUS(run((const uint8_t[]){1}, bad, false, &err), STATUS_INTERNAL, err);
    bad = good, bad.dtype = DTYPE_INT32;
    result_is_refused(bad, "is INT32, the model says FP32");
    bad = good, bad.rank = 17;
    result_is_refused(bad, "rank 17");
    bad = good, bad.dims = NULL;
    result_is_refused(bad, "without dimensions");
    bad = good, bad.byte_size = 15;
    result_is_refused(bad, "15 bytes");
    bad = good, bad.data = NULL;
    result_is_refused(bad, "no data");
    bad = good, bad.data = (char *)numbers + 1;
    result_is_refused(bad, "not aligned");
    static const int64_t huge[] = {INT64_MAX, 1}, larger[] = {INT64_MAX, 2}, negative[] = {-1, 1};
    bad = good, bad.dims = huge;
    result_is_refused(bad, "too large");
    bad = good, bad.dims = larger;
    result_is_refused(bad, "too large");
    bad = good, bad.dims = negative;
    result_is_refused(bad, "negative");
}

TEST(strings_must_be_there)
{
    struct slipway_bytes strings[] = {{NULL, 0}, {"ok", 2}, {NULL, 3}};
    struct slipway_tensor tensor = {DTYPE_BYTES, 1, (int64_t[]){2}, strings, 2 * sizeof *strings};
    struct error err;
    EXPECT_STATUS(tensor_check(&tensor, &err), STATUS_OK, err);
    tensor = (struct slipway_tensor){DTYPE_BYTES, 1, (int64_t[]){3}, strings, sizeof strings};
    EXPECT_STATUS(tensor_check(&tensor, &err), STATUS_INTERNAL, err);
    expect_message(&err, "string 2");
}

TEST(nothing_may_be_freed)
{
    engine_free(NULL);
    engine_model_unload(NULL);
    engine_instance_free(NULL);
}
