"""A file system of a few megabytes that a test fills to the last byte.

    with SmallDisk("tmpfs", tmp_path / "disk", mebibytes=12) as disk:
        Fleet(..., data_directory=disk.path)
        disk.fill()
        disk.free()

Kinds: "tmpfs" and "ext4" (in a file, through a loop device) are mounted, which needs the right to; "limit" is no file system
but a limit on the size of the files of a process (prlimit), for where nothing can be mounted: call limit() with each process.
"""
import errno
import os
import pathlib
import resource
import subprocess

import pytest

MEBIBYTE = 1 << 20
KINDS = ("tmpfs", "ext4", "limit")


class SmallDisk:
    def __init__(self, kind, path, mebibytes):
        self.kind, self.path, self.size = kind, pathlib.Path(path), mebibytes * MEBIBYTE
        self.image = self.path.with_suffix(".image")
        self.ballast = self.path / "ballast"
        self.processes = lambda: []
        self.full = False

    def __enter__(self):
        self.path.mkdir()
        if self.kind == "tmpfs":
            self.mount("-t", "tmpfs", "-o", f"size={self.size}", "none")
        elif self.kind == "ext4":
            with open(self.image, "wb") as image:
                image.truncate(self.size)
            self.do("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(self.image))
            self.mount("-o", "loop", str(self.image))
        return self

    def __exit__(self, kind, value, traceback):
        if self.kind != "limit":
            subprocess.run(["umount", str(self.path)], check=True)

    def mount(self, *arguments):
        self.do("mount", *arguments, str(self.path))

    def do(self, *command):
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError as problem:
            pytest.skip(f"no small {self.kind} here: {problem}")
        if done.returncode != 0:
            pytest.skip(f"no small {self.kind} here, {command[0]}: {done.stderr.strip()}")

    def fill(self):
        """Not a byte is left."""
        self.full = True
        if self.kind == "limit":
            self.limit()
            return
        file = os.open(self.ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for size in (65536, 4096, 1):
                self.append(file, bytes(size))
        finally:
            os.close(file)

    @staticmethod
    def append(file, piece):
        try:
            while os.write(file, piece) > 0:
                pass
        except OSError as problem:
            assert problem.errno == errno.ENOSPC, problem

    def free(self):
        self.full = False
        if self.kind == "limit":
            self.limit()
        else:
            self.ballast.unlink(missing_ok=True)

    def limit(self):
        """After each start of a process, too. Full: none of its files grows; the log of the database is the one that would."""
        sizes = [file.stat().st_size for file in self.path.iterdir()]
        size = max([4096, *sizes]) if self.full else resource.RLIM_INFINITY
        for process in self.processes() if self.kind == "limit" else []:
            _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, hard))
