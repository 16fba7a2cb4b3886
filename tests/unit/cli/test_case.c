#include "cli/case.c"
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#define REQUEST                                                                                    \
    "\"request\":{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]}]}"
#define EXPECTATION                                                                                \
    "\"expect\":{\"outputs\":[{\"name\":\"y\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[2]}]}"

static void expect_failure(const char *text, const char *message)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct model_case model_case;
    struct error err = {0};
    EXPECT_STATUS(case_read(str_of(text), &arena, &model_case, &err), STATUS_INVALID_ARGUMENT, err);
    if (!strstr(err.message, message))
        test_failed(__FILE__, __LINE__, "'%s' does not say '%s'", err.message, message);
    arena_clear(&arena);
}

TEST(reads_all_members)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct model_case model_case;
    struct error err;
    struct str text = STR("{\"description\":\"d\"," REQUEST "," EXPECTATION
                          ",\"tolerance\":{\"relative\":0.5,\"absolute\":0}}");
    EXPECT_STATUS(case_read(text, &arena, &model_case, &err), STATUS_OK, err);
    EXPECT_STR(model_case.description, STR("d"));
    EXPECT(model_case.tolerance.relative == 0.5 && model_case.tolerance.absolute == 0);
    EXPECT_INT(model_case.request.input_count, 1);
    EXPECT_INT(model_case.expect.output_count, 1);
    EXPECT(((float *)model_case.expect.outputs[0].tensor.data)[0] == 2);
    arena_clear(&arena);
}

TEST(a_case_that_checks_nothing_is_refused)
{
    expect_failure("{" REQUEST "}", "either 'expect' or 'expect_error'");
    expect_failure("{" REQUEST ",\"expected\":{}}", "unknown member 'expected'");
    expect_failure("{" REQUEST ",\"expect\":{\"outputs\":[]}}", "lists no outputs");
    expect_failure("{" REQUEST ",\"expect_error\":\"\"}", "is empty");
    expect_failure("{" REQUEST "," EXPECTATION ",\"expect_error\":\"x\"}", "either");
    expect_failure("{" EXPECTATION "}", "no 'request'");
    expect_failure("{\"request\":{}," EXPECTATION "}", "reading 'request'");
    expect_failure("{" REQUEST "," EXPECTATION ",\"tolerance\":{\"rel\":1}}", "member 'rel'");
    expect_failure("{" REQUEST "," EXPECTATION ",\"tolerance\":{\"relative\":-1}}", "0 or more");
    expect_failure("{" REQUEST "," EXPECTATION ",\"tolerance\":{\"relative\":NaN}}", "0 or more");
    expect_failure("", "invalid JSON");
    expect_failure("[]", "invalid JSON");
}

TEST(a_request_that_does_not_parse_may_be_what_is_expected)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct model_case model_case;
    struct error err;
    struct str text = STR("{\"request\":{\"inputs\":3},\"expect_error\":\"inputs\"}");
    EXPECT_STATUS(case_read(text, &arena, &model_case, &err), STATUS_OK, err);
    EXPECT(model_case.is_unreadable);
    text = STR("{\"request\":{\"inputs\":3},\"expect_error\":\"something else\"}");
    EXPECT_STATUS(case_read(text, &arena, &model_case, &err), STATUS_INVALID_ARGUMENT, err);
    arena_clear(&arena);
}

TEST(names_come_sorted)
{
    char directory[] = "/tmp/slipway-cases-XXXXXX";
    REQUIRE(mkdtemp(directory));
    const char *const files[] = {"b.json", "a.json", ".hidden.json", "notes.txt"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        FILE *file = fopen(path, "w");
        REQUIRE(file);
        fclose(file);
    }
    struct case_names names;
    struct error err;
    EXPECT_STATUS(case_names_read(directory, &names, &err), STATUS_OK, err);
    REQUIRE(names.count == 2);
    EXPECT_TEXT(names.items[0], "a.json");
    case_names_free(&names);
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        unlink(path);
    }
    rmdir(directory);
    EXPECT_STATUS(case_names_read(directory, &names, &err), STATUS_NOT_FOUND, err);
}
