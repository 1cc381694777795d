"""An application that fails, in the way that the path names."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    way = environ["PATH_INFO"].lstrip("/")
    return WAYS.get(way, fine)(environ, start_response)


def fine(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "4")])
    return [b"fine"]


def raises(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise LookupError("no such\x1b[2J table")


def leaves(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    sys.exit("enough")


def refused(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("X-Bad", "a\r\nb")])
    return [b"never"]


def answers(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("503 Service Unavailable", [("Content-Length", "4")])
    return [b"busy"]


def tells(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    try:
        raise LookupError("no such table")
    except LookupError:
        start_response("500 Internal Server Error", [("Content-Length", "4")], sys.exc_info())
    return [b"told"]


def breaks(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    yield b"data: 1\n\n"
    raise LookupError("no such event")


def prints(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    print("to standard output")
    print("and to \x1b[31merror", file=sys.stderr)
    if os.fork() == 0:
        print("a child's")
        os._exit(0)
    os.wait()
    return fine(environ, start_response)


WAYS = {one.__name__: one for one in (raises, leaves, refused, answers, tells, breaks, prints)}
