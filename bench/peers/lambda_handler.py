"""The usual function: Python, torch, one model loaded at import. For bench/lambda."""
import os

import torch

MODEL = torch.jit.load(os.environ["MODEL"])


def handler(event, context):
    return MODEL(torch.tensor([event], dtype=torch.float32))[0].tolist()
