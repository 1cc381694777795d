"""One worker that serves ``misbehaving`` for each file that does not start its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.noted import events
from harness.workers import Client, Generation, connect, listening


@pytest.fixture(scope="module")
def generation() -> Iterator[Generation]:
    with listening() as sock:
        made = Generation(8, [("127.0.0.1:8000", sock)])
        made.start("misbehaving", threads=4).resume()
        yield made
        made.close()


@pytest.fixture(params=["new", "used"])
def client(request: pytest.FixtureRequest, generation: Generation) -> Iterator[Client]:
    """On a new connection the first request goes the long way; on a used one it goes the short way, if it is a usual
    one.
    """
    made = connect(generation)
    if request.param == "used":
        for number in range(3):
            assert made.ask(f"/plain?number={number}").body == b"ok"
    events(generation)
    yield made
    made.close()
