/* The loader: real shared objects, good and broken. */
#include "engine/kind.h"
#include "engine/loader.c"
#include "test.h"

#include <sys/stat.h>

static struct engine_registry *broken_registry(void)
{
    return engine_registry_new(BROKEN_DIRECTORY);
}

static void expect_failure(const char *name, enum status status, const char *text)
{
    struct engine_registry *registry = broken_registry();
    struct engine *engine = NULL;
    struct error err = {0};
    EXPECT_STATUS(engine_open(registry, name, &engine, &err), status, err);
    EXPECT(engine == NULL);
    if (!strstr(err.message, text))
        test_failed(__FILE__, __LINE__, "'%s' does not say '%s'", err.message, text);
    engine_registry_free(registry);
}

TEST(opens_an_engine_once)
{
    struct engine_registry *registry = engine_registry_new(ENGINE_DIRECTORY);
    struct error err;
    struct engine *first, *second;
    EXPECT_STATUS(engine_open(registry, "echo", &first, &err), STATUS_OK, err);
    EXPECT_STATUS(engine_open(registry, "echo", &second, &err), STATUS_OK, err);
    EXPECT(first == second);
    EXPECT_TEXT(engine_name(first), "echo");
    EXPECT_TEXT(engine_version(first), "echo 1");
    EXPECT_TEXT(engine_path(first), ENGINE_DIRECTORY "/slipway_engine_echo.so");
    engine_registry_free(registry);
}

struct opener {
    struct engine_registry *registry;
    struct engine *engine;
    pthread_t thread;
};

static void *open_echo(void *context)
{
    struct opener *opener = context;
    struct error err;
    EXPECT_STATUS(engine_open(opener->registry, "echo", &opener->engine, &err), STATUS_OK, err);
    return NULL;
}

TEST(many_threads_get_the_same_engine)
{
    struct engine_registry *registry = engine_registry_new(ENGINE_DIRECTORY);
    struct opener openers[8] = {0};
    for (size_t i = 0; i < COUNT_OF(openers); i++) {
        openers[i].registry = registry;
        EXPECT(pthread_create(&openers[i].thread, NULL, open_echo, &openers[i]) == 0);
    }
    for (size_t i = 0; i < COUNT_OF(openers); i++) (void)pthread_join(openers[i].thread, NULL);
    for (size_t i = 1; i < COUNT_OF(openers); i++) EXPECT(openers[i].engine == openers[0].engine);
    engine_registry_free(registry);
}

TEST(a_missing_engine_lists_those_that_are_there)
{
    struct engine_registry *registry = engine_registry_new(ENGINE_DIRECTORY);
    struct engine *engine;
    struct error err;
    EXPECT_STATUS(engine_open(registry, "tensorflow", &engine, &err), STATUS_NOT_FOUND, err);
    EXPECT(strstr(err.message, "'tensorflow'") != NULL);
    EXPECT(strstr(err.message, "echo") != NULL);
    EXPECT(strstr(err.message, ENGINE_DIRECTORY) != NULL);
    engine_registry_free(registry);
}

TEST(a_name_cannot_leave_the_directory)
{
    struct engine_registry *registry = engine_registry_new(ENGINE_DIRECTORY);
    static const char *const names[] = {"", "../echo", "a/b", "Echo", "e cho", "echo.so", "\xff"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct engine *engine;
        struct error err;
        EXPECT_STATUS(engine_open(registry, names[i], &engine, &err), STATUS_INVALID_ARGUMENT, err);
    }
    char longest[ENGINE_NAME_SIZE + 1];
    memset(longest, 'a', sizeof longest);
    EXPECT(engine_name_is_valid((struct str){longest, ENGINE_NAME_SIZE - 1}));
    EXPECT(!engine_name_is_valid((struct str){longest, ENGINE_NAME_SIZE}));
    engine_registry_free(registry);
}

TEST(broken_engines_are_refused_with_the_reason)
{
    expect_failure("no_symbol", STATUS_FAILED_PRECONDITION, "slipway_engine_entry");
    expect_failure("refused", STATUS_FAILED_PRECONDITION, "refused");
    expect_failure("wrong_version", STATUS_FAILED_PRECONDITION, "ABI version 99");
    expect_failure("short_table", STATUS_FAILED_PRECONDITION, "table of 32 bytes");
    expect_failure("wrong_name", STATUS_FAILED_PRECONDITION, "calls itself 'other'");
    expect_failure("no_name", STATUS_FAILED_PRECONDITION, "calls itself ''");
    expect_failure("no_version", STATUS_FAILED_PRECONDITION, "version text");
    expect_failure("no_execute", STATUS_FAILED_PRECONDITION, "'execute'");
    expect_failure("no_release", STATUS_FAILED_PRECONDITION, "'result_release'");
}

TEST(a_file_that_is_no_shared_object_is_refused)
{
    char directory[] = "/tmp/slipway-loader-XXXXXX";
    REQUIRE(mkdtemp(directory));
    char *path CLEANUP(mem_freep) = mem_format("%s/slipway_engine_text.so", directory);
    FILE *file = fopen(path, "we");
    REQUIRE(file);
    (void)fputs("not an ELF file", file);
    (void)fclose(file);
    struct engine_registry *registry = engine_registry_new(directory);
    struct engine *engine;
    struct error err;
    EXPECT_STATUS(engine_open(registry, "text", &engine, &err), STATUS_FAILED_PRECONDITION, err);
    EXPECT(strstr(err.message, path) != NULL);
    EXPECT(engine_is_installed(registry, "text"));
    EXPECT(!engine_is_installed(registry, "other"));
    EXPECT(!engine_is_installed(registry, "../text"));
    (void)unlink(path);
    // A failure is not remembered, nor is what is no longer there.
    EXPECT_STATUS(engine_open(registry, "text", &engine, &err), STATUS_NOT_FOUND, err);
    engine_registry_free(registry);
    (void)rmdir(directory);
}

static void count_name(void *context, const char *name)
{
    size_t *count = context;
    if (strcmp(name, "echo") == 0) (*count)++;
}

TEST(visits_each_name_once)
{
    // The same directory twice: as given, and in place of the build tree's.
    struct engine_registry *registry = engine_registry_new(ENGINE_DIRECTORY "/");
    mem_free(registry->directories[registry->directory_count - 1]);
    registry->directories[registry->directory_count - 1] = mem_copy_text(ENGINE_DIRECTORY);
    size_t count = 0;
    engine_registry_visit(registry, count_name, &count);
    EXPECT_INT(count, 1);
    engine_registry_free(registry);
}

TEST(foreign_file_names_are_not_engines)
{
    struct names names = {.count = 0};
    static const char *const files[] = {
        "slipway_engine_.so",   "slipway_engine_.txt", ".",
        "slipway_engine_UP.so", "libtorch.so",         "slipway_engine_a"};
    for (size_t i = 0; i < COUNT_OF(files); i++) add_name(&names, files[i]);
    EXPECT_INT(names.count, 0);
    add_name(&names, "slipway_engine_a.so");
    add_name(&names, "slipway_engine_a.so");
    EXPECT_INT(names.count, 1);
    EXPECT_TEXT(names.items[0], "a");
}
