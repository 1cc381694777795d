"""Requests in flight: what each thread serves, as whoever reads the scoreboard sees it; and scoreboards of other
releases.
"""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.workers import Client, Generation, eventually, request
from releve.server.scoreboard import inflight, scoreboard
from releve.server.scoreboard.inflight import LEADER, InflightCall, serving
from releve.server.scoreboard.scoreboard import Scoreboard


@pytest.fixture
def fd() -> Iterator[int]:
    made = scoreboard.make()
    yield made
    os.close(made)


def test_a_call_is_seen_by_another_mapping_from_its_beginning_to_its_end(fd: int) -> None:
    writer, reader = Scoreboard(fd).tally(3).inflight, Scoreboard(fd)
    writer.assign(2, 77)
    writer.begin(2, 5.5, b"10.0.0.7:4711", b"GET /report?year=1\r")
    assert reader.calls(3) == [InflightCall(2, 77, 5.5, "GET", "/report?year=1", "10.0.0.7:4711")]
    writer.end(2)
    assert reader.calls(3) == [InflightCall(2, 77)]
    assert reader.calls(4) == []


def test_a_raw_head_is_enough(fd: int) -> None:
    writer = Scoreboard(fd).tally(0).inflight
    writer.assign(LEADER, 77)
    writer.pack(writer.view, writer.place, 1.0, b"[::1]:1", b"GET /a HTTP/1.1\r\nHost: x\r\nCookie: secret=1\r\n\r\n")
    assert Scoreboard(fd).calls(0) == [InflightCall(LEADER, 77, 1.0, "GET", "/a", "[::1]:1")]


@pytest.mark.parametrize(
    ("words", "target"),
    [
        (b"GET /" + b"x" * 300 + b" HTTP/1.1\r\n", "/" + "x" * 179 + "…"),
        (b"GET /" + b"x" * 174 + b" HTTP/1.1\r\n", "/" + "x" * 174),  # whole, its version is not
        (b"GET /\xe4\x1b[0m\r", "/ä?[0m"),
    ],
)
def test_long_and_odd_targets(fd: int, words: bytes, target: str) -> None:
    writer = Scoreboard(fd).tally(0).inflight
    writer.assign(1, 77)
    writer.begin(1, 1.0, b"p" * 100, words)
    (request,) = Scoreboard(fd).calls(0)
    assert (request.method, request.target, request.peer) == ("GET", target, "p" * 56)


def test_the_leaders_call_is_over_when_the_heartbeat_is_younger(fd: int) -> None:
    tally = Scoreboard(fd).tally(0)
    tally.inflight.assign(LEADER, 77)
    tally.inflight.begin(LEADER, time.monotonic(), b"", b"GET /\r")
    assert len(serving(Scoreboard(fd).calls(0))) == 1
    tally.beat()
    assert serving(Scoreboard(fd).calls(0)) == []


@pytest.mark.parametrize(("peer", "shown"), [(None, "proxy:1"), (b"10.0.0.7", "10.0.0.7")])
def test_a_call_that_lasts_goes_with_its_thread(fd: int, peer: bytes | None, shown: str) -> None:
    tally = Scoreboard(fd).tally(0)
    tally.inflight.assign(4, 44)
    tally.inflight.begin(LEADER, 1.0, b"proxy:1", b"GET /slow\r")
    tally.inflight.hand_over(4, peer)
    assert serving(Scoreboard(fd).calls(0)) == [InflightCall(4, 44, 1.0, "GET", "/slow", shown)]


def test_threads_for_which_there_is_no_room_write_nowhere(fd: int) -> None:
    writer = Scoreboard(fd).tally(0).inflight
    for number in (inflight.RECORDS, 900):
        writer.assign(number, 1)
        writer.begin(number, 1.0, b"", b"GET /\r")
        writer.end(number)
    assert Scoreboard(fd).calls(0) == Scoreboard(fd).calls(1) == []


