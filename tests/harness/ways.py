"""The application of the tests of the fast path: each target is one way to answer, most of them unusual."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

PLAIN = [("Content-Type", "text/plain")]
_variable: ContextVar[str] = ContextVar("_variable", default="unset")
_kept: list[Any] = []


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return WAYS.get(environ["PATH_INFO"], hello)(environ, start_response)


def text(start_response: StartResponse, body: str, status: str = "200 OK") -> list[bytes]:
    start_response(status, [*PLAIN, ("Content-Length", str(len(body)))])
    return [body.encode()]


def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return text(start_response, "hello")


def way(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Who has called: the fast path is the one function of that name."""
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != "serve":
        frame = frame.f_back  # type: ignore[assignment]
    return text(start_response, "slow" if frame is None else "fast")


def pieces(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    return [b"one", b"", b"two"]


def generator(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", PLAIN)
    yield b"one"
    yield b"two"


def write(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)(b"written")
    return [b"returned"]


def empty(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    return [b""]


def nothing(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    return []


def status(line: str) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(line, [])
        return [b"a body that may not be"]

    return answer


def length(number: int) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(number))])
        return [b"hello"]

    return answer


def dated(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Server", "mine")])
    return [b"x"]


def fail(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise ValueError("on purpose")


def leave(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    sys.exit(3)


def newline(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("X", "a\r\nSet-Cookie: b")])
    return [b"x"]


def string(environ: Environ, start_response: StartResponse) -> Iterable[Any]:
    start_response("200 OK", PLAIN)
    return ["no bytes"]


def twice(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    start_response("200 OK", PLAIN)
    return [b"x"]


def never(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return [b"x"]


def late(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    yield b""
    raise ValueError("on purpose")


def hop(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Connection", "close")])
    return [b"x"]


def context(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    before = _variable.get()
    _variable.set("set")
    return text(start_response, before)


def thread(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return text(start_response, "main" if threading.current_thread() is threading.main_thread() else "other")


def keep(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    _kept.append(start_response("200 OK", [("Content-Length", "1")]))
    return [b"x"]


def use(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    try:
        _kept[-1](b"into the next response")
    except RuntimeError as error:
        return text(start_response, str(error))
    return text(start_response, "written")


def scribble(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    before = len(environ["wsgi.input"].read())
    environ["wsgi.input"].write(b"left over")
    return text(start_response, str(before))


def spoil(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    before = environ.get("spoilt")
    environ.update(spoilt=True, REQUEST_METHOD="POST", HTTP_HOST=None, RAW_URI=7)
    return text(start_response, str(before))


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return text(start_response, environ["wsgi.input"].read().decode())


def sixty(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return text(start_response, "x" * 60000)


def slow(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    time.sleep(0.2)
    return text(start_response, "slow")


def stray(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    child = os.fork()
    if child == 0:
        return text(start_response, "child")
    return text(start_response, str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))


def pid(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return text(start_response, str(os.getpid()))


WAYS: dict[str, Callable[[Environ, StartResponse], Iterable[bytes]]] = {
    "/way": way,
    "/pieces": pieces,
    "/generator": generator,
    "/write": write,
    "/empty": empty,
    "/nothing": nothing,
    "/204": status("204 No Content"),
    "/304": status("304 Not Modified"),
    "/205": status("205 Reset Content"),
    "/short": length(10),
    "/long": length(3),
    "/dated": dated,
    "/raise": fail,
    "/exit": leave,
    "/newline": newline,
    "/text": string,
    "/twice": twice,
    "/never": never,
    "/late": late,
    "/hop": hop,
    "/context": context,
    "/thread": thread,
    "/keep": keep,
    "/use": use,
    "/scribble": scribble,
    "/spoil": spoil,
    "/echo": echo,
    "/sixty": sixty,
    "/slow": slow,
    "/stray": stray,
    "/pid": pid,
}
