"""The table of verbs: complete, the same as ``ctl``'s, and what comes with a verb is fit for those who do it."""

from __future__ import annotations

import itertools
import json
import os
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.garbage import VALUES
from releve.config.settings.control import CONTROL_VERBS
from releve.config.settings.settings import WORKERS_MAX
from releve.ctl.verbs import VERBS as OF_CTL
from releve.instance.protocol import ProtocolError, Status, request
from releve.supervisor.operations import scale
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.service.states import ServiceState
from releve.supervisor.verbs.admission import OPERATION, Admission
from releve.supervisor.verbs.verbs import VERBS, admit, read

TEXT = st.text(max_size=30) | st.sampled_from(["+1", "-1", "+", "9" * 30, "a\0b", "\ud800", "x" * 5000, "/"])
ASKED = [(verb, name) for verb, row in VERBS.items() for name in row.takes.may]


def test_whoever_knows_verbs_knows_the_same() -> None:
    """``ctl``, the supervisor, and the setting ``control.may``; also in the same order."""
    assert tuple(VERBS) == tuple(OF_CTL) == CONTROL_VERBS


def test_every_verb_has_an_answer_in_every_state() -> None:
    for (verb, row), state in itertools.product(VERBS.items(), ServiceState):
        assert isinstance(row.when[state], Admission), verb
        assert row.takes.needs == {}, "an older ctl does not know what is new"


def test_who_may_be_refused_something_to_wait_for_can_say_so() -> None:
    """A verb that begins an operation takes ``wait``; one that only asks does not."""
    for verb, row in VERBS.items():
        assert ("wait" in row.takes.may) == (row.when[ServiceState.OPERATING] not in (Admission.RUN,)), verb


def test_a_rehearsal_remedies_nothing() -> None:
    assert {verb for verb, row in VERBS.items() if "dry_run" in row.takes.may} == {
        verb for verb, row in VERBS.items() if row.when_dry
    }
    for state in ServiceState:
        assert admit("upgrade", state, dry=True) is OPERATION[state]
    assert admit("upgrade", ServiceState.RECOVERING) is Admission.FOLLOW


def test_refusals_have_their_exit_status() -> None:
    assert Admission.BUSY.status == Status.BUSY
    assert Admission.NOTHING.status == Status.USAGE


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"version": 2, "verb": "status"}, "of version 2: this supervisor speaks 1"),
        (request("dance", {}), "cannot do 'dance': no such verb; this supervisor knows status, upgrade, "),
        ({**request("stop", {}), "arguments": [1]}, "cannot stop: its arguments are not an object"),
        (request("stop", {"when": 1, "how": 2}), "cannot stop: unknown argument 'how'"),
        (request("stop", {"now": 1}), "cannot stop: it is stop whose now is neither true nor false"),
    ],
)
def test_what_is_no_request_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError) as error:
        read(said)
    assert message in str(error.value)


@settings(max_examples=300)
@given(st.sampled_from(ASKED), VALUES | TEXT)
@example(("upgrade", "directory"), "a\0b")
@example(("upgrade", "python"), "\ud800")
def test_what_ctl_asks_is_fit_for_those_who_do_it(asked: tuple[str, str], value: Any) -> None:
    try:
        verb, said = read(request(asked[0], {asked[1]: value}))
    except ProtocolError:
        return
    assert verb == asked[0]
    json.dumps(said).encode()
    for name in {"directory", "python"} & set(said):
        with suppress(OSError):
            os.stat(said[name])
    if "workers" in said:
        service = cast(Any, SimpleNamespace(wanted_workers=2))
        with suppress(StepFailed):
            assert 1 <= scale.wanted(service, said["workers"], False) <= WORKERS_MAX
    assert said.get("limit", 0) >= 0 and all(
        type(said.get(name, False)) is bool for name in ("wait", "now", "reset", "dry_run", "all")
    )
