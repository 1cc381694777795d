"""What systemd is asked about the unit."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from releve.supervisor.systemd import systemctl

LISTED = """\
42 releve.service     restart running
43 releve@shop.service stop running
50 other.service start waiting
"""


@pytest.mark.parametrize(
    ("unit", "job"),
    [("releve.service", "restart"), ("releve@shop.service", "stop"), ("releve@.service", None), ("service", None)],
)
def test_the_job_of_a_unit(unit: str, job: str | None) -> None:
    assert systemctl.job_of(unit, LISTED) == job
    assert systemctl.job_of(unit, "") is None


@pytest.mark.parametrize(
    ("group", "name", "of_user"),
    [
        ("0::/system.slice/shop.service", "shop.service", False),
        ("0::/user.slice/user-7.slice/user@7.service/app.slice/shop.service", "shop.service", True),
        ("0::/system.slice/shop.service/below", "shop.service", False),
        ("0::/user.slice/session-2.scope", None, False),
    ],
)
def test_the_unit_is_the_innermost(
    monkeypatch: pytest.MonkeyPatch, group: str, name: str | None, of_user: bool
) -> None:
    monkeypatch.setattr(systemctl, "_group", lambda: f"{group}\n")
    assert systemctl.unit_name({"INVOCATION_ID": "1"}) == name
    assert systemctl.unit_name({}) is None
    assert systemctl.of_user() is of_user


def systemd(folder: Path, text: str) -> dict[str, str]:
    """An environment with a ``systemctl`` that runs this."""
    program = folder / "systemctl"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "INVOCATION_ID": "1"}


@pytest.mark.parametrize(
    ("job", "kept", "final"),
    [
        ("stop", "", True),  # of systemd 252
        ("stop", "FileDescriptorStorePreserve=restart", True),
        ("stop", "FileDescriptorStorePreserve=yes", False),
        ("restart", "", False),
        ("", "", False),
    ],
)
def test_whether_a_stop_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str, kept: str, final: bool
) -> None:
    monkeypatch.setattr(systemctl, "_group", lambda: "0::/system.slice/releve.service\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    jobs = f"echo 42 releve.service {job} running" if job else ":"
    environ = systemd(
        tmp_path, f'case "$*" in list-jobs*) {jobs};; show*releve.service) echo "{kept}";; *) exit 1;; esac'
    )
    assert asyncio.run(systemctl.stops_for_good(environ)) is final


@pytest.mark.parametrize("text", ["exit 1", "kill -9 $$", "sleep 600"])
def test_who_cannot_be_asked_may_be_restarting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(systemctl, "_group", lambda: "0::/user.slice/user@1000.service/app.slice/releve.service\n")
    monkeypatch.setattr(systemctl, "JOBS_S", 0.2)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert asyncio.run(systemctl.stops_for_good(systemd(tmp_path, text))) is False


def test_outside_of_systemd_nobody_is_asked() -> None:
    assert asyncio.run(systemctl.stops_for_good({})) is False
