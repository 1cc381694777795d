"""The strict client: a process of its own that finds every lost, doubled or misplaced answer.

Half of its clients keep their connection and think between two requests, half connect anew for each; over TCP and Unix
sockets. Nothing is ever retried. A failure is: a refused or reset connection, one that is closed under a request, or
while idle without ``Connection: close`` on the answer before; an answer that is cut short, late, malformed, followed by
a byte too much, not an echo of what was sent, or from a generation that should not have given it.

Commands come as lines on standard input, each is acknowledged by one JSON line:

``begin G``   generation G starts to take over: from now on it may answer too
``done G``    it has: what is sent from now on must be answered by G (or a later one)
``wait N``    acknowledged when N requests have been answered in all
``trouble``   acknowledged when anything has failed
``round``     (with ``rounds``) every client sends one request; acknowledged when all are answered
``report``    the figures so far
``afresh``    the same, and the times of answers are counted from here on
``stop``      ends every client after its outstanding request, reports, and exits 1 if anything failed

A rollback is ``begin`` and ``done`` of a generation that has served before.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Sequence
from typing import Any

from harness.strict.clients import Clients
from harness.strict.judge import Judge
from harness.strict.options import Options
from harness.strict.request import Template
from harness.strict.tally import Tally


def main(options: Options, templates: Sequence[Template]) -> int:
    """Run until told to stop; the exit status."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return asyncio.run(run(options, templates))


async def run(options: Options, templates: Sequence[Template]) -> int:
    judge, tally = Judge(not options.unordered), Tally(options.failures)
    clients = Clients(options, templates, judge, tally)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as group:
        clients.start(group)
        final: dict[str, Any] = {}
        while not clients.stopping:
            line = (await reader.readline()).decode()
            final = await obey(line or "stop", clients, judge, tally)
            if not clients.stopping:
                print(json.dumps(final), flush=True)
    print(json.dumps({**final, **tally.report()}), flush=True)
    return 1 if tally.failed else 0


async def obey(line: str, clients: Clients, judge: Judge, tally: Tally) -> dict[str, Any]:
    """Carry out one command; its acknowledgement."""
    verb, _, rest = line.strip().partition(" ")
    if verb == "begin":
        judge.begin(int(rest))
    elif verb == "done":
        judge.done(int(rest))
    elif verb == "wait":
        await tally.until(lambda: tally.answered >= int(rest))
    elif verb == "trouble":
        await tally.until(lambda: tally.failed > 0)
    elif verb == "round":
        clients.begin_round()
        await tally.until(lambda: clients.round_left <= 0)
    elif verb == "stop":
        clients.stop()
    elif verb not in ("report", "afresh"):
        return {"command": line.strip(), "error": "unknown"}
    report = tally.report()
    if verb == "afresh":
        tally.times.clear()
    return {"command": line.strip(), **report}
