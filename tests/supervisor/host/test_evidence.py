"""What the kernel says of a process: by its pidfd, never by a number that somebody else may have by now."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from releve.supervisor.host import evidence, proc

TEN_S = 10.0
SLEEPER = [sys.executable, "-S", "-c", "import time; print(flush=True); time.sleep(60)"]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own that waits to be ended."""
    child = subprocess.Popen(SLEEPER, stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None and child.stdout.readline()
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(TEN_S * 1000))


def test_a_process_is_told_by_its_pidfd(sleeper: subprocess.Popen[bytes]) -> None:
    pidfd = os.pidfd_open(sleeper.pid)
    found = evidence.process(pidfd)
    os.close(pidfd)
    assert found is not None
    assert (found.pid, found.parent, found.group, found.session) == (sleeper.pid, os.getpid(), sleeper.pid, sleeper.pid)
    assert found.runs_as(os.geteuid()) and not found.runs_as(os.geteuid() + 1)
    assert str(found.started) == proc.started_at(sleeper.pid)
    assert evidence.same_process(found, evidence.look(sleeper.pid))
    assert not evidence.same_process(found, evidence.look(os.getpid()))


def test_a_zombie_can_be_looked_at_until_somebody_has_waited_for_it(sleeper: subprocess.Popen[bytes]) -> None:
    pidfd = os.pidfd_open(sleeper.pid)
    sleeper.kill()
    assert ended(pidfd)
    found = evidence.process(pidfd)
    assert found is not None and found.session == sleeper.pid
    sleeper.wait()
    assert evidence.process(pidfd) is None and evidence.look(sleeper.pid) is None
    os.close(pidfd)


@pytest.mark.parametrize("kind", ["file", "pipe", "socket", "memory", "closed"])
def test_what_is_no_pidfd_is_no_process(kind: str) -> None:
    read_end, write_end = os.pipe()
    fd = {"file": lambda: os.open("/dev/null", os.O_RDONLY), "memory": lambda: os.memfd_create("x")}.get(
        kind, lambda: os.dup(read_end)
    )()
    if kind == "closed":
        os.close(fd)
    assert evidence.process(fd) is None and evidence.pid_of(fd) is None
    for one in (fd, read_end, write_end):
        with suppress(OSError):
            os.close(one)


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1, 2**31, 2**64])
def test_a_number_that_is_nobodys_is_no_process(pid: int) -> None:
    assert evidence.look(pid) is None


def test_whoever_left_the_session_is_still_known_as_a_child() -> None:
    """A worker may call setsid(2) in a hook; a stranger is neither in the session nor a child."""
    one = evidence.Process(7, 5, 7, 7, (1, 1, 1, 1), 0)
    assert one.belongs_to(5) and one.belongs_to(7) and not one.belongs_to(6)


def test_a_program_with_a_set_user_id_bit_is_not_its_callers() -> None:
    assert not evidence.Process(7, 5, 7, 7, (65534, 0, 0, 0), 0).runs_as(65534)


LEADER = """
import os, sys, time
for _ in range(2):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
print(flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("waited", [False, True], ids=["of-a-zombie", "of-one-that-was-waited-for"])
def test_the_group_of_a_master_that_has_died_is_ended(waited: bool) -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", LEADER], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None and child.stdout.readline()
    leader = os.pidfd_open(child.pid)
    followers = [
        pidfd for pidfd in evidence.members(child.pid, child.pid, os.geteuid()) if evidence.pid_of(pidfd) != child.pid
    ]
    assert len(followers) == 2
    os.kill(child.pid, signal.SIGKILL)
    assert ended(leader)
    if waited:
        child.wait()
    evidence.kill_group(leader, child.pid, os.geteuid())
    assert all(ended(pidfd) for pidfd in followers)
    child.wait()
    child.stdout.close()
    for fd in (leader, *followers):
        os.close(fd)


def test_a_group_is_spared_that_has_a_number_the_master_never_had(sleeper: subprocess.Popen[bytes]) -> None:
    """What a message says: the pidfd is somebody's, the number another one's."""
    mine = os.pidfd_open(os.getpid())
    evidence.kill_group(mine, sleeper.pid, os.geteuid() + 1)
    for number in (0, 1, -1):
        evidence.kill_group(mine, number, None)
    os.close(mine)
    assert sleeper.poll() is None
