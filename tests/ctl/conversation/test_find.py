"""Which instance a bare ``ctl`` means. Real sockets; the folders of the system are in ``tmp_path``."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from releve.ctl.conversation.find import FindError, Found, find
from releve.instance.cards import Card, write_card
from releve.instance.instances import Places, instance_name, runtime_directory
from releve.instance.protocol import Status

UID = os.geteuid()
Live = Callable[..., Card]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one: a socket's path has 107 bytes at most, of which pytest's own takes many where the user's name is
    long.
    """
    with tempfile.TemporaryDirectory(prefix="r-") as made:
        yield Path(made)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "run" / "releve").mkdir(parents=True)
    (tmp_path / "t").mkdir()
    return Places(run=tmp_path / "run", var=tmp_path / "var", temporary=tmp_path / "t")


@pytest.fixture
def instance(places: Places) -> Iterator[Live]:
    """Put up a card and, unless it shall be dead, a socket that accepts."""
    sockets: list[socket.socket] = []

    def start(
        name: str, folder: Path, config: Path | None = None, alive: bool = True, directory: Path | None = None
    ) -> Card:
        directory = directory or places.run / "releve" / name
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "ctl.sock"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        if alive:
            listener.listen()
        sockets.append(listener)
        card = Card(
            pid=os.getpid(), folder=str(folder), config=None if config is None else str(config), socket=str(path)
        )
        write_card(directory, card)
        return card

    yield start
    for one in sockets:
        one.close()


@pytest.fixture
def look(places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Found]:
    """``find`` from a folder, with only what is given in the environment."""

    def from_folder(
        folder: Path, told_socket: str | None = None, config: str | None = None, pwd: Path | None = None, **environ: str
    ) -> Found:
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(folder)
        if pwd is not None:
            environ["PWD"] = str(pwd)
        found = find(told_socket, config, environ, UID, places)
        found.socket.close()
        return found

    return from_folder


def refused(look: Callable[..., Found], *arguments: object, **more: object) -> FindError:
    with pytest.raises(FindError) as caught:
        look(*arguments, **more)
    return caught.value


def test_the_one_started_in_this_folder(look: Callable[..., Found], instance: Live, tmp_path: Path) -> None:
    mine = instance("mine", tmp_path / "shop")
    instance("other", tmp_path / "blog")
    found = look(tmp_path / "shop")
    assert found.path == mine.socket and not found.guessed and found.label == f"{tmp_path / 'shop'} (pid {os.getpid()})"


def test_the_one_whose_configuration_lies_here(look: Callable[..., Found], instance: Live, tmp_path: Path) -> None:
    mine = instance("mine", Path("/"), tmp_path / "shop" / "site.yaml")
    instance("other", tmp_path / "blog")
    assert look(tmp_path / "shop").path == mine.socket


def test_a_folder_behind_a_link_is_known_by_both_names(
    look: Callable[..., Found], instance: Live, tmp_path: Path
) -> None:
    (tmp_path / "releases" / "41").mkdir(parents=True)
    current = tmp_path / "current"
    current.symlink_to("releases/41")
    literal = instance("literal", current)
    instance("other", tmp_path / "blog")
    assert look(current, pwd=current).path == literal.socket
    assert refused(look, current).status is Status.USAGE  # PWD unset: two run, and neither was started in releases/41
    resolved = instance("resolved", tmp_path / "releases" / "41")
    assert look(current).path == resolved.socket


def test_a_false_pwd_is_not_believed(look: Callable[..., Found], instance: Live, tmp_path: Path) -> None:
    (tmp_path / "blog").mkdir()
    instance("blog", tmp_path / "blog")
    shop = instance("shop", tmp_path / "shop")
    assert look(tmp_path / "shop", pwd=tmp_path / "blog").path == shop.socket


def test_else_the_only_running_one(look: Callable[..., Found], instance: Live, tmp_path: Path) -> None:
    only = instance("only", tmp_path / "shop")
    instance("dead", tmp_path / "blog", alive=False)
    found = look(tmp_path / "elsewhere")
    assert found.path == only.socket and found.guessed


def test_no_other_one_where_one_was_started_and_has_ended(
    look: Callable[..., Found], instance: Live, places: Places, tmp_path: Path
) -> None:
    """`ctl stop` a second time is not meant for another service."""
    instance("only", tmp_path / "shop")
    name = instance_name(tmp_path / "blog", None)
    instance(name, tmp_path / "blog", alive=False, directory=Path(runtime_directory(None, name, {}, UID, places)))
    error = refused(look, tmp_path / "blog")
    assert error.status is Status.NOT_RUNNING and "the service of this folder does not run" in str(error)


