/* What the file leaves out, from the loaded model; and where the two contradict each other. */
#include "base/mem.h"
#include "base/num.h"
#include "config/model_config.h"

/* Inputs or outputs: the same work on both. */
struct side {
    struct model_config *config;
    const char *what; /* "input" */
    struct model_config_tensors *tensors;
    const struct slipway_tensor_spec *specs;
    size_t spec_count;
};

static enum status fail_memory(const struct model_config *config, struct error *err)
{
    return fail(err, STATUS_EXHAUSTED, "the configuration of '%s' takes too much memory",
                config->name);
}

static const char *dtype_text(uint32_t dtype)
{
    switch ((enum slipway_dtype)dtype) {
#define X(name, value, width)                                                                      \
    case SLIPWAY_DTYPE_##name: return #name;
        SLIPWAY_DTYPE_TABLE(X)
#undef X
    }
    return "unknown";
}

static void print_dims(struct buffer *out, const int64_t *dims, size_t count)
{
    buffer_add_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i) buffer_add_byte(out, ',');
        buffer_add_i64(out, dims[i]);
    }
    buffer_add_byte(out, ']');
}

/* The dimensions as the engine sees them, without the batch. */
static const struct model_config_dims *inner_dims(const struct model_config_tensor *tensor)
{
    return tensor->reshape ? &tensor->reshape->shape : &tensor->dims;
}

static enum status fail_dims(const struct side *side, const struct model_config_tensor *tensor,
                             const struct slipway_tensor_spec *spec, struct error *err)
{
    struct buffer ours, theirs;
    buffer_init(&ours, 1024);
    buffer_init(&theirs, 1024);
    print_dims(&ours, inner_dims(tensor)->items, inner_dims(tensor)->count);
    print_dims(&theirs, spec->dims, (size_t)spec->rank);
    enum status status = fail(
        err, STATUS_FAILED_PRECONDITION,
        "model '%s': %s '%s' is %s in the model, but the configuration says %s%s%s",
        side->config->name, side->what, tensor->name, buffer_text(&theirs),
        tensor->reshape ? "reshape " : "", buffer_text(&ours),
        side->config->max_batch_size > 0 ? " behind the batch dimension that max_batch_size adds"
                                         : "");
    buffer_clear(&ours);
    buffer_clear(&theirs);
    return status;
}

/* The model's first dimension must be free where the configuration wants batches. */
static enum status check_batch(const struct side *side, const struct slipway_tensor_spec *spec,
                               struct error *err)
{
    if (side->config->max_batch_size == 0 || spec->rank < 0) return STATUS_OK;
    if (spec->rank == 0)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "model '%s': %s '%s' is a scalar and has no batch dimension: set "
                    "max_batch_size to 0, not %d",
                    side->config->name, side->what, spec->name, side->config->max_batch_size);
    if (spec->dims[0] == -1) return STATUS_OK;
    return fail(err, STATUS_FAILED_PRECONDITION,
                "model '%s': the first dimension of %s '%s' is fixed at %lld, so max_batch_size "
                "%d cannot be: set it to 0, or export the model with a variable first dimension",
                side->config->name, side->what, spec->name, (long long)spec->dims[0],
                side->config->max_batch_size);
}

static enum status copy_dims(const struct side *side, const struct slipway_tensor_spec *spec,
                             struct model_config_dims *dims, struct error *err)
{
    size_t skip = side->config->max_batch_size > 0 ? 1 : 0;
    dims->count = (size_t)spec->rank - skip;
    if (dims->count == 0) return STATUS_OK;
    dims->items = ARENA_TRY_ARRAY(&side->config->arena, int64_t, dims->count);
    if (!dims->items) return fail_memory(side->config, err);
    memcpy(dims->items, spec->dims + skip, dims->count * sizeof *dims->items);
    return STATUS_OK;
}

