"""The header of a scoreboard: byte for byte what other releases read, and nothing that its file has no room for."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from releve.server.scoreboard import header, scoreboard


@pytest.fixture
def fd() -> Iterator[int]:
    made = scoreboard.make()
    yield made
    os.close(made)


def test_it_is_what_other_releases_read(fd: int) -> None:
    said = os.pread(fd, 136, 0)
    assert said[:20] == struct.pack("=8sIII", b"releve\x00\x00", 1, 512, 512)
    assert said[32:52] == struct.pack("=IIIQ", header.LEVEL, 256, 64, 266240)
    assert said[96:120] == struct.pack("=IIIIQ", 512, 32, 2048, 3, 8654848)
    assert not any(said[20:32] + said[52:96] + said[120:])
    assert os.fstat(fd).st_size == 26480640


def test_what_was_written_is_read(fd: int) -> None:
    assert header.read(fd) == header.ours()
    assert header.ours().end == os.fstat(fd).st_size


@pytest.mark.parametrize(
    ("at", "written", "parts"),
    [
        (8, struct.pack("=I", 2), (False, False, False)),  # another version
        (32, struct.pack("=I", 0), (True, False, False)),  # the first level
        (32, struct.pack("=I", 2), (True, True, False)),  # before there were recorders
        (40, struct.pack("=IQ", 64, 0), (True, False, True)),  # tables in the place of the records
        (40, struct.pack("=IQ", 64, 2**40), (True, False, True)),
        (112, struct.pack("=Q", 266240), (True, True, False)),  # recorders in the place of the tables
        (96, struct.pack("=I", 2**31), (True, True, False)),
    ],
)
def test_what_cannot_be_is_not_there(fd: int, at: int, written: bytes, parts: tuple[bool, bool, bool]) -> None:
    os.pwrite(fd, written, at)
    found = header.read(fd)
    assert (found.shared, found.tables is not None, found.recorders is not None) == parts
    assert found.end <= os.fstat(fd).st_size
