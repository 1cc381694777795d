"""Promise: kill anything. A supervisor that is killed is followed by another one, and no client notices."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from harness.customized import SHORT_DOUBT_S, SHORT_SILENCE_S, impatiently
from harness.load import strictly
from harness.service import PYTHON, Service, alive, eventually, serving

GATE = "import os\nos.read(os.open({gate!r}, os.O_RDONLY), 1)\nfrom before import application\n"


def masters(service: Service) -> set[int]:
    return {g["pid"] for g in service.status()["generations"]}


@pytest.mark.parametrize("times", [3, pytest.param(10, marks=pytest.mark.soak)])
def test_again_and_again_under_load(tmp_path: Path, times: int) -> None:
    """The same workers, the same master, no request lost; and everything works afterwards."""
    with serving(tmp_path) as service, strictly(*service.addresses, serving=1, clients=12) as load:
        workers, before, files = service.workers(), masters(service), service.files()
        descriptors = 0
        for number in range(times):
            service.kill_supervisor()
            load.wait(40)
            assert service.workers() == workers and masters(service) == before
            if number == 1:
                descriptors = len(service.descriptors(service.supervisor()))
        assert service.files() == files
        assert len(service.descriptors(service.supervisor())) <= descriptors + 1
        service.release("two")
        service.flip("two")
        load.begin(2)
        service.do("upgrade")
        load.done(2)
        assert service.who()["release"] == "two"
        load.begin(1)
        service.do("rollback")
        load.done(1)
        service.must("scale", "3")
        service.do("reload")
        assert [e["verb"] for e in service.ask("history")["entries"] if e["verb"] == "adopt"] == ["adopt"] * times


def test_ctl_waits_for_the_supervisor_that_follows(tmp_path: Path) -> None:
    """The service is not "not running" meanwhile."""
    with serving(tmp_path) as service:
        service.killed = True
        for _ in range(3):
            os.kill(service.supervisor(), signal.SIGKILL)
            shown = service.ctl("status")
            assert shown.returncode == 0 and "serving" in shown.stdout, shown.stdout + shown.stderr


def follower(service: Service) -> subprocess.Popen[bytes]:
    """Another supervisor, as a guard starts it."""
    lived = {"runtime": str(service.root / "run"), "state": str(service.root / "state"), "control_group": None}
    service.environment["REVIVED_BY_RELEVE"] = json.dumps(lived)
    with service.log_file.open("ab") as log:
        return subprocess.Popen(
            [PYTHON, "-m", "releve", "-c", str(service.file)],
            cwd=service.root,
            env=service.environment,
            stdout=log,
            stderr=log,
        )


def test_one_too_many_leaves_again(tmp_path: Path) -> None:
    """Two guards may each have started one, and the later one come to its turn when the service was stopped: it is not
    started anew.
    """
    with serving(tmp_path) as service:
        one = follower(service)
        assert one.wait(20) == 0 and f"not needed: the supervisor with pid {service.pid} took over" in service.log()
        service.stop()
        one = follower(service)
        assert one.wait(20) == 0 and "not needed: the service was stopped" in service.log()
        service.gone()


def test_with_everybody_killed_the_follower_starts_anew(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        everybody = service.processes()
        # at once: a master that still runs would start a supervisor when its own has gone
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in everybody:
                process.send_signal(number)
        assert service.process is not None
        service.process.wait(10)
        service.process = follower(service)
        eventually(service.is_serving, "the service serves")


def test_what_stood_by_still_does(tmp_path: Path) -> None:
    with serving(tmp_path) as service, strictly(*service.addresses, serving=1, clients=12) as load:
        service.release("two")
        service.flip("two")
        load.begin(2)
        service.do("upgrade")
        load.done(2)
        service.must("scale", "3")
        service.kill_supervisor()
        assert service.generation("standby")["generation"] == 1
        assert service.status()["service"]["workers_wanted"] == 3
        load.begin(1)
        service.do("rollback")
        load.done(1)
        assert service.who()["release"] == "one" and len(service.workers()) == 3


def test_the_time_of_standing_by_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path, upgrade={"standby": "3s"}) as service:
        service.do("upgrade")
        service.kill_supervisor()
        eventually(lambda: len(service.status()["generations"]) == 1, "its time is over")
        assert service.serving() == 2


def test_killed_in_the_middle_of_a_boot(tmp_path: Path) -> None:
    """What was booting ends; what serves is not touched."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with serving(tmp_path) as service, strictly(*service.addresses, serving=1, clients=12) as load:
        workers = service.workers()
        source = (service.releases / "one" / "app.py").read_text()
        service.release("two", before=source, app=GATE.format(gate=str(gate)))
        service.flip("two")
        upgrade = service.begin_ctl("upgrade")
        eventually(lambda: service.phase() == "boot", "the upgrade boots")
        with gate.open("w"):
            service.kill_supervisor()
        load.wait(40)
        _, err = upgrade.communicate(timeout=30)
        assert upgrade.returncode == 4 and "another one took over; it was undone" in err
        assert service.workers() == workers
        left = {service.supervisor(), *masters(service), *workers}
        eventually(lambda: service.pids() == left, "what was booting has ended")
        entries = service.ask("history")["entries"]
        assert [(e["verb"], e["outcome"]) for e in entries[-2:]] == [("upgrade", "interrupted"), ("adopt", "done")]


