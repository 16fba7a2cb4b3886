/*
 * What `forward` takes and returns, as tensors of the protocol. TorchScript arguments are tensors,
 * numbers, strings, and lists, dicts and tuples of them; a model of the ABI has a flat list of
 * tensors. A Leaf is one such tensor; a Node says how leaves form a value.
 *
 *   forward(self, x: Tensor, pair: Tuple[Tensor, int], scale: float = 1.0)
 *     leaves  x  pair__0  pair__1  scale?
 *     nodes   leaf 0, tuple(leaf 1, leaf 2), leaf 3 or 1.0
 *
 * Names of inputs are the archive's own (arguments; ARGUMENT__n in a list or tuple, ARGUMENT__key
 * in a dict), unless the configuration gives others: each declared name stands for the leaf of that
 * name, else for leaf n if it ends in __n, else for the first leaf that is left. Outputs are called
 * by the keys of a dict, the fields of a named tuple, else OUTPUT__n, n counting leaves; the
 * configuration renames them by the same rule. How long a returned list is, and which keys a
 * returned dict has, is read off the code where it is constant, else the configuration must say.
 *
 * Built when a model is loaded, read-only afterwards. All functions throw.
 */
#ifndef SHIM_SIGNATURE_H
#define SHIM_SIGNATURE_H

#include <slipway/engine.h>

#include <ATen/core/function_schema.h>
#include <string>
#include <torch/csrc/jit/ir/ir.h>
#include <vector>

namespace shim
{

enum class Kind {
    tensor,
    integer,  /* int: INT64, one element */
    real,     /* float: FP64, one element */
    boolean,  /* bool */
    number,   /* int or float, as the tensor is */
    text,     /* str: BYTES, one element */
    integers, /* List[int]: INT64, rank 1 */
    reals,    /* List[float] */
    booleans, /* List[bool] */
    texts,    /* List[str] */
};

struct Leaf {
    std::string name;
    Kind kind = Kind::tensor;
    bool optional = false; /* input: may be left out; output: may be None */
    bool declared = false; /* named by the configuration */
    uint32_t dtype = SLIPWAY_DTYPE_ANY;
    int32_t rank = -1;
    std::vector<int64_t> dims;
};

enum class Form {
    leaf,
    list, /* of tensors */
    dict, /* of tensors by strings */
    tuple,
    nothing, /* None */
    constant /* an argument that no request can carry, and that has a default */
};

struct Node {
    Form form = Form::leaf;
    size_t leaf = 0;
    std::vector<Node> parts;
    std::vector<std::string> keys; /* of a dict, as its parts */
    bool has_substitute = false;
    c10::IValue substitute; /* of an argument that is left out */
};

struct Signature {
    std::vector<Node> arguments;
    std::vector<Leaf> inputs;
    Node result;
    std::vector<Leaf> outputs;
};

/* `graph` is forward's, everything inlined. */
Signature signature_of(const c10::FunctionSchema &schema, const torch::jit::Graph &graph,
                       const slipway_load_options &options);

} // namespace shim

#endif
