#!/usr/bin/python3
"""Makes everything under models/ but its README: model files, configurations, labels, cases.

    /usr/bin/python3 training/make_models.py [DIRECTORY]      default: models
    /usr/bin/python3 training/make_models.py --check models   makes them anew elsewhere and compares

The same bytes each time: weights are read from training/weights, archives carry no time, and expected results are
computed in double precision and rounded. TorchScript files are compared by what is in them if another PyTorch made them.
"""
import filecmp
import json
import os
import pathlib
import sys
import tempfile

import numpy
import torch

import networks
import torchscript
from onnx_writer import FLOAT, INT64, STRING, Graph

TORCH_OF_THE_COMMITTED_FILES = "1.13"
BATCH_MAX = 64


def tensor(name, datatype, array):
    """A tensor as the Open Inference Protocol writes it."""
    array = numpy.asarray(array)
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": array.flatten().tolist()}


def rounded(array):
    return [[float(f"{value:.6g}") for value in row] for row in numpy.asarray(array).tolist()]


def case_text(case):
    """JSON with a line for each part and each tensor."""
    def tensors(key, items):
        lines = ",\n".join("    " + json.dumps(item, ensure_ascii=False) for item in items)
        return f'{{"{key}": [\n{lines}]}}'

    parts = {key: json.dumps(value, ensure_ascii=False) for key, value in case.items()}
    parts["request"] = tensors("inputs", case["request"]["inputs"])
    if "expect" in case:
        parts["expect"] = tensors("outputs", case["expect"]["outputs"])
    return "{\n" + ",\n".join(f' "{key}": {value}' for key, value in parts.items()) + "\n}\n"


class Model:
    """One directory of the repository."""

    def __init__(self, root, name):
        self.directory = root / name
        (self.directory / "1").mkdir(parents=True)

    def torchscript(self, module):
        torchscript.save(module, self.directory / "1" / "model.pt")

    def onnx(self, graph):
        (self.directory / "1" / "model.onnx").write_bytes(graph.model())

    def text(self, name, text):
        (self.directory / name).write_text(text)

    def case(self, name, description, inputs, outputs=None, error=None, tolerance=None):
        """One file that `slipway check` runs: a request, and what must come of it."""
        case = {"description": description, "request": {"inputs": inputs}}
        if error:
            case["expect_error"] = error
        else:
            case["expect"] = {"outputs": outputs}
        if tolerance:
            case["tolerance"] = tolerance
        directory = self.directory / "cases"
        directory.mkdir(exist_ok=True)
        (directory / f"{name}.json").write_text(case_text(case))


def make_doubleit(root):
    """The two shapes: five numbers as they are, and batches of five."""
    for name, dims, batchable in (("doubleit", [5], False), ("doubleit_batch", ["batch", 5], True)):
        for suffix, output in (("", "OUTPUT__0"), ("_onnx", "y")):
            model = Model(root, name + suffix)
            if suffix:
                graph = Graph("doubleit", opset=17)
                x = graph.input("x", INT64, dims)
                graph.output(graph.node("Mul", [x, graph.constant("two", numpy.array(2))], output), INT64, dims)
                model.onnx(graph)
            else:
                model.torchscript(networks.DoubleIt())
            if batchable:
                model.text("config.pbtxt", doubleit_config(output, suffix))
            for case, numbers in (("small", [1, 2, 3, 4, 5]), ("zero", [0, 0, 0, 0, 0]),
                                  ("wide", [-1, 2 ** 40, -(2 ** 40), 2 ** 62 - 1, -(2 ** 62)])):
                x = numpy.array([numbers] if batchable else numbers)
                model.case(case, f"twice {numbers}", [tensor("x", "INT64", x)], [tensor(output, "INT64", x * 2)])
            if batchable:
                x = numpy.arange(15).reshape(3, 5)
                model.case("three_rows", "a batch of three", [tensor("x", "INT64", x)], [tensor(output, "INT64", x * 2)])
            if suffix or batchable:
                model.case("wrong_shape", "four numbers are refused",
                           [tensor("x", "INT64", [[1, 2, 3, 4]] if batchable else [1, 2, 3, 4])], error="shape")


