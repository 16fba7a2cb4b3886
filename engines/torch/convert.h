/*
 * Tensors of the ABI into values of TorchScript and back.
 *
 * Inputs are views of the caller's memory while forward runs. What still refers to that memory
 * afterwards -- an output that is its input, or a model that keeps one -- gets a copy before the
 * call returns (Inputs::detach), so nothing of ours ever points to what was borrowed.
 *
 * Outputs are views of libtorch's memory, kept alive by a Result until the server releases it.
 * Results are pooled: a call of a model that has run before allocates none of its own.
 */
#ifndef SHIM_CONVERT_H
#define SHIM_CONVERT_H

#include "signature.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/stack.h>
#include <mutex>

namespace shim
{

/* The inputs of one call at a time. Owned by an instance. */
class Inputs
{
  public:
    explicit Inputs(const Signature &signature)
        : signature_(signature), views_(signature.inputs.size())
    {
    }

    /* Pushes forward's arguments. `copy`: the model may write to them. Throws. */
    void push(const slipway_tensor *tensors, bool copy, torch::jit::Stack &stack);

    /*
     * After the run, on every path, and before the outputs are looked at: copies what is still
     * referred to. Throws if there is no memory for it.
     */
    void detach();

  private:
    c10::IValue value_of(const Node &node, const slipway_tensor *tensors, bool copy);
    c10::IValue leaf_of(size_t index, const slipway_tensor &tensor, bool copy);
    at::Tensor view_of(size_t index, const slipway_tensor &tensor, bool copy);
    at::Tensor borrow(size_t index, const slipway_tensor &tensor, at::ScalarType type);

    const Signature &signature_;
    std::vector<at::Tensor> views_; /* one per input; what nobody kept shows the next call's */
};

/* The outputs of one call. */
class Result
{
  public:
    /*
     * Fills in `tensors` from what forward returned; throws. Takes the value. `copy`: the model may
     * change its outputs later.
     */
    void fill(const Signature &signature, c10::IValue value, const uint8_t *wanted, bool copy);
    void clear();

    const std::vector<slipway_tensor> &tensors() const { return tensors_; }

    void *owner = nullptr; /* for whoever gives it back */

  private:
    union Scalar {
        int64_t integer;
        double real;
        bool boolean;
        slipway_bytes text;
    };

    void fill_node(const Signature &signature, const Node &node, const c10::IValue &value,
                   const uint8_t *wanted);
    void fill_dict(const Signature &signature, const Node &node, const c10::IValue &value,
                   const uint8_t *wanted);
    void fill_leaf(const Leaf &leaf, size_t index, const c10::IValue &value);
    void fill_tensor(const Leaf &leaf, size_t index, at::Tensor tensor);
    void fill_texts(size_t index, const c10::IValue &value);
    void fill_number(const Leaf &leaf, size_t index, const c10::IValue &value);
    void fill_scalar(const Leaf &leaf, size_t index, uint32_t dtype, size_t size);

    std::vector<slipway_tensor> tensors_;
    std::vector<Scalar> scalars_;
    std::vector<at::Tensor> kept_;
    std::vector<std::vector<slipway_bytes>> texts_;
    std::vector<int64_t> text_counts_;
    c10::IValue value_;
    bool copy_ = false;
};

/* Results at rest. Any thread. */
class Pool
{
  public:
    ~Pool();
    Result *take();
    /* Clears the result and keeps or frees it. */
    void give(Result *result) noexcept;

  private:
    static constexpr size_t COUNT_MAX = 64;

    std::mutex lock_;
    std::vector<Result *> resting_;
};

/* The specs of leaves, which they borrow. */
std::vector<slipway_tensor_spec> specs_of(const std::vector<Leaf> &leaves);

} // namespace shim

#endif
