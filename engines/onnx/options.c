/*
 * One table row per parameter. The names are those of Triton's ONNX Runtime backend where it has
 * them, else the library's configuration keys. Keys that name files (profiles, dumps, other
 * directories) are not in the table on purpose: a model's configuration may not choose where we
 * write.
 */
#include "options.h"

#include <stdlib.h>
#include <string.h>

struct settings {
    uint32_t intra_threads, inter_threads;
    GraphOptimizationLevel optimization;
    ExecutionMode mode;
    bool uses_arena, uses_patterns;
};

/* ---- Values ---- */

static bool parse_count(const char *text, uint32_t *ret_count)
{
    uint32_t count = 0;
    if (!*text) return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || count > 100000) return false;
        count = count * 10 + (uint32_t)(*text - '0');
    }
    *ret_count = count;
    return true;
}

static bool parse_switch(const char *text, bool *ret_value)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"0", false}, {"1", true}, {"false", false}, {"true", true}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(text, words[i].text) == 0) {
            *ret_value = words[i].value;
            return true;
        }
    return false;
}

/* No more threads than the process was given processors. 0 is the engine's default, one. */
static bool set_threads(const char *value, uint32_t *threads)
{
    uint32_t count;
    if (!parse_count(value, &count)) return false;
    if (count > onnx_host->processor_count) count = onnx_host->processor_count;
    *threads = count > 0 ? count : 1;
    return true;
}

static bool set_intra_threads(struct settings *settings, const char *value)
{
    return set_threads(value, &settings->intra_threads);
}

static bool set_inter_threads(struct settings *settings, const char *value)
{
    return set_threads(value, &settings->inter_threads);
}

static bool set_mode(struct settings *settings, const char *value)
{
    bool parallel;
    if (!parse_switch(value, &parallel)) return false;
    settings->mode = parallel ? ORT_PARALLEL : ORT_SEQUENTIAL;
    return true;
}

static bool set_optimization(struct settings *settings, const char *value)
{
    static const struct {
        const char *text;
        GraphOptimizationLevel level;
    } levels[] = {{"0", ORT_DISABLE_ALL},     {"disable", ORT_DISABLE_ALL},
                  {"1", ORT_ENABLE_BASIC},    {"basic", ORT_ENABLE_BASIC},
                  {"2", ORT_ENABLE_EXTENDED}, {"extended", ORT_ENABLE_EXTENDED},
                  {"99", ORT_ENABLE_ALL},     {"all", ORT_ENABLE_ALL}};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(value, levels[i].text) == 0) {
            settings->optimization = levels[i].level;
            return true;
        }
    return false;
}

static bool set_arena(struct settings *settings, const char *value)
{
    return parse_switch(value, &settings->uses_arena);
}

static bool set_patterns(struct settings *settings, const char *value)
{
    return parse_switch(value, &settings->uses_patterns);
}

static const struct parameter_row {
    const char *key;
    bool (*set)(struct settings *settings, const char *value);
} parameter_rows[] = {
    {"intra_op_thread_count", set_intra_threads},
    {"inter_op_thread_count", set_inter_threads},
    {"execution_mode", set_mode},
    {"graph_optimization_level", set_optimization},
    {"enable_mem_arena", set_arena},
    {"enable_mem_pattern", set_patterns},
};

/* Configuration keys of the library that are passed on; all are switches, "0" or "1". */
static const char *const config_keys[] = {
    "session.set_denormal_as_zero",
    "session.disable_prepacking",
    "session.use_device_allocator_for_initializers",
    "session.intra_op.allow_spinning",
    "session.inter_op.allow_spinning",
    "session.disable_quant_qdq",
    "session.x64quantprecision",
};

static bool is_config_key(const char *key)
{
    for (size_t i = 0; i < sizeof config_keys / sizeof config_keys[0]; i++)
        if (strcmp(key, config_keys[i]) == 0) return true;
    return false;
}

/* ---- Applying ---- */

static enum slipway_status fail_value(const struct slipway_parameter *parameter,
                                      struct slipway_error *error)
{
    return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT, "parameter '%.100s' cannot be '%.100s'",
                     parameter->key, parameter->value);
}

static enum slipway_status apply_config_key(const struct slipway_parameter *parameter,
                                            OrtSessionOptions *options, struct slipway_error *error)
{
    bool value;
    if (!parse_switch(parameter->value, &value)) return fail_value(parameter, error);
    return onnx_check(ort->AddSessionConfigEntry(options, parameter->key, value ? "1" : "0"),
                      ONNX_LOADING, error);
}

static enum slipway_status apply_parameter(const char *model,
                                           const struct slipway_parameter *parameter,
                                           struct settings *settings, OrtSessionOptions *options,
                                           struct slipway_error *error)
{
    if (is_config_key(parameter->key)) return apply_config_key(parameter, options, error);
    for (size_t i = 0; i < sizeof parameter_rows / sizeof parameter_rows[0]; i++) {
        if (strcmp(parameter->key, parameter_rows[i].key) != 0) continue;
        if (!parameter_rows[i].set(settings, parameter->value)) return fail_value(parameter, error);
        return SLIPWAY_OK;
    }
    onnx_log(SLIPWAY_LOG_WARNING, "model '%.100s': parameter '%.100s' is not known and is ignored",
             model, parameter->key);
    return SLIPWAY_OK;
}

#define TRY_ORT(call) TRY_ONNX(onnx_check((call), ONNX_LOADING, error))

static enum slipway_status apply_settings(const struct settings *settings,
                                          OrtSessionOptions *options, struct slipway_error *error)
{
    TRY_ORT(ort->SetIntraOpNumThreads(options, (int)settings->intra_threads));
    TRY_ORT(ort->SetInterOpNumThreads(options, (int)settings->inter_threads));
    TRY_ORT(ort->SetSessionExecutionMode(options, settings->mode));
    TRY_ORT(ort->SetSessionGraphOptimizationLevel(options, settings->optimization));
    TRY_ORT(ort->DisableProfiling(options));
    if (!settings->uses_arena) TRY_ORT(ort->DisableCpuMemArena(options));
    if (!settings->uses_patterns) TRY_ORT(ort->DisableMemPattern(options));
    return SLIPWAY_OK;
}

enum slipway_status onnx_options_apply(const struct slipway_load_options *load,
                                       bool has_dynamic_input, OrtSessionOptions *options,
                                       struct slipway_error *error)
{
    struct settings settings = {.intra_threads = 1,
                                .inter_threads = 1,
                                .optimization = ORT_ENABLE_ALL,
                                .mode = ORT_SEQUENTIAL,
                                .uses_arena = true,
                                .uses_patterns = !has_dynamic_input};
    uint32_t most = onnx_host->processor_count;
    if (load->threads > 0) settings.intra_threads = load->threads < most ? load->threads : most;
    // The file was looked at as ONNX; the library must not take it for its own format.
    TRY_ORT(ort->AddSessionConfigEntry(options, "session.load_model_format", "ONNX"));
    TRY_ORT(ort->AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"));
    TRY_ORT(ort->AddSessionConfigEntry(options, "session.inter_op.allow_spinning", "0"));
    for (size_t i = 0; i < load->parameter_count; i++)
        TRY_ONNX(apply_parameter(load->name, &load->parameters[i], &settings, options, error));
    return apply_settings(&settings, options, error);
}
