"""Promise: kill anything. Every fault point, failing in every way, in the operation that comes by it, under load.

Generated from the registry of fault points. Each time: no connection is refused, nobody loses
anything but what a failed worker held, the service comes to one committed generation by
itself, the history tells what happened, and nothing is left in the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.load import Load
from harness.service import Service, eventually, serving
from releve.server.shared.faults import POINTS, VARIABLE, Mode, Process, read

ROOT = Path(__file__).parents[2]
CLIENTS = 16
CONVERGED_S = 60.0
MODES = list(Mode)
QUICK = (Mode.KILL, Mode.EXCEPTION, Mode.EXIT)
SHOWN = {(number, QUICK[number // 2 % len(QUICK)]) for number in range(0, len(POINTS), 2)}

# In `make test` every second point fails in one way, and each way is met at some point of each process; all of them in
# `make soak`.
CASES = [
    pytest.param(point, mode, id=f"{point}-{mode.value}", marks=() if (number, mode) in SHOWN else [pytest.mark.soak])
    for number, point in enumerate(POINTS)
    for mode in MODES
]

CANARY = {"on_canary", "master_attend", "master_divert", "worker_attend", "worker_divert"}  # reached with one only


def test_every_point_has_one_call_and_every_call_its_point() -> None:
    calls = [
        found
        for folder in ("server", "supervisor")
        for file in sorted((ROOT / folder).rglob("*.py"))
        for found in re.findall(r"\bfault\(\"(\w+)\"\)", file.read_text())
    ]
    assert sorted(calls) == sorted(POINTS)


@pytest.mark.parametrize(
    ("text", "words"), [("after_spwan:kill", "after_spawn"), ("after_spawn:kil", "kill"), ("x", "is not known")]
)
def test_what_is_not_known_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(text)


def test_an_unknown_point_keeps_the_supervisor_from_starting(tmp_path: Path) -> None:
    with serving(tmp_path, start=False) as service:
        service.environment[VARIABLE] = "nowhere:kill"
        service.start(wait=False)
        assert service.process is not None and service.process.wait(20) == 2
        assert "'nowhere' is not known" in service.log()


def at_rest(service: Service) -> bool:
    """One committed generation serves with all its workers, and nothing is under way."""
    with contextlib.suppress(OSError, AssertionError, IndexError):
        status = service.status()
        active = [g for g in status["generations"] if g["active"]]
        states = [g["state"] for g in status["generations"]]
        return (
            status["service"]["operation"] is None
            and states.count("serving") == 1
            and len(active) == 1
            and active[0]["state"] == "serving"
            and not active[0]["orphaned"]
            and sum(w["state"] == "serving" for w in active[0]["workers"]) == 2
        )
    return False


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("point", "mode"), CASES)
def test_an_operation_that_fails_there(tmp_path: Path, point: str, mode: Mode) -> None:
    process, verb = POINTS[point].process, POINTS[point].verb
    token = tmp_path / "token"
    upgrade: dict[str, Any] = {"probation": "300ms", "standby": "1s", "retire": "3s", "check": "/healthz"}
    if point in CANARY:
        upgrade["canary"] = {"share": "30%", "for": "300ms"}
    with serving(tmp_path, start=False, upgrade=upgrade, timeouts={"boot": "5s"}) as service:
        service.environment[VARIABLE] = f"{point}:{mode.value}@{token}"
        service.start()
        service.release("two")
        service.flip("two")
        load = Load(  # going back is allowed
            *service.addresses, serving=1, clients=CLIENTS, think=1.0, think_mean=0.12, patience=30, unordered=True
        )
        try:
            load.wait(30)
            load.begin(2)
            load.begin(3)
            load.begin(4)
            token.touch()
            first = service.supervisor()
            ctl = service.begin_ctl(verb, "--json")
            eventually(lambda: not token.exists(), "the fault point is reached", CONVERGED_S)
            if process is Process.SUPERVISOR:
                service.killed = mode is not Mode.EXCEPTION
                if mode is Mode.HANG:  # as a watchdog would; nobody else can tell
                    load.wait(100)
                    os.kill(first, signal.SIGKILL)
            eventually(lambda: at_rest(service), "one committed generation", CONVERGED_S)
            load.wait(50)
            out, err = ctl.communicate(timeout=60)
            report = load.report()
            assert "refused" not in report["kinds"], report["failures"]
            lost = report["failed"]
            assert lost <= (CLIENTS if process is Process.WORKER else 0), (
                report["kinds"],
                report["failures"],
                out,
                err,
            )
        finally:
            load.kill()
        last = [entry for entry in service.ask("history")["entries"] if entry["verb"] == verb][-1]
        serves = service.who()["release"]
        outcomes = {"done": "two" if verb == "upgrade" else "one", "failed": "one", "rolled back": "one"}
        if last["outcome"] in outcomes:
            assert serves == outcomes[last["outcome"]], last
        else:
            assert last["outcome"] == "interrupted"
        if process is not Process.SUPERVISOR:
            status = json.loads(out)["status"]
            assert (status in (0, 8)) == (last["outcome"] == "done"), out
        service.do("upgrade")  # and the next one is an ordinary one
        assert service.who()["release"] == "two"
