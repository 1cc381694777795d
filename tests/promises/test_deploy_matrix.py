"""The deploy matrix: ten ordinary deploys, each of which a widely used server gets wrong in some way.

The signals are the ones that deploy scripts send: HUP (a reload here: new settings,
never new code) and USR2 (an upgrade).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.load import strictly
from harness.pythons import make_venv
from harness.service import APPLICATION, PYTHON, Service, eventually, free_port, serving

BROKEN = "import no_such_module_at_all\n"
SLOW_IMPORT_S = 3.0
SLOW_IMPORT = "import time\ntime.sleep(SECONDS)\n" + APPLICATION.read_text()


@contextlib.contextmanager
def deployed(root: Path, *, pwd: bool = True, **settings: Any) -> Iterator[Service]:
    """A service with one worker-set of two, started from the link, with or without PWD in its environment."""
    with serving(root, start=False, **{"workers": 2, **settings}) as service:
        service.environment.pop("PWD", None)
        service.environment.pop("OLDPWD", None)
        if pwd:
            service.environment["PWD"] = str(service.current)
        service.start()
        yield service


def send(service: Service, number: signal.Signals) -> dict[str, Any]:
    """Signal the supervisor, wait until what it began has ended; its entry in the history."""
    before = service.status()["last"]["id"]
    os.kill(service.pid, number)

    def ended() -> dict[str, Any] | None:
        status = service.status()
        last: dict[str, Any] = status["last"]
        return last if last["id"] > before and last["outcome"] and not status["service"]["operation"] else None

    entry: dict[str, Any] = eventually(ended, f"what {number.name} began has ended")
    return entry


@pytest.mark.parametrize("pwd", [True, False], ids=["PWD set", "PWD unset"])
def test_rows_1_and_2_a_swapped_release(tmp_path: Path, pwd: bool) -> None:
    """USR2 runs the code behind the link as it is now, HUP never half of it."""
    with deployed(tmp_path, pwd=pwd) as service:
        service.release("two")
        service.flip("two")
        old = service.workers()
        assert send(service, signal.SIGHUP)["outcome"] == "done"
        assert service.workers().isdisjoint(old)
        assert (service.who()["release"], service.get("/late")) == ("one", b"one")
        assert send(service, signal.SIGUSR2)["outcome"] == "done"
        who = service.who()
        assert (who["release"], service.get("/late")) == ("two", b"two")
        assert who["folder"] == who["cwd"] == who["pwd"] == str(service.releases / "two")


def test_row_3_hup_onto_a_release_that_does_not_import(tmp_path: Path) -> None:
    with deployed(tmp_path) as service, strictly(*service.addresses, serving=1, clients=12) as load:
        service.release("two", app=BROKEN)
        service.flip("two")
        assert send(service, signal.SIGHUP)["outcome"] == "done"  # the code of generation 1 is imported already
        load.wait(50)
        assert send(service, signal.SIGUSR2)["outcome"] == "failed"
        assert service.who()["release"] == "one"


def test_row_3_hup_where_each_worker_imports(tmp_path: Path) -> None:
    """Without preload the new workers import what is on disk: in place it may be broken, the old ones go on."""
    with deployed(tmp_path, preload=False) as service, strictly(*service.addresses, serving=1, clients=12) as load:
        workers = service.workers()
        service.release("one", app=BROKEN)
        entry = send(service, signal.SIGHUP)
        assert entry["outcome"] == "failed", entry
        load.wait(50)
        assert service.workers() == workers


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_row_4_onto_a_release_that_is_slow_to_import(tmp_path: Path, number: signal.Signals) -> None:
    with deployed(tmp_path) as service, strictly(*service.addresses, serving=1, clients=12) as load:
        service.release("two", app=SLOW_IMPORT.replace("SECONDS", str(SLOW_IMPORT_S)))
        service.flip("two")
        if number is signal.SIGUSR2:
            load.begin(2)
        assert send(service, number)["outcome"] == "done"
        report = load.wait(50)
        assert report["seconds"]["max"] < SLOW_IMPORT_S / 2, report["seconds"]


def test_row_5_usr2_onto_a_broken_release_then_term_to_the_old_master(tmp_path: Path) -> None:
    """The failed upgrade leaves one master, and a TERM to that one (the second half of a blind script) is not the end
    of the service.
    """
    with deployed(tmp_path) as service, strictly(*service.addresses, clients=12) as load:
        service.release("two", app=BROKEN)
        service.flip("two")
        master = service.generation()["pid"]
        assert send(service, signal.SIGUSR2)["outcome"] == "failed"
        assert service.generation()["pid"] == master
        os.kill(master, signal.SIGTERM)
        load.wait(200)
        assert load.report()["seconds"]["max"] < 3.0, "requests waited for another master"
        eventually(
            lambda: service.is_serving() and service.who()["release"] == "one",
            "the release that served goes on serving",
        )
        service.settled()


@pytest.mark.parametrize("gone", ["release directory", "virtual environment"])
def test_row_6_usr2_when_the_release_or_its_interpreter_is_gone(tmp_path: Path, gone: str) -> None:
    python = str(tmp_path / "current" / ".venv" / "bin" / "python")
    with serving(tmp_path, start=False, workers=2, python=python) as service:
        make_venv(PYTHON, service.releases / "one" / ".venv")
        service.start()
        assert service.who()["prefix"] == str(service.releases / "one" / ".venv")
        with (
            strictly(*service.addresses, serving=1, clients=12) as load,
            socket.create_connection(("127.0.0.1", service.port)) as inflight,
        ):
            inflight.sendall(b"GET /slow?s=1.5 HTTP/1.1\r\nHost: x\r\n\r\n")
            shutil.rmtree(service.releases / "one" / ("" if gone == "release directory" else ".venv"))
            assert send(service, signal.SIGUSR2)["outcome"] == "failed"
            inflight.settimeout(10)
            assert inflight.recv(65536).startswith(b"HTTP/1.1 200 ")
            load.wait(50)
            assert service.unix.is_socket()


def test_row_7_usr2_with_a_changed_address(tmp_path: Path) -> None:
    with deployed(tmp_path) as service:
        old, new = service.port, free_port()
        service.configure(listen=[f"127.0.0.1:{new}"])
        assert send(service, signal.SIGUSR2)["outcome"] == "done"
        assert service.request("GET", "/release", port=new)[0] == 200
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", old)) != 0, "the dropped address still accepts"
        service.port = new


def test_row_8_a_kept_connection_is_used_after_a_stop_began(tmp_path: Path) -> None:
    """Idle for 3 s while the service stops: the request is answered, and the answer says that it was the last."""
    with deployed(tmp_path, timeouts={"keepalive": "30s", "linger": "5s"}) as service:
        with socket.create_connection(("127.0.0.1", service.port)) as kept:
            kept.settimeout(10)
            ask = b"GET /release HTTP/1.1\r\nHost: x\r\n\r\n"
            kept.sendall(ask)
            assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
            stop = service.begin_ctl("stop")
            eventually(lambda: service.status()["service"]["state"] == "stopping", "the stop has begun")
            time.sleep(3.0)  # the row: what a client that thinks for 3 s sees
            kept.sendall(ask)
            answer = kept.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"\r\nconnection: close\r\n" in answer.lower()
        stop.communicate(timeout=30)
        assert stop.returncode == 0
        assert service.process is not None
        assert service.process.wait(10) == 0
        service.gone()


def test_row_9_clients_that_send_a_byte_at_a_time(tmp_path: Path) -> None:
    """They occupy no thread, and the time for a head ends them."""
    with deployed(tmp_path, workers=1, threads=2, timeouts={"header": "2s"}) as service:
        slow = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(4)]
        began = time.monotonic()
        with strictly(*service.addresses, serving=1, clients=12) as load:
            open_ones = set(slow)
            head = iter(b"GET /release HTTP/1.1\r\nHost: " + b"x" * 1000)
            while open_ones and time.monotonic() < began + 10:
                byte = bytes([next(head)])
                for client in list(open_ones):
                    with contextlib.suppress(BlockingIOError):
                        try:
                            client.send(byte)
                            ended = not client.recv(65536, socket.MSG_DONTWAIT)
                        except ConnectionError:
                            ended = True
                        if ended:
                            open_ones.discard(client)
                time.sleep(0.1)
            assert not open_ones, "the time for a head did not end them"
            assert load.report()["seconds"]["max"] < 1.0
        for client in slow:
            client.close()


def test_row_10_systemd_hears_ready_when_a_generation_serves(tmp_path: Path) -> None:
    with (
        serving(tmp_path, start=False, workers=2) as service,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        service.environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        service.release("one", app=SLOW_IMPORT.replace("SECONDS", "1"))
        service.start(wait=False)
        while b"READY=1" not in systemd.recv(4096).split(b"\n"):
            pass
        who = service.who()  # at once, without a wait
        assert who["generation"] == "1"
        assert "NOTIFY_SOCKET" not in who["environment"]


def test_row_10_systemd_never_hears_ready_from_a_broken_release(tmp_path: Path) -> None:
    with serving(tmp_path, start=False) as service, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        service.environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        service.release("one", app=BROKEN)
        service.start(wait=False)
        assert service.process is not None
        assert service.process.wait(20) == 4
        heard = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                heard += systemd.recv(4096) + b"\n"
        assert b"READY=1" not in heard.split(b"\n")
        assert "no_such_module_at_all" in service.log()
        service.gone()
