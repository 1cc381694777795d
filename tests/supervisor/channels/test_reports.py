"""Whatever a master or a worker says: nothing escapes from those who read it, nothing is signalled, no descriptor is
left open.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.descriptors import descriptors, only_open
from harness.garbage import KINDS, VALUES, make_descriptor
from harness.pins import PIN
from releve.config.settings.settings import Settings
from releve.server.scoreboard import scoreboard
from releve.server.shared import form
from releve.server.shared.form import Unfit
from releve.server.shared.link import Link, pair
from releve.server.shared.noise import TOO_MUCH, Noise
from releve.server.shared.system import unsent_bytes
from releve.supervisor.channels import reports
from releve.supervisor.channels.master import Reached
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.handed_over import HandedOver
from releve.supervisor.generation.roster import Roster
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host import evidence, proc
from releve.supervisor.host.evidence import Process
from releve.supervisor.reporting.failure import StepFailed

SLEEPS = "import time; time.sleep(300)"
FORKS = "import os, time\nfor _ in range(2):\n    if not os.fork(): break\ntime.sleep(300)"


@pytest.mark.parametrize(
    ("is_one", "right"),
    [
        (form.is_stream, {"stream"}),
        (form.is_packets, {"packets"}),
        (form.is_memory(), {"memory"}),
        (form.is_file, {"memory"}),
        (form.is_pidfd, {"process"}),
    ],
    ids=["stream", "packets", "memory", "file", "process"],
)
def test_each_kind_of_descriptor_is_told_from_the_others(is_one: Callable[[int], bool], right: set[str]) -> None:
    found = set()
    for kind in KINDS:
        fd = make_descriptor(kind)
        if is_one(fd):
            found.add(kind)
        os.close(fd)
        with pytest.raises(Unfit):  # closed by now
            form.check(fd, kind, is_one)
    assert found == right


UNFIT: list[tuple[form.Read, list[Any]]] = [
    (form.whole(0, 9), [-1, 10, True, 1.0, "1", [], float("nan")]),
    (form.number(0, 9), [-0.1, 9.1, True, float("nan"), float("inf"), "1", None, 10**400]),
    (form.text(3), ["abcd", 1, b"x", []]),
    (form.word, ["", "Serving", "a\n", "a\x1b[2J", "x" * 41, 7, []]),
    (form.flag, [0, 1, "true", []]),
    (form.several(form.flag, 2), [[True] * 3, [1], {}, "x", True]),
]


@pytest.mark.parametrize(("fit", "value"), [(fit, value) for fit, values in UNFIT for value in values])
def test_what_is_not_fit_to_be_used(fit: form.Read, value: Any) -> None:
    with pytest.raises(Unfit):
        fit(value)


def test_half_a_character_does_not_make_a_text_unfit() -> None:
    """A file name that is not UTF-8 brings one into a traceback."""
    assert form.text()("a\udcff") == "a\\udcff"


def test_unknown_types_and_keys_are_nobodys_business() -> None:
    assert form.read(reports.LINK, {"type": "novelty"}, ()) is None
    assert form.read(reports.LINK, {"type": ["done"]}, ()) is None
    assert form.read(reports.LINK, {"type": "done", "id": 3, "novelty": {}}, ()) == {
        "type": "done",
        "id": 3,
        "novelty": {},
    }
    assert form.read(reports.LINK, {"type": "failed", "traceback": None}, ()) == {"type": "failed"}


# A whole generation that hears it


def start(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True)


@contextmanager
def generation(code: str = SLEEPS) -> Iterator[tuple[Generation, Link, subprocess.Popen[bytes]]]:
    """One whose master is a process that sleeps, and the master's end of its link. In a running loop."""
    master = start(code)
    ours, theirs = pair()
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    found = HandedOver(
        master=Reached(master.pid, os.pidfd_open(master.pid), ours),
        hello={},
        revision=1,
        state=GenerationState.SERVING,
        preloaded=True,
        receive=ends[0],
        send=ends[1],
        board=scoreboard.make(),
        crash=os.memfd_create("crash"),
        door=None,
    )
    made = Generation(1, PIN, Settings(app="shop:app", directory="/srv/shop"), [], found)
    try:
        yield made, theirs, master
    finally:
        made.kill()
        master.kill()
        master.wait()
        made._finish()
        theirs.close()


