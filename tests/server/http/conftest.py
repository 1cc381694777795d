"""One worker for all cases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.cases import Server, serving


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running
