#!/usr/bin/python3
"""Makes the models that only benchmarks need, too big to commit: mlp_bench, 784-512-512-10, in both forms.

    /usr/bin/python3 training/make_bench_models.py build/bench-models
"""
import pathlib
import shutil
import sys

import torch
from torch import Tensor, nn

import torchscript
from onnx_writer import FLOAT, Graph

WIDTHS = [784, 512, 512, 10]


class Mlp(nn.Module):
    """(batch, 784) -> (batch, 10): three dense layers with random weights."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def onnx_graph(module):
    graph = Graph("mlp_bench", opset=17)
    value = graph.input("x", FLOAT, ["batch", WIDTHS[0]])
    linear = [layer for layer in module.layers if isinstance(layer, nn.Linear)]
    for number, layer in enumerate(linear):
        weight = graph.constant(f"weight{number}", layer.weight.detach().numpy())
        bias = graph.constant(f"bias{number}", layer.bias.detach().numpy())
        last = number == len(linear) - 1
        value = graph.node("Gemm", [value, weight, bias], "y" if last else f"dense{number}", transB=1)
        if not last:
            value = graph.node("Relu", [value], f"active{number}")
    graph.output(value, FLOAT, ["batch", WIDTHS[-1]])
    return graph


def config(output):
    return f"""max_batch_size: 64
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {WIDTHS[0]} ] }} ]
output [ {{ name: "{output}" data_type: TYPE_FP32 dims: [ {WIDTHS[-1]} ] }} ]
dynamic_batching {{ }}
"""


def main():
    root = pathlib.Path(sys.argv[1])
    torch.manual_seed(1)
    module = Mlp()
    for name, output in (("mlp_bench", "OUTPUT__0"), ("mlp_bench_onnx", "y")):
        directory = root / name
        shutil.rmtree(directory, ignore_errors=True)
        (directory / "1").mkdir(parents=True)
        (directory / "config.pbtxt").write_text(config(output))
        if name.endswith("_onnx"):
            (directory / "1" / "model.onnx").write_bytes(onnx_graph(module).model())
        else:
            torchscript.save(module, directory / "1" / "model.pt")
    print(f"{root}: mlp_bench, mlp_bench_onnx")


if __name__ == "__main__":
    main()
