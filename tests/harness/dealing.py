"""How ``make test`` deals the tests out to the processes of pytest-xdist: which stay together, which come first.

By their names alone: the process that deals collects nothing. (pytest-xdist's own ``xdist_group`` is a part of a test's
name, which pytest 9.1 and later do not let it change; it is ignored there without a word.)
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[2]
SLOW = ("systemd", "faults", "promises", "supervisor", "server")  # folders, those first whose tests wait the longest
BOXES = {  # each a booted systemd; they wait more than they compute, and others are to compute meanwhile
    "test_supervisors.py": "box 1",
    "test_privileges.py": "box 1",
    "test_journal.py": "box 1",
    "test_units.py": "box 2",
    "test_stops.py": "box 2",
    "test_units_made.py": "box 2",
}


def turn(nodeid: str) -> int:
    """What a list of tests is sorted by: the long ones first, so that nobody is left alone with one in the end."""
    folder = nodeid.removeprefix("tests/").partition("/")[0]
    return SLOW.index(folder) if folder in SLOW else len(SLOW)


def together(nodeid: str) -> str:
    """What the tests that run in one process, one after the other, have in common; of any other its name."""
    file = nodeid.partition("::")[0]
    if file.startswith("tests/systemd/") and (box := BOXES.get(Path(file).name)):
        return box
    return file if _shares(file) else nodeid


@functools.cache
def _shares(file: str) -> bool:
    """Whether its tests share what their module sets up, once in each process."""
    return 'scope="module"' in (ROOT / file).read_text("utf-8")


def scheduler(config: pytest.Config, log: Any) -> Any:
    """Deals out the tests in the order of the list, those that stay together as one."""
    config.option.loadscopereorder = False
    made = LoadScopeScheduling(config, log)
    made._split_scope = together
    return made
