"""Programs that are run to their end: what they said, how they ended, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from pathlib import Path

import pytest

from harness.descriptors import descriptors
from releve.supervisor.host.identity import AS_WE_ARE
from releve.supervisor.host.program import Ended, follow, run

TEN_S = 10.0
ENVIRONMENT = {"PATH": os.defpath}


def ran(code: str, timeout_s: float = TEN_S) -> Ended:
    return asyncio.run(run(("/bin/sh", "-c", code), timeout_s, directory="/", environment=ENVIRONMENT))


def followed(code: str, timeout_s: float = TEN_S, grace_s: float = TEN_S) -> tuple[int | None, bytes, list[int]]:
    """Its status, what was heard of it, and its pid."""
    heard: list[bytes] = []
    started: list[int] = []
    status = asyncio.run(
        follow(
            ("/bin/sh", "-c", code),
            timeout_s,
            directory="/",
            environment=ENVIRONMENT,
            identity=AS_WE_ARE,
            grace_s=grace_s,
            hear=heard.append,
            started=started.append,
        )
    )
    return status, b"".join(heard), started


def gone(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    found = bool(poll.poll(TEN_S * 1000))
    os.close(pidfd)
    return found


def test_it_says_one_thing_on_each_stream_and_how_it_ended() -> None:
    before = descriptors()
    ended = ran("echo out; echo 'one\n\n two ' >&2; echo three >&2; echo four >&2; exit 7")
    assert (ended.status, ended.output, ended.last_words) == (7, "out\n", "two | three | four")
    assert ran("kill -KILL $$").status == -signal.SIGKILL
    assert descriptors() == before


def test_of_a_long_output_the_end_is_kept() -> None:
    output = ran("head -c 100000 /dev/zero | tr '\\0' x; echo end").output
    assert len(output) == 65536 and output.endswith("xend\n")


def test_at_its_limit_it_is_killed_with_what_it_has_started(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDWR)
    ended = ran(f"sleep 60 & echo $! > {fifo}; echo waiting >&2; wait", 1.0)
    assert (ended.status, ended.last_words) == (None, "waiting")
    pid = int(os.read(held, 100))
    os.close(held)
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return  # somebody has reaped it already
    assert gone(pidfd)


def test_what_cannot_be_started_is_told_by_the_system() -> None:
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        asyncio.run(run(("/nowhere/program",), TEN_S, directory="/", environment=ENVIRONMENT))
    assert descriptors() == before


def test_one_that_is_followed_is_heard_as_it_speaks() -> None:
    before = descriptors()
    status, heard, started = followed("echo one; echo two >&2; exit 3")
    assert (status, heard) == (3, b"one\ntwo\n") and len(started) == 1
    assert descriptors() == before


def test_one_that_is_late_is_told_to_end_and_may_say_so() -> None:
    status, heard, _ = followed("trap 'echo enough; exit 0' TERM; echo ready; sleep 60 & wait", timeout_s=1.0)
    assert status is None and heard == b"ready\nenough\n"


def test_one_that_does_not_end_when_told_is_killed() -> None:
    status, heard, started = followed("trap '' TERM; echo ready; sleep 60", timeout_s=0.5, grace_s=0.1)
    assert status is None and heard == b"ready\n"
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


def test_who_keeps_its_output_holds_up_nobody() -> None:
    """A grandchild that it leaves in a session of its own has the pipe still."""
    status, heard, _ = followed("echo left; setsid sleep 2 & exit 0")
    assert status == 0 and heard.startswith(b"left\n")
