"""What the tests of promises share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter, which pytest's own are not: another run of pytest closes those again."""
    folder = Path(tempfile.mkdtemp(prefix="releve-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
