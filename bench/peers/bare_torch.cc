/*
 * libtorch without Slipway: what the torch engine is compared with.
 *
 *   bare_torch MODEL.pt f32|i64 DIM...
 *       the first answer and the end: time it from outside, in turns with engine_start
 *   bare_torch --engine ENGINE.so MODEL.pt f32|i64 DIM...
 *       calls, bare and through the engine in turns, in this process
 *
 * The calls are the least that libtorch allows: forward's function on a stack, inference mode, one
 * thread, a tensor that is a view of memory.
 */
#include <slipway/engine.h>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/ops/from_blob.h>
#include <algorithm>
#include <c10/core/InferenceMode.h>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <stdexcept>
#include <string>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>
#include <unistd.h>
#include <vector>

using Clock = std::chrono::steady_clock;

/* Calls a round: fewer of large inputs. */
static constexpr size_t CALLS = 20000, CALLS_MIN = 100;
static constexpr size_t BYTES_OF_FEWER = 400;
static constexpr int ROUNDS = 10;

static double us_between(Clock::time_point start, Clock::time_point end)
{
    return std::chrono::duration<double, std::micro>(end - start).count();
}

static double resident_mib()
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long total = 0, resident = 0;
    if (!file || fscanf(file, "%lu %lu", &total, &resident) != 2) resident = 0;
    if (file) fclose(file);
    return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1048576;
}

struct Input {
    at::ScalarType type;
    std::vector<int64_t> dims;
    std::vector<char> bytes;
};

static Input input_of(const char *type, char **dims, int count)
{
    Input input{strcmp(type, "i64") == 0 ? at::kLong : at::kFloat, {}, {}};
    int64_t elements = 1;
    for (int i = 0; i < count; i++) {
        input.dims.push_back(std::stoll(dims[i]));
        elements *= input.dims.back();
    }
    input.bytes.resize(static_cast<size_t>(elements) * c10::elementSize(input.type));
    return input;
}

class Bare
{
  public:
    Bare(const char *path, Input &input) : input_(input)
    {
        torch::jit::Module module = torch::jit::load(path, c10::Device(c10::kCPU));
        module.eval();
        module_ = torch::jit::freeze(module, {}, false);
        forward_ = &module_.get_method("forward").function();
    }

    void call()
    {
        c10::InferenceMode mode;
        stack_.clear();
        stack_.push_back(module_._ivalue());
        stack_.push_back(at::from_blob(input_.bytes.data(), input_.dims, input_.type));
        forward_->run(stack_);
        sink_ = stack_.back().toTensor().data_ptr();
    }

  private:
    Input &input_;
    torch::jit::Module module_;
    torch::jit::Function *forward_;
    torch::jit::Stack stack_;
    const void *volatile sink_ = nullptr;
};

class Engine
{
  public:
    Engine(const char *library, const char *path, Input &input)
    {
        void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
        if (!handle) throw std::runtime_error(dlerror());
        auto entry = reinterpret_cast<slipway_engine_entry_function *>(
            dlsym(handle, SLIPWAY_ENGINE_ENTRY_SYMBOL));
        static const slipway_host host = {sizeof host,
                                          SLIPWAY_ENGINE_ABI_VERSION,
                                          "bench",
                                          1,
                                          0,
                                          [](uint32_t, const char *, const char *message) { fprintf(stderr, "%s\n", message); }};
        table_ = entry(&host);
        slipway_load_options options{};
        options.struct_size = sizeof options;
        options.name = "bench";
        options.path = path;
        slipway_error error;
        slipway_model *model;
        if (table_->model_load(&options, &model, &error) != SLIPWAY_OK ||
            table_->instance_new(model, &instance_, &error) != SLIPWAY_OK)
            throw std::runtime_error(error.message);
        uint32_t dtype = input.type == at::kLong ? SLIPWAY_DTYPE_INT64 : SLIPWAY_DTYPE_FP32;
        tensor_ = {dtype, static_cast<uint32_t>(input.dims.size()), input.dims.data(),
                   input.bytes.data(), input.bytes.size()};
    }

    void call()
    {
        slipway_error error;
        slipway_result result{};
        result.struct_size = sizeof result;
        if (table_->execute(instance_, &tensor_, 1, nullptr, &result, &error) != SLIPWAY_OK)
            throw std::runtime_error(error.message);
        sink_ = result.tensors[0].data;
        table_->result_release(&result);
    }

  private:
    const slipway_engine *table_;
    slipway_instance *instance_ = nullptr;
    slipway_tensor tensor_{};
    const void *volatile sink_ = nullptr;
};

struct Quantiles {
    double p50, p99;
};

template <typename Callee> static Quantiles measure(Callee &callee, size_t calls)
{
    for (size_t i = 0; i < calls / 10; i++) callee.call();
    std::vector<double> times;
    times.reserve(calls);
    for (size_t i = 0; i < calls; i++) {
        auto start = Clock::now();
        callee.call();
        times.push_back(us_between(start, Clock::now()));
    }
    std::sort(times.begin(), times.end());
    return {times[calls / 2], times[calls / 100 * 99]};
}

static double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

int main(int count, char **arguments)
{
    const char *library = nullptr;
    if (count > 2 && strcmp(arguments[1], "--engine") == 0) {
        library = arguments[2];
        arguments += 2, count -= 2;
    }
    if (count < 4) {
        fprintf(stderr, "usage: bare_torch [--engine ENGINE.so] MODEL.pt f32|i64 DIM...\n");
        return 64;
    }
    try {
        at::set_num_threads(1);
        Input input = input_of(arguments[2], arguments + 3, count - 3);
        Bare bare(arguments[1], input);
        bare.call();
        if (!library) {
            printf("bare libtorch: first answer with %.1f MiB resident\n", resident_mib());
            fflush(stdout);
            _exit(0); // without the destructors of libtorch's statics, as the server ends
        }
        Engine engine(library, arguments[1], input);
        size_t calls = std::max(CALLS_MIN, CALLS / (1 + input.bytes.size() / BYTES_OF_FEWER));
        std::vector<double> bare_times, engine_times, overheads, ratios;
        for (int round = 0; round < ROUNDS; round++) {
            double of_bare = measure(bare, calls).p50, of_engine = measure(engine, calls).p50;
            bare_times.push_back(of_bare);
            engine_times.push_back(of_engine);
            overheads.push_back(of_engine - of_bare);
            ratios.push_back(of_engine / of_bare);
        }
        printf("p50: bare %.2f us, engine %.2f us, overhead %.2f us, ratio %.3f\n",
               median(bare_times), median(engine_times), median(overheads), median(ratios));
        return 0;
    } catch (const std::exception &problem) {
        fprintf(stderr, "%s\n", problem.what());
        return 1;
    }
}
