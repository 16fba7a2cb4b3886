/* From configuration to what serve works with. */
#include "serve/settings.h"

#include "base/mem.h"
#include "serve/core.h"
#include "serve/file.h"

_Static_assert((int)MODEL_CONFIG_INSTANCES_MAX <= (int)MODEL_INSTANCES_MAX, "one group fits");
_Static_assert((int)PLACEMENT_AUTO == (int)MODEL_CONFIG_PLACEMENT_AUTO &&
                   (int)PLACEMENT_INLINE == (int)MODEL_CONFIG_PLACEMENT_INLINE &&
                   (int)PLACEMENT_RUNNER == (int)MODEL_CONFIG_PLACEMENT_RUNNER,
               "placements are passed through");

/* --- scheduling ----------------------------------------------------------------------------- */

void settings_init(struct model_settings *settings, const struct serve_options *options,
                   int64_t batch_size_max)
{
    memset(settings, 0, sizeof *settings);
    batch_policy_init(&settings->policy, batch_size_max, options->queue_size_max);
    settings->policy.timeout_default_us = options->queue_timeout_ns / NS_PER_US;
    if (options->queue_timeout_ns > 0) /* less than the queue's unit is not the same as none */
        settings->policy.timeout_default_us = MAX(settings->policy.timeout_default_us, UINT64_C(1));
    settings->placement = (struct placement_rule){.mode = PLACEMENT_AUTO,
                                                  .limit_ns = options->inline_cost_max_ns,
                                                  .dwell_ns = options->placement_dwell_ns,
                                                  .stall_ns = options->inline_stall_max_ns};
    settings->instance_count = 1;
}

static struct batch_level level_of(const struct model_config_queue_policy *policy)
{
    return (struct batch_level){.timeout_us = policy->default_timeout_microseconds,
                                .size_max = policy->max_queue_size,
                                .timeout_delays = policy->timeout_action == MODEL_CONFIG_DELAY,
                                .allow_override = policy->allow_timeout_override};
}