def test_a_new_worker_begins_with_nothing_in_flight(fd: int) -> None:
    board = Scoreboard(fd)
    board.tally(0).inflight.assign(1, 1)
    board.tally(0)
    assert board.calls(0) == []


def test_an_older_board_has_nothing_in_flight_and_says_nothing_of_readiness() -> None:
    fd = os.memfd_create("older")
    os.ftruncate(fd, 512 * 513)
    os.pwrite(fd, struct.pack("=8sIII", b"releve\x00\x00", 1, 512, 512), 0)
    board = Scoreboard(fd)
    tally = board.tally(511)
    tally.inflight.begin(1, 1.0, b"", b"GET /\r")
    tally.answered(2, 7)
    assert (board.calls(511), board.ready, board.drained_ns) == ([], True, 0)
    assert Scoreboard(fd).read(511).status_2xx == 7
    os.close(fd)


@pytest.mark.parametrize("header", [b"", b"other", struct.pack("=8sIII", b"releve\x00\x00", 2, 7, 64)])
def test_a_board_of_another_version_is_left_alone(header: bytes) -> None:
    fd = os.memfd_create("other")
    os.ftruncate(fd, 4096)
    os.pwrite(fd, header, 0)
    before = os.pread(fd, 4096, 0)
    board = Scoreboard(fd)
    board.tally(5).answered(2, 1)
    board.announce(1, 1)
    assert not board.shared
    assert os.pread(fd, 4096, 0) == before
    os.close(fd)


def test_the_words_on_readiness(fd: int) -> None:
    supervisor, worker = Scoreboard(fd), Scoreboard(fd)
    assert worker.ready
    supervisor.announce(5, 0)
    assert (worker.ready, worker.drained_ns) == (False, 5)
    supervisor.announce(0, 9)
    assert (worker.ready, worker.drained_ns) == (False, 0)
    supervisor.announce(0, 0)
    assert worker.ready


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("warm", [0, 5])  # a client that repeats itself comes by the fast path
def test_what_a_worker_did_when_it_was_killed(generation: Generation, threads: int, warm: int, tmp_path: Path) -> None:
    worker = generation.start(threads=threads)
    worker.resume()
    client = Client(generation.listeners[0][1].getsockname())
    for _ in range(warm):
        client.ask("/pid")
    target = f"/wait?at={tmp_path}/in&until=/nowhere"
    client.send(request(target))
    eventually((tmp_path / "in").exists, "the application has it")
    os.kill(worker.pid, signal.SIGKILL)
    worker.ended()
    (call,) = serving(worker.calls)
    assert (call.method, call.target) == ("GET", target)
    assert call.peer == "{}:{}".format(*client.socket.getsockname())
    assert 0 < time.monotonic() - call.began < 60
    client.close()


def test_each_thread_has_its_request_until_it_is_answered(generation: Generation, tmp_path: Path) -> None:
    worker = generation.start(threads=3)
    worker.resume()
    targets = {f"/wait?at={tmp_path}/in&until={tmp_path}/{number}": tmp_path / str(number) for number in range(3)}
    clients = [Client(generation.listeners[0][1].getsockname()) for _ in targets]
    for client, target in zip(clients, targets, strict=True):
        client.send(request(target, more="X-Forwarded-For: 10.0.0.9\r\n"))
    eventually(
        lambda: len([request for request in serving(worker.calls) if request.number != LEADER]) == 3, "all three last"
    )
    requests = serving(worker.calls)
    assert {request.target for request in requests} == set(targets)
    assert {request.peer for request in requests} == {"10.0.0.9"}  # as the trusted proxy says
    assert len({request.thread for request in requests}) == 3
    for client, file in zip(clients, targets.values(), strict=True):
        file.touch()
        assert client.answer().status == 200
    eventually(lambda: not serving(worker.calls), "no request is left on the requests in flight")
    for client in clients:
        client.close()
