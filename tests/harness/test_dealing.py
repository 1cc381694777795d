"""How the tests are dealt out to processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.dealing import BOXES, SLOW, together, turn

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("tests/promises/test_crashes.py::test_a", "tests/promises/test_crashes.py::test_b[x]", True),
        ("tests/promises/test_deaths.py::test_a", "tests/promises/test_deaths.py::test_b", False),
        ("tests/systemd/test_privileges.py::test_a", "tests/systemd/test_journal.py::test_b", True),
        ("tests/systemd/test_supervisors.py::test_a", "tests/systemd/test_units.py::test_b", False),
        ("tests/systemd/test_units.py::test_a", "tests/systemd/test_getting_started.py::test_b", False),
    ],
)
def test_those_stay_together_that_share_what_is_dear(one: str, other: str, same: bool) -> None:
    assert (together(one) == together(other)) == same


def test_the_long_ones_come_first() -> None:
    names = [
        "tests/config/test_a.py::x",
        "tests/test_b.py::x",
        "tests/server/test_c.py::x",
        "tests/systemd/test_d.py::x",
    ]
    assert sorted(names, key=turn) == [names[3], names[2], names[0], names[1]]


def test_what_is_named_is_there() -> None:
    assert all((TESTS / folder).is_dir() for folder in SLOW)
    boxed = {file.name for file in (TESTS / "systemd").glob("test_*.py")} - {"test_getting_started.py"}
    assert boxed == set(BOXES), "that one has a box of its own"
