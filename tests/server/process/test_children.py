"""The processes that an application has started: found by their parent and group, held, and ended."""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from unittest import mock

import pytest

from releve.server.process import children

# Says when it is there, and its own child too.
TREE = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"])
time.sleep(60)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"


def started(code: str, **more: object) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, **more)  # type: ignore[call-overload]
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"
    return process  # type: ignore[no-any-return]


@pytest.fixture
def tree() -> Iterator[subprocess.Popen[bytes]]:
    process = started(TREE)
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(10_000))


def test_descendants_are_found_and_killed_with_a_line(
    tree: subprocess.Popen[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    found = children.find(os.getpid())
    pids = [child.pid for child in found]
    assert tree.pid in pids
    below = [child for child in children.find(tree.pid) if child.pid in pids]
    assert len(below) == 1
    held = [os.dup(child.pidfd) for child in (*below, *(child for child in found if child.pid == tree.pid))]
    mine = [child for child in found if child.pid in (tree.pid, below[0].pid)]
    for child in (*below, *(child for child in found if child not in mine)):
        os.close(child.pidfd)  # of others that this process has started
    with caplog.at_level(logging.WARNING, "releve.worker"):
        children.kill(mine, "worker 1 (pid 2)")
    assert "ending 2 processes that the application started in worker 1 (pid 2)" in caplog.text
    assert str(mine[0]) in caplog.text
    for pidfd in held:
        assert ended(pidfd)
        os.close(pidfd)


def test_who_has_a_session_of_its_own_lives_on() -> None:
    process = started("import time; print(flush=True); time.sleep(60)", start_new_session=True)
    found = children.find(os.getpid())
    assert process.pid not in [child.pid for child in found]
    for child in found:
        os.close(child.pidfd)
    process.kill()
    process.wait()


def test_who_does_not_hear_sigterm_is_killed() -> None:
    process = started(STUBBORN)
    found = children.find(os.getpid())
    (mine,) = (child for child in found if child.pid == process.pid)
    for child in found:
        if child is not mine:
            os.close(child.pidfd)
    with mock.patch.object(children, "TERM_S", 0.1):
        children.end([mine], "worker 1", time.monotonic())
    assert process.wait(10) == -9


def test_one_that_has_ended_is_not_found() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie, until somebody waits for it
    found = children.find(os.getpid())
    assert process.pid not in [child.pid for child in found]
    for child in found:
        os.close(child.pidfd)
    process.wait()
