"""Processes that give way to others, and are brought back with all that they have started."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from releve.supervisor.host import scheduling

PROGRAM = """
import os, subprocess, sys, threading
input()
threading.Thread(target=threading.Event().wait, daemon=True).start()
child = subprocess.Popen([sys.executable, "-S", "-c", "print(flush=True); input()"], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
input()
"""


@pytest.fixture
def program() -> Iterator[subprocess.Popen[str]]:
    """A process that starts a thread and a process of its own when it reads a line, and says the pid of that."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        yield one
        one.communicate("\n\n")


def policies(*pids: int) -> list[int]:
    """Of all threads."""
    return [os.sched_getscheduler(int(task)) for pid in pids for task in os.listdir(f"/proc/{pid}/task")]


def nice(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def test_what_gives_way_comes_back_with_its_threads_and_children(program: subprocess.Popen[str]) -> None:
    os.setpriority(os.PRIO_PROCESS, program.pid, 3)
    assert scheduling.lower(program.pid)
    assert program.stdin is not None and program.stdout is not None
    program.stdin.write("\n")
    program.stdin.flush()
    child = int(program.stdout.readline())
    assert policies(program.pid, child) == [os.SCHED_BATCH] * 3
    assert scheduling.restore(program.pid) == 3
    assert policies(program.pid, child) == [os.SCHED_OTHER] * 3
    assert (nice(program.pid), nice(child)) == (3, 3)
    assert scheduling.restore(program.pid) == 0


def test_a_policy_that_somebody_has_chosen_stays(program: subprocess.Popen[str]) -> None:
    os.sched_setscheduler(program.pid, os.SCHED_IDLE, os.sched_param(0))
    assert not scheduling.lower(program.pid)
    assert scheduling.restore(program.pid) == 0
    assert policies(program.pid) == [os.SCHED_IDLE]


def test_where_it_is_refused_everything_stays_as_it_is(
    program: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert not scheduling.lower(program.pid)
    assert policies(program.pid) == [os.SCHED_OTHER]


def test_without_slices_the_policy_alone_goes_and_comes(
    program: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "_SCHED_SETATTR", {})  # a machine whose number of the call is not known
    assert scheduling.lower(program.pid)
    assert policies(program.pid) == [os.SCHED_BATCH]
    assert scheduling.restore(program.pid) == 1
    assert policies(program.pid) == [os.SCHED_OTHER]


def test_of_a_process_that_has_ended_nothing_is_said() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    assert not scheduling.lower(ended.pid)
    assert scheduling.restore(ended.pid) == 0
