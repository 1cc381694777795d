"""The attempts since a time, asked for in growing numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from releve.ctl import attempts
from releve.ctl.order import Order
from releve.instance.protocol import Event, Status, result

START = datetime(2026, 11, 23, tzinfo=UTC)
KEPT = 300  # one a minute
ORDER = Order("history", None, None, False, None)


class Supervisor:
    """Answers with the last attempts; ``room``: so many at most, and if it is an older one it breaks off then."""

    def __init__(self, room: int = KEPT, older: bool = False) -> None:
        self.asked: list[int] = []
        self.room, self.older = room, older

    def answer(self, order: Order) -> Event:
        limit = order.arguments["limit"]
        self.asked.append(limit)
        wanted = range(max(0, KEPT - limit), KEPT)
        if self.older and len(wanted) > self.room:
            return result(Status.UNEXPECTED, "a message is too long")
        entries = [{"id": n, "began": (START + timedelta(minutes=n)).isoformat()} for n in wanted][-self.room :]
        left_out = len(wanted) - len(entries)
        return result(Status.DONE, "", entries=entries, **({"left_out": left_out} if left_out else {}))


@pytest.mark.parametrize(
    ("supervisor", "minute", "limit", "shown", "asked", "said"),
    [
        (Supervisor(), 290, None, 10, [20], ""),
        (Supervisor(), 250, None, 50, [20, 100], ""),
        (Supervisor(), 250, 5, 5, [20], ""),
        (Supervisor(), 0, None, 300, [20, 100, 500], ""),
        (Supervisor(), 0, 150, 150, [20, 100, 500], ""),
        (Supervisor(room=60), 250, None, 50, [20, 100], ""),
        (Supervisor(room=60), 0, None, 60, [20, 100, 500], "for lack of room in the answer: 240 older attempts"),
        (Supervisor(room=200, older=True), 0, None, 100, [20, 100, 500], "not shown: a message is too long"),
    ],
)
def test_no_more_are_asked_for_than_it_takes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    supervisor: Supervisor,
    minute: int,
    limit: int | None,
    shown: int,
    asked: list[int],
    said: str,
) -> None:
    monkeypatch.setattr(attempts, "answer", supervisor.answer)
    found = attempts.since(ORDER, START + timedelta(minutes=minute), limit)
    assert found["status"] == Status.DONE
    assert [one["id"] for one in found["entries"]] == list(range(KEPT - shown, KEPT))
    assert supervisor.asked == asked
    written = capsys.readouterr().err
    assert said in written and bool(said) is bool(written)


def test_the_last_ones_and_that_not_all_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(attempts, "answer", Supervisor(room=60).answer)
    assert len(attempts.last(ORDER, None)["entries"]) == attempts.SHOWN
    assert not capsys.readouterr().err
    assert len(attempts.last(ORDER, 61)["entries"]) == 60
    assert "1 older attempt" in capsys.readouterr().err


def test_where_nobody_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = result(Status.NOT_RUNNING, "not running")
    monkeypatch.setattr(attempts, "answer", lambda order: nobody)
    assert attempts.since(ORDER, START, None) == nobody
