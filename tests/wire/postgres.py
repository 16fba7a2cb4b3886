"""A PostgreSQL of the test's own, by tests/postgres/with_cluster; without a PostgreSQL server the test is skipped.

    with Postgres(durable=True) as postgres:
        Fleet(..., data_url=postgres.url)
        postgres.control("restart")        # at once, as a crash does; "restart-fast": as an administrator does
"""
import glob
import shutil
import subprocess
import urllib.parse

import pytest

from slipway import ROOT


class Postgres:
    def __init__(self, durable=False, tls_port=None):
        if not shutil.which("initdb") and not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
            pytest.skip("no PostgreSQL server is installed: run tools/setup test")
        self.arguments = [str(ROOT / "tests" / "postgres" / "with_cluster"), *(["--durable"] if durable else []),
                          *(["--tls", str(tls_port)] if tls_port else [])]

    def __enter__(self):
        tell = 'echo "$SLIPWAY_TEST_POSTGRES"; echo "$SLIPWAY_TEST_CLUSTER"; exec cat >/dev/null'
        self.process = subprocess.Popen([*self.arguments, "sh", "-c", tell], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        address = dict(part.split("=", 1) for part in self.process.stdout.readline().split())
        self.program = self.process.stdout.readline().strip()
        assert self.program, "with_cluster failed"
        self.directory = address["host"]
        database = address.pop("dbname")
        self.url = f"postgres:///{database}?{urllib.parse.urlencode(address)}"
        return self

    def __exit__(self, kind, value, traceback):
        self.process.stdin.close()
        self.process.wait(60)

    def control(self, what):
        """stop, start, restart (at once), restart-fast (orderly, clients thrown out), log."""
        return subprocess.run([self.program, what], check=True, timeout=90, capture_output=True, text=True).stdout
