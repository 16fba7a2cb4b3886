/*
 * Message by message, inner ones first; the fields in the order in which Triton prints them. What a
 * field means is in Triton's model_config.proto.
 */
#include "config/model_schema.h"

#define MESSAGE(variable, owner, title, rows)                                                      \
    static const struct schema_message variable = {title, rows, COUNT_OF(rows),                    \
                                                   sizeof(struct owner)}

/* Positions are those of enum slipway_dtype. */
static const char *const data_types[] = {"TYPE_INVALID", "TYPE_BOOL",   "TYPE_UINT8", "TYPE_UINT16",
                                         "TYPE_UINT32",  "TYPE_UINT64", "TYPE_INT8",  "TYPE_INT16",
                                         "TYPE_INT32",   "TYPE_INT64",  "TYPE_FP16",  "TYPE_FP32",
                                         "TYPE_FP64",    "TYPE_STRING", "TYPE_BF16",  NULL};
_Static_assert(COUNT_OF(data_types) == SLIPWAY_DTYPE_BF16 + 2, "one name for each element type");

static const char *const formats[] = {"FORMAT_NONE", "FORMAT_NHWC", "FORMAT_NCHW", NULL};
static const char *const kinds[] = {"KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL", NULL};
static const char *const timeout_actions[] = {"REJECT", "DELAY", NULL};
static const char *const placements[] = {"auto", "inline", "runner", NULL};
static const char *const keeps[] = {"default", "inline", "truncated", "hashed", "omitted", NULL};
static const char *const nan_policies[] = {"refuse", "allow", NULL};

static const struct schema_field reshape_fields[] = {
    {SCHEMA_ROW(model_config_reshape, INT64, shape), .shape = SCHEMA_MANY,
     .limit = SLIPWAY_RANK_MAX},
};
MESSAGE(reshape, model_config_reshape, "ModelTensorReshape", reshape_fields);

static const struct schema_field input_fields[] = {
    {SCHEMA_ROW(model_config_tensor, TEXT, name)},
    {SCHEMA_ROW(model_config_tensor, ENUM, data_type), .choices = data_types},
    {SCHEMA_ROW(model_config_tensor, ENUM, format), .choices = formats},
    {SCHEMA_ROW(model_config_tensor, INT64, dims), .shape = SCHEMA_MANY, .limit = SLIPWAY_RANK_MAX},
    {SCHEMA_ROW(model_config_tensor, MESSAGE, reshape), .message = &reshape},
    {SCHEMA_ROW(model_config_tensor, BOOL, is_shape_tensor)},
    {SCHEMA_ROW(model_config_tensor, BOOL, allow_ragged_batch)},
    {SCHEMA_ROW(model_config_tensor, BOOL, optional)},
    {SCHEMA_ROW(model_config_tensor, BOOL, is_non_linear_format_io)},
};
MESSAGE(input, model_config_tensor, "ModelInput", input_fields);

static const struct schema_field output_fields[] = {
    {SCHEMA_ROW(model_config_tensor, TEXT, name)},
    {SCHEMA_ROW(model_config_tensor, ENUM, data_type), .choices = data_types},
    {SCHEMA_ROW(model_config_tensor, INT64, dims), .shape = SCHEMA_MANY, .limit = SLIPWAY_RANK_MAX},
    {SCHEMA_ROW(model_config_tensor, MESSAGE, reshape), .message = &reshape},
    {SCHEMA_ROW(model_config_tensor, TEXT, label_filename)},
    {SCHEMA_ROW(model_config_tensor, BOOL, is_shape_tensor)},
    {SCHEMA_ROW(model_config_tensor, BOOL, is_non_linear_format_io)},
};
MESSAGE(output, model_config_tensor, "ModelOutput", output_fields);

static const struct schema_field latest_fields[] = {
    {SCHEMA_ROW(model_config_latest, UINT32, num_versions)},
};
MESSAGE(latest, model_config_latest, "ModelVersionPolicy.Latest", latest_fields);

static const struct schema_message all = {"ModelVersionPolicy.All", NULL, 0, 0};

static const struct schema_field specific_fields[] = {
    {SCHEMA_ROW(model_config_specific, INT64, versions), .shape = SCHEMA_MANY, .limit = 1000},
};
MESSAGE(specific, model_config_specific, "ModelVersionPolicy.Specific", specific_fields);

static const struct schema_field version_policy_fields[] = {
    {SCHEMA_ROW(model_config_version_policy, MESSAGE, latest), .message = &latest},
    {SCHEMA_ROW(model_config_version_policy, MESSAGE, all), .message = &all},
    {SCHEMA_ROW(model_config_version_policy, MESSAGE, specific), .message = &specific},
};
MESSAGE(version_policy, model_config_version_policy, "ModelVersionPolicy", version_policy_fields);

