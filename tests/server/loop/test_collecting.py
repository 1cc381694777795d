"""Bodies that come slowly are kept by the loop, in memory and then in a file, and cost no thread."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import signal
import socket
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.workers import Client, Generation, Worker, connect, eventually, request
from releve.config.settings.limits import Limits
from releve.config.settings.settings import Settings
from releve.server.http.body import Input
from releve.server.http.head import parse_head
from releve.server.http.spool import Spools
from releve.server.loop.collecting import Collecting, streams_max
from releve.server.loop.connection import Connection, State
from releve.server.loop.deadlines import Deadlines
from releve.server.loop.socket_channel import SocketChannel

SLOW = 12
LARGE = bytes(range(256)) * 4000  # a megabyte


def start(generation: Generation, folder: Path, limit_file_bytes: int | None = None, **settings: Any) -> Worker:
    worker = generation.start("slowness", limit_file_bytes=limit_file_bytes, spool_directory=str(folder), **settings)
    worker.resume()
    return worker


def post(generation: Generation, length: int | None, sent: bytes = b"", target: str = "/digest") -> Client:
    client = connect(generation)
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    client.send(f"POST {target} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode() + sent)
    return client


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def spooled(worker: Worker, folder: Path) -> int:
    """Files in the folder that the worker has open."""
    return sum(name.startswith(str(folder)) for name in worker.descriptors())


def kept_bytes(worker: Worker, folder: Path) -> int:
    """What is in these files."""
    total = 0
    for path in Path(f"/proc/{worker.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            total += path.stat().st_size if os.readlink(path).startswith(str(folder)) else 0
    return total


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_slow_uploads_cost_no_thread(generation: Generation, threads: int, tmp_path: Path) -> None:
    worker = start(generation, tmp_path, threads=threads)
    slow = [post(generation, len(LARGE), LARGE[:70_000]) for _ in range(SLOW)]
    eventually(lambda: spooled(worker, tmp_path) == SLOW, "what they have sent is in files")
    sent = 70_000
    for _ in range(3):
        for client in slow:
            client.send(LARGE[sent : sent + 300])
        sent += 300
        assert connect(generation).ask("/fast").body == b"fast"
        assert post(generation, len(LARGE), LARGE).answer().body == digest(LARGE)
        assert post(generation, None, b"%x\r\n%s\r\n0\r\n\r\n" % (len(LARGE), LARGE)).answer().body == digest(LARGE)
    assert list(tmp_path.iterdir()) == [], "no file has a name: nothing is left, whatever ends the worker"
    for client in slow:
        client.send(LARGE[sent:] + request("/fast"))
    for client in slow:
        assert client.answer().body == digest(LARGE)
        assert client.answer().body == b"fast", "and what was sent behind it"
    eventually(lambda: spooled(worker, tmp_path) == 0, "the files are closed")


def test_slow_uploads_are_in_no_call(generation: Generation, tmp_path: Path) -> None:
    worker = start(generation, tmp_path, threads=3)
    slow = [post(generation, len(LARGE), LARGE[:500_000]) for _ in range(SLOW)]
    eventually(lambda: spooled(worker, tmp_path) == SLOW, "what they have sent is in files")
    assert connect(generation).ask("/fast").body == b"fast"
    assert (worker.numbers.busy, [seat for seat in worker.calls if seat.target == "/digest"]) == (0, [])
    for client in slow:
        client.close()
    eventually(lambda: spooled(worker, tmp_path) == 0, "they are gone")


def test_a_killed_worker_leaves_no_file(generation: Generation, tmp_path: Path) -> None:
    worker = start(generation, tmp_path)
    client = post(generation, len(LARGE), LARGE[:100_000])
    eventually(lambda: spooled(worker, tmp_path) == 1, "it is in a file")
    os.kill(worker.pid, signal.SIGKILL)
    worker.ended()
    client.close()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_leaves_says_what_was_still_to_come(generation: Generation, tmp_path: Path) -> None:
    worker = start(generation, tmp_path)
    slow = post(generation, len(LARGE), LARGE[:150_000])
    eventually(lambda: spooled(worker, tmp_path) == 1, "it has begun")
    worker.quit(deadline_s=0.2)
    assert worker.ended() == 0
    slow.close()
    assert "exiting with 1 request unfinished" in generation.log


def test_a_fast_upload_reaches_the_application_while_it_comes(generation: Generation, tmp_path: Path) -> None:
    worker = start(generation, tmp_path, threads=4)
    part = (b"x" * 1023 + b"\n") * 1024
    client = post(generation, 100 * len(part), target="/talk")
    other = connect(generation)
    sent = 0
    while other.ask("/lines").body == b"0":
        assert sent < 99, "nothing has come to the application"
        client.send(part)
        sent += 1
    eventually(lambda: worker.numbers.busy == 1, "a thread has it")
    client.send(part * (100 - sent))
    assert client.answer().body == str(100 * 1024).encode()


def test_who_waits_for_an_answer_to_the_beginning_gets_it(generation: Generation, tmp_path: Path) -> None:
    start(generation, tmp_path, threads=4)
    client, other = post(generation, 8, b"one\n", target="/talk"), connect(generation)
    eventually(lambda: other.ask("/lines").body == b"1", "the application has the first line")
    client.send(b"two\n")
    assert client.answer().body == b"2"


def test_with_streams_the_application_reads_from_the_first_byte_on(generation: Generation, tmp_path: Path) -> None:
    start(generation, tmp_path, threads=2, limits={"streams": 1})
    client, other = post(generation, 8, b"", target="/talk"), connect(generation)
    eventually(lambda: any(seat.began for seat in generation.workers[0].calls), "it is in the application")
    slow = post(generation, len(LARGE), LARGE[:100_000])
    eventually(lambda: spooled(generation.workers[0], tmp_path) == 1, "the next one is not")
    assert other.ask("/lines").body == b"0"
    client.send(b"one\ntwo\n")
    assert client.answer().body == b"2"
    slow.send(LARGE[100_000:])
    assert slow.answer().body == digest(LARGE)


def test_bodies_for_which_there_is_no_room_wait_for_a_thread_and_not_for_ever(
    generation: Generation, tmp_path: Path
) -> None:
    worker = start(generation, tmp_path, threads=2, limits={"spool": 200_000}, timeouts={"body": 2.0, "min_rate": None})
    kept = post(generation, len(LARGE), LARGE[:150_000])
    eventually(lambda: spooled(worker, tmp_path) == 1, "there is room for one")
    streams = post(generation, len(LARGE), LARGE[:150_000])
    eventually(lambda: worker.numbers.busy == 1, "a thread waits for the second one")
    third = post(generation, len(LARGE), LARGE[:150_000])
    third.socket.settimeout(0.1)
    answer = None
    for _ in range(200):
        with contextlib.suppress(TimeoutError):
            answer = third.answer()
        for client in (kept, streams):
            client.send(b"x")  # those two have their time
        if answer is not None:
            break
    assert answer is not None, "it waits for ever"
    assert (answer.status, answer.kept) == (503, False)
    assert "limits.spool is used up" in generation.log
    for client in (kept, streams):
        client.close()
    eventually(lambda: worker.numbers.connections <= 1 and worker.numbers.busy == 0, "they are gone")
    assert post(generation, 150_000, LARGE[:150_000]).answer().body == digest(LARGE[:150_000])


def test_who_leaves_while_its_body_waits_for_room_is_noticed(generation: Generation, tmp_path: Path) -> None:
    worker = start(generation, tmp_path, threads=2, limits={"spool": 200_000})
    kept = post(generation, len(LARGE), LARGE[:150_000])
    eventually(lambda: spooled(worker, tmp_path) == 1, "there is room for one")
    streams = post(generation, len(LARGE), LARGE[:150_000])
    eventually(lambda: worker.numbers.busy == 1, "a thread waits for the second one")
    patient = post(generation, 150_000, LARGE[:150_000])
    patient.socket.shutdown(socket.SHUT_WR)  # it has sent all of it
    post(generation, len(LARGE), LARGE[:150_000]).close()
    eventually(lambda: worker.numbers.accepted == 4 and worker.numbers.connections == 3, "one has gone")
    kept.close()
    streams.close()
    assert patient.answer().body == digest(LARGE[:150_000])


def test_a_body_that_waits_for_room_has_its_time_once(tmp_path: Path) -> None:
    now = 0.0
    connections: Any = SimpleNamespace(
        now=lambda: now, deadlines=Deadlines(), ready=deque(), register=lambda *to: None, unregister=lambda one: None
    )
    settings = Settings(threads=1, spool_directory=str(tmp_path), limits=Limits(spool=200_000))
    writer: Any = None
    collecting = Collecting(connections, writer, settings)

    def begin(length: int) -> Connection:
        connection = Connection(socket.socket(), "", "")
        head = parse_head(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", settings.limits)
        channel = SocketChannel(connection.socket, settings.timeouts)
        connection.body = Input(channel, head, LARGE[:length], settings.limits)
        collecting.begin(connection, connection.body)
        return connection

    _, kept, streams, waits = (begin(length) for length in (100_000, 66_000, 120_000, 120_000))
    assert [one.state for one in (kept, streams, waits)] == [State.COLLECTING, State.BUSY, State.COLLECTING]
    due = waits.deadline
    now = 1.0
    collecting.forget(kept)
    assert waits.deadline == due, "that was not enough for it"


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.EMFILE, "LimitNOFILE"), (errno.ENOSPC, "free some space"), (errno.EACCES, "user write there")],
)
def test_what_keeps_a_file_from_being_written_is_said(
    number: int, advice: str, caplog: pytest.LogCaptureFixture
) -> None:
    Spools("/there", 1).complain(OSError(number, os.strerror(number)))
    assert advice in caplog.text


@pytest.mark.parametrize("how", ["missing", "full"])
def test_a_folder_that_takes_nothing_costs_the_large_bodies_only(
    generation: Generation, tmp_path: Path, how: str
) -> None:
    folder = tmp_path / "missing" if how == "missing" else tmp_path
    worker = start(generation, folder, limit_file_bytes=100_000 if how == "full" else None)
    for _ in range(3):
        answer = post(generation, len(LARGE), LARGE[:200_000]).answer()
        assert (answer.status, answer.kept) == (503, False)
    small = post(generation, 60_000, LARGE[:30_000])
    small.send(LARGE[30_000:60_000])
    assert small.answer().body == digest(LARGE[:60_000])
    assert generation.log.count("refusing request bodies with status 503") == 1
    assert spooled(worker, tmp_path) == 0


def test_a_body_that_is_too_long_is_refused_before_it_is_kept(generation: Generation, tmp_path: Path) -> None:
    worker = start(generation, tmp_path, limits={"body": 1000})
    assert post(generation, 1001).answer().status == 413
    assert post(generation, None, b"%x\r\n" % len(LARGE) + LARGE[:100_000]).answer().status == 413
    assert spooled(worker, tmp_path) == 0


# Chunked bodies that the application gets whole


def chunked(data: bytes, size: int = 40_000) -> bytes:
    return b"".join(
        b"%x\r\n%s\r\n" % (len(data[at : at + size]), data[at : at + size]) for at in range(0, len(data), size)
    )


BUFFERED: dict[str, Any] = {"request": {"buffer_chunked": 2 << 20}}


@pytest.mark.parametrize("limits", [{}, {"streams": 8}])
@pytest.mark.parametrize("body", [b"", b"hello", LARGE], ids=["empty", "small", "large"])
def test_a_chunked_body_has_its_length(
    generation: Generation, tmp_path: Path, body: bytes, limits: dict[str, int]
) -> None:
    worker = start(generation, tmp_path, limits=limits, **BUFFERED)
    expected = f"{len(body)} no {hashlib.sha256(body).hexdigest()}".encode()
    data = chunked(body) + b"0\r\n\r\n"
    client = post(generation, None, data, "/framing")
    assert client.answer().body == expected, "as fast as it can"
    client.send(b"POST /framing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
    assert client.answer().status == 100
    client.send(data + request("/fast"))
    assert [client.answer().body, client.answer().body] == [expected, b"fast"]
    slow = post(generation, None, data[:-5], "/framing")
    assert connect(generation).ask("/fast").body == b"fast"
    eventually(lambda: worker.numbers.busy == 0, "what has not come to its end is in no call")
    slow.send(data[-5:])
    assert slow.answer().body == expected


def test_a_client_that_waits_in_the_middle_of_a_chunked_body_waits(generation: Generation, tmp_path: Path) -> None:
    worker = start(generation, tmp_path, constants={"loop.collecting.QUIET_S": 0.1}, timeouts={"body": 1.0}, **BUFFERED)
    client = post(generation, None, b"5\r\nhello\r\n", "/framing")
    assert client.answer().status == 408, "its beginning was for no thread"
    eventually(lambda: worker.numbers.own == 1, "so it was no request")
    assert worker.numbers.requests == 0


def test_two_chunked_bodies_that_wait_for_one_another_do_not(generation: Generation, tmp_path: Path) -> None:
    """What one holds is what the other needs: one is refused, and the other has room."""
    limits = {"spool": 1_200_000}
    worker = start(generation, tmp_path, limits=limits, request={"buffer_chunked": 1_100_000})
    data = chunked(LARGE) + b"0\r\n\r\n"
    clients = [post(generation, None, data[:560_000], "/framing") for _ in range(2)]
    eventually(lambda: kept_bytes(worker, tmp_path) > 980_000, "neither has room to be complete")
    for client in clients:
        client.send(data[560_000:])
    answers = {answer.status: answer.body for answer in (client.answer() for client in clients)}
    assert (
        set(answers) == {200, 503} and answers[200] == f"{len(LARGE)} no {hashlib.sha256(LARGE).hexdigest()}".encode()
    )
    assert "limits.spool is used up by request bodies that wait for each other" in generation.log
    eventually(lambda: spooled(worker, tmp_path) == 0, "nothing is left")
    again = post(generation, None, data, "/framing")
    assert again.answer().body == answers[200], "nor is any room lost"


def test_a_chunked_body_waits_for_the_room_of_one_that_goes_on(generation: Generation, tmp_path: Path) -> None:
    worker = start(generation, tmp_path, limits={"spool": 1_200_000}, request={"buffer_chunked": 1_100_000})
    data = chunked(LARGE) + b"0\r\n\r\n"
    first, second = (post(generation, None, data[:560_000], "/framing") for _ in range(2))
    eventually(lambda: kept_bytes(worker, tmp_path) > 980_000, "neither has room to be complete")
    second.send(data[560_000:])
    first.close()
    assert second.answer().status == 200


@pytest.mark.parametrize("rest", [b"", b"\r\n0\r\n\r\n"])
def test_a_chunked_body_that_is_longer_is_refused_before_the_application(
    generation: Generation, tmp_path: Path, rest: bytes
) -> None:
    worker = start(generation, tmp_path, request={"buffer_chunked": 1000})
    assert post(generation, None, chunked(bytes(1000)) + b"0\r\n\r\n", "/framing").answer().body.startswith(b"1000 no ")
    assert post(generation, None, b"3e9\r\n" + bytes(1001) + rest, "/framing").answer().status == 413
    assert post(generation, None, b"5\r\nhello, 0\r\n\r\n", "/framing").answer().status == 400
    assert post(generation, 1001, bytes(1001), "/framing").answer().body.startswith(b"1001 no "), (
        "with a length, it is none of these"
    )
    eventually(lambda: worker.numbers.requests == 2, "the others were no requests")


def test_without_room_a_chunked_body_is_refused_in_its_time(generation: Generation, tmp_path: Path) -> None:
    """The room is a request's that runs, and may be free at any moment: it waits for that, as long as a client may be
    silent.
    """
    worker = start(
        generation,
        tmp_path,
        threads=2,
        limits={"spool": 100_000},
        timeouts={"body": 1.0},
        request={"buffer_chunked": 100_000},
    )
    os.mkfifo(fifo := tmp_path / "fifo")
    running = post(generation, 150_000, LARGE[:150_000], f"/bytes?{fifo}")
    eventually(lambda: worker.numbers.busy == 1, "it runs")
    assert post(generation, None, b"f0000\r\n" + LARGE[:90_000], "/framing").answer().status == 503
    assert "limits.spool is used up\n" in generation.log
    fifo.write_bytes(b"done")
    assert running.answer().body == b"done"


def test_chunked_bodies_are_as_they_come_else(generation: Generation, tmp_path: Path) -> None:
    start(generation, tmp_path)
    answer = post(generation, None, chunked(b"hello") + b"0\r\n\r\n", "/framing").answer()
    assert answer.body == f"none chunked {hashlib.sha256(b'hello').hexdigest()}".encode()


@pytest.mark.parametrize(
    ("threads", "limits", "expected"),
    [
        (1, {}, 0),
        (3, {}, 0),
        (4, {}, 1),
        (8, {}, 2),
        (8, {"spool": None}, 4),
        (8, {"streams": 8}, 8),
        (2, {"streams": 100}, 2),
    ],
)
def test_how_many_threads_may_wait_for_clients(threads: int, limits: dict[str, int | None], expected: int) -> None:
    assert streams_max(Settings(threads=threads, limits=Limits(**limits))) == expected  # type: ignore[arg-type]
