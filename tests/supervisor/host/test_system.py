"""Single calls of the system, on real descriptors and processes."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from releve.supervisor.host import system


def test_a_peer_is_who_the_kernel_says() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        peer = system.peer_of(ours)
    assert (peer.pid, peer.uid) == (os.getpid(), os.geteuid())
    assert peer.groups == {os.getegid(), *os.getgroups()}


def test_a_descriptor_of_another_process_is_taken() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        pidfd = os.pidfd_open(other.pid)
        taken = system.take_descriptor(pidfd, 0)
        assert os.fstat(taken).st_ino == os.fstat(other.stdin.fileno()).st_ino
        assert not os.get_inheritable(taken)
        with pytest.raises(OSError, match="Bad file descriptor"):
            system.take_descriptor(pidfd, 4096)
        os.close(taken)
        other.communicate()
        os.close(pidfd)


def test_signals_wait_until_they_are_let_in() -> None:
    got: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: got.append(number))
    try:
        with system.signals_blocked():
            signal.raise_signal(signal.SIGUSR1)  # to this thread: xdist has others
            assert signal.SIGUSR1 in signal.sigpending() and not got
        assert got == [signal.SIGUSR1]
        assert signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_process_that_has_gone_is_signalled_in_vain() -> None:
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    pidfd = system.open_pidfd(child.pid)
    system.kill_group(child.pid, signal.SIGTERM)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(10_000)
    assert child.wait() == -signal.SIGTERM
    system.send_signal(pidfd, signal.SIGKILL)
    system.kill_group(child.pid, signal.SIGKILL)
    os.close(pidfd)


def test_standard_descriptors_that_are_closed_are_opened() -> None:
    code = """
import os
from releve.supervisor.host import system
os.close(0); os.close(2)
system.fill_standard()
print([os.fstat(fd).st_rdev == os.stat(os.devnull).st_rdev for fd in (0, 2)], os.get_inheritable(0), flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[True, True] True\n"


def test_what_is_muted_can_be_written_to() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    system.mute(write_end)
    assert os.write(write_end, b"nobody reads this") == 17
    os.close(write_end)


def test_where_a_file_touches_no_disk(tmp_path: Path) -> None:
    assert not system.in_memory("/proc") and not system.in_memory(str(tmp_path / "missing"))
    kinds = {line.split()[1]: line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()}
    if kinds.get("/dev/shm") == "tmpfs":
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            assert system.in_memory(folder)


def test_users_and_groups_are_named_or_numbered() -> None:
    assert system.user_name(0) == system.group_name(0) == "root"
    assert system.user_name(4_000_000_001) == system.group_name(4_000_000_001) == "4000000001"


def test_a_program_that_takes_our_place_has_the_descriptors_it_is_given() -> None:
    code = """
import os, sys
from releve.supervisor.host import system
read_end, write_end = os.pipe()
try:
    system.replace(("/nowhere/program",), {}, (read_end,))
except FileNotFoundError:
    assert not os.get_inheritable(read_end)
os.write(write_end, b"from before")
system.replace((sys.executable, "-c", f"import os; print(os.read({read_end}, 100))"), os.environ, (read_end,))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "b'from before'\n"
