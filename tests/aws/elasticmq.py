"""ElasticMQ, which imitates SQS, on a port of its own. tools/setup test brings it; without it, or without Java, the tests
that need it are skipped.

    with ElasticMQ() as sqs:
        boto3.client("sqs", endpoint_url=sqs.endpoint, ...)

As a program it runs another one beside it, whose environment then has SLIPWAY_TEST_SQS, the endpoint:

    elasticmq.py PROGRAM ARGUMENTS...
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
JARS = ROOT / ".deps" / "elasticmq"
START_TIMEOUT_S = 90
SETTINGS = """
include classpath("application.conf")
node-address { protocol = http, host = "127.0.0.1", port = 0, context-path = "" }
rest-sqs { enabled = true, bind-port = 0, bind-hostname = "127.0.0.1", sqs-limits = strict }
rest-stats { enabled = false }
queues {}
"""


def is_there():
    return shutil.which("java") is not None and any(JARS.glob("elasticmq-server*.jar"))


class ElasticMQ:
    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="slipway-elasticmq-")
        directory = pathlib.Path(self.directory.name)
        (directory / "settings.conf").write_text(SETTINGS)
        log_path = directory / "log"
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                 f"-Dconfig.file={directory / 'settings.conf'}", "-cp", f"{JARS}/*", "org.elasticmq.server.Main"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + START_TIMEOUT_S
        while True:
            text = log_path.read_text(errors="replace")
            found = re.search(r"bind address 127\.0\.0\.1:(\d+)", text)
            if found and "started in" in text:
                break
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__(None, None, None)
                raise RuntimeError(f"ElasticMQ does not start:\n{text}")
            time.sleep(0.05)
        self.endpoint = f"http://127.0.0.1:{found.group(1)}"
        return self

    def __exit__(self, kind, value, traceback):
        self.process.kill()
        self.process.wait()
        self.directory.cleanup()


if __name__ == "__main__":
    if not is_there():
        print("skipped: no ElasticMQ (tools/setup test)")
        sys.exit(0)
    with ElasticMQ() as elasticmq:
        sys.exit(subprocess.run(sys.argv[1:], env=dict(os.environ, SLIPWAY_TEST_SQS=elasticmq.endpoint)).returncode)
