"""What is known of the logs, from who has lost lines and who has ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from releve.config.settings.log import Log
from releve.supervisor.condition.log_health import AGAIN, LEFT, LogHealth

LOG = Log(file="/logs/service", access="/logs/access")


def generation(number: int, **workers: tuple[int, int]) -> Any:
    """``workers``: of each, by its pid behind a ``w``, the lines that it has lost and the requests it has answered."""
    records = {int(name[1:]): SimpleNamespace(pid=int(name[1:]), lost=lost, requests=requests)
               for name, (lost, requests) in workers.items()}  # fmt: skip
    board = SimpleNamespace(lost=0)
    known = {pid: SimpleNamespace(pid=pid, record=lambda board, pid=pid: records[pid]) for pid in records}
    return SimpleNamespace(number=number, orphaned=False, board=board, workers=known)


def test_whoever_writes_again_ends_it() -> None:
    logs = LogHealth()
    assert logs.look(LOG, [generation(1, w7=(0, 5))]) == "" and logs.words == ""
    told = logs.look(LOG, [generation(1, w7=(2, 6), w8=(1, 1))])
    assert told == logs.words and logs.losing
    assert told.startswith("the log cannot be written (/logs/service, /logs/access), 3 lines were lost; ")
    assert logs.look(LOG, [generation(1, w7=(4, 6))]) == "", "it is told once"
    assert "5 lines were lost" in logs.words, "also of one that has ended"
    assert logs.look(LOG, [generation(1, w7=(0, 7))]) == AGAIN and logs.words == ""


def test_when_all_have_ended_who_lost_lines_it_is_not_over_before_somebody_has_written() -> None:
    logs = LogHealth()
    logs.look(LOG, [generation(1, w7=(2, 6))])
    assert logs.look(LOG, [generation(2, w9=(0, 3))]) == LEFT
    assert logs.look(LOG, [generation(2, w9=(0, 3))]) == "" and logs.words == LEFT and not logs.losing
    assert logs.look(LOG, [generation(2, w9=(0, 4))]) == AGAIN and logs.words == ""


def test_a_worker_that_loses_lines_too_is_told_anew() -> None:
    logs = LogHealth()
    logs.look(LOG, [generation(1, w7=(2, 6))])
    logs.look(LOG, [generation(2, w9=(0, 0))])
    told = logs.look(LOG, [generation(2, w9=(1, 1))])
    assert "1 line was lost" in told and logs.words == told


def test_another_log_is_another_matter() -> None:
    logs = LogHealth()
    logs.look(LOG, [generation(1, w7=(2, 6))])
    assert logs.look(Log(file="/elsewhere"), [generation(2, w9=(0, 0))]) == AGAIN and logs.words == ""
