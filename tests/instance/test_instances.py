"""Names, folders and cards of instances."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from releve.instance import instances
from releve.instance.instances import Card, InstanceError, Places

UID = os.geteuid()


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one: a socket's path has 107 bytes at most, of which pytest's own takes many where the user's name is
    long.
    """
    with tempfile.TemporaryDirectory(prefix="r-") as made:
        yield Path(made)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("run", "var", "t"):
        (tmp_path / name).mkdir()
    return Places(run=tmp_path / "run", var=tmp_path / "var", temporary=tmp_path / "t")


def test_a_name_is_readable_safe_and_stable() -> None:
    name = instances.instance_name
    assert name(Path("/srv/my shop"), None).startswith("my-shop-")
    assert name(Path("/"), None).startswith("service-")
    assert name(Path("/x"), Path("/etc/releve/blog.yaml")).startswith("blog-")
    assert name(Path("/x"), Path("/srv/shop/releve.yaml")).startswith("shop-")
    assert name(Path("/x"), Path("/srv/shop/releve.yaml")) == name(Path("/y"), Path("/srv/shop/releve.yaml"))
    assert name(Path("/srv/a"), None) != name(Path("/home/a"), None)
    for odd in ("/srv/é ü", "/srv/..", "/srv/-", "/srv/" + "x" * 200, "/srv/a\nb", os.fsdecode(b"/srv/\xff")):
        text = name(Path(odd), None)
        assert text.isascii() and len(text) <= 49 and "/" not in text and text[0] not in ".-"


def test_the_runtime_directory(places: Places, tmp_path: Path) -> None:
    def where(value: str | None = None, uid: int = UID, **environ: str) -> str:
        return str(instances.runtime_directory(value, "shop-12345678", environ, uid, places))

    assert where("/srv/run", RUNTIME_DIRECTORY="/run/x") == "/srv/run"
    assert where(RUNTIME_DIRECTORY="/run/releve:/run/more") == "/run/releve"
    assert where(RUNTIME_DIRECTORY="/run/app:/run/releve/app:/run/x") == "/run/releve/app"  # systemd sorts them
    assert where(RUNTIME_DIRECTORY="/run/app:/run/more") == "/run/app"
    assert where(uid=424242) == f"{places.temporary}/releve-424242/shop-12345678"
    assert where(uid=424242, XDG_RUNTIME_DIR=str(tmp_path)) == f"{places.temporary}/releve-424242/shop-12345678", (
        "not that user's folder"
    )
    if UID == 0:
        assert where(XDG_RUNTIME_DIR=str(tmp_path)) == f"{places.run}/releve/shop-12345678"
    else:
        assert where(XDG_RUNTIME_DIR=str(tmp_path)) == f"{tmp_path}/releve/shop-12345678"


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    """At 107 bytes it fits; above, the name becomes shorter, then another folder is used, then there is an error."""
    short = Path("/tmp")
    room = 107 - len("/releve/ctl.sock") - 1
    for length, expected in (
        (room - 13, "shop-12345678"),
        (room - 12, "12345678"),
        (room - 8, "12345678"),
        (room - 7, None),
    ):
        run = tmp_path / ("r" * (length - len(str(tmp_path)) - 1))
        run.mkdir()
        found = instances.runtime_directory(
            None, "shop-12345678", {"XDG_RUNTIME_DIR": str(run)}, UID, Places(run=run, temporary=short)
        )
        base = run / "releve" if expected else Path(f"/tmp/releve-{UID}")
        assert found == base / (expected or "shop-12345678")
        assert len(str(found / "ctl.sock")) <= 107
    for value, environ in (("/" + "x" * 120, {}), (None, {"RUNTIME_DIRECTORY": "/" + "x" * 120})):
        with pytest.raises(
            InstanceError, match="would have 130 bytes, the system allows 107; set runtime_directory to a shorter path"
        ):
            instances.runtime_directory(value, "shop-12345678", environ, UID)


