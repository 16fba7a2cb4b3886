/* From types to leaves and nodes. Containers may stand in one another up to DEPTH_MAX. */
#include "signature.h"

#include "problem.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <set>
#include <torch/csrc/jit/ir/constants.h>

namespace shim
{

using c10::TypeKind;
using c10::TypePtr;
using torch::jit::Graph;
using torch::jit::Value;
namespace prim = torch::jit::prim;
namespace aten = torch::jit::aten;

static constexpr int DEPTH_MAX = 3;

/* ---- Types ---- */

static bool list_kind(const TypePtr &element, Kind *ret_kind)
{
    switch (element->kind()) {
    case TypeKind::IntType: *ret_kind = Kind::integers; return true;
    case TypeKind::FloatType: *ret_kind = Kind::reals; return true;
    case TypeKind::BoolType: *ret_kind = Kind::booleans; return true;
    case TypeKind::StringType: *ret_kind = Kind::texts; return true;
    default: return false;
    }
}

/* The kind of a type that is one tensor of the protocol; false if it is not. */
static bool leaf_kind(const TypePtr &type, Kind *ret_kind)
{
    switch (type->kind()) {
    case TypeKind::TensorType: *ret_kind = Kind::tensor; return true;
    case TypeKind::IntType: *ret_kind = Kind::integer; return true;
    case TypeKind::FloatType: *ret_kind = Kind::real; return true;
    case TypeKind::BoolType: *ret_kind = Kind::boolean; return true;
    case TypeKind::NumberType: *ret_kind = Kind::number; return true;
    case TypeKind::StringType: *ret_kind = Kind::text; return true;
    case TypeKind::ListType:
        return list_kind(type->castRaw<c10::ListType>()->getElementType(), ret_kind);
    default: return false;
    }
}

static uint32_t dtype_of(Kind kind)
{
    switch (kind) {
    case Kind::tensor:
    case Kind::number: return SLIPWAY_DTYPE_ANY;
    case Kind::integer:
    case Kind::integers: return SLIPWAY_DTYPE_INT64;
    case Kind::real:
    case Kind::reals: return SLIPWAY_DTYPE_FP64;
    case Kind::boolean:
    case Kind::booleans: return SLIPWAY_DTYPE_BOOL;
    case Kind::text:
    case Kind::texts: return SLIPWAY_DTYPE_BYTES;
    }
    return SLIPWAY_DTYPE_ANY;
}

static int32_t rank_of(Kind kind)
{
    switch (kind) {
    case Kind::tensor: return -1;
    case Kind::integers:
    case Kind::reals:
    case Kind::booleans:
    case Kind::texts: return 1;
    default: return 0;
    }
}

static size_t add_leaf(std::vector<Leaf> &leaves, std::string name, Kind kind, bool optional)
{
    if (leaves.size() == SLIPWAY_TENSORS_MAX)
        refuse(SLIPWAY_INVALID_ARGUMENT, "the model has more than %d inputs or outputs",
               SLIPWAY_TENSORS_MAX);
    Leaf leaf;
    leaf.name = std::move(name);
    leaf.kind = kind;
    leaf.optional = optional;
    leaf.dtype = dtype_of(kind);
    leaf.rank = rank_of(kind);
    leaf.dims.assign(leaf.rank == 1 ? 1 : 0, -1);
    leaves.push_back(std::move(leaf));
    return leaves.size() - 1;
}

/* Optional[T] is T; Optional[None] cannot be. */
static TypePtr without_optional(const TypePtr &type, bool *ret_optional)
{
    auto optional = type->cast<c10::OptionalType>();
    *ret_optional = optional != nullptr;
    return optional ? optional->getElementType() : type;
}

static bool is_tensor(const TypePtr &type)
{
    return type->kind() == TypeKind::TensorType;
}

/* ---- Names that the configuration declares ---- */

static bool number_at_end(const std::string &name, size_t *ret_number)
{
    size_t place = name.rfind("__");
    if (place == std::string::npos || place + 2 == name.size() || name.size() - place > 8)
        return false;
    size_t number = 0;
    for (size_t i = place + 2; i < name.size(); i++) {
        if (!isdigit(static_cast<unsigned char>(name[i]))) return false;
        number = number * 10 + static_cast<size_t>(name[i] - '0');
    }
    *ret_number = number;
    return true;
}

static void declare(Leaf &leaf, const slipway_tensor_spec &spec)
{
    bool leaf_is_text = leaf.kind == Kind::text || leaf.kind == Kind::texts;
    bool leaf_is_typed = leaf.kind != Kind::tensor && leaf.kind != Kind::number;
    bool spec_is_text = spec.dtype == SLIPWAY_DTYPE_BYTES;
    if (spec.dtype != SLIPWAY_DTYPE_ANY && spec_is_text != leaf_is_text)
        refuse(SLIPWAY_FAILED_PRECONDITION,
               "the configuration declares '%.100s' as %s, but the model's '%.100s' is %s",
               spec.name, spec_is_text ? "strings" : "numbers", leaf.name.c_str(),
               leaf_is_text ? "a string" : (leaf_is_typed ? "a number" : "a tensor"));
    leaf.name = spec.name;
    leaf.declared = true;
    if (spec.dtype != SLIPWAY_DTYPE_ANY) leaf.dtype = spec.dtype;
    leaf.optional = leaf.optional || spec.optional;
    if (spec.rank < 0) return;
    leaf.rank = spec.rank;
    leaf.dims.assign(spec.dims, spec.dims + spec.rank);
}

static void declare_all(std::vector<Leaf> &leaves, const slipway_tensor_spec *specs, size_t count,
                        const char *what)
{
    if (count > leaves.size())
        refuse(SLIPWAY_FAILED_PRECONDITION, "the configuration declares %zu %ss, the model has %zu",
               count, what, leaves.size());
    std::vector<Leaf *> found(count, nullptr);
    auto take = [&](size_t i, Leaf *leaf) {
        if (std::find(found.begin(), found.end(), leaf) == found.end()) found[i] = leaf;
    };
    for (size_t i = 0; i < count; i++)
        for (Leaf &leaf : leaves)
            if (leaf.name == specs[i].name) take(i, &leaf);
    for (size_t i = 0; i < count; i++) {
        size_t number;
        if (!found[i] && number_at_end(specs[i].name, &number) && number < leaves.size())
            take(i, &leaves[number]);
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; !found[i] && j < leaves.size(); j++) take(i, &leaves[j]);
    for (size_t i = 0; i < count; i++) declare(*found[i], specs[i]);
}

static void check_names(const std::vector<Leaf> &leaves, const char *what)
{
    std::set<std::string> names;
    for (const Leaf &leaf : leaves)
        if (leaf.name.empty() || !names.insert(leaf.name).second)
            refuse(SLIPWAY_FAILED_PRECONDITION,
                   "two %ss would be called '%.200s': give them names in the configuration", what,
                   leaf.name.c_str());
}

/* ---- Inputs ---- */

namespace
{

class InputReader
{
  public:
    InputReader(Signature &signature, const slipway_load_options &options)
        : signature_(signature), options_(options)
    {
    }

