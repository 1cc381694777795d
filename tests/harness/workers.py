"""Workers without a master: each a fresh process with a ``WorkerSetup``, commanded by the test over its control
pair.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from releve.server.scoreboard import scoreboard
from releve.server.scoreboard.inflight import InflightCall
from releve.server.scoreboard.record import Record
from releve.server.scoreboard.recorder import Line, Sample
from releve.server.scoreboard.scoreboard import Scoreboard
from releve.server.shared.link import Link, Message

PATIENCE_S = 20.0

RUNNER = """
import importlib, json, socket, sys
sys.path.insert(0, sys.argv[2])
sys.path.append(sys.argv[2].rpartition("/")[0])  # for those that consist of several
from releve.config.settings.wire import from_wire
from releve.server.wsgi.application import load
from releve.server.shared.link import Link
from releve.server.scoreboard.scoreboard import Scoreboard
from releve.server.handover import room
from releve.server.worker import leaving
from releve.server.worker.setup import WorkerSetup
from releve.server.worker.worker import run_worker
leaving.ORPHAN_S = 1.0
room.CALM_S = 0.5
given = json.loads(sys.argv[1])
for name, value in given["constants"].items():
    module, _, constant = name.rpartition(".")
    setattr(importlib.import_module("releve.server." + module), constant, value)
run_worker(WorkerSetup(
    number=given["number"], slot=given["number"], generation=given["generation"], revision=1,
    settings=from_wire(given["settings"]),
    listeners=tuple((name, socket.socket(fileno=fd)) for name, fd in given["listeners"]),
    exchange_receive=given["receive"], exchange_send=given["send"], board=Scoreboard(given["board"]),
    control=Link(socket.socket(fileno=given["control"])),
    application=None, load=lambda: load(given["app"], sys.argv[2]),
))
"""


class Worker:
    """One worker process and the master's end of its control pair."""

    def __init__(self, process: subprocess.Popen[bytes], control: Link, board: Scoreboard, slot: int) -> None:
        self.process = process
        self.pid = process.pid
        self.control = control
        self._board = board
        self._slot = slot

    @property
    def numbers(self) -> Record:
        return self._board.read(self._slot)

    @property
    def calls(self) -> list[InflightCall]:
        return self._board.calls(self._slot)

    @property
    def told(self) -> tuple[list[Sample], list[Line]]:
        return self._board.told(self._slot)

    def announce(self, drained_ns: int, stopping_ns: int) -> None:
        """As the supervisor does."""
        self._board.announce(drained_ns, stopping_ns)

    def tell(self, order: str, fds: tuple[int, ...] = (), **keys: Any) -> None:
        self.control.send({"type": order, **keys}, fds)

    def hear(self, timeout_s: float = PATIENCE_S) -> Message | None:
        """The next message; None at the end."""
        poll = select.poll()  # not select, which takes no number above 1023, and tests of crowds have those
        poll.register(self.control, select.POLLIN)
        assert poll.poll(timeout_s * 1000), f"nothing from worker {self.pid} in {timeout_s} s"
        received = self.control.receive()
        return received[0] if received is not None else None

    def await_state(self, state: str) -> Message:
        message = self.hear()
        assert message is not None and message.get("state") == state, f"{message} instead of {state}"
        return message

    def resume(self) -> None:
        self.tell("resume")
        self.await_state("serving")

    def pause(self, to: Generation | None = None) -> Message:
        self.tell("pause", (to.send,) if to else (), to=to.number if to else None)
        return self.await_state("paused")

    def quit(self, deadline_s: float = PATIENCE_S, linger_s: float | None = None) -> None:
        self.tell("quit", deadline_s=deadline_s, linger_s=linger_s)
        self.await_state("leaving")

    def ended(self, timeout_s: float = PATIENCE_S) -> int:
        return self.process.wait(timeout_s)

    def descriptors(self) -> list[str]:
        return descriptors(self.pid)

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/task"))


