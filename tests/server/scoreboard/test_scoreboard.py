"""The scoreboard is memory that an application which was broken into can write: whoever reads it survives what it finds
there.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import struct
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releve.server.scoreboard import header, inflight, scoreboard
from releve.server.scoreboard.scoreboard import Scoreboard
from releve.supervisor.channels.worker import Worker
from releve.supervisor.condition.saturation import load_of
from releve.supervisor.generation import inflight as serving
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.generation.totals import RunningTotals, Totals
from releve.supervisor.host.usage import CpuMeter
from releve.supervisor.inspection import status, workload
from releve.supervisor.inspection.worker_numbers import numbers
from releve.supervisor.service import drain
from releve.supervisor.switch.probation import Trial, last_minute

SLOT = 3
HEADER_BYTES = 512
WHOLE_BYTES = os.fstat(scoreboard.make()).st_size


@pytest.fixture
def fd() -> Iterator[int]:
    made = scoreboard.make()
    yield made
    os.close(made)


def unsealed(length: int = WHOLE_BYTES) -> int:
    """A scoreboard as supervisors made it that did not seal it yet."""
    made, other = scoreboard.make(), os.memfd_create("older")
    os.pwrite(other, os.pread(made, HEADER_BYTES, 0), 0)
    os.ftruncate(other, length)
    os.close(made)
    return other


def test_nobody_can_change_its_size(fd: int) -> None:
    for size in (0, 4096, WHOLE_BYTES + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)  # which would keep workers from it


def test_one_that_can_be_cut_is_read_and_not_mapped() -> None:
    """As an adopted one of an older supervisor: a mapping would end its reader by SIGBUS."""
    fd = unsealed()
    Scoreboard(fd).tally(SLOT).add("accepted", 5)
    board = Scoreboard(fd, careful=True)
    assert (board.read(SLOT).accepted, board.read(SLOT).pid) == (5, os.getpid())
    board.announce(7, 8)
    assert (Scoreboard(fd).drained_ns, Scoreboard(fd).ready) == (7, False)
    os.ftruncate(fd, 0)
    assert board.read(SLOT).pid == 0 and board.calls(SLOT) == [] and board.drained_ns == 0
    board.close()
    os.close(fd)


def test_a_slot_that_there_is_not_is_empty_and_so_is_a_board_that_was_closed(fd: int) -> None:
    board = Scoreboard(fd)
    board.tally(0)
    for slot in (-1, 512, 10**9, 2**70):
        assert board.read(slot).pid == 0 and board.calls(slot) == []
    board.close()
    assert board.read(0).pid == 0 and board.calls(0) == [] and board.ready


@pytest.mark.parametrize(
    ("at", "written"),
    [
        (8, struct.pack("=I", 2)),  # another version
        (12, struct.pack("=I", 2**32 - 1)),  # slots
        (12, struct.pack("=I", 0)),
        (16, struct.pack("=I", 1)),  # bytes of a record
        (16, struct.pack("=I", 2**31)),
        (16, struct.pack("=I", 513)),
        (32, struct.pack("=IIIQ", 1, 2**32 - 1, 64, 4096)),  # bytes of a record of requests in flight
        (32, struct.pack("=IIIQ", 1, 256, 2**32 - 1, 4096)),  # how many there are
        (32, struct.pack("=IIIQ", 1, 256, 64, 2**64 - 1)),  # where they begin
        (32, struct.pack("=IIIQ", 1, 256, 64, WHOLE_BYTES - 4096)),
    ],
)
def test_a_header_that_promises_more_than_there_is_is_not_followed(fd: int, at: int, written: bytes) -> None:
    os.pwrite(fd, written, at)
    for board in (Scoreboard(fd), Scoreboard(fd, careful=True)):
        for slot in range(header.SLOTS):
            board.read(slot)
            board.calls(slot)
        board.close()


def test_what_a_master_could_not_log_is_beside_what_workers_could_not() -> None:
    fd = scoreboard.make()
    master = Scoreboard(fd)
    readers = (master, Scoreboard(fd, careful=True))
    assert [one.lost for one in readers] == [0, 0]
    master.lose(7)
    master.tally(SLOT).put("lost", 3)
    assert [(one.lost, one.read(SLOT).lost, one.ready) for one in readers] == [(7, 3, True)] * 2
    for one in readers:
        one.close()
    os.close(fd)


def test_of_a_worker_that_does_not_know_them_the_numbers_of_the_one_before_it_are_not_its_own(fd: int) -> None:
    board = Scoreboard(fd)
    tally = board.tally(SLOT)
    for name in ("threads", "connections_max", "waiting", "full_ns"):
        tally.put(name, 5)
    assert (board.read(SLOT).threads, board.read(SLOT).full_ns) == (5, 5)
    tally.put("level", 3)
    found = board.read(SLOT)
    assert (found.threads, found.connections_max, found.waiting, found.full_ns) == (0, 0, 0, 0)


def written() -> st.SearchStrategy[bytes]:
    """A number as an attacker would write it."""
    now_ns = time.monotonic_ns()
    ints = st.sampled_from([0, 1, os.getpid(), 2**32, 2**63, 2**64 - 1, now_ns, now_ns + 10**15])
    floats = st.sampled_from([float("nan"), float("inf"), -float("inf"), -1.0, 1e308, 5e-324, time.monotonic() + 1e9])
    return st.one_of(ints.map(lambda one: struct.pack("=Q", one)), floats.map(lambda one: struct.pack("=d", one)))


@given(
    seed=st.integers(),
    record=st.lists(written(), max_size=42),
    calls=st.lists(written(), max_size=32),
    honest=st.booleans(),
)
def test_every_reader_survives_anything(seed: int, record: list[bytes], calls: list[bytes], honest: bool) -> None:
    """Status, workers, traffic and what is judged by it, words for the log: they end, and what they say can be sent and
    shown.
    """
    chance = random.Random(seed)
    fd = scoreboard.make()
    board = Scoreboard(fd, careful=True)
    if chance.random() < 0.5:
        os.pwrite(fd, chance.randbytes(16), 64)  # since when the host is drained, and since when it stops
    if chance.random() < 0.1:
        os.pwrite(fd, chance.randbytes(48), 16)  # the header, after magic and version
    os.pwrite(fd, b"".join(record) or chance.randbytes(512), 512 * (SLOT + 1))
    if honest:  # it is the record of the worker that is asked about
        os.pwrite(fd, struct.pack("=Q", os.getpid()), 512 * (SLOT + 1))
    for number in range(4):
        line = b"".join(calls[number * 8 : number * 8 + 8]) or chance.randbytes(inflight.RECORD_BYTES)
        os.pwrite(
            fd,
            line[: inflight.RECORD_BYTES],
            -(-512 * 513 // 4096) * 4096 + SLOT * inflight.BYTES + number * inflight.RECORD_BYTES,
        )
    for one in (board, Scoreboard(fd, careful=True)):
        read_all(one, fd, chance)
        one.close()
    os.close(fd)


class Stub:
    """A worker without a process of its own, or a link."""

    number, pid, slot, revision, state = 1, os.getpid(), SLOT, 1, "serving"
    started = time.monotonic()
    restarts, last_exit = 0, None
    record, calls = Worker.record, Worker.calls

    def tell(self, verb: str) -> bool:
        return True


def read_all(board: Scoreboard, fd: int, chance: random.Random) -> None:
    worker = cast(Worker, Stub())
    traffic = RunningTotals(lambda: [(SLOT, board.read(SLOT))])
    generation = cast(
        Generation,
        SimpleNamespace(
            board=board, state=GenerationState.SERVING, workers={1: worker}, number=1, traffic=traffic, hello={}
        ),
    )
    before = traffic.sample()
    os.pwrite(fd, chance.randbytes(504), 512 * (SLOT + 1) + 8)  # its counters run backwards, too
    after = traffic.sample()
    assert all(one >= 0 for one in ((after - before).requests, (after - before).errors, *(after - before).durations))
    shown = workload._worker(generation, worker, None, CpuMeter(), time.monotonic_ns())
    assert (shown["heartbeat_age_s"] or 0) >= 0
    said: list[Any] = [
        numbers(worker, worker.record(board), None, CpuMeter(), *status.NUMBERS),
        shown,
        [serving.describe(request, time.monotonic()) for request in inflight.serving(board.calls(SLOT))],
        trial(generation, after),
        load_of(generation, []).words,
    ]
    for text in (json.dumps(said, allow_nan=False), serving.words(board.calls(SLOT), time.monotonic()), after.words()):
        assert text.encode().decode().isprintable()
    drained = drain.Drain(lambda: [generation])
    drained.recall([generation])
    assert drained.words.isprintable() and (drained.seconds is None or drained.seconds >= 0)
    assert json.dumps(drained.picture(), allow_nan=False)


def trial(generation: Generation, before: Totals) -> dict[str, Any]:
    judged = Trial(generation, None, last_minute(before))
    judged.look()
    judged.look()
    return {"figures": judged.figures(), "wedged": judged.wedged()}


def test_what_the_probation_remembers_does_not_grow_with_what_a_worker_claims(fd: int) -> None:
    board = Scoreboard(fd)
    traffic = RunningTotals(lambda: [(SLOT, board.read(SLOT))])
    for pid in range(1, 200):
        os.pwrite(fd, struct.pack("=QQQ", pid, 0, 2**64 - pid), 512 * (SLOT + 1))
        traffic.sample()
    assert len(traffic._seen) == 1
