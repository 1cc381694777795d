"""Applications that test the letter of PEP 3333, and what they saw of it: ``/events`` has that, as JSON, and forgets
it.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

from harness import uploads
from harness.odd_bodies import (
    FILE,
    TEXT,
    Bytes,
    Closing,
    Endless,
    Environ,
    FailingClose,
    File,
    RealFile,
    Start,
    Text,
    events,
    go_on,
    kept,
)


def plain(
    environ: Environ, start: Start, number: str = "", length: str = "", status: str = "200 OK"
) -> Iterable[bytes]:
    """A list of one piece: what the short way is made for."""
    start(status, [*TEXT, *([("Content-Length", length)] if length else [])])
    return [b"ok"]


def sized(environ: Environ, start: Start, letter: str = "x", size: str = "1") -> Iterable[bytes]:
    start("200 OK", TEXT)
    return [letter.encode() * int(size)]


def closing(environ: Environ, start: Start, pieces: str = "a,b", length: str = "") -> Iterable[bytes]:
    start("200 OK", [*TEXT, *([("Content-Length", length)] if length else [])])
    return Closing(*(piece.encode() for piece in pieces.split(",") if piece))


def closing_fails(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return FailingClose(b"ok")


def raising(environ: Environ, start: Start, what: str = "RuntimeError", when: str = "call") -> Iterable[bytes]:
    error = {
        "RuntimeError": RuntimeError,
        "SystemExit": SystemExit,
        "KeyboardInterrupt": KeyboardInterrupt,
        "GeneratorExit": GeneratorExit,
    }
    raised = error[what]("as asked")
    if when == "call":
        raise raised
    start("200 OK", TEXT)
    if when == "started":
        raise raised
    return Closing(raised) if when == "first" else Closing(b"a", raised)


def never_starts(environ: Environ, start: Start) -> Iterable[bytes]:
    return Closing(b"a")


def starts_after_data(environ: Environ, start: Start) -> Iterator[bytes]:
    yield b"a"
    start("200 OK", TEXT)


def starts_after_nothing(environ: Environ, start: Start) -> Iterator[bytes]:
    """An empty piece is no data: the head is still to come."""
    yield b""
    start("201 Created", TEXT)
    yield b""
    yield b"ok"


def starts_twice(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    start("201 Created", TEXT)
    return [b"a"]


def replaces(environ: Environ, start: Start) -> Iterable[bytes]:
    """``exc_info`` before anything was sent: the new head counts, all of it."""
    start("200 OK", [*TEXT, ("X-Old", "1")])
    try:
        raise KeyError("x")
    except KeyError as error:
        start("503 Service Unavailable", [*TEXT, ("X-New", "1")], (KeyError, error, error.__traceback__))
    return [b"sorry"]


def replaces_too_late(environ: Environ, start: Start) -> Iterable[bytes]:
    write = start("200 OK", TEXT)
    write(b"a")
    try:
        raise KeyError("x")
    except KeyError as error:
        try:
            start("503 Service Unavailable", TEXT, (KeyError, error, error.__traceback__))
        except KeyError:
            events.append("raised again")
            raise
    return [b"sorry"]


def head(environ: Environ, start: Start, status: str = "200 OK", name: str = "", value: str = "") -> Iterable[bytes]:
    start(status, [*TEXT, *([(name, value)] if name else [])])
    return Closing(b"body")


def odd_types(environ: Environ, start: Start, what: str = "") -> Iterable[Any]:
    status: Any = {"status bytes": b"200 OK", "status int": 200, "status subclass": Text("200 OK")}.get(what, "200 OK")
    headers: Any = {
        "headers tuple": tuple(TEXT),
        "headers list of lists": [["Content-Type", "text/plain"]],
        "headers iterator": iter(TEXT),
        "pair of three": [("X", "1", "2")],
        "pair of one": [("X",)],
        "pair is text": ["XY"],
        "two lengths": [("Content-Length", "2"), ("content-length", "3")],
        "one length twice": [("Content-Length", "2"), ("content-length", " 2")],
        "name bytes": [(b"X", "1")],
        "value int": [("X", 1)],
        "value subclass": [("X", Text("1"))],
        "headers dict": {"X": "1"},
        "value wide": [("X", "€")],
    }.get(what, TEXT)
    if what == "headers none":
        headers = None
    start(status, headers)
    body: dict[str, Any] = {
        "str": "ok",
        "strs": ["ok"],
        "bytes": b"ok",
        "bytes subclass": [Bytes(b"ok")],
        "bytearray": [bytearray(b"ok")],
        "memoryview": [memoryview(b"ok")],
        "none": None,
        "none piece": [None],
        "int": 3,
    }
    return body.get(what, [b"ok"])  # type: ignore[no-any-return]


def environ_types(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    own = {key: type(value).__name__ for key, value in environ.items() if not key.startswith("wsgi.")}
    return [json.dumps({"type": type(environ).__name__, "own": own, "keys": sorted(environ)}).encode()]


def changes_environ(environ: Environ, start: Start) -> Iterable[bytes]:
    """It may do with it what it likes."""
    seen = environ.get("mine", "none")
    environ.clear()
    environ["mine"] = "here"
    start("200 OK", TEXT)
    return [seen.encode()]


def endless(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return Endless()


def wrapped(environ: Environ, start: Start, kind: str = "real", offset: str = "0", length: str = "") -> Iterable[bytes]:
    start("200 OK", [*TEXT, *([("Content-Length", length)] if length else [])])
    file = RealFile(int(offset)) if kind == "real" else File(100_000 - int(offset))
    return environ["wsgi.file_wrapper"](file, 5000)  # type: ignore[no-any-return]


def kernel_file(
    environ: Environ, start: Start, offset: str = "0", length: str = "", status: str = "200 OK"
) -> Iterable[bytes]:
    """A file as ``open`` gives it, which the kernel can send."""
    start(status, [*TEXT, *([("Content-Length", length)] if length else [])])
    file = open(FILE.name, "rb")  # noqa: SIM115
    file.seek(int(offset))
    close = file.close

    def noted() -> None:
        close()
        events.append("close")

    file.close = noted  # type: ignore[method-assign]
    return environ["wsgi.file_wrapper"](file, 5000)  # type: ignore[no-any-return]


def huge_file(environ: Environ, start: Start) -> Iterable[bytes]:
    """More than any socket buffer takes: a hole of 32 MiB."""
    start("200 OK", TEXT)
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    file.truncate(32 * 1024 * 1024)

    def noted() -> None:
        file.close()
        events.append("close")

    wrapper = environ["wsgi.file_wrapper"](file)
    wrapper.close = noted
    return wrapper  # type: ignore[no-any-return]


def generates(environ: Environ, start: Start) -> Iterator[bytes]:
    """A generator has a ``close`` of its own: its ``finally`` runs there."""
    start("200 OK", TEXT)
    try:
        while True:
            yield b"x" * 65536
    except GeneratorExit:
        events.append("generator exit")
        raise
    finally:
        events.append("finally")


def writes(
    environ: Environ, start: Start, pieces: str = "a,b", length: str = "", returned: str = ""
) -> Iterable[bytes]:
    write = start("200 OK", [*TEXT, *([("Content-Length", length)] if length else [])])
    for piece in pieces.split(","):
        write(piece.encode())
    return Closing(*([returned.encode()] if returned else []))


def writes_and_returns_a_list(environ: Environ, start: Start) -> Iterable[bytes]:
    """The list has one piece, and is not all of the body."""
    start("200 OK", TEXT)(b"a")
    return [b"b"]


def empty(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return []


def writes_text(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)("text")
    return []


def writes_and_fails(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)(b"a")
    raise RuntimeError("as asked")


def starts_badly_then_well(environ: Environ, start: Start) -> Iterable[bytes]:
    """A head that was refused is none: nothing of it is sent."""
    try:
        start("200 OK", [*TEXT, ("X-Bad", "a\r\nY: b")])
    except ValueError:
        events.append("refused")
    start("201 Created", TEXT)
    return [b"ok"]


def starts_twice_and_goes_on(environ: Environ, start: Start) -> Iterable[bytes]:
    """The first one counts, if the application takes the second one back."""
    start("200 OK", TEXT)
    try:
        start("201 Created", TEXT)
    except RuntimeError:
        events.append("refused")
    return [b"ok"]


def replaces_lengths(environ: Environ, start: Start) -> Iterable[bytes]:
    """The length of a head that was replaced does not count."""
    start("200 OK", [*TEXT, ("Content-Length", "1000")])
    try:
        raise KeyError("x")
    except KeyError as error:
        start("500 Internal Server Error", [*TEXT, ("Content-Length", "5")], (KeyError, error, error.__traceback__))
    return Closing(b"sor", b"ry")


def fields(environ: Environ, start: Start) -> Iterable[bytes]:
    """Repeated ones, in this order and spelling; and two that a server adds where they are missing."""
    start(
        "200 OK",
        [
            ("X-b", "1"),
            ("Set-Cookie", "a=1"),
            ("x-A", "\xe4"),
            ("Set-Cookie", "b=2"),
            ("Date", "then"),
            ("SERVER", "mine"),
            ("X-Empty", ""),
        ],
    )
    return [b"ok"]


def keeps_start(environ: Environ, start: Start) -> Iterable[bytes]:
    kept[:] = [start, start("200 OK", TEXT), environ]
    return [b"ok"]


def uses_kept_start(environ: Environ, start: Start) -> Iterable[bytes]:
    """From a request that is over, nothing can be sent any more."""
    found = []
    error = KeyError("x")
    for what, arguments in (
        (kept[0], ("200 OK", TEXT)),
        (kept[0], ("200 OK", TEXT, (KeyError, error, None))),
        (kept[1], (b"stray",)),
    ):
        try:
            what(*arguments)
            found.append("done")
        except RuntimeError:
            found.append("refused")
    start("200 OK", TEXT)
    return [" ".join(found).encode()]


def thread_writes(environ: Environ, start: Start) -> Iterable[bytes]:
    """A thread of the application that outlives its request, and writes when ``/go_on`` is asked."""
    write = start("200 OK", TEXT)
    go_on.clear()

    def later() -> None:
        go_on.wait(20)
        try:
            write(b"HTTP/1.1 200 OK\r\n\r\n")
            events.append("written")
        except Exception as error:
            events.append(type(error).__name__)

    threading.Thread(target=later, daemon=True).start()
    return [b"ok"]


def two_steps(environ: Environ, start: Start) -> Iterator[bytes]:
    """The second piece comes when somebody asks for ``/go_on``."""
    start("200 OK", TEXT)
    go_on.clear()
    yield b"first"
    go_on.wait(20)
    yield b"second"


def goes_on(environ: Environ, start: Start) -> Iterable[bytes]:
    go_on.set()
    start("200 OK", TEXT)
    return [b""]


def shows_events(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    found = [*events]
    events.clear()
    return [json.dumps([os.getpid(), *found]).encode()]


ROUTES: dict[str, Callable[..., Iterable[Any]]] = {
    f"/{name}": value
    for name, value in [*globals().items(), *vars(uploads).items()]
    if callable(value) and getattr(value, "__module__", "") in (__name__, uploads.__name__)
} | {"/go_on": goes_on, "/events": shows_events}


def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
    options = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    return ROUTES[environ["PATH_INFO"]](environ, start_response, **options)
