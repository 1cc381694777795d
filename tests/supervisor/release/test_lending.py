"""How a master is started: with the release's own server, or with ours."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import releve
import releve.config
import releve.server
from harness.pins import PIN
from releve.supervisor.release.lending import command


def test_a_release_that_has_a_server_runs_its_own() -> None:
    own = dataclasses.replace(PIN, python="/srv/shop/.venv/bin/python", lend=False)
    assert command(own, 7) == ["/srv/shop/.venv/bin/python", "-P", "-m", "releve.server", "--link", "7"]


def test_to_one_that_has_none_ours_is_lent_by_its_files() -> None:
    lent = dataclasses.replace(PIN, python="/srv/shop/.venv/bin/python", lend=True)
    server, config = (Path(str(one.__file__)).resolve().parent for one in (releve.server, releve.config))
    assert command(lent, 7) == [
        *("/srv/shop/.venv/bin/python", "-P", f"{server}/lend.py"),
        *("--config", str(config)),
        *("--version", releve.__version__),
        *("--link", "7"),
    ]
    assert (server / "lend.py").is_file() and (config / "settings" / "settings.py").is_file()
