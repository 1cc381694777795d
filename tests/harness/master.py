"""A real master process, driven over a link that the test holds, as the supervisor holds it."""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import releve.config
import releve.server
from releve.config.settings.log import Log
from releve.config.settings.settings import Settings
from releve.config.settings.timeouts import Timeouts
from releve.config.settings.wire import to_wire
from releve.server.scoreboard import scoreboard
from releve.server.shared.link import LINK_VERSION, Message, pair

WAIT_S = 20.0
SETTINGS = Settings(workers=2, threads=2, timeouts=Timeouts(drain=5.0, linger=0.2), log=Log(level="debug"))
APP = """
import os

def application(environ, start_response):
    text = TEXT + " " + str(os.getpid())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]

TEXT = "one"
"""


@dataclass
class Forked:
    """A worker, as the master reported it."""

    pid: int
    revision: int
    control: int
    pidfd: int
    states: list[str] = field(default_factory=list)


class Master:
    """Starts a master in ``directory``; a context manager that ends it and everything it forked."""

    def __init__(
        self,
        directory: Path,
        *,
        python: str = sys.executable,
        lend: bool = False,
        flags: tuple[str, ...] = ("-P",),
        **environ: str,
    ) -> None:
        self.directory = directory
        self.messages: list[Message] = []
        self.workers: dict[int, Forked] = {}
        self._unread = 0
        self._ids = iter(range(1, 1000))
        self.link, theirs = pair()
        command = [python, *flags]
        server, config = (
            Path(releve.server.__file__ or "").resolve().parent,
            Path(releve.config.__file__ or "").resolve().parent,
        )
        command += (
            [str(server / "lend.py"), "--config", str(config), "--version", "9.9"] if lend else ["-m", "releve.server"]
        )
        self.stderr = directory / "stderr.log"
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            with self.stderr.open("wb") as stderr:
                self.process = subprocess.Popen(
                    [*command, "--link", str(theirs.fileno())],
                    cwd=directory,
                    env={**os.environ, **environ},
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    stdin=subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        self.exchange = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # of another generation
        self.board = scoreboard.make()
        self.crash = os.memfd_create("crash")
        self.listener = listen()
        self.pidfd = os.pidfd_open(self.process.pid)

    def __enter__(self) -> Master:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            print("messages:", *self.messages, sep="\n  ")
            print(self.log)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(WAIT_S)
        self.link.close()
        for worker in self.workers.values():
            os.close(worker.control)
            os.close(worker.pidfd)
        for end in (*self.exchange, *self.other, self.listener):
            end.close()
        for fd in (self.board, self.crash, self.pidfd):
            os.close(fd)

    # The link

    def send(self, kind: str, fds: list[int] | None = None, **keys: Any) -> None:
        self.link.send({"type": kind, **keys}, fds or [])

    def boot(
        self,
        app: str = "app:application",
        preload: bool | None = None,
        wire: Message | None = None,
        more_fds: tuple[int, ...] = (),
        **settings: Any,
    ) -> None:
        """Send ``boot``, with these settings and, in ``wire`` and ``more_fds``, what shall differ of the message
        itself.
        """
        self.expect("hello")
        fds = [self.listener.fileno(), *(end.fileno() for end in self.exchange), self.board, self.crash, *more_fds]
        keys: dict[str, Any] = {
            "link": LINK_VERSION,
            "generation": 7,
            "revision": 1,
            "app": app,
            "directory": str(self.directory),
            "preload": preload,
            "settings": to_wire(replace(SETTINGS, **settings)),
            "listeners": ["127.0.0.1:80"],
        }
        self.send("boot", fds, **{**keys, **(wire or {})})

    def up(self, *arguments: Any, **keys: Any) -> list[int]:
        """Boot and resume; returns the pids of the workers."""
        self.boot(*arguments, **keys)
        self.expect("ready")
        self.done("resume")
        return self.pids("serving")

    def reload(self, revision: int = 2, listener: socket.socket | None = None, **settings: Any) -> int:
        """Send ``reload``, with the same listener or another; returns its id."""
        wire = to_wire(replace(SETTINGS, **settings))
        return self.order(
            "reload",
            [(listener or self.listener).fileno()],
            revision=revision,
            settings=wire,
            listeners=["127.0.0.1:80"],
        )

    def order(self, kind: str, fds: list[int] | None = None, **keys: Any) -> int:
        """Send an order; returns its id."""
        number = next(self._ids)
        self.send(kind, fds, id=number, **keys)
        return number

    def answer(self, number: int) -> Message:
        """Wait for ``done`` or ``failed`` of an order."""
        return self.until(lambda m: m["type"] in ("done", "failed") and m.get("id") == number)

    def done(self, kind: str, fds: list[int] | None = None, **keys: Any) -> Message:
        """Send an order that must succeed."""
        answer = self.answer(self.order(kind, fds, **keys))
        assert answer["type"] == "done", answer
        return answer

    def failed(self, kind: str, fds: list[int] | None = None, **keys: Any) -> Message:
        """Send an order that must fail."""
        answer = self.answer(self.order(kind, fds, **keys))
        assert answer["type"] == "failed", answer
        return answer

    def pause(self) -> Message:
        """``pause`` to another generation."""
        return self.done("pause", [self.other[1].fileno()], to=8)

    def expect(self, kind: str, **keys: Any) -> Message:
        """Wait for the next message of a kind, with these values; those before it are passed over."""
        return self.until(lambda m: m["type"] == kind and all(m.get(key) == value for key, value in keys.items()))

    def until(self, wanted: Any) -> Message:
        """Wait for the next message that fits."""
        deadline = time.monotonic() + WAIT_S
        while True:
            while self._unread < len(self.messages):
                message = self.messages[self._unread]
                self._unread += 1
                if wanted(message):
                    return message
            if not self._receive(deadline - time.monotonic()):
                raise AssertionError("the link ended, or nothing came")

    def rewind(self) -> None:
        """Let ``expect`` look at every message again."""
        self._unread = 0

    def read_to_end(self) -> None:
        """Take every message until the master has closed the link."""
        while self._receive(WAIT_S):
            pass

    def _receive(self, wait_s: float) -> bool:
        if not select.select([self.link], [], [], max(0.0, wait_s))[0]:
            return False
        received = self.link.receive()
        if received is None:
            return False
        message, fds = received
        self.messages.append(message)
        if message["type"] == "worker":
            self.workers[message["worker"]] = Forked(message["pid"], message["revision"], fds[0], fds[1])
        elif message["type"] == "state":
            self.workers[message["worker"]].states.append(message["state"])
        return True

    # What is seen from outside

    def kill(self, pid: int) -> Message:
        """``kill -9`` a worker; returns the report of its end."""
        os.kill(pid, signal.SIGKILL)
        return self.expect("gone", pid=pid)

    def serving(self, number: int) -> list[int]:
        """Wait until exactly ``number`` workers serve; returns their pids."""
        deadline = time.monotonic() + WAIT_S
        while len(self.pids("serving")) != number:
            assert self._receive(deadline - time.monotonic()), self.pids("serving")
        return self.pids("serving")

    def pids(self, state: str) -> list[int]:
        """Pids of workers whose last state is this one and that have not gone."""
        gone = {message["worker"] for message in self.messages if message["type"] == "gone"}
        return [w.pid for n, w in self.workers.items() if n not in gone and w.states[-1:] == [state]]

    def get(self, path: str = "/", listener: socket.socket | None = None) -> str:
        """One request on a new connection."""
        client = client_of(listener or self.listener)
        try:
            client.request("GET", path)
            return client.getresponse().read().decode()
        finally:
            client.close()

    def exit_status(self) -> int:
        """Wait for the end of the master."""
        self.read_to_end()
        return self.process.wait(WAIT_S)

    def left_over(self) -> list[int]:
        """Processes of the master's session that still run, once all its workers' pidfds had time to tell."""
        for worker in self.workers.values():
            select.select([worker.pidfd], [], [], WAIT_S)
        return session(self.process.pid)

    def stack(self) -> str:
        """What faulthandler wrote."""
        return os.pread(self.crash, 65536, 0).decode()

    @property
    def log(self) -> str:
        """What the master and its workers logged so far."""
        return self.stderr.read_text()


def client_of(listener: socket.socket) -> http.client.HTTPConnection:
    """A client of a listener, not yet connected."""
    host, port = listener.getsockname()
    return http.client.HTTPConnection(host, port, timeout=WAIT_S)


def listen() -> socket.socket:
    """A listener on a free port, as the supervisor makes them."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=128)
    sock.setblocking(False)
    return sock


def session(leader: int) -> list[int]:
    """Pids of a session that are not zombies."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader and fields[0] != "Z":
                    found.append(int(name))
    return found


class Request:
    """A request on a thread of its own."""

    def __init__(self, master: Master, path: str) -> None:
        self.answer = ""
        self._begun = master.directory / "begun"
        self._thread = threading.Thread(target=self._ask, args=(master, path))
        self._thread.start()
        for _ in range(1000):
            if self._begun.exists():
                return
            select.select([], [], [], 0.02)
        raise AssertionError("the request has not begun")

    def _ask(self, master: Master, path: str) -> None:
        try:
            self.answer = master.get(path)
        except (OSError, http.client.HTTPException) as error:
            self.answer = repr(error)

    def wait(self) -> str:
        """What was answered."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        return self.answer


def unanswered(master: Master) -> socket.socket:
    """A request that nobody takes yet."""
    client = socket.create_connection(master.listener.getsockname(), timeout=WAIT_S)
    client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert not select.select([client], [], [], 0.3)[0]
    return client


def answered(client: socket.socket) -> bool:
    """Whether it is answered after all."""
    with client, client.makefile("rb") as file:
        return b"one " in file.read()