async def heard(link: Link) -> None:
    """Until everything that was said has been read."""
    for _ in range(1000):
        await asyncio.sleep(0)
        if not unsent_bytes(link.socket):
            break
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def say(link: Link, message: Any, fds: list[int] | None = None) -> None:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"".join(fd.to_bytes(4, "little") for fd in fds))] if fds else []
    with suppress(OSError):  # it was given up
        link.socket.sendmsg([data], rights, socket.MSG_DONTWAIT)


KEYS = st.sampled_from(sorted({key for one in reports.LINK.values() for key in (*one.needs, *one.may)} | {"novelty"}))
MESSAGES = st.fixed_dictionaries({"type": st.sampled_from([*reports.LINK, "inventory"]) | VALUES}, optional={}).flatmap(
    lambda head: st.dictionaries(KEYS, VALUES, max_size=6).map(lambda rest: {**rest, **head})
)
SAID = st.tuples(MESSAGES | VALUES | st.binary(max_size=64), st.lists(st.sampled_from(KINDS), max_size=4))
FUZZ = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FUZZ
@given(said=st.lists(SAID, min_size=1, max_size=12))
def test_a_master_may_say_anything(said: list[tuple[Any, list[str]]]) -> None:
    async def story() -> None:
        escaped: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: escaped.append(context))
        with generation() as (one, link, master):
            before = descriptors()
            for message, kinds in said:
                fds = [make_descriptor(kind) for kind in kinds]
                say(link, message, fds)
                for fd in fds:
                    os.close(fd)
            await heard(link)
            assert not escaped
            assert master.poll() is None and one.state is GenerationState.SERVING
            assert not one.workers  # nothing that was brought is a process of this master
            await only_open(before)

    asyncio.run(story())


@FUZZ
@given(said=st.lists(SAID, min_size=1, max_size=12))
def test_a_worker_without_a_master_may_say_anything(said: list[tuple[Any, list[str]]]) -> None:
    async def story() -> None:
        escaped: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: escaped.append(context))
        with generation() as (one, _, _):
            ours, theirs = pair()
            one.roster.take_over([Worker(1, os.getpid(), 0, 1, ours, make_descriptor("process"), "serving")], [0])
            before = descriptors()
            one.command_alone()
            for message, kinds in said:
                fds = [make_descriptor(kind) for kind in kinds]
                say(theirs, message, fds)
                for fd in fds:
                    os.close(fd)
            await heard(theirs)
            assert not escaped
            await only_open(before)
            one.roster._stop_reading(one.workers[1])
            one.workers.pop(1).close()  # it is this process: it must not be ended
            theirs.close()

    asyncio.run(story())


def worker(pid: int, number: int = 1, slot: int = 0) -> dict[str, Any]:
    return {"type": "worker", "worker": number, "pid": pid, "slot": slot, "revision": 1}


def test_a_worker_is_what_the_master_has_started_and_nothing_else() -> None:
    async def story() -> None:
        stranger = start(SLEEPS)
        with generation(FORKS) as (one, link, master):
            async with asyncio.timeout(10):
                while len(children := proc.children(master.pid)) < 2:
                    await asyncio.sleep(0.01)
            child, other = children

            async def claims(message: dict[str, Any], pid: int) -> list[int]:
                fds = [make_descriptor("packets"), os.pidfd_open(pid)]
                say(link, message, fds)
                for fd in fds:
                    os.close(fd)
                await heard(link)
                return [entered.pid for entered in one.workers.values()]

            assert await claims(worker(stranger.pid), stranger.pid) == []
            assert await claims(worker(child), stranger.pid) == []
            assert await claims(worker(stranger.pid), child) == []
            assert await claims(worker(1), 1) == []
            assert await claims(worker(child, slot=512), child) == []
            assert await claims(worker(child), child) == [child]
            assert await claims(worker(child, number=2, slot=1), child) == [child]  # the same process again
            assert await claims(worker(other, number=1, slot=1), other) == [child]  # the same number
            assert await claims(worker(other, number=2, slot=0), other) == [child]  # the same slot
            assert await claims(worker(other, number=2, slot=1), other) == [child, other]
            say(link, {"type": "gone", "worker": 1, "status": -9})
            await heard(link)
            assert len(one.workers) == 2 and not one.roster.losses.listed  # it lives
        assert stranger.poll() is None
        stranger.kill()
        stranger.wait()

    asyncio.run(story())


