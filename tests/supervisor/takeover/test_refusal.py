"""What is refused leaves at once, or when another generation serves on its listeners."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.pins import PIN
from releve.config.settings.address import Address
from releve.config.settings.timeouts import Timeouts
from releve.server.shared.link import Link, pair
from releve.supervisor.listeners import stored
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.service.held_listeners import HeldListeners
from releve.supervisor.systemd.notify import Notifier
from releve.supervisor.takeover import departure, rescue
from releve.supervisor.takeover.inventory import Refused
from releve.supervisor.takeover.refusal import Refusals
from releve.supervisor.takeover.verification import Caller

NOBODY = 1 << 22  # above every pid: pid_max of proc(5)
QUIT = {"type": "quit", "id": 1, "deadline_s": 0.0, "linger_s": 3.0}


def a_service(drain_s: float = 0.0) -> Any:
    timeouts = Timeouts(drain=drain_s, linger=3.0)
    listeners = HeldListeners({}, Notifier({}))
    return SimpleNamespace(settings=SimpleNamespace(timeouts=timeouts), listeners=listeners)


def listener() -> Listener:
    sock = socket.create_server(("127.0.0.1", 0))
    address = Address("tcp", host="127.0.0.1", port=sock.getsockname()[1])
    return Listener(str(address), address, sock, inherited=False, inode=None)


def refused(kept: Any = None) -> Refused:
    return Refused("it lies", Caller(NOBODY, os.geteuid()), kept)


def heard(link: Link) -> Any:
    try:
        received = link.receive()
    except BlockingIOError:
        return None
    return None if received is None else received[0]


KEPT: Any = SimpleNamespace(held=SimpleNamespace(pid=NOBODY), pin=PIN)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departure, "GRACE_S", 0.0)


def test_without_listeners_of_its_own_it_is_told_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        ours, theirs = pair()
        refusals, door = Refusals(a_service()), tmp_path / "gen-1.sock"
        refusals.send_away(door, ours, refused())
        assert heard(theirs) == QUIT and refusals.doors() == {door}
        await asyncio.wait_for(refusals.settled(), 20)
        assert refusals.doors() == set()
        theirs.close()

    asyncio.run(run())


@pytest.mark.parametrize("dead", [False, True], ids=["its master lives", "its master has died"])
def test_what_has_listeners_serves_until_another_one_does(
    dead: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        child = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
        workers = [os.pidfd_open(child.pid)]
        its = listener()
        monkeypatch.setattr(rescue, "processes", lambda kept: workers if dead else [])
        monkeypatch.setattr(rescue, "listeners", lambda kept, among: (its,))
        ours, theirs = pair()
        service, door = a_service(60.0 if dead else 0.0), tmp_path / "gen-1.sock"
        refusals = Refusals(service)
        if dead:
            refusals.bereave(door, KEPT)
        else:
            refusals.send_away(door, ours, refused(KEPT))
        name = stored.name_of(its.name, None)
        assert service.listeners.inherited == {name: its.socket} and refusals.doors() == {door}
        assert heard(theirs) is None and child.returncode is None, "clients are with it"
        refusals.dismiss()
        assert service.listeners.inherited == {} and its.socket.fileno() < 0, "the other one has a duplicate"
        if dead:
            assert await asyncio.wait_for(child.wait(), 20) == -signal.SIGTERM, "nobody else tells it"
        else:
            assert heard(theirs) == QUIT
            child.kill()
            await child.wait()
            os.close(workers[0])
        await asyncio.wait_for(refusals.settled(), 20)
        assert refusals.doors() == set()
        for link in (ours, theirs):
            link.close()

    asyncio.run(run())


def test_of_one_whose_processes_have_all_ended_nothing_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescue, "processes", lambda kept: [])
    refusals = Refusals(a_service())
    refusals.bereave(tmp_path / "gen-1.sock", KEPT)
    assert refusals.doors() == set()
