"""Tests lie as the code does: the test of ``server/loop/loop.py`` is ``tests/server/loop/test_loop.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
MIRRORED = ("config", "ctl", "importer", "instance", "pages", "server", "supervisor")  # the others are of no folder
CODE = sorted(path.relative_to(ROOT) for folder in MIRRORED for path in (ROOT / folder).rglob("*.py"))
FOLDERS = {path.parent for path in CODE}
FILES = sorted(path.relative_to(TESTS) for folder in MIRRORED for path in (TESTS / folder).rglob("test_*.py"))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_test_lies_where_its_module_does(file: Path) -> None:
    """A test named after a module lies in that module's folder; every other one in a folder of the code's."""
    name = file.name.removeprefix("test_")
    homes = {path.parent for path in CODE if path.name == name}
    assert file.parent in (homes or FOLDERS)


def test_they_are_found() -> None:
    assert len(FILES) > 100
