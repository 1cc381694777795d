"""The file in which systemd reads who starts another supervisor."""

from __future__ import annotations

import os
from pathlib import Path

from releve.supervisor.systemd.guardfile import GuardFile


def test_it_names_the_guard_and_is_made_again_where_it_has_gone(tmp_path: Path) -> None:
    file, path = GuardFile(tmp_path, True), tmp_path / "guard.pid"
    assert not file.renew() and not path.exists(), "nobody has been named yet"
    file.name(4242)
    assert path.read_text() == "4242\n" and path.stat().st_mode & 0o777 == 0o644 and not file.renew()
    path.unlink()
    assert file.renew() and path.read_text() == "4242\n"
    file.stand_in()
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()
    assert not path.exists() and not file.renew()


def test_without_systemd_nothing_is_written(tmp_path: Path) -> None:
    file = GuardFile(tmp_path, False)
    file.name(4242)
    file.stand_in()
    assert not file.renew() and not list(tmp_path.iterdir())
    file.remove()


def test_a_folder_that_cannot_be_written_to_stops_nothing(tmp_path: Path) -> None:
    GuardFile(tmp_path / "gone", True).name(4242)
