"""Names and folders of instances."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from releve.instance import instances
from releve.instance.instances import InstanceError, Places

UID = os.geteuid()


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


def test_a_path_with_dots_is_the_one_that_other_programs_open(tmp_path: Path) -> None:
    (tmp_path / "releases" / "1").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/1")
    (tmp_path / "releases" / "shop.yaml").touch()
    (tmp_path / "releases" / "linked.yaml").symlink_to("shop.yaml")
    current = tmp_path / "current"
    for path in ("../shop.yaml", str(current / ".." / "shop.yaml"), "./x/../../shop.yaml"):
        assert instances.absolute(path, current).samefile(os.path.join(current, "../shop.yaml"))
    (tmp_path / "current" / "etc").mkdir()
    assert instances.absolute("etc/../shop.yaml", current) == current / "shop.yaml", "it is the same file"
    assert instances.absolute("../linked.yaml", current) == tmp_path / "releases" / "linked.yaml", "links are kept"
    assert instances.absolute("shop.yaml", current) == current / "shop.yaml"
    assert instances.absolute("../nowhere/./a//b", tmp_path / "releases") == tmp_path / "nowhere" / "a" / "b"


def test_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real")
    monkeypatch.chdir(link)
    assert instances.working_folder({"PWD": str(link)}) == link
    for pwd in ({}, {"PWD": "link"}, {"PWD": str(tmp_path)}, {"PWD": "/nowhere"}):
        assert instances.working_folder(pwd) == tmp_path / "real"
