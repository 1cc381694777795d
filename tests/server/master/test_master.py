"""The master's turn: how much of it one worker may take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from releve.server.master.master import Master
from releve.server.prefork.workers import Worker
from releve.server.shared import noise
from releve.server.shared.link import pair


def test_a_worker_that_sends_only_garbage_has_its_slice_of_a_turn_and_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(noise, "TOO_MUCH", 2)
    missed: list[Worker] = []
    master: Any = object.__new__(Master)
    master._controller = SimpleNamespace(miss=missed.append)
    ours, theirs = pair()
    worker = Worker(1, 0, 1, 0, -1, ours)
    for _ in range(4):
        theirs.socket.send(b"[{},{}]")
    for _ in range(3):
        assert not missed
        master._listen(worker, within_s=0.0)  # a slice that is over when the first packet has been read
    assert missed == [worker] and worker.heard_out
    ours.close()
    theirs.close()
