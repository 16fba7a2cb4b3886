/*
 * The engine's table: TorchScript models by libtorch, on the CPU. Each function of the table is the
 * edge between C and C++: it catches everything (problem.h).
 *
 * A model runs as the archive was saved, in eval mode, frozen where freezing works. Instances share
 * it; only a model that changes its own state takes turns, because libtorch does not guard that.
 */
#include "convert.h"
#include "library.h"
#include "memory.h"
#include "problem.h"
#include "settings.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <sys/stat.h>
#include <torch/csrc/api/include/torch/version.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/interpreter.h>
#include <torch/csrc/jit/serialization/import.h>

using namespace shim;
namespace prim = torch::jit::prim;

/* Read-only once loaded, but for the pool and what the module itself changes. */
struct slipway_model {
    torch::jit::Module module;
    torch::jit::GraphExecutor forward;
    Signature signature;
    Settings settings;
    std::vector<slipway_tensor_spec> inputs;
    std::vector<slipway_tensor_spec> outputs;
    uint64_t weight_bytes = 0;
    bool writes_inputs = true; /* forward may write to its arguments: they are copied */
    bool has_state = true;     /* forward may change the module: one call at a time */
    std::mutex state_lock;
    Pool pool;
};

struct slipway_instance {
    explicit slipway_instance(slipway_model *owner) : model(owner), inputs(owner->signature) {}

    slipway_model *model;
    Inputs inputs;
    torch::jit::Stack stack;
};

static const slipway_host *host;

static void log_line(uint32_t level, const std::string &message) noexcept
{
    host->log(level, "torch", message.c_str());
}

/* ---- Loading ---- */

