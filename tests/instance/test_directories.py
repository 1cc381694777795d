"""Runtime and state directories: made, or refused for what somebody else could do there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from releve.instance import directories
from releve.instance.instances import InstanceError, Places

UID = os.geteuid()


def test_a_runtime_directory_has_its_mode_whatever_it_was(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "run"
    access = directories.Access(0o711)
    umask = os.umask(0o077)
    try:
        directories.prepare(directory, UID, access)
    finally:
        os.umask(umask)
    assert directory.stat().st_mode & 0o777 == 0o711
    directory.chmod(0o755)  # as systemd makes it
    directories.prepare(directory, UID, access)
    assert directory.stat().st_mode & 0o777 == 0o711
    (directory / "theirs").touch()
    directory.chmod(0o755)  # now it may be anybody's, as /run is
    directories.prepare(directory, UID, access)
    assert directory.stat().st_mode & 0o777 == 0o755
    (directory / "lock").touch()
    directories.prepare(directory, UID, access)
    assert directory.stat().st_mode & 0o777 == 0o711


def test_a_runtime_directory_of_a_control_group(tmp_path: Path) -> None:
    group = os.getegid()
    directory = tmp_path / "run"
    directories.prepare(directory, UID, directories.Access(0o711, group + 1))
    seen = directory.stat()
    assert (seen.st_mode & 0o777, seen.st_gid) == (0o711, group)  # as systemd wants it
    (directory / "theirs").touch()
    directory.chmod(0o700)
    with pytest.raises(
        InstanceError, match=f"members of control_group may not enter it, .*chgrp {group} and chmod g\\+x it"
    ):
        directories.prepare(directory, UID, directories.Access(0o711, group))
    tmp_path.chmod(0o700)
    assert directories.blocked(directory, 4242) is not None


def test_prepare_makes_private_folders(places: Places) -> None:
    directory = places.temporary / f"releve-{UID}" / "shop"
    directories.prepare(directory, UID)
    directories.prepare(directory, UID)
    assert directory.stat().st_mode & 0o777 == 0o700 and directory.stat().st_uid == UID


def test_prepare_refuses_what_others_can_write(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(
        InstanceError, match=rf"cannot use {open_to_all}: every user may write in {open_to_all}; choose another"
    ):
        directories.prepare(open_to_all, UID)
    with pytest.raises(InstanceError, match=f"every user may write in {open_to_all}"):
        directories.prepare(open_to_all / "shop", UID)
    open_to_all.chmod(0o1777)  # as /tmp: nobody can rename what is not theirs
    directories.prepare(open_to_all / "mine", UID)


@pytest.mark.root
@pytest.mark.skipif(UID != 0, reason="needs root to give folders away")
def test_prepare_refuses_a_folder_of_somebody_else(tmp_path: Path) -> None:
    foreign = tmp_path / "releve-0"
    foreign.mkdir()
    os.chown(foreign, 65534, -1)
    with pytest.raises(InstanceError, match="belongs to nobody"):
        directories.prepare(foreign, UID)
    with pytest.raises(InstanceError, match="belongs to nobody"):
        directories.prepare(foreign / "shop", UID)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    os.lchown(link, 65534, -1)
    with pytest.raises(InstanceError, match="is not a folder"):
        directories.prepare(link, UID)


@pytest.mark.parametrize("name", ["plain", "plain/below", "plain/below/it"])
def test_prepare_says_why_it_cannot(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(
        InstanceError, match=r"^cannot (make|use) .*; choose another with runtime_directory or state_directory"
    ):
        directories.prepare(tmp_path / name, UID)