@pytest.mark.parametrize("good", [True, False])
def test_killed_during_the_probation(tmp_path: Path, good: bool) -> None:
    """The new generation is judged on: committed, or back."""
    with (
        serving(tmp_path, upgrade={"probation": "2s", "check": "/healthz"}) as service,
        strictly(*service.addresses, serving=1, clients=12) as load,
    ):
        workers = service.workers()
        service.release("two")
        service.flip("two")
        load.begin(2)
        upgrade = service.begin_ctl("upgrade")
        eventually(lambda: service.phase() == "probation", "the probation begins")
        new = service.generation()
        service_pid = service.supervisor()
        os.kill(service_pid, signal.SIGKILL)
        service.killed = True
        eventually(lambda: service.phase() == "probation", "the probation goes on")
        if not good:
            os.kill(new["workers"][0]["pid"], signal.SIGSEGV)
        eventually(lambda: service.status()["service"]["operation"] is None, "it is over")
        out, err = upgrade.communicate(timeout=30)
        assert upgrade.returncode == (0 if good else 5), out + err
        if good:
            load.done(2)
            assert service.serving() == 2 and service.generation("standby")["generation"] == 1
        else:
            assert service.serving() == 1 and service.workers() == workers
            load.stop()
            load.final = {**load.stop(), "failed": 0}  # what the killed worker held is lost


def test_one_that_is_started_by_hand_adopts_too(tmp_path: Path) -> None:
    """The guard cannot start another one: the program is gone, say. The workers go on until somebody does."""
    with serving(tmp_path) as service, strictly(*service.addresses, serving=1, clients=12) as load:
        workers = service.workers()
        with stopped(masters(service)):
            os.kill(service.supervisor(), signal.SIGKILL)
            service.killed = True
            assert service.process is not None
            service.process.wait(10)
            load.wait(40)
            first = service.process
            service.start(wait=False)
            assert first is not service.process

        def adopted() -> bool:
            with contextlib.suppress(OSError):
                return service.workers() == workers
            return False

        eventually(adopted, "it has adopted")
        load.wait(40)


@contextlib.contextmanager
def stopped(pids: set[int]):  # type: ignore[no-untyped-def]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_one_that_hangs_is_ended_and_followed(tmp_path: Path) -> None:
    """Nobody else would: the master in service misses its word. It is in no hurry."""
    with impatiently(tmp_path) as service, strictly(*service.addresses, serving=1, clients=12) as load:
        workers, before = service.workers(), service.supervisor()
        os.kill(before, signal.SIGSTOP)
        service.killed = True
        assert service.process is not None
        assert service.process.wait(60) == -signal.SIGKILL

        def followed() -> bool:
            with contextlib.suppress(OSError):
                return service.supervisor() != before and service.status()["service"]["operation"] is None
            return False

        eventually(followed, "another one follows")
        load.wait(30)
        assert service.workers() == workers


def test_a_master_that_was_stopped_does_not_take_its_supervisor_for_hung(tmp_path: Path) -> None:
    """Its clock went on meanwhile, and the supervisor's word lies in the link."""
    with impatiently(tmp_path) as service:
        before = service.supervisor()
        with stopped(masters(service)):
            time.sleep(SHORT_SILENCE_S + SHORT_DOUBT_S + 1)  # the time itself is what matters
        service.do("reload")  # its master has turned
        assert service.supervisor() == before


def test_the_guard_is_killed_too(tmp_path: Path) -> None:
    """Supervisor and master at once: the workers go on for a while, then they leave; nothing is left for ever."""
    with serving(tmp_path) as service:
        workers = service.workers()
        guards = (*masters(service), service.supervisor())
        for number in (signal.SIGSTOP, signal.SIGKILL):  # at once: neither is to see the other one go
            for pid in guards:
                os.kill(pid, number)
        assert service.process is not None
        service.process.wait(10)
        assert service.who()["release"] == "one"
        assert all(alive(pid) for pid in workers)
        for pid in workers:
            psutil.Process(pid).terminate()  # as after their time
        eventually(lambda: not service.processes(), "nobody is left")
        service.unix.unlink(missing_ok=True)
        service.control_socket.unlink(missing_ok=True)
        for door in service.control_socket.parent.glob("gen-*.sock"):
            door.unlink()
