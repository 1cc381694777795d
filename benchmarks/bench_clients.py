"""Many clients and slow ones, beside a hundred ordinary requests a second: what those notice of it.

``python benchmarks/bench_clients.py [--scenes idle,slow,header,body,read] [--servers releve,gunicorn-gthread] [--write
FILE]``

- idle: 10,000 kept-alive connections that have asked once and now say nothing; also the memory that each costs.
- slow: 500 clients that send a byte at a time, and 500 that read one at a time; also when the server ends them.
- header, body, read: 500 connections of slowhttptest (Debian package) in its three modes.

One worker with 8 threads, on a core of its own; the clients share the other. The hundred requests are sent by a fixed
schedule, whatever the server does, and their latencies count from the scheduled moment. Targets for Relève: no error,
p99 below 50 ms, and memory per connection below that of gunicorn's gthread.
"""

from __future__ import annotations

import argparse
import os
import platform
import queue
import re
import resource
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))

from bench_peers import CLIENT_CORE, Running
from peers.servers import ROOT, SERVERS, Server

RATE = 100  # ordinary requests per second
SECONDS = 20
IDLE = 10_000
SLOW = 500  # of each kind
SLOW_S = 60  # how long they are watched
STEP_S = 0.1  # a byte each
PIPELINED = 40  # large responses that a slow reader asks for: more than the kernel takes off the server's hands
PER_ADDRESS = 2000  # connections from one source address
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SLOWHTTPTEST = {
    "header": ["-H", "-i", "1", "-x", "24", "-p", "3"],
    "body": ["-B", "-i", "1", "-s", "8192", "-x", "10", "-p", "3"],
    "read": ["-X", "-w", "16", "-y", "32", "-n", "1", "-z", "8", "-k", "3", "-p", "3"],
}


@dataclass(frozen=True)
class Outcome:
    """Of a scene: what the ordinary clients saw, and a word on the others."""

    latencies_s: list[float]
    errors: int
    others: str

    def row(self, server: str) -> str:
        """A line of the table."""
        cuts = statistics.quantiles(self.latencies_s, n=100) if len(self.latencies_s) > 1 else [float("nan")] * 99
        top = max(self.latencies_s, default=float("nan"))
        figures = " | ".join(f"{1000 * value:.2f} ms" for value in (cuts[49], cuts[98], top))
        return f"| {server} | {len(self.latencies_s)} | {self.errors} | {figures} | {self.others} |"


