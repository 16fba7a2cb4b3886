#!/usr/bin/env python3
"""Writes the models that the engine tests load: make_models.py DIRECTORY

ONNX files are protobuf messages; the few fields needed are encoded here by hand, so that the tests
need nothing but Python. Field numbers are those of onnx.proto3. The output is the same each time.
"""
import os
import struct
import sys

DTYPES = {  # name of the protocol -> TensorProto.DataType
    "FP32": 1, "UINT8": 2, "INT8": 3, "UINT16": 4, "INT16": 5, "INT32": 6, "INT64": 7, "BYTES": 8,
    "BOOL": 9, "FP16": 10, "FP64": 11, "UINT32": 12, "UINT64": 13, "COMPLEX64": 14, "BF16": 16,
}


# ---- Protobuf ----

def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7f:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def integer(field, number):
    return varint(field << 3) + varint(number)


def message(field, *parts):
    body = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


# ---- ONNX ----

def tensor_type(dtype, dims):
    """TypeProto: dims None for no shape; a dimension is a number, or a name for a variable one."""
    parts = [integer(1, DTYPES[dtype])]
    if dims is not None:
        parts.append(message(2, *[
            message(1, integer(1, dim) if isinstance(dim, int) else message(2, dim))
            for dim in dims]))
    return message(1, *parts)


def value(field, name, dtype, dims):
    return message(field, message(1, name), message(2, tensor_type(dtype, dims)))


def sequence_value(field, name, dtype):
    return message(field, message(1, name), message(2, message(4, message(1, tensor_type(dtype, None)))))


def node(operator, inputs, outputs, *attributes):
    return message(1, *[message(1, name) for name in inputs], *[message(2, name) for name in outputs],
                   message(4, operator), *attributes)


def attribute_int(name, number):
    return message(5, message(1, name), integer(3, number), integer(20, 2))


def attribute_tensor(name, *parts):
    return message(5, message(1, name), message(5, *parts), integer(20, 4))


def tensor(dtype, dims, raw, name=""):
    return [*[integer(1, dim) for dim in dims], integer(2, DTYPES[dtype]), message(8, name),
            message(9, raw)]


def external_tensor(dtype, dims, name, location, offset=None):
    entries = [("location", location)] + ([("offset", str(offset))] if offset is not None else [])
    return [*[integer(1, dim) for dim in dims], integer(2, DTYPES[dtype]), message(8, name),
            *[message(13, message(1, key), message(2, text)) for key, text in entries],
            integer(14, 1)]


def model(*graph, opset=17, ir_version=8):
    return (integer(1, ir_version) + message(2, "slipway-tests") +
            message(7, message(2, "graph"), *graph) + message(8, message(1, ""), integer(2, opset)))


def floats(*numbers):
    return struct.pack("<%df" % len(numbers), *numbers)


def int64s(*numbers):
    return struct.pack("<%dq" % len(numbers), *numbers)


# ---- The models; what each is for stands in the tests that load it ----

def identity(dtype, dims):
    return model(node("Identity", ["x"], ["y"]), value(11, "x", dtype, dims),
                 value(12, "y", dtype, dims))


def doubleit():
    return model(message(5, *tensor("INT64", [], int64s(2), "two")),
                 node("Mul", ["x", "two"], ["y"]),
                 value(11, "x", "INT64", [5]), value(12, "y", "INT64", [5]))


def add_one(dims):
    return model(message(5, *tensor("FP32", [], floats(1), "one")),
                 node("Add", ["x", "one"], ["y"]),
                 value(11, "x", "FP32", dims), value(12, "y", "FP32", dims))


def optional():
    """The initialiser `scale` is listed as an input too: it may be given instead."""
    return model(message(5, *tensor("FP32", [1], floats(10), "scale")),
                 node("Mul", ["x", "scale"], ["y"]), value(11, "x", "FP32", ["n"]),
                 value(11, "scale", "FP32", [1]), value(12, "y", "FP32", ["n"]))


def passthrough():
    return model(node("Neg", ["x"], ["y"]), value(11, "x", "FP32", ["n"]),
                 value(12, "x", "FP32", ["n"]), value(12, "y", "FP32", ["n"]))


def passthrough_only():
    return model(value(11, "x", "BYTES", ["n"]), value(12, "x", "BYTES", ["n"]))


def nonzero():
    """The shape of the output depends on the values of the input."""
    return model(node("NonZero", ["x"], ["y"]), value(11, "x", "FP32", ["n"]),
                 value(12, "y", "INT64", [1, "m"]))


