"""One call of an application, over a real socket: start_response, write, errors, close, and the validator."""

from __future__ import annotations

import contextvars
import io
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from harness.ask import OK, ask, echo, post, request, simple, streamed
from harness.pair import PairChannel
from releve.server.http.body import ClientGone
from releve.server.wsgi.outcome import Outcome

ROOT = Path(__file__).parents[3]


# start_response, write, exc_info


def test_write() -> None:
    def application(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", OK)
        write(b"")
        write(b"one")
        write(b"two")
        return [b"three"]

    answer = ask(application)
    assert answer.body == b"onetwothree" and answer.outcome == Outcome(200, 11, True, None)


def test_exc_info_replaces_headers_that_are_not_sent() -> None:
    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("A", "old")])
        yield b""
        try:
            raise KeyError("x")
        except KeyError:
            start_response("500 Oops", [("B", "new")], sys.exc_info())
        yield b"sorry"

    answer = ask(application)
    assert answer.first == "HTTP/1.1 500 Oops" and answer.headers["B"] == "new" and "A" not in answer.headers
    assert answer.body == b"sorry" and answer.outcome == Outcome(500, 5, True, None)


def test_exc_info_is_raised_when_the_head_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", OK)
        yield b"half"
        try:
            raise KeyError("the real reason")
        except KeyError:
            start_response("500 Oops", [], sys.exc_info())
        yield b"never"

    answer = ask(application)
    assert answer.first == "HTTP/1.1 200 OK" and answer.raw == b"4\r\nhalf\r\n", "cut, and without the last chunk"
    assert not answer.outcome.keep and answer.outcome.error == "KeyError: 'the real reason'"


def raises(error: BaseException) -> Any:
    def application(environ: Any, start_response: Any) -> Any:
        raise error

    return application


def misuse(act: Callable[[Any], object]) -> Any:
    def application(environ: Any, start_response: Any) -> Any:
        result = act(start_response)
        return [b"x"] if result is None or callable(result) else result

    return application


FAILING: dict[str, Any] = {
    "exception": raises(RuntimeError("no")),
    "SystemExit": raises(SystemExit(3)),
    "KeyboardInterrupt": raises(KeyboardInterrupt()),
    "GeneratorExit": raises(GeneratorExit()),
    "MemoryError": raises(MemoryError()),
    "OSError of its own": raises(BrokenPipeError(32, "a database went away")),
    "ClientGone of its own": raises(ClientGone("not ours")),
    "bad status": misuse(lambda start: start("OK", [])),
    "number as status": misuse(lambda start: start(200, [])),
    "CR LF in a header": misuse(lambda start: start("200 OK", [("A", "b\r\nC: d")])),
    "started twice": misuse(lambda start: [start("200 OK", []), start("200 OK", [])][0]),
    "never started": misuse(lambda start: None),
    "never started, no body": misuse(lambda start: []),
    "str": misuse(lambda start: start("200 OK", []) and ["text"]),
    "str from a stream": misuse(lambda start: start("200 OK", []) and iter(["text"])),
    "bytearray": misuse(lambda start: start("200 OK", []) and [bytearray(b"x")]),
    "None in a list": misuse(lambda start: start("200 OK", []) and [b"a", None]),
    "bare bytes": misuse(lambda start: start("200 OK", []) and b"text"),
    "no iterable": misuse(lambda start: start("200 OK", []) and 7),
    "write of str": misuse(lambda start: start("200 OK", [])("text")),
    "not callable": None,
    "lazy": misuse(lambda start: start("200 OK", []) and (1 / 0 for _ in range(1))),
}


