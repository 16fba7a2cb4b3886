"""moto's server, which imitates many of AWS's services, on a port of its own. tools/setup cloud brings it.

    with Moto() as aws:
        boto3.client("cloudwatch", endpoint_url=aws.endpoint, ...)
        aws.check_rights()      # from here on signatures and policies count
"""
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PYTHON = ROOT / ".deps" / "cloud" / "bin" / "python"
PROGRAM = pathlib.Path(__file__).with_name("moto_with_rights.py")


def is_there():
    return PYTHON.exists()


class Moto:
    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="slipway-moto-")
        log_path = pathlib.Path(self.directory.name) / "log"
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen([PYTHON, "-B", "-P", PROGRAM, "-H", "127.0.0.1", "-p", "0"], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        end = time.monotonic() + 60
        while True:
            found = re.search(r"Running on http://127\.0\.0\.1:(\d+)", log_path.read_text(errors="replace"))
            if found:
                break
            if self.process.poll() is not None or time.monotonic() > end:
                text = log_path.read_text(errors="replace")
                self.__exit__(None, None, None)
                raise RuntimeError(f"moto does not start:\n{text}")
            time.sleep(0.05)
        self.endpoint = f"http://127.0.0.1:{found.group(1)}"
        return self

    def check_rights(self, free_requests=0):
        """After so many more requests each must be signed by a key whose policies allow it."""
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset-auth", str(free_requests).encode(), {"Content-Type": "text/plain"})
        urllib.request.urlopen(request, timeout=10).close()

    def __exit__(self, kind, value, traceback):
        self.process.kill()
        self.process.wait()
        self.directory.cleanup()
