"""What the tests of AWS's services share: the helpers of the wire tests, and what imitates SQS."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "wire"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import elasticmq  # noqa: E402
from slipway import MODELS, Server  # noqa: E402


@pytest.fixture(scope="module")
def elasticmq_endpoint():
    if not elasticmq.is_there():
        pytest.skip("no ElasticMQ: tools/setup test brings it")
    with elasticmq.ElasticMQ() as running:
        yield running.endpoint


@pytest.fixture(scope="module")
def slipway_endpoint():
    """This server's own SQS, which answers as AWS was recorded to."""
    with Server([MODELS / "doubleit"], worker_enabled="false") as server:
        server.wait_until(lambda: server.get("/v2/jobs").status == 200, "queues")
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture(params=["slipway", "elasticmq"])
def endpoint(request):
    return request.getfixturevalue(f"{request.param}_endpoint")
