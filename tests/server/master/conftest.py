"""What the tests of a master share: one whose application can be slow, not booted yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.master import APP, Master

SLOW = """
import time
fast = application
def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        open("begun", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.01)
    elif environ["PATH_INFO"] == "/for-ever":
        open("begun", "w").close()
        time.sleep(600)
    return fast(environ, start_response)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A release."""
    (tmp_path / "app.py").write_text(APP + SLOW)
    return tmp_path


@pytest.fixture
def master(folder: Path) -> Iterator[Master]:
    """A master of a release, not booted yet."""
    with Master(folder) as one:
        yield one
