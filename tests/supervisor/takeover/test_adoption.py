"""Whom an adoption signals, and what it does about masters that do not answer."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from releve.instance import holders
from releve.supervisor.takeover import silent
from releve.supervisor.takeover.adoption import Adoption


def test_no_master_is_ended_while_its_supervisor_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the lock have been taken from that one all the same."""
    asked: list[str] = []

    def listening(path: str) -> int:
        asked.append(path)
        return 4242

    def nobody(*_: object) -> None:
        raise AssertionError("a master was looked for, to be ended")

    monkeypatch.setattr(holders, "listening", listening)
    monkeypatch.setattr(silent, "master_behind", nobody)
    nothing: Any = None  # neither the service nor its refusals are asked
    for urge in (signal.SIGCONT, signal.SIGKILL):
        assert not Adoption(nothing, nothing).urge(1, tmp_path / "gen-1.sock", urge)
    assert asked == [f"{tmp_path}/ctl.sock"] * 2
