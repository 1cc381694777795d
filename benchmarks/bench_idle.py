"""What becomes of idle kept-alive connections when a server is upgraded: Relève beside gunicorn, granian and nginx.

``python benchmarks/bench_idle.py [--connections 10000] [--write FILE]``

Each server is upgraded in its own way while so many clients keep their connections open in silence; then each sends one
more request on the same connection, and never retries. The same client for all, one after the other. Limited by the
number of open files that this user may have (``ulimit -n``), which is said.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bench_peers import Running
from peers.servers import HERE, ROOT, SERVERS, Server

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
OPEN_AT_ONCE = 200
ANSWER_S = 20.0
LEAVE_S = 30.0  # for old workers
SETTLE_S = 3.0  # after an upgrade that does not say when it is over

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Way:
    """How one server is upgraded; the function gets it running, and returns when that is done."""

    server: str
    words: str
    upgrade: Callable[[Running], None]
    options: tuple[str, ...] = ()


def _ctl(running: Running) -> None:
    """From the folder that it was started in, which is how ``ctl`` finds it."""
    ctl = str(ROOT / ".cache/bench/releve/bin/ctl")
    subprocess.run([ctl, "upgrade"], check=True, capture_output=True, cwd=HERE, env={**os.environ, "PWD": str(HERE)})


def _usr2(running: Running) -> None:
    """A new master beside the old one, then the old one is told to go, as gunicorn's manual says."""
    os.kill(running.process.pid, signal.SIGUSR2)
    time.sleep(SETTLE_S)
    os.kill(running.process.pid, signal.SIGQUIT)
    time.sleep(SETTLE_S)


def _hup(running: Running) -> None:
    """Over when no worker of before is left, or when they seem to stay for as long as they have clients."""
    before = _children(running.process.pid)
    os.kill(running.process.pid, signal.SIGHUP)
    until = time.monotonic() + LEAVE_S
    while before & _children(running.process.pid) and time.monotonic() < until:
        time.sleep(0.1)


def _children(pid: int) -> set[str]:
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


WAYS = (
    Way("releve", "ctl upgrade", _ctl),
    Way(
        "gunicorn-gthread",
        "USR2, then QUIT to the old master",
        _usr2,
        ("--worker-connections", "20000", "--keep-alive", "300"),
    ),
    Way("granian", "HUP", _hup, ("--backlog", "20000", "--backpressure", "20000")),
    Way("nginx", "HUP", _hup),
)


async def ask(stream: Stream) -> str:
    """One request on an open connection: ``answered``, or what became of it."""
    reader, writer = stream
    try:
        async with asyncio.timeout(ANSWER_S):
            writer.write(REQUEST)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                return "refused"
            await reader.readexactly(len(b"Hello, world\n"))
    except TimeoutError:
        return "no answer"
    except (OSError, asyncio.IncompleteReadError):
        return "closed"
    return "answered"


async def trial(port: int, connections: int, upgrade: Callable[[], None]) -> dict[str, int]:
    """Open them all, upgrade, and ask on each again."""
    streams: list[Stream] = []
    for start in range(0, connections, OPEN_AT_ONCE):
        some = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", port) for _ in range(min(OPEN_AT_ONCE, connections - start)))
        )
        first = await asyncio.gather(*map(ask, some))
        assert set(first) == {"answered"}, set(first)
        streams += some
    await asyncio.get_running_loop().run_in_executor(None, upgrade)
    found: dict[str, int] = {}
    for start in range(0, connections, OPEN_AT_ONCE):
        for became in await asyncio.gather(*map(ask, streams[start : start + OPEN_AT_ONCE])):
            found[became] = found.get(became, 0) + 1
    for _, writer in streams:
        writer.close()
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = min(asked.connections, hard - 500)
    lines = [f"{connections} idle kept-alive connections, one worker, one upgrade", ""]
    if connections < asked.connections:
        lines.insert(0, f"(not {asked.connections}: this user may have {hard} open files)")
    lines += ["| server | upgraded by | answered on the same connection | lost |", "| --- | --- | --: | --: |"]
    for way in WAYS:
        server: Server = next(one for one in SERVERS if one.name == way.server)
        trouble = server.install()
        if trouble is not None:
            lines.append(f"| {way.server} | left out: {trouble} | | |")
            continue
        server = replace(
            server,
            command=(*server.command[:-1], *way.options, server.command[-1]),
            config=server.config.replace("worker_connections 1024", "worker_connections 20000"),
        )
        with tempfile.TemporaryDirectory() as folder:
            running = Running(server, Path(folder), cores="0,1")
            try:
                found = asyncio.run(
                    trial(running.port, connections, lambda way=way, running=running: way.upgrade(running))
                )
            finally:
                running.stop()
                # its new master has left the group of the old one's parent, but not our session
                if way.upgrade is _usr2:
                    subprocess.run(["pkill", "-s", str(running.process.pid)], check=False)
        lost = ", ".join(f"{number} {became}" for became, number in found.items() if became != "answered")
        lines.append(f"| {way.server} | {way.words} | {found.get('answered', 0):,} | {lost or '0'} |")
        print(lines[-1], flush=True)
    print("\n".join(lines))
    if asked.write is not None:
        asked.write.write_text("# Idle connections across an upgrade\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
