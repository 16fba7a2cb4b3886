"""NVIDIA's Triton, driven by PyTriton, around the seed's model: python pytriton_app.py HTTP_PORT GRPC_PORT METRICS_PORT.

MODEL in the environment. Triton speaks the Open Inference Protocol itself; Python runs the model, as the package has no
backend for TorchScript.
"""
import os
import sys

import numpy
import torch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

torch.set_num_threads(1)
model = torch.jit.load(os.environ["MODEL"]).eval()


def infer(requests):
    with torch.inference_mode():
        return [{"output": model(torch.from_numpy(request["x"].copy())).numpy()} for request in requests]


if __name__ == "__main__":
    http, grpc, metrics = map(int, sys.argv[1:4])
    config = TritonConfig(http_address="127.0.0.1", http_port=http, grpc_port=grpc, metrics_port=metrics, log_verbose=0)
    with Triton(config=config) as triton:
        triton.bind(
            model_name="doubleit",
            infer_func=infer,
            inputs=[Tensor(name="x", dtype=numpy.int64, shape=(5,))],
            outputs=[Tensor(name="output", dtype=numpy.int64, shape=(5,))],
            config=ModelConfig(batching=False),
        )
        triton.serve()
