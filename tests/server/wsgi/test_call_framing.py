"""How a response is framed and sent, byte by byte, and what is left of the connection."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.ask import OK, Answer, ask, request, simple, streamed
from harness.pair import PairChannel
from releve.config.settings.limits import Limits
from releve.server.http.body import Input
from releve.server.http.head import parse_head
from releve.server.wsgi.call import new_call
from releve.server.wsgi.environ import base_environ, build_environ
from releve.server.wsgi.outcome import Outcome

ROOT = Path(__file__).parents[3]


def test_a_small_response_is_one_write() -> None:
    for application in (
        simple(b"hello"),
        simple(b"he", b"", b"llo"),
        streamed(b"hello", headers=[*OK, ("Content-Length", "5")]),
    ):
        answer = ask(application)
        assert answer.first == "HTTP/1.1 200 OK" and answer.raw == b"hello" and answer.headers["Content-Length"] == "5"
        assert "Connection" not in answer.headers
        assert len(answer.channel.writes) == 1
        assert answer.outcome == Outcome(200, 5, True, None)


def test_a_stream_is_chunked_and_each_piece_leaves_at_once() -> None:
    seen: list[bytes] = []

    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", OK)
        for piece in (b"", b"one", b"", b"two"):
            yield piece
            seen.append(b"".join(channel.writes))

    channel: Any = None

    def prepare(made: PairChannel) -> None:
        nonlocal channel
        channel = made

    answer = ask(application, prepare=prepare)
    assert seen[0] == b"", "an empty piece sends no head"
    assert seen[1].endswith(b"\r\n\r\n3\r\none\r\n") and seen[2] == seen[1] and seen[3].endswith(b"3\r\ntwo\r\n")
    assert answer.raw == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n" and answer.outcome == Outcome(200, 6, True, None)


@pytest.mark.parametrize("size", [1, 65_000, 70_000, 1_000_000])
@pytest.mark.parametrize("make", [simple, streamed])
def test_bodies_of_all_sizes_arrive_whole(make: Any, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    with Reader() as reader:
        answer = ask(make(body), prepare=reader.start)
        assert Answer(reader.rest(answer.data), answer.outcome, answer.channel, answer.body_input).body == body
    assert answer.outcome.sent_bytes == len(body)


class Reader:
    """A client that reads at the same time, in a process of its own."""

    def __enter__(self) -> Reader:
        self.file = tempfile.TemporaryFile()
        self.process: subprocess.Popen[bytes] | None = None
        return self

    def start(self, channel: PairChannel) -> None:
        self.process = subprocess.Popen(["cat"], stdin=channel.client.fileno(), stdout=self.file)
        channel.client.close()
        self.channel = channel

    def rest(self, data: bytes) -> bytes:
        assert self.process is not None
        self.channel.server.close()
        assert self.process.wait(10) == 0
        self.file.seek(0)
        return data + self.file.read()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.file.close()


@pytest.mark.parametrize(
    ("application", "data", "keep"),
    [
        (simple(b"hello"), request(b"GET", b"Connection: close"), False),
        (simple(b"hello"), request(version=b"1.0"), False),
        (simple(b"hello"), request(b"GET", b"Connection: keep-alive", version=b"1.0"), True),
        (streamed(b"hel", b"lo"), request(b"GET", b"Connection: keep-alive", version=b"1.0"), False),
        (streamed(b"hel", b"lo"), request(), True),
    ],
)
def test_keep_alive(application: Any, data: bytes, keep: bool) -> None:
    answer = ask(application, data)
    assert answer.body == b"hello" and answer.outcome.keep is keep
    assert answer.headers.get("Connection") == ("close" if not keep else "keep-alive" if b"HTTP/1.0" in data else None)
    leaving = ask(application, data, keep=False)
    assert leaving.body == b"hello" and leaving.headers["Connection"] == "close" and not leaving.outcome.keep


def test_keep_alive_is_asked_when_the_head_is_made() -> None:
    order: list[str] = []

    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", OK)
        order.append("started")
        yield b"x"

    head = parse_head(request(), Limits())
    channel = PairChannel()
    body = Input(channel, head, b"", Limits())
    environ = build_environ(head, base_environ("a:1", "", "", multithread=False), body)
    call = new_call(head, body, channel, lambda: order.append("asked") or True)  # type: ignore[func-returns-value]
    assert call.run(application, environ).keep
    channel.close()
    assert order == ["started", "asked"]


@pytest.mark.parametrize("make", [simple, streamed])
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "205 Reset Content"])
def test_statuses_without_a_body(make: Any, status: str, caplog: pytest.LogCaptureFixture) -> None:
    answer = ask(make(status=status, headers=[]))
    assert answer.raw == b"" and answer.outcome.error is None and answer.outcome.keep
    answer = ask(make(b"body", status=status, headers=[]))
    assert answer.raw == b"" and answer.outcome.keep and "has no body" in str(answer.outcome.error)


def test_head_has_the_headers_of_get_and_no_body() -> None:
    for application in (simple(b"hello"), streamed(b"hello", headers=[*OK, ("Content-Length", "5")])):
        answer = ask(application, request(b"HEAD"))
        assert answer.headers["Content-Length"] == "5" and answer.raw == b""
        assert answer.outcome == Outcome(200, 0, True, None)
    assert "Content-Length" not in ask(simple(), request(b"HEAD")).headers
    assert ask(streamed(b"a", b"b"), request(b"HEAD")).raw == b""


def test_head_does_not_exhaust_an_endless_body() -> None:
    closed: list[bool] = []

    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", OK)
        try:
            while True:
                yield b"x"
        finally:
            closed.append(True)

    assert ask(application, request(b"HEAD")).outcome == Outcome(200, 0, True, None)
    assert closed == [True]


@pytest.mark.parametrize("make", [simple, streamed])
def test_a_body_over_its_length_is_cut(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    answer = ask(make(b"hel", b"lo, wor", b"ld", headers=[("Content-Length", "5")]))
    assert answer.raw == b"hello" and answer.outcome.sent_bytes == 5 and answer.outcome.keep
    assert "longer than its Content-Length" in str(answer.outcome.error)
    assert len([record for record in caplog.records if "longer" in record.message]) == 1
    assert ask(make(b"hello", b"", headers=[("Content-Length", "5")])).outcome.error is None


@pytest.mark.parametrize("make", [simple, streamed])
def test_a_body_under_its_length_closes(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    answer = ask(make(b"hel", headers=[("Content-Length", "5")]))
    assert answer.raw == b"hel" and not answer.outcome.keep and "3 bytes" in str(answer.outcome.error)
    assert ask(make(headers=[("Content-Length", "5")])).outcome.keep is False
    assert ask(make(headers=[("Content-Length", "5")]), request(b"HEAD")).outcome == Outcome(200, 0, True, None)


def test_len_of_one() -> None:
    class One:
        def __init__(self, *pieces: bytes) -> None:
            self.pieces = pieces

        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[bytes]:
            return iter(self.pieces)

    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", OK)
        return One(*pieces)

    pieces: tuple[bytes, ...] = (b"hello",)
    assert ask(application).headers["Content-Length"] == "5"
    pieces = (b"hello", b"liar")
    assert ask(application).raw == b"hello"
