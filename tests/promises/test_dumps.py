"""Promise: to ask what a process is doing costs nothing, however often, and takes no signal from the application."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from harness.load import strictly
from harness.service import Service, eventually, serving
from releve.server.shared.link import STACKS_SIGNAL

APPLICATION = Path(__file__).parents[1] / "harness" / "application.py"

# As a library does it that is loaded by the import: it takes a signal for itself, here two.
TAKES = """
import ctypes, json, os, signal, time
import release_app as before

heard = []
TAKEN = [{signals}]
for number in TAKEN:
    signal.signal(number, lambda number, frame: heard.append(number))

def application(environ, start_response):
    if environ["PATH_INFO"] == "/heard":
        for number in TAKEN:
            os.kill(os.getpid(), number)
        until = time.monotonic() + 20  # the main thread hears them, when it comes to that
        while len(heard) < len(TAKEN) and time.monotonic() < until:
            time.sleep(0.005)
        body = json.dumps(sorted(heard)).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    if environ["PATH_INFO"] == "/holds_the_lock":
        open(environ["QUERY_STRING"], "w").close()
        ctypes.PyDLL(None).sleep(60)
    return before.application(environ, start_response)
"""


def dumped(service: Service, **which: Any) -> list[dict[str, Any]]:
    """What processes say, all of them by their own word."""
    result = service.ask("dump", **which)
    assert result["status"] == 0, result
    found: list[dict[str, Any]] = result["processes"]
    return found


@pytest.mark.parametrize("dumps", [100, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
def test_dumps_under_load_lose_nothing(tmp_path: Path, dumps: int) -> None:
    with serving(tmp_path, workers=2) as service:
        before = service.workers()
        with strictly(*service.addresses, serving=1):
            taken = 0
            while taken < dumps:
                found = dumped(service, all=True)
                assert not any(one["note"] or one["trouble"] for one in found), found
                assert all(thread["stack"] for one in found for thread in one["threads"] if not thread["request"])
                taken += len(found)
        assert service.workers() == before
        assert "was killed" not in service.log()


@pytest.mark.parametrize("preload", [True, False])
def test_a_signal_that_the_application_takes_stays_its_own(tmp_path: Path, preload: bool) -> None:
    taken = sorted([int(signal.SIGURG), STACKS_SIGNAL])
    with serving(tmp_path, start=False, workers=1, threads=4, preload=preload, timeouts={"drain": "1s"}) as service:
        app = TAKES.replace("{signals}", ", ".join(map(str, taken)))
        service.release("one", app=app, release_app=APPLICATION.read_text())
        service.start()
        dumped(service, all=True)
        assert json.loads(service.get("/heard")) == taken  # once each: a dump sends none of them
        mark = tmp_path / "in"
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(f"GET /holds_the_lock?{mark} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            eventually(mark.exists, "the application holds the lock")
            (one,) = dumped(service, process="1")
            assert one["note"].endswith("its stacks were taken by signal") and any(
                "app.py" in line for line in one["threads"][0]["stack"]
            )
            service.must("stop", "--now")


def test_masters_answer_while_they_import_and_to_the_next_supervisor(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1, timeouts={"boot": "60s"}) as service:
        gate, began = tmp_path / "gate", tmp_path / "began"
        hangs = (
            f"import os, time\nopen({str(began)!r}, 'w').close()\nwhile not os.path.exists({str(gate)!r}): "
            "time.sleep(0.01)\n"
        )
        service.release("two", app=hangs)
        service.flip("two")
        upgrade = service.begin_ctl("upgrade")
        eventually(began.exists, "the new master imports")
        (one,) = dumped(service, process="2.master")
        assert "taken by signal" in one["note"] and any("app.py" in line for line in one["threads"][0]["stack"])
        gate.touch()
        assert upgrade.wait(30) == 4  # it has no application
        service.kill_supervisor()
        for one in dumped(service, all=True):
            assert one["threads"] and not one["note"], one
        service.do("reexec")
        for one in dumped(service, all=True):
            assert one["threads"] and not one["note"], one