static const struct schema_field group_fields[] = {
    {SCHEMA_ROW(model_config_group, TEXT, name)},
    {SCHEMA_ROW(model_config_group, ENUM, kind), .choices = kinds},
    {SCHEMA_ROW(model_config_group, INT32, count)},
    {.name = "rate_limiter", .use = SCHEMA_UNUSED},
    {SCHEMA_ROW(model_config_group, INT32, gpus), .shape = SCHEMA_MANY, .limit = 64},
    {.name = "secondary_devices", .use = SCHEMA_UNUSED, .json = "[]"},
    {SCHEMA_ROW(model_config_group, TEXT, profile), .shape = SCHEMA_MANY, .limit = 64},
    {SCHEMA_ROW(model_config_group, BOOL, passive)},
    {SCHEMA_ROW(model_config_group, TEXT, host_policy)},
};
MESSAGE(group, model_config_group, "ModelInstanceGroup", group_fields);

static const struct schema_field queue_policy_fields[] = {
    {SCHEMA_ROW(model_config_queue_policy, ENUM, timeout_action), .choices = timeout_actions},
    {SCHEMA_ROW(model_config_queue_policy, UINT64, default_timeout_microseconds)},
    {SCHEMA_ROW(model_config_queue_policy, BOOL, allow_timeout_override)},
    {SCHEMA_ROW(model_config_queue_policy, UINT32, max_queue_size)},
};
MESSAGE(queue_policy, model_config_queue_policy, "ModelQueuePolicy", queue_policy_fields);

static const struct schema_field priority_fields[] = {
    {SCHEMA_ROW(model_config_priority_policy, UINT64, key)},
    {SCHEMA_ROW(model_config_priority_policy, INLINE, value), .message = &queue_policy},
};
MESSAGE(priority, model_config_priority_policy, "PriorityQueuePolicyEntry", priority_fields);

static const struct schema_field batching_fields[] = {
    {SCHEMA_ROW(model_config_batching, INT32, preferred_batch_size), .shape = SCHEMA_MANY,
     .limit = 1000},
    {SCHEMA_ROW(model_config_batching, UINT64, max_queue_delay_microseconds)},
    {SCHEMA_ROW(model_config_batching, BOOL, preserve_ordering)},
    {SCHEMA_ROW(model_config_batching, UINT64, priority_levels)},
    {SCHEMA_ROW(model_config_batching, UINT64, default_priority_level)},
    {SCHEMA_ROW(model_config_batching, MESSAGE, default_queue_policy), .message = &queue_policy},
    {SCHEMA_ROW(model_config_batching, INLINE, priority_queue_policy), .shape = SCHEMA_MAP,
     .limit = 1000, .message = &priority},
};
MESSAGE(batching, model_config_batching, "ModelDynamicBatching", batching_fields);

/* A parameter's message has one text: in C the text stands for it. */
static const struct schema_field parameter_value_fields[] = {
    {.name = "string_value", .kind = SCHEMA_TEXT, .offset = 0},
};
static const struct schema_message parameter_value = {"ModelParameter", parameter_value_fields, 1,
                                                      sizeof(const char *)};
static const struct schema_field parameter_fields[] = {
    {SCHEMA_ROW(model_config_parameter, TEXT, key)},
    {SCHEMA_ROW(model_config_parameter, INLINE, value), .message = &parameter_value},
};
MESSAGE(parameter, model_config_parameter, "ParametersEntry", parameter_fields);

static const struct schema_field warmup_input_fields[] = {
    {SCHEMA_ROW(model_config_warmup_input, ENUM, data_type), .choices = data_types},
    {SCHEMA_ROW(model_config_warmup_input, INT64, dims), .shape = SCHEMA_MANY,
     .limit = SLIPWAY_RANK_MAX},
    {SCHEMA_ROW(model_config_warmup_input, BOOL, zero_data), .one_of = true},
    {SCHEMA_ROW(model_config_warmup_input, BOOL, random_data), .one_of = true},
    {SCHEMA_ROW(model_config_warmup_input, TEXT, input_data_file), .one_of = true},
};
MESSAGE(warmup_input, model_config_warmup_input, "ModelWarmup.Input", warmup_input_fields);

static const struct schema_field warmup_entry_fields[] = {
    {SCHEMA_ROW(model_config_warmup_entry, TEXT, key)},
    {SCHEMA_ROW(model_config_warmup_entry, INLINE, value), .message = &warmup_input},
};
MESSAGE(warmup_entry, model_config_warmup_entry, "InputsEntry", warmup_entry_fields);

static const struct schema_field warmup_fields[] = {
    {SCHEMA_ROW(model_config_warmup, TEXT, name)},
    {SCHEMA_ROW(model_config_warmup, UINT32, batch_size)},
    {SCHEMA_ROW(model_config_warmup, INLINE, inputs), .shape = SCHEMA_MAP,
     .limit = SLIPWAY_TENSORS_MAX, .message = &warmup_entry},
    {SCHEMA_ROW(model_config_warmup, UINT32, count)},
};
MESSAGE(warmup, model_config_warmup, "ModelWarmup", warmup_fields);

static const struct schema_field transaction_fields[] = {
    {SCHEMA_ROW(model_config_transaction, BOOL, decoupled)},
};
MESSAGE(transaction, model_config_transaction, "ModelTransactionPolicy", transaction_fields);

