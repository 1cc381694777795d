"""Requests with a body, read by the application or not, and responses that are files."""

from __future__ import annotations

import gzip
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.ask import OK, ask, echo, post, request, simple
from harness.pair import PairChannel
from releve.server.http.body import CONTINUE
from releve.server.wsgi.file_wrapper import FileWrapper
from releve.server.wsgi.outcome import Outcome

ROOT = Path(__file__).parents[3]

# the request body


def test_echo() -> None:
    follower = b"GET /next"
    for data in (post(b"hello"), request(b"POST", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n")):
        answer = ask(echo, data + follower)
        assert answer.raw == b"hello" and answer.outcome.keep and answer.body_input.rest == follower


def test_expect_continue() -> None:
    data = request(b"POST", b"Content-Length: 5", b"Expect: 100-continue")
    answer = ask(echo, data, sent=b"hello")
    assert (
        answer.data.startswith(CONTINUE + b"HTTP/1.1 200 OK\r\n")
        and answer.data.endswith(b"hello")
        and answer.outcome.keep
    )
    answer = ask(simple(b"no"), data, sent=b"hello")
    assert answer.first == "HTTP/1.1 200 OK" and answer.headers["Connection"] == "close" and not answer.outcome.keep


def test_no_continue_behind_the_head_of_the_response() -> None:
    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", OK)
        yield b"early "
        yield environ["wsgi.input"].read()

    answer = ask(application, request(b"POST", b"Content-Length: 5", b"Expect: 100-continue"), sent=b"hello")
    assert answer.body == b"early hello" and CONTINUE not in answer.data
    assert answer.headers["Connection"] == "close" and not answer.outcome.keep


def test_a_request_that_is_over_is_read_no_more() -> None:
    kept: list[Any] = []

    def application(environ: Any, start_response: Any) -> Any:
        kept.append(environ["wsgi.input"])
        return simple(b"x")(environ, start_response)

    answer = ask(application, request(b"POST", b"Content-Length: 99999", body=b"he"), b"llo")
    with pytest.raises(OSError, match="the request has ended"):
        kept[0].read()
    assert answer.channel.reads == 0


def test_a_body_that_was_not_read_is_dropped_if_small() -> None:
    chunks = b"5\r\nhello\r\n0\r\n\r\n"
    for data, sent in (
        (post(b"hello" * 100), b""),
        (request(b"POST", b"Content-Length: 5", body=b"he"), b"llo"),
        (request(b"POST", b"Transfer-Encoding: chunked", body=chunks[:4]), chunks[4:]),
    ):
        answer = ask(simple(b"x"), data, sent)
        assert answer.outcome == Outcome(200, 1, True, None) and "Connection" not in answer.headers
        assert answer.body_input.finished


def test_a_body_that_was_not_read_closes_if_large() -> None:
    answer = ask(simple(b"x"), request(b"POST", b"Content-Length: 99999", body=b"he"), b"llo")
    assert answer.headers["Connection"] == "close" and not answer.outcome.keep and answer.channel.reads == 0
    answer = ask(simple(b"x"), request(b"POST", b"Transfer-Encoding: chunked", body=b"zz\r\n"))
    assert answer.first == "HTTP/1.1 200 OK" and answer.headers["Connection"] == "close" and not answer.outcome.keep


def test_what_does_not_follow_the_head_in_time_closes() -> None:
    answer = ask(
        simple(b"x"),
        request(b"POST", b"Content-Length: 5", body=b"he"),
        prepare=lambda channel: channel.client.shutdown(1),
    )
    assert answer.outcome.status == 200 and not answer.outcome.keep


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (400, request(b"POST", b"Transfer-Encoding: chunked", body=b"5\r\nhelloX")),
        (413, request(b"POST", b"Transfer-Encoding: chunked", body=b"1ffff\r\n" + b"x" * 0x1FFFF)),
        (408, request(b"POST", b"Content-Length: 5", body=b"he")),
    ],
)
def test_a_bad_body_is_the_clients_fault(status: int, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    def wraps(environ: Any, start_response: Any) -> Any:
        try:
            return echo(environ, start_response)
        except OSError as error:
            raise RuntimeError("wrapped by a framework") from error

    for application in (echo, wraps):
        answer = ask(application, data)
        assert answer.first.startswith(f"HTTP/1.1 {status} ") and answer.data.count(b"HTTP/1.1") == 1
        assert answer.outcome.status == status and not answer.outcome.keep and not caplog.records


def test_an_application_may_answer_a_bad_body_itself() -> None:
    def application(environ: Any, start_response: Any) -> Any:
        with pytest.raises(OSError, match="chunk"):
            environ["wsgi.input"].read()
        start_response("422 Bad", OK)
        return [b"mine"]

    answer = ask(application, request(b"POST", b"Transfer-Encoding: chunked", body=b"zz\r\n"))
    assert answer.first == "HTTP/1.1 422 Bad" and answer.headers["Connection"] == "close" and not answer.outcome.keep
    assert answer.data.count(b"HTTP/1.1") == 1


def test_a_client_gone_in_mid_body_gets_nothing(caplog: pytest.LogCaptureFixture) -> None:
    answer = ask(
        echo, request(b"POST", b"Content-Length: 5", body=b"he"), prepare=lambda channel: channel.client.shutdown(1)
    )
    assert answer.data == b"" and answer.outcome.status == 499 and not answer.outcome.keep and not caplog.records
    assert "the client closed" in str(answer.outcome.error)


# files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    return file


def sends(file: Any, headers: list[tuple[str, str]] = OK, block: int = 4) -> Any:
    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(headers))
        return environ["wsgi.file_wrapper"](file, block)

    return application


