"""What proc(5) tells of a process by its number."""

from __future__ import annotations

import builtins
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from releve.supervisor.host import evidence, proc

NOBODY = 2**22 + 1  # beyond the largest that a pid can be: proc_sys_kernel(5)
PR_SET_NAME = 15
CHILD = f"""
import ctypes, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
signal.signal(signal.SIGUSR2, lambda *_: None)
ctypes.CDLL(None).prctl({PR_SET_NAME}, b") \\xff R 1 (", 0, 0, 0)
print(flush=True); input()
"""


@pytest.fixture(scope="module")
def child() -> Iterator[int]:
    """The pid of a process whose name is made to be misread: brackets, numbers, and no text."""
    with subprocess.Popen([sys.executable, "-S", "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        assert one.stdout is not None and one.stdout.readline()
        yield one.pid
        one.communicate(b"\n")


def test_who_logged_in_is_known_behind_sudo_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session sets it once; sudo and su leave it."""
    kept = [str(2**32 - 1), "1000\n", "", "0"]
    monkeypatch.setattr(builtins, "open", lambda path, **_: io.StringIO(kept.pop(0)))
    assert [proc.login(7) for _ in range(4)] == [None, 1000, None, 0]
    monkeypatch.undo()
    assert proc.login(NOBODY) is None


def test_its_name_is_not_taken_for_its_numbers(child: int) -> None:
    stat = proc.stat(child)
    assert int(stat[proc.PARENT]) == os.getpid()
    assert (int(stat[proc.GROUP]), int(stat[proc.SESSION])) == (os.getpgid(child), os.getsid(child))
    os.kill(child, signal.SIGSTOP)
    os.waitid(os.P_PID, child, os.WSTOPPED)
    assert proc.process_state(child) == "T"
    os.kill(child, signal.SIGCONT)


def test_when_it_was_started_is_known_whatever_it_calls_itself(child: int) -> None:
    process = evidence.look(child)
    assert process is not None
    assert proc.started_at(child) == str(process.started)


def test_its_signals(child: int) -> None:
    blocked, caught = proc.signal_set(child, "SigBlk"), proc.signal_set(child, "SigCgt")
    assert blocked is not None and blocked >> (signal.SIGUSR1 - 1) & 1
    assert caught is not None and caught >> (signal.SIGUSR2 - 1) & 1
    assert proc.signal_set(child, "SigBlk", child) == blocked
    assert proc.blocking(child, signal.SIGUSR1) == {child} and proc.blocking(child, signal.SIGUSR2) == set()


def test_it_is_a_child_of_this_one(child: int) -> None:
    assert child in proc.children(os.getpid())
    pidfds = proc.open_children(os.getpid())
    assert child in {evidence.pid_of(pidfd) for pidfd in pidfds}
    for pidfd in pidfds:
        os.close(pidfd)


def test_of_one_that_is_not_there_nothing_is_known() -> None:
    with pytest.raises(FileNotFoundError):
        proc.stat(NOBODY)
    assert proc.process_state(NOBODY) == "" and proc.started_at(NOBODY) is None
    assert proc.signal_set(NOBODY, "SigBlk") is None and proc.blocking(NOBODY, signal.SIGTERM) is None
    assert proc.children(NOBODY) == proc.open_children(NOBODY) == []


def test_the_environment_of_one_that_was_just_started() -> None:
    """In the middle of its exec a process shows none: about one look in ten meets that."""
    waits = [sys.executable, "-S", "-c", "input()"]
    for number in range(100):
        with subprocess.Popen(waits, stdin=subprocess.PIPE, env={"A": str(number)}) as one:
            assert proc.environment(one.pid, time.monotonic() + 10) == {f"A={number}".encode(), b""}
            one.kill()


def test_the_environment_of_one_that_has_none_or_has_ended() -> None:
    with subprocess.Popen(["/bin/sleep", "60"], env={}) as one:
        assert proc.environment(one.pid, time.monotonic() + proc.EXEC_S) == {b""}
        one.kill()
        os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(OSError):  # a zombie
            proc.environment(one.pid, float("inf"))
    with pytest.raises(OSError):
        proc.environment(one.pid, float("inf"))
