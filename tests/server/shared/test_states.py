"""The states of a worker: the words on the wire, and what sets of them mean."""

from __future__ import annotations

import json

from releve.server.prefork.workers import NEXT
from releve.server.shared.states import AT_WORK, HEARING, UP, WorkerState
from releve.server.worker.orders import AFTER


def test_the_words_that_travel_stay() -> None:
    words = ["booting", "ready", "attending", "serving", "paused", "leaving", "gone"]
    assert list(WorkerState) == words and json.loads(json.dumps(list(WorkerState))) == words


def test_a_word_of_another_release_is_none_of_them() -> None:
    assert "dancing" not in set(WorkerState) and "dancing" not in HEARING
    assert "paused" in UP and "leaving" in HEARING and "booting" not in HEARING


def test_where_clients_come_is_where_a_pause_ends_something() -> None:
    assert {state for state, verb in AFTER if verb == "pause"} - {WorkerState.READY, WorkerState.PAUSED} == AT_WORK
    assert {state for state, verb in AFTER if verb == "pause"} == UP
    assert {state for state, _ in AFTER} == HEARING


def test_the_master_believes_what_an_order_leads_to() -> None:
    assert all(after in NEXT[before] for (before, _), after in AFTER.items() if after is not before)