    void read(const c10::FunctionSchema &schema)
    {
        for (size_t i = 1; i < schema.arguments().size(); i++)
            arguments_.insert(schema.arguments()[i].name());
        for (size_t i = 1; i < schema.arguments().size(); i++)
            signature_.arguments.push_back(argument(schema.arguments()[i]));
        declare_all(signature_.inputs, options_.inputs, options_.input_count, "input");
        check_names(signature_.inputs, "input");
    }

  private:
    Node argument(const c10::Argument &argument)
    {
        bool optional;
        TypePtr type = without_optional(argument.type(), &optional);
        Node node;
        node.has_substitute = optional || argument.default_value().has_value();
        if (argument.default_value()) node.substitute = *argument.default_value();
        if (build(node, type, argument.name(), 0)) return node;
        if (!node.has_substitute)
            refuse(SLIPWAY_INVALID_ARGUMENT,
                   "forward's argument '%.100s' has type %.100s, which a request cannot carry; "
                   "tensors, numbers, strings, and lists, tuples and dicts of tensors can be",
                   argument.name().c_str(), type->repr_str().c_str());
        node.form = Form::constant;
        return node;
    }

    /* False if a request cannot carry it. Adds leaves only on success. */
    bool build(Node &node, const TypePtr &type, const std::string &name, int depth)
    {
        Kind kind;
        if (leaf_kind(type, &kind)) {
            node.form = Form::leaf;
            node.leaf = add_leaf(signature_.inputs, name, kind, node.has_substitute);
            return true;
        }
        if (node.has_substitute || depth == DEPTH_MAX) return false;
        if (auto list = type->cast<c10::ListType>())
            return is_tensor(list->getElementType()) && build_declared(node, Form::list, name);
        if (auto dict = type->cast<c10::DictType>())
            return dict->getKeyType()->kind() == TypeKind::StringType &&
                   is_tensor(dict->getValueType()) && build_declared(node, Form::dict, name);
        if (auto tuple = type->cast<c10::TupleType>())
            return build_tuple(node, *tuple, name, depth);
        return false;
    }