def test_a_worker_that_ends_while_it_is_looked_at_was_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is told next, and counts."""
    child = subprocess.Popen(["sleep", "60"])

    def late(pidfd: int) -> Process | None:
        child.kill()
        child.wait()
        return process(pidfd)

    async def story() -> None:
        roster = Roster("gen=1", lambda process: True)
        fds = [make_descriptor("packets"), os.pidfd_open(child.pid)]
        roster.enter(worker(child.pid), fds)
        assert [one.pid for one in roster.workers.values()] == [child.pid] and fds == []
        roster.leave({"type": "gone", "worker": 1, "status": -signal.SIGKILL}, [])
        assert len(roster.losses.of(1)) == 1

    process = evidence.process
    monkeypatch.setattr(evidence, "process", late)
    asyncio.run(story())


def test_who_is_not_the_master_is_not_heard() -> None:
    async def story() -> None:
        with generation() as (one, link, _):
            one.master._link.vouch()  # type: ignore[union-attr]
            say(link, {"type": "mixed", "files": ["app.py"]})
            await heard(link)
            assert one.news.mixed == []

    asyncio.run(story())


def test_an_answer_that_cannot_be_understood_is_an_answer() -> None:
    async def story() -> None:
        with generation() as (one, link, _):
            order = asyncio.ensure_future(one.orders.give("scale", workers=3))
            await asyncio.sleep(0)
            received = link.receive()
            assert received is not None
            say(link, {"type": "done", "id": received[0]["id"], "late": "all"})
            with pytest.raises(
                StepFailed, match="cannot understand the master of generation 1: done whose late is not a list"
            ):
                await order

    asyncio.run(story())


def test_a_master_that_does_not_answer_an_order_is_ended() -> None:
    """Another process may have read the order in its place."""

    async def story() -> None:
        with generation() as (one, _, master):
            with pytest.raises(StepFailed, match="did not answer"):
                await one.orders.give("reopen", timeout_s=0.01, revision=1)
            assert master.poll() is None
            with pytest.raises(StepFailed, match="did not answer"):
                await one.orders.give("scale", timeout_s=0.01, workers=3)
            assert one.state is GenerationState.GONE and not Path(f"/proc/{master.pid}").exists()

    asyncio.run(story())


def test_a_link_with_nothing_but_noise_is_given_up_with_its_master() -> None:
    async def story() -> None:
        with generation() as (one, link, master):
            for _ in range(TOO_MUCH // 100 + 1):
                for _ in range(100):
                    say(link, b"x")
                await heard(link)
            async with asyncio.timeout(10):
                while master.poll() is None:
                    await asyncio.sleep(0.01)
            assert one.master.fileno() < 0

    asyncio.run(story())


def test_the_log_hears_once_and_then_how_often() -> None:
    lines: list[str] = []
    clock = [100.0]
    noise = Noise(lines.append, lambda: clock[0])
    for _ in range(50):
        noise.hear("junk")
    assert lines == ["ignored junk"] and not noise.too_much
    clock[0] += 11
    noise.hear("junk")
    assert lines[1:] == ["ignored junk (and 49 more since the last such line)"]
    for _ in range(TOO_MUCH):
        noise.hear("junk")
    assert noise.too_much
    clock[0] += 61
    noise.hear("junk")
    assert not noise.too_much