def constant_output():
    return model(message(5, *tensor("FP32", [3], floats(1, 2, 3), "weights")),
                 node("Neg", ["x"], ["y"]), value(11, "x", "FP32", [2]),
                 value(12, "weights", "FP32", [3]), value(12, "y", "FP32", [2]))


def several_outputs():
    """Two that are computed, one of another type, one that is the input."""
    return model(node("Neg", ["x"], ["minus"]), node("Add", ["x", "x"], ["twice"]), node("Identity", ["t"], ["text"]),
                 value(11, "x", "FP32", ["n"]), value(11, "t", "BYTES", ["m"]), value(12, "minus", "FP32", ["n"]),
                 value(12, "text", "BYTES", ["m"]), value(12, "x", "FP32", ["n"]), value(12, "twice", "FP32", ["n"]))


def gather():
    return model(message(5, *tensor("FP32", [3], floats(1, 2, 3), "table")),
                 node("Gather", ["table", "x"], ["y"]), value(11, "x", "INT64", ["n"]),
                 value(12, "y", "FP32", ["n"]))


def reshape_by_value():
    """Fails for values that do not fit: an error at run time."""
    return model(node("Reshape", ["x", "shape"], ["y"]), value(11, "x", "FP32", ["n"]),
                 value(11, "shape", "INT64", [2]), value(12, "y", "FP32", ["a", "b"]))


def fill_by_value():
    """As many zeros as the input says: memory by request."""
    return model(node("ConstantOfShape", ["x"], ["y"]), value(11, "x", "INT64", [1]),
                 value(12, "y", "FP32", ["n"]))


def huge_constant():
    return model(message(5, *tensor("INT64", [1], int64s(1 << 44), "size")),
                 node("ConstantOfShape", ["size"], ["big"]),
                 node("Size", ["big"], ["count"]), node("Add", ["x", "count"], ["y"]),
                 value(11, "x", "INT64", []), value(12, "y", "INT64", []))


def sequence_output():
    return model(node("SequenceConstruct", ["x"], ["y"]), value(11, "x", "FP32", ["n"]),
                 sequence_value(12, "y", "FP32"))


def unknown_operator():
    return model(node("NoSuchOperator", ["x"], ["y"]), value(11, "x", "FP32", [1]),
                 value(12, "y", "FP32", [1]))


def huge_initializer(dims):
    return model(message(5, *tensor("FP32", dims, floats(1), "weights")),
                 node("Add", ["x", "weights"], ["y"]), value(11, "x", "FP32", ["n"]),
                 value(12, "y", "FP32", ["n"]))


def huge_attribute():
    return model(node("Constant", [], ["c"],
                      attribute_tensor("value", *tensor("FP32", [1 << 40], floats(1)))),
                 node("Add", ["x", "c"], ["y"]), value(11, "x", "FP32", ["n"]),
                 value(12, "y", "FP32", ["n"]))


def external(location, offset=None, count=4):
    return model(message(5, *external_tensor("FP32", [count], "weights", location, offset)),
                 node("Add", ["x", "weights"], ["y"]), value(11, "x", "FP32", [count]),
                 value(12, "y", "FP32", [count]))


def deep_graph(depth):
    """If in If in If: graphs nested deeper than any model has them."""
    graph = message(2, "inner") + value(12, "y", "FP32", [])
    for _ in range(depth):
        branch = message(5, message(1, "then_branch"), message(6, graph), integer(20, 5))
        graph = message(2, "g") + node("If", ["c"], ["y"], branch) + value(12, "y", "FP32", [])
    return integer(1, 8) + message(7, graph) + message(8, message(1, ""), integer(2, 17))


