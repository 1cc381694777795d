"""Which entries are asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from releve.ctl.logs.entry import Entry, entry
from releve.ctl.logs.selection import LINES, Selection, named_worker

AT = datetime(2026, 11, 23, 21, 38, 31, tzinfo=UTC)
MESSAGE = Entry("m", AT, "warning", "", 8, 2, 812)
OUTPUT = Entry("o", AT, "", "stdout", 8, 1, 811)
OTHER = Entry("x", AT)
FAILED = entry(["2026-11-23 21:38:31 STDERR gen=8 pid=811 no card", "  Traceback (most recent call last):", "  x"])


@pytest.mark.parametrize(
    ("wanted", "admitted"),
    [
        (Selection(), [MESSAGE, OUTPUT, OTHER]),
        (Selection(generation=8), [MESSAGE, OUTPUT]),
        (Selection(generation=7), []),
        (Selection(generation=8, worker=1), [OUTPUT]),
        (Selection(level="warning"), [MESSAGE]),
        (Selection(level="info"), [MESSAGE]),
        (Selection(level="error"), []),
        (Selection(access=True), [OTHER]),
        (Selection(since=AT), [MESSAGE, OUTPUT, OTHER]),
        (Selection(since=datetime.now(UTC)), []),
    ],
)
def test_what_is_admitted(wanted: Selection, admitted: list[Entry]) -> None:
    assert [one for one in (MESSAGE, OUTPUT, OTHER) if wanted.admits(one)] == admitted


def test_a_traceback_of_the_application_is_an_error() -> None:
    assert FAILED.stream == "stderr"
    assert Selection(level="error").admits(FAILED) and not Selection(level="info").admits(OUTPUT)


def test_how_many_where_nobody_says() -> None:
    assert Selection().checked().lines == LINES
    assert Selection(since=AT).checked().lines is None
    assert Selection(lines=0).checked().lines == 0


def test_access_lines_cannot_be_filtered() -> None:
    with pytest.raises(ValueError, match="access lines have no generation"):
        Selection(access=True, worker=1).checked()


@pytest.mark.parametrize(
    ("text", "generation", "found"),
    [(None, 8, (8, None)), ("2", None, (None, 2)), ("2", 8, (8, 2)), ("8.2", 8, (8, 2))],
)
def test_a_worker_by_its_name(text: str | None, generation: int | None, found: tuple[int | None, int | None]) -> None:
    assert named_worker(text, generation) == found


@pytest.mark.parametrize("text", ["", "x", "8.", ".2", "8.2.1", "-1", "7.2"])
def test_what_names_no_worker_of_that_generation(text: str) -> None:
    with pytest.raises(ValueError):
        named_worker(text, 8)
