"""Fixtures: `server` serves models/ for a whole file of tests, `start` makes servers for one test."""
import contextlib

import pytest

from slipway import MODELS, Server


@pytest.fixture(scope="module")
def server():
    with Server([MODELS]) as running:
        yield running


@pytest.fixture
def start():
    """start(models, **options) -> a running server, stopped and checked at the end of the test."""
    with contextlib.ExitStack() as stack:
        def start_one(models, **options):
            return stack.enter_context(Server(models, **options))

        yield start_one