def test_the_state_directory(places: Places, tmp_path: Path) -> None:
    def where(value: str | None = None, uid: int = 424242, **environ: str) -> str:
        (places.var).mkdir(exist_ok=True)
        return str(instances.state_directory(value, "shop-12345678", environ, uid, places))

    home = str(tmp_path / "home")
    (tmp_path / "home").mkdir()
    assert where("/srv/state", STATE_DIRECTORY="/var/x") == "/srv/state"
    assert where(STATE_DIRECTORY="/var/lib/releve:/var/lib/more") == "/var/lib/releve"
    assert where(uid=0, HOME="/root") == f"{places.var}/releve/shop-12345678"
    assert where(XDG_STATE_HOME=f"{home}/state", HOME=home) == f"{home}/state/releve/shop-12345678"
    assert where(HOME=home, XDG_STATE_HOME="relative") == f"{home}/.local/state/releve/shop-12345678"
    assert where() == where(HOME="/") == f"{places.temporary}/releve-424242/shop-12345678"


def test_a_home_that_cannot_be_written_is_not_used(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container the root is read-only, or the user has a home that is not there."""
    read_only = Path("/home/a")
    really = os.access
    monkeypatch.setattr(os, "access", lambda path, how: not Path(path).is_relative_to("/home") and really(path, how))
    (places.temporary / "home").mkdir()
    for environ, expected in (
        ({"HOME": str(read_only)}, places.temporary / "releve-424242"),
        ({"HOME": str(places.temporary / "home")}, places.temporary / "home/.local/state/releve"),
        ({"HOME": str(read_only), "XDG_STATE_HOME": "/home/state"}, places.temporary / "releve-424242"),
    ):
        found = instances.state_directory(None, "shop-12345678", environ, 424242, places)
        assert found == expected / "shop-12345678"
        assert instances.is_temporary(found, 424242, places) == (expected.name == "releve-424242")


def test_a_runtime_directory_has_its_mode_whatever_it_was(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "run"
    access = instances.Access(0o711)
    umask = os.umask(0o077)
    try:
        instances.prepare(directory, UID, access)
    finally:
        os.umask(umask)
    assert directory.stat().st_mode & 0o777 == 0o711
    directory.chmod(0o755)  # as systemd makes it
    instances.prepare(directory, UID, access)
    assert directory.stat().st_mode & 0o777 == 0o711
    (directory / "theirs").touch()
    directory.chmod(0o755)  # now it may be anybody's, as /run is
    instances.prepare(directory, UID, access)
    assert directory.stat().st_mode & 0o777 == 0o755
    (directory / "lock").touch()
    instances.prepare(directory, UID, access)
    assert directory.stat().st_mode & 0o777 == 0o711


def test_a_runtime_directory_of_a_control_group(tmp_path: Path) -> None:
    group = os.getegid()
    directory = tmp_path / "run"
    instances.prepare(directory, UID, instances.Access(0o711, group + 1))
    seen = directory.stat()
    assert (seen.st_mode & 0o777, seen.st_gid) == (0o711, group)  # as systemd wants it
    (directory / "theirs").touch()
    directory.chmod(0o700)
    with pytest.raises(
        InstanceError, match=f"members of control_group may not enter it, .*chgrp {group} and chmod g\\+x it"
    ):
        instances.prepare(directory, UID, instances.Access(0o711, group))
    tmp_path.chmod(0o700)
    assert instances.blocked(directory, 4242) is not None


def test_folders_that_one_may_not_enter(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("open", "shut"):
        (places.run / "releve" / name).mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, how: Path(path).name != "shut")
    assert instances.closed(424242, places) == [places.run / "releve" / "shut"]
    assert instances.closed(0, places) == []


def test_prepare_makes_private_folders(places: Places) -> None:
    directory = places.temporary / f"releve-{UID}" / "shop"
    instances.prepare(directory, UID)
    instances.prepare(directory, UID)
    assert directory.stat().st_mode & 0o777 == 0o700 and directory.stat().st_uid == UID


def test_prepare_refuses_what_others_can_write(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(
        InstanceError, match=rf"cannot use {open_to_all}: everybody may write in {open_to_all}; choose another"
    ):
        instances.prepare(open_to_all, UID)
    with pytest.raises(InstanceError, match=f"everybody may write in {open_to_all}"):
        instances.prepare(open_to_all / "shop", UID)
    open_to_all.chmod(0o1777)  # as /tmp: nobody can rename what is not theirs
    instances.prepare(open_to_all / "mine", UID)


@pytest.mark.root
@pytest.mark.skipif(UID != 0, reason="needs root to give folders away")
def test_prepare_refuses_a_folder_of_somebody_else(tmp_path: Path) -> None:
    foreign = tmp_path / "releve-0"
    foreign.mkdir()
    os.chown(foreign, 65534, -1)
    with pytest.raises(InstanceError, match="belongs to nobody"):
        instances.prepare(foreign, UID)
    with pytest.raises(InstanceError, match="belongs to nobody"):
        instances.prepare(foreign / "shop", UID)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    os.lchown(link, 65534, -1)
    with pytest.raises(InstanceError, match="is not a folder"):
        instances.prepare(link, UID)


@pytest.mark.parametrize("name", ["plain", "plain/below", "plain/below/it"])
def test_prepare_says_why_it_cannot(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(
        InstanceError, match=r"^cannot (make|use) .*; choose another with runtime_directory or state_directory"
    ):
        instances.prepare(tmp_path / name, UID)


def test_cards(tmp_path: Path, places: Places) -> None:
    card = Card(pid=7, folder="/srv/shop", config=None, socket=str(tmp_path / "ctl.sock"))
    assert instances.read_card(tmp_path) is None
    instances.write_card(tmp_path, card)
    assert instances.read_card(tmp_path) == card
    later = {**json.loads((tmp_path / "instance.json").read_text()), "version": 2, "novel": True}
    (tmp_path / "instance.json").write_text(json.dumps(later))
    found = instances.read_card(tmp_path)
    assert found is not None and (found.version, found.pid) == (2, 7), "the card of a later release is understood"
    instances.remove_card(tmp_path)
    instances.remove_card(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "t", "var"], "nothing is left behind"


def test_a_card_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "instance.json").mkdir()
    with pytest.raises(OSError):
        instances.write_card(tmp_path, Card(1, "/", None, "/ctl.sock"))
    assert [path.name for path in tmp_path.iterdir()] == ["instance.json"]


def test_scan_finds_every_place_newest_first(places: Places, tmp_path: Path) -> None:
    folders = [places.run / "releve", places.run / "releve" / "shop", places.temporary / f"releve-{UID}" / "blog"]
    for age, folder in enumerate(folders):
        instances.prepare(folder, UID) if folder.parent != places.run else folder.mkdir(mode=0o755)
        instances.write_card(folder, Card(age, f"/srv/{age}", None, str(folder / "ctl.sock")))
        os.utime(folder / "instance.json", (1000 - age, 1000 - age))
    assert [card.pid for card in instances.scan({}, UID, places)] == [0, 1, 2]


@pytest.mark.root
@pytest.mark.skipif(UID != 0, reason="needs root to give folders away")
def test_scan_does_not_believe_cards_in_folders_of_somebody_else(places: Places) -> None:
    base = places.temporary / "releve-0"
    (base / "evil").mkdir(parents=True)
    instances.write_card(base / "evil", Card(1, "/", None, str(base / "evil" / "ctl.sock")))
    assert len(instances.scan({}, 0, places)) == 1
    os.chown(base, 65534, -1)
    assert instances.scan({}, 0, places) == []


def test_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real")
    monkeypatch.chdir(link)
    assert instances.working_folder({"PWD": str(link)}) == link
    for pwd in ({}, {"PWD": "link"}, {"PWD": str(tmp_path)}, {"PWD": "/nowhere"}):
        assert instances.working_folder(pwd) == tmp_path / "real"
