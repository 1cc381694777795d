"""A snapshot of source files: which are in it, and what it says has changed."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

from releve.server.prefork import snapshot


def test_source_files_are_in_it_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a.py", "package/b.py", "package/__pycache__/c.py", ".git/d.py", "node_modules/e.py", "text.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "package")
    assert set(snapshot.take(str(tmp_path))) == {"a.py", "package/b.py"}


def test_what_differs_came_or_went_has_changed(tmp_path: Path) -> None:
    for name in ("same.py", "other.py", "gone.py", "replaced.py"):
        (tmp_path / name).write_text("")
    before = snapshot.take(str(tmp_path))
    (tmp_path / "other.py").write_text("x = 1\n")
    (tmp_path / "gone.py").unlink()
    (tmp_path / "new.py").write_text("")
    status = (tmp_path / "replaced.py").stat()
    (tmp_path / "as before").write_text("")
    os.utime(tmp_path / "as before", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "as before").rename(tmp_path / "replaced.py")  # another file, of the same size and time
    after = snapshot.take(str(tmp_path))
    assert snapshot.changed(before, after) == ["gone.py", "new.py", "other.py", "replaced.py"]
    assert snapshot.changed(after, after) == []


def test_the_nearest_files_come_first_where_there_are_too_many(tmp_path: Path) -> None:
    for name in ("z.py", "a/b.py", "a/a/c.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    with mock.patch.object(snapshot, "FILES_MAX", 2):
        assert set(snapshot.take(str(tmp_path))) == {"z.py", "a/b.py"}


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert snapshot.take(str(tmp_path / "nowhere")) == {}
