"""Whom a file belongs to, and who else may write in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from releve.instance import ownership

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def open_to(folder: Path) -> str | None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        return ownership.open_to(fd, os.fstat(fd), str(folder))
    finally:
        os.close(fd)


def test_what_is_ours_or_roots_is_ours(tmp_path: Path) -> None:
    assert ownership.ours(os.stat("/")) and ownership.ours(tmp_path.stat())


def test_a_user_is_named_or_numbered() -> None:
    assert ownership.user(0) == "root (uid 0)"
    assert ownership.user(4_000_000_001) == "uid 4000000001"


@pytest.mark.parametrize(("mode", "open_to_all"), [(0o700, False), (0o755, False), (0o757, True), (0o1777, True)])
def test_a_folder_that_everybody_may_write_in(tmp_path: Path, mode: int, open_to_all: bool) -> None:
    tmp_path.chmod(mode)
    assert open_to(tmp_path) == (f"every user may write in {tmp_path}" if open_to_all else None)
    tmp_path.chmod(0o700)


@as_root
def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, -1)
    assert not ownership.ours(tmp_path.stat())
    assert open_to(tmp_path) == f"{tmp_path} belongs to nobody (uid 65534)"


@as_root
def test_what_root_shares_with_a_group_leads_root_nowhere(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    assert open_to(tmp_path) is None  # of root's own group
    os.chown(tmp_path, -1, 4_000_000_001)
    assert open_to(tmp_path) == f"members of gid 4000000001 may write in {tmp_path}"
    tmp_path.chmod(0o750)
    assert open_to(tmp_path) is None