static const struct schema_field cache_fields[] = {
    {SCHEMA_ROW(model_config_cache, BOOL, enable)},
};
MESSAGE(cache, model_config_cache, "ModelResponseCache", cache_fields);

static const struct schema_field budget_fields[] = {
    {.name = "latency_p50",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct model_config_budget, latency_p50_ns)},
    {.name = "latency_p99",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct model_config_budget, latency_p99_ns)},
    {.name = "memory",
     .kind = SCHEMA_SIZE,
     .offset = offsetof(struct model_config_budget, memory_bytes)},
    {.name = "load",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct model_config_budget, load_ns)},
};
MESSAGE(budget, model_config_budget, "slipway.budget", budget_fields);

static const struct schema_field record_fields[] = {
    {SCHEMA_ROW(model_config_record, ENUM, input), .choices = keeps},
    {SCHEMA_ROW(model_config_record, ENUM, output), .choices = keeps},
    {SCHEMA_ROW(model_config_record, SIZE, bytes_max)},
    {SCHEMA_ROW(model_config_record, TEXT, redact), .shape = SCHEMA_MANY,
     .limit = MODEL_CONFIG_REDACT_MAX},
};
MESSAGE(record, model_config_record, "slipway.record", record_fields);

static const struct schema_field slipway_fields[] = {
    {SCHEMA_ROW(model_config_slipway, ENUM, placement), .choices = placements},
    {SCHEMA_ROW(model_config_slipway, ENUM, nan), .choices = nan_policies},
    {SCHEMA_ROW(model_config_slipway, MESSAGE, budget), .message = &budget},
    {SCHEMA_ROW(model_config_slipway, MESSAGE, record), .message = &record},
};
MESSAGE(slipway, model_config_slipway, "slipway", slipway_fields);

#define OPTIMIZATION_DEFAULT                                                                       \
    "{\"priority\":\"PRIORITY_DEFAULT\",\"input_pinned_memory\":{\"enable\":true},"                \
    "\"output_pinned_memory\":{\"enable\":true},\"gather_kernel_buffer_threshold\":0,"             \
    "\"eager_batching\":false}"

static const struct schema_field model_fields[] = {
    {SCHEMA_ROW(model_config, TEXT, name)},
    {SCHEMA_ROW(model_config, TEXT, platform)},
    {SCHEMA_ROW(model_config, TEXT, backend)},
    {.name = "runtime", .use = SCHEMA_UNUSED, .json = "\"\""},
    {SCHEMA_ROW(model_config, MESSAGE, version_policy), .message = &version_policy},
    {SCHEMA_ROW(model_config, INT32, max_batch_size)},
    {SCHEMA_ROW(model_config, MESSAGE, input), .shape = SCHEMA_MANY, .limit = SLIPWAY_TENSORS_MAX,
     .message = &input},
    {SCHEMA_ROW(model_config, MESSAGE, output), .shape = SCHEMA_MANY, .limit = SLIPWAY_TENSORS_MAX,
     .message = &output},
    {.name = "batch_input", .use = SCHEMA_REFUSED, .json = "[]"},
    {.name = "batch_output", .use = SCHEMA_REFUSED, .json = "[]"},
    {.name = "optimization", .use = SCHEMA_UNUSED, .json = OPTIMIZATION_DEFAULT},
    {SCHEMA_ROW(model_config, MESSAGE, dynamic_batching), .message = &batching},
    {.name = "sequence_batching", .use = SCHEMA_REFUSED},
    {.name = "ensemble_scheduling", .use = SCHEMA_REFUSED},
    {SCHEMA_ROW(model_config, MESSAGE, instance_group), .shape = SCHEMA_MANY, .limit = 64,
     .message = &group},
    {SCHEMA_ROW(model_config, TEXT, default_model_filename)},
    {.name = "cc_model_filenames", .use = SCHEMA_UNUSED, .json = "{}"},
    {.name = "metric_tags", .use = SCHEMA_UNUSED, .json = "{}"},
    {SCHEMA_ROW(model_config, INLINE, parameters), .shape = SCHEMA_MAP, .limit = 1000,
     .message = &parameter},
    {SCHEMA_ROW(model_config, MESSAGE, model_warmup), .shape = SCHEMA_MANY, .limit = 1000,
     .message = &warmup},
    {.name = "model_operations", .use = SCHEMA_UNUSED},
    {SCHEMA_ROW(model_config, MESSAGE, model_transaction_policy), .message = &transaction},
    {.name = "model_repository_agents", .use = SCHEMA_UNUSED},
    {SCHEMA_ROW(model_config, MESSAGE, response_cache), .message = &cache},
    {.name = "model_metrics", .use = SCHEMA_UNUSED},
    {SCHEMA_ROW(model_config, MESSAGE, slipway), .use = SCHEMA_OURS, .message = &slipway},
};
const struct schema_message model_schema = {"ModelConfig", model_fields, COUNT_OF(model_fields),
                                            sizeof(struct model_config)};
