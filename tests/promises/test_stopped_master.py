"""Promise: a master that is stopped, or hangs, when the supervisor is killed: the next supervisor comes to one
generation all the same.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.customized import customize
from harness.load import Load, strictly
from harness.service import Service, eventually, serving
from releve.server.shared.faults import VARIABLE

IMPATIENT = "from releve.supervisor.takeover import inventory; inventory.CALL_S = 3.0"
GUARD = "from releve.server.master import guard; guard.OTHERS_S = 2.5"


def one_generation(service: Service, workers: int = 2) -> bool:
    """Whether one committed generation serves with all its workers, and nothing is under way."""
    with contextlib.suppress(OSError):
        status = service.status()
        active = [g for g in status["generations"] if g["active"] and g["state"] == "serving" and not g["orphaned"]]
        serving = sum(g["state"] == "serving" for g in status["generations"])
        return (
            status["service"]["operation"] is None
            and serving == len(active) == 1
            and [w["state"] for w in active[0]["workers"]] == ["serving"] * workers
        )
    return False


@contextlib.contextmanager
def started(root: Path, **settings: Any) -> Iterator[Service]:
    """A service that is less patient than usual with a master that does not answer, or that could start a
    supervisor.
    """
    with serving(root, start=False, **settings) as service:
        customize(service, IMPATIENT, GUARD)
        service.start()
        yield service


def kill_supervisor(service: Service) -> None:
    """Without waiting for the next one."""
    assert service.process is not None
    os.kill(service.supervisor(), signal.SIGKILL)
    service.killed = True
    service.process.wait(10)


def test_the_only_one(tmp_path: Path) -> None:
    """Nobody is left to start another supervisor; whoever starts one has it wake the master, and no client notices."""
    with started(tmp_path) as service, strictly(*service.addresses, serving=1, clients=12) as load:
        workers, master = service.workers(), service.generation()["pid"]
        os.kill(master, signal.SIGSTOP)
        kill_supervisor(service)
        load.wait(40)
        service.start(wait=False)
        eventually(lambda: one_generation(service), "it has adopted")
        assert service.workers() == workers and service.generation()["pid"] == master
        load.wait(40)
        load.begin(2)
        service.do("upgrade")
        load.done(2)


@pytest.mark.parametrize("which", ["standby", "serving"])
def test_one_of_two(tmp_path: Path, which: str) -> None:
    """The master of the generation that stands by, or of the one in service: the other one starts a supervisor, which
    wakes it.
    """
    with started(tmp_path) as service, strictly(*service.addresses, serving=1, clients=12) as load:
        load.begin(2)
        service.do("upgrade")
        load.done(2)
        workers = service.workers()
        os.kill(service.generation(which)["pid"], signal.SIGSTOP)
        kill_supervisor(service)
        eventually(lambda: one_generation(service), "it has adopted", 60)
        assert service.serving() == 2 and service.workers() == workers
        assert service.generation("standby")["generation"] == 1
        load.begin(1)
        service.do("rollback")
        load.done(1)


def test_the_one_on_trial(tmp_path: Path) -> None:
    with (
        started(tmp_path, upgrade={"probation": "2s"}) as service,
        strictly(*service.addresses, serving=1, clients=12) as load,
    ):
        load.begin(2)
        upgrade = service.begin_ctl("upgrade")
        eventually(lambda: service.status()["service"]["state"] == "on trial", "the probation begins")
        os.kill(service.generation("serving")["pid"], signal.SIGSTOP)
        kill_supervisor(service)
        out, err = upgrade.communicate(timeout=60)
        eventually(lambda: one_generation(service), "it has adopted, and judged")
        load.done(2)
        assert service.serving() == 2
        assert upgrade.returncode in (0, 1), out + err  # the master was only found after ctl had given up, perhaps


def test_one_that_hangs_for_good_is_ended(tmp_path: Path) -> None:
    """It cannot be woken: the generation that answers serves, and the workers of the other one finish what they
    have.
    """
    token = tmp_path / "token"
    with serving(tmp_path, start=False) as service:
        customize(service, IMPATIENT, GUARD)
        service.configure(timeouts={"linger": "1s"})
        service.environment[VARIABLE] = f"master_pause:hang@{token}"
        service.start()
        with contextlib.closing(Load(*service.addresses, clients=12, unordered=True)) as load:
            load.wait(50)
            hung = service.generation()
            token.touch()
            upgrade = service.begin_ctl("upgrade")
            eventually(lambda: not token.exists(), "the old master hangs when it is to pause")
            kill_supervisor(service)
            eventually(
                lambda: one_generation(service) and service.serving() == 2, "the new generation is in service", 60
            )
            out, err = upgrade.communicate(timeout=60)
            assert upgrade.returncode in (0, 1, 8), out + err
            eventually(
                lambda: not service.pids() & {hung["pid"], *(w["pid"] for w in hung["workers"])},
                "the old one has left",
                60,
            )
            load.wait(40)
            # closed as at a stop; no request is lost
            assert set(load.report()["kinds"]) <= {"idle"}, load.report()["failures"]
            done = [entry for entry in service.ask("history")["entries"] if entry["verb"] == "adopt"][-1]
            assert done["to"]["generation"] == 2 and any(
                "did not answer and was killed" in note for note in done["notes"]
            )
            assert service.status()["status"] == 8
        service.do("upgrade")
        assert service.status()["status"] == 0