    bool build_tuple(Node &node, const c10::TupleType &tuple, const std::string &name, int depth)
    {
        // a tuple with a schema is an object of a class of its own, which only forward can make
        if (tuple.schema()) return false;
        node.form = Form::tuple;
        for (size_t i = 0; i < tuple.elements().size(); i++) {
            bool optional;
            TypePtr element = without_optional(tuple.elements()[i], &optional);
            Node part;
            part.has_substitute = optional;
            if (!build(part, element, name + "__" + std::to_string(i), depth + 1)) return false;
            node.parts.push_back(std::move(part));
        }
        return true;
    }

    /* The names that the configuration declares and that belong to no plain argument. */
    bool build_declared(Node &node, Form form, const std::string &name)
    {
        node.form = form;
        const std::string prefix = name + "__";
        for (size_t i = 0; i < options_.input_count; i++) {
            std::string declared = options_.inputs[i].name;
            if (arguments_.count(declared)) continue;
            bool mine = declared.compare(0, prefix.size(), prefix) == 0;
            if (!mine && arguments_.size() > 1) continue;
            node.keys.push_back(mine ? declared.substr(prefix.size()) : declared);
            Node part;
            part.leaf = add_leaf(signature_.inputs, declared, Kind::tensor, false);
            node.parts.push_back(std::move(part));
        }
        if (node.parts.empty())
            refuse(SLIPWAY_FAILED_PRECONDITION,
                   "forward's argument '%.100s' is a %s of tensors: declare its elements in the "
                   "configuration as inputs '%.100s__%s'",
                   name.c_str(), form == Form::list ? "list" : "dict", name.c_str(),
                   form == Form::list ? "0', '..." : "KEY");
        return true;
    }

