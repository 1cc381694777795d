"""The strict client: a process of its own that finds every lost, doubled or misplaced answer.

Run by path, standard library only. Half of its clients keep their connection and
think between two requests, half connect anew for each; over TCP and Unix sockets.
Nothing is ever retried. A failure is: a refused or reset connection, one that is
closed under a request, or while idle without ``Connection: close`` on the answer
before; an answer that is cut short, late, malformed, followed by a byte too much,
not an echo of what was sent, or from a generation that should not have given it.

Commands come as lines on standard input, each is acknowledged by one JSON line:

``begin G``   generation G starts to take over: from now on it may answer too
``done G``    it has: what is sent from now on must be answered by G (or a later one)
``wait N``    acknowledged when N requests have been answered in all
``trouble``   acknowledged when anything has failed
``round``     (with ``--rounds``) every client sends one request; acknowledged when all are answered
``report``    the figures so far
``afresh``    the same, and the times of answers are counted from here on
``stop``      ends every client after its outstanding request, reports, and exits 1 if anything failed

A rollback is ``begin`` and ``done`` of a generation that has served before.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

CLOSE_S = 5.0  # an announced close has to follow within
SPLIT_S = 0.06  # longest pause in the middle of a request


class Broken(Exception):
    """One failure: its kind, and what was seen."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail = kind, detail


@dataclass(frozen=True)
class Answer:
    """One whole response."""

    status: int
    headers: dict[str, str]
    body: bytes
    close: bool  # no further request may be sent on this connection


@dataclass(frozen=True)
class Template:
    """A kind of request; ``{nonce}`` is replaced in target, headers and body.

    ``echo``: where the answer must show the nonce: the whole ``body`` is what was
    sent, the body ``contains`` it, the header ``X-Nonce`` has it, or ``none``.
    """

    method: str = "POST"
    target: str = "/echo?{nonce}"
    weight: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = "{nonce}"
    pad: int = 2000  # up to so many random bytes more
    chunked: bool = False
    echo: str = "body"
    statuses: tuple[int, ...] = (200,)


DEFAULT_TEMPLATES = (
    Template(weight=8),
    Template(weight=1, chunked=True),
    Template("GET", "/release?{nonce}", 1, body=None, echo="header"),
)


def parse(data: bytes, ended: bool, method: str) -> tuple[Answer, int] | None:
    """The response at the start of ``data`` and its length, None while it is incomplete. Raises Broken."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    code = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not code.isdigit() or len(code) != 3:
        raise Broken("malformed", f"status line {lines[0]!r}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        key = name.lower()
        if (
            not colon
            or not name
            or name != name.strip()
            or (key in headers and key in ("content-length", "transfer-encoding"))
        ):
            raise Broken("malformed", f"header line {line!r}")
        headers[key] = value.strip()
    start, status = end + 4, int(code)
    close = "close" in headers.get("connection", "").lower() or (
        version == "HTTP/1.0" and "keep-alive" not in headers.get("connection", "").lower()
    )
    if method == "HEAD" or status in (204, 304) or status < 200:
        return Answer(status, headers, b"", close), start
    if headers.get("transfer-encoding", "").lower() == "chunked":
        found = parse_chunks(data, start)
        return (Answer(status, headers, found[0], close), found[1]) if found else None
    if "content-length" in headers:
        stop = start + int(headers["content-length"])
        return (Answer(status, headers, data[start:stop], close), stop) if len(data) >= stop else None
    return (Answer(status, headers, data[start:], True), len(data)) if ended else None


def parse_chunks(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The chunked body at ``at`` and where it ends, None while it is incomplete. Raises Broken."""
    body = bytearray()
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        try:
            size = int(data[at:end], 16)
        except ValueError:
            raise Broken("malformed", f"chunk size {data[at:end]!r}") from None
        stop = end + 2 + size + 2
        if len(data) < stop:
            return None
        if data[stop - 2 : stop] != b"\r\n":
            raise Broken("malformed", "chunk without its CRLF")
        body += data[end + 2 : stop - 2]
        at = stop
        if size == 0:
            return bytes(body), stop


