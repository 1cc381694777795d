"""What an upgrade is to run: the listeners, and who waits for them."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from releve.config.settings.address import Address
from releve.config.settings.settings import Settings
from releve.config.settings.timeouts import Timeouts
from releve.supervisor.operations import target
from releve.supervisor.release import release
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.service.held_listeners import HeldListeners
from releve.supervisor.systemd.notify import Notifier


@pytest.fixture
def taken() -> Iterator[Address]:
    """An address that another process listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield Address("tcp", host="127.0.0.1", port=other.getsockname()[1])


def a_service(in_service: Any = (), *, patient_s: float = 60.0) -> Any:
    """One that waits for addresses, for as long as a test may take."""
    listeners = HeldListeners({}, Notifier({}))
    listeners.commit(in_service)
    listeners.patient_until = time.monotonic() + patient_s
    return SimpleNamespace(active=None, listeners=listeners, base_environment={})


def configuration(address: Address, bind: float | None = 60.0) -> Any:
    settings = Settings(listen=(address,), timeouts=Timeouts(bind=bind))
    return SimpleNamespace(read=lambda: SimpleNamespace(settings=settings), bounds=None)


def outcome(choosing: Awaitable[target.Target]) -> target.Target:
    return asyncio.run(asyncio.wait_for(choosing, 20))


@pytest.fixture(autouse=True)
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pin(*arguments: Any) -> Any:
        return None

    monkeypatch.setattr(release, "pin", pin)


def test_who_is_not_patient_waits_for_no_address(taken: Address) -> None:
    """``ctl check``, which would say nothing meanwhile, and an upgrade because files have changed."""
    with pytest.raises(StepFailed, match="cannot listen on 127.0.0.1") as error:
        outcome(target.from_configuration(a_service(), configuration(taken), patient=False)())
    assert error.value.step == "listen"


def test_what_only_another_supervisor_applies_is_said_and_also_what_would_keep_it_from_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serving = Settings()
    late = target.late_in(serving, replace(serving, control_group="root", state_directory="/var/lib/shop", threads=3))
    assert late.keys == ("control_group", "state_directory")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: [0, 1000])
    assert list(late.notes()) == [
        "control_group changed: it takes effect when the supervisor restarts",
        "state_directory changed: it takes effect when the supervisor restarts",
    ]
    monkeypatch.setattr(os, "getgroups", list)
    assert next(late.notes()) == (
        "control_group changed: it takes effect when the supervisor restarts, and that start would fail: cannot let "
        "the group root use ctl: this user is not a member; add it to the group (systemd: SupplementaryGroups=, which "
        "`releve systemd-unit` writes), or change control_group"
    )
    missing = target.late_in(serving, replace(serving, control_group="no-such-group"))
    assert "there is no such group; create it, or change control_group" in next(missing.notes())
    assert list(target.late_in(serving, replace(serving, control_group=None)).notes()) == []


@pytest.mark.parametrize("held", [True, False], ids=["of a dead generation", "at the first start"])
def test_who_is_patient_waits_until_it_is_free(held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = Address("tcp", host="127.0.0.1", port=other.getsockname()[1])
        waits: list[float] = []

        async def wait(seconds: float) -> None:
            waits.append(seconds)
            other.close()

        monkeypatch.setattr(target, "asyncio", SimpleNamespace(sleep=wait))
        service = a_service() if held else a_service(patient_s=0.0)
        found = outcome(target.from_configuration(service, configuration(address, None if held else 60.0))())
    found.listeners.abandon()
    assert len(waits) == 1


def test_a_successor_that_cannot_listen_has_failed_at_a_step(taken: Address) -> None:
    """Not in a way that nobody foresaw: its generation's listener is lost, and somebody else has the address."""
    generation: Any = SimpleNamespace(settings=Settings(), pin=None)
    service = a_service([SimpleNamespace(address=taken, name="what it was bound to", inode=None)])
    with pytest.raises(StepFailed) as error:
        outcome(target.from_generation(service, generation)())
    assert error.value.step == "listen"
