#!/usr/bin/python3
"""Writes the TorchScript models that the tests of the torch engine run.

Usage: make_models.py DIRECTORY

Each class below is one model, DIRECTORY/name.pt, small and made to show one behaviour.
"""
import os
import sys
import zipfile
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn


class identity(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


class view(nn.Module):
    """Outputs that are parts of the input's memory."""

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        return x[1:], x.t(), x.reshape(-1)


class writes_input(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x.add_(1)
        return x


class keeps_input(nn.Module):
    """Returns what it was given the time before."""

    def __init__(self):
        super().__init__()
        self.last = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        last = self.last
        self.last = x
        return last


class counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return self.count


class linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        with torch.no_grad():
            self.layer.weight.copy_(torch.arange(8.0).reshape(2, 4))
            self.layer.bias.copy_(torch.tensor([0.5, -0.5]))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class dropout(nn.Module):
    """Saved in training mode: must run in eval mode."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.9)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(x)


class two(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tuple[Tensor, Tensor]:
        return a + b, a - b


class defaults(nn.Module):
    def forward(self, x: Tensor, scale: float = 3.0, bias: Optional[Tensor] = None) -> Tensor:
        y = x * scale
        if bias is not None:
            y = y + bias
        return y


class scalars(nn.Module):
    def forward(self, i: int, f: float, b: bool) -> Tuple[int, float, bool]:
        return i + 1, f * 2, not b


class number_lists(nn.Module):
    def forward(self, i: List[int], f: List[float], b: List[bool]) -> Tuple[List[int], List[float], List[bool]]:
        i.append(7)
        return i, [x * 2 for x in f], [not x for x in b]


class texts(nn.Module):
    def forward(self, one: str, many: List[str]) -> Tuple[str, List[str]]:
        return one + "!", [x + "?" for x in many]


class constant_dict(nn.Module):
    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        return {"sum": x.sum(), "twice": x * 2}


class grown_dict(nn.Module):
    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        out: Dict[str, Tensor] = {}
        out["logits"] = x + 1
        out["scores"] = x * 0.5
        return out


class nested(nn.Module):
    def forward(self, x: Tensor) -> Tuple[Tensor, Tuple[Tensor, Tensor], Dict[str, Tensor]]:
        return x, (x + 1, x + 2), {"three": x + 3}


class constant_list(nn.Module):
    def forward(self, x: Tensor) -> List[Tensor]:
        return [x, x + 1, x + 2]


class free_list(nn.Module):
    """As many outputs as the input has rows: the configuration must say how many."""

    def forward(self, x: Tensor) -> List[Tensor]:
        return [x[i] for i in range(x.size(0))]


class free_dict(nn.Module):
    def forward(self, x: Tensor, names: List[str]) -> Dict[str, Tensor]:
        out: Dict[str, Tensor] = {}
        for name in names:
            out[name] = x
        return out


class Point(NamedTuple):
    left: Tensor
    right: Tensor


class named(nn.Module):
    def forward(self, x: Tensor) -> Point:
        return Point(x, -x)


class list_input(nn.Module):
    def forward(self, xs: List[Tensor]) -> Tensor:
        return torch.stack(xs).sum(0)


class dict_input(nn.Module):
    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        return batch["a"] * 10 + batch["b"]


class tuple_input(nn.Module):
    def forward(self, pair: Tuple[Tensor, Tensor]) -> Tensor:
        return pair[0] - pair[1]


class maybe(nn.Module):
    def forward(self, x: Tensor) -> Optional[Tensor]:
        if bool(x.sum() > 0):
            return x
        return None


class raises(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.numel() > 2:
            raise ValueError("at most two elements, please.\nReally")
        return x


class greedy(nn.Module):
    """Wants more memory than there is."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ones([1 << 40, 1 << 10])


class complex_output(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.complex(x, x)


class sparse_output(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.to_sparse()


class high_rank(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape([1] * 17 + [-1])


class strange_input(nn.Module):
    def forward(self, x: Dict[int, List[Tensor]]) -> Tensor:
        return x[0][0]


class strange_output(nn.Module):
    def forward(self, x: Tensor) -> Dict[int, Tensor]:
        return {1: x}


class no_tensor(nn.Module):
    def forward(self, x: Tensor) -> None:
        return None


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


DTYPES = ["BOOL", "UINT8", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64"]

SCRIPTED = [identity, double, view, writes_input, keeps_input, counts, linear, dropout, two,
            defaults, scalars, number_lists, texts, constant_dict, grown_dict, nested,
            constant_list, free_list, free_dict, named, list_input, dict_input, tuple_input, maybe,
            raises, greedy, complex_output, sparse_output, high_rank, strange_input,
            strange_output, no_tensor]


def oversize(source, target):
    """A copy of `linear` whose weights claim 255 rows instead of 2: more than the file has."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("/data.pkl"):
                assert b"K\x02K\x04" in data
                data = data.replace(b"K\x02K\x04", b"K\xffK\x04")
            new.writestr(name, data)


def main():
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    torch.manual_seed(1)

    def path(name):
        return os.path.join(directory, name + ".pt")

    for model in SCRIPTED:
        torch.jit.script(model()).save(path(model.__name__))
    torch.jit.script(Mlp(128)).save(path("mlp"))
    # the names that the suite of all engines asks for (tests/conform/engine/suite.c)
    for name in ["fixed", "scalar", "batch"] + ["identity_" + dtype for dtype in DTYPES]:
        torch.jit.script(identity()).save(path(name))
    torch.jit.script(Mlp(640)).save(path("large"))
    torch.jit.trace(linear(), torch.zeros(1, 4)).save(path("traced"))
    oversize(path("linear"), path("oversized"))
    torch.save(linear().state_dict(), path("weights"))


if __name__ == "__main__":
    main()
