"""Saves TorchScript files that are the same bytes each time, on each machine, for one version of PyTorch."""
import io
import struct
import zipfile

import torch

# torch.jit.save aligns what it stores, so that a reader may map it.
_ALIGNMENT = 64
_LOCAL_HEADER = 30


def save(module, path):
    """Scripts the module and writes it without debug records: those hold paths and line numbers of this machine."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module.eval()), buffer)
    with zipfile.ZipFile(buffer) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as out:
        for name in sorted(archive.namelist()):
            if not name.endswith(".debug_pkl"):
                out.writestr(_entry(name, out.fp.tell()), archive.read(name))


def _entry(name, position):
    """A header padded so that the data after it starts at a multiple of the alignment."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    entry.create_system = 3
    padding = -(position + _LOCAL_HEADER + len(name) + 4) % _ALIGNMENT
    entry.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
    return entry
