"""moto's server, which imitates many of AWS's services, on a port of its own. tools/setup cloud brings it.

    with Moto() as aws:
        boto3.client("cloudwatch", endpoint_url=aws.endpoint, ...)
"""
import pathlib
import re
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / ".deps" / "cloud" / "bin" / "moto_server"


def is_there():
    return PROGRAM.exists()


class Moto:
    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="slipway-moto-")
        log_path = pathlib.Path(self.directory.name) / "log"
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen([PROGRAM, "-H", "127.0.0.1", "-p", "0"], stdin=subprocess.DEVNULL, stdout=log,
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

    def __exit__(self, kind, value, traceback):
        self.process.kill()
        self.process.wait()
        self.directory.cleanup()
