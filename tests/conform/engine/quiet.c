/*
 * Opens an engine, loads a model, runs it, unloads it: what expect_quiet watches from outside.
 *
 *   quiet ENGINES NAME MODEL        exit 0 if all of it worked; "-" as MODEL: only opens the engine
 */
#include "base/mem.h"
#include "config/environment.h"
#include "engine/loader.h"

static enum status run(struct engine_model *model, struct error *err)
{
    struct engine_instance *instance;
    TRY(engine_instance_new(model, &instance, err));
    int64_t numbers[5] = {1, 2, 3, 4, 5}, dims[] = {5};
    struct slipway_tensor input = {SLIPWAY_DTYPE_INT64, 1, dims, numbers, sizeof numbers};
    struct engine_result result;
    enum status status = engine_execute(instance, &input, 1, NULL, &result, err);
    if (status == STATUS_OK) engine_result_release(&result);
    engine_instance_free(instance);
    return status;
}

static enum status load_and_run(char **arguments, struct error *err)
{
    struct engine_registry *registry = engine_registry_new(arguments[1]);
    struct engine *engine;
    TRY(engine_open(registry, arguments[2], &engine, err));
    if (strcmp(arguments[3], "-") != 0) {
        struct slipway_load_options options = {.name = "quiet", .path = arguments[3]};
        struct engine_model *model;
        TRY(engine_model_load(engine, &options, &model, err));
        enum status status = run(model, err);
        engine_model_unload(model);
        TRY(status);
    }
    engine_registry_free(registry);
    return STATUS_OK;
}

int main(int count, char **arguments)
{
    struct error err = {0};
    if (count != 4) return 64;
    environment_silence_libraries(); /* as main does */
    if (load_and_run(arguments, &err) == STATUS_OK) return 0;
    (void)fprintf(stderr, "quiet: %s\n", err.message);
    return 1;
}