/* Every dimension that both fix must be equal; one that only the model fixes is taken over. */
static enum status merge_dims(const struct side *side, struct model_config_tensor *tensor,
                              const struct slipway_tensor_spec *spec, struct error *err)
{
    if (spec->rank < 0) {
        tensor->rank_unknown = tensor->dims.count == 0 && !tensor->reshape;
        return STATUS_OK;
    }
    TRY(check_batch(side, spec, err));
    if (tensor->dims.count == 0 && !tensor->reshape)
        return copy_dims(side, spec, &tensor->dims, err);
    const struct model_config_dims *dims = inner_dims(tensor);
    size_t skip = side->config->max_batch_size > 0 ? 1 : 0;
    if ((size_t)spec->rank != dims->count + skip) return fail_dims(side, tensor, spec, err);
    for (size_t i = 0; i < dims->count; i++) {
        int64_t theirs = spec->dims[i + skip];
        if (theirs == -1 || theirs == dims->items[i]) continue;
        if (dims->items[i] != -1 || theirs < 1) return fail_dims(side, tensor, spec, err);
        if (!tensor->reshape) dims->items[i] = theirs;
    }
    return STATUS_OK;
}

static enum status merge_type(const struct side *side, struct model_config_tensor *tensor,
                              const struct slipway_tensor_spec *spec, struct error *err)
{
    if (tensor->data_type == SLIPWAY_DTYPE_ANY) tensor->data_type = (int32_t)spec->dtype;
    if (spec->dtype == SLIPWAY_DTYPE_ANY || (uint32_t)tensor->data_type == spec->dtype)
        return STATUS_OK;
    return fail(err, STATUS_FAILED_PRECONDITION,
                "model '%s': %s '%s' is %s in the model, but the configuration says %s",
                side->config->name, side->what, tensor->name, dtype_text(spec->dtype),
                dtype_text((uint32_t)tensor->data_type));
}

/* "INPUT__3" is 3, SIZE_MAX without such an end. */
static size_t position_in_name(const char *name)
{
    const char *digits = NULL;
    for (const char *at = name; (at = strstr(at, "__")); at++) digits = at + 2;
    uint64_t position;
    if (!digits || !num_read_u64(str_of(digits), &position) || position >= SLIPWAY_TENSORS_MAX)
        return SIZE_MAX;
    return (size_t)position;
}

static enum status fail_name(const struct side *side, const struct model_config_tensor *tensor,
                             struct error *err)
{
    struct buffer names;
    buffer_init(&names, 256);
    for (size_t i = 0; i < side->spec_count; i++)
        buffer_add_format(&names, "%s'%s'", i ? ", " : "", side->specs[i].name);
    enum status status =
        fail(err, STATUS_FAILED_PRECONDITION, "model '%s' has no %s '%s', it has %s",
             side->config->name, side->what, tensor->name, buffer_text(&names));
    buffer_clear(&names);
    return status;
}

static enum status find_spec(const struct side *side, const struct model_config_tensor *tensor,
                             uint32_t *ret_index, struct error *err)
{
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < side->spec_count && found == SIZE_MAX; i++) {
        if (strcmp(side->specs[i].name, tensor->name) == 0) found = i;
    }
    if (found == SIZE_MAX) found = position_in_name(tensor->name);
    if (found >= side->spec_count) return fail_name(side, tensor, err);
    *ret_index = (uint32_t)found;
    return STATUS_OK;
}

/* All of the model's, where the file lists none. */
static enum status take_all(const struct side *side, struct error *err)
{
    if (side->spec_count == 0) return STATUS_OK;
    struct model_config_tensor *items =
        ARENA_TRY_ARRAY(&side->config->arena, struct model_config_tensor, side->spec_count);
    if (!items) return fail_memory(side->config, err);
    for (size_t i = 0; i < side->spec_count; i++) {
        struct str name = arena_try_copy(&side->config->arena, str_of(side->specs[i].name));
        if (!name.data) return fail_memory(side->config, err);
        items[i] = (struct model_config_tensor){.name = name.data, .label_filename = ""};
    }
    *side->tensors = (struct model_config_tensors){items, side->spec_count};
    return STATUS_OK;
}

static enum status merge_tensor(const struct side *side, size_t position, bool *taken,
                                struct error *err)
{
    struct model_config_tensor *tensor = &side->tensors->items[position];
    TRY(find_spec(side, tensor, &tensor->engine_index, err));
    if (taken[tensor->engine_index])
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "model '%s': %s '%s' is the model's '%s', which is listed already",
                    side->config->name, side->what, tensor->name,
                    side->specs[tensor->engine_index].name);
    taken[tensor->engine_index] = true;
    const struct slipway_tensor_spec *spec = &side->specs[tensor->engine_index];
    tensor->optional = tensor->optional || spec->optional;
    TRY(merge_type(side, tensor, spec, err));
    return merge_dims(side, tensor, spec, err);
}