class Generation:
    """An exchange, a scoreboard, and the workers started with them."""

    def __init__(self, number: int, listeners: list[tuple[str, socket.socket]]) -> None:
        self.number = number
        self.listeners = listeners
        self.workers: list[Worker] = []
        self._receive, self._send = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._receive.setblocking(False)
        self._send.setblocking(False)
        self._board = scoreboard.make()
        self._stderr = os.memfd_create("stderr")

    @property
    def send(self) -> int:
        return self._send.fileno()

    @property
    def log(self) -> str:
        """What its workers wrote to standard error."""
        return os.pread(self._stderr, 1 << 20, 0).decode()

    def start(
        self,
        app: str = "views",
        *,
        limit_descriptors: int | None = None,
        limit_file_bytes: int | None = None,
        **settings: Any,
    ) -> Worker:
        """A worker that is ready.

        ``settings`` are those of the wire form, groups as mappings; ``constants`` are set in its modules.
        """
        worker = self.launch(app, limit_descriptors=limit_descriptors, limit_file_bytes=limit_file_bytes, **settings)
        worker.await_state("ready")
        return worker

    def launch(
        self,
        app: str = "views",
        *,
        limit_descriptors: int | None = None,
        limit_file_bytes: int | None = None,
        **settings: Any,
    ) -> Worker:
        """A worker that may not be ready yet."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        number = len(self.workers) + 1
        given = {
            "app": app,
            "number": number,
            "generation": self.number,
            "constants": settings.pop("constants", {}),
            "settings": settings,
            "listeners": [(name, sock.fileno()) for name, sock in self.listeners],
            "receive": self._receive.fileno(),
            "send": self._send.fileno(),
            "board": self._board,
            "control": theirs.fileno(),
        }
        fds = [
            self._receive.fileno(),
            self._send.fileno(),
            self._board,
            theirs.fileno(),
            *(s.fileno() for _, s in self.listeners),
        ]
        command = [sys.executable, "-c", RUNNER, json.dumps(given), str(Path(__file__).parent)]
        if limit_descriptors is not None:
            command = ["prlimit", f"--nofile={limit_descriptors}:{limit_descriptors}", *command]
        if limit_file_bytes is not None:
            command = ["prlimit", f"--fsize={limit_file_bytes}:{limit_file_bytes}", *command]
        process = subprocess.Popen(command, pass_fds=fds, stdin=subprocess.DEVNULL, stderr=self._stderr)
        theirs.close()
        worker = Worker(process, Link(ours), Scoreboard(self._board), number)
        self.workers.append(worker)
        return worker

    def queued(self) -> int:
        """Connections in the exchange that nobody has taken."""
        with open(f"/proc/self/fdinfo/{self._receive.fileno()}") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("scm_fds:")), 0)

    def hold_exchange(self) -> socket.socket:
        return self._receive

    def close(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGKILL)
                worker.process.wait()
            worker.control.close()
        self._receive.close()
        self._send.close()
        os.close(self._board)
        os.close(self._stderr)


class Client:
    """A client that reads exactly one response at a time, and never retries."""

    def __init__(self, address: Any, *, timeout_s: float = PATIENCE_S) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(timeout_s)
        self.socket.connect(address)
        self._buffer = bytearray()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, target: str = "/pid", *, method: str = "GET", body: bytes = b"", more: str = "") -> Response:
        self.send(request(target, method=method, body=body, more=more))
        return self.answer(head=method == "HEAD")

    def answer(self, *, head: bool = False) -> Response:
        """The next response, interim ones included."""
        start, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        assert start.startswith("HTTP/1.1 "), f"{start!r} where a response should begin"
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(start.split()[1])
        body = b""
        if status < 200 or head:
            pass
        elif "content-length" in headers:
            body = self._exactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(self._until(b"\r\n"), 16):
                body += self._exactly(size + 2)[:-2]
            assert self._exactly(2) == b"\r\n"
        return Response(status, headers, body)

    def ended(self, timeout_s: float = PATIENCE_S) -> bool:
        """Whether the server ends the connection, in order, in time; anything it sends before is an error."""
        self.socket.settimeout(timeout_s)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            return False
        assert not data, f"unexpected {data!r}"
        return True

    def waits(self, for_s: float) -> bool:
        """Whether nothing comes for so long, not even the end."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return not poll.poll(for_s * 1000)

    def close(self) -> None:
        self.socket.close()

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._more()
        data, _, self._buffer = self._buffer.partition(end)
        return bytes(data + end)

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _more(self) -> None:
        data = self.socket.recv(65536)
        assert data, f"the server closed the connection after {bytes(self._buffer)!r}"
        self._buffer += data


class Response:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def pid(self) -> int:
        """Of the worker that answered."""
        return int(self.headers["x-pid"])

    @property
    def kept(self) -> bool:
        return self.headers.get("connection") != "close"


def request(target: str = "/pid", *, method: str = "GET", body: bytes = b"", more: str = "") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {target} HTTP/1.1\r\nHost: test\r\n{length}{more}\r\n".encode() + body


def descriptors(pid: int) -> list[str]:
    """What a process has open."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


def eventually(condition: Any, what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait for what sends no event."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.005)


def hold(pid: int) -> None:
    """Stop a process, and wait until it is: SIGSTOP returns before the process has stopped."""
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it is stopped")


@contextlib.contextmanager
def listening(address: Any = ("127.0.0.1", 0), backlog: int = 2048) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as sock:
        sock.bind(address)
        sock.listen(backlog)
        sock.setblocking(False)
        yield sock


def connect(generation: Generation) -> Client:
    return Client(generation.listeners[0][1].getsockname())


def busy(client: Client, folder: Path) -> None:
    """Have the client's request wait in the application until `finish`."""
    client.send(request(f"/wait?at={folder}/at&until={folder}/until"))
    eventually((folder / "at").exists, "the request runs")


def finish(folder: Path) -> None:
    (folder / "until").touch()


def switch(before: Worker, after: Worker, to: Generation) -> dict[str, object]:
    after.resume()
    return before.pause(to)


def freeze(worker: Worker) -> None:
    """Stop the process, and wait until it is."""
    hold(worker.pid)


def thaw(worker: Worker) -> None:
    worker.process.send_signal(signal.SIGCONT)
