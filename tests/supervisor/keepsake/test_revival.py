"""How a supervisor is started again, and how that one knows where the old one lived."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from releve.server.shared.revive import REVIVED
from releve.supervisor.keepsake import revival
from releve.supervisor.keepsake.revival import Folders


@pytest.mark.parametrize("group", [None, "ops"])
def test_whoever_is_started_by_it_finds_the_same_folders(group: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "1")
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv(REVIVED, "of the one before")
    lives = Folders(Path("/run/shop"), Path("/var/lib/shop"), group)
    told = revival.command(lives)
    assert revival.folders(told["environment"]) == lives
    assert told["environment"]["SHOP"] == "1" and "LISTEN_PID" not in told["environment"]
    json.dumps(told)  # it goes into a memory file


@pytest.mark.parametrize("said", ["", "{", "[]", "3", '{"runtime": "/run/shop"}', '{"runtime": 3, "state": "/"}'])
def test_one_that_no_guard_has_started_has_its_own(said: str) -> None:
    assert revival.folders({REVIVED: said}) is None
    assert revival.folders({}) is None
