"""What the next supervisor goes by: a record that only its own user can have written, and marks of what a generation
was given.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releve.config.settings.address import Address
from releve.config.settings.settings import Settings
from releve.supervisor.host import memory
from releve.supervisor.host.identity import Identity
from releve.supervisor.host.mark import mark
from releve.supervisor.keepsake import keepsake, record
from releve.supervisor.keepsake.keepsake import Held, Keepsake, KeepsakeError, Role
from releve.supervisor.keepsake.record import RecordError
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.release.release import Pin
from releve.supervisor.takeover import inventory, rescue

PIN = Pin(
    directory="/srv/shop/current",
    resolved="/srv/shop/1",
    python="/srv/shop/1/venv/bin/python",
    binary="/usr/bin/python3",
    app="shop:app",
    environment={"SECRET": "x"},
    identity=Identity(65534, 65534, (65534,), 0o22),
    lend=False,
    python_version="3.11.2",
    prefix="/srv/shop/1/venv",
    releve="1",
    preload=None,
    revision=None,
)
HELD = Held(pid=7, born=8, receive=(1, 2, 3), send=(1, 3, 4), board=(1, 5), crash=(1, 6), sockets=((1, 7, 8), None))


def kept(**changes: object) -> Keepsake:
    one = Keepsake(Role.ACTIVE, 3, PIN, Settings(), (), None, None, 5, {"features": ["door"]}, 1.5, None, HELD, 12)
    return dataclasses.replace(one, **changes)  # type: ignore[arg-type]


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


@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode),
    )
)
def test_a_keepsake_that_is_none_is_an_error_of_its_own(data: bytes) -> None:
    with pytest.raises(KeepsakeError):
        keepsake.understand(data)


KEYS = sorted(json.loads(keepsake.record(kept())))


@given(st.dictionaries(st.sampled_from(KEYS), st.none() | st.integers() | st.text() | st.lists(st.none())))
def test_so_is_one_with_odd_values(changes: dict[str, object]) -> None:
    odd = {**json.loads(keepsake.record(kept())), **changes}
    try:
        keepsake.understand(json.dumps(odd).encode())
    except KeepsakeError:
        pass


def test_a_memory_file_is_for_good() -> None:
    fd = memory.written("test", {"a": 1})
    assert json.loads(os.pread(fd, 100, 0)) == {"a": 1}
    for change in (lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, 0), lambda: os.ftruncate(fd, 100)):
        with pytest.raises(PermissionError):
            change()
    with pytest.raises(PermissionError):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)
    os.close(fd)


def test_a_master_that_is_not_believed_gets_its_role_and_nothing_else() -> None:
    fd = keepsake.role_only(Role.STANDBY)
    assert json.loads(os.pread(fd, 1000, 0)) == {"version": 1, "role": "standby", "uid": -1}
    os.close(fd)


def test_a_mark_is_the_files_and_not_the_descriptors(tmp_path: Path) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    duplicate = one.dup()
    assert mark(one.fileno()) == mark(duplicate.fileno()) != mark(other.fileno())
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    with open(tmp_path / "a") as a, open(tmp_path / "a") as again, open(tmp_path / "b") as b:
        assert mark(a.fileno()) == mark(again.fileno()) != mark(b.fileno())
    for sock in (one, other, duplicate):
        sock.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        mark(one.fileno())


def test_a_door_that_nobody_looks_after_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "gen-1.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(str(path))
        door.listen(0)
        first = inventory.knock(path)
        with pytest.raises(BlockingIOError):
            inventory.knock(path)
        first.close()
    with pytest.raises(ConnectionRefusedError):
        inventory.knock(path)


def test_a_listener_is_found_in_a_process_that_has_it() -> None:
    """By its mark, and no other one."""
    with socket.create_server(("127.0.0.1", 0)) as ours, socket.create_server(("127.0.0.1", 0)) as theirs:
        address = Address("tcp", host="127.0.0.1", port=ours.getsockname()[1])
        listener = Listener(str(address), address, ours, inherited=False, inode=None)
        held = dataclasses.replace(HELD, sockets=(mark(ours.fileno()),))
        mine = os.pidfd_open(os.getpid())
        (found,) = rescue.listeners(kept(listeners=(listener,), held=held), [mine])
        assert found.socket.fileno() != ours.fileno() and mark(found.socket.fileno()) == mark(ours.fileno())
        found.socket.close()
        # another socket, whatever its number
        held = dataclasses.replace(HELD, sockets=((*mark(theirs.fileno())[:2], 1 << 60),))
        assert rescue.listeners(kept(listeners=(listener,), held=held), [mine]) == ()
        os.close(mine)
