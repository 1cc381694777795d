"""By its mark an open file is known again, whoever brings it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from releve.supervisor.host.mark import mark


def test_a_socket_is_known_by_any_descriptor_and_no_other_one_is_it() -> None:
    with socket.socket() as one, socket.socket() as other:
        with one.dup() as again:
            assert mark(again.fileno()) == mark(one.fileno()) != mark(other.fileno())
        first = mark(one.fileno())
    with socket.socket() as third:  # which may have the first one's descriptor
        assert mark(third.fileno()) != first


def test_a_file_is_known_by_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "one").touch()
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    one, two = (os.open(tmp_path / name, os.O_RDONLY) for name in ("one", "two"))
    assert mark(one) == mark(two) and len(mark(one)) == 2
    os.close(one)
    os.close(two)
    with pytest.raises(OSError, match="Bad file descriptor"):
        mark(one)
