"""A booted box with Relève installed in it the way the units expect."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.box import Box, unavailable
from harness.site import APP, Site

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
UNITS = ROOT / "systemd"
COMMANDS = {"releve": "releve.supervisor.cli", "ctl": "releve.ctl.main"}


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A booted box with the commands in ``/opt/releve/bin`` and the units installed as they are."""
    if reason := unavailable():
        pytest.skip(f"a box: {reason}")
    shared = tmp_path_factory.mktemp("box")
    shared.chmod(0o755)
    made = Box(f"{os.getpid()}", shared)
    wanted = {shared, ROOT, Path(sys.prefix), Path(sys.base_prefix)}
    paths = sorted(path for path in wanted if not path.is_relative_to("/usr"))
    made.outside("up", *(word for path in paths for word in ("--bind", str(path))))
    try:
        for command, module in COMMANDS.items():
            code = f"import sys; sys.argv[0] = '/opt/releve/bin/{command}'; from {module} import main; sys.exit(main())"
            made.write(f"/opt/releve/bin/{command}", f'#!/bin/sh\nexec {sys.executable} -P -c "{code}" "$@"\n', 0o755)
        for unit in UNITS.iterdir():
            made.write(f"/etc/systemd/system/{unit.name}", unit.read_text())
        made.must("systemctl", "daemon-reload")
        yield made
    finally:
        made.outside("down")


FOLDERS = (f"site{number}" for number in itertools.count(1))  # short: a Unix socket's path takes 107 bytes


@pytest.fixture
def site(box: Box) -> Iterator[Site]:
    """``releve.service`` with release "one" on disk, not started."""
    folder = box.shared / next(FOLDERS)
    folder.mkdir()
    made = Site(box, "releve.service", folder)
    made.configure("releve")
    made.release(APP.format(release="one"))
    yield made
    box.run("systemctl", "stop", "releve.socket")
    box.run("systemctl", "stop", made.unit)
    box.run("systemctl", "reset-failed", made.unit)
    assert box.processes() == []