def doubleit_config(output, suffix):
    backend = "onnxruntime" if suffix else "pytorch"
    return f"""# Rows that arrive together are answered by one call of the model.
backend: "{backend}"
max_batch_size: {BATCH_MAX}
input [ {{ name: "x" data_type: TYPE_INT64 dims: [ 5 ] }} ]
output [ {{ name: "{output}" data_type: TYPE_INT64 dims: [ 5 ] }} ]
dynamic_batching {{ }}
"""


def make_classifier(root, name, module_class, data, labels, input_name, dims, onnx_graph):
    """Both forms of a network with a softmax at its end; cases are rows that it never learnt from."""
    module = networks.load_weights(module_class(), name)
    exact = networks.load_weights(module_class().double(), name)
    inputs, targets = data()
    held_back = networks.split(len(inputs))[1]
    picked = [next(row for row in held_back if targets[row] == target) for target in range(len(labels))]
    x = torch.tensor(inputs[picked], dtype=torch.float64)
    with torch.no_grad():
        probabilities = rounded(exact(x)["probabilities"].numpy())
    for suffix in ("", "_onnx"):
        model = Model(root, name + suffix)
        if suffix:
            model.onnx(onnx_graph(module))
        else:
            model.torchscript(module)
        model.text("labels.txt", "".join(f"{label}\n" for label in labels))
        model.text("model.yaml", classifier_config(suffix, input_name, dims, len(labels)))
        tolerance = {"absolute": 1e-5, "relative": 1e-4}
        for label, row, expected in zip(labels, x.numpy(), probabilities):
            model.case(f"one_{label}", f"one row of the data set, labelled {label}", [tensor(input_name, "FP32", [row])],
                       [tensor("probabilities", "FP32", [expected])], tolerance=tolerance)
        model.case("batch", "one row of each label", [tensor(input_name, "FP32", x.numpy())],
                   [tensor("probabilities", "FP32", probabilities)], tolerance=tolerance)
        model.case("wrong_type", "integers are refused", [tensor(input_name, "INT32", numpy.zeros([1] + dims, int))],
                   error="data-type")


def classifier_config(suffix, input_name, dims, classes):
    backend = "onnxruntime" if suffix else "pytorch"
    return f"""# What the file does not tell: that rows may be batched, and what the classes are called.
backend: {backend}
max_batch_size: {BATCH_MAX}
input:
  - name: {input_name}
    data_type: TYPE_FP32
    dims: {dims}
output:
  - name: probabilities
    data_type: TYPE_FP32
    dims: [{classes}]
    label_filename: labels.txt
dynamic_batching: {{}}
"""


def weights_of(graph, module):
    return {key: graph.constant(key, value.numpy()) for key, value in module.state_dict().items()}


def iris_graph(module):
    graph = Graph("iris", opset=17)
    x = graph.input("measures", FLOAT, ["batch", 4])
    w = weights_of(graph, module)
    x = graph.node("Mul", [graph.node("Sub", [x, w["mean"]], "centred"), w["scale"]], "standardised")
    x = graph.node("Gemm", [x, w["hidden.weight"], w["hidden.bias"]], "hidden", transB=1)
    x = graph.node("Gemm", [graph.node("Relu", [x], "active"), w["out.weight"], w["out.bias"]], "logits", transB=1)
    graph.output(graph.node("Softmax", [x], "probabilities", axis=-1), FLOAT, ["batch", 3])
    return graph


def digits_graph(module):
    graph = Graph("digits", opset=17)
    x = graph.input("image", FLOAT, ["batch", 1, 8, 8])
    w = weights_of(graph, module)
    x = graph.node("Div", [x, graph.constant("sixteen", numpy.array(16, dtype=numpy.float32))], "scaled")
    for layer in ("first", "second"):
        x = graph.node("Conv", [x, w[f"{layer}.weight"], w[f"{layer}.bias"]], layer, pads=[1, 1, 1, 1])
        x = graph.node("Relu", [x], f"{layer}_active")
        x = graph.node("MaxPool", [x], f"{layer}_pooled", kernel_shape=[2, 2], strides=[2, 2])
    x = graph.node("Gemm", [graph.node("Flatten", [x], "flat"), w["out.weight"], w["out.bias"]], "logits", transB=1)
    graph.output(graph.node("Softmax", [x], "probabilities", axis=-1), FLOAT, ["batch", 10])
    return graph


