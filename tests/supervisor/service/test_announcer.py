"""What systemd hears of a service, and that nothing is put into words where it does not listen."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from releve.config.settings.log import Log
from releve.supervisor.condition.condition import Condition, Subject
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.announcer import Announcer
from releve.supervisor.systemd.notify import Notifier

SERVES = "generation 2 is serving /srv/shop with 3 workers"


def condition() -> Condition:
    return Condition(lambda: Subject(None, None, Log(), 0))


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def heard(manager: socket.socket) -> list[str]:
    """Every line since the last time, but the clock's."""
    lines = []
    while True:
        try:
            lines += manager.recv(4096).decode().split("\n")
        except BlockingIOError:
            return [line for line in lines if not line.startswith("MONOTONIC_USEC=")]


def test_an_operation_is_told_from_its_start_to_its_end(tmp_path: Path, manager: socket.socket) -> None:
    judged = condition()
    announcer = Announcer(Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}), judged, lambda: SERVES)
    operation = Operation("upgrade", "a test", 7)
    announcer.follow(operation, reloads=True)
    assert heard(manager) == ["RELOADING=1", f"STATUS=upgrade 7 started; {SERVES}"]
    with operation.step("boot"):
        assert heard(manager) == [f"STATUS=upgrade 7: boot; {SERVES}"]
    announcer.ready()
    assert heard(manager) == [f"MAINPID={os.getpid()}", "READY=1", f"STATUS={SERVES.capitalize()}"]
    judged.degraded["log"] = "the log cannot be written"
    announcer.condition()
    assert heard(manager) == [f"STATUS=Degraded: the log cannot be written; {SERVES}"]
    announcer.serving()
    assert heard(manager) == [f"STATUS={SERVES.capitalize()}"]


def test_the_first_start_is_no_reload(tmp_path: Path, manager: socket.socket) -> None:
    announcer = Announcer(Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}), condition(), lambda: SERVES)
    operation = Operation("start", "a test", 1)
    announcer.follow(operation, reloads=False)
    assert heard(manager) == []
    with operation.step("boot"):
        assert heard(manager) == [f"STATUS=start 1: boot; {SERVES}"]


def test_outside_systemd_nobody_is_asked_for_words() -> None:
    def words() -> str:
        raise AssertionError("they would be for nobody")

    announcer, operation = Announcer(Notifier({}), condition(), words), Operation("upgrade", "a test", 7)
    announcer.follow(operation, reloads=True)
    with operation.step("boot"):
        pass
    announcer.ready()
    announcer.condition()
    announcer.serving()


def test_a_start_that_fails_leaves_its_reason(tmp_path: Path, manager: socket.socket) -> None:
    announcer = Announcer(Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}), condition(), lambda: SERVES)
    operation = Operation("start", "releve", 1)
    operation.finish({"status": 4, "message": "cannot import app: …", "step": "import", "reason": "cannot import app"})
    announcer.failed(operation)
    assert heard(manager) == ["STATUS=Start 1 failed at import: cannot import app"]
    operation.finish({"status": 1, "message": "unexpected error"})
    announcer.failed(operation)
    assert heard(manager) == ["STATUS=Start 1 failed: unexpected error"]
