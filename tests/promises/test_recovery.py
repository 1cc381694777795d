"""Promise: a master that dies costs nothing, a worker what it held; the service comes back to one generation by
itself.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from harness.load import strictly
from harness.service import Service, eventually, serving


def successor(service: Service, lost: int) -> None:
    """Wait for the generation that follows a lost one, alone and healthy."""

    def settled() -> bool:
        status = service.status()
        states = [(g["state"], g["generation"] > lost) for g in status["generations"]]
        return (
            states == [("serving", True)] and not status["service"]["degraded"] and not status["service"]["operation"]
        )

    eventually(settled, "one successor is in service, alone")


def test_a_master_that_is_killed_costs_no_request(tmp_path: Path) -> None:
    with serving(tmp_path) as service, strictly(*service.addresses, clients=12, think=1.0, think_mean=0.05):
        for _ in range(3):
            lost = service.generation()
            os.kill(lost["pid"], signal.SIGKILL)
            successor(service, lost["generation"])


def test_the_workers_of_a_lost_master_serve_on_when_their_release_no_longer_boots(tmp_path: Path) -> None:
    with serving(tmp_path) as service, strictly(*service.addresses, clients=12, think=1.0, think_mean=0.05):
        before = service.workers()
        service.release("one", app="raise RuntimeError('no longer')")
        os.kill(service.generation()["pid"], signal.SIGKILL)
        eventually(
            lambda: (service.status()["last"] or {}).get("outcome") == "failed", "the successor has failed to boot"
        )
        status = service.status()
        assert service.workers() == before
        assert status["status"] == 8 and "master" in status["service"]["degraded"][0]
        service.release("two")
        service.flip("two")
        assert service.ctl("upgrade").returncode == 0
        assert service.who()["release"] == "two"
        service.settled()
        assert service.status()["status"] == 0


def test_a_generation_that_is_killed_whole_is_followed_by_another(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        lost = service.generation()
        for pid in (lost["pid"], *(worker["pid"] for worker in lost["workers"])):
            os.kill(pid, signal.SIGKILL)
        assert service.who()["release"] == "one"  # waits in the accept queue for the successor
        successor(service, lost["generation"])


def test_a_rollback_from_a_generation_that_is_gone(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        service.release("two")
        service.flip("two")
        service.do("upgrade")
        service.release("two", app="raise RuntimeError('never again')")
        lost = service.generation()
        for pid in (lost["pid"], *(worker["pid"] for worker in lost["workers"])):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: (service.status()["last"] or {}).get("verb") == "recover", "a recovery is tried")
        service.do("rollback")
        assert service.who()["release"] == "one"
        assert [g["generation"] for g in service.status()["generations"]] == [1]
        assert service.status()["status"] == 0


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        before = service.workers()
        os.kill(min(before), signal.SIGKILL)
        eventually(
            lambda: len(service.workers()) == len(before) and min(before) not in service.workers(),
            "the worker is replaced",
        )
        assert service.serving() == 1


def test_a_standby_that_loses_its_master_retires_and_a_rollback_says_so(tmp_path: Path) -> None:
    with serving(tmp_path) as service, strictly(*service.addresses, clients=12, think=1.0, think_mean=0.05):
        service.do("upgrade")
        os.kill(service.generation("standby")["pid"], signal.SIGKILL)
        eventually(
            lambda: [g["state"] for g in service.status()["generations"]] == ["serving"], "the standby has retired"
        )
        refused = service.ctl("rollback")
        assert refused.returncode == 4 and "no generation is on standby" in refused.stderr
