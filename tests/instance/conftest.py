"""For the tests of instances: folders of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from releve.instance.instances import Places


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one: a socket's path has 107 bytes at most, of which pytest's own takes many where the user's name is
    long.
    """
    with tempfile.TemporaryDirectory(prefix="r-") as made:
        yield Path(made)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("run", "var", "t"):
        (tmp_path / name).mkdir()
    return Places(run=tmp_path / "run", var=tmp_path / "var", temporary=tmp_path / "t")
