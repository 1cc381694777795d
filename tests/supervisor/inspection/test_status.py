"""What ``ctl status`` tells: of a service in each of its states, and of generations that live and that have ended."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.pins import PIN
from releve.config.settings.settings import Settings
from releve.instance.protocol import Status
from releve.server.shared.link import pair
from releve.supervisor.channels.worker import Worker
from releve.supervisor.condition.saturation import Load, Saturation
from releve.supervisor.generation.crash import Crash
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host.usage import CpuMeter
from releve.supervisor.inspection import status
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.service import Service
from releve.supervisor.service.states import ServiceState

CALM = Load(1, 4, 0, None)
LISTENING = socket.create_server(("127.0.0.1", 0), backlog=9)


def generation() -> Generation:
    """One that serves, with two workers, which are this process; number 2 has counted something."""
    made = Generation(7, PIN, Settings(app="shop:app"), [])
    made.life.state = GenerationState.SERVING
    for number in (2, 1):
        ours, theirs = pair()
        theirs.close()
        made.roster.workers[number] = Worker(
            number, os.getpid(), number, 1, ours, os.pidfd_open(os.getpid()), "serving"
        )
    made.board.tally(2).put("given", 4)
    return made


def end(one: Generation) -> None:
    for worker in one.workers.values():
        worker.close()
    one.workers.clear()
    one.kill()


def told(
    *generations: Generation,
    doing: ServiceState = ServiceState.SERVING,
    degraded: tuple[str, ...] = (),
    operation: Operation | None = None,
    load: Load = CALM,
    failing: str | None = None,
) -> dict[str, Any]:
    """The result, as it goes over the control socket."""
    settings = Settings(app="shop:app")
    service = SimpleNamespace(
        condition=SimpleNamespace(judge=lambda: None, degraded=dict(enumerate(degraded))),
        generations=lambda: list(generations),
        active=generations[0] if generations else None,
        serving=generations[0] if generations else None,
        load=lambda: load,
        saturation=Saturation(),
        failing=lambda: failing,
        cpu=CpuMeter(),
        history=SimpleNamespace(entries=lambda limit: [{"number": 3}], pending=0),
        configuration=SimpleNamespace(name="shop", path=None),
        settings=settings,
        started=0.0,
        listeners=SimpleNamespace(in_service=[SimpleNamespace(name="127.0.0.1:80", socket=LISTENING)]),
        drain=SimpleNamespace(picture=lambda: None),
        wanted_workers=2,
        scaled=None,
        serving_words=lambda: "generation 7 serves",
    )
    event = status.snapshot(cast(Service, service), doing, operation, [])
    found: dict[str, Any] = json.loads(json.dumps(event, allow_nan=False))
    return found


@pytest.mark.parametrize(
    ("doing", "degraded", "state", "code"),
    [
        (ServiceState.SERVING, (), "serving", Status.DONE),
        (ServiceState.SERVING, ("a worker is missing",), "degraded", Status.DEGRADED),
        (ServiceState.OPERATING, (), "serving", Status.DONE),
        (ServiceState.OPERATING, ("a worker is missing",), "degraded", Status.DEGRADED),
        (ServiceState.RECOVERING, ("the master has ended",), "degraded", Status.DEGRADED),
        (ServiceState.TRIAL, ("a worker is missing",), "on trial", Status.DONE),
        (ServiceState.STOPPING, ("a worker is missing",), "stopping", Status.DONE),
        (ServiceState.STARTING, (), "starting", Status.DONE),
    ],
)
def test_the_state_of_a_service(doing: ServiceState, degraded: tuple[str, ...], state: str, code: Status) -> None:
    found = told(doing=doing, degraded=degraded)
    assert (found["service"]["state"], found["status"]) == (state, code)
    why = [*degraded] if state == "degraded" else []
    assert found["message"] == f"{state}: {'; '.join([*why, 'generation 7 serves'])}"
    assert found["service"]["degraded"] == list(degraded) and found["last"] == {"number": 3}


@pytest.mark.parametrize(
    ("load", "degraded", "message", "saturated"),
    [
        (Load(4, 4, 3, 1.0), (), "serving: generation 7 serves", None),  # a burst
        (
            Load(4, 4, 3, 12.4),
            (),
            "serving, saturated: all 4 threads busy for 12 s, 3 waiting; generation 7 serves",
            "all 4 threads busy for 12 s, 3 waiting",
        ),
        (
            Load(1, 1, 0, 5.0),
            ("a worker is missing",),
            "degraded: a worker is missing; saturated: the only thread busy for 5 s; generation 7 serves",
            "the only thread busy for 5 s",
        ),
    ],
)
def test_saturation(load: Load, degraded: tuple[str, ...], message: str, saturated: str | None) -> None:
    found = told(load=load, degraded=degraded)
    assert found["message"] == message and found["service"]["saturated"] == saturated
    told_of = {"busy": load.busy, "threads": load.threads, "waiting": load.waiting, "full_s": load.full_s}
    assert found["service"]["load"] == told_of
    assert found["service"]["queues"] == [{"listener": "127.0.0.1:80", "waiting": 0, "most": 9}]


def test_a_service_that_fails() -> None:
    found = told(failing="9 of 10", load=Load(1, 1, 0, 5.0))
    assert found["message"] == (
        "serving, saturated: the only thread busy for 5 s; failing: 9 of 10; generation 7 serves"
    )
    assert told(failing="9 of 10")["message"] == "serving, failing: 9 of 10; generation 7 serves"
    assert (found["service"]["failing"], told()["service"]["failing"]) == ("9 of 10", None)


def test_an_operation_under_way() -> None:
    operation = Operation("upgrade", "root", 4)
    operation.phase, operation.times = "boot", {"preflight": 0.1}
    shown = told(operation=operation)["service"]["operation"]
    assert shown.pop("since_s") >= 0
    assert shown.pop("phases") == {"preflight": 0.1}
    assert shown == {"verb": "upgrade", "number": 4, "phase": "boot", "doing": "", "by": "root"}
    assert told()["service"]["operation"] is None


def test_a_generation_and_its_workers_in_order() -> None:
    async def story() -> None:
        one = generation()
        one.booting.greet({"releve": "1.2"})
        one.news.mixed, one.news.astray = ["a.py"], ["b.py"]
        one.crashes.recent.append(Crash(0.0, "worker 3 was killed", "the stack"))
        [shown] = told(one)["generations"]
        assert (shown["generation"], shown["state"], shown["active"], shown["releve"]) == (7, "serving", True, "1.2")
        assert shown["mixed"] == ["a.py", "b.py"] and shown["crashes"][0]["what"] == "worker 3 was killed"
        assert [(worker["worker"], worker["given"]) for worker in shown["workers"]] == [(1, 0), (2, 4)]
        end(one)

    asyncio.run(story())


def test_one_that_has_ended_is_told_too() -> None:
    async def story() -> None:
        one, other = generation(), generation()
        end(one)
        shown = told(other, one)["generations"]
        assert [(each["state"], each["active"], len(each["workers"])) for each in shown] == [
            ("serving", True, 2),
            ("gone", False, 0),
        ]
        end(other)

    asyncio.run(story())
