"""Each signal to the supervisor does what docs/verbs.md says of it, and none ends it by accident."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from harness.load import strictly
from harness.service import Service, eventually, serving
from releve.supervisor.supervisor import SIGNALS

TESTED = {"upgrade", "reload", "scale", "reopen", "stop"}


def test_every_verb_that_a_signal_means_is_tested_here() -> None:
    assert {verb for verb, _ in SIGNALS.values()} == TESTED


def idle(service: Service) -> bool:
    return service.status()["service"]["operation"] is None


def test_signals_that_change_the_guard(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as service, strictly(*service.addresses, clients=8, think=1.0, think_mean=0.05):
        before = service.workers()
        os.kill(service.pid, signal.SIGUSR2)
        service.wait_for(2)
        second = service.workers()
        assert not second & before
        os.kill(service.pid, signal.SIGHUP)
        eventually(lambda: idle(service) and not service.workers() & second, "HUP has replaced every worker")
        assert service.serving() == 2
        os.kill(service.pid, signal.SIGTTIN)
        eventually(lambda: idle(service) and len(service.workers()) == 3, "TTIN has added a worker")
        os.kill(service.pid, signal.SIGTTOU)
        eventually(lambda: idle(service) and len(service.workers()) == 2, "TTOU has taken one away")
        os.kill(service.pid, signal.SIGUSR1)
        os.kill(service.pid, signal.SIGWINCH)
        eventually(lambda: "reopen by SIGUSR1: no log file to reopen" in service.log(), "USR1 is heard")
        assert service.serving() == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT])
def test_signals_that_stop(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path, timeouts={"linger": "1s"}) as service:
        assert service.process is not None
        os.kill(service.pid, number)
        assert service.process.wait(30) == 0
        service.gone()


def test_nothing_disturbs_the_end_of_a_stop(tmp_path: Path) -> None:
    """Not another SIGTERM, however late; nor who has connected to the control socket, and asks for nothing."""
    with serving(tmp_path, workers=1) as service, socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(service.control_socket))
        assert service.process is not None
        limit = time.monotonic() + 60
        while service.process.poll() is None and time.monotonic() < limit:
            service.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                service.process.wait(0.002)  # it has to read them
        assert service.process.wait(0) == 0
        assert "Traceback" not in service.log()
