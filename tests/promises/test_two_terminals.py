"""Promise: of several who command at once, the first one wins, and every other one is told who won."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.customized import customize
from harness.service import APPLICATION, Service, eventually, serving
from releve.supervisor.service.states import ServiceState
from releve.supervisor.verbs.admission import Admission
from releve.supervisor.verbs.verbs import VERBS

UNDER_WAY = re.compile(r"cannot \w+: (?P<verb>\w+) \d+ by \S+ \(pid (?P<pid>\d+)\) is under way")


def outcome(ctl: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = ctl.communicate(timeout=60)
    return ctl.returncode, out + err


def test_five_upgrades_at_once(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    with serving(tmp_path) as service:
        source = (service.releases / "one" / "app.py").read_text()
        wait = (
            f"import os, time\nwhile os.path.exists({str(gate)!r}):\n    time.sleep(0.02)\nfrom before "
            "import application\n"
        )
        service.release("two", before=source, app=wait)
        service.flip("two")
        ctls = [service.begin_ctl("upgrade") for _ in range(5)]
        eventually(lambda: sum(ctl.poll() is None for ctl in ctls) == 1, "all but one have been told")
        winner = next(ctl for ctl in ctls if ctl.poll() is None)
        gate.unlink()
        assert outcome(winner)[0] == 0
        for ctl in ctls:
            if ctl is not winner:
                status, said = outcome(ctl)
                found = UNDER_WAY.search(said)
                assert status == 7 and found, said
                assert (found["verb"], int(found["pid"])) == ("upgrade", winner.pid)
        assert service.who()["release"] == "two"


def test_a_stop_goes_before_everything(tmp_path: Path) -> None:
    """The operation under way ends, and its ctl says so; who comes later is told that the service is being stopped."""
    gate = tmp_path / "gate"
    gate.touch()
    with serving(tmp_path) as service:
        source = (service.releases / "one" / "app.py").read_text()
        wait = (
            f"import os, time\nwhile os.path.exists({str(gate)!r}):\n    time.sleep(0.02)\nfrom before "
            "import application\n"
        )
        service.release("two", before=source, app=wait)
        service.flip("two")
        upgrade = service.begin_ctl("upgrade")
        eventually(lambda: (service.status()["service"]["operation"] or {}).get("phase") == "boot", "the upgrade boots")
        stops = [service.begin_ctl("stop") for _ in range(2)]
        status, said = outcome(upgrade)
        assert status == 4 and "the service is stopping" in said
        told = [outcome(stop) for stop in stops]
        assert all(status in (0, 3) for status, _ in told), told
        assert service.process is not None and service.process.wait(30) == 0


ARGUMENTS: dict[str, dict[str, Any]] = {"scale": {"workers": 3}}
STATES = [ServiceState.OPERATING, ServiceState.TRIAL, ServiceState.RECOVERING, ServiceState.STOPPING]


def hold(service: Service, release: str, gate: Path) -> None:
    """A release whose import waits while there is a gate."""
    wait = (
        f"import os, time\nwhile os.path.exists({str(gate)!r}):\n    time.sleep(0.02)\nfrom before import application\n"
    )
    service.release(release, before=APPLICATION.read_text(), app=wait)
    service.flip(release)


def bring_to(service: Service, state: ServiceState, gate: Path) -> re.Pattern[str]:
    """Have something under way; how its winner is named."""
    if state is ServiceState.RECOVERING:
        gate.touch()
        hold(service, "one", gate)
        os.kill(service.generation()["pid"], signal.SIGKILL)
        eventually(lambda: service.phase() == "boot", "a successor boots")
        return re.compile(r"recover \d+ by supervisor is under way")
    if state is ServiceState.STOPPING:
        gate.touch()
        threading.Thread(target=lambda: service.get(f"/held?while={gate}"), daemon=True).start()
        eventually(lambda: sum(w["busy"] for w in service.generation()["workers"]), "a request is in flight")
        stop = service.begin_ctl("stop")
        eventually(lambda: service.phase() == "drain", "it is being stopped")
        return re.compile(rf"stop \d+ by \S+ \(pid {stop.pid}\) is under way")
    if state is ServiceState.OPERATING:
        gate.touch()
    hold(service, "two", gate)
    upgrade = service.begin_ctl("upgrade")
    eventually(
        lambda: service.phase() == ("boot" if state is ServiceState.OPERATING else "probation"),
        "the upgrade has come there",
    )
    return re.compile(rf"upgrade \d+ by \S+ \(pid {upgrade.pid}\) is under way")


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.value)
def test_whoever_is_refused_is_told_who_won(tmp_path: Path, state: ServiceState) -> None:
    """Every verb that the table of docs/verbs.md refuses, in each state that has somebody to win."""
    gate = tmp_path / "gate"
    with serving(tmp_path, upgrade={"probation": "60s"}) as service:
        winner = bring_to(service, state, gate)
        before = service.status()["generations"]
        for verb, row in VERBS.items():
            if row.when[state] in (Admission.BUSY, Admission.NOTHING):
                answer = service.ask(verb, **ARGUMENTS.get(verb, {}))
                assert answer["status"] == row.when[state].status, answer
                if row.when[state] is Admission.BUSY:
                    assert winner.search(answer["message"]), answer
        now = service.status()["generations"]
        assert [(g["generation"], g["state"]) for g in now] == [(g["generation"], g["state"]) for g in before]
        gate.unlink(missing_ok=True)


def test_two_who_end_the_same_operation(tmp_path: Path) -> None:
    """Both get what they want, and the upgrade's own command says who ended it."""
    gate = tmp_path / "gate"
    gate.touch()
    with serving(tmp_path) as service:
        hold(service, "two", gate)
        upgrade = service.begin_ctl("upgrade")
        eventually(lambda: service.phase() == "boot", "the upgrade boots")
        aborts = [service.begin_ctl("abort") for _ in range(2)]
        status, said = outcome(upgrade)
        found = re.search(r"aborted by \S+ \(pid (\d+)\)", said)
        assert status == 4 and found, said
        for abort in aborts:
            status, said = outcome(abort)
            # Who comes when it is over has nothing to end.
            assert status == 0 or (
                status == 2 and "no operation is under way" in said and abort.pid != int(found[1])
            ), said
        assert service.who()["release"] == "one"


def test_two_who_go_before_a_recovery(tmp_path: Path) -> None:
    """A successor that does not boot is given up for either; the first one upgrades, and the other one is told so."""
    gate = tmp_path / "gate"
    with serving(tmp_path, start=False) as service:
        # how long either waits for it
        customize(service, "from releve.supervisor.verbs import verbs; verbs.FOLLOW_S = 3.0")
        service.start()
        bring_to(service, ServiceState.RECOVERING, gate)
        second = tmp_path / "second"
        second.touch()
        hold(service, "two", second)
        upgrades = [service.begin_ctl("upgrade") for _ in range(2)]
        eventually(lambda: sum(upgrade.poll() is None for upgrade in upgrades) == 1, "one of them has been told")
        second.unlink()
        said = {upgrade.pid: outcome(upgrade) for upgrade in upgrades}
        assert sorted(status for status, _ in said.values()) == [0, 7], said
        winner = next(pid for pid, (status, _) in said.items() if status == 0)
        loser = next(text for status, text in said.values() if status == 7)
        assert f"(pid {winner}) is under way" in loser
        assert [e["outcome"] for e in service.ask("history")["entries"] if e["verb"] == "recover"] == ["aborted"]
        assert service.who()["release"] == "two"
        gate.unlink()
