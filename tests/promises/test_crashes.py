"""Workers that crash: whoever is not hit goes on, and what is missing is said."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from harness.service import Service, alive, eventually, serving

FATAL = """
import os
import app as tests
if os.path.exists("../../broken"):
    raise RuntimeError("not today")
def application(environ, start_response):
    if environ["PATH_INFO"] == "/fatal":
        os.abort()
    return tests.application(environ, start_response)
"""


def fatal(service: Service) -> None:
    """A request that kills whichever worker takes it."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        service.request("GET", "/fatal")


def living(service: Service) -> set[int]:
    """The pids of those that serve, and have not died since they were told of."""
    return {pid for pid in service.workers() if alive(pid)}


class Systemd:
    """What it would show; it reads all the time, as a queue of datagrams is short."""

    def __init__(self, sock: socket.socket) -> None:
        self.lines: list[str] = []
        self._sock = sock
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def end(self) -> None:
        """Read no more."""
        self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(60)

    def _read(self) -> None:
        while data := self._sock.recv(4096).decode():
            self.lines += [line.removeprefix("STATUS=") for line in data.splitlines() if line.startswith("STATUS=")]


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Systemd]]:
    """Its address, and itself."""
    path = str(tmp_path_factory.mktemp("systemd") / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        one = Systemd(sock)
        yield path, one
        one.end()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, systemd: tuple[str, Systemd]) -> Iterator[Service]:
    """Of four workers, each with an import of its own."""
    with serving(
        tmp_path_factory.mktemp("crashes"), start=False, app="fatal:application", workers=4, preload=False
    ) as service:
        service.environment["NOTIFY_SOCKET"] = systemd[0]
        for name in ("one", "two"):
            service.release(name, fatal=FATAL)
        service.start()
        yield service


def test_a_request_that_kills_its_worker_costs_nobody_else_anything(service: Service) -> None:
    """Again and again: with the back-off of the whole crew, the service was dark for ten seconds after the ninth."""
    for _ in range(12):
        fatal(service)
        for _ in range(3):
            begun = time.monotonic()
            service.get("/release")
            assert time.monotonic() - begun < 5
    eventually(lambda: len(service.workers()) == 4, "all have been replaced")
    assert "12 crashes in 30 s" in service.generation()["losses"]
    service.do("reexec")
    assert " in 30 s" in service.generation()["losses"]


@pytest.mark.parametrize(("verb", "mode"), [("upgrade", None), ("upgrade", "rolling"), ("reload", None)])
def test_a_change_beside_such_requests_is_not_held_against_the_new_workers(
    service: Service, verb: str, mode: str | None
) -> None:
    """Whichever release the tests before this one, in this process, have left in service."""
    before = service.who()
    release = before["release"] if verb == "reload" else {"one": "two", "two": "one"}[before["release"]]
    over = threading.Event()

    def again_and_again() -> None:
        while not over.wait(0.2):
            fatal(service)

    for _ in range(8):
        fatal(service)
    thread = threading.Thread(target=again_and_again)
    thread.start()
    try:
        service.flip(release)
        service.configure(upgrade={"mode": mode} if mode else {})
        done = service.ctl(verb)
    finally:
        over.set()
        thread.join(60)
    assert done.returncode in (0, 8), done.stdout + done.stderr  # 8: while some are missing
    after = service.who()
    assert after["release"] == release
    assert (after["generation"] == before["generation"]) == (verb == "reload")


def test_missing_workers_are_said_everywhere_for_as_long_as_they_are_missing(
    service: Service, systemd: tuple[str, Systemd]
) -> None:
    broken = service.root / "broken"
    eventually(lambda: len(living(service)) == 4, "all serve")  # what has just died is told of a moment later
    broken.touch()
    systemd[1].lines.clear()
    begun = len(re.findall(r" WARNING \S+ degraded: ", service.log()))
    for left in (3, 2, 1):
        fatal(service)
        eventually(lambda left=left: len(living(service)) <= left, f"{left} are left")  # type: ignore[misc]
    expected = re.compile(r"1 of 4 workers, \d+ crash(es)? and \d+ failed boots in 30 s")
    eventually(
        lambda: any(map(expected.fullmatch, service.status()["service"]["degraded"])), "three of four are missing"
    )
    shown = service.ctl("status")
    assert shown.returncode == 8 and re.search(r": degraded: 1 of 4 workers, ", shown.stdout), shown.stdout
    assert re.match(
        r"degraded: 1 of 4 workers, .*; generation \d+ is serving .* with 1 worker", service.status()["message"]
    )
    assert service.get("/release")
    assert any(re.match(r"Degraded: 1 of 4 workers, .*; generation \d+ is serving", line) for line in systemd[1].lines)
    broken.unlink()
    eventually(lambda: len(service.workers()) == 4, "each place has been tried again")
    status = service.status()
    assert status["status"] == 0 and status["service"]["degraded"] == []
    assert len(re.findall(r" WARNING \S+ degraded: ", service.log())) in (begun, begun + 1)  # not for each crash
    eventually(
        lambda: systemd[1].lines[-1].startswith("4 of 4 workers, "), "the last line, until it has been calm for a while"
    )


def test_a_stop_in_a_back_off_is_a_stop(service: Service) -> None:
    (service.root / "broken").touch()
    for _ in range(4):
        fatal(service)
    eventually(lambda: any("0 of 4 workers" in one for one in service.status()["service"]["degraded"]), "nobody serves")
    service.stop()
