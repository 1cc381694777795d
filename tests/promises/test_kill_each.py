"""Promise: kill anything.

Each process there is, idle and under load: nobody loses anything but what a killed worker held.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from harness.load import Load
from harness.service import Service, alive, eventually, serving

CLIENTS = 24
EACH = ("supervisor", "master", "standby master", "worker", "standby worker")
AT_ONCE_S = 10.0  # a tenth of what a forked child would make a client wait
FORKS = """
import os, time
from before import application as before
def application(environ, start_response):
    if environ["PATH_INFO"] == "/fork":
        pid = os.fork()
        if pid == 0:
            time.sleep(600)
            os._exit(0)
        body = b"%d %d" % (os.getpid(), pid)
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    return before(environ, start_response)
"""


@contextlib.contextmanager
def two_generations(root: Path) -> Iterator[Service]:
    """One in service, and one that stands by for long."""
    with serving(root, upgrade={"standby": "10m"}) as service:
        service.do("upgrade")
        yield service


def victim(service: Service, which: str) -> tuple[int, int]:
    """Its pid, and how many connections it holds."""
    if which == "supervisor":
        return service.supervisor(), 0
    generation = service.generation("standby" if which.startswith("standby") else "serving")
    if which.endswith("master"):
        return generation["pid"], 0
    worker = max(generation["workers"], key=lambda one: one["connections"])
    return worker["pid"], worker["connections"]


def kill(service: Service, which: str) -> int:
    """Kill one, and wait until everything is as it was before; how many connections it held."""
    pid, held = victim(service, which)
    os.kill(pid, signal.SIGKILL)
    service.killed = service.killed or which == "supervisor"

    def recovered() -> bool:
        with contextlib.suppress(OSError, AssertionError):
            status = service.status()
            generations = status["generations"]
            workers = [worker for one in generations for worker in one["workers"]]
            pids = {
                status["service"]["pid"],
                *(one["pid"] for one in generations),
                *(worker["pid"] for worker in workers),
            }
            return (
                status["status"] == 0
                and status["service"]["operation"] is None
                and pid not in pids
                and {one["state"] for one in generations} <= {"serving", "standby"}
                and all(len(one["workers"]) == 2 for one in generations)
                and {worker["state"] for worker in workers}
                <= {"serving", "paused", "ready"}  # one that comes to a generation that stands by is ready
            )
        return False

    eventually(recovered, f"{which} is followed or replaced", 60)
    return held


@pytest.mark.parametrize("which", EACH)
def test_idle(tmp_path: Path, which: str) -> None:
    """Many open connections, and no request: exactly those of the killed worker are lost, and seen to be lost."""
    with two_generations(tmp_path) as service, contextlib.closing(Idle(service)) as load:
        held = kill(service, which)
        report = load.round()
        assert report["failed"] == held, report["failures"]
        assert set(report["kinds"]) <= {"idle"}
        assert (held > 0) is (which == "worker")
        assert load.round()["failed"] == held


@pytest.mark.parametrize("which", ["worker", "standby worker"])  # the others: test_adoption.py, test_recovery.py
def test_under_load(tmp_path: Path, which: str) -> None:
    with (
        two_generations(tmp_path) as service,
        contextlib.closing(Load(*service.addresses, clients=CLIENTS, think=1.0)) as load,
    ):
        load.wait(50)
        kill(service, which)
        load.wait(100)
        report = load.report()
        assert report["failed"] <= (CLIENTS if which == "worker" else 0), report["failures"]
        assert set(report["kinds"]) <= {"idle", "lost", "truncated"}, report["failures"]


def holds_nothing(service: Service, pid: int) -> bool:
    return not [name for name in service.descriptors(pid) if name.startswith(("socket", "anon_inode"))]


class Idle(Load):
    """Kept connections that have had one answer, and wait for the next round."""

    def __init__(self, service: Service) -> None:
        super().__init__(*service.addresses, rounds=True, clients=60)
        self.say("wait 60")


def test_a_worker_that_has_forked(tmp_path: Path) -> None:
    """The children of its application hold nothing of ours: clients see its death at once, and a stop leaves
    nothing.
    """
    with serving(tmp_path, workers=1) as service:
        source = (service.releases / "one" / "app.py").read_text()
        service.release("two", before=source, app=FORKS)
        service.flip("two")
        service.do("upgrade")
        with (
            socket.create_connection(("127.0.0.1", service.port), timeout=30) as idle,
            socket.socket(socket.AF_UNIX) as busy,
        ):
            idle.sendall(b"GET /fork HTTP/1.1\r\nHost: x\r\n\r\n")
            worker, child = map(int, idle.recv(65536).rpartition(b"\r\n\r\n")[2].split())
            busy.settimeout(30)
            busy.connect(str(service.unix))
            busy.sendall(b"GET /slow?s=100 HTTP/1.1\r\nHost: x\r\n\r\n")
            eventually(lambda: service.generation()["workers"][0]["busy"], "a request is in flight")
            second = service.get("/fork").split()[1]  # forked while connections are open and a request is in flight
            for pid in (child, int(second)):
                eventually(partial(holds_nothing, service, pid), f"{service.descriptors(pid)} has nothing of ours")
                assert alive(pid)
            began = time.monotonic()
            os.kill(worker, signal.SIGKILL)
            for client in (idle, busy):
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(65536) == b""
            assert time.monotonic() - began < AT_ONCE_S
        assert service.who()["release"] == "two"
        assert alive(child)
        service.stop()
        eventually(lambda: not psutil.pid_exists(child) or not alive(child), "its children have ended")
