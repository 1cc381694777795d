"""What the doctor goes by, gathered of real files and sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from releve.config.settings.settings import Settings
from releve.supervisor.inspection import facts


def test_what_everybody_may_write_to(tmp_path: Path) -> None:
    open_to_all, sticky, mine = tmp_path / "open", tmp_path / "sticky", tmp_path / "mine"
    for path, mode in ((open_to_all, 0o777), (sticky, 0o1777), (mine, 0o755)):
        path.mkdir()
        path.chmod(mode)
    assert facts.writable(map(str, (open_to_all, sticky, mine, tmp_path / "missing"))) == (str(open_to_all),)


def test_doors_behind_which_there_is_nobody(tmp_path: Path) -> None:
    held = []
    for number in (1, 2, 3):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.bind(str(tmp_path / f"gen-{number}.sock"))
        sock.listen()
        held.append(sock)
    held[0].close()
    held[1].close()
    (tmp_path / "other.sock").touch()
    assert facts.stale(tmp_path, {1}) == (str(tmp_path / "gen-2.sock"),)
    held[2].close()


def test_this_host_can_be_examined() -> None:
    known = facts._host(Settings(), os.getpid())
    assert known.descriptors_hard and known.somaxconn and known.port_range and known.available_bytes
    assert known.overcommit is not None and known.synchronised is not None
