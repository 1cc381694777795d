"""Promise: masters and whole generations may die at any moment of an upgrade, and its outcome is true all the same.

Generated: every moment, by every death. The releases note their pids; the hooks and the application itself strike, each
at its moment, so that nothing is left to the clock. Each time: the exit status says what has happened, the history says
the same, exactly one generation is in service in the end, and where only masters died no request is lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.doomed import DEATHS, doomed, in_service, judge
from harness.load import Load
from harness.service import Service, eventually, serving

MOMENTS = ("before", "boot", "check", "settle", "after_ready", "after_switch", "after_commit")

# `make test` meets each moment once, and by that each death; `make soak` all of them.
CASES = [
    pytest.param(
        moment, death, id=f"{moment}-{death}", marks=() if (row + column) % len(DEATHS) == 1 else [pytest.mark.soak]
    )
    for row, moment in enumerate(MOMENTS)
    for column, death in enumerate(DEATHS)
    if not (death.startswith("new") and moment == "before")  # there is no new one yet
]


@pytest.mark.parametrize(("moment", "death"), CASES)
def test_a_death_in_an_upgrade(tmp_path: Path, moment: str, death: str) -> None:
    dies(tmp_path, moment, death)


@pytest.mark.parametrize(
    "death", [death if death == "old-whole" else pytest.param(death, marks=pytest.mark.soak) for death in DEATHS]
)
def test_a_death_beside_a_canary(tmp_path: Path, death: str) -> None:
    """When the first request has come to the new generation."""
    dies(tmp_path, "request", death, canary={"share": "50%", "for": "1s"})


@pytest.mark.parametrize(
    "death", [death if death == "old-master" else pytest.param(death, marks=pytest.mark.soak) for death in DEATHS]
)
def test_a_death_in_a_rolling_switch(tmp_path: Path, death: str) -> None:
    """When one old worker has left, and the second new one comes."""
    dies(tmp_path, "second", death, mode="rolling")


def dies(tmp_path: Path, moment: str, death: str, **upgrade: Any) -> None:
    with doomed(tmp_path, death, **upgrade) as service:
        load = Load(*service.addresses, serving=1, clients=6, think=1.0, think_mean=0.05, patience=30, unordered=True)
        try:
            load.wait(20)
            for generation in range(2, 6):
                load.begin(generation)
            (tmp_path / "plan").write_text(moment)
            ctl = service.begin_ctl("upgrade", "--json")
            out, err = ctl.communicate(timeout=60)
            assert not (tmp_path / "plan").exists(), "it has struck"
            judge(service, ctl.returncode, out + err)
            load.wait(50)
            report = load.stop()
            assert "refused" not in report["kinds"], report["failures"]
            if death.endswith(("master", "masters")):
                assert report["failed"] == 0, report["failures"]
        finally:
            load.kill()


@pytest.mark.parametrize("verb", ["upgrade", "dry run"])
def test_the_new_master_dies_while_the_upgrade_settles(tmp_path: Path, verb: str) -> None:
    with doomed(tmp_path, "new-master") as service:
        (tmp_path / "plan").write_text("settle")
        result = service.ask("upgrade", dry_run=verb == "dry run")
        assert result["status"] == 4 and result["step"] == "check", result
        assert "the master of generation 2 was killed by SIGKILL right after it was ready" in result["reason"]
        assert service.who()["release"] == "one" and service.serving() == 1


def test_the_old_generation_dies_in_its_pause(tmp_path: Path) -> None:
    """Its workers are stopped, so that the pause takes its time. What was to be done is done: the new one serves."""
    with doomed(tmp_path, "old-whole") as service:
        old = service.generation()
        for pid in service.workers():
            os.kill(pid, signal.SIGSTOP)
        ctl = service.begin_ctl("upgrade", "--json")
        eventually(
            lambda: any(g["generation"] == 2 and g["state"] == "serving" for g in service.status()["generations"]),
            "the new one serves",
        )
        assert service.phase() == "switch"
        for pid in (old["pid"], *(worker["pid"] for worker in old["workers"])):
            os.kill(pid, signal.SIGKILL)
        out, err = ctl.communicate(timeout=60)
        assert ctl.returncode == 0, out + err
        judge(service, ctl.returncode, out + err)
        assert any("generation 1 exited" in note for note in json.loads(out)["notes"])


def test_a_new_generation_with_nothing_to_go_back_to_stays(tmp_path: Path) -> None:
    """It breaks a rule of its probation when the old one has ended: somebody serves, and the exit status says what."""
    with doomed(tmp_path, "old-whole", probation="60s") as service:
        (tmp_path / "plan").write_text("after_switch")
        ctl = service.begin_ctl("upgrade", "--json")
        eventually(
            lambda: [g["generation"] for g in service.status()["generations"]] == [2], "only the new one is left"
        )
        aborted = service.ask("abort")
        assert aborted["status"] == 8 and "could not go back" in aborted["message"], aborted
        out, err = ctl.communicate(timeout=60)
        assert ctl.returncode == 8 and "generation 1 exited" in json.loads(out)["message"], out + err
        judge(service, ctl.returncode, out + err)


# ---------------------------------------------------------------- a rollback


def at_resume(root: Path, *commands: str) -> dict[str, str]:
    """Hooks by which the workers of generation 1 run a command once, in the middle of a rollback, and wait for
    its end.
    """
    text = f"""