static int compare_sizes(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void read_preferred(struct batch_policy *policy, const struct model_config_sizes *sizes)
{
    for (size_t i = 0; i < sizes->count && policy->preferred_count < BATCH_PREFERRED_MAX; i++)
        policy->preferred[policy->preferred_count++] = sizes->items[i];
    qsort(policy->preferred, policy->preferred_count, sizeof *policy->preferred, compare_sizes);
}

static enum status read_batching(struct batch_policy *policy,
                                 const struct model_config_batching *batching, struct error *err)
{
    if (batching->priority_levels > BATCH_LEVELS_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "%llu priority levels are configured, at most %d are possible",
                    (unsigned long long)batching->priority_levels, BATCH_LEVELS_MAX);
    policy->delay_ns =
        MIN(batching->max_queue_delay_microseconds, UINT64_MAX / NS_PER_US / 2) * NS_PER_US;
    policy->level_count = (uint32_t)MAX(batching->priority_levels, UINT64_C(1));
    uint64_t level = batching->default_priority_level;
    policy->level_default = (uint32_t)(level ? MIN(level, policy->level_count) - 1 : 0);
    for (uint32_t i = 0; i < policy->level_count; i++) {
        policy->levels[i] = policy->levels[0];
        if (batching->default_queue_policy)
            policy->levels[i] = level_of(batching->default_queue_policy);
    }
    for (size_t i = 0; i < batching->priority_queue_policy.count; i++) {
        const struct model_config_priority_policy *one = &batching->priority_queue_policy.items[i];
        if (one->key >= 1 && one->key <= policy->level_count)
            policy->levels[one->key - 1] = level_of(&one->value);
    }
    read_preferred(policy, &batching->preferred_batch_size);
    return STATUS_OK;
}

static uint32_t count_instances(const struct model_config_groups *groups)
{
    uint32_t total = 0;
    for (size_t i = 0; i < groups->count; i++) {
        const struct model_config_group *group = &groups->items[i];
        if (!group->passive) total += (uint32_t)MAX(group->count, 1);
    }
    return MAX(UINT32_C(1), MIN(total, (uint32_t)MODEL_INSTANCES_MAX));
}

static enum status read_scheduling(struct model *model, struct error *err)
{
    const struct model_config *config = model->config;
    struct model_settings *settings = &model->settings;
    settings_init(settings, &model->serve->options, config->max_batch_size);
    settings->instance_count = count_instances(&config->instance_group);
    if (config->slipway) settings->placement.mode = (enum placement_mode)config->slipway->placement;
    if (config->dynamic_batching)
        TRY(read_batching(&settings->policy, config->dynamic_batching, err));
    settings->keeps_order = config->dynamic_batching && config->dynamic_batching->preserve_ordering;
    /* A batch waits for company from all lanes, so on the runners; inline nothing ever waits. */
    if (settings->placement.mode == PLACEMENT_INLINE) settings->policy.delay_ns = 0;
    if (settings->policy.delay_ns > 0) settings->placement.mode = PLACEMENT_RUNNER;
    settings->caches =
        model->serve->cache && config->response_cache && config->response_cache->enable;
    return STATUS_OK;
}

/* --- tensors -------------------------------------------------------------------------------- */

/* Everything of a spec lives in the config's arena: same owner, same end. */
static enum status make_spec(struct model *model, const struct model_config_tensor *tensor,
                             struct slipway_tensor_spec *spec, struct error *err)
{
    bool batched = model->config->max_batch_size > 0;
    size_t rank = tensor->dims.count + (batched ? 1 : 0);
    if (rank > SLIPWAY_RANK_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%s' has %zu dimensions, at most %d are possible", tensor->name, rank,
                    SLIPWAY_RANK_MAX);
    int64_t *dims = ARENA_TRY_ARRAY(&model->config->arena, int64_t, rank + 1);
    if (!dims) return fail(err, STATUS_EXHAUSTED, "no memory for the tensors' description");
    if (batched) dims[0] = -1;
    for (size_t i = 0; i < tensor->dims.count; i++)
        dims[i + (batched ? 1 : 0)] = tensor->dims.items[i];
    spec->name = tensor->name;
    spec->dtype = (uint32_t)tensor->data_type;
    spec->optional = spec->optional || tensor->optional;
    spec->rank = tensor->rank_unknown ? -1 : (int32_t)rank;
    spec->dims = dims;
    return STATUS_OK;
}

/* The engine's tensors, in its order, described as the configuration has them. */
static enum status make_specs(struct model *model, const struct slipway_tensor_spec *engine,
                              size_t count, const struct model_config_tensors *tensors,
                              const struct slipway_tensor_spec **ret_specs, struct error *err)
{
    struct slipway_tensor_spec *specs =
        ARENA_TRY_ARRAY(&model->config->arena, struct slipway_tensor_spec, count + 1);
    if (!specs) return fail(err, STATUS_EXHAUSTED, "no memory for the tensors' description");
    if (count) memcpy(specs, engine, count * sizeof *specs);
    for (size_t i = 0; i < tensors->count; i++) {
        const struct model_config_tensor *tensor = &tensors->items[i];
        assert(tensor->engine_index < count);
        TRY(make_spec(model, tensor, &specs[tensor->engine_index], err));
    }
    *ret_specs = specs;
    return STATUS_OK;
}

/* The n-th -1 of one side is the n-th -1 of the other. */
static void make_reshape(struct execute_reshape *rule, bool batched,
                         const struct model_config_dims *to, const struct model_config_dims *from)
{
    rule->used = true;
    rule->batched = batched;
    rule->rank = (uint32_t)to->count;
    for (size_t i = 0; i < to->count; i++) rule->dims[i] = to->items[i];
    for (size_t i = 0; i < from->count; i++)
        if (from->items[i] < 0) rule->variable_from[rule->variable_count++] = (uint32_t)i;
}

/* NULL if none of the tensors has a reshape. `inputs`: from dims to reshape; else back. */
static enum status make_reshapes(const struct model *model,
                                 const struct model_config_tensors *tensors, size_t count,
                                 bool inputs, struct execute_reshape **ret_rules, struct error *err)
{
    struct execute_reshape *rules = NULL;
    for (size_t i = 0; i < tensors->count; i++) {
        const struct model_config_tensor *tensor = &tensors->items[i];
        if (!tensor->reshape) continue;
        const struct model_config_dims *shape = &tensor->reshape->shape;
        if (MAX(shape->count, tensor->dims.count) >= SLIPWAY_RANK_MAX) {
            mem_free(rules);
            return fail(err, STATUS_INVALID_ARGUMENT, "the reshape of '%s' has too many dimensions",
                        tensor->name);
        }
        if (!rules) rules = MEM_NEW_ARRAY(struct execute_reshape, count);
        make_reshape(&rules[tensor->engine_index], model->config->max_batch_size > 0,
                     inputs ? shape : &tensor->dims, inputs ? &tensor->dims : shape);
    }
    *ret_rules = rules;
    return STATUS_OK;
}

/* True if two requests may differ in shape or in which inputs they bring. */
static bool shapes_vary(const struct infer_spec *spec)
{
    for (size_t i = 0; i < spec->input_count; i++) {
        const struct slipway_tensor_spec *input = &spec->inputs[i];
        if (input->optional || input->rank < 0 || input->dtype == SLIPWAY_DTYPE_ANY) return true;
        for (int32_t k = 1; k < input->rank; k++)
            if (input->dims[k] < 0) return true;
    }
    return false;
}

static enum status read_tensors(struct model *model, struct error *err)
{
    const struct slipway_model_info *info = engine_model_info(model->engine_model);
    const struct model_config *config = model->config;
    struct infer_spec *spec = &model->spec;
    spec->name = model->name;
    spec->batch_size_max = config->max_batch_size;
    TRY(make_specs(model, info->inputs, info->input_count, &config->input, &spec->inputs, err));
    spec->input_count = info->input_count;
    TRY(make_specs(model, info->outputs, info->output_count, &config->output, &spec->outputs, err));
    spec->output_count = info->output_count;
    TRY(make_reshapes(model, &config->input, spec->input_count, true, &model->input_reshapes, err));
    TRY(make_reshapes(model, &config->output, spec->output_count, false, &model->output_reshapes,
                      err));
    model->settings.shapes_vary = shapes_vary(spec);
    return oip_json_prepare(spec, model->version_str, &model->config->arena, &model->texts, err);
}

/* --- labels --------------------------------------------------------------------------------- */

static void split_lines(struct model_labels *labels, struct str text)
{
    size_t count = 1;
    for (size_t i = 0; i < text.size; i++) count += text.data[i] == '\n';
    count = MIN(count, (size_t)SETTINGS_LABELS_MAX);
    labels->lines = MEM_NEW_ARRAY(struct str, count);
    while (text.data && text.size > 0 && labels->count < count) {
        struct str line = str_cut(&text, '\n');
        if (line.size > 0 && line.data[line.size - 1] == '\r') line.size--;
        labels->lines[labels->count++] = line;
    }
}

static enum status read_labels(struct model *model, const char *directory, struct error *err)
{
    for (size_t i = 0; directory && i < model->config->output.count; i++) {
        const struct model_config_tensor *output = &model->config->output.items[i];
        if (!output->label_filename || output->label_filename[0] == '\0') continue;
        if (!model->labels)
            model->labels = MEM_NEW_ARRAY(struct model_labels, model->spec.output_count);
        struct model_labels *labels = &model->labels[output->engine_index];
        struct str text;
        TRY(fail_while(err,
                       file_read_inside(directory, output->label_filename, SETTINGS_LABEL_FILE_MAX,
                                        &text, err),
                       "labels of output '%s'", output->name));
        labels->text = (char *)(uintptr_t)text.data;
        split_lines(labels, text);
    }
    return STATUS_OK;
}

/* --- all ------------------------------------------------------------------------------------ */

enum status settings_apply(struct model *model, const char *directory, struct error *err)
{
    TRY(read_scheduling(model, err));
    TRY(read_tensors(model, err));
    return read_labels(model, directory, err);
}

void settings_free_model_parts(struct model *model)
{
    for (size_t i = 0; model->labels && i < model->spec.output_count; i++) {
        mem_free(model->labels[i].text);
        mem_free(model->labels[i].lines);
    }
    mem_free(model->labels);
    mem_free(model->input_reshapes);
    mem_free(model->output_reshapes);
    model_config_free(model->config);
}
