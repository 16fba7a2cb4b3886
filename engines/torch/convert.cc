/* The element types are a table; the rest follows the signature's nodes. */
#include "convert.h"

#include "problem.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <ATen/ops/from_blob.h>
#include <cstring>
#include <memory>
#include <torch/csrc/api/include/torch/version.h>

namespace shim
{

#define LIBTORCH_AT_LEAST(major, minor)                                                            \
    (TORCH_VERSION_MAJOR > (major) ||                                                              \
     (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

/* ---- Element types ---- */

static const char *name_of(uint32_t dtype)
{
    switch (dtype) {
#define X(name, value, width)                                                                      \
    case value: return #name;
        SLIPWAY_DTYPE_TABLE(X)
#undef X
    default: return "an unknown type";
    }
}

/* False if libtorch has no such type. */
static bool scalar_type_of(uint32_t dtype, at::ScalarType *ret_type)
{
    switch (dtype) {
    case SLIPWAY_DTYPE_BOOL: *ret_type = at::kBool; return true;
    case SLIPWAY_DTYPE_UINT8: *ret_type = at::kByte; return true;
    case SLIPWAY_DTYPE_INT8: *ret_type = at::kChar; return true;
    case SLIPWAY_DTYPE_INT16: *ret_type = at::kShort; return true;
    case SLIPWAY_DTYPE_INT32: *ret_type = at::kInt; return true;
    case SLIPWAY_DTYPE_INT64: *ret_type = at::kLong; return true;
    case SLIPWAY_DTYPE_FP16: *ret_type = at::kHalf; return true;
    case SLIPWAY_DTYPE_BF16: *ret_type = at::kBFloat16; return true;
    case SLIPWAY_DTYPE_FP32: *ret_type = at::kFloat; return true;
    case SLIPWAY_DTYPE_FP64: *ret_type = at::kDouble; return true;
#if LIBTORCH_AT_LEAST(2, 3)
    case SLIPWAY_DTYPE_UINT16: *ret_type = at::ScalarType::UInt16; return true;
    case SLIPWAY_DTYPE_UINT32: *ret_type = at::ScalarType::UInt32; return true;
    case SLIPWAY_DTYPE_UINT64: *ret_type = at::ScalarType::UInt64; return true;
#endif
    default: return false;
    }
}

/* ANY if the protocol has no such type. */
static uint32_t dtype_of(at::ScalarType type)
{
    switch (type) {
    case at::kBool: return SLIPWAY_DTYPE_BOOL;
    case at::kByte: return SLIPWAY_DTYPE_UINT8;
    case at::kChar: return SLIPWAY_DTYPE_INT8;
    case at::kShort: return SLIPWAY_DTYPE_INT16;
    case at::kInt: return SLIPWAY_DTYPE_INT32;
    case at::kLong: return SLIPWAY_DTYPE_INT64;
    case at::kHalf: return SLIPWAY_DTYPE_FP16;
    case at::kBFloat16: return SLIPWAY_DTYPE_BF16;
    case at::kFloat: return SLIPWAY_DTYPE_FP32;
    case at::kDouble: return SLIPWAY_DTYPE_FP64;
#if LIBTORCH_AT_LEAST(2, 3)
    case at::ScalarType::UInt16: return SLIPWAY_DTYPE_UINT16;
    case at::ScalarType::UInt32: return SLIPWAY_DTYPE_UINT32;
    case at::ScalarType::UInt64: return SLIPWAY_DTYPE_UINT64;
#endif
    default: return SLIPWAY_DTYPE_ANY;
    }
}

/* ---- Inputs ---- */

/* Any other byte in a bool is undefined behaviour further on. */
static void check_bools(const Leaf &leaf, const slipway_tensor &tensor)
{
    const auto *bytes = static_cast<const uint8_t *>(tensor.data);
    uint8_t all = 0;
    for (uint64_t i = 0; i < tensor.byte_size; i++) all |= bytes[i];
    if (all > 1)
        refuse(SLIPWAY_INVALID_ARGUMENT, "input '%.100s': a BOOL element is neither 0 nor 1",
               leaf.name.c_str());
}

/* True if the view has the tensor's type and shape, and its elements where a new one has them. */
static bool suits(const at::Tensor &view, const slipway_tensor &tensor, at::ScalarType type)
{
    return view.defined() && view.scalar_type() == type &&
           view.sizes() == at::IntArrayRef(tensor.dims, tensor.rank) && view.is_contiguous() &&
           view.storage_offset() == 0;
}

/* The last call's view with this call's memory costs a fraction of a new one. */
at::Tensor Inputs::borrow(size_t index, const slipway_tensor &tensor, at::ScalarType type)
{
    at::Tensor &view = views_[index];
    if (suits(view, tensor, type))
        view.storage().set_data_ptr_noswap(at::DataPtr(tensor.data, at::kCPU));
    else
        view = at::for_blob(tensor.data, at::IntArrayRef(tensor.dims, tensor.rank))
                   .options(type)
                   .make_tensor();
    return view;
}

at::Tensor Inputs::view_of(size_t index, const slipway_tensor &tensor, bool copy)
{
    const Leaf &leaf = signature_.inputs[index];
    at::ScalarType type;
    if (!scalar_type_of(tensor.dtype, &type))
        refuse(SLIPWAY_INVALID_ARGUMENT,
               "input '%.100s' is %s, which this libtorch has no tensors of%s", leaf.name.c_str(),
               name_of(tensor.dtype),
               tensor.dtype == SLIPWAY_DTYPE_BYTES ? "" : "; send a signed or a wider type");
    if (tensor.dtype == SLIPWAY_DTYPE_BOOL) check_bools(leaf, tensor);
    at::IntArrayRef dims(tensor.dims, tensor.rank);
    if (tensor.byte_size == 0) return at::empty(dims, type);
    if (copy) return at::for_blob(tensor.data, dims).options(type).make_tensor().clone();
    return borrow(index, tensor, type);
}

static const slipway_bytes *strings_of(const Leaf &leaf, const slipway_tensor &tensor,
                                       size_t *ret_count)
{
    if (tensor.dtype != SLIPWAY_DTYPE_BYTES)
        refuse(SLIPWAY_INVALID_ARGUMENT, "input '%.100s' is %s, the model takes strings (BYTES)",
               leaf.name.c_str(), name_of(tensor.dtype));
    *ret_count = tensor.byte_size / sizeof(slipway_bytes);
    return static_cast<const slipway_bytes *>(tensor.data);
}

static std::string string_of(const slipway_bytes &bytes)
{
    return bytes.size ? std::string(bytes.data, bytes.size) : std::string();
}

static c10::IValue text_of(const Leaf &leaf, const slipway_tensor &tensor)
{
    size_t count;
    const slipway_bytes *strings = strings_of(leaf, tensor, &count);
    if (count != 1)
        refuse(SLIPWAY_INVALID_ARGUMENT, "input '%.100s' has %zu elements, the model takes one",
               leaf.name.c_str(), count);
    return string_of(strings[0]);
}

static c10::IValue texts_of(const Leaf &leaf, const slipway_tensor &tensor)
{
    size_t count;
    const slipway_bytes *strings = strings_of(leaf, tensor, &count);
    c10::List<std::string> list;
    list.reserve(count);
    for (size_t i = 0; i < count; i++) list.push_back(string_of(strings[i]));
    return list;
}

static at::Tensor one_element_of(const Leaf &leaf, at::Tensor tensor)
{
    if (tensor.numel() != 1)
        refuse(SLIPWAY_INVALID_ARGUMENT, "input '%.100s' has %lld elements, the model takes one",
               leaf.name.c_str(), static_cast<long long>(tensor.numel()));
    return tensor;
}

static c10::IValue scalar_of(const Leaf &leaf, const at::Tensor &tensor)
{
    bool whole = !tensor.is_floating_point();
    c10::Scalar scalar = one_element_of(leaf, tensor).item();
    switch (leaf.kind) {
    case Kind::boolean:
        if (tensor.scalar_type() == at::kBool) return scalar.toBool();
        refuse(SLIPWAY_INVALID_ARGUMENT, "input '%.100s' is no BOOL, the model takes a bool",
               leaf.name.c_str());
    case Kind::integer:
        if (whole) return scalar.toLong();
        refuse(SLIPWAY_INVALID_ARGUMENT, "input '%.100s' is no integer, the model takes an int",
               leaf.name.c_str());
    case Kind::real: return scalar.toDouble();
    default: return whole ? c10::IValue(scalar.toLong()) : c10::IValue(scalar.toDouble());
    }
}

/* `memory`: a contiguous tensor of the list's own type. */
template <typename Element> static c10::IValue list_of(const at::Tensor &memory)
{
    const auto *elements = memory.data_ptr<Element>();
    c10::List<Element> list;
    list.reserve(static_cast<size_t>(memory.numel()));
    for (int64_t i = 0; i < memory.numel(); i++) list.push_back(elements[i]);
    return list;
}

static c10::IValue numbers_of(const Leaf &leaf, const at::Tensor &tensor)
{
    bool fits =
        leaf.kind == Kind::reals || (leaf.kind == Kind::booleans ? tensor.scalar_type() == at::kBool
                                                                 : !tensor.is_floating_point());
    if (!fits)
        refuse(SLIPWAY_INVALID_ARGUMENT, "input '%.100s' has another type than the model's list",
               leaf.name.c_str());
    if (leaf.kind == Kind::reals) return list_of<double>(tensor.to(at::kDouble).contiguous());
    if (leaf.kind == Kind::booleans) return list_of<bool>(tensor);
    return list_of<int64_t>(tensor.to(at::kLong).contiguous());
}

c10::IValue Inputs::leaf_of(size_t index, const slipway_tensor &tensor, bool copy)
{
    const Leaf &leaf = signature_.inputs[index];
    switch (leaf.kind) {
    case Kind::tensor: return view_of(index, tensor, copy);
    case Kind::text: return text_of(leaf, tensor);
    case Kind::texts: return texts_of(leaf, tensor);
    case Kind::integers:
    case Kind::reals:
    case Kind::booleans: return numbers_of(leaf, view_of(index, tensor, false));
    default: return scalar_of(leaf, view_of(index, tensor, false));
    }
}

static const slipway_tensor absent = {SLIPWAY_DTYPE_ANY, 0, nullptr, nullptr, 0};

c10::IValue Inputs::value_of(const Node &node, const slipway_tensor *tensors, bool copy)
{
    switch (node.form) {
    case Form::leaf: {
        const slipway_tensor &tensor = tensors[node.leaf];
        if (tensor.dtype != absent.dtype) return leaf_of(node.leaf, tensor, copy);
        if (node.has_substitute) return node.substitute;
        refuse(SLIPWAY_INVALID_ARGUMENT, "input '%.100s' is missing",
               signature_.inputs[node.leaf].name.c_str());
    }
    case Form::list: {
        c10::List<at::Tensor> list;
        for (const Node &part : node.parts)
            list.push_back(value_of(part, tensors, copy).toTensor());
        return list;
    }
    case Form::dict: {
        c10::Dict<std::string, at::Tensor> dict;
        for (size_t i = 0; i < node.parts.size(); i++)
            dict.insert(node.keys[i], value_of(node.parts[i], tensors, copy).toTensor());
        return dict;
    }
    case Form::tuple: {
        std::vector<c10::IValue> parts;
        for (const Node &part : node.parts) parts.push_back(value_of(part, tensors, copy));
        return c10::ivalue::Tuple::create(std::move(parts));
    }
    case Form::nothing: return c10::IValue();
    case Form::constant: return node.substitute;
    }
    return c10::IValue();
}

void Inputs::push(const slipway_tensor *tensors, bool copy, torch::jit::Stack &stack)
{
    for (const Node &node : signature_.arguments) stack.push_back(value_of(node, tensors, copy));
}

/*
 * Whatever else refers to the caller's memory does so through the storage of our view: giving that
 * storage memory of its own mends all of it at once.
 */
static void give_own_memory(const c10::Storage &storage)
{
    at::DataPtr own = at::getCPUAllocator()->allocate(storage.nbytes());
    memcpy(own.get(), storage.data(), storage.nbytes());
    (void)storage.set_data_ptr(std::move(own));
}

void Inputs::detach()
{
    for (at::Tensor &view : views_) {
        if (!view.defined()) continue;
        if (view.use_count() == 1 && view.storage().use_count() == 1) {
            view.storage().set_data_ptr_noswap(at::DataPtr(nullptr, at::kCPU));
            continue;
        }
        give_own_memory(view.storage());
        view.reset();
    }
}

/* ---- Outputs ---- */

void Result::fill(const Signature &signature, c10::IValue value, const uint8_t *wanted, bool copy)
{
    copy_ = copy;
    size_t count = signature.outputs.size();
    tensors_.assign(count, absent);
    scalars_.resize(count);
    value_ = std::move(value); // texts are views of it
    fill_node(signature, signature.result, value_, wanted);
}

void Result::clear()
{
    kept_.clear();
    texts_.clear();
    text_counts_.clear();
    value_ = c10::IValue();
}

[[noreturn]] static void refuse_count(const char *what, size_t count, size_t expected)
{
    refuse(SLIPWAY_FAILED_PRECONDITION,
           "the model returned a %s of %zu elements, its code or configuration says %zu", what,
           count, expected);
}

void Result::fill_dict(const Signature &signature, const Node &node, const c10::IValue &value,
                       const uint8_t *wanted)
{
    auto dict = value.toGenericDict();
    for (size_t i = 0; i < node.parts.size(); i++) {
        auto found = dict.find(node.keys[i]);
        if (found == dict.end())
            refuse(SLIPWAY_FAILED_PRECONDITION,
                   "the model returned a dict without '%.100s', which its code or configuration "
                   "promises",
                   node.keys[i].c_str());
        fill_node(signature, node.parts[i], found->value(), wanted);
    }
}

void Result::fill_node(const Signature &signature, const Node &node, const c10::IValue &value,
                       const uint8_t *wanted)
{
    switch (node.form) {
    case Form::leaf:
        if (wanted && !wanted[node.leaf]) return;
        fill_leaf(signature.outputs[node.leaf], node.leaf, value);
        return;
    case Form::tuple: {
        const auto &parts = value.toTupleRef().elements();
        for (size_t i = 0; i < node.parts.size(); i++)
            fill_node(signature, node.parts[i], parts[i], wanted);
        return;
    }
    case Form::list: {
        auto list = value.toList(); // any list: those of tensors are no generic vector everywhere
        if (list.size() != node.parts.size()) refuse_count("list", list.size(), node.parts.size());
        for (size_t i = 0; i < node.parts.size(); i++)
            fill_node(signature, node.parts[i], list.get(i), wanted);
        return;
    }
    case Form::dict: fill_dict(signature, node, value, wanted); return;
    case Form::nothing:
    case Form::constant: return;
    }
}

/* Of rank 0, or of shape [1] if the configuration says so: not every client can send or read []. */
void Result::fill_scalar(const Leaf &leaf, size_t index, uint32_t dtype, size_t size)
{
    static const int64_t one = 1;
    uint32_t rank = leaf.rank == 1 ? 1 : 0;
    tensors_[index] = {dtype, rank, rank ? &one : nullptr, &scalars_[index], size};
}

void Result::fill_number(const Leaf &leaf, size_t index, const c10::IValue &value)
{
    Scalar &scalar = scalars_[index];
    uint32_t dtype = value.isInt()      ? SLIPWAY_DTYPE_INT64
                     : value.isDouble() ? SLIPWAY_DTYPE_FP64
                                        : SLIPWAY_DTYPE_BOOL;
    at::ScalarType declared;
    if (leaf.dtype != dtype && scalar_type_of(leaf.dtype, &declared)) {
        std::vector<int64_t> dims(leaf.rank == 1 ? 1 : 0, 1);
        fill_tensor(leaf, index, at::full(dims, value.toScalar(), declared));
    } else if (value.isInt()) {
        scalar.integer = value.toInt();
        fill_scalar(leaf, index, dtype, sizeof scalar.integer);
    } else if (value.isDouble()) {
        scalar.real = value.toDouble();
        fill_scalar(leaf, index, dtype, sizeof scalar.real);
    } else {
        scalar.boolean = value.toBool();
        fill_scalar(leaf, index, dtype, sizeof scalar.boolean);
    }
}

void Result::fill_texts(size_t index, const c10::IValue &value)
{
    auto list = value.toListRef();
    texts_.reserve(tensors_.size()); // the addresses inside stay
    text_counts_.reserve(tensors_.size());
    std::vector<slipway_bytes> views;
    views.reserve(list.size());
    for (const c10::IValue &text : list)
        views.push_back({text.toStringRef().data(), text.toStringRef().size()});
    texts_.push_back(std::move(views));
    text_counts_.push_back(static_cast<int64_t>(list.size()));
    tensors_[index] = {SLIPWAY_DTYPE_BYTES, 1, &text_counts_.back(), texts_.back().data(),
                       list.size() * sizeof(slipway_bytes)};
}

static at::Tensor tensor_of_list(const Leaf &leaf, const c10::IValue &value)
{
    if (leaf.kind == Kind::integers) return at::tensor(value.toIntVector());
    if (leaf.kind == Kind::reals) return at::tensor(value.toDoubleVector());
    auto list = value.toBoolList();
    at::Tensor tensor = at::empty({static_cast<int64_t>(list.size())}, at::kBool);
    for (size_t i = 0; i < list.size(); i++) tensor.data_ptr<bool>()[i] = list.get(i);
    return tensor;
}

void Result::fill_leaf(const Leaf &leaf, size_t index, const c10::IValue &value)
{
    if (value.isTensor() && value.toTensor().defined()) {
        fill_tensor(leaf, index, value.toTensor());
    } else if (value.isNone() || value.isTensor()) {
        uint32_t dtype =
            leaf.dtype == SLIPWAY_DTYPE_ANY ? uint32_t{SLIPWAY_DTYPE_FP32} : leaf.dtype;
        static const int64_t none = 0;
        tensors_[index] = {dtype, 1, &none, nullptr, 0};
    } else if (value.isInt() || value.isDouble() || value.isBool()) {
        fill_number(leaf, index, value);
    } else if (value.isString()) {
        slipway_bytes &text = scalars_[index].text;
        text = {value.toStringRef().data(), value.toStringRef().size()};
        fill_scalar(leaf, index, SLIPWAY_DTYPE_BYTES, sizeof text);
    } else if (leaf.kind == Kind::texts) {
        fill_texts(index, value);
    } else {
        fill_tensor(leaf, index, tensor_of_list(leaf, value));
    }
}

/* Dense, in this process' memory, and as it reads: what the protocol can carry. */
static at::Tensor plain(const Leaf &leaf, at::Tensor tensor, bool copy)
{
    if (tensor.layout() != at::kStrided || tensor.is_quantized())
        refuse(SLIPWAY_UNIMPLEMENTED,
               "output '%.100s' is sparse or quantized: let the model return a dense tensor",
               leaf.name.c_str());
    if (!tensor.device().is_cpu()) tensor = tensor.cpu();
    if (tensor.is_neg()) tensor = tensor.resolve_neg();
    return copy ? tensor.clone(at::MemoryFormat::Contiguous) : tensor.contiguous();
}

void Result::fill_tensor(const Leaf &leaf, size_t index, at::Tensor tensor)
{
    tensor = plain(leaf, std::move(tensor), copy_);
    uint32_t dtype = dtype_of(tensor.scalar_type());
    if (dtype == SLIPWAY_DTYPE_ANY)
        refuse(SLIPWAY_UNIMPLEMENTED,
               "output '%.100s' has elements of type %s, which no reply can carry",
               leaf.name.c_str(), c10::toString(tensor.scalar_type()));
    if (leaf.dtype != SLIPWAY_DTYPE_ANY && leaf.dtype != dtype)
        refuse(SLIPWAY_FAILED_PRECONDITION,
               "output '%.100s' is %s, but the configuration declares it as %s", leaf.name.c_str(),
               name_of(dtype), name_of(leaf.dtype));
    if (tensor.dim() > SLIPWAY_RANK_MAX)
        refuse(SLIPWAY_UNIMPLEMENTED, "output '%.100s' has rank %lld, at most %d can be carried",
               leaf.name.c_str(), static_cast<long long>(tensor.dim()), SLIPWAY_RANK_MAX);
    tensors_[index] = {dtype, static_cast<uint32_t>(tensor.dim()), tensor.sizes().data(),
                       tensor.numel() ? tensor.data_ptr() : nullptr, tensor.nbytes()};
    kept_.push_back(std::move(tensor));
}

/* ---- Pool ---- */

Pool::~Pool()
{
    for (Result *result : resting_) delete result;
}

Result *Pool::take()
{
    {
        std::lock_guard<std::mutex> locked(lock_);
        if (!resting_.empty()) {
            Result *result = resting_.back();
            resting_.pop_back();
            return result;
        }
    }
    return new Result;
}

void Pool::give(Result *result) noexcept
{
    std::unique_ptr<Result> owned(result);
    owned->clear();
    try {
        std::lock_guard<std::mutex> locked(lock_);
        if (resting_.size() == COUNT_MAX) return;
        resting_.reserve(COUNT_MAX);
        resting_.push_back(owned.get());
        (void)owned.release();
    } catch (...) { // then it is freed
    }
}

std::vector<slipway_tensor_spec> specs_of(const std::vector<Leaf> &leaves)
{
    std::vector<slipway_tensor_spec> specs;
    for (const Leaf &leaf : leaves)
        specs.push_back(
            {leaf.name.c_str(), leaf.dtype, leaf.optional ? 1U : 0U, leaf.rank, leaf.dims.data()});
    return specs;
}

} // namespace shim
