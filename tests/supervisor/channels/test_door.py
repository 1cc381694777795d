"""The door of a generation: its file, the record beside it, and what is left when either goes."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.descriptors import descriptors
from releve.supervisor.channels.door import Door, doors, open_door
from releve.supervisor.keepsake import record


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    before = descriptors()
    one = open_door(tmp_path, 7)
    yield one
    one.close()
    assert descriptors() == before


def test_the_next_supervisor_finds_it_by_its_number(door: Door, tmp_path: Path) -> None:
    assert door.path == tmp_path / "gen-7.sock" and not door.missing
    assert stat.S_IMODE(door.path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(door.path))


def test_a_master_holds_it_once_our_end_is_shut(door: Door) -> None:
    assert door.socket is not None
    with door.socket.dup():
        door.shut()
        door.shut()
        assert door.socket is None
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(str(door.path))


def test_that_its_file_has_gone_or_is_another_one_is_seen(door: Door) -> None:
    door.path.unlink()
    assert door.missing
    door.path.touch()
    assert door.missing


def test_a_record_that_was_put_up_and_has_gone_is_missed(door: Door) -> None:
    assert not door.record_missing
    door.note(b"{}")
    assert record.read(record.beside(door.path)) == b"{}" and not door.record_missing
    record.beside(door.path).unlink()
    assert door.record_missing
    door.note(b"{}")
    door.forget()
    assert not door.record_missing and not record.beside(door.path).exists()


def test_a_door_that_was_left_behind_gives_way_with_its_record(tmp_path: Path) -> None:
    dead = open_door(tmp_path, 3)
    dead.note(b"{}")
    dead.shut()
    alive = open_door(tmp_path, 3)
    assert not alive.missing
    assert not record.beside(alive.path).exists()
    alive.close()
    assert os.listdir(tmp_path) == []


def test_one_that_cannot_be_made_leaves_nothing_open(tmp_path: Path) -> None:
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        open_door(tmp_path / "gone", 1)
    assert descriptors() == before


def test_doors_are_told_oldest_first_and_nothing_else_is_one(tmp_path: Path) -> None:
    made = [open_door(tmp_path, number) for number in (10, 9)]
    (tmp_path / "gen-1.sock").touch()  # no socket
    (tmp_path / "gen-2.sock").symlink_to("gen-9.sock")
    (tmp_path / "gen-x.sock").touch()
    assert list(doors(tmp_path)) == [(9, tmp_path / "gen-9.sock"), (10, tmp_path / "gen-10.sock")]
    for one in made:
        one.close()
