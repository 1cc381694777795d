"""A stop that serves on for a while first (``timeouts.pre_stop``): what takes addresses out of balancers is not faster
than SIGTERM.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
from pathlib import Path

import pytest

from harness.service import PATIENCE_S, Service, eventually, serving

LONG = "600s"


def waiting(service: Service) -> bool:
    """The stop has begun, and it serves on."""
    status = service.status()["service"]
    return bool(status["state"] == "stopping" and (status["operation"] or {}).get("phase") == "pre-stop")


def ended(service: Service) -> int:
    assert service.process is not None
    return service.process.wait(PATIENCE_S)


def begin(service: Service) -> None:
    os.kill(service.pid, signal.SIGTERM)
    eventually(lambda: waiting(service), "it serves on after SIGTERM")


@pytest.mark.parametrize("way", ["TERM", "INT", "ctl stop --now"])
def test_it_serves_as_before_until_somebody_hurries_it(tmp_path: Path, way: str) -> None:
    with serving(tmp_path, timeouts={"pre_stop": LONG}) as service:
        begin(service)
        kept = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE_S)
        for _ in range(3):
            kept.request("GET", "/release")
            answer = kept.getresponse()
            assert answer.status == 200 and answer.read()
            assert answer.headers["Connection"] is None  # it may well ask again
            assert service.who()["release"] == "one"  # and new connections are welcome
        refused = service.ctl("upgrade")
        assert refused.returncode == 7 and "stop" in refused.stderr
        if way.startswith("ctl"):
            service.must("stop", "--now")
        else:
            os.kill(service.pid, signal.Signals[f"SIG{way}"])
        assert ended(service) == 0
        kept.close()
        service.gone()


def test_it_ends_by_itself(tmp_path: Path) -> None:
    with serving(tmp_path, timeouts={"pre_stop": "300ms"}) as service:
        os.kill(service.pid, signal.SIGTERM)
        assert ended(service) == 0
        assert "serving for another 0.3 s" in service.log()


def test_who_joins_a_stop_does_not_cut_it_short(tmp_path: Path) -> None:
    with serving(tmp_path, timeouts={"pre_stop": LONG}) as service:
        begin(service)
        assert service.ctl("stop", "--timeout", "1").returncode == 6
        assert waiting(service)
        os.kill(service.pid, signal.SIGTERM)
        assert ended(service) == 0


def test_a_request_that_is_in_flight_at_the_end_of_it_is_answered(tmp_path: Path) -> None:
    with serving(tmp_path, timeouts={"pre_stop": LONG, "linger": "100ms"}) as service:
        begin(service)
        slow = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE_S)
        slow.request("GET", "/slow?s=0.5")
        eventually(lambda: any(w.get("busy") for w in service.generation()["workers"]), "a worker has it")
        os.kill(service.pid, signal.SIGTERM)
        answer = slow.getresponse()
        assert answer.status == 200 and answer.headers["Connection"] == "close"
        answer.read()
        assert ended(service) == 0


def test_a_stop_that_serves_on_goes_on_though_the_master_dies(tmp_path: Path) -> None:
    """systemd keeps the queue: who connects would wait in it.

    The supervisor takes the master's part, and ends when nothing is left.
    """
    times = {"drain": LONG, "linger": LONG}
    with (
        serving(tmp_path, start=False, workers=2, timeouts=times) as service,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        systemd.bind(str(tmp_path / "notify"))
        systemd.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        service.environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        service.start()
        kept = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE_S)
        kept.request("GET", "/release")
        kept.getresponse().read()
        master = service.status()["generations"][0]["pid"]
        os.kill(service.pid, signal.SIGTERM)
        eventually(
            lambda: all(worker["state"] == "leaving" for worker in service.status()["generations"][0]["workers"]),
            "they leave",
        )
        os.kill(master, signal.SIGKILL)
        eventually(lambda: "the supervisor commands its" in service.log(), "its workers are commanded from here")
        for _ in range(5):
            assert service.who()["release"] == "one"
        assert service.process is not None and service.process.poll() is None
        kept.close()
        assert ended(service) == 0
