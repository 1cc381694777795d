"""What became of an attempt whose supervisor was killed, by what the next one's history says."""

from __future__ import annotations

from typing import Any

import pytest

from releve.ctl import aftermath as module
from releve.ctl.aftermath import aftermath
from releve.instance.protocol import Status

MINE = {"id": 4, "verb": "upgrade", "from": {"generation": 7}}


def adopted(outcome: str | None, generation: int, **more: Any) -> dict[str, Any]:
    return {
        "id": 5,
        "verb": "adopt",
        "outcome": outcome,
        "to": {"generation": generation, "directory": "/srv/2"},
        **more,
    }


def asked(monkeypatch: pytest.MonkeyPatch, *histories: Any, verb: str = "upgrade") -> Any:
    """The result, where the supervisor's history is these one after the other; the last one stays."""
    left = list(histories)
    monkeypatch.setattr(module, "AGAIN_S", 0.0)
    monkeypatch.setattr(module, "_history", lambda path: left.pop(0) if len(left) > 1 else left[0])
    return aftermath("/run/shop/ctl.sock", verb, 4)


def test_what_serves_now_tells_whether_it_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    done = asked(monkeypatch, [MINE, adopted("done", 8)])
    assert (done["status"], done["next"]) == (Status.DONE, "")
    assert "it completed and stays in force" in done["message"]
    assert done["serving"] == "generation 8, /srv/2"


@pytest.mark.parametrize(("outcome", "status"), [("rolled back", Status.ROLLED_BACK), ("done", Status.FAILED)])
def test_what_serves_as_before_was_undone(outcome: str, status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    undone = asked(monkeypatch, [MINE, adopted(outcome, 7, reason="it was too slow")])
    assert undone["status"] == status
    assert undone["message"].endswith("it was undone: it was too slow") and undone["next"]


def test_what_the_master_goes_on_with_is_not_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, [MINE, adopted("done", 7)], verb="restart")
    assert found["status"] == Status.FAILED and "the master continues it; `ctl workers` shows" in found["message"]


def test_it_waits_until_somebody_has_come_and_settled_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of those who come may be killed in its turn."""
    killed = {**adopted("interrupted", 8), "id": 5}
    histories = (None, [MINE], [MINE, killed], [MINE, killed, {**adopted(None, 8), "id": 6}])
    found = asked(monkeypatch, *histories, [MINE, killed, {**adopted("done", 8), "id": 6}])
    assert found["status"] == Status.DONE


def test_who_knows_nothing_of_it_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, [adopted("done", 8)]) is None


def test_without_a_supervisor_nobody_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    assert asked(monkeypatch, None) is None