    Signature &signature_;
    const slipway_load_options &options_;
    std::set<std::string> arguments_;
};

} // namespace

/* ---- What the code says of lists and dicts ---- */

static std::optional<std::string> constant_text(const Value *value)
{
    auto constant = torch::jit::toIValue(value);
    if (!constant || !constant->isString()) return std::nullopt;
    return constant->toStringRef();
}

/* True for a use that cannot change how long a container is. */
static bool leaves_alone(const torch::jit::Use &use)
{
    const torch::jit::Node *node = use.user;
    if (node->kind() == prim::Return || node->kind() == prim::TupleConstruct ||
        node->kind() == prim::ListConstruct || node->kind() == prim::DictConstruct)
        return true;
    const auto *schema = node->maybeSchema();
    return schema && !schema->is_mutable() && node->blocks().empty();
}

/* True if every use of the container is harmless, or adds one element, always. */
template <typename Adds>
static bool grows_by_constants(const Value *value, torch::jit::Symbol add, Adds adds)
{
    for (const torch::jit::Use &use : value->uses()) {
        bool in_line = use.user->owningBlock() == value->node()->owningBlock();
        if (use.user->kind() == add && use.offset == 0 && in_line) {
            if (!adds(use.user)) return false;
        } else if (!leaves_alone(use)) {
            return false;
        }
    }
    return true;
}

/* False, and *ret_size untouched, if the code does not fix it. */
static bool list_size(const Value *value, size_t *ret_size)
{
    auto constant = torch::jit::toIValue(value);
    if (constant && !constant->isList()) return false;
    if (constant) {
        *ret_size = constant->toListRef().size();
        return true;
    }
    if (value->node()->kind() != prim::ListConstruct) return false;
    size_t size = value->node()->inputs().size();
    auto adds = [&](const torch::jit::Node *) {
        size++;
        return true;
    };
    if (!grows_by_constants(value, aten::append, adds)) return false;
    *ret_size = size;
    return true;
}

static bool add_key(std::vector<std::string> &keys, const Value *key)
{
    auto text = constant_text(key);
    if (!text) return false;
    if (std::find(keys.begin(), keys.end(), *text) == keys.end()) keys.push_back(*text);
    return true;
}

static std::optional<std::vector<std::string>> dict_keys(const Value *value)
{
    if (value->node()->kind() != prim::DictConstruct) return std::nullopt;
    std::vector<std::string> keys;
    auto inputs = value->node()->inputs();
    for (size_t i = 0; i + 1 < inputs.size(); i += 2)
        if (!add_key(keys, inputs[i])) return std::nullopt;
    auto adds = [&](const torch::jit::Node *node) { return add_key(keys, node->inputs()[1]); };
    if (!grows_by_constants(value, aten::_set_item, adds)) return std::nullopt;
    return keys;
}

/* ---- Outputs ---- */

namespace
{

class OutputReader
{
  public:
    OutputReader(Signature &signature, const slipway_load_options &options)
        : signature_(signature), options_(options)
    {
    }

    void read(const c10::FunctionSchema &schema, const Graph &graph)
    {
        if (schema.returns().size() != 1 || graph.outputs().size() != 1)
            refuse(SLIPWAY_INVALID_ARGUMENT, "forward returns nothing");
        const TypePtr &type = schema.returns()[0].type();
        signature_.result = build(type, graph.outputs()[0], "", 0);
        if (unknown_count_ > 0) {
            // once more, with the elements that the configuration adds
            size_t known = signature_.outputs.size();
            if (unknown_count_ > 1 || options_.output_count <= known) refuse_unknown();
            unknown_size_ = options_.output_count - known;
            signature_.outputs.clear();
            signature_.result = build(type, graph.outputs()[0], "", 0);
        }
        if (signature_.outputs.empty())
            refuse(SLIPWAY_INVALID_ARGUMENT, "forward returns no tensor");
        declare_all(signature_.outputs, options_.outputs, options_.output_count, "output");
        check_names(signature_.outputs, "output");
    }

  private:
    [[noreturn]] void refuse_unknown()
    {
        refuse(SLIPWAY_FAILED_PRECONDITION,
               "forward returns a list or dict whose size its code does not fix: declare all "
               "outputs in the configuration");
    }

    size_t leaf(const std::string &name, Kind kind, bool optional)
    {
        std::string own = name;
        if (own.empty()) own = "OUTPUT__" + std::to_string(signature_.outputs.size());
        return add_leaf(signature_.outputs, own, kind, optional);
    }