def test_several_are_listed_with_the_option_that_names_each(
    look: Callable[..., Found], instance: Live, tmp_path: Path
) -> None:
    instance("one", tmp_path / "shop")
    instance("two", Path("/"), tmp_path / "etc" / "blog.yaml")
    error = refused(look, tmp_path / "elsewhere")
    assert error.status is Status.USAGE
    assert f"\n  ctl --socket {tmp_path}/run/releve/one/ctl.sock" in str(
        error
    ) and f"\n  ctl -c {tmp_path}/etc/blog.yaml" in str(error)


def test_several_of_this_folder_are_listed(look: Callable[..., Found], instance: Live, tmp_path: Path) -> None:
    instance("one", tmp_path / "shop")
    instance("two", tmp_path / "shop", tmp_path / "shop" / "b.yaml")
    instance("three", tmp_path / "blog")
    error = refused(look, tmp_path / "shop")
    assert (
        error.status is Status.USAGE
        and "two/ctl.sock" not in str(error)
        and "three" not in str(error)
        and "b.yaml" in str(error)
    )


def test_a_folder_with_a_configuration_means_that_service_and_no_other(
    look: Callable[..., Found], instance: Live, tmp_path: Path
) -> None:
    """`ctl stop` beside a releve.yaml must not stop the only other service there is."""
    instance("other", tmp_path / "blog")
    (tmp_path / "shop").mkdir()
    listen = f"[unix:{tmp_path}/http]"  # not port 8000, where anything may listen
    (tmp_path / "shop" / "releve.yaml").write_text(f"app: shop:app\nlisten: {listen}\n")
    error = refused(look, tmp_path / "shop")
    assert error.status is Status.NOT_RUNNING and f"releve -c {tmp_path}/shop/releve.yaml" in str(error)


def test_nothing_runs(look: Callable[..., Found], instance: Live, tmp_path: Path) -> None:
    instance("dead", tmp_path / "shop", alive=False)
    error = refused(look, tmp_path / "shop")
    assert error.status is Status.NOT_RUNNING and str(error).startswith("not running: ")


def test_by_socket(look: Callable[..., Found], instance: Live, tmp_path: Path) -> None:
    card = instance("one", tmp_path / "shop")
    instance("two", tmp_path / "blog")
    assert look(tmp_path / "run", told_socket="releve/one/ctl.sock").path == card.socket
    assert look(tmp_path / "x", RELEVE_SOCKET=card.socket).path == card.socket
    assert look(tmp_path / "x", told_socket=card.socket, RELEVE_SOCKET="/nowhere").path == card.socket


@pytest.mark.parametrize("path", ["absent", "absent/ctl.sock", "plain", "plain/ctl.sock"])
def test_by_socket_where_nobody_accepts(look: Callable[..., Found], tmp_path: Path, path: str) -> None:
    (tmp_path / "plain").write_text("")
    error = refused(look, tmp_path, told_socket=path)
    assert error.status is Status.NOT_RUNNING and str(tmp_path / path) in str(error)


def test_a_path_too_long_for_a_socket(look: Callable[..., Found], tmp_path: Path) -> None:
    assert refused(look, tmp_path, told_socket="x" * 120).status is Status.UNEXPECTED


def test_by_configuration_named_on_a_card(look: Callable[..., Found], instance: Live, tmp_path: Path) -> None:
    config = tmp_path / "shop" / "shop.yaml"
    config.parent.mkdir()
    card = instance("any", Path("/"), config)
    instance("other", tmp_path / "shop")
    assert look(tmp_path / "shop", config="shop.yaml").path == card.socket  # it has no such file: the card is enough
    config.write_text("this: [is not\n")
    assert look(tmp_path, config="shop/shop.yaml").path == card.socket


def test_by_configuration_behind_a_link(look: Callable[..., Found], instance: Live, tmp_path: Path) -> None:
    (tmp_path / "releases" / "41").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/41")
    (tmp_path / "releases" / "41" / "site.yaml").write_text("app: a:b\n")
    card = instance("any", Path("/"), tmp_path / "current" / "site.yaml")
    assert look(tmp_path / "releases" / "41", config="site.yaml").path == card.socket


