"""A record is one that only the supervisor's own user can have written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.keepsakes import kept
from releve.supervisor.keepsake import keepsake, record
from releve.supervisor.keepsake.record import RecordError


def test_a_record_says_what_was_written(tmp_path: Path) -> None:
    path = record.beside(tmp_path / "gen-3.sock")
    assert record.read(path) is None
    record.write(path, keepsake.record(kept()))
    written = record.read(path)
    assert written is not None and keepsake.understand(written) == kept()
    assert os.stat(path).st_mode & 0o777 == 0o600
    record.write(path, keepsake.record(kept(revision=4)))
    assert [one.name for one in tmp_path.iterdir()] == ["gen-3.json"]


@pytest.mark.parametrize("damage", ["mode", "link", "name", "kind", "owner", "folder"])
def test_one_that_somebody_else_may_have_written_is_not_believed(tmp_path: Path, damage: str) -> None:
    if damage == "owner" and os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = tmp_path / "gen-3.json"
    record.write(path, b"{}")
    match damage:
        case "mode":
            path.chmod(0o620)
        case "link":
            path.rename(tmp_path / "other")
            path.symlink_to(tmp_path / "other")
            tmp_path.chmod(0o1777)
        case "name":
            os.link(path, tmp_path / "other")
        case "kind":
            path.unlink()
            os.mkfifo(path, 0o600)
        case "owner":
            os.chown(path, 65534, 65534)
        case _:
            tmp_path.chmod(0o777)
    with pytest.raises(RecordError):
        record.read(path)


def test_records_of_nobody_are_swept_away(tmp_path: Path) -> None:
    for name in ("gen-1.json", "gen-2.json", ".gen-2.json.77", "gen-3.sock", "instance.json"):
        (tmp_path / name).touch()
    record.sweep(tmp_path, {2})
    assert {one.name for one in tmp_path.iterdir()} == {"gen-2.json", "gen-3.sock", "instance.json"}
