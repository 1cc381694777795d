"""Stacks: what processes write, joined with what the threads serve; the live ones are in tests/promises."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from releve.server.scoreboard.inflight import LEADER, InflightCall
from releve.server.shared.link import STACKS_SIGNAL
from releve.supervisor.channels.crash_file import CrashFile
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host import proc
from releve.supervisor.inspection import dump
from releve.supervisor.inspection.dump import Process, choose

TEXT = """Thread 0x0000000000000004 (most recent call first):
  File "/srv/app.py", line 9 in inner
  File "/srv/app.py", line 3 in outer

Thread 0x0000000000000005 (most recent call first):
  File "/lib/loop.py", line 1 in turn

Current thread 0x0000000000000001 (most recent call first):
  File "/lib/monitor.py", line 1 in sleep
"""


def test_each_thread_has_its_request_and_a_stack_that_reads_as_a_traceback() -> None:
    seats = [
        InflightCall(LEADER, 5),
        InflightCall(1, 4, 90.0, "GET", "/slow", "p:1"),
        InflightCall(2, 5),
        InflightCall(3, 6),
    ]
    serving, leading, other = dump._threads(TEXT, seats, 100.0)
    assert (serving["role"], serving["number"], serving["thread"]) == ("serving", 1, "0x4")
    assert serving["request"] == {"method": "GET", "target": "/slow", "peer": "p:1", "age_s": 10.0}
    assert serving["stack"] == ['File "/srv/app.py", line 3 in outer', 'File "/srv/app.py", line 9 in inner']
    assert (leading["role"], leading["number"], other["role"], other["number"]) == ("leading", 2, "other", None)


def test_a_process_that_says_nothing_still_has_its_requests() -> None:
    (one,) = dump._threads("", [InflightCall(LEADER, 5, 99.0, "GET", "/", ""), InflightCall(2, 5)], 100.0)
    assert (one["role"], one["number"], one["stack"]) == ("serving", 2, [])


def process(generation: int, worker: int | None, pid: int) -> Any:
    holder = SimpleNamespace(number=generation, pid=pid)
    return Process(holder, None if worker is None else SimpleNamespace(number=worker, pid=pid))  # type: ignore[arg-type]


KNOWN = [
    process(7, None, 30),
    process(7, 1, 31),
    process(7, 2, 32),
    process(8, None, 40),
    process(8, 1, 41),
    process(8, 31, 42),
]


@pytest.mark.parametrize(
    ("name", "pid"),
    [
        ("8.1", 41),
        ("7.2", 32),
        ("1", 41),
        ("2", None),
        ("master", 40),
        ("7.master", 30),
        ("32", 32),
        ("31", 42),
        ("9", None),
        ("", None),
    ],
)
def test_the_process_that_is_meant(name: str, pid: int | None) -> None:
    one = choose(name, KNOWN, 8)
    assert (None if one is None else one.pid) == pid


def test_an_answer_is_cut_where_it_would_not_fit() -> None:
    answers = [{"threads": [{"stack": ["x" * 500_000]}]}, {"threads": [{"stack": ["y" * 500_000]}, {"stack": ["z"]}]}]
    dump.fit(answers)
    assert [len(thread["stack"][0]) > 100_000 for answer in answers for thread in answer["threads"]] == [
        True,
        False,
        False,
    ]


def test_an_answer_has_ended_when_no_thread_is_in_the_handler() -> None:
    """For the time of a handler the kernel holds its signal back in that thread; others may do so for ever."""
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_BLOCK, {STACKS_SIGNAL})
        os.write(told, b"x")
        signal.pause()
        os._exit(0)
    os.read(ready, 1)
    try:
        assert proc.blocking(child, STACKS_SIGNAL) == {child}
        assert not dump._finished(child, STACKS_SIGNAL, set(), 0.0)
        assert dump._finished(child, STACKS_SIGNAL, {child}, 0.0)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(told)
    # nobody can tell
    by_the_clock = [dump._finished(child, STACKS_SIGNAL, set(), grown) for grown in (0.0, time.monotonic() + 60)]
    assert by_the_clock == [True, False]


def test_a_process_that_would_not_answer_is_not_asked() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert "it exited" in dump._objection(child)
    os.waitpid(child, 0)
    assert "it exited" in dump._objection(child)


def test_a_process_of_an_earlier_release_is_asked_by_its_signal() -> None:
    """The feature `dump`: it knows no other way, and the answer says so."""

    async def story() -> dict[str, Any]:
        file = CrashFile()
        fd = file.fileno()
        ready, told = os.pipe()
        registers = f"import faulthandler, os, signal\nfaulthandler.register(signal.SIGURG, {fd}, chain=False)\n"
        script = f"{registers}os.write({told}, b'x')\nwhile True: signal.pause()"
        child = subprocess.Popen([sys.executable, "-c", script], pass_fds=[fd, told])
        pidfd = os.pidfd_open(child.pid)
        try:
            os.read(ready, 1)
            master = SimpleNamespace(running=True, signal=lambda number: signal.pidfd_send_signal(pidfd, number))
            knows = {"number": 1, "pid": child.pid, "master": master, "state": GenerationState.SERVING}
            generation = SimpleNamespace(**knows, crashes=SimpleNamespace(file=file), can={"dump": True}.get)
            return await dump.dump(Process(generation, None))  # type: ignore[arg-type]
        finally:
            child.kill()
            child.wait()
            for one in (pidfd, ready, told):
                os.close(one)
            file.close()

    told = asyncio.run(story())
    assert told["note"] == "its release answers signals only: its stacks were taken by signal" and not told["trouble"]
    assert [line.partition(",")[0] for line in told["threads"][0]["stack"]] == ['File "<string>"']
