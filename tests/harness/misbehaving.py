"""Applications that test the letter of PEP 3333, and what they saw of it: ``/events`` has that, as JSON, and forgets it."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

Environ = dict[str, Any]
Start = Callable[..., Any]

TEXT = [("Content-Type", "text/plain")]
FILE = tempfile.NamedTemporaryFile()  # noqa: SIM115
FILE.write(b"0123456789" * 10_000)
FILE.flush()

events: list[str] = []
go_on = threading.Event()
kept: list[Any] = []


class Closing:
    """Pieces, and a note of each ``close``; an exception among the pieces is raised."""

    def __init__(self, *pieces: Any) -> None:
        self._pieces = iter(pieces)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        if isinstance(piece, BaseException):
            raise piece
        return piece  # type: ignore[no-any-return]

    def close(self) -> None:
        events.append("close")


class FailingClose(Closing):
    def close(self) -> None:
        super().close()
        raise RuntimeError("in close")


class Endless:
    """Until nobody listens any more."""

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    def close(self) -> None:
        events.append("close")


class Bytes(bytes):
    pass


class Text(str):
    __slots__ = ()


class File:
    """``read`` and ``close`` and nothing else."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int) -> bytes:
        part = min(size, self._left)
        self._left -= part
        return b"f" * part

    def close(self) -> None:
        events.append("close")


class RealFile:
    """A file that has a descriptor, and notes its end."""

    def __init__(self, offset: int) -> None:
        self._file = open(FILE.name, "rb")  # noqa: SIM115
        self._file.seek(offset)
        self.fileno, self.read, self.tell = self._file.fileno, self._file.read, self._file.tell

    def close(self) -> None:
        self._file.close()
        events.append("close")


def closing(environ: Environ, start: Start, pieces: str = "a,b", length: str = "") -> Iterable[bytes]:
    start("200 OK", [*TEXT, *([("Content-Length", length)] if length else [])])
    return Closing(*(piece.encode() for piece in pieces.split(",") if piece))


def closing_fails(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return FailingClose(b"ok")


def raising(environ: Environ, start: Start, what: str = "RuntimeError", when: str = "call") -> Iterable[bytes]:
    error = {"RuntimeError": RuntimeError, "SystemExit": SystemExit, "KeyboardInterrupt": KeyboardInterrupt, "GeneratorExit": GeneratorExit}
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
        "name bytes": [(b"X", "1")],
        "value int": [("X", 1)],
        "value subclass": [("X", Text("1"))],
        "headers dict": {"X": "1"},
        "value wide": [("X", "€")],
    }.get(what, TEXT)
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


def keeps_input(environ: Environ, start: Start) -> Iterable[bytes]:
    kept[:] = [environ["wsgi.input"]]
    start("200 OK", TEXT)
    return [b"ok"]


def reads_kept_input(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    try:
        return [b"read " + kept[0].read()]
    except OSError:
        return [b"refused"]


def endless(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return Endless()


def wrapped(environ: Environ, start: Start, kind: str = "real", offset: str = "0", length: str = "") -> Iterable[bytes]:
    start("200 OK", [*TEXT, *([("Content-Length", length)] if length else [])])
    file = RealFile(int(offset)) if kind == "real" else File(100_000 - int(offset))
    return environ["wsgi.file_wrapper"](file, 5000)  # type: ignore[no-any-return]


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
    f"/{name}": value for name, value in list(globals().items()) if callable(value) and getattr(value, "__module__", "") == __name__
} | {"/go_on": goes_on, "/events": shows_events}


def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
    options = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    return ROUTES[environ["PATH_INFO"]](environ, start_response, **options)
