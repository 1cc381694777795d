"""What the tests of a master share: a generation whose workers nobody has forked."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from harness.crew import Crew


@pytest.fixture
def crew() -> Iterator[Crew]:
    exchange = os.open(os.devnull, os.O_RDONLY)
    crew = Crew(exchange)
    yield crew
    crew.close()
    os.close(exchange)
