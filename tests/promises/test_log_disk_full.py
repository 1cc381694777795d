"""A log that cannot be written: requests are answered, and the trouble is said where it can be read."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.service import Service, eventually, serving
from releve.supervisor.condition.log_health import LEFT

FULL = "/dev/full"  # whoever writes there finds the disk full: full(4)
WORDS = "the log cannot be written ({}), "


def lines_lost(service: Service, places: str = FULL) -> int:
    """As `ctl status` tells; 0: nothing is wrong."""
    words = WORDS.format(places)
    told = [reason for reason in service.status()["service"]["degraded"] if reason.startswith(words)]
    return int(told[0].removeprefix(words).split()[0]) if told else 0


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"nothing may be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


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
        assert any(one["severity"] == "problem" and WORDS.format(FULL) in one["text"] for one in said["findings"])
        assert service.log().count(f"ERROR pid={service.pid} {WORDS.format(FULL)}") == 1  # the service's standard error
        service.must("upgrade")  # its outcome is not about the log
        service.configure(log={"file": str(tmp_path / "lines"), "access": str(tmp_path / "lines")})
        service.must("reload")
        eventually(lambda: not service.status()["service"]["degraded"], "it is over")
        service.who()
        assert service.log().count("the log can be written again") == 1


def test_workers_that_have_ended_prove_nothing_about_the_disk(tmp_path: Path) -> None:
    """Those that come after them have not tried yet: it is not said that the log can be written again."""
    with serving(tmp_path, start=False) as service:
        places = f"{tmp_path / 'lines'}, {FULL}"
        service.configure(
            log={"file": str(tmp_path / "lines"), "access": FULL}, upgrade={"standby": "off", "probation": "off"}
        )
        service.start()
        for _ in range(5):
            service.who()
        eventually(lambda: lines_lost(service, places), "the lines of the workers are counted")
        service.must("upgrade")
        eventually(lambda: "it is not known yet if the others can" in service.log(), "it is said what is known")
        assert "the log can be written again" not in service.log()
        assert service.status()["service"]["degraded"] == [LEFT]
        service.who()
        eventually(lambda: lines_lost(service, places), "the new ones lose theirs too")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_what_was_lost_is_counted_over_an_upgrade_and_is_over_once_there_is_room(tmp_path: Path) -> None:
    """Also where nobody has anything to write then: no request, no event."""
    with serving(tmp_path, start=False) as service, small_disk(tmp_path / "small") as disk:
        place = f"{disk}/log"  # one file: the last page of another may have some room left
        service.configure(log={"file": place, "access": place})
        service.start()
        (disk / "filler").write_bytes(bytes(60_000))
        with contextlib.suppress(OSError), open(disk / "filler", "ab", buffering=0) as filler:
            while True:
                filler.write(bytes(1024))
        while not lines_lost(service, place):
            for _ in range(20):
                service.who()
        service.must("upgrade")
        before = lines_lost(service, place)
        for _ in range(20):
            service.who()
        service.must("upgrade")  # whose lines are lost all the same
        assert lines_lost(service, place) >= before + 20
        (disk / "filler").unlink()
        eventually(lambda: not service.status()["service"]["degraded"], "it is over")
        assert service.log().count("the log can be written again") == 1
        assert " lines were lost: the log could not be written" in Path(place).read_text()