static void check_file(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        refuse(errno == ENOENT || errno == ENOTDIR ? SLIPWAY_NOT_FOUND : SLIPWAY_PERMISSION_DENIED,
               "model file '%.300s': %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode)) refuse(SLIPWAY_INVALID_ARGUMENT, "'%.300s' is not a file", path);
}

/* True if the tensor's elements lie in its memory, which a hostile file may deny. */
static bool fits_its_memory(const at::Tensor &tensor)
{
    if (!tensor.defined() || tensor.layout() != at::kStrided || tensor.numel() == 0) return true;
    __int128 last = tensor.storage_offset();
    if (last < 0) return false;
    for (int64_t i = 0; i < tensor.dim(); i++) {
        if (tensor.size(i) < 0 || tensor.stride(i) < 0) return false;
        last += static_cast<__int128>(tensor.size(i) - 1) * tensor.stride(i);
    }
    return (last + 1) * static_cast<__int128>(tensor.itemsize()) <=
           static_cast<__int128>(tensor.storage().nbytes());
}

static void check_value(const c10::IValue &value, const char *path)
{
    bool fits = true;
    (void)value.visit([&](const c10::IValue &part) {
        if (part.isTensor() && !fits_its_memory(part.toTensor())) fits = false;
        return !fits;
    });
    if (!fits)
        refuse(SLIPWAY_INVALID_ARGUMENT, "'%.300s' is damaged: a tensor is larger than its data",
               path);
}

static void check_constants(const torch::jit::Block *block, const char *path)
{
    for (const torch::jit::Node *node : block->nodes()) {
        if (node->kind() == prim::Constant)
            if (auto value = torch::jit::toIValue(node->output())) check_value(*value, path);
        for (const torch::jit::Block *inner : node->blocks()) check_constants(inner, path);
    }
}

static torch::jit::Module read_module(const char *path)
{
    check_file(path);
    torch::jit::Module module = torch::jit::load(path, c10::Device(c10::kCPU));
    if (!module.find_method("forward"))
        refuse(SLIPWAY_INVALID_ARGUMENT, "'%.300s' has no method 'forward'", path);
    check_value(module._ivalue(), path);
    for (const torch::jit::Module &part : module.modules())
        for (const torch::jit::Method &method : part.get_methods())
            check_constants(method.graph()->block(), path);
    module.eval();
    return module;
}

/* Freezing cannot do every module; one that it cannot do runs as it is. */
static torch::jit::Module prepared(const torch::jit::Module &module, const Settings &settings,
                                   const char *name)
{
    if (!settings.freeze) return module;
    try {
        torch::jit::Module frozen = torch::jit::freeze(module, {}, settings.optimize_for_inference);
        return settings.optimize_for_inference ? torch::jit::optimize_for_inference(frozen)
                                               : frozen;
    } catch (const std::exception &problem) {
        log_line(SLIPWAY_LOG_INFO,
                 std::string("model '") + name + "' runs unfrozen: " + essence_of(problem.what()));
        return module;
    }
}

static uint64_t weight_bytes_of(const torch::jit::Module &module)
{
    std::set<const void *> seen;
    uint64_t total = 0;
    auto add = [&](const at::Tensor &tensor) {
        if (!tensor.defined() || tensor.layout() != at::kStrided) return;
        if (seen.insert(tensor.storage().unsafeGetStorageImpl()).second)
            total += tensor.storage().nbytes();
    };
    for (const at::Tensor &tensor : module.parameters()) add(tensor);
    for (const at::Tensor &tensor : module.buffers()) add(tensor);
    return total;
}

static bool changes_attributes(const torch::jit::Block *block, const torch::jit::AliasDb &aliases)
{
    for (const torch::jit::Node *node : block->nodes()) {
        if (node->kind() == prim::SetAttr) return true;
        if (node->kind() == prim::GetAttr && aliases.hasWriters(node->output())) return true;
        for (const torch::jit::Block *inner : node->blocks())
            if (changes_attributes(inner, aliases)) return true;
    }
    return false;
}

/* Finds out what forward writes to besides its own values; unknown is taken as "to everything". */
static void find_effects(slipway_model &model, const std::shared_ptr<torch::jit::Graph> &graph)
{
    try {
        torch::jit::AliasDb aliases(graph);
        model.writes_inputs = false;
        for (size_t i = 1; i < graph->inputs().size(); i++)
            if (aliases.hasWriters(graph->inputs()[i])) model.writes_inputs = true;
        model.has_state = changes_attributes(graph->block(), aliases);
    } catch (const std::exception &problem) {
        model.writes_inputs = model.has_state = true;
        log_line(SLIPWAY_LOG_DEBUG, essence_of(problem.what()));
    }
}

static void fill(slipway_model &model, const slipway_load_options &options)
{
    model.settings = settings_of(options, *host);
    raise_blas_threads(model.settings.threads);
    torch::jit::Module module = read_module(options.path);
    model.weight_bytes = weight_bytes_of(module);
    model.module = prepared(module, model.settings, options.name);
    auto &forward = torch::jit::toGraphFunction(model.module.get_method("forward").function());
    model.forward = forward.get_executor();

    std::shared_ptr<torch::jit::Graph> graph = forward.graph()->copy();
    torch::jit::Inline(*graph);
    // freezing keeps the graph's arguments but not their defaults
    const c10::FunctionSchema &schema = module.get_method("forward").function().getSchema();
    model.signature = signature_of(schema, *graph, options);
    if (graph->inputs().size() != model.signature.arguments.size() + 1)
        refuse(SLIPWAY_INVALID_ARGUMENT, "'%.300s' is damaged: 'forward' takes %zu values, not %zu",
               options.path, graph->inputs().size() - 1, model.signature.arguments.size());
    find_effects(model, graph);
    model.inputs = specs_of(model.signature.inputs);
    model.outputs = specs_of(model.signature.outputs);
}

static slipway_status model_load(const slipway_load_options *options, slipway_model **ret_model,
                                 slipway_error *error)
{
    return guarded(error, [&] {
        auto model = std::make_unique<slipway_model>();
        fill(*model, *options);
        *ret_model = model.release();
    });
}

static void model_info(const slipway_model *model, slipway_model_info *info)
{
    info->platform = "pytorch_torchscript";
    info->inputs = model->inputs.data();
    info->input_count = model->inputs.size();
    info->outputs = model->outputs.data();
    info->output_count = model->outputs.size();
    info->weight_bytes = model->weight_bytes;
}

static void model_unload(slipway_model *model)
{
    delete model;
}

static slipway_status instance_new(slipway_model *model, slipway_instance **ret_instance,
                                   slipway_error *error)
{
    return guarded(error, [&] { *ret_instance = new slipway_instance(model); });
}

static void instance_free(slipway_instance *instance)
{
    delete instance;
}

/* ---- Running ---- */

/* As Function::run, without its lock and its log: the plan for such arguments, and a run of it. */
static void run_plan(slipway_model &model, torch::jit::Stack &stack)
{
    torch::jit::InterpreterState(model.forward.getPlanFor(stack).code).run(stack);
}

/* Forward on the stack; returns its value. The arguments are let go of in any case. */
static c10::IValue run_forward(slipway_instance &instance, const slipway_tensor *inputs)
{
    slipway_model &model = *instance.model;
    torch::jit::Stack &stack = instance.stack;
    try {
        stack.clear();
        stack.push_back(model.module._ivalue());
        instance.inputs.push(inputs, model.writes_inputs, stack);
        run_plan(model, stack);
    } catch (...) {
        stack.clear();
        instance.inputs.detach();
        throw;
    }
    c10::IValue value = std::move(stack.back());
    stack.clear();
    instance.inputs.detach();
    return value;
}

static void run_locked(slipway_instance &instance, const slipway_tensor *inputs,
                       const uint8_t *wanted, Result &result)
{
    slipway_model &model = *instance.model;
    std::unique_lock<std::mutex> turn(model.state_lock, std::defer_lock);
    if (model.has_state) turn.lock();
    result.fill(model.signature, run_forward(instance, inputs), wanted, model.has_state);
}

static void run(slipway_instance &instance, const slipway_tensor *inputs, const uint8_t *wanted,
                Result &result)
{
    const Settings &settings = instance.model->settings;
    use_threads(settings.threads);
    torch::jit::GraphOptimizerEnabledGuard optimizer(settings.optimized_execution);
    if (settings.inference_mode) {
        c10::InferenceMode mode;
        run_locked(instance, inputs, wanted, result);
    } else {
        at::NoGradGuard mode;
        run_locked(instance, inputs, wanted, result);
    }
}

static slipway_status execute(slipway_instance *instance, const slipway_tensor *inputs,
                              size_t input_count, const uint8_t *wanted, slipway_result *ret_result,
                              slipway_error *error)
{
    slipway_model *model = instance->model;
    return guarded(error, [&] {
        if (input_count != model->inputs.size())
            refuse(SLIPWAY_INVALID_ARGUMENT, "%zu inputs, the model has %zu", input_count,
                   model->inputs.size());
        auto give_back = [&](Result *result) { model->pool.give(result); };
        std::unique_ptr<Result, decltype(give_back)> result(model->pool.take(), give_back);
        run(*instance, inputs, wanted, *result);
        ret_result->tensors = result->tensors().data();
        ret_result->tensor_count = result->tensors().size();
        result->owner = model;
        ret_result->handle = result.release();
    });
}

static void result_release(slipway_result *result)
{
    auto *own = static_cast<Result *>(result->handle);
    static_cast<slipway_model *>(own->owner)->pool.give(own);
}

/* ---- The table ---- */

static const slipway_engine table = {
    sizeof(slipway_engine),
    SLIPWAY_ENGINE_ABI_VERSION,
    "torch",
    "libtorch " TORCH_VERSION,
    model_load,
    model_info,
    model_unload,
    instance_new,
    instance_free,
    execute,
    result_release,
};

extern "C" __attribute__((visibility("default"))) const slipway_engine *
slipway_engine_entry(const slipway_host *given)
{
    host = given;
    try {
        at::set_num_interop_threads(1);
        keep_small_blocks();
        // one plan per model, made at its first call: no profiling runs, no recompiling later
        torch::jit::getProfilingMode() = false;
        std::string blas = reference_blas();
        if (!blas.empty())
            log_line(SLIPWAY_LOG_WARNING,
                     "BLAS is the unoptimised reference ('" + blas +
                         "'), matrix products take 10 to 30 times longer: install OpenBLAS "
                         "(Debian: libopenblas0-pthread or libopenblas0-serial)");
        return &table;
    } catch (const std::exception &problem) {
        log_line(SLIPWAY_LOG_ERROR, essence_of(problem.what()));
        return nullptr;
    }
}