static enum status merge_tensors(const struct side *side, bool all_needed, struct error *err)
{
    if (side->tensors->count == 0) TRY(take_all(side, err));
    if (side->spec_count == 0) {
        /* The file does not tell: the configuration's order is the engine's. */
        for (size_t i = 0; i < side->tensors->count; i++)
            side->tensors->items[i].engine_index = (uint32_t)i;
        return STATUS_OK;
    }
    bool *taken CLEANUP(mem_freep) = MEM_NEW_ARRAY(bool, side->spec_count);
    for (size_t i = 0; i < side->tensors->count; i++) TRY(merge_tensor(side, i, taken, err));
    for (size_t i = 0; all_needed && i < side->spec_count; i++) {
        if (!taken[i] && !side->specs[i].optional)
            return fail(err, STATUS_FAILED_PRECONDITION,
                        "model '%s' needs %s '%s', which the configuration does not list",
                        side->config->name, side->what, side->specs[i].name);
    }
    return STATUS_OK;
}

/* Triton's name of the engine behind a platform. */
static const char *backend_of(const char *platform)
{
    static const char *const names[][2] = {{"onnxruntime_onnx", "onnxruntime"},
                                           {"onnx_onnxv1", "onnxruntime"},
                                           {"pytorch_libtorch", "pytorch"},
                                           {"pytorch_torchscript", "pytorch"}};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcmp(platform, names[i][0]) == 0) return names[i][1];
    }
    return platform;
}

static enum status complete_platform(struct model_config *config,
                                     const struct slipway_model_info *info, struct error *err)
{
    if (config->platform[0] == '\0' && info->platform) {
        struct str copy = arena_try_copy(&config->arena, str_of(info->platform));
        if (!copy.data) return fail_memory(config, err);
        config->platform = copy.data;
    }
    if (config->backend[0] == '\0') config->backend = backend_of(config->platform);
    return STATUS_OK;
}

static enum status complete_groups(struct model_config *config, struct error *err)
{
    struct model_config_groups *groups = &config->instance_group;
    if (groups->count == 0) {
        groups->items = ARENA_TRY_ARRAY(&config->arena, struct model_config_group, 1);
        if (!groups->items) return fail_memory(config, err);
        groups->items[0] = (struct model_config_group){.name = "", .host_policy = ""};
        groups->count = 1;
    }
    for (size_t i = 0; i < groups->count; i++) {
        struct model_config_group *group = &groups->items[i];
        if (group->count == 0) group->count = 1;
        if (group->kind == MODEL_CONFIG_KIND_AUTO) group->kind = MODEL_CONFIG_KIND_CPU;
        if (group->name[0] != '\0') continue;
        char name[300];
        int size = snprintf(name, sizeof name, "%.255s_%zu", config->name, i);
        struct str copy = arena_try_copy(&config->arena, (struct str){name, (size_t)size});
        if (!copy.data) return fail_memory(config, err);
        group->name = copy.data;
    }
    return STATUS_OK;
}

static enum status complete_version_policy(struct model_config *config, struct error *err)
{
    struct model_config_version_policy *policy = config->version_policy;
    if (policy && (policy->latest || policy->all || policy->specific)) return STATUS_OK;
    policy = ARENA_TRY_ARRAY(&config->arena, struct model_config_version_policy, 1);
    if (policy) policy->latest = ARENA_TRY_ARRAY(&config->arena, struct model_config_latest, 1);
    if (!policy || !policy->latest) return fail_memory(config, err);
    policy->latest->num_versions = 1;
    config->version_policy = policy;
    return STATUS_OK;
}

enum status model_config_complete(struct model_config *config,
                                  const struct slipway_model_info *info, struct error *err)
{
    TRY(complete_platform(config, info, err));
    const struct side inputs = {config, "input", &config->input, info->inputs, info->input_count};
    const struct side outputs = {config, "output", &config->output, info->outputs,
                                 info->output_count};
    TRY(merge_tensors(&inputs, true, err));
    TRY(merge_tensors(&outputs, false, err));
    TRY(complete_groups(config, err));
    return complete_version_policy(config, err);
}