import os, subprocess
def resume():
    if os.environ["RELEVE_GENERATION"] == "1":
        subprocess.run(["/bin/sh", "-c", {"; ".join(commands)!r}])
"""
    (root / "turns.py").write_text(text)
    return {"on_resume": "turns:resume"}


@contextlib.contextmanager
def going_back(root: Path, *commands: str, **upgrade: Any) -> Iterator[Service]:
    """A service with a generation 2 in service, and a generation 1 that stands by and does something when it
    resumes.
    """
    hooks = at_resume(root, *commands)
    with serving(root, start=False, hooks=hooks, upgrade=upgrade, log={"access": "off"}) as service:
        for name in ("one", "two"):
            service.release(name, turns=(root / "turns.py").read_text())
        service.start()
        service.flip("two")
        service.do("upgrade")
        yield service


def test_the_master_of_what_stands_by_dies_in_a_rollback(tmp_path: Path) -> None:
    """It is not sent away meanwhile: its workers serve, and it is followed by another one of its release."""
    with going_back(tmp_path, f"kill -9 $(cat {tmp_path}/master)") as service:
        (tmp_path / "master").write_text(str(service.generation("standby")["pid"]))
        result = service.ask("rollback")
        assert result["status"] in (0, 8), result
        service.wait_for(3)
        assert service.who()["release"] == "one"
        assert "unexpected error" not in service.log()


def test_all_of_what_stands_by_dies_in_a_rollback(tmp_path: Path) -> None:
    with going_back(tmp_path, f"kill -9 $(cat {tmp_path}/all)") as service:
        standby = service.generation("standby")
        (tmp_path / "all").write_text(
            " ".join(str(pid) for pid in (standby["pid"], *(one["pid"] for one in standby["workers"])))
        )
        result = service.ask("rollback")
        assert result["status"] == 4, result
        assert service.who()["release"] == "two" and service.serving() == 2
        assert [g["generation"] for g in service.status()["generations"]] == [2]


def test_the_time_of_what_stands_by_ends_in_a_rollback(tmp_path: Path) -> None:
    """Its workers take longer to resume than it was to stand by."""
    with going_back(tmp_path, "sleep 3", standby="2s") as service:
        result = service.ask("rollback")
        assert result["status"] == 0, result
        assert service.who()["release"] == "one" and service.serving() == 1
        service.settled()
        assert service.serving() == 1


# ---------------------------------------------------------------- a recovery


def test_what_stands_by_stays_beside_a_recovery(tmp_path: Path) -> None:
    """It is of another release, to which one may want to go back, and meanwhile its master can start another
    supervisor.
    """
    with serving(tmp_path, log={"access": "off"}) as service:
        service.release("two")
        service.flip("two")
        service.do("upgrade")
        os.kill(service.generation()["pid"], signal.SIGKILL)
        service.wait_for(3)
        assert service.generation("standby")["generation"] == 1
        service.do("rollback")
        assert service.who()["release"] == "one" and service.serving() == 1


def test_a_dry_run_does_not_interrupt_a_recovery(tmp_path: Path) -> None:
    """Nor does it hold one up: it gives way."""
    gate = tmp_path / "gate"
    with serving(tmp_path, log={"access": "off"}) as service:
        source = (service.releases / "one" / "app.py").read_text()
        waits = (
            f"import os, time\nwhile os.path.exists({str(gate)!r}): time.sleep(0.02)\nfrom before import application\n"
        )
        for name in ("one", "two"):
            service.release(name, before=source, app=waits)
        service.flip("two")
        gate.touch()
        rehearsal = service.begin_ctl("upgrade", "--dry-run")
        eventually(lambda: service.phase() == "boot", "the dry run boots")
        os.kill(service.generation()["pid"], signal.SIGKILL)
        _, err = rehearsal.communicate(timeout=60)
        assert rehearsal.returncode == 4 and "its successor starts first" in err, err
        eventually(lambda: (service.status()["service"]["operation"] or {}).get("verb") == "recover", "it is recovered")
        refused = service.ask("upgrade", dry_run=True)
        assert refused["status"] == 7 and "recover" in refused["message"], refused
        gate.unlink()
        eventually(lambda: in_service(service), "the successor serves")
        assert service.who()["release"] == "one"
        recoveries = [one["outcome"] for one in service.ask("history")["entries"] if one["verb"] == "recover"]
        assert recoveries == ["done"]


def test_what_stood_by_is_the_second_guard(tmp_path: Path) -> None:
    """The master in service and the supervisor are killed at once: the master that stands by starts another, and it is
    said what serves.
    """
    with serving(tmp_path, log={"access": "off"}) as service:
        service.release("two")
        service.flip("two")
        service.do("upgrade")
        master, left = service.generation()["pid"], service.workers()
        os.kill(service.pid, signal.SIGSTOP)  # so that it does not see the master go
        os.kill(master, signal.SIGKILL)
        service.kill_supervisor()
        assert service.who()["release"] in ("one", "two")  # the workers that are left serve for a while beside it
        status = service.status()
        assert [g["generation"] for g in status["generations"] if g["state"] == "serving"] == [1]
        assert status["status"] == 8 and "was on standby and is serving" in status["service"]["degraded"][0]
        service.do("upgrade")
        assert service.status()["status"] == 0
        for pid in left:  # they would serve for half a minute
            os.kill(pid, signal.SIGKILL)


def test_an_upgrade_waits_for_a_recovery(tmp_path: Path) -> None:
    """Until somebody else could start another supervisor; should the upgrade fail, it would take all the longer."""
    gate = tmp_path / "gate"
    with serving(tmp_path, log={"access": "off"}) as service:
        source = (service.releases / "one" / "app.py").read_text()
        waits = (
            f"import os, time\nwhile os.path.exists({str(gate)!r}): time.sleep(0.02)\nfrom before import application\n"
        )
        service.release("one", before=source, app=waits)
        service.release("two")
        service.flip("two")
        gate.touch()
        os.kill(service.generation()["pid"], signal.SIGKILL)
        eventually(lambda: service.phase() == "boot", "the recovery boots")
        ctl = service.begin_ctl("upgrade")
        eventually(lambda: "waits for recover 2" in service.log(), "the upgrade waits")
        gate.unlink()
        out, err = ctl.communicate(timeout=60)
        assert ctl.returncode == 0, out + err
        assert [(one["verb"], one["outcome"]) for one in service.ask("history")["entries"]] == [
            ("start", "done"),
            ("recover", "done"),
            ("upgrade", "done"),
        ]
        assert service.who()["release"] == "two"


# ---------------------------------------------------------------- a reload


@pytest.mark.parametrize("whole", [False, True], ids=["master", "whole"])
def test_a_death_in_a_reload(tmp_path: Path, whole: bool) -> None:
    """Nothing is left of the workers that were only prepared."""
    with doomed(tmp_path, "old-whole" if whole else "old-master") as service:
        before = service.workers()
        (tmp_path / "plan").write_text("settle")
        result = service.ask("reload")
        assert result["status"] == 4, result
        service.wait_for(2)
        assert service.who()["release"] == "one" and not service.workers() & before
        assert "unexpected error" not in service.log()
        eventually(lambda: len(service.processes()) == 4, "supervisor, master and two workers are left")


def test_a_successor_has_the_settings_of_the_last_reload(tmp_path: Path) -> None:
    with serving(tmp_path, log={"access": "off"}) as service:
        service.configure(readiness="/ready")
        service.do("reload")
        assert service.get("/ready") == b"ready\n"
        os.kill(service.generation()["pid"], signal.SIGKILL)
        service.wait_for(2)
        assert service.get("/ready") == b"ready\n"


# ---------------------------------------------------------------- deadlines


def test_a_stop_gives_a_retiring_generation_no_more_time(tmp_path: Path) -> None:
    """Of its own deadline and that of the stop, the earlier one holds: its worker has a request, and is stopped."""
    stuck = tmp_path / "stuck"
    hooks = {"after_commit": f"[ ! -e {stuck} ] || kill -STOP $(cat {stuck})"}
    upgrade, timeouts = {"standby": "off", "retire": "1s"}, {"drain": "60s"}
    with serving(tmp_path, hooks=hooks, upgrade=upgrade, timeouts=timeouts, workers=1) as service:
        stuck.write_text(str(min(service.workers())))
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(b"GET /slow?s=60 HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(lambda: any(one["busy"] for one in service.ask("workers")["workers"]), "the application has it")
            service.do("upgrade")
            assert service.generation("retiring")["generation"] == 1
            began = time.monotonic()
            service.stop()
            assert time.monotonic() - began < 40.0  # 1 s, and the margin for its end
