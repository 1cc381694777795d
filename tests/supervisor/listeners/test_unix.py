"""Listeners at a path: the file, its mode and owner, and whose is left alone."""

from __future__ import annotations

import grp
import os
import socket
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.addresses import answers, unix
from harness.descriptors import descriptors
from releve.supervisor.host import system
from releve.supervisor.listeners.listener import Listener, ListenError, close_listener
from releve.supervisor.listeners.opening import open_listener
from releve.supervisor.listeners.plan import plan_listeners


def _open_fds() -> set[str]:
    return {
        f"{fd}:{os.readlink(f'/proc/self/fd/{fd}')}" for fd in descriptors() if os.path.exists(f"/proc/self/fd/{fd}")
    }


def test_a_unix_listener_has_its_mode_and_leaves_nothing_beside_or_behind(tmp_path: Path) -> None:
    listener = open_listener(unix(tmp_path / "http.sock", mode=0o640), 5, {})
    assert os.listdir(tmp_path) == ["http.sock"]
    assert stat.S_IMODE(os.stat(tmp_path / "http.sock").st_mode) == 0o640
    assert answers(str(tmp_path / "http.sock"))
    close_listener(listener)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_unix_listener_is_given_to_owner_and_group(tmp_path: Path, opened: list[Listener]) -> None:
    group = grp.getgrgid(1)
    opened.append(open_listener(unix(tmp_path / "s", owner="nobody", group=group.gr_name), 5, {}))
    entry = os.stat(tmp_path / "s")
    assert (entry.st_uid, entry.st_gid) == (65534, 1)


def test_an_unknown_owner_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    before = _open_fds()
    with pytest.raises(ListenError, match="there is no group nobody-has-this-group"):
        open_listener(unix(tmp_path / "s", group="nobody-has-this-group"), 5, {})
    assert os.listdir(tmp_path) == []
    assert _open_fds() == before


def _dead_server(path: Path) -> None:
    """A socket file whose server was killed."""
    script = (
        "import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); "
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], timeout=20).returncode == -9


def test_the_file_of_a_dead_server_is_replaced(tmp_path: Path, opened: list[Listener]) -> None:
    _dead_server(tmp_path / "s")
    opened.append(open_listener(unix(tmp_path / "s"), 5, {}))
    assert answers(str(tmp_path / "s"))
    assert os.listdir(tmp_path) == ["s"]


@pytest.mark.parametrize("full", [False, True])
def test_a_live_server_is_left_alone(tmp_path: Path, full: bool) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, ExitStack() as clients:
        server.bind(path)
        server.listen(0)
        while full:  # until its queue takes no more: connect then says EAGAIN, not that nobody is there
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            full = client.connect_ex(path) == 0
        with pytest.raises(ListenError, match="another server listens there"):
            open_listener(unix(tmp_path / "s"), 5, {})
        assert os.listdir(tmp_path) == ["s"]


def test_a_live_datagram_socket_and_a_plain_file_are_left_alone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "d"))
        with pytest.raises(ListenError, match="another server listens there"):
            open_listener(unix(tmp_path / "d"), 5, {})
    (tmp_path / "f").write_text("precious")
    with pytest.raises(ListenError, match="not a socket is there"):
        open_listener(unix(tmp_path / "f"), 5, {})
    assert (tmp_path / "f").read_text() == "precious"


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="its folder does not exist: .*RuntimeDirectory="):
        open_listener(unix(tmp_path / "none" / "s"), 5, {})


@pytest.mark.parametrize(
    ("length", "name"), [(107, "s"), (107, "http.sock"), (107, "a-very-long-name-of-a-socket.sock")]
)
def test_a_path_of_the_greatest_length_works_whatever_its_last_name(
    length: int, name: str, opened: list[Listener]
) -> None:
    base = f"/tmp/releve-test-{os.getpid()}-"  # tmp_path is too long
    folder = base + "x" * (length - len(base) - len(name) - 1)
    os.mkdir(folder)
    try:
        opened.append(open_listener(unix(Path(folder) / name), 5, {}))
        assert answers(f"{folder}/{name}")
        close_listener(opened.pop())
        with pytest.raises(ListenError, match="more than 107 bytes"):
            open_listener(unix(Path(folder) / (name + "1")), 5, {})
    finally:
        os.rmdir(folder)


def test_the_file_of_a_successor_is_not_removed(tmp_path: Path, opened: list[Listener]) -> None:
    old = open_listener(unix(tmp_path / "s"), 5, {})
    os.unlink(tmp_path / "s")
    opened.append(open_listener(unix(tmp_path / "s"), 5, {}))
    close_listener(old)
    assert answers(str(tmp_path / "s"))


def test_nobody_sends_descriptors_to_a_unix_listener(tmp_path: Path, opened: list[Listener]) -> None:
    """A worker that reads what came with one would drop it, and wait as long as that takes."""
    opened += plan_listeners([], [unix(tmp_path / "a")], 5, {}).all
    try:
        opened[0].socket.getsockopt(socket.SOL_SOCKET, system._SO_PASSRIGHTS)
    except OSError:
        pytest.skip("this kernel has no SO_PASSRIGHTS")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(tmp_path / "a"))
        with pytest.raises(PermissionError):
            socket.send_fds(client, [b"GET"], [0])
        client.send(b"GET")
        accepted, _ = opened[0].socket.accept()
        with accepted, pytest.raises(PermissionError):
            socket.send_fds(client, [b"GET"], [0])
