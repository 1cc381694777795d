"""What a generation is pinned to: where the directory leads, and as whom it runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.pins import pinned, refused


def test_the_directory_stays_literal_and_is_resolved_afresh_whatever_pwd_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in "12":
        (tmp_path / number).mkdir()
    (tmp_path / "current").symlink_to("1")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.delenv("PWD", raising=False)
    one = pinned(tmp_path / "current")
    os.unlink(tmp_path / "current")
    (tmp_path / "current").symlink_to("2")
    two = pinned(tmp_path / "current")
    assert (one.directory, one.resolved, one.environment["PWD"]) == (
        f"{tmp_path}/current",
        f"{tmp_path}/1",
        f"{tmp_path}/1",
    )
    assert (two.directory, two.resolved, two.environment["PWD"]) == (
        f"{tmp_path}/current",
        f"{tmp_path}/2",
        f"{tmp_path}/2",
    )


def test_a_directory_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "current").symlink_to("releases/9")
    (tmp_path / "loop").symlink_to("loop")
    assert refused(tmp_path / "gone") == (
        "directory",
        f"cannot use the directory {tmp_path}/gone: it does not exist; deploy the release, or change directory",
    )
    assert "it is a link to releases/9, which does not exist" in refused(tmp_path / "current")[1]
    assert "it is not a folder" in refused(tmp_path / "file")[1]
    assert "symbolic links" in refused(tmp_path / "loop")[1]
    assert "not an absolute path" in refused("here")[1]


def test_an_unknown_user_is_a_step_of_its_own(tmp_path: Path) -> None:
    step, reason = refused(tmp_path, user="no-such-user")
    assert (step, reason) == (
        "environment",
        "cannot run as no-such-user: there is no such user; create it, or change user",
    )
