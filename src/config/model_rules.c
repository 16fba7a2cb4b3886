/* The rules of a configuration, field by field; the limits are those of model_config.h. */
#include "config/model_rules.h"

/* A file beside the model: no way out of its directory. */
static enum status check_file_name(const char *field, const char *name, struct error *err)
{
    if (strchr(name, '/') || strcmp(name, "..") == 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "%s: '%s' must be the name of a file in the model's directory", field, name);
    return STATUS_OK;
}

static enum status check_dims(const char *what, const char *name,
                              const struct model_config_dims *dims, struct error *err)
{
    for (size_t i = 0; i < dims->count; i++) {
        if (dims->items[i] == -1 || dims->items[i] >= 1) continue;
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "%s '%s': dimension %lld must be 1 or more, or -1 for any size", what, name,
                    (long long)dims->items[i]);
    }
    return STATUS_OK;
}

/* The product, -1 if a dimension is variable; false if it does not fit. */
static bool count_elements(const struct model_config_dims *dims, int64_t *ret_count)
{
    int64_t count = 1;
    bool variable = false;
    for (size_t i = 0; i < dims->count; i++) {
        if (dims->items[i] == -1)
            variable = true;
        else if (__builtin_mul_overflow(count, dims->items[i], &count))
            return false;
    }
    *ret_count = variable ? -1 : count;
    return true;
}

static enum status check_reshape(const char *what, const struct model_config_tensor *tensor,
                                 struct error *err)
{
    int64_t outside = 0, inside = 0;
    if (!count_elements(&tensor->dims, &outside) ||
        (tensor->reshape && !count_elements(&tensor->reshape->shape, &inside)))
        return fail(err, STATUS_INVALID_ARGUMENT, "%s '%s': the dimensions' product is too large",
                    what, tensor->name);
    if (!tensor->reshape) return STATUS_OK;
    TRY(check_dims(what, tensor->name, &tensor->reshape->shape, err));
    if (outside != inside)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "%s '%s': dims and reshape must have the same number of elements", what,
                    tensor->name);
    return STATUS_OK;
}

static enum status check_tensors(struct model_config *config, const char *what,
                                 struct model_config_tensors *tensors, struct error *err)
{
    for (size_t i = 0; i < tensors->count; i++) {
        struct model_config_tensor *tensor = &tensors->items[i];
        if (!tensor->label_filename) tensor->label_filename = "";
        if (tensor->name[0] == '\0')
            return fail(err, STATUS_INVALID_ARGUMENT, "%s %zu has no name", what, i);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(tensors->items[j].name, tensor->name) == 0)
                return fail(err, STATUS_INVALID_ARGUMENT, "%s '%s' is listed twice", what,
                            tensor->name);
        }
        TRY(check_dims(what, tensor->name, &tensor->dims, err));
        TRY(check_reshape(what, tensor, err));
        TRY(fail_while(err, check_file_name("label_filename", tensor->label_filename, err),
                       "%s '%s'", what, tensor->name));
        if (tensor->is_shape_tensor || tensor->is_non_linear_format_io)
            model_config_warn(config, "is_shape_tensor and is_non_linear_format_io have no effect");
    }
    return STATUS_OK;
}

static enum status check_version_policy(const struct model_config_version_policy *policy,
                                        struct error *err)
{
    if (!policy) return STATUS_OK;
    if (!!policy->latest + !!policy->all + !!policy->specific > 1)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "version_policy: give one of latest, all, specific");
    if (policy->latest && policy->latest->num_versions == 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "version_policy: latest.num_versions must be 1 or more");
    if (!policy->specific) return STATUS_OK;
    if (policy->specific->versions.count == 0)
        return fail(err, STATUS_INVALID_ARGUMENT, "version_policy: specific.versions is empty");
    for (size_t i = 0; i < policy->specific->versions.count; i++) {
        if (policy->specific->versions.items[i] < 1)
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "version_policy: version %lld must be 1 or more",
                        (long long)policy->specific->versions.items[i]);
    }
    return STATUS_OK;
}

static enum status check_groups(struct model_config *config, struct error *err)
{
    for (size_t i = 0; i < config->instance_group.count; i++) {
        const struct model_config_group *group = &config->instance_group.items[i];
        if (group->count < 0 || group->count > MODEL_CONFIG_INSTANCES_MAX)
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "instance_group: count %d is outside 0 to %d (0 is one)", group->count,
                        MODEL_CONFIG_INSTANCES_MAX);
        if (group->kind == MODEL_CONFIG_KIND_GPU || group->gpus.count > 0)
            model_config_warn(config, "instance_group: there is no GPU support, "
                                      "the instances run on the CPU");
        if (group->passive) model_config_warn(config, "instance_group: 'passive' has no effect");
    }
    return STATUS_OK;
}

static enum status check_priorities(const struct model_config_batching *batching, struct error *err)
{
    uint64_t levels = batching->priority_levels;
    if (levels > 1000)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "dynamic_batching: priority_levels %llu is more than 1000",
                    (unsigned long long)levels);
    bool wrong = levels > 0 && batching->default_priority_level == 0;
    if (wrong || batching->default_priority_level > levels)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "dynamic_batching: default_priority_level %llu is outside 1 to "
                    "priority_levels, which is %llu",
                    (unsigned long long)batching->default_priority_level,
                    (unsigned long long)levels);
    const struct model_config_priority_policies *policies = &batching->priority_queue_policy;
    for (size_t i = 0; i < policies->count; i++) {
        if (policies->items[i].key >= 1 && policies->items[i].key <= levels) continue;
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "dynamic_batching: priority_queue_policy has level %llu, outside 1 to "
                    "priority_levels, which is %llu",
                    (unsigned long long)policies->items[i].key, (unsigned long long)levels);
    }
    return STATUS_OK;
}

