"""What a worker leaves behind of requests that failed, and of what it wrote last."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.workers import Client, Generation, Worker, connect, eventually, request
from releve.instance import symptoms
from releve.server.scoreboard import header, recorder, scoreboard
from releve.server.scoreboard.recorder import Kind, Layout, Line, Recorder, Sample
from releve.server.scoreboard.scoreboard import Scoreboard

LAYOUT = Layout()


def blank() -> tuple[memoryview, Recorder]:
    view = memoryview(bytearray(LAYOUT.length))
    return view, Recorder(view, LAYOUT, 7)


def told(view: memoryview) -> tuple[list[Sample], list[Line]]:
    return recorder.read(bytes(view), LAYOUT)


def test_the_last_lines_are_kept_in_their_order_and_clipped() -> None:
    view, ours = blank()
    ours.write(b"first\n\n  \nsecond\n")
    assert [line.text for line in told(view)[1]] == ["first", "second"]
    for number in range(100):
        ours.write(b"line %d\n" % number)
    assert [line.text for line in told(view)[1]] == [f"line {number}" for number in range(100 - LAYOUT.lines, 100)]
    ours.write("é".encode() * 10_000 + b"\nlast without an end")
    long, last = told(view)[1][-2:]
    assert long.text.startswith("éé") and long.text.endswith("…") and len(long.text) < LAYOUT.line_bytes
    assert (last.text, last.worker) == ("last without an end", 7)
    ours.write(b"".join(b"many %d\n" % number for number in range(100_000)))
    assert [line.text for line in told(view)[1]] == [
        f"many {number}" for number in range(100_000 - LAYOUT.lines, 100_000)
    ]


def test_the_first_samples_of_each_kind_are_kept() -> None:
    view, ours = blank()
    for number in range(5):
        ours.sample(Kind.ANSWERED, 500 + number, f"GET /{number} HTTP/1.1", None)
    ours.sample(Kind.BROKEN, 200, "GET /stream HTTP/1.1", ValueError("late"))
    ours.sample(Kind.ASKED, 503, "GET /healthz HTTP/1.1", None)
    samples = told(view)[0]
    assert [(one.kind, one.status, one.request) for one in samples] == [
        *((Kind.ANSWERED, 500 + number, f"GET /{number} HTTP/1.1") for number in range(LAYOUT.samples)),
        (Kind.BROKEN, 200, "GET /stream HTTP/1.1"),
        (Kind.ASKED, 503, "GET /healthz HTTP/1.1"),
    ]
    assert [one.trace for one in samples[-2:]] == ["ValueError: late", ""]


def deep(calls: int, message: str) -> None:
    if calls:
        deep(calls - 1, message)
    raise ValueError(message)


@pytest.mark.parametrize(
    ("calls", "message"),
    [(0, "short"), (50, "short"), (50, "long " * 100_000), (3, "ü\udc80" * 1000), (3, "a\nb\n" * 1000)],
)
def test_the_end_of_a_traceback_has_the_exception_and_the_last_calls(calls: int, message: str) -> None:
    view, ours = blank()
    try:
        deep(calls, message)
    except ValueError as error:
        ours.sample(Kind.ANSWERED, 500, "GET /" + "x" * 10_000, error)
    (sample,) = told(view)[0]
    lines = sample.trace.split("\n")
    assert sample.request.startswith("GET /xxx") and len(sample.request) <= recorder.REQUEST_MAX
    assert lines[0].startswith("  File ") and "ValueError: " + message[:1] in sample.trace
    assert len(sample.trace.encode()) < LAYOUT.sample_bytes and sample.trace.count("in deep") == min(calls + 1, 4)


@given(st.binary(max_size=3000), st.integers(0, LAYOUT.length - 1))
def test_whatever_is_written_there_is_read_as_texts_and_numbers(data: bytes, at: int) -> None:
    view, ours = blank()
    ours.write(b"line\n")
    ours.sample(Kind.ANSWERED, 500, "GET / HTTP/1.1", None)
    data = data[: LAYOUT.length - at]
    view[at : at + len(data)] = data
    shown = symptoms.words(symptoms.select(*told(view)))
    assert all(line.isprintable() or "\t" in line or "\ufffd" in line or not line.isascii() for line in shown)


@pytest.mark.parametrize("double", [float("nan"), float("inf"), -1.0, 0.0])
def test_times_that_are_none_do_no_harm(double: float) -> None:
    view, ours = blank()
    ours.write(b"line\n")
    ours.sample(Kind.ANSWERED, 500, "GET / HTTP/1.1", None)
    struct.pack_into("=d", view, 16, double)
    struct.pack_into("=d", view, LAYOUT.line_bytes * LAYOUT.lines + 8, double)
    finite = double in (0.0, -1.0)
    assert (len(told(view)[0]), len(told(view)[1])) == (finite, finite)


@pytest.fixture(params=["fresh", "used"])
def client(request: pytest.FixtureRequest, generation: Generation, worker: Worker) -> Client:
    """On its first request, or on one that has a shape by now and takes the fast path."""
    made = connect(generation)
    for _ in range(4 if request.param == "used" else 0):
        assert made.ask("/").body == b"fine"
    return made


@pytest.fixture
def worker(generation: Generation) -> Worker:
    made = generation.start("failing")
    made.resume()
    return made


@pytest.mark.parametrize(
    ("way", "status", "last"),
    [
        ("raises", 500, "LookupError: no such\x1b[2J table"),
        ("leaves", 500, "SystemExit: enough"),
        ("refused", 500, "ValueError: cannot send header X-Bad"),
        ("answers", 503, ""),
        ("tells", 500, "LookupError: no such table"),
    ],
)
def test_a_request_that_was_answered_with_5xx_leaves_a_sample(
    worker: Worker, client: Client, way: str, status: int, last: str
) -> None:
    assert client.ask(f"/{way}?token=1").status == status
    (sample,), lines = worker.told
    assert (sample.kind, sample.status, sample.request, sample.worker) == (
        Kind.ANSWERED,
        status,
        f"GET /{way}?token=1 HTTP/1.1",
        1,
    )
    assert sample.trace.split("\n")[-1].startswith(last) and bool(sample.trace) == bool(last) and lines == []
    assert ("in " + way in sample.trace) == bool(last)


def test_a_response_that_breaks_off_leaves_a_sample(worker: Worker, client: Client) -> None:
    client.send(request("/breaks"))
    with pytest.raises(AssertionError):
        client.answer()
    eventually(lambda: worker.told[0], "the sample")
    (sample,) = worker.told[0]
    assert (sample.kind, sample.status, sample.trace.split("\n")[-1]) == (
        Kind.BROKEN,
        200,
        "LookupError: no such event",
    )


def test_what_the_application_writes_is_kept_also_of_a_worker_that_was_killed(worker: Worker, client: Client) -> None:
    """And what its child writes is not: two would write in one place."""
    assert client.ask("/prints").status == 200
    worker.process.send_signal(signal.SIGKILL)
    worker.ended()
    samples, lines = worker.told
    assert samples == [] and [line.text for line in lines] == ["to standard output", "and to \x1b[31merror"]


@pytest.fixture
def older() -> Iterator[int]:
    """A scoreboard as a supervisor made it that knew no recorders."""
    made, fd = scoreboard.make(), os.memfd_create("older")
    os.pwrite(fd, os.pread(made, 4096, 0), 0)
    os.pwrite(fd, struct.pack("=I", 2), 32)
    os.pwrite(fd, bytes(64), 96)
    os.ftruncate(fd, os.fstat(made).st_size - header.SLOTS * LAYOUT.length)
    os.close(made)
    yield fd
    os.close(fd)


def test_where_the_scoreboard_has_no_place_for_one_there_is_none(older: int) -> None:
    board = Scoreboard(older)
    assert board.shared and board.recorder(0, 1) is None and board.told(0) == ([], [])
    board.tally(0).add("accepted", 1)
    assert board.read(0).accepted == 1


def test_a_slot_that_there_is_not_and_a_board_that_was_closed_tell_nothing() -> None:
    fd = scoreboard.make()
    board = Scoreboard(fd)
    ours = board.recorder(3, 1)
    assert ours is not None
    ours.write(b"a line\n")
    assert [line.text for line in board.told(3)[1]] == ["a line"]
    assert all(board.told(slot) == ([], []) for slot in (-1, 2, 4, 512, 2**70))
    os.close(fd)
