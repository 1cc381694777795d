"""A sentry is kept while masters may do less than the supervisor, and followed by another one if it dies."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from releve.server.shared.link import pair
from releve.supervisor.host import capabilities
from releve.supervisor.host.environment import SENTRY
from releve.supervisor.host.identity import AS_WE_ARE
from releve.supervisor.host.readable import readable
from releve.supervisor.keepsake import revival
from releve.supervisor.keepsake.revival import Folders
from releve.supervisor.service import sentry_process
from releve.supervisor.service.sentry_process import SentryProcess

WAIT_S = 30.0


@pytest.fixture
def lesser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masters may do less than we; nobody waits long for another sentry."""
    monkeypatch.setattr(capabilities, "exceeds", lambda identity: True)
    monkeypatch.setattr(sentry_process, "_FIRST_S", 0.01)


def what(folder: Path) -> dict[str, Any]:
    return revival.command(Folders(folder, folder))


async def ended(pidfd: int) -> None:
    async with asyncio.timeout(WAIT_S):
        await readable(pidfd)
    os.close(pidfd)


@pytest.mark.usefixtures("lesser")
def test_one_that_dies_is_followed_and_one_that_is_dismissed_is_not(tmp_path: Path) -> None:
    async def run() -> None:
        sentry, replaced = SentryProcess(), asyncio.Event()
        sentry.on_replaced = replaced.set
        sentry.keep_watched(AS_WE_ARE, what(tmp_path))
        first = sentry.pid
        sentry.keep_watched(AS_WE_ARE, what(tmp_path))
        assert sentry.pid == first > 0 and not replaced.is_set(), "it is there, and knows whom to watch"
        pidfd = os.pidfd_open(first)
        os.kill(first, signal.SIGKILL)
        await ended(pidfd)
        async with asyncio.timeout(WAIT_S):
            await replaced.wait()
        assert sentry.pid not in (0, first)
        pidfd = os.pidfd_open(sentry.pid)
        sentry.dismiss()
        assert sentry.pid == 0
        await ended(pidfd)

    asyncio.run(run())


@pytest.mark.usefixtures("lesser")
def test_somebody_who_ends_the_service_by_it_is_heard(tmp_path: Path) -> None:
    async def run() -> None:
        sentry, heard = SentryProcess(), asyncio.Event()
        sentry.on_terminated = heard.set
        sentry.keep_watched(AS_WE_ARE, what(tmp_path))
        async with asyncio.timeout(WAIT_S):
            while not _handles(sentry.pid, signal.SIGTERM):  # it has just been started
                await asyncio.sleep(0.01)
            os.kill(sentry.pid, signal.SIGTERM)
            await heard.wait()
        pidfd = os.pidfd_open(sentry.pid)
        sentry.dismiss()
        await ended(pidfd)

    asyncio.run(run())


def _handles(pid: int, number: signal.Signals) -> bool:
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.usefixtures("lesser")
def test_the_one_that_has_started_us_is_kept_and_told_whom_to_watch(tmp_path: Path) -> None:
    async def run() -> None:
        ours, theirs = pair()
        environ = {SENTRY: f"{os.dup(ours.fileno())} {os.getpid()}", "SHOP": "1"}
        sentry = SentryProcess()
        sentry.take_over(environ)
        assert environ == {"SHOP": "1"} and sentry.pid == os.getpid()
        sentry.assure(5.0)
        sentry.keep_watched(AS_WE_ARE, what(tmp_path))
        received = theirs.receive()
        assert received is not None
        message, fds = received
        assert message == {"type": "watch"} and len(fds) == 2, "it has no word for us before that"
        for fd in fds:
            os.close(fd)
        sentry.assure(5.0)
        assert theirs.receive() == ({"type": "alive", "within_s": 5.0}, [])
        sentry.dismiss(ending=True)
        assert theirs.receive() == ({"type": "goodbye", "ending": True}, [])
        ours.close()
        theirs.close()

    asyncio.run(run())


@pytest.mark.parametrize("said", ["", "x", "1", "99999 1 1"])
def test_a_supervisor_that_no_sentry_has_started_has_none(said: str) -> None:
    sentry = SentryProcess()
    sentry.take_over({SENTRY: said})
    assert sentry.pid == 0
    sentry.assure(1.0)
    sentry.dismiss()


def test_masters_that_may_do_as_much_need_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(capabilities, "exceeds", lambda identity: False)
    sentry = SentryProcess()
    sentry.keep_watched(AS_WE_ARE, what(tmp_path))
    assert sentry.pid == 0
