"""The file of the access log: opened by the supervisor, held by every worker; one that cannot be opened costs
nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from harness.service import Service, serving


def held(service: Service) -> list[set[str]]:
    """The logs that each worker has open."""
    return [
        {Path(name).name for name in service.descriptors(pid) if name.endswith(".access")} for pid in service.workers()
    ]


def test_a_reload_and_an_upgrade_bring_the_file_to_all_workers(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=2, log={"access": "one.access"}) as service:
        service.release("one")
        service.start()
        assert (tmp_path / "one.access").stat().st_mode & 0o777 == 0o640 & ~_umask()
        assert held(service) == [{"one.access"}] * 2
        service.configure(log={"access": "two.access"})
        service.do("reload")
        assert held(service) == [{"two.access"}] * 2
        service.configure(log={"access": "three.access"})
        service.do("upgrade")
        assert held(service) == [{"three.access"}] * 2
        assert not any(name.endswith(".access") for name in service.descriptors())  # the supervisor keeps none
        service.configure(log={"access": "off"})
        service.do("reload")
        assert held(service) == [set()] * 2


def test_a_file_that_cannot_be_opened_fails_the_change_and_nothing_else(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=1, log={"access": "one.access"}) as service:
        service.release("one")
        service.start()
        before = service.workers()
        service.configure(log={"access": "missing/two.access"})
        for verb in ("reload", "upgrade"):
            done = service.ctl(verb)
            assert done.returncode == 4, done
            assert (
                f"cannot open the access log {tmp_path}/missing/two.access: No such file or directory"
                in done.stdout + done.stderr
            )
            assert service.workers() == before
        service.configure(log={"access": "two.access"})
        service.do("reload")
        assert held(service) == [{"two.access"}]


def test_the_checks_of_the_supervisor_are_left_out(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"log": {"access": "one.access"}, "upgrade": {"check": "/release"}}
    with serving(tmp_path, start=False, workers=1, **settings) as service:
        service.release("one")
        service.start()
        service.do("upgrade")
        service.get("/release?mine")
        service.must("stop")
        lines = (tmp_path / "one.access").read_text().splitlines()
        assert [line.split()[6] for line in lines] == ["/release?mine"]


def _umask() -> int:
    mask = os.umask(0o22)
    os.umask(mask)
    return mask
