"""A generation that is not taken over leaves; what obeys nobody is ended, so that no client is lost with it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from releve.config.settings.timeouts import Timeouts
from releve.supervisor.channels.door import Door
from releve.supervisor.host import evidence, system
from releve.supervisor.takeover.departure import Departure

USER = os.geteuid() or 65534  # of root's processes there is none that a supervisor would know for its master's

# A master that passes over SIGTERM and replaces whoever leaves; its workers finish what they have begun.
STUBBORN = """
import os, signal, sys

def finish(number, frame):
    os.write(1, b"finished\\n")
    os._exit(0)

os.setsid()
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(*[int(sys.argv[1])] * 3)
    os.setresuid(*[int(sys.argv[1])] * 3)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    worker = os.fork()
    if not worker:
        signal.signal(signal.SIGTERM, finish)
        os.write(1, b"started %d\\n" % os.getpid())
        while True:
            signal.pause()
    os.waitpid(worker, 0)
"""


@pytest.fixture
def stubborn() -> Iterator[subprocess.Popen[str]]:
    """Its output ends with the last of its processes."""
    command = [sys.executable, "-c", STUBBORN, str(USER)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as master:
        yield master
        for pidfd in evidence.members(master.pid, master.pid, USER):
            system.send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
        master.kill()


def test_a_master_that_obeys_nobody_ends_before_its_workers_finish(
    tmp_path: Path, stubborn: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told at once, it would start others where they leave, to which clients come; and those are killed at the end."""
    assert stubborn.stdout is not None
    worker = int(stubborn.stdout.readline().split()[1])
    sent: list[tuple[int | None, int]] = []
    members, send = evidence.members, system.send_signal

    def sending(pidfd: int, number: Any) -> Any:
        sent.append((evidence.pid_of(pidfd), number))
        return send(pidfd, number)

    monkeypatch.setattr(evidence, "members", lambda *whose: reversed(list(members(*whose))))  # the workers first
    monkeypatch.setattr(system, "send_signal", sending)

    async def see_off() -> None:
        pidfd = os.pidfd_open(stubborn.pid)
        door = Door(tmp_path / "gen-1.sock", None)
        leaving = Departure(door, Timeouts(drain=0.0), USER, {stubborn.pid}, pidfd=pidfd)
        leaving.begin()
        await leaving.ended()
        assert leaving.over

    asyncio.run(see_off())
    assert sent[:2] == [(stubborn.pid, signal.SIGKILL), (worker, signal.SIGTERM)]
    assert stubborn.stdout.read() == "finished\n", "nobody has come in its place, and nobody is left"
    assert stubborn.wait(timeout=30) == -signal.SIGKILL
