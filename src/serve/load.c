/* From files in a repository to a model that can be published. */
#include "base/clock.h"
#include "base/mem.h"
#include "engine/loader.h"
#include "serve/core.h"
#include "serve/layout.h"
#include "serve/sample.h"
#include "serve/settings.h"
#include "serve/trial.h"

enum { WARMUP_MEMORY_MAX = 1 << 30 };

/* What the configuration declares, for engines whose files say less. */
struct declared {
    struct slipway_tensor_spec *inputs;
    struct slipway_tensor_spec *outputs;
    struct slipway_parameter *parameters;
    size_t input_count;
    size_t output_count;
};

static struct slipway_tensor_spec *declare(struct arena *arena, const struct model_config *config,
                                           const struct model_config_tensors *tensors)
{
    size_t batch = config->max_batch_size > 0 ? 1 : 0;
    struct slipway_tensor_spec *specs =
        ARENA_TRY_ARRAY(arena, struct slipway_tensor_spec, tensors->count + 1);
    for (size_t i = 0; specs && i < tensors->count; i++) {
        const struct model_config_tensor *tensor = &tensors->items[i];
        const struct model_config_dims *shape =
            tensor->reshape ? &tensor->reshape->shape : &tensor->dims;
        int64_t *dims = ARENA_TRY_ARRAY(arena, int64_t, shape->count + batch + 1);
        if (!dims) return NULL;
        if (batch) dims[0] = -1;
        for (size_t k = 0; k < shape->count; k++) dims[k + batch] = shape->items[k];
        specs[i] = (struct slipway_tensor_spec){.name = tensor->name,
                                                .dtype = (uint32_t)tensor->data_type,
                                                .optional = tensor->optional,
                                                .rank = (int32_t)(shape->count + batch),
                                                .dims = dims};
    }
    return specs;
}

static enum status declare_all(struct arena *arena, const struct model_config *config,
                               struct declared *ret_declared, struct error *err)
{
    struct declared declared = {.inputs = declare(arena, config, &config->input),
                                .outputs = declare(arena, config, &config->output),
                                .input_count = config->input.count,
                                .output_count = config->output.count};
    size_t count = config->parameters.count;
    declared.parameters = ARENA_TRY_ARRAY(arena, struct slipway_parameter, count + 1);
    if (!declared.inputs || !declared.outputs || !declared.parameters)
        return fail(err, STATUS_EXHAUSTED, "no memory for the model's description");
    for (size_t i = 0; i < count; i++)
        declared.parameters[i] = (struct slipway_parameter){config->parameters.items[i].key,
                                                            config->parameters.items[i].value};
    *ret_declared = declared;
    return STATUS_OK;
}

static enum status try_first(struct model *model, const struct engine *engine,
                             const struct slipway_load_options *options, struct error *err)
{
    const char *program = model->serve->options.trial_program;
    if (!program) return STATUS_OK;
    uint64_t start_ns = clock_monotonic_ns();
    TRY(trial_run(program, engine, options, model->config->max_batch_size, err));
    model->trial_ns = clock_monotonic_ns() - start_ns;
    return STATUS_OK;
}

static enum status open_engine(struct model *model, const struct layout_version *version,
                               struct arena *arena, struct error *err)
{
    struct engine *engine;
    struct declared declared;
    TRY(engine_open(model->serve->options.engines, version->engine, &engine, err));
    TRY(declare_all(arena, model->config, &declared, err));
    const struct slipway_load_options options = {.struct_size = sizeof options,
                                                 .threads = model->serve->options.engine_threads,
                                                 .name = model->name,
                                                 .path = version->path,
                                                 .parameters = declared.parameters,
                                                 .parameter_count = model->config->parameters.count,
                                                 .inputs = declared.inputs,
                                                 .input_count = declared.input_count,
                                                 .outputs = declared.outputs,
                                                 .output_count = declared.output_count};
    TRY(try_first(model, engine, &options, err));
    TRY(engine_model_load(engine, &options, &model->engine_model, err));
    return model_config_complete(model->config, engine_model_info(model->engine_model), err);
}

static enum status build(struct model *model, const struct layout_model *layout,
                         const struct layout_version *version, struct arena *arena,
                         struct error *err)
{
    struct warmup warmup;
    model->config = model_config_copy(layout->config);
    TRY(open_engine(model, version, arena, err));
    TRY(settings_apply(model, layout->directory, err));
    TRY(sample_make(model, layout->directory, arena, &warmup, err));
    return model_assemble(model, &warmup, err);
}

enum status model_load(struct serve *serve, const struct layout_model *layout,
                       const struct layout_version *version, const uint8_t digest[SHA256_SIZE],
                       struct model **ret_model, struct error *err)
{
    if (version->error.status != STATUS_OK) return fail_again(err, &version->error);
    uint64_t start_ns = clock_monotonic_ns();
    struct model *model = model_new(serve, layout->name, version->number);
    memcpy(model->digest, digest, SHA256_SIZE);
    struct arena arena;
    arena_init(&arena, WARMUP_MEMORY_MAX);
    enum status status = build(model, layout, version, &arena, err);
    arena_clear(&arena);
    if (status != STATUS_OK) {
        model_free(model);
        return status;
    }
    model->load_ns = clock_monotonic_ns() - start_ns - model->trial_ns;
    *ret_model = model;
    return STATUS_OK;
}