static enum status check_batching(struct model_config *config, struct error *err)
{
    const struct model_config_batching *batching = config->dynamic_batching;
    if (config->max_batch_size < 0 || config->max_batch_size > MODEL_CONFIG_BATCH_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "max_batch_size %d is outside 0 to %d",
                    config->max_batch_size, MODEL_CONFIG_BATCH_MAX);
    if (!batching) return STATUS_OK;
    if (config->max_batch_size == 0)
        model_config_warn(config, "dynamic_batching has no effect on batches while max_batch_size "
                                  "is 0");
    if (batching->preserve_ordering && batching->priority_levels > 1)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "dynamic_batching: preserve_ordering goes with one priority level, not %llu: "
                    "an urgent request could not be answered before an earlier one",
                    (unsigned long long)batching->priority_levels);
    for (size_t i = 0; i < batching->preferred_batch_size.count; i++) {
        int32_t size = batching->preferred_batch_size.items[i];
        if (size >= 1 && size <= MAX(config->max_batch_size, 1)) continue;
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "dynamic_batching: preferred_batch_size %d is outside 1 to max_batch_size, "
                    "which is %d",
                    size, config->max_batch_size);
    }
    return check_priorities(batching, err);
}

static enum status check_warmup_input(const struct model_config_warmup_entry *entry,
                                      struct error *err)
{
    const struct model_config_warmup_input *input = &entry->value;
    if (input->zero_data + input->random_data + (input->input_data_file[0] != '\0') != 1)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "input '%s': give one of zero_data, random_data, input_data_file", entry->key);
    TRY(check_file_name("input_data_file", input->input_data_file, err));
    return check_dims("input", entry->key, &input->dims, err);
}

static enum status check_warmups(const struct model_config *config, struct error *err)
{
    for (size_t i = 0; i < config->model_warmup.count; i++) {
        const struct model_config_warmup *warmup = &config->model_warmup.items[i];
        if (warmup->batch_size > (uint32_t)MAX(config->max_batch_size, 1))
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "model_warmup '%s': batch_size %u is more than max_batch_size, which is %d",
                        warmup->name, warmup->batch_size, config->max_batch_size);
        for (size_t j = 0; j < warmup->inputs.count; j++)
            TRY(fail_while(err, check_warmup_input(&warmup->inputs.items[j], err),
                           "model_warmup '%s'", warmup->name));
    }
    return STATUS_OK;
}

enum status model_config_check_redact(struct str text, struct error *err)
{
    bool good = text.size > 0 && str_is_utf8(text) && !str_equal(text, STR("$"));
    if (good && str_starts_with(text, STR("$."))) {
        struct str rest = str_from(text, 2);
        while (good && rest.data) good = str_cut(&rest, '.').size > 0;
    }
    if (good) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "'%.*s' cannot be redacted: give a tensor's name, or a path such as "
                "$.parameters.user or $.inputs.0.data",
                STR_ARGS(text));
}

static enum status check_record(const struct model_config *config, struct error *err)
{
    const struct model_config_record *record = config->slipway ? config->slipway->record : NULL;
    for (size_t i = 0; record && i < record->redact.count; i++)
        TRY(fail_while(err, model_config_check_redact(str_of(record->redact.items[i]), err),
                       "slipway.record.redact"));
    return STATUS_OK;
}

/* The parameter is how config.pbtxt, which has no section of ours, asks for a placement. */
static enum status derive_placement(struct model_config *config, struct error *err)
{
    static const char *const names[] = {"auto", "inline", "runner"};
    const char *text = model_config_parameter(config, "placement");
    if (!text) return STATUS_OK;
    for (int32_t i = 0; i < (int32_t)COUNT_OF(names); i++) {
        if (strcmp(text, names[i]) != 0) continue;
        if (!config->slipway)
            config->slipway = ARENA_TRY_ARRAY(&config->arena, struct model_config_slipway, 1);
        if (!config->slipway)
            return fail(err, STATUS_EXHAUSTED, "the configuration takes too much memory");
        config->slipway->placement = i;
        return STATUS_OK;
    }
    return fail(err, STATUS_INVALID_ARGUMENT,
                "parameters: placement '%s' is none of auto, inline, runner", text);
}

enum status model_config_check(struct model_config *config, struct error *err)
{
    TRY(check_batching(config, err));
    TRY(check_tensors(config, "input", &config->input, err));
    TRY(check_tensors(config, "output", &config->output, err));
    TRY(check_version_policy(config->version_policy, err));
    TRY(check_groups(config, err));
    TRY(check_warmups(config, err));
    TRY(check_record(config, err));
    TRY(check_file_name("default_model_filename", config->default_model_filename, err));
    if (config->model_transaction_policy && config->model_transaction_policy->decoupled)
        return fail(err, STATUS_UNIMPLEMENTED,
                    "model_transaction_policy: decoupled models are not supported");
    return derive_placement(config, err);
}