    /* `value` may be NULL: then the code tells nothing. */
    Node build(const TypePtr &declared, const Value *value, const std::string &name, int depth)
    {
        bool optional;
        TypePtr type = without_optional(declared, &optional);
        Node node;
        Kind kind;
        if (leaf_kind(type, &kind)) {
            node.leaf = leaf(name, kind, optional);
            return node;
        }
        if (type->kind() == TypeKind::NoneType) {
            node.form = Form::nothing;
            return node;
        }
        bool done =
            depth < DEPTH_MAX && !optional && build_container(node, type, value, name, depth);
        if (!done)
            refuse(SLIPWAY_INVALID_ARGUMENT,
                   "forward returns %.200s, which a reply cannot carry; tensors, numbers, strings, "
                   "and lists, tuples and dicts of tensors can be",
                   declared->repr_str().c_str());
        return node;
    }

    bool build_container(Node &node, const TypePtr &type, const Value *value,
                         const std::string &name, int depth)
    {
        if (auto tuple = type->cast<c10::TupleType>()) {
            build_tuple(node, *tuple, value, name, depth);
            return true;
        }
        if (auto list = type->cast<c10::ListType>()) {
            build_list(node, list->getElementType(), value, name, depth);
            return true;
        }
        auto dict = type->cast<c10::DictType>();
        if (!dict || dict->getKeyType()->kind() != TypeKind::StringType) return false;
        build_dict(node, dict->getValueType(), value, name, depth);
        return true;
    }

    void build_tuple(Node &node, const c10::TupleType &tuple, const Value *value,
                     const std::string &name, int depth)
    {
        node.form = Form::tuple;
        bool constructed = value && value->node()->kind() == prim::TupleConstruct;
        for (size_t i = 0; i < tuple.elements().size(); i++) {
            std::string own = part_name(name, i);
            if (tuple.schema()) own = prefixed(name, tuple.schema()->arguments()[i].name());
            const Value *part = constructed ? value->node()->inputs()[i] : nullptr;
            node.parts.push_back(build(tuple.elements()[i], part, own, depth + 1));
        }
    }

    void build_list(Node &node, const TypePtr &element, const Value *value, const std::string &name,
                    int depth)
    {
        node.form = Form::list;
        size_t size = unknown_size_;
        if (!value || !list_size(value, &size)) unknown_count_++;
        if (size > SLIPWAY_TENSORS_MAX) refuse_unknown();
        for (size_t i = 0; i < size; i++)
            node.parts.push_back(build(element, nullptr, part_name(name, i), depth + 1));
    }

    void build_dict(Node &node, const TypePtr &element, const Value *value, const std::string &name,
                    int depth)
    {
        node.form = Form::dict;
        auto keys = value ? dict_keys(value) : std::nullopt;
        if (keys) node.keys = *keys;
        if (!keys) unknown_count_++;
        // the declared names that follow those of the leaves before are its keys
        for (size_t i = 0; !keys && i < unknown_size_; i++)
            node.keys.push_back(options_.outputs[signature_.outputs.size() + i].name);
        for (const std::string &key : node.keys)
            node.parts.push_back(build(element, nullptr, prefixed(name, key), depth + 1));
    }

    /* At the top level parts are OUTPUT__n; inside what has a name, NAME__n. */
    static std::string part_name(const std::string &name, size_t number)
    {
        return name.empty() ? "" : name + "__" + std::to_string(number);
    }

    static std::string prefixed(const std::string &name, const std::string &key)
    {
        return name.empty() ? key : name + "__" + key;
    }

    Signature &signature_;
    const slipway_load_options &options_;
    size_t unknown_count_ = 0;
    size_t unknown_size_ = 0;
};

} // namespace

Signature signature_of(const c10::FunctionSchema &schema, const Graph &graph,
                       const slipway_load_options &options)
{
    Signature signature;
    InputReader(signature, options).read(schema);
    OutputReader(signature, options).read(schema, graph);
    return signature;
}

} // namespace shim
