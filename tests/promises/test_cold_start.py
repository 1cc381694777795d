"""Promise: after a power cut the service comes up with a release that is known to be good, and the history has every
attempt's outcome.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from harness.service import Service, eventually, serving


def power_cut(service: Service) -> None:
    """Everything is gone at once, without a word."""
    for process in service.processes():
        process.send_signal(signal.SIGSTOP)  # so that nobody sees the others go
    service.kill()
    eventually(lambda: not service.processes(), "nothing is left")
    service.unix.unlink(missing_ok=True)


def outcomes(service: Service) -> list[tuple[str, str]]:
    return [(entry["verb"], entry["outcome"]) for entry in service.ask("history")["entries"]]


def test_a_power_cut_in_the_probation(tmp_path: Path) -> None:
    """It was switched to, and nobody knows whether it is good: the last committed one starts, and the log says so."""
    with serving(tmp_path, upgrade={"probation": "60s"}) as service:
        service.release("two")
        service.flip("two")
        upgrade = service.begin_ctl("upgrade")
        eventually(lambda: service.phase() == "probation", "the probation begins")
        power_cut(service)
        upgrade.communicate(timeout=30)
        service.start()
        assert service.who()["release"] == "one"
        assert "switched to and never committed" in service.log()
        status = service.status()["service"]
        assert status["state"] == "degraded" and "never committed" in status["degraded"][0]
        assert outcomes(service) == [("start", "done"), ("upgrade", "interrupted"), ("start", "done")]
        service.configure(upgrade={"probation": "200ms"})
        service.do("upgrade")  # as configured: it is tried again, and judged
        assert service.who()["release"] == "two"
        assert service.status()["service"]["state"] == "serving"


def test_a_power_cut_before_the_switch(tmp_path: Path) -> None:
    """Nothing is known against the release: it is taken as configured."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with serving(tmp_path) as service:
        source = (service.releases / "one" / "app.py").read_text()
        text = f"import os\nif os.path.exists({str(gate)!r}):\n    os.read(os.open({str(gate)!r}, os.O_RDONLY), 1)\n"
        service.release("two", before=source, app=text + "from before import application\n")
        service.flip("two")
        upgrade = service.begin_ctl("upgrade")
        eventually(lambda: service.phase() == "boot", "the upgrade boots")
        power_cut(service)
        upgrade.communicate(timeout=30)
        gate.unlink()
        service.start()
        assert service.who()["release"] == "two"
        assert outcomes(service) == [("start", "done"), ("upgrade", "interrupted"), ("start", "done")]


@pytest.mark.parametrize("fails", ["hook", "check", "boot"])
def test_a_failed_repetition_says_nothing_against_what_serves(tmp_path: Path, fails: str) -> None:
    """A release that was committed is deployed once more, which fails before the switch: after a stop, it is the one
    that starts.
    """
    trouble = tmp_path / "trouble"
    unwell = f"os.path.exists({str(trouble)!r})"
    sick = {
        "hook": "",
        "boot": f"assert not {unwell}",
        "check": (
            f"application = lambda environ, *rest: inner({{**environ, 'PATH_INFO': '/nowhere'}} if "
            f"{unwell} else environ, *rest)"
        ),
    }
    hooks = {"before": f"test ! -e {trouble}"} if fails == "hook" else {}
    with serving(tmp_path, hooks=hooks, upgrade={"check": "/healthz"}) as service:
        source = (service.releases / "one" / "app.py").read_text()
        service.release(
            "two", before=source, app=f"import os\nfrom before import application\ninner = application\n{sick[fails]}\n"
        )
        service.flip("two")
        service.do("upgrade")
        trouble.touch()
        assert service.ask("upgrade")["status"] == 4
        trouble.unlink()
        assert service.who()["release"] == "two"
        service.stop()
        service.start()
        assert service.who()["release"] == "two"
        assert service.status()["status"] == 0, service.status()["service"]


def test_a_late_rollback_goes_to_the_release_before(tmp_path: Path) -> None:
    """Nothing stands by: the release before is started and judged as in any upgrade; a second one goes back further."""
    with serving(tmp_path, upgrade={"standby": "off"}) as service:
        for name in ("two", "three"):
            service.release(name)
            service.flip(name)
            service.do("upgrade")
        service.do("rollback")
        assert service.who()["release"] == "two"
        service.do("rollback")
        assert service.who()["release"] == "one"
        refused = service.ctl("rollback")
        assert refused.returncode == 4
        assert "has no release before" in refused.stderr


def test_a_late_rollback_in_place_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, upgrade={"standby": "off"}) as service:
        service.do("upgrade")
        workers = service.workers()
        refused = service.ctl("rollback")
        assert refused.returncode == 4 and "cannot roll back" in refused.stderr
        assert service.workers() == workers
