"""The clients themselves: half of them keep their connection, half connect anew for each request."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence

from harness.strict.answer import Answer, Broken, parse
from harness.strict.judge import Judge
from harness.strict.options import Options
from harness.strict.request import Template, check, compose
from harness.strict.tally import Tally
from harness.strict.wire import Wire, connect

CLOSE_S = 5.0  # an announced close has to follow within
SPLIT_S = 0.06  # longest pause in the middle of a request


class Clients:
    """All of them, as tasks of one loop; they end when they are stopped."""

    def __init__(self, options: Options, templates: Sequence[Template], judge: Judge, tally: Tally) -> None:
        self.options, self.templates, self.judge, self.tally = options, templates, judge, tally
        self.weights = [template.weight for template in templates]
        self.random = random.Random(options.seed)
        self.stopped = asyncio.Event()
        self.round = 0
        self.round_left = options.clients  # of those that keep, and have not been answered in this round
        self.wires: set[Wire] = set()

    @property
    def stopping(self) -> bool:
        return self.stopped.is_set()

    def start(self, group: asyncio.TaskGroup) -> None:
        options = self.options
        for number in range(options.clients):
            target = options.to[number // 2 % len(options.to)]
            client = self.keep if options.rounds or number % 2 == 0 else self.anew
            group.create_task(client(str(number), target))

    def begin_round(self) -> None:
        """Every client that keeps its connection sends one request."""
        self.round_left = self.options.clients
        self.round += 1
        self.wake()

    def stop(self) -> None:
        """Every client ends after its outstanding request."""
        self.stopped.set()
        self.wake()

    def wake(self) -> None:
        for wire in self.wires:
            wire.news.set()

    # one request

    async def ask(self, wire: Wire, *, last: bool = False) -> Answer:
        """Send one request, check its answer. Raises Broken; the connection is of no more use then."""
        template = self.random.choices(self.templates, self.weights)[0]
        data, wanted = compose(template, self.options.host, last, self.random)
        floor, began = self.judge.floor, time.monotonic()
        wire.untroubled()
        self.tally.sent += 1
        if self.random.random() < self.options.split:
            cut = self.random.randrange(1, len(data))
            wire.transport.write(data[:cut])
            await asyncio.sleep(self.random.random() * SPLIT_S)
            wire.transport.write(data[cut:])
        else:
            wire.transport.write(data)
        answer = await self.receive(wire, template, began)
        self.tally.times[round((time.monotonic() - began) * 10_000)] += 1
        check(template, answer, wanted)
        if wire.data:
            raise Broken("extra", f"{len(wire.data)} bytes after the answer: {bytes(wire.data[:60])!r}")
        generation = answer.headers.get("x-generation")
        wire.position = self.judge.place(int(generation) if generation else None, floor, wire.position)
        self.tally.answer(generation, self.templates.index(template))
        return answer

    async def receive(self, wire: Wire, template: Template, began: float) -> Answer:
        """The answer to a request that was sent at that moment, taken from the connection. Raises Broken."""
        while not (found := parse(bytes(wire.data), wire.ended is not None, template.method)):
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
        return answer

    async def connect(self, target: str) -> Wire:
        self.tally.connects += 1
        wire = await connect(target, self.options.patience)
        self.wires.add(wire)
        return wire

    def drop(self, wire: Wire) -> None:
        wire.close()
        self.wires.discard(wire)

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

    # a client that keeps its connection

    async def keep(self, name: str, target: str) -> None:
        wire: Wire | None = None
        while not self.stopping:
            seen = self.round
            try:
                if wire is None:
                    wire = await self.connect(target)
                answer = await self.ask(wire)
                self.answered_in_round()
                if answer.close:
                    self.tally.announced += 1
                    await self.part(wire)
                    wire = None
                    await self.turn(seen)
                    continue
                await self.idle(wire, seen)
                if wire.ended:
                    self.drop(wire)
                    wire = None
            except Broken as error:
                self.tally.fail(f"{name} keeping, {target}", error)
                self.answered_in_round()
                if wire is not None:
                    self.drop(wire)
                wire = None
                await asyncio.sleep(0.05)
        if wire is not None:
            self.drop(wire)

    def answered_in_round(self) -> None:
        self.round_left -= 1
        self.tally.progress.set()

    async def idle(self, wire: Wire, seen: int) -> None:
        """Think (or wait for the next round) with an open connection. Raises Broken when it does not stay."""
        until = None if self.options.rounds else time.monotonic() + self.think_s()
        began = time.monotonic()
        while not self.stopping and (self.round == seen if until is None else time.monotonic() < until):
            await wire.change(None if until is None else max(0.0, until - time.monotonic()))
            if wire.ended and not wire.data and time.monotonic() - began >= self.options.keepalive:
                return
            wire.untroubled()

    async def turn(self, seen: int) -> None:
        """Without a connection: wait for the next round, if there are rounds."""
        while self.options.rounds and self.round == seen and not self.stopping:
            await asyncio.sleep(0.02)

    def think_s(self) -> float:
        """From 0 to ``think`` seconds, ``think_mean`` on average: many short pauses, some long ones."""
        longest, mean = self.options.think, self.options.think_mean
        return longest * float(self.random.random() ** (longest / mean - 1)) if mean else 0.0

    # a client that does not

    async def anew(self, name: str, target: str) -> None:
        """Connects anew for each request; every second one asks for the close."""
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
                self.tally.fail(f"{name} anew, {target}", error)
            if wire is not None:
                self.drop(wire)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.think_s()):
                    await self.stopped.wait()