def test_by_configuration_with_a_folder_of_its_own(look: Callable[..., Found], instance: Live, tmp_path: Path) -> None:
    config = tmp_path / "shop" / "releve.yaml"
    config.parent.mkdir()
    config.write_text("app: shop:app\nruntime_directory: run\n")
    card = instance("any", Path("/"), config, directory=config.parent / "run")
    assert look(tmp_path, config="shop/releve.yaml").path == card.socket
    assert look(config.parent).path == card.socket
    config.write_text("app: shop:app\nruntime_directory: run\nworkers: [broken\n")
    assert look(tmp_path, config="shop/releve.yaml").path == card.socket, (
        "a file that has become invalid must not hide the service"
    )


def test_by_configuration_without_a_card(
    look: Callable[..., Found], instance: Live, places: Places, tmp_path: Path
) -> None:
    config = tmp_path / "shop.yaml"
    config.write_text("app: shop:app\n")
    directory = runtime_directory(None, instance_name(tmp_path, config), {}, UID, places)
    card = instance("any", Path("/"), config, directory=directory)
    (directory / "instance.json").unlink()
    assert look(tmp_path, config="shop.yaml").path == card.socket


def test_by_a_configuration_that_is_broken_and_runs_nowhere(look: Callable[..., Found], tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("app: shop:app\nworkrs: 3\n")
    error = refused(look, tmp_path, config="shop.yaml")
    assert error.status is Status.USAGE and "shop.yaml:2:" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"x"',
        "{",
        '{"version": 1}',
        '{"version": 1, "pid": "1", "folder": "/", "config": null, "socket": "/x/ctl.sock"}',
    ],
)
def test_a_card_that_cannot_be_read_is_no_card(
    look: Callable[..., Found], places: Places, tmp_path: Path, text: str
) -> None:
    (places.run / "releve" / "bad").mkdir()
    (places.run / "releve" / "bad" / "instance.json").write_text(text)
    assert refused(look, tmp_path).status is Status.NOT_RUNNING


def test_a_supervisor_that_takes_no_connection(
    look: Callable[..., Found], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("releve.ctl.conversation.find.CONNECT_TIMEOUT_S", 0.2)
    with (
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as first,
        socket.socket(socket.AF_UNIX) as second,
    ):
        listener.bind(str(tmp_path / "ctl.sock"))
        listener.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(str(tmp_path / "ctl.sock"))
        error = refused(look, tmp_path, told_socket="ctl.sock")
    assert error.status is Status.INTERRUPTED and "hangs or is stopped" in str(error)


@pytest.mark.parametrize("name", ["shop", "releve@shop", "another"])
def test_a_service_in_a_folder_that_one_may_not_enter(
    name: str, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its control group's alone: whether it is this configuration's cannot be told, unless nobody listens in there."""
    shut = places.run / "releve" / name
    shut.mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, how: Path(path) != shut)
    file = tmp_path / "shop.yaml"
    file.write_text("app: a:b\n")

    def refusal() -> FindError:
        with pytest.raises(FindError) as caught:
            find(None, str(file), {}, 424242, places)
        return caught.value

    if name == "another":
        assert refusal().status is Status.NOT_RUNNING
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(shut / "ctl.sock"))
        listener.listen()
        error = refusal()
        assert (error.status, f"cannot look into {shut}: permission denied;" in str(error)) == (Status.UNEXPECTED, True)
        monkeypatch.setattr("releve.ctl.conversation.find._belongs", lambda config, uid: True)
        # one's own is no stranger's
        assert refusal().status is (Status.NOT_RUNNING if name == "another" else Status.UNEXPECTED)
    if name != "another":  # it is shut, and stopped
        assert f"cannot look into {shut}: permission denied, so ctl cannot tell whether the service runs;" in str(
            refusal()
        )
        monkeypatch.setattr(os, "access", lambda path, how: Path(path) not in (shut, file))  # the file has secrets
        assert refusal().status is Status.UNEXPECTED


def test_a_configuration_that_one_may_not_look_at(
    look: Callable[..., Found], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "shop.yaml"
    real = os.stat

    def stat(path: Any, **more: Any) -> os.stat_result:
        if path in (file, str(file)):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **more)

    words = f"cannot read {file}: permission denied; use the user that runs the service, or root"
    with monkeypatch.context() as folder_is_shut:
        folder_is_shut.setattr(os, "stat", stat)
        error = refused(look, tmp_path, config=str(file))
        assert (error.status, str(error)) == (Status.UNEXPECTED, words)
    file.write_text("app: a:b\n")
    monkeypatch.setattr(os, "access", lambda path, how: Path(path) != file)  # it has secrets
    error = refused(look, tmp_path, config=str(file))
    assert (error.status, str(error)) == (Status.UNEXPECTED, words)
