"""Cases of HTTP/1.1: the bytes of one request and what has to become of them, played against a real worker.

Each is played whole, byte by byte, and with a pipelined request behind it. Whatever the server says, it says once,
with a ``Date``; what it refuses it answers with ``Connection: close``, and then the client reads the end, not a reset.
The follower is answered when the framing of the case was beyond doubt, and never runs otherwise.

One send for each byte is not yet one read for each: over TCP a worker gets about ten bytes at a time, since they queue
while it wakes. So the bytes go over a Unix socket, which tells when the other end has read what was sent, and every
byte waits for the one before. What TCP makes of many small sends is a mode of its own, ``PIECES``.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import select
import socket
import struct
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from harness.workers import PATIENCE_S, Generation, listening

REQUEST_LINE, HEADERS, HEADER, HEAD, BODY = 300, 20, 300, 2000, 1000  # small, so that cases at the limits are short
LIMITS = {"request_line": REQUEST_LINE, "headers": HEADERS, "header": HEADER, "head": HEAD, "body": BODY}

_date = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
).fullmatch
_numbers = itertools.count(1)


class Mode(Enum):
    WHOLE = "whole"
    BYTES = "bytes"  # each is read on its own
    PIECES = "pieces"  # each is sent on its own, and TCP joins them as it likes
    FOLLOWED = "followed"


@dataclass(frozen=True)
class Case:
    """``seen`` are entries of the environ, None where there must be none; ``body`` is the request's.

    Unless ``keep``, the server closes.

    ``why`` is a part of the reason that a refusal gives, where a status may have several.
    """

    name: str
    data: bytes
    status: int
    keep: bool = False
    interim: bool = False  # a 100 may come before
    seen: dict[str, str | None] = field(default_factory=dict)
    why: str = ""

    def __str__(self) -> str:
        return self.name


def good(name: str, data: bytes, *, keep: bool = True, interim: bool = False, **seen: str | None) -> Case:
    return Case(name, data, 200, keep, interim, seen)


def bad(name: str, data: bytes, status: int = 400, why: str = "") -> Case:
    return Case(name, data, status, why=why)


# Requests


def get(*lines: bytes, first: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join((first, host, *lines)) + b"\r\n\r\n"


def first(line: bytes) -> bytes:
    """A request with this request line."""
    return get(first=line)


def host(value: bytes) -> bytes:
    return get(host=b"Host:" + value)


def post(*lines: bytes, body: bytes = b"", target: bytes = b"/") -> bytes:
    return get(*lines, first=b"POST " + target + b" HTTP/1.1") + body


def old(*lines: bytes, body: bytes = b"", method: bytes = b"GET") -> bytes:
    """A request in HTTP/1.0, without Host."""
    return b"\r\n".join((method + b" / HTTP/1.0", *lines)) + b"\r\n\r\n" + body


def chunked(body: bytes, *lines: bytes, target: bytes = b"/") -> bytes:
    return post(b"Transfer-Encoding: chunked", *lines, body=body, target=target)


# Answers


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def seen(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.headers["x-seen"])
        return found


class Wire:
    """A client's socket: it sends exactly these bytes, and reads answers that have to be well-formed."""

    def __init__(self, address: Any) -> None:
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(address)
        if self.socket.family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def send(self, data: bytes, mode: Mode = Mode.WHOLE) -> None:
        if mode not in (Mode.BYTES, Mode.PIECES):
            self.socket.sendall(data)
            return
        for number in data:
            self.socket.send(bytes((number,)))
            if mode is Mode.BYTES:
                self._await_read()

    def _await_read(self) -> None:
        """Until the server has read all that was sent, or has something to say, which ends its interest in single
        bytes.
        """
        assert self.socket.family == socket.AF_UNIX, "TCP does not tell"
        deadline = time.monotonic() + PATIENCE_S
        while struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)))[0]:
            if select.select([self.socket], [], [], 0)[0]:
                return
            assert time.monotonic() < deadline, "the server does not read"
            os.sched_yield()

    def answer(self, *, head: bool = False) -> Answer:
        """The next one. ``head``: to a HEAD request, without a body."""
        while b"\r\n\r\n" not in self._buffer:
            self._receive()
        block, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        start, *lines = block.decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(": ")
            assert colon and name.lower() not in headers, f"malformed or repeated: {line!r}"
            headers[name.lower()] = value
        assert re.fullmatch(r"HTTP/1\.1 [1-5][0-9]{2} [ -~]*", start), f"malformed: {start!r}"
        status = int(start[9:12])
        if status >= 200:
            assert _date(headers.get("date", "")), f"no valid Date in {headers}"
        length = 0 if head or status < 200 else int(headers["content-length"])
        while len(self._buffer) < length:
            self._receive()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Answer(status, headers, body)

    def end(self) -> None:
        """Read the end of the connection: nothing before it, no reset."""
        assert not self._buffer, f"{self._buffer!r} behind the last answer"
        data = self.socket.recv(65536)
        assert not data, f"{data!r} behind the last answer"

    def close(self) -> None:
        self.socket.close()

    def _receive(self) -> None:
        data = self.socket.recv(65536)
        assert data, f"the server closed the connection after {self._buffer!r}"
        self._buffer += data


