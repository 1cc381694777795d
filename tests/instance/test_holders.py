"""Who holds a Unix socket or a port, found by what the kernel shows of real ones."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from releve.instance import holders

LISTENER = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX if sys.argv[1] else socket.AF_INET)
sock.bind(os.fsencode(sys.argv[1]) or ("127.0.0.1", 0)); sock.listen()
if len(sys.argv) > 2: os.setgroups([]); os.setresuid(*3 * [int(sys.argv[2])])
print(sock.getsockname()[1] if not sys.argv[1] else "", flush=True); input()
"""


@contextmanager
def listener(path: str, *more: str) -> Iterator[tuple[int, int]]:
    """Another process that listens on a Unix socket, or without a path on a port: its pid, and the port."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", LISTENER, path, *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        yield other.pid, int(other.stdout.readline().strip() or 0)
        other.communicate(b"\n")


def test_another_process_that_listens_is_found_also_when_the_file_is_gone(tmp_path: Path) -> None:
    path = str(tmp_path / "ctl.sock")
    assert holders.listening(path) is None and not holders.anybody_listens(path)
    with listener(path) as (pid, _):
        assert holders.listening(path) == pid
        os.unlink(path)
        assert holders.listening(path) == pid and holders.anybody_listens(path)
    assert holders.listening(path) is None


def test_this_process_is_not_meant(tmp_path: Path) -> None:
    path = str(tmp_path / "ctl.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        assert not holders.anybody_listens(path)  # bound, but it does not listen
        sock.listen()
        assert holders.listening(path) is None and holders.anybody_listens(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user")
def test_one_of_another_user_only_if_anybody_is_asked_for(tmp_path: Path) -> None:
    path = str(tmp_path / "gen-1.sock")
    with listener(path, "65534") as (pid, _):
        assert holders.listening(path) is None
        assert holders.listening(path, of_anybody=True) == pid


def test_a_socket_whose_name_is_no_text_hides_no_other_one(tmp_path: Path) -> None:
    """The kernel lists those of the whole host, and anybody may give one any name."""
    odd = os.fsencode(tmp_path) + b"/\xff.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(odd)
        sock.listen()
        with listener(str(tmp_path / "gen-1.sock")) as (pid, _):
            assert holders.listening(str(tmp_path / "gen-1.sock"), of_anybody=True) == pid
        assert holders.anybody_listens(os.fsdecode(odd))


def test_what_listens_beside(tmp_path: Path) -> None:
    name = re.compile(r"gen-\d+\.sock")
    with listener(str(tmp_path / "gen-7.sock")):
        assert holders.listens_beside(str(tmp_path / "ctl.sock"), name)
        assert not holders.listens_beside(str(tmp_path / "ctl.sock"), re.compile("other"))
        assert not holders.listens_beside(str(tmp_path / "below" / "ctl.sock"), name)


def test_who_has_a_port() -> None:
    with listener("") as (pid, port):
        assert holders.at_port(port) == pid
        assert LISTENER.split()[0] in holders.command(pid) and len(holders.command(pid)) <= 60
    assert holders.at_port(port) is None and holders.command(pid) == ""


def test_descriptors_of_a_process() -> None:
    read_end, write_end = os.pipe()
    assert f"pipe:[{os.fstat(read_end).st_ino}]" in set(holders.descriptors(os.getpid()))
    os.close(read_end)
    os.close(write_end)
    assert list(holders.descriptors(2**22 + 1)) == []  # no such process