class Ordinary:
    """Clients of the fixed schedule: as many as are needed so that one that waits holds up no other."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._due: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        self._latencies_s: list[float] = []
        self._errors = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(32)]
        self._clock = threading.Thread(target=self._schedule)
        for thread in [*self._threads, self._clock]:
            thread.start()

    def finish(self) -> tuple[list[float], int]:
        """Latencies in seconds, and errors."""
        self._stop.set()
        self._clock.join()
        for _ in self._threads:
            self._due.put(None)
        for thread in self._threads:
            thread.join()
        return self._latencies_s, self._errors

    def _schedule(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            due += 1 / RATE
            time.sleep(max(0.0, due - time.monotonic()))
            self._due.put(due)

    def _ask(self) -> None:
        sock = None
        while (due := self._due.get()) is not None:
            try:
                if sock is None:
                    sock = socket.create_connection(("127.0.0.1", self._port), timeout=10)
                sock.sendall(REQUEST)
                data = b""
                while not data.endswith(b"Hello, world\n"):
                    piece = sock.recv(4096)
                    if not piece:
                        raise ConnectionError
                    data += piece
                self._latencies_s.append(time.monotonic() - due)
            except OSError:
                self._errors += 1
                if sock is not None:
                    sock.close()
                    sock = None
        if sock is not None:
            sock.close()


def memory_bytes(pid: int) -> int:
    """Proportional set size of a process and all that it started: what they share counts once."""
    root = psutil.Process(pid)
    return sum(int(process.memory_full_info().pss) for process in [root, *root.children(recursive=True)])


def connect(port: int, number: int, *, receive_bytes: int = 0) -> socket.socket:
    """Connection ``number``, from one of several source addresses, since one has too few ports."""
    sock = socket.socket()
    sock.settimeout(30)
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.bind((f"127.0.0.{2 + number // PER_ADDRESS}", 0))
    sock.connect(("127.0.0.1", port))
    return sock


def idle(server: Running) -> Outcome:
    """Ten thousand that have asked once."""
    before = memory_bytes(server.process.pid)
    socks = []
    for number in range(IDLE):
        sock = connect(server.port, number)
        sock.sendall(REQUEST)
        sock.recv(4096)
        socks.append(sock)
    each = (memory_bytes(server.process.pid) - before) / IDLE
    ordinary = Ordinary(server.port)
    time.sleep(SECONDS)
    latencies_s, errors = ordinary.finish()
    gone = len(select_readable(socks))
    for sock in socks:
        sock.close()
    return Outcome(latencies_s, errors, f"{each / 1024:.1f} KiB each, {gone} were closed")


def select_readable(socks: list[socket.socket]) -> list[int]:
    """Those that have something to read, or were closed."""
    poll = select.poll()
    for sock in socks:
        poll.register(sock, select.POLLIN)
    return [fd for fd, _ in poll.poll(0)]


def slow(server: Running) -> Outcome:
    """A byte of the request at a time, and a byte of the response; by a process of their own."""
    before = connections(server)
    argv = [sys.executable, __file__, "--slow-clients-of", str(server.port)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdout is not None
        clients.stdout.readline()  # all are there, and have asked
        time.sleep(5)  # until the server has answered as much as the kernel takes of it
        begun = connections(server) - before
        ordinary = Ordinary(server.port)
        time.sleep(SLOW_S - 10)
        latencies_s, errors = ordinary.finish()
        left = connections(server) - before
        words = clients.stdout.read().strip()
    return Outcome(latencies_s, errors, f"{words}; of {begun} connections the server has {left} left after {SLOW_S} s")


def connections(server: Running) -> int:
    """Sockets that its processes have open."""
    root = psutil.Process(server.process.pid)
    links = [
        link for process in [root, *root.children(recursive=True)] for link in Path(f"/proc/{process.pid}/fd").iterdir()
    ]
    return sum(os.path.basename(os.readlink(link)).startswith("socket:") for link in links if link.is_symlink())


def slow_clients(port: int) -> str:
    """All slow clients, for as long as they are watched; says when the server has ended them."""
    senders = [connect(port, number) for number in range(SLOW)]
    readers = [connect(port, SLOW + number, receive_bytes=4096) for number in range(SLOW)]
    for sock in readers:
        sock.sendall(REQUEST.replace(b" / ", b" /large ") * PIPELINED)
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: " + b"x" * 10_000
    print("ready", flush=True)
    began = time.monotonic()
    ended: dict[str, list[float]] = {"senders": [], "readers": []}
    for sock in [*senders, *readers]:
        sock.setblocking(False)
    for step in range(int(SLOW_S / STEP_S)):
        for kind, socks in (("senders", senders), ("readers", readers)):
            for sock in list(socks):
                try:
                    if kind == "senders":
                        sock.send(head[step : step + 1])
                        data = sock.recv(4096, socket.MSG_PEEK)
                        gone = data == b"" or data.startswith(b"HTTP/1.1 408")
                    else:
                        gone = sock.recv(1) == b""
                except BlockingIOError:
                    gone = False
                except OSError:
                    gone = True
                if gone:
                    ended[kind].append(time.monotonic() - began)
                    socks.remove(sock)
                    sock.close()
        time.sleep(max(0.0, began + (step + 1) * STEP_S - time.monotonic()))
    return ", ".join(
        f"{len(times)} {kind} saw their end" + (f" after {min(times):.0f} to {max(times):.0f} s" if times else "")
        for kind, times in ended.items()
    )


def attacked(mode: str) -> Callable[[Running], Outcome]:
    """By slowhttptest."""

    def scene(server: Running) -> Outcome:
        program = shutil.which("slowhttptest")
        assert program is not None
        url = f"http://127.0.0.1:{server.port}/{'large' if mode == 'read' else ''}"
        argv = [program, "-c", str(SLOW), "-r", "200", "-l", str(SECONDS + 5), "-u", url, *SLOWHTTPTEST[mode]]
        attack = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        time.sleep(4)  # until all are there
        ordinary = Ordinary(server.port)
        time.sleep(SECONDS - 4)
        latencies_s, errors = ordinary.finish()
        said = attack.communicate()[0]
        said = re.sub(r"\x1b\[[\d;]*m", "", said)  # it writes in colours
        found = {
            word: re.findall(rf"{word}:\s+(\w+)", said)
            for word in ("connected", "closed", "error", "service available")
        }
        return Outcome(
            latencies_s, errors, ", ".join(f"{word}: {numbers[-1]}" for word, numbers in found.items() if numbers)
        )

    return scene


SCENES: dict[str, tuple[str, Callable[[Running], Outcome]]] = {
    "idle": (f"{IDLE:,} idle connections", idle),
    "slow": (f"{SLOW} clients that send, {SLOW} that read a byte each {1000 * STEP_S:.0f} ms", slow),
    "header": (f"slowhttptest, {SLOW} connections, slow heads", attacked("header")),
    "body": (f"slowhttptest, {SLOW} connections, slow bodies", attacked("body")),
    "read": (f"slowhttptest, {SLOW} connections, slow readers", attacked("read")),
}


@contextmanager
def started(server: Server, folder: Path) -> Iterator[Running]:
    """A server with room for all, answering."""
    if server.name == "releve":
        config = folder / "releve.yaml"
        config.write_text(
            f"app: small:application\ndirectory: {ROOT / 'benchmarks' / 'peers'}\nworkers: 1\nthreads: "
            f"8\nlimits: {{connections: 20000}}\n"
            f"timeouts: {{keepalive: 5m}}\nlog: {{access: {folder / 'access'}}}\n"
        )
        server = replace(server, command=("{bin}/releve", "-c", str(config), "-b", "127.0.0.1:{port}"))
    elif server.name.startswith("gunicorn"):
        server = replace(server, command=(*server.command, "--worker-connections", "20000", "--keep-alive", "300"))
    running = Running(server, folder)
    try:
        yield running
    finally:
        running.stop()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenes", default=",".join(SCENES))
    parser.add_argument("--servers", default="releve,gunicorn-gthread")
    parser.add_argument("--write", type=Path, help="write the tables to this file too")
    parser.add_argument("--slow-clients-of", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < IDLE + 1000:
        sys.exit(f"cannot measure: only {hard} descriptors are allowed here (ulimit -Hn)")
    os.sched_setaffinity(0, {CLIENT_CORE})
    sys.setswitchinterval(0.0005)  # or a client waits for another one's turn, ten times as long as for the server
    if asked.slow_clients_of is not None:
        print(slow_clients(asked.slow_clients_of))
        return
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    lines = [
        (
            f"Relève {commit}, CPython {platform.python_version()}, Linux {platform.release()}, {RATE} "
            "ordinary requests a second"
        ),
        "",
    ]
    print(lines[0])
    for name in asked.scenes.split(","):
        what, scene = SCENES[name]
        if name in SLOWHTTPTEST and shutil.which("slowhttptest") is None:
            lines += [f"### {name}: left out, slowhttptest is not installed", ""]
            continue
        lines += [
            f"### {name}: {what}",
            "",
            "| server | requests | errors | p50 | p99 | slowest | the others |",
            "| --- | --: | --: | --: | --: | --: | --- |",
        ]
        for server in SERVERS:
            if server.name in asked.servers.split(","):
                trouble = server.install()
                if trouble is not None:
                    lines.append(f"| {server.name} | cannot be installed: {trouble} |")
                    continue
                with tempfile.TemporaryDirectory() as folder, started(server, Path(folder)) as running:
                    lines.append(scene(running).row(server.name))
                print(name, lines[-1], flush=True)
        lines.append("")
    print("\n".join(lines))
    if asked.write is not None:
        asked.write.parent.mkdir(parents=True, exist_ok=True)
        asked.write.write_text("# Many clients, and slow ones\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