@pytest.mark.parametrize("why", FAILING)
def test_a_failing_application_is_one_plain_500(why: str, caplog: pytest.LogCaptureFixture) -> None:
    answer = ask(FAILING[why])
    assert answer.first == "HTTP/1.1 500 Internal Server Error" and answer.headers["Connection"] == "close"
    assert answer.data.count(b"HTTP/1.1") == 1 and len(answer.raw) == int(answer.headers["Content-Length"])
    assert answer.outcome.status == 500 and not answer.outcome.keep and answer.outcome.error
    (record,) = caplog.records
    assert record.name == "releve.worker" and record.levelno == logging.ERROR and record.exc_info
    assert record.getMessage() == r"GET /path?x=\xc2\x9b: the application failed", "escaped"
    assert ask(FAILING[why], request(b"HEAD")).raw == b""


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_failing_in_the_middle_breaks_off(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", OK)
        yield b"half"
        raise error

    answer = ask(application)
    assert answer.raw == b"4\r\nhalf\r\n" and answer.outcome.status == 200 and not answer.outcome.keep
    assert "in the middle" in caplog.records[0].getMessage()


def test_a_broken_exception_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert ask(raises(Broken())).outcome.status == 500


def test_bad_headers_change_nothing() -> None:
    def application(environ: Any, start_response: Any) -> Any:
        with pytest.raises(ValueError, match="control character"):
            start_response("200 OK", [("Connection", "close"), ("A", "\n")])
        start_response("201 Created", OK)
        return [b"x"]

    assert ask(application).outcome == Outcome(201, 1, True, None)


def test_nothing_can_be_sent_after_the_end() -> None:
    kept: list[Any] = []

    def application(environ: Any, start_response: Any) -> Any:
        kept.extend((start_response, start_response("200 OK", OK), environ["wsgi.input"]))
        return [b"x"]

    answer = ask(application, post(b"body"))
    late: list[Callable[[], object]] = [
        lambda: kept[0]("200 OK", []),
        lambda: kept[0]("200 OK", [], (None, None, None)),
        lambda: kept[1](b"y"),
    ]
    for act in late:
        with pytest.raises(RuntimeError, match="the request has ended"):
            act()
    assert kept[2].read() == b"" and len(answer.channel.writes) == 1


# close()


class Body:
    def __init__(self, *pieces: Any, close_error: BaseException | None = None) -> None:
        self.pieces, self.closed, self.close_error = iter(pieces), 0, close_error

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> Any:
        piece = next(self.pieces)
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def close(self) -> None:
        self.closed += 1
        if self.close_error is not None:
            raise self.close_error


def returning(iterable: Any, status: str = "200 OK", headers: list[tuple[str, str]] = OK) -> Any:
    def application(environ: Any, start_response: Any) -> Any:
        if status:
            start_response(status, list(headers))
        return iterable

    return application


@pytest.mark.parametrize(
    "pieces", [(), (b"a",), (b"a", b""), (ValueError(),), (b"a", SystemExit()), ("text",), (b"a", 7)], ids=repr
)
@pytest.mark.parametrize("status", ["200 OK", "204 No Content", ""])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_close_is_called_once(pieces: tuple[Any, ...], status: str, method: bytes) -> None:
    body = Body(*pieces)
    answer = ask(returning(body, status), request(method))
    assert body.closed == 1
    assert answer.data.count(b"HTTP/1.1") == 1


def test_close_is_called_when_the_client_has_gone(caplog: pytest.LogCaptureFixture) -> None:
    body = Body(*[b"x" * 1000] * 10)
    answer = ask(returning(body), prepare=lambda channel: channel.client.close())
    assert body.closed == 1 and not answer.outcome.keep and answer.outcome.error == "it has gone"
    assert next(body) == b"x" * 1000, "and what is left is not computed"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR], (
        "this is no error of the application"
    )


def test_a_client_that_takes_nothing() -> None:
    def prepare(channel: PairChannel) -> None:
        channel.write_s = 0.05

    body = Body(*[b"x" * 60_000] * 100)
    answer = ask(returning(body), prepare=prepare)
    assert body.closed == 1 and not answer.outcome.keep and answer.outcome.error == "it takes nothing"


def test_an_application_that_swallows_the_loss_of_its_client() -> None:
    def application(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", OK)
        for _ in range(5):
            with pytest.raises(ClientGone):
                write(b"x" * 1000)
        return []

    answer = ask(application, prepare=lambda channel: channel.client.close())
    assert not answer.outcome.keep and answer.outcome.error == "it has gone" and len(answer.channel.writes) == 1


def test_a_failing_close_leaves_the_response_alone(caplog: pytest.LogCaptureFixture) -> None:
    answer = ask(returning(Body(b"hello", close_error=SystemExit(1)), headers=[("Content-Length", "5")]))
    assert answer.raw == b"hello" and answer.outcome.status == 200 and answer.outcome.keep
    assert "after its response was complete" in caplog.records[0].getMessage()


# around it


def test_each_call_has_a_context_of_its_own() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", OK)
        before = variable.get()
        variable.set("leaked")
        yield f"{before} {variable.get()}".encode()

    for _ in range(2):
        assert ask(application).body == b"unset leaked"
    assert variable.get() == "unset"


VALID: dict[str, Any] = {
    "list": simple(b"hello"),
    "pieces": simple(b"he", b"llo"),
    "empty": simple(),
    "stream": streamed(b"he", b"", b"llo"),
    "echo": echo,
    "no content": simple(status="204 No Content", headers=[]),
    "length": streamed(b"hello", headers=[*OK, ("Content-Length", "5")]),
    "lines": lambda environ, start: (start("200 OK", OK), [b"".join(environ["wsgi.input"])])[1],
    "readline": lambda environ, start: (start("200 OK", OK), [environ["wsgi.input"].readline()])[1],
    "readlines": lambda environ, start: (start("200 OK", OK), environ["wsgi.input"].readlines())[1],
    "errors": lambda environ, start: (start("200 OK", OK), environ["wsgi.errors"].flush(), [b"x"])[2],
    "file": lambda environ, start: (start("200 OK", OK), environ["wsgi.file_wrapper"](io.BytesIO(b"hello")))[1],
    "post, unread": simple(b"x"),
}


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"OPTIONS"])
@pytest.mark.parametrize("name", VALID)
@pytest.mark.filterwarnings("error")
def test_the_validator_finds_nothing(name: str, method: bytes) -> None:
    if "read" in name or name in ("echo", "lines"):

        def application(environ: Any, start: Any) -> Any:  # the validator wants a size
            if environ["wsgi.input"].__class__.__module__ == "wsgiref.validate" and name == "echo":
                data = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start("200 OK", list(OK))
                return [data]
            return VALID[name](environ, start)
    else:
        application = VALID[name]
    body = b"one\ntwo\n" if method == b"POST" else b""
    answer = ask(
        validator(application),
        request(method, b"Content-Length: %d" % len(body), b"Content-Type: text/plain", body=body),
    )
    assert answer.outcome.error is None and answer.outcome.status in (200, 204) and answer.outcome.keep
