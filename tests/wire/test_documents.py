"""The examples of docs/queues.md are run as they stand."""
import os
import pathlib
import re
import subprocess

from slipway import MODELS, ROOT


def test_examples_of_the_queues_page(start, tmp_path):
    server = start([MODELS / "doubleit"], data_directory=tmp_path)
    server.wait_until(lambda: server.get("/v2/jobs").status == 200, "jobs")
    text = pathlib.Path(ROOT / "docs" / "queues.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 3
    script = "set -e\n" + "\n".join(blocks)
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120,
                         env=dict(os.environ, S=server.address()))
    assert run.returncode == 0, run.stderr
    assert '"data":[2,4,6]' in run.stdout and '"state":"succeeded"' in run.stdout, run.stdout
