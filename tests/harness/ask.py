"""One request to one application, without a worker: the call over a socketpair, and what the client got."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.pair import PairChannel
from releve.config.settings.limits import Limits
from releve.server.http.body import Input
from releve.server.http.head import head_end, parse_head
from releve.server.wsgi.call import new_call
from releve.server.wsgi.environ import base_environ, build_environ
from releve.server.wsgi.outcome import Outcome

Application = Any
Prepare = Callable[[PairChannel], object]
BODY_LIMIT_BYTES = 100_000

OK: list[tuple[str, str]] = [("Content-Type", "text/plain")]


def request(method: bytes = b"GET", *lines: bytes, version: bytes = b"1.1", body: bytes = b"") -> bytes:
    return b"\r\n".join((b"%b /path?x=\xc2\x9b HTTP/%b" % (method, version), b"Host: a", *lines)) + b"\r\n\r\n" + body


def post(body: bytes = b"", *lines: bytes) -> bytes:
    return request(b"POST", b"Content-Length: %d" % len(body), *lines, body=body)


class Answer:
    """What the client got."""

    def __init__(self, data: bytes, outcome: Outcome, channel: PairChannel, body: Input) -> None:
        self.data, self.outcome, self.channel, self.body_input = data, outcome, channel, body
        head, _, self.raw = data.partition(b"\r\n\r\n")
        self.first, *lines = head.decode("latin-1").split("\r\n")
        self.headers = dict(line.split(": ", 1) for line in lines)

    @property
    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.raw
        parts, raw = [], self.raw
        while True:
            size, _, raw = raw.partition(b"\r\n")
            parts.append(raw[: int(size, 16)])
            assert raw[int(size, 16) :].startswith(b"\r\n")
            raw = raw[int(size, 16) + 2 :]
            if int(size, 16) == 0:
                assert raw == b""
                return b"".join(parts)


def ask(
    application: Application,
    data: bytes = b"",
    sent: bytes = b"",
    keep: bool = True,
    prepare: Prepare | None = None,
) -> Answer:
    """Send ``data``, which has arrived when the call begins, and ``sent`` behind it; ``prepare`` may spoil the
    connection.
    """
    data = data or request()
    end = head_end(data, 0)
    limits = Limits(body=BODY_LIMIT_BYTES)
    head = parse_head(data[:end], limits)
    channel = PairChannel(sent)
    try:
        if prepare is not None:
            prepare(channel)
        body = Input(channel, head, data[end:], limits, timeout_s=0.2)
        base = base_environ("127.0.0.1:80", ("127.0.0.1", 80), "10.0.0.1:1", multithread=True)
        outcome = new_call(head, body, channel, lambda: keep).run(application, build_environ(head, base, body))
        return Answer(b"" if channel.client.fileno() < 0 else channel.received(), outcome, channel, body)
    finally:
        channel.close()


def simple(*pieces: bytes, status: str = "200 OK", headers: list[tuple[str, str]] = OK) -> Any:
    def application(environ: Any, start_response: Any) -> Any:
        start_response(status, list(headers))
        return list(pieces)

    return application


def streamed(*pieces: bytes, status: str = "200 OK", headers: list[tuple[str, str]] = OK) -> Any:
    def application(environ: Any, start_response: Any) -> Any:
        start_response(status, list(headers))
        return iter(pieces)

    return application


def echo(environ: Any, start_response: Any) -> Any:
    data = environ["wsgi.input"].read()
    start_response("200 OK", OK)
    return [data]