def quantiles(times: Counter[int]) -> dict[str, float]:
    """Median, 99th percentile and maximum in seconds, of times in tenths of a millisecond; nothing of none."""
    found: dict[str, float] = {}
    passed, total = 0, times.total()
    for value in sorted(times):
        passed += times[value]
        for percent in (50, 99):
            if passed > min(total - 1, total * percent // 100):
                found.setdefault(f"p{percent}", value / 10_000)
    return {**found, "max": max(times) / 10_000} if times else {}


class Judge:
    """Who may answer what: generations in the order in which they came to serve."""

    def __init__(self, ordered: bool = True) -> None:
        self.turns: list[int] = []
        self.floor = 0
        self.ordered = ordered  # whether a connection must not go back (a proxy in front may)

    def begin(self, generation: int) -> None:
        """It may answer from now on, besides whoever does."""
        self.turns.append(generation)

    def done(self, generation: int) -> None:
        """Only it may answer what is sent from now on."""
        if not self.turns or self.turns[-1] != generation:
            self.turns.append(generation)
        self.floor = len(self.turns) - 1

    def place(self, generation: int | None, floor: int, position: int) -> int:
        """The turn that gave this answer: not before ``floor`` (when it was sent), nor ``position`` (of its
        connection). Raises Broken.
        """
        if not self.turns:
            return 0
        if generation is None:
            raise Broken("generation", "the answer does not say its generation")
        least = max(floor, position) if self.ordered else floor
        for turn in range(least, len(self.turns)):
            if self.turns[turn] == generation:
                return turn
        if generation in self.turns[floor:]:
            raise Broken("backwards", f"answered by {generation} after {self.turns[position]} on the same connection")
        raise Broken("generation", f"answered by {generation}, allowed when it was sent or later: {self.turns[floor:]}")


class Wire(asyncio.Protocol):
    """One connection: what has arrived on it and whether it has ended."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended: str | None = None
        self.news = asyncio.Event()
        self.position = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.news.set()

    def eof_received(self) -> bool:
        self.ended = self.ended or "closed"
        self.news.set()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self.ended = f"reset ({error})"
        self.ended = self.ended or "closed"
        self.news.set()

    async def change(self, seconds: float | None) -> None:
        """Wait until something arrives, the end, a wake-up, or ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.news.wait()
        self.news.clear()

    def close(self) -> None:
        self.transport.close()


class Herd:
    """All clients, what they have seen, and the commands that steer them."""

    def __init__(self, options: argparse.Namespace, templates: list[Template]) -> None:
        self.options = options
        self.templates = templates
        self.weights = [t.weight for t in templates]
        self.judge = Judge(not options.unordered)
        self.random = random.Random(options.seed)
        self.stopping = False
        self.stopped = asyncio.Event()
        self.round = 0
        self.round_left = 0
        self.wires: set[Wire] = set()
        self.progress = asyncio.Event()
        self.sent = self.answered = self.failed = self.connects = self.announced = 0
        self.failures: list[dict[str, Any]] = []
        self.kinds: Counter[str] = Counter()
        self.by_generation: Counter[str] = Counter()
        self.by_template: Counter[int] = Counter()
        self.times: Counter[int] = Counter()  # how many answers took so many tenths of a millisecond

    # what is seen

    def fail(self, client: str, error: Broken) -> None:
        self.failed += 1
        self.kinds[error.kind] += 1
        if len(self.failures) < self.options.failures:
            self.failures.append({"kind": error.kind, "detail": error.detail, "client": client, "at": time.monotonic()})
        self.progress.set()

    def report(self) -> dict[str, Any]:
        return {
            "sent": self.sent,
            "answered": self.answered,
            "failed": self.failed,
            "kinds": dict(self.kinds),
            "failures": self.failures,
            "by_generation": dict(self.by_generation),
            "by_template": dict(self.by_template),
            "connects": self.connects,
            "announced_closes": self.announced,
            "seconds": quantiles(self.times),
        }

    # one request

    async def connect(self, target: str) -> Wire:
        loop = asyncio.get_running_loop()
        kind, _, place = target.partition(":")
        self.connects += 1
        try:
            async with asyncio.timeout(self.options.patience):
                if kind == "unix":
                    _, wire = await loop.create_unix_connection(Wire, place)
                else:
                    host, _, port = place.rpartition(":")
                    _, wire = await loop.create_connection(Wire, host.strip("[]"), int(port))
        except TimeoutError:
            raise Broken("timeout", f"connect to {target}") from None
        except OSError as error:
            raise Broken("refused", f"connect to {target}: {error}") from None
        self.wires.add(wire)
        return wire

    def compose(self, template: Template, last: bool) -> tuple[bytes, bytes, bytes | None]:
        """Head, body bytes on the wire, and what the answer must show (None: nothing)."""
        nonce = f"{self.random.getrandbits(64):016x}"
        body = b""
        lines = [
            f"{template.method} {template.target.replace('{nonce}', nonce)} HTTP/1.1",
            f"Host: {self.options.host}",
            f"X-Nonce: {nonce}",
        ]
        lines += [f"{name}: {value.replace('{nonce}', nonce)}" for name, value in template.headers.items()]
        plain = b""
        if template.body is not None:
            plain = body = template.body.replace("{nonce}", nonce).encode() + b"." * self.random.randrange(
                template.pad + 1
            )
            if template.chunked:
                cut = self.random.randrange(len(body) + 1)
                body = (
                    b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
                    + b"0\r\n\r\n"
                )
                lines.append("Transfer-Encoding: chunked")
            else:
                lines.append(f"Content-Length: {len(body)}")
        if last:
            lines.append("Connection: close")
        wanted = {"body": plain, "contains": nonce.encode(), "header": nonce.encode()}.get(template.echo)
        return "\r\n".join(lines).encode() + b"\r\n\r\n", body, wanted

    async def ask(self, wire: Wire, *, last: bool = False) -> Answer:
        """Send one request, check its answer. Raises Broken; the connection is of no more use then."""
        template = self.random.choices(self.templates, self.weights)[0]
        head, body, wanted = self.compose(template, last)
        data, floor, began = head + body, self.judge.floor, time.monotonic()
        self.untroubled(wire)
        self.sent += 1
        if self.random.random() < self.options.split:
            cut = self.random.randrange(1, len(data))
            wire.transport.write(data[:cut])
            await asyncio.sleep(self.random.random() * SPLIT_S)
            wire.transport.write(data[cut:])
        else:
            wire.transport.write(data)
        while True:
            found = parse(bytes(wire.data), wire.ended is not None, template.method)
            if found:
                break
            if wire.ended:
                raise Broken(
                    "truncated" if wire.data else "lost",
                    f"{wire.ended} under a request, after {len(wire.data)} bytes of the answer",
                )
            left = began + self.options.patience - time.monotonic()
            if left <= 0:
                raise Broken("timeout", f"no whole answer in {self.options.patience:g} s, {len(wire.data)} bytes of it")
            await wire.change(left)
        answer, length = found
        del wire.data[:length]
        self.times[round((time.monotonic() - began) * 10_000)] += 1
        self.check(template, answer, wanted)
        if wire.data:
            raise Broken("extra", f"{len(wire.data)} bytes after the answer: {bytes(wire.data[:60])!r}")
        generation = answer.headers.get("x-generation")
        wire.position = self.judge.place(int(generation) if generation else None, floor, wire.position)
        self.by_generation[generation or "?"] += 1
        self.by_template[self.templates.index(template)] += 1
        self.answered += 1
        self.progress.set()
        return answer

    def check(self, template: Template, answer: Answer, wanted: bytes | None) -> None:
        if answer.status not in template.statuses:
            raise Broken("status", f"{template.method} {template.target}: {answer.status}, {answer.body[:200]!r}")
        if template.echo == "body" and answer.body != wanted:
            raise Broken(
                "echo", f"{len(wanted or b'')} bytes sent, {len(answer.body)} others came back: {answer.body[:60]!r}"
            )
        if template.echo == "contains" and wanted is not None and wanted not in answer.body:
            raise Broken("echo", f"{wanted!r} is not in the answer of {len(answer.body)} bytes")
        if template.echo == "header" and wanted is not None and answer.headers.get("x-nonce") != wanted.decode():
            raise Broken("echo", f"X-Nonce is {answer.headers.get('x-nonce')}, {wanted!r} was sent")

    def untroubled(self, wire: Wire) -> None:
        """An idle connection says nothing and stays. Raises Broken."""
        if wire.data:
            raise Broken("extra", f"{len(wire.data)} bytes nobody asked for: {bytes(wire.data[:60])!r}")
        if wire.ended:
            raise Broken("idle", f"{wire.ended} while idle, unannounced")

    # clients

    def think_s(self) -> float:
        """From 0 to ``think`` seconds, ``think_mean`` on average: many short pauses, some long ones."""
        longest, mean = self.options.think, self.options.think_mean
        return longest * float(self.random.random() ** (longest / mean - 1)) if mean else 0.0

    async def idle(self, wire: Wire, seen: int) -> None:
        """Think (or wait for the next round) with an open connection. Raises Broken when it does not stay."""
        until = None if self.options.rounds else time.monotonic() + self.think_s()
        began = time.monotonic()
        while not self.stopping and (self.round == seen if until is None else time.monotonic() < until):
            await wire.change(None if until is None else max(0.0, until - time.monotonic()))
            if wire.ended and not wire.data and time.monotonic() - began >= self.options.keepalive:
                return
            self.untroubled(wire)

    async def keep(self, name: str, target: str) -> None:
        """A client that keeps its connection."""
        wire: Wire | None = None
        while not self.stopping:
            seen = self.round
            try:
                if wire is None:
                    wire = await self.connect(target)
                answer = await self.ask(wire)
                self.round_left -= 1
                if answer.close:
                    self.announced += 1
                    await self.part(wire)
                    wire = None
                    await self.turn(seen)
                    continue
                await self.idle(wire, seen)
                if wire.ended:
                    self.drop(wire)
                    wire = None
            except Broken as error:
                self.fail(f"{name} keeping, {target}", error)
                self.round_left -= 1
                if wire is not None:
                    self.drop(wire)
                wire = None
                await asyncio.sleep(0.05)
        if wire is not None:
            self.drop(wire)

    async def turn(self, seen: int) -> None:
        """Without a connection: wait for the next round, if there are rounds."""
        while self.options.rounds and self.round == seen and not self.stopping:
            await asyncio.sleep(0.02)

    async def anew(self, name: str, target: str) -> None:
        """A client that connects anew for each request; every second one asks for the close."""
        last = False
        while not self.stopping:
            wire, last = None, not last
            try:
                wire = await self.connect(target)
                answer = await self.ask(wire, last=last)
                if answer.close:
                    await self.part(wire)
                elif last:
                    raise Broken("malformed", "asked for Connection: close, the answer does not say it")
            except Broken as error:
                self.fail(f"{name} anew, {target}", error)
            if wire is not None:
                self.drop(wire)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.think_s()):
                    await self.stopped.wait()

    async def part(self, wire: Wire) -> None:
        """After ``Connection: close``: the server closes, and says nothing more. Raises Broken."""
        until = time.monotonic() + CLOSE_S
        while not wire.ended and not wire.data and time.monotonic() < until:
            await wire.change(until - time.monotonic())
        if wire.data:
            raise Broken("extra", f"{len(wire.data)} bytes after the last answer: {bytes(wire.data[:60])!r}")
        if not wire.ended:
            raise Broken("unclosed", f"the announced close did not come within {CLOSE_S:g} s")
        self.drop(wire)

    def drop(self, wire: Wire) -> None:
        wire.close()
        self.wires.discard(wire)

    # commands

    def wake(self) -> None:
        for wire in self.wires:
            wire.news.set()

    async def obey(self, line: str) -> dict[str, Any]:
        """Carry out one command; its acknowledgement."""
        verb, _, rest = line.strip().partition(" ")
        if verb == "begin":
            self.judge.begin(int(rest))
        elif verb == "done":
            self.judge.done(int(rest))
        elif verb == "wait":
            await self.until(lambda: self.answered >= int(rest))
        elif verb == "trouble":
            await self.until(lambda: self.failed > 0)
        elif verb == "round":
            self.round_left = self.options.clients
            self.round += 1
            self.wake()
            await self.until(lambda: self.round_left <= 0)
        elif verb == "stop":
            self.stopping = True
            self.stopped.set()
            self.wake()
        elif verb not in ("report", "afresh"):
            return {"command": line.strip(), "error": "unknown"}
        report = self.report()
        if verb == "afresh":
            self.times.clear()
        return {"command": line.strip(), **report}

    async def until(self, holds: Any) -> None:
        while not holds() and not self.stopping:
            self.progress.clear()
            await self.progress.wait()

    async def run(self) -> int:
        options = self.options
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        self.round_left = options.clients
        async with asyncio.TaskGroup() as group:
            for number in range(options.clients):
                target = options.to[number // 2 % len(options.to)]
                client = self.keep if options.rounds or number % 2 == 0 else self.anew
                group.create_task(client(str(number), target))
            final: dict[str, Any] = {}
            while not self.stopping:
                line = (await reader.readline()).decode()
                final = await self.obey(line or "stop")
                if not self.stopping:
                    print(json.dumps(final), flush=True)
        print(json.dumps({**final, **self.report()}), flush=True)
        return 1 if self.failed else 0


def main() -> int:
    """Read the command line, run."""
    parser = argparse.ArgumentParser(description="strict HTTP client")
    parser.add_argument("--to", action="append", required=True, help="tcp:HOST:PORT or unix:PATH; repeat for several")
    parser.add_argument("--clients", type=int, default=40)
    parser.add_argument("--think", type=float, default=10.0, help="longest pause between two requests, seconds")
    parser.add_argument("--think-mean", type=float, default=0.2, help="their mean")
    parser.add_argument(
        "--keepalive", type=float, default=75.0, help="the server may close a connection idle for so long"
    )
    parser.add_argument("--patience", type=float, default=30.0, help="longest wait for an answer")
    parser.add_argument("--split", type=float, default=0.05, help="share of requests sent in two parts")
    parser.add_argument("--rounds", action="store_true", help="all clients keep, and send when told")
    parser.add_argument("--unordered", action="store_true", help="a proxy is in front: its connections may go back")
    parser.add_argument("--host", default="localhost", help="Host header")
    parser.add_argument("--requests", help="JSON list of request templates")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--failures", type=int, default=50, help="so many are reported one by one")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    templates = (
        [Template(**{**t, "statuses": tuple(t.get("statuses", (200,)))}) for t in json.loads(options.requests)]
        if options.requests
        else []
    )
    return asyncio.run(Herd(options, templates or list(DEFAULT_TEMPLATES)).run())


if __name__ == "__main__":
    sys.exit(main())
