"""A log that cannot be written: requests are answered, and the trouble is said where it can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.service import Service, eventually, serving

FULL = "/dev/full"  # whoever writes there finds the disk full: full(4)
WORDS = f"the log cannot be written ({FULL}), "


def lines_lost(service: Service) -> int:
    """As `ctl status` tells; 0: nothing is wrong."""
    told = [reason for reason in service.status()["service"]["degraded"] if reason.startswith(WORDS)]
    return int(told[0].removeprefix(WORDS).split()[0]) if told else 0


def test_a_full_disk_is_said_on_standard_error_and_by_status_and_doctor(tmp_path: Path) -> None:
    with serving(tmp_path, start=False) as service:
        service.configure(log={"file": FULL, "access": FULL})
        service.start()
        before = eventually(lambda: lines_lost(service), "status says it")
        for _ in range(20):
            service.who()
        eventually(lambda: lines_lost(service) >= before + 20, "the lines of the workers are counted")
        assert service.ctl("status").returncode == 8
        said: dict[str, Any] = json.loads(service.ctl("doctor", "--json").stdout)
        assert any(one["severity"] == "problem" and WORDS in one["text"] for one in said["findings"])
        assert service.log().count(f"ERROR pid={service.pid} {WORDS}") == 1  # the service's standard error
        service.must("upgrade")  # its outcome is not about the log
        service.configure(log={"file": str(tmp_path / "lines"), "access": str(tmp_path / "lines")})
        service.must("reload")
        eventually(lambda: not service.status()["service"]["degraded"], "it is over")
        service.who()
        assert service.log().count("the log is written again") == 1