def at(file: Any, offset: int) -> Any:
    file.seek(offset)
    return file


def test_a_file_goes_by_sendfile(path: Path) -> None:
    for opened in (path.open("rb"), path.open("rb", buffering=0), path.open("r+b")):
        answer = ask(sends(opened))
        assert answer.raw == b"0123456789" and answer.headers["Content-Length"] == "10" and opened.closed
        assert answer.channel.sendfiles == [(0, 10)] and answer.outcome == Outcome(200, 10, True, None)


def test_a_file_goes_from_its_position_on(path: Path) -> None:
    opened = path.open("rb")
    assert opened.read(3) == b"012", "the position of the buffer counts, not that of the descriptor"
    answer = ask(sends(opened))
    assert answer.raw == b"3456789" and answer.headers["Content-Length"] == "7"


@pytest.mark.parametrize(
    ("length", "raw", "keep"),
    [("4", b"2345", True), ("8", b"23456789", True), ("12", b"23456789", False), ("0", b"", True)],
)
def test_a_file_respects_content_length(path: Path, length: str, raw: bytes, keep: bool) -> None:
    answer = ask(sends(at(path.open("rb"), 2), [("Content-Length", length)]))
    assert answer.raw == raw and answer.headers["Content-Length"] == length
    assert answer.outcome.keep is keep and (answer.outcome.error is None) is keep


def test_a_file_to_head_and_304(path: Path) -> None:
    answer = ask(sends(path.open("rb")), request(b"HEAD"))
    assert answer.raw == b"" and answer.headers["Content-Length"] == "10" and answer.channel.sendfiles == []


def test_a_file_behind_a_write(path: Path) -> None:
    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", OK)(b"ab")
        return environ["wsgi.file_wrapper"](path.open("rb"))

    assert ask(application).body == b"ab0123456789"


def test_a_file_that_the_kernel_cannot_send(path: Path) -> None:
    def prepare(channel: PairChannel) -> None:
        channel.refuse_sendfile = True

    answer = ask(sends(at(path.open("rb"), 2), [("Content-Length", "5")]), prepare=prepare)
    assert answer.raw == b"23456" and answer.outcome == Outcome(200, 5, True, None)


def test_what_is_no_plain_file_is_read(path: Path) -> None:
    packed = path.with_suffix(".gz")
    packed.write_bytes(gzip.compress(b"0123456789"))
    spooled = tempfile.SpooledTemporaryFile()  # noqa: SIM115 - the application closes it
    spooled.write(b"0123456789")
    for file in (io.BytesIO(b"0123456789"), gzip.GzipFile(packed), at(spooled, 0), OnlyRead()):
        answer = ask(sends(file))
        assert answer.body == b"0123456789" and answer.channel.sendfiles == []
        assert getattr(file, "closed", True)
    empty = ask(sends(opened(Path("/proc/self/comm"))))
    assert empty.body.endswith(b"\n") and empty.channel.sendfiles == []


def opened(path: Path) -> Any:
    return path.open("rb")


class OnlyRead:
    def __init__(self) -> None:
        self.read = io.BytesIO(b"0123456789").read


def test_a_middleware_may_iterate_the_wrapper(path: Path) -> None:
    def application(environ: Any, start_response: Any) -> Any:
        return (piece.hex().encode() for piece in sends(path.open("rb"))(environ, start_response))

    assert ask(application).body == b"0123456789".hex().encode()
    assert list(FileWrapper(io.BytesIO(b"01234"), 2)) == [b"01", b"23", b"4"]
