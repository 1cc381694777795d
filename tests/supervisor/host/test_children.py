"""Programs that are started, waited for and taken in."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from releve.supervisor.host import children, system
from releve.supervisor.host.program import run

SLEEP = ("/bin/sh", "-c", "exec sleep 60")
ENVIRONMENT = {"PATH": os.defpath}


@pytest.fixture
def sleeper() -> Iterator[tuple[int, int]]:
    """Pid and pidfd of a program that waits to be ended."""
    pid = children.spawn(SLEEP, directory="/", environment=ENVIRONMENT, blocked=False)
    pidfd = system.open_pidfd(pid)
    yield pid, pidfd
    system.send_signal(pidfd, signal.SIGKILL)
    children.reap(pidfd, pid)
    os.close(pidfd)


def test_one_leads_a_session_and_somebody_waits_for_it_by_name(sleeper: tuple[int, int]) -> None:
    pid, pidfd = sleeper
    assert os.getsid(pid) == pid and pid in children.started()
    assert children.peek(pidfd) is None and children.wait(pid) is None and children.reap(pidfd, pid) is None
    assert children.reap_orphans(set()) == []


def test_its_end_can_be_seen_before_it_is_waited_for(sleeper: tuple[int, int]) -> None:
    pid, pidfd = sleeper
    system.send_signal(pidfd, signal.SIGTERM)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    assert children.peek(pidfd) == children.peek(pidfd) == -signal.SIGTERM
    assert children.reap_orphans(set()) == []  # it is waited for by name
    assert children.reap(pidfd, pid) == -signal.SIGTERM
    assert pid not in children.started()
    assert children.wait(pid) is None and children.peek(pidfd) == children.UNSEEN


def test_whom_nobody_waits_for_is_reaped_as_an_orphan() -> None:
    pid = children.spawn(("/bin/sh", "-c", "exit 7"), directory="/", environment=ENVIRONMENT)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    children._spawned.discard(pid)  # as after an exec of ours that has forgotten it
    assert children.reap_orphans({pid}) == []
    assert children.reap_orphans(set()) == [(pid, 7)]
    children.own(pid)
    assert pid in children.started()
    children.disown(pid)
    assert pid not in children.started()


def test_a_program_that_does_not_exist_is_no_child() -> None:
    before = children.started()
    with pytest.raises(FileNotFoundError):
        children.spawn(("/nowhere/python",), directory="/", environment=ENVIRONMENT)
    assert children.started() == before


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exited with status 0"),
        (3, "exited with status 3"),
        (-9, "was killed by SIGKILL"),
        (-35, "was killed by signal 35"),
        (children.UNSEEN, "exited with an unknown status"),
    ],
)
def test_an_end_in_words(status: int, words: str) -> None:
    assert children.describe_status(status) == words


async def _said(code: str) -> str:
    return (await run(("/bin/sh", "-c", code), 20.0, directory="/", environment=ENVIRONMENT)).output


def test_it_is_started_with_signals_held_back_as_asked() -> None:
    line = asyncio.run(_said("exec grep SigBlk /proc/self/status"))
    assert int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1
