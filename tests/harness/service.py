"""A real service for a test: its own folders, ports and releases, and a census of everything that belongs to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import yaml

from harness import forked, reach
from harness.environment import clean_environment

APPLICATION = Path(__file__).with_name("application.py")
PYTHON = os.environ.get("RELEVE_TEST_PYTHON", sys.executable)
PATIENCE_S = 30.0
MARK = "RELEVE_TEST_MARK"  # an environment variable by which every process of a service is found again


def eventually(holds: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Wait until ``holds`` returns something true, and return that.

    Asked ever less often: a status takes a supervisor 5 ms.
    """
    begun = time.monotonic()
    while True:
        found = holds()
        if found:
            return found
        waited = time.monotonic() - begun
        assert waited < patience_s, f"not within {patience_s:g} s: {what}"
        time.sleep(min(0.1, max(0.02, waited / 10)))


def free_port() -> int:
    """A TCP port below the ephemeral range, so that no client's own port can take it before it is bound."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


class Service:
    """One ``releve`` under test. Use it by ``serving`` below."""

    short = True  # a short probation, where a test does not ask for another

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root = root
        self.releases = root / "releases"
        self.current = root / "current"
        self.file = root / "releve.yaml"
        self.log_file = root / "log"
        self.port = free_port()
        self.unix = root / "http.sock"
        self.mark = uuid.uuid4().hex
        self.environment = clean_environment(**{MARK: self.mark})
        self.process: subprocess.Popen[bytes] | None = None
        self.killed = False  # the supervisor that we started; another one follows
        self.settings: dict[str, Any] = {
            "app": "app:application",
            "directory": str(self.current),
            "listen": [f"127.0.0.1:{self.port}", f"unix:{self.unix}"],
            "runtime_directory": str(root / "run"),
            "state_directory": str(root / "state"),
            **settings,
        }
        self.releases.mkdir(parents=True, exist_ok=True)

    # the addresses, for clients

    @property
    def tcp(self) -> str:
        return f"tcp:127.0.0.1:{self.port}"

    @property
    def addresses(self) -> tuple[str, str]:
        return self.tcp, f"unix:{self.unix}"

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        port: int | None = None,
    ) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> bytes:
        """A GET that succeeds."""
        status, body = self.request("GET", path)
        assert status == 200, (path, status, body)
        return body

    def who(self) -> dict[str, Any]:
        """What the answering release says about itself."""
        said: dict[str, Any] = json.loads(self.get("/release"))
        return said

    # releases and settings

    def release(self, name: str, **files: str) -> Path:
        """A release folder with the application of the tests; ``files`` replace or add (``app="…"`` is app.py)."""
        folder = self.releases / name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(APPLICATION, folder / "app.py")
        texts = {"release": f"RELEASE = {name!r}\n", "late": f"TEXT = {name!r}\n", **files}
        for module, text in texts.items():
            (folder / f"{module}.py").write_text(text)
        return folder

    def flip(self, name: str) -> Path:
        """Point ``current`` at a release, as deploy tools do: a new symlink renamed over the old one."""
        beside = self.root / "current.new"
        beside.symlink_to(self.releases / name)
        beside.replace(self.current)
        return self.releases / name

    def configure(self, **changes: Any) -> None:
        """Change settings (None takes a key away) and write the file."""
        self.settings.update(changes)
        self.settings = {k: v for k, v in self.settings.items() if v is not None}
        if self.short:
            self.settings["upgrade"] = {"probation": "200ms", **self.settings.get("upgrade", {})}
        self.file.write_text(yaml.safe_dump(self.settings, sort_keys=False))

    # the processes

    def start(self, *arguments: str, wait: bool = True) -> None:
        """Start the supervisor; with ``wait`` until it serves."""
        if not self.file.exists():
            self.configure()
        if self.settings.get("user"):
            reach.open_to_all(self.environment)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [PYTHON, "-m", "releve", *(arguments or ("-c", str(self.file)))],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            eventually(self.is_serving, "the service serves")

    def is_serving(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"releve ended with status {self.process.returncode}"
        try:
            status = self.status()
        except OSError:
            return False
        return status["service"]["operation"] is None and any(g["state"] == "serving" for g in status["generations"])

    @property
    def pid(self) -> int:
        """The supervisor's."""
        assert self.process is not None
        return self.process.pid

    def ctl(self, *arguments: str, timeout_s: float = 60.0, found_by: str = "file") -> subprocess.CompletedProcess[str]:
        """Run ``ctl`` for this service, told its configuration file or its control socket."""
        where = {"file": ("-c", str(self.file)), "socket": ("--socket", str(self.control_socket))}[found_by]
        return forked.run("ctl", [*where, *arguments], self.root, self.environment, timeout_s)

    def must(self, *arguments: str) -> str:
        """Run ``ctl``, which has to succeed; its output."""
        done = self.ctl(*arguments)
        assert done.returncode == 0, f"ctl {' '.join(arguments)}: status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def begin_ctl(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``ctl`` and do not wait."""
        command = [PYTHON, "-m", "releve.ctl.main", "-c", str(self.file), *arguments]
        return subprocess.Popen(
            command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    @property
    def control_socket(self) -> Path:
        return Path(self.settings["runtime_directory"]) / "ctl.sock"

    def talk(self, data: bytes) -> list[dict[str, Any]]:
        """Send bytes to the control socket; every event, until the supervisor has closed the conversation: it holds
        nothing of it.
        """
        events = []
        with socket.socket(socket.AF_UNIX) as conversation:
            conversation.settimeout(PATIENCE_S)
            conversation.connect(str(self.control_socket))
            conversation.sendall(data)
            # it has not read all that we sent
            with conversation.makefile("rb") as lines, contextlib.suppress(ConnectionResetError):
                for line in lines:
                    events.append(json.loads(line))
        return events

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """The result of a verb, straight over the control socket."""
        events = self.talk(json.dumps({"version": 1, "verb": verb, "arguments": arguments}).encode() + b"\n")
        if not events:  # it was killed: somebody else may answer soon
            raise ConnectionResetError(f"no answer to {verb}")
        return events[-1]

    def do(self, verb: str, **arguments: Any) -> None:
        """A verb that has to succeed, straight over the control socket: ``ctl`` would cost 0.15 s."""
        result = self.ask(verb, **arguments)
        assert result["status"] == 0, f"{verb}: {result}"

    def status(self) -> dict[str, Any]:
        return self.ask("status")

    def phase(self) -> str | None:
        """Of the operation under way; None if there is none, or nobody answers."""
        with contextlib.suppress(OSError):
            operation = self.status()["service"]["operation"]
            return str(operation["phase"]) if operation else None
        return None

    def generation(self, state: str = "serving") -> dict[str, Any]:
        """The one generation in that state."""
        found = [g for g in self.status()["generations"] if g["state"] == state]
        assert len(found) == 1, self.status()["generations"]
        one: dict[str, Any] = found[0]
        return one

    def serving(self) -> int:
        """The number of the generation in service."""
        return int(self.generation()["generation"])

    def workers(self) -> set[int]:
        """The pids of the workers in service."""
        return {w["pid"] for w in self.generation()["workers"] if w["state"] == "serving"}

    def wait_for(self, generation: int) -> None:
        """Until that generation is in service and no operation is under way."""

        def committed() -> bool:
            status = self.status()
            in_service = [g["generation"] for g in status["generations"] if g["state"] == "serving"]
            return in_service == [generation] and not status["service"]["operation"]

        eventually(committed, f"generation {generation} serves and the operation has ended")

    def settled(self) -> None:
        """Until no generation is left but the one in service (and the one standing by)."""
        eventually(
            lambda: {g["state"] for g in self.status()["generations"]} <= {"serving", "standby"},
            "retired generations have left",
        )

    # the census

    def processes(self) -> list[psutil.Process]:
        """Every living process that was started with the environment of this service, the supervisor included."""
        found = []
        mark = f"{MARK}={self.mark}\0".encode()
        for folder in os.listdir("/proc"):  # by hand: half of the time that psutil takes for everybody
            with contextlib.suppress(OSError, psutil.Error):
                if folder.isdecimal() and mark in Path("/proc", folder, "environ").read_bytes():
                    process = psutil.Process(int(folder))
                    if process.status() != psutil.STATUS_ZOMBIE:
                        found.append(process)
        return found

    def pids(self) -> set[int]:
        return {process.pid for process in self.processes()}

    def descriptors(self, pid: int | None = None) -> list[str]:
        """What a process (default: the supervisor) has open, without the numbers that change; sorted."""
        folder = Path(f"/proc/{pid or self.pid}/fd")
        found = []
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                found.append(os.readlink(folder / name).partition(":[")[0])
        return sorted(found)

    def files(self) -> set[str]:
        """Every file, socket and folder in the runtime directory and beside the configuration, releases left out."""
        runtime = Path(self.settings["runtime_directory"])
        found = {re.sub(r"gen-\d+", "gen-N", str(path.relative_to(self.root))) for path in runtime.rglob("*")}
        return found | {path.name for path in self.root.iterdir()}

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    # the end

    def stop(self) -> None:
        """Stop it; nothing may be left."""
        assert self.process is not None
        if self.killed:
            self.do("stop")
        else:
            if self.process.poll() is None:
                self.do("stop")
            status = self.process.wait(PATIENCE_S)
            assert status == 0, f"releve ended with status {status}"
        self.gone()

    def kill_supervisor(self) -> int:
        """SIGKILL; returns the pid of the one that follows it by itself."""
        before = self.supervisor()
        os.kill(before, signal.SIGKILL)
        self.killed = True
        if self.process is not None and self.process.pid == before:
            self.process.wait(PATIENCE_S)

        def follower() -> int | None:
            with contextlib.suppress(OSError):
                pid = self.supervisor()
                return pid if pid != before and self.status()["service"]["operation"] is None else None
            return None

        found: int = eventually(follower, "another supervisor follows")
        return found

    def supervisor(self) -> int:
        """The pid of whoever listens on the control socket."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.control_socket))
            return int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], "little")

    def gone(self) -> None:
        """No process, socket or socket file of the service is left."""
        eventually(lambda: not self.processes(), f"no process left; at first there were {self.pids()}")
        if "NOTIFY_SOCKET" not in self.environment:  # else it is left to the next start, which may inherit the listener
            assert not self.unix.exists(), "the Unix socket is left"
        runtime = Path(self.settings["runtime_directory"])
        sockets = [p.name for p in runtime.rglob("*") if p.is_socket()] if runtime.exists() else []
        assert not sockets, f"left in the runtime directory: {sockets}"
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", self.port)) != 0, "the port still accepts"

    def kill(self) -> None:
        """End whatever is left, without a word; again, while a master that was still there has started another
        supervisor.
        """
        until = time.monotonic() + PATIENCE_S
        while (left := self.processes()) and time.monotonic() < until:
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
            time.sleep(0.02)
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)


@contextlib.contextmanager
def serving(root: Path, *, start: bool = True, release: str = "one", **settings: Any) -> Iterator[Service]:
    """A service around a block: with a first release, started; stopped after it, and then nothing may be left."""
    service = Service(root, **settings)
    service.release(release)
    service.flip(release)
    service.configure()
    try:
        if start:
            service.start()
        yield service
        if service.process is not None and (service.killed or service.process.poll() is None):
            service.stop()
    except BaseException:
        print(f"--- log of the service\n{service.log()[-12_000:]}\n---")
        raise
    finally:
        service.kill()