def mlp(sizes):
    """Weights of a fixed pattern: only speed and memory matter."""
    parts, name = [], "x"
    for layer, (rows, columns) in enumerate(zip(sizes, sizes[1:])):
        pattern = floats(*[((i * 7919) % 97 - 48) / 480 for i in range(97)])
        raw = (pattern * (rows * columns // 97 + 1))[:rows * columns * 4]
        weights, out = "w%d" % layer, "y" if layer == len(sizes) - 2 else "h%d" % layer
        parts.append(message(5, *tensor("FP32", [rows, columns], raw, weights)))
        if out == "y":
            parts.append(node("MatMul", [name, weights], [out]))
        else:
            parts += [node("MatMul", [name, weights], ["m%d" % layer]),
                      node("Relu", ["m%d" % layer], [out])]
        name = out
    return model(*parts, value(11, "x", "FP32", ["n", sizes[0]]), value(12, "y", "FP32", ["n", sizes[-1]]))


def onnx_models():
    # Those of the common suite: the same names for every engine.
    for dtype in DTYPES:
        yield ("identity_%s" % dtype, identity(dtype, ["a", "b"]))
    yield ("fixed", identity("INT64", [5]))
    yield ("scalar", identity("FP32", []))
    yield ("batch", identity("FP32", ["n", 4]))
    yield ("large", mlp([784, 512, 512, 10]))
    # ONNX alone.
    yield ("doubleit", doubleit())
    yield ("add_one", add_one(["n"]))
    yield ("unknown_rank", identity("FP32", None))
    yield ("optional", optional())
    yield ("passthrough", passthrough())
    yield ("passthrough_only", passthrough_only())
    yield ("nonzero", nonzero())
    yield ("constant_output", constant_output())
    yield ("several_outputs", several_outputs())
    yield ("gather", gather())
    yield ("reshape_by_value", reshape_by_value())
    yield ("fill_by_value", fill_by_value())
    yield ("huge_constant", huge_constant())
    yield ("sequence_output", sequence_output())
    yield ("unknown_operator", unknown_operator())
    yield ("huge_initializer", huge_initializer([1 << 40]))
    yield ("overflowing_initializer", huge_initializer([1 << 40, 1 << 40]))
    yield ("negative_initializer", huge_initializer([-4]))
    yield ("huge_attribute", huge_attribute())
    yield ("external", external("weights.bin"))
    yield ("external_offset", external("weights.bin", 16))
    yield ("external_missing", external("nowhere.bin"))
    yield ("external_short", external("weights.bin", 32))
    yield ("external_parent", external("../secret.bin"))
    yield ("external_inner_parent", external("a/../../secret.bin"))
    yield ("external_absolute", external("/etc/passwd"))
    yield ("external_link", external("link.bin"))
    yield ("external_directory", external("."))
    yield ("deep_graph", deep_graph(100))


ECHO_COMMON = {
    "fixed": "input x INT64 [5]\noutput y x\nend\n",
    "scalar": "input x FP32 []\noutput y x\nend\n",
    "batch": "input x FP32 [-1,4]\noutput y x\nend\n",
    "large": "input x FP32 [-1,784]\noutput y x\nweight_bytes 2000000\nend\n",
}


def echo_models():
    for dtype in DTYPES:
        if dtype != "COMPLEX64":
            yield ("identity_%s" % dtype, "input x %s [-1,-1]\noutput y x\nend\n" % dtype)
    yield from ECHO_COMMON.items()
    for kind in ["shape", "type", "size", "count", "data", "rank"]:
        yield ("malformed_%s" % kind,
               "input x FP32 [-1,4]\noutput y x\nmalformed %s\nend\n" % kind)
    yield ("fail_every", "input x FP32 [1]\noutput y x\nfail_every 3 UNAVAILABLE\nend\n")
    yield ("fail_negative", "input x FP32 [-1]\noutput y x\nfail_negative INVALID_ARGUMENT\nend\n")
    yield ("fail_load", "fail_load EXHAUSTED\nend\n")
    yield ("fail_instance", "fail_instance EXHAUSTED\nend\n")
    yield ("nan", "input x FP32 [-1]\noutput y x\nnan\nend\n")
    yield ("twice", "input x FP32 [1]\ninput x FP32 [1]\noutput y x\nend\n")
    yield ("optional", "input x FP32 [1]\ninput note BYTES [-1] optional\noutput y x\n"
                       "output z note\nend\n")


def write(path, content):
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())


def main(directory):
    onnx, echo = os.path.join(directory, "onnx"), os.path.join(directory, "echo")
    os.makedirs(onnx, exist_ok=True)
    os.makedirs(echo, exist_ok=True)
    for name, content in onnx_models():
        write(os.path.join(onnx, name + ".onnx"), content)
    for name, content in echo_models():
        write(os.path.join(echo, name + ".echo"), content)
    write(os.path.join(onnx, "weights.bin"), floats(1, 2, 3, 4, 5, 6, 7, 8))
    write(os.path.join(directory, "secret.bin"), floats(1, 2, 3, 4))
    link = os.path.join(onnx, "link.bin")
    if not os.path.islink(link):
        os.symlink("../secret.bin", link)


if __name__ == "__main__":
    main(sys.argv[1])
