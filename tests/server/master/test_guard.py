"""The guard of a master: when it starts another supervisor, and when none is needed."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from releve.server.master import door, guard
from releve.server.master.guard import FIRST_S, LAST_S, Guard


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The supervisors that were started."""
    found: list[object] = []
    monkeypatch.setattr(guard, "revive", lambda what, before: found.append(what))
    return found


@pytest.fixture
def keepsake(tmp_path: Path) -> Iterator[int]:
    fd = os.memfd_create("keepsake")
    lived = {"REVIVED_BY_RELEVE": json.dumps({"runtime": str(tmp_path)})}
    os.write(fd, json.dumps({"uid": os.geteuid(), "role": "active", "revive": {"environment": lived}}).encode())
    yield fd
    os.close(fd)


def steps(one: Guard, until: float) -> int:
    """Have it do what is due until then; how often something was."""
    number = 0
    while (due := one.next_due()) is not None and due < until:
        one.step(due)
        number += 1
    return number


# Connects, says so, and ends when told to.
PEER = """
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
    sock.connect(sys.argv[1]); print(flush=True); input()
"""


def test_no_supervisor_is_started_while_the_one_that_hung_up_lives(
    tmp_path: Path, keepsake: int, started: list[object]
) -> None:
    one = Guard(keepsake)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        argv = [sys.executable, "-c", PEER, str(tmp_path / "sock")]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as supervisor:
            link, _ = listener.accept()
            one.meet(link.fileno())
            link.close()
            one.alarm(0.0)
            assert 5 < steps(one, 300.0) < 40  # ever less often
            assert started == []
            supervisor.communicate(b"\n")
    assert steps(one, 300.0 + LAST_S) >= 1
    assert len(started) >= 1  # it has ended now


def test_no_supervisor_is_started_while_one_holds_the_lock(
    tmp_path: Path, keepsake: int, started: list[object]
) -> None:
    one = Guard(keepsake)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        one.alarm(0.0)
        assert 5 < steps(one, 300.0) < 40
        assert started == []
    steps(one, 300.0 + LAST_S + FIRST_S)
    assert len(started) >= 1


def test_without_one_it_is_started_at_once(keepsake: int, started: list[object]) -> None:
    one = Guard(keepsake)
    one.alarm(0.0)
    one.step(0.0)
    assert len(started) == 1
    one.calm()
    assert one.next_due() is None


def test_a_door_whose_file_has_gone_is_hung_again(tmp_path: Path) -> None:
    path = tmp_path / "run" / "gen-7.sock"
    path.parent.mkdir()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as hung,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client,
    ):
        hung.bind(str(path))
        hung.listen()
        before = path.lstat()
        door.renew(hung.fileno())
        assert path.lstat().st_ino == before.st_ino  # it is there
        path.unlink()
        path.parent.rmdir()
        door.renew(hung.fileno())
        assert (path.lstat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o711)
        client.connect(str(path))
        assert not os.get_inheritable(hung.fileno())
        hung.settimeout(5)
        hung.accept()[0].close()
    door.renew(-1)
