"""Applications that read what a client sends, in many ways; routes of ``misbehaving``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from harness.odd_bodies import TEXT, Closing, Environ, Start, events, kept


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


def reads(environ: Environ, start: Start, how: str = "read") -> Iterable[bytes]:
    body = environ["wsgi.input"]
    ways: dict[str, Callable[[], bytes]] = {
        "read": lambda: body.read(),
        "read None": lambda: body.read(None),
        "read -1": lambda: body.read(-1),
        "read much": lambda: body.read(10_000_000) + body.read(1),
        "read pieces": lambda: b"".join(iter(lambda: body.read(3), b"")),
        "readline": lambda: b"".join(iter(body.readline, b"")),
        "readline 3": lambda: b"".join(iter(lambda: body.readline(3), b"")),
        "readlines": lambda: b"".join(body.readlines()),
        "readlines 4": lambda: b"".join(line for lines in iter(lambda: body.readlines(4), []) for line in lines),
        "iterate": lambda: b"".join(body),
        "nothing": lambda: b"",
        "read 0": lambda: body.read(0),
        "read 2": lambda: body.read(2),
        "mixed": lambda: body.read(2) + body.readline() + body.readline(1) + next(iter(body), b"") + body.read(),
    }
    found = ways[how]()
    start("200 OK", TEXT)
    return [found]


def reads_after_answer(environ: Environ, start: Start) -> Iterator[bytes]:
    """The body is read between two pieces of the response."""
    start("200 OK", TEXT)
    yield b"first "
    yield environ["wsgi.input"].read()


def upload_breaks_off(environ: Environ, start: Start) -> Iterable[bytes]:
    """Each read of a body that broke off says so."""
    body = environ["wsgi.input"]
    for read in (body.read, body.readline, lambda: body.read(1), lambda: next(iter(body), b"")):
        try:
            events.append(f"{len(read())} bytes")
        except OSError:
            events.append("OSError")
    start("200 OK", TEXT)
    return Closing(b"ok")


def upload_is_refused(environ: Environ, start: Start) -> Iterable[bytes]:
    """It does not look at the error."""
    data = environ["wsgi.input"].read()
    events.append("read all")
    start("200 OK", TEXT)
    return [data]