def sentiment_graph():
    """Lower case, split at spaces, score each word, add up, take the sign, name it."""
    scores = networks.word_scores()
    graph = Graph("sentiment", opset=20, ml_opset=2)
    x = graph.input("text", STRING, ["texts"])
    x = graph.node("StringNormalizer", [x], "lower", case_change_action="LOWER", locale="C")
    x = graph.node("StringSplit", [x], ["words", "word_counts"])
    x = graph.node("LabelEncoder", [x], "word_scores", domain="ai.onnx.ml", keys_strings=list(scores),
                   values_floats=list(scores.values()), default_float=0.0)
    x = graph.node("ReduceSum", [x, graph.constant("last", numpy.array([1]))], "score", keepdims=0)
    x = graph.node("LabelEncoder", [graph.node("Sign", [x], "sign")], "label", domain="ai.onnx.ml",
                   keys_floats=[-1.0, 1.0], values_strings=["negative", "positive"], default_string="neutral")
    graph.output(x, STRING, ["texts"])
    return graph


def make_sentiment(root):
    texts = ["Great service, friendly people!", "The soup was COLD and the waiter rude.", "It is a table.", "",
             "Good food, bad wine", "schön, amazing! ☃"]
    labels = ["positive", "negative", "neutral", "neutral", "neutral", "positive"]
    for suffix, output in (("", "OUTPUT__0"), ("_onnx", "label")):
        model = Model(root, "sentiment" + suffix)
        if suffix:
            model.onnx(sentiment_graph())
        else:
            model.torchscript(networks.Sentiment())
        model.case("reviews", "several texts, an empty one and a mixed one among them", [tensor("text", "BYTES", texts)],
                   [tensor(output, "BYTES", labels)])
        for text, label in zip(texts[:3], labels):
            model.case(label, f"one {label} text", [tensor("text", "BYTES", [text])], [tensor(output, "BYTES", [label])])


def make_all(root):
    torch.set_num_threads(1)
    make_doubleit(root)
    make_classifier(root, "iris", networks.Iris, networks.iris_data, networks.IRIS_LABELS, "measures", [4], iris_graph)
    make_classifier(root, "digits", networks.Digits, networks.digits_data, networks.DIGIT_LABELS, "image", [1, 8, 8],
                    digits_graph)
    make_sentiment(root)


def check(committed):
    """Names what differs between the committed directory and a new one; the exit code."""
    with tempfile.TemporaryDirectory() as name:
        fresh = pathlib.Path(name)
        make_all(fresh)
        same_torch = torch.__version__.startswith(TORCH_OF_THE_COMMITTED_FILES)
        files = {path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()}
        there = {path.relative_to(committed) for path in committed.rglob("*") if path.is_file()} - {pathlib.Path("README.md")}
        different = [f"{path}: only in {'the new ones' if path in files else committed}" for path in files ^ there]
        for path in sorted(files & there):
            if path.suffix == ".pt" and not same_torch:
                print(f"{path}: not compared, PyTorch is {torch.__version__}")
            elif not filecmp.cmp(fresh / path, committed / path, shallow=False):
                different.append(f"{path}: differs")
    print("\n".join(different) if different else f"{len(files)} files are what training/ makes")
    return 1 if different or not files else 0


def main():
    if os.environ.get("PYTHONHASHSEED") != "0":  # PyTorch writes a module's constants in the order of a set
        os.execve(sys.executable, [sys.executable, *sys.argv], dict(os.environ, PYTHONHASHSEED="0"))
    arguments = sys.argv[1:]
    if arguments[:1] == ["--check"]:
        return check(pathlib.Path(arguments[1]))
    make_all(pathlib.Path(arguments[0] if arguments else networks.HERE.parent / "models"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
