"""How requests change a stop: it gets quicker and never slower, and what systemd keeps is given up once it is final."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from releve.supervisor.systemd import systemctl
from releve.supervisor.verbs.dispatcher import Dispatcher
from releve.supervisor.verbs.stop import PACES, Pace, Request, Stop

DRAIN_S, LINGER_S = 20.0, 3.0
HOW = {"at once": (0.0, None, False), "serves on": (DRAIN_S, LINGER_S, True), "drains": (DRAIN_S, LINGER_S, False)}


def test_every_request_has_a_place_in_every_pace_and_none_makes_a_stop_slower() -> None:
    order = [None, *Pace]
    assert set(PACES) == {(pace, request) for pace in order for request in Request}
    assert all(order.index(after) >= order.index(before) for (before, _), after in PACES.items())


class Generation:
    """One that leaves when it is let."""

    def __init__(self, dismiss: Any) -> None:
        self.ended = asyncio.Event()
        self.dismiss = dismiss


class Service:
    """What a stop sees of a service with one generation, under systemd."""

    def __init__(self, *, keeps: bool, pre_stop_s: float | None) -> None:
        self.dismissed: list[tuple[float, float | None, bool]] = []
        self.dropped = 0
        self.generation = Generation(self._dismiss)
        self.active = self.serving = self.generation
        self.retiring: list[Any] = []
        self.store = SimpleNamespace(keeps_any=keeps, drop=self._drop)
        self.listeners = SimpleNamespace(in_service=[], store=self.store, close=lambda: None)
        self.drain = SimpleNamespace(stop=lambda: None)
        self.history = SimpleNamespace(reserve=lambda: 1, begin=lambda *told, **how: 1, finish=lambda *told: None)
        self.notifier = SimpleNamespace(
            active=True, main_pid=lambda pid: None, stopping=lambda: None, barrier=self._barrier
        )
        timeouts = SimpleNamespace(pre_stop=pre_stop_s, drain=DRAIN_S, linger=LINGER_S)
        self.settings = SimpleNamespace(timeouts=timeouts)

    def generations(self) -> list[Any]:
        return [self.generation]

    def describe(self, generation: object) -> None: ...

    def _dismiss(self, drain_s: float, linger_s: float | None, *, serve_on: bool) -> None:
        self.dismissed.append((drain_s, linger_s, serve_on))

    def _drop(self) -> None:
        self.dropped += 1
        self.store.keeps_any = False

    async def _barrier(self, within_s: float) -> bool:
        return True


def run(
    monkeypatch: pytest.MonkeyPatch,
    *requests: tuple[Request, bool] | str,
    keeps: bool = True,
    says_stop: bool = False,
    meanwhile: tuple[Request, bool] | None = None,
    pre_stop_s: float | None = None,
) -> Service:
    """A stop to its end; ``drained`` among the requests: from there on they come in its drain.

    ``meanwhile``: while systemd is asked.
    """

    async def go() -> Service:
        service = Service(keeps=keeps, pre_stop_s=pre_stop_s)
        dispatcher = Dispatcher(service)  # type: ignore[arg-type]
        dispatcher.holding.set()
        stop = Stop(dispatcher)

        async def stops_for_good() -> bool:
            if meanwhile is not None:
                stop.ask("test", meanwhile[0], final=meanwhile[1])
            return says_stop

        monkeypatch.setattr(systemctl, "stops_for_good", stops_for_good)
        for request in requests:
            if isinstance(request, str):
                async with asyncio.timeout(10.0):
                    while not service.dismissed:
                        await asyncio.sleep(0)
            else:
                stop.ask("test", request[0], final=request[1])
        service.generation.ended.set()
        async with asyncio.timeout(10.0):
            await stop.ended.wait()
        return service

    return asyncio.run(go())


CTL, TERM, NOW, INT = (Request.PLAIN, True), (Request.HURRY, False), (Request.NOW, True), (Request.NOW, False)


@pytest.mark.parametrize(
    ("requests", "how", "dropped"),
    [
        pytest.param([CTL], ["drains"], 1, id="ctl stop is final"),
        pytest.param([TERM], ["serves on"], 0, id="a signal may be half of a restart"),
        pytest.param([TERM, "drained", TERM], ["serves on"], 0, id="and so may another one"),
        pytest.param([TERM, "drained", CTL], ["serves on", "drains"], 1, id="ctl stop makes it final"),
        pytest.param([CTL, "drained", CTL], ["drains"], 1, id="asked twice"),
        pytest.param([INT], ["at once"], 0, id="SIGINT waits for no request"),
        pytest.param([TERM, "drained", INT], ["serves on", "at once"], 0, id="nor does a later one"),
        pytest.param([TERM, "drained", NOW], ["serves on", "at once"], 1, id="which ctl makes final"),
        pytest.param([NOW, "drained", CTL], ["at once"], 1, id="what is at once stays so"),
    ],
)
def test_how_the_generations_leave(
    monkeypatch: pytest.MonkeyPatch, requests: list[Any], how: list[str], dropped: int
) -> None:
    service = run(monkeypatch, *requests)
    assert service.dismissed == [HOW[one] for one in how]
    assert service.dropped == dropped


def test_systemd_says_that_nothing_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    service = run(monkeypatch, TERM, says_stop=True)
    assert (service.dismissed, service.dropped) == ([HOW["drains"]], 1)


@pytest.mark.parametrize(
    ("meanwhile", "how"), [(CTL, ["drains"]), (NOW, ["at once", "at once"]), (TERM, ["serves on"])], ids=str
)
def test_a_request_that_comes_while_systemd_is_asked_counts(
    monkeypatch: pytest.MonkeyPatch, meanwhile: tuple[Request, bool], how: list[str]
) -> None:
    service = run(monkeypatch, TERM, meanwhile=meanwhile)
    assert service.dismissed == [HOW[one] for one in how]
    assert service.dropped == int(meanwhile[1])


@pytest.mark.parametrize("second", [TERM, NOW], ids=str)
def test_a_second_request_ends_the_wait_before_the_drain(
    monkeypatch: pytest.MonkeyPatch, second: tuple[Request, bool]
) -> None:
    service = run(monkeypatch, TERM, second, pre_stop_s=600.0)
    assert service.dismissed[-1] == HOW["at once" if second is NOW else "serves on"]
