"""For the tests of a release: nothing that looks at one leaves anything behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.descriptors import descriptors


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No process and no descriptor outlives a test."""
    before = _children(), descriptors()
    yield
    assert (_children(), descriptors()) == before


def _children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()
