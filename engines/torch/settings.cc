/* The parameters, as a table. */
#include "settings.h"

#include "problem.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <strings.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

namespace shim
{

static constexpr int THREADS_MAX = 1024;

static bool boolean_of(const slipway_parameter &parameter)
{
    for (const char *text : {"true", "1", "on", "yes"})
        if (strcasecmp(parameter.value, text) == 0) return true;
    for (const char *text : {"false", "0", "off", "no"})
        if (strcasecmp(parameter.value, text) == 0) return false;
    refuse(SLIPWAY_INVALID_ARGUMENT, "parameter '%.60s' is '%.60s': true or false is allowed",
           parameter.key, parameter.value);
}

static int threads_of(const slipway_parameter &parameter)
{
    const char *end = parameter.value + strlen(parameter.value);
    int count = 0;
    auto read = std::from_chars(parameter.value, end, count);
    if (read.ec != std::errc() || read.ptr != end || count < 1 || count > THREADS_MAX)
        refuse(SLIPWAY_INVALID_ARGUMENT, "parameter '%.60s' is '%.60s': 1 to %d is allowed",
               parameter.key, parameter.value, THREADS_MAX);
    return count;
}

/* False if the name is unknown. */
static bool apply(Settings &settings, const slipway_parameter &parameter)
{
    auto is = [&](const char *name) { return strcasecmp(parameter.key, name) == 0; };
    if (is("INFERENCE_MODE"))
        settings.inference_mode = boolean_of(parameter);
    else if (is("DISABLE_OPTIMIZED_EXECUTION"))
        settings.optimized_execution = !boolean_of(parameter);
    else if (is("INTRA_OP_THREAD_COUNT"))
        settings.threads = threads_of(parameter);
    else if (is("FREEZE"))
        settings.freeze = boolean_of(parameter);
    else if (is("OPTIMIZE_FOR_INFERENCE"))
        settings.optimize_for_inference = boolean_of(parameter);
    else if (is("ENABLE_JIT_PROFILING"))
        torch::jit::getProfilingMode() = boolean_of(parameter);
    else if (is("ENABLE_JIT_EXECUTOR"))
        torch::jit::getExecutorMode() = boolean_of(parameter);
    else
        return false;
    return true;
}

Settings settings_of(const slipway_load_options &options, const slipway_host &host)
{
    Settings settings;
    if (options.threads > 0)
        settings.threads = static_cast<int>(
            std::min({options.threads, host.processor_count, uint32_t{THREADS_MAX}}));
    for (size_t i = 0; i < options.parameter_count; i++) {
        const slipway_parameter &parameter = options.parameters[i];
        if (apply(settings, parameter)) continue;
        char text[256];
        (void)snprintf(text, sizeof text, "model '%.60s': parameter '%.60s' = '%.60s' is ignored",
                       options.name, parameter.key, parameter.value);
        host.log(SLIPWAY_LOG_WARNING, "torch", text);
    }
    return settings;
}

} // namespace shim
