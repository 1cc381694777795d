"""The supervisor's own log, where a reload sends it to a file that cannot be opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from releve.config.settings.log import Log
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import OwnLog, log


@pytest.fixture
def own() -> Iterator[OwnLog]:
    handlers, propagate, level = list(log.handlers), log.propagate, log.level
    made = OwnLog()
    yield made
    made.change(Log())  # closes the file
    log.handlers[:], log.propagate = handlers, propagate
    log.setLevel(level)


def test_it_goes_on_where_it_went(own: OwnLog, tmp_path: Path) -> None:
    file = tmp_path / "log"
    own.change(Log(file=str(file)))
    assert not file.exists(), "it has not begun"
    own.follow(Log(file=str(file)))
    missing = Log(file=str(tmp_path / "no" / "folder"))
    with pytest.raises(StepFailed):
        own.follow(missing)
    own.change(missing)
    assert own.path == str(file)
    assert "; the supervisor keeps logging to where it did\n" in file.read_text()
