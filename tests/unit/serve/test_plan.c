#include "serve/plan.c"
#include "test.h"

static int unloads;

void model_unref(struct model *model)
{
    if (atomic_fetch_sub(&model->references, 1) == 1) unloads++;
}

static void name_model(struct model *model, const char *name, int64_t version)
{
    memset(model, 0, sizeof *model);
    atomic_init(&model->references, 1);
    model->name_text = str_of(name);
    model->version = version;
    (void)snprintf(model->version_text, sizeof model->version_text, "%lld", (long long)version);
    model->version_str = str_of(model->version_text);
}

static int64_t version_found(struct plan *plan, const char *name, const char *version)
{
    struct model *model;
    struct error err;
    if (plan_find(plan, str_of(name), str_of(version), &model, &err) != STATUS_OK)
        return -(int64_t)err.status;
    return model->version;
}

TEST(models_are_found_by_name_and_version)
{
    static struct model models[4];
    name_model(&models[0], "b", 10);
    name_model(&models[1], "a", 1);
    name_model(&models[2], "b", 9);
    name_model(&models[3], "b", 2);
    struct model *list[] = {&models[0], &models[1], &models[2], &models[3]};
    char waiting[] = "waiting", b[] = "b";
    struct plan_unready unready[] = {{waiting, 3}, {b, 11}, {waiting, 1}};
    struct plan *plan = plan_new(list, 4, unready, 3, 1);
    EXPECT_INT(version_found(plan, "b", ""), 10);
    EXPECT_INT(version_found(plan, "b", "9"), 9);
    EXPECT_INT(version_found(plan, "b", "09"), 9);
    EXPECT_INT(version_found(plan, "a", ""), 1);
    EXPECT_INT(version_found(plan, "b", "3"), -STATUS_NOT_FOUND);
    EXPECT_INT(version_found(plan, "b", "0"), -STATUS_NOT_FOUND);
    EXPECT_INT(version_found(plan, "b", "x"), -STATUS_NOT_FOUND);
    EXPECT_INT(version_found(plan, "b", "99999999999999999999"), -STATUS_NOT_FOUND);
    EXPECT_INT(version_found(plan, "b", "11"), -STATUS_UNAVAILABLE);
    EXPECT_INT(version_found(plan, "c", ""), -STATUS_INVALID_ARGUMENT);
    EXPECT_INT(version_found(plan, "", ""), -STATUS_INVALID_ARGUMENT);
    EXPECT_INT(version_found(plan, "waiting", ""), -STATUS_UNAVAILABLE);
    EXPECT_INT(version_found(plan, "waiting", "3"), -STATUS_UNAVAILABLE);
    struct error err;
    struct model *model;
    EXPECT_STATUS(plan_find(plan, STR("b"), STR("99"), &model, &err), STATUS_NOT_FOUND, err);
    EXPECT_TEXT(err.message, "Request for unknown model: 'b' version 99 is not found");
    EXPECT_STATUS(plan_find(plan, STR("X"), STR(""), &model, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_TEXT(err.message, "Request for unknown model: 'X' is not found");
    const struct plan_name *entry = plan_find_name(plan, STR("b"));
    REQUIRE(entry != NULL);
    EXPECT_INT(entry->count, 3);
    EXPECT_STR(plan->versions[entry->first], STR("2"));
    plan_unref(plan);
    for (size_t i = 0; i < 4; i++) model_unref(&models[i]);
    EXPECT_INT(unloads, 4);
}

TEST(many_names_are_all_found)
{
    enum { COUNT = 500 };
    static struct model models[COUNT];
    static char names[COUNT][16];
    struct model *list[COUNT];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(names[i], sizeof names[i], "model-%d", i);
        name_model(&models[i], names[i], 1 + i);
        list[i] = &models[i];
    }
    struct plan *plan = plan_new(list, COUNT, NULL, 0, 1);
    for (int i = 0; i < COUNT; i++) EXPECT_INT(version_found(plan, names[i], ""), 1 + i);
    EXPECT_INT(version_found(plan, "model-500", ""), -STATUS_INVALID_ARGUMENT);
    plan_unref(plan);
}

TEST(an_empty_plan_knows_nothing)
{
    struct plan *plan = plan_new(NULL, 0, NULL, 0, 1);
    EXPECT_INT(version_found(plan, "a", ""), -STATUS_INVALID_ARGUMENT);
    plan_unref(plan);
}
