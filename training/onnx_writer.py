"""Writes ONNX files with nothing but the standard library and numpy.

    graph = Graph("doubleit", opset=17)
    x = graph.input("x", INT64, [5])
    graph.output(graph.node("Mul", [x, graph.constant("two", numpy.array(2))], "y"), INT64, [5])
    open("model.onnx", "wb").write(graph.model())

An ONNX file is one protobuf message, ModelProto of onnx.proto; the numbers below are its field numbers. The same calls
give the same bytes.
"""
import struct

import numpy

FLOAT, INT64, STRING = 1, 7, 8

_ELEMENT_TYPES = {"float32": FLOAT, "int64": INT64}
_VARINT, _FIXED32, _BYTES = 0, 5, 2


def _varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number, value):
    """One field: an int as varint, a float as fixed32, text and bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | _FIXED32) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _repeated(number, values):
    return b"".join(_field(number, value) for value in values)


def _value_info(name, element_type, dims):
    """A graph's input or output. A dim is a number, or a name where it is variable."""
    shape = b"".join(_field(1, _field(2 if isinstance(dim, str) else 1, dim)) for dim in dims)
    tensor_type = _field(1, element_type) + _field(2, shape)
    return _field(1, name) + _field(2, _field(1, tensor_type))


def _attribute(name, value):
    """AttributeProto: the type follows from the value."""
    first = value[0] if isinstance(value, list) else value
    if isinstance(value, list):
        number, kind = {float: (7, 6), int: (8, 7), str: (9, 8)}[type(first)]
        body = _repeated(number, value)
    else:
        number, kind = {float: (2, 1), int: (3, 2), str: (4, 3)}[type(first)]
        body = _field(number, value)
    return _field(1, name) + body + _field(20, kind)


class Graph:
    """A graph in the making. Names of values are plain strings."""

    def __init__(self, name, opset, ml_opset=None):
        self.name = name
        self.opsets = [("", opset)] + ([("ai.onnx.ml", ml_opset)] if ml_opset else [])
        self.nodes = []
        self.initializers = []
        self.inputs = []
        self.outputs = []

    def input(self, name, element_type, dims):
        self.inputs.append(_value_info(name, element_type, dims))
        return name

    def output(self, name, element_type, dims):
        self.outputs.append(_value_info(name, element_type, dims))

    def constant(self, name, array):
        """A weight: a TensorProto of raw little-endian data."""
        array = numpy.asarray(array)
        element_type = _ELEMENT_TYPES[str(array.dtype)]
        little = array.astype(array.dtype.newbyteorder("<"))
        self.initializers.append(
            _repeated(1, [int(dim) for dim in array.shape]) + _field(2, element_type) + _field(8, name)
            + _field(9, little.tobytes()))
        return name

    def node(self, operator, inputs, output, domain="", **attributes):
        """Adds an operator with one output (or a list of them) and returns the name of the first."""
        outputs = output if isinstance(output, list) else [output]
        body = _repeated(1, inputs) + _repeated(2, outputs) + _field(3, outputs[0]) + _field(4, operator)
        body += b"".join(_field(5, _attribute(name, value)) for name, value in attributes.items())
        self.nodes.append(body + (_field(7, domain) if domain else b""))
        return outputs[0]

    def model(self):
        """ModelProto. IR version 8 is what opset 17 came with, 9 goes with opset 20."""
        graph = _repeated(1, self.nodes) + _field(2, self.name) + _repeated(5, self.initializers)
        graph += _repeated(11, self.inputs) + _repeated(12, self.outputs)
        opsets = [(_field(1, domain) if domain else b"") + _field(2, version) for domain, version in self.opsets]
        ir_version = 8 if self.opsets[0][1] < 20 else 9
        return _field(1, ir_version) + _field(2, "slipway") + _field(7, graph) + _repeated(8, opsets)
