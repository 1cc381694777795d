"""What systemd keeps of ours, and how it is found again."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releve.config.settings.address import Address
from releve.supervisor.listeners import stored
from releve.supervisor.listeners.inherited import unclaimed
from releve.supervisor.listeners.listener import Listener, close_listener
from releve.supervisor.listeners.opening import open_listener
from releve.supervisor.systemd.notify import Notifier

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60)
INODES = st.none() | st.tuples(st.integers(0, 2**32), st.integers(0, 2**64))


@given(TEXTS, INODES)
def test_a_name_is_one_that_systemd_takes_and_leads_back(address: str, inode: tuple[int, int] | None) -> None:
    name = stored.name_of(address, inode)
    if name is None:
        return
    assert len(name) <= 255 and name.isascii() and name.isprintable() and ":" not in name and stored.is_ours(name)
    with socket.socket() as sock:
        assert stored.find(address, {"http": sock, name: sock}) == (sock, inode)
        assert stored.find(address + "x", {name: sock}) is None


def test_a_name_that_would_be_too_long_is_none() -> None:
    assert stored.name_of("unix:/" + "é" * 50, None) is None


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        yield sock


def test_a_descriptor_goes_to_systemd_and_can_be_taken_back(tmp_path: Path, manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    with socket.create_server(("127.0.0.1", 0)) as server:
        notifier.store("releve.x", server.fileno())
        text, rights, _, _ = manager.recvmsg(1000, socket.CMSG_SPACE(16))
        assert text == b"FDSTORE=1\nFDNAME=releve.x"
        (received,) = array.array("i", rights[0][2])
        assert os.path.sameopenfile(received, server.fileno())
        os.close(received)
        notifier.forget("releve.x")
        assert manager.recv(1000) == b"FDSTOREREMOVE=1\nFDNAME=releve.x"


def inherited(listener: Listener) -> dict[str, socket.socket]:
    """What the next supervisor inherits of a listener."""
    name = stored.name_of(listener.name, listener.inode)
    assert name is not None
    return {name: listener.socket.dup()}


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_what_was_kept_is_the_listener_again_with_its_queue(tmp_path: Path, kind: str) -> None:
    address = Address("tcp", host="127.0.0.1", port=0) if kind == "tcp" else Address("unix", path=str(tmp_path / "s"))
    before = open_listener(address, 16, {})
    where = before.socket.getsockname() if kind == "tcp" else address.path
    kept = inherited(before)
    close_listener(before, unlink=False)
    with socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX) as client:
        client.connect(where)  # while nobody serves
        after = open_listener(address, 16, kept)
        assert after.inode == before.inode
        connection, _ = after.socket.accept()
        connection.close()
    assert unclaimed([address], kept) == []
    close_listener(after)
    for sock in kept.values():
        sock.close()


def test_a_path_that_somebody_else_has_bound_since_is_not_ours(tmp_path: Path) -> None:
    address = Address("unix", path=str(tmp_path / "s"))
    before = open_listener(address, 16, {})
    kept = inherited(before)
    close_listener(before)
    after = open_listener(address, 16, kept)
    assert after.inode != before.inode or after.socket.getsockname() != before.name
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address.path)
        after.socket.accept()[0].close()
    close_listener(after)
    for sock in kept.values():
        sock.close()