# The server


class Server:
    """One worker for all cases, and a connection beside them that asks which followers have run."""

    def __init__(self, address: Any, path: str) -> None:
        self._address = address
        self._path = path
        self._beside = Wire(address)

    @contextmanager
    def wire(self, mode: Mode = Mode.WHOLE) -> Iterator[Wire]:
        """A new connection: TCP, but for BYTES."""
        wire = Wire(self._path if mode is Mode.BYTES else self._address)
        try:
            yield wire
        finally:
            wire.close()

    def play(self, case: Case, mode: Mode) -> None:
        follower = f"{next(_numbers)}"
        data = case.data
        if mode is Mode.FOLLOWED:
            data += f"GET /follower?{follower} HTTP/1.1\r\nHost: follower\r\n\r\n".encode()
        with self.wire(mode) as wire:
            wire.send(data, mode)
            self._check(case, wire)
            if mode is Mode.FOLLOWED and case.keep:
                answer = wire.answer()
                assert answer.status == 200 and answer.seen["QUERY_STRING"] == follower
                assert answer.seen["body"] == "" and answer.seen["HTTP_HOST"] == "follower"
            if case.keep:
                wire.socket.shutdown(socket.SHUT_WR)
            wire.end()
        if mode is Mode.FOLLOWED:
            assert (follower in self.ran()) is case.keep

    def ran(self) -> list[str]:
        """The followers that the application has seen."""
        self._beside.send(b"GET /ran HTTP/1.1\r\nHost: a\r\n\r\n")
        found: list[str] = json.loads(self._beside.answer().body)
        return found

    def close(self) -> None:
        self._beside.close()

    def _check(self, case: Case, wire: Wire) -> None:
        head = case.data.lstrip(b"\r\n").startswith(b"HEAD ")  # RFC 9110, 9.3.2: no content, in a refusal neither
        answer = wire.answer(head=head)
        if answer.status == 100 and case.interim:
            answer = wire.answer(head=head)
        assert answer.status == case.status, f"{answer.status} {answer.body!r} instead of {case.status}"
        assert (answer.headers.get("connection") != "close") is case.keep, f"{answer.headers}, keep: {case.keep}"
        assert case.why in answer.body.decode()
        if case.status == 200:
            seen = answer.seen
            assert {name: seen.get(name) for name in case.seen} == case.seen


@contextmanager
def serving(**settings: Any) -> Iterator[Server]:
    """A worker with the witness as its application, without a master."""
    with tempfile.TemporaryDirectory() as folder, listening() as sock, listening(path := f"{folder}/http.sock") as unix:
        generation = Generation(1, [("127.0.0.1:8000", sock), (f"unix:{path}", unix)])
        try:
            generation.start("witness", **{"threads": 4, "limits": LIMITS, **settings}).resume()
            server = Server(sock.getsockname(), path)
            yield server
            server.close()
        finally:
            generation.close()
