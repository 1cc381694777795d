"""Promise: of several who command at once, the first one wins, and every other one is told who won."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from harness.service import eventually, serving

UNDER_WAY = re.compile(r"cannot \w+: (?P<verb>\w+) \d+ by \S+ \(pid (?P<pid>\d+)\) is under way")


def outcome(ctl: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = ctl.communicate(timeout=60)
    return ctl.returncode, out + err


def test_five_upgrades_at_once(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    with serving(tmp_path) as service:
        source = (service.releases / "one" / "app.py").read_text()
        wait = f"import os, time\nwhile os.path.exists({str(gate)!r}):\n    time.sleep(0.02)\nfrom before import application\n"
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
        wait = f"import os, time\nwhile os.path.exists({str(gate)!r}):\n    time.sleep(0.02)\nfrom before import application\n"
        service.release("two", before=source, app=wait)
        service.flip("two")
        upgrade = service.begin_ctl("upgrade")
        eventually(lambda: (service.status()["service"]["operation"] or {}).get("phase") == "boot", "the upgrade boots")
        stops = [service.begin_ctl("stop") for _ in range(2)]
        status, said = outcome(upgrade)
        assert status == 4 and "the service is being stopped" in said
        assert all(outcome(stop)[0] in (0, 3) for stop in stops)
        assert service.process is not None and service.process.wait(30) == 0
