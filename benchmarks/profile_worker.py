"""Where the time of a usual request goes, in microseconds of one core: ``python benchmarks/profile_worker.py``.

Each stage on its own, the best of many repetitions, without any system call: the loop's own share of a request. What
the kernel takes for epoll, recv and send comes on top (about 5 µs where this was written).
"""

from __future__ import annotations

import collections
import timeit
from contextvars import Context
from io import BytesIO
from types import SimpleNamespace
from typing import Any

from releve.config.settings.limits import Limits
from releve.config.settings.settings import Settings
from releve.server.http import shape as shapes
from releve.server.http.fasthead import fast_environ
from releve.server.http.head import parse_head
from releve.server.http.response import check_start
from releve.server.loop.connection import Connection
from releve.server.loop.fastpath import fast_path
from releve.server.loop.socket_channel import SocketChannel
from releve.server.scoreboard.scoreboard import Scoreboard, make
from releve.server.wsgi.access import AccessLog
from releve.server.wsgi.call import Call
from releve.server.wsgi.environ import base_environ, build_environ

HEAD = b"""GET /page/%d?x=1 HTTP/1.1
Host: www.example.org
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8
Accept-Language: en-US,en;q=0.5
Accept-Encoding: gzip, deflate, br, zstd
Referer: https://www.example.org/
Connection: keep-alive
Cookie: sessionid=%d; csrftoken=abcdef0123456789
Upgrade-Insecure-Requests: 1
Sec-Fetch-Dest: document
Sec-Fetch-Mode: navigate
X-Request-ID: %d

""".replace(b"\n", b"\r\n")
REQUESTS = [HEAD % (number, number, number) for number in range(2000)]
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "13")]


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """A small response."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, world\n"]


class Client:
    """A socket without a kernel: it always has a next request, and takes every response."""

    def __init__(self) -> None:
        self._requests = iter(REQUESTS)

    def recv(self, limit: int) -> bytes:
        """The next request."""
        try:
            return next(self._requests)
        except StopIteration:
            self._requests = iter(REQUESTS)
            return next(self._requests)

    def send(self, data: bytes) -> int:
        """Take it."""
        return len(data)


def show(name: str, run: Any, number: int) -> None:
    """Print the best time of one of ``number`` runs."""
    print(f"{name:44} {min(timeit.repeat(run, number=1, repeat=15)) / number * 1e6:6.2f} µs")


def main() -> None:
    """All stages."""
    limits = Limits()
    base = base_environ("127.0.0.1:80", ("127.0.0.1", 80), multithread=True)
    known = None
    for data in REQUESTS[:3]:
        environ = fast_environ(data, len(data), base, limits)
        assert environ is not None
        known = shapes.learn(data.decode(), environ, base, known, limits)
    assert known is not None
    show(
        "read a head: strictly",
        lambda: [build_environ(parse_head(data, limits), base, None) for data in REQUESTS],
        len(REQUESTS),
    )
    show(
        "read a head: over all of its lines",
        lambda: [fast_environ(data, len(data), base, limits) for data in REQUESTS],
        len(REQUESTS),
    )
    show("read a head: by its shape", lambda: [known.read(str(data, "latin-1")) for data in REQUESTS], len(REQUESTS))
    some = range(2000)
    show("make a call, its context and its input", lambda: [(Call(), Context(), BytesIO()) for _ in some], len(some))
    show("check status and headers", lambda: [check_start("200 OK", HEADERS) for _ in some], len(some))
    start = check_start("200 OK", HEADERS)
    show("the head of the response", lambda: [start.head(13) for _ in some], len(some))
    with open("/dev/null", "wb") as sink:
        access = AccessLog(sink.fileno(), "combined")

        def write_lines() -> None:
            for _ in some:
                access.usual(
                    "127.0.0.1",
                    "GET",
                    "/page/1?x=1",
                    "HTTP/1.1",
                    200,
                    13,
                    "https://www.example.org/",
                    "Mozilla/5.0 (X11; Linux x86_64)",
                )
            access.flush()

        show("an access line, written", write_lines, len(some))
        print(f"{'all of it, from recv to send':44} {whole(access, base, known) * 1e6:6.2f} µs")


def whole(access: AccessLog, base: dict[str, Any], known: shapes.Shape) -> float:
    """Seconds for one request on the fast path."""
    threads: Any = SimpleNamespace(
        token=collections.deque(), calls=0, resting=False, forked=False, open=True, answered=0
    )
    connections: Any = SimpleNamespace(
        classes=[0] * 10,
        ready=None,
        plain=True,
        giving=False,
        register=None,
        idle_s=75.0,
        deadlines=SimpleNamespace(put=None),
        tally=Scoreboard(make()).tally(0),
    )
    answer: Any = SimpleNamespace(application=application, access=access, own=frozenset(), prepare=None)
    reader: Any = SimpleNamespace(usual=None, unusual=None, make_ready=None)
    settle: Any = None
    connection = Connection.__new__(Connection)
    client: Any = Client()
    connection.socket, connection.shape, connection.channel = client, known, SocketChannel(client, Settings().timeouts)
    connection.host, connection.port, connection.keeps, connection.call = "127.0.0.1", "4711", lambda: True, None
    connection.mark = b"127.0.0.1:4711"
    connection.polite, connection.registered, connection.buffer = False, True, bytearray()
    connection.requests = connection.hops = connection.tick = 0
    connection.deadline, connection.trust = 0.0, None
    serve = fast_path(connections, threads, answer, reader, settle)

    def turn() -> None:
        for _ in range(500):
            serve(connection)
        access.flush()

    return min(timeit.repeat(turn, number=1, repeat=30)) / 500


if __name__ == "__main__":
    main()
