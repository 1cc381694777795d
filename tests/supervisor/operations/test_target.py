"""What an upgrade is to run: the listeners, and who waits for them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Iterator
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
