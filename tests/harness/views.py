"""The application that bare workers serve in the tests: each path shows one behaviour.

``NAME`` of the process is its generation.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    view = VIEWS.get(environ["PATH_INFO"], missing)
    query = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"]))
    return view(environ, query, start_response)


def text(start_response: StartResponse, body: str | bytes, status: str = "200 OK") -> list[bytes]:
    data = body.encode() if isinstance(body, str) else body
    start_response(status, [("Content-Length", str(len(data))), ("X-Pid", str(os.getpid()))])
    return [data]


def missing(environ: Environ, query: dict[str, str], start_response: StartResponse) -> list[bytes]:
    return text(start_response, "", "404 Not Found")


def pid(environ: Environ, query: dict[str, str], start_response: StartResponse) -> list[bytes]:
    return text(start_response, str(os.getpid()))


def echo(environ: Environ, query: dict[str, str], start_response: StartResponse) -> list[bytes]:
    return text(start_response, environ["wsgi.input"].read())


def thread(environ: Environ, query: dict[str, str], start_response: StartResponse) -> list[bytes]:
    return text(start_response, "main" if threading.current_thread() is threading.main_thread() else "other")


def wait(environ: Environ, query: dict[str, str], start_response: StartResponse) -> list[bytes]:
    """Create the file ``at``, wait until the file ``until`` is there, answer."""
    open(query["at"], "w").close()
    deadline = time.monotonic() + 30
    while not os.path.exists(query["until"]) and time.monotonic() < deadline:
        time.sleep(0.005)
    return text(start_response, str(os.getpid()))


_count = 0


def count(environ: Environ, query: dict[str, str], start_response: StartResponse) -> list[bytes]:
    """The number of this call, after ``ms`` milliseconds."""
    global _count
    _count += 1
    number = _count
    time.sleep(int(query.get("ms", "0")) / 1000)
    return text(start_response, str(number))


def stream(environ: Environ, query: dict[str, str], start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [])
    for number in range(int(query.get("pieces", "3"))):
        yield b"%d\n" % number


def big(environ: Environ, query: dict[str, str], start_response: StartResponse) -> list[bytes]:
    return text(start_response, b"x" * int(query["bytes"]))


def leave(environ: Environ, query: dict[str, str], start_response: StartResponse) -> list[bytes]:
    sys.exit(3)


def fork(environ: Environ, query: dict[str, str], start_response: StartResponse) -> list[bytes]:
    """A child that stays until it is killed; its pid."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    return text(start_response, str(child))


def stray(environ: Environ, query: dict[str, str], start_response: StartResponse) -> list[bytes]:
    """A child that comes back from the view, as if it were a worker."""
    child = os.fork()
    if child == 0:
        return text(start_response, "child")
    _, status = os.waitpid(child, 0)
    return text(start_response, str(os.waitstatus_to_exitcode(status)))


def address(environ: Environ, query: dict[str, str], start_response: StartResponse) -> list[bytes]:
    names = ("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT", "wsgi.multithread")
    return text(start_response, " ".join(str(environ[name]) for name in names))


VIEWS: dict[str, Callable[[Environ, dict[str, str], StartResponse], Iterable[bytes]]] = {
    "/pid": pid,
    "/echo": echo,
    "/thread": thread,
    "/wait": wait,
    "/count": count,
    "/stream": stream,
    "/big": big,
    "/exit": leave,
    "/fork": fork,
    "/stray": stray,
    "/address": address,
}
