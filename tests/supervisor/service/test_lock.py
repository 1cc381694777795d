"""Two supervisors never own one service: the lock between real processes."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from releve.instance import holders
from releve.supervisor.service.lock import LockError, LockHeld, RuntimeLock

_HOLD = """
import subprocess, sys
from releve.supervisor.service.lock import RuntimeLock
lock = RuntimeLock.acquire(sys.argv[1])
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
print(child.pid, flush=True)
input()
"""


def test_a_second_one_is_told_who_holds_it_and_a_kill_frees_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        child = int(one.stdout.readline())
        try:
            with pytest.raises(
                LockHeld, match=f"the supervisor with pid {one.pid} already runs this service.*ctl upgrade"
            ) as caught:
                RuntimeLock.acquire(tmp_path / "run")
            assert caught.value.pid == one.pid
            one.send_signal(signal.SIGKILL)
            one.wait(10)
            # Its child inherited every descriptor that an exec leaves open: the lock is not among them.
            os.kill(child, 0)
            RuntimeLock.acquire(tmp_path / "run").release()
        finally:
            one.kill()
            os.kill(child, signal.SIGKILL)


def test_what_a_dead_one_seems_to_hold_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """Somebody who looks through /proc may keep a file of it open."""
    RuntimeLock.acquire(tmp_path / "run").release()
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    file = os.open(tmp_path / "run" / "lock", os.O_RDWR | os.O_TRUNC)
    os.write(file, f"{dead.pid}\n".encode())
    fcntl.flock(file, fcntl.LOCK_EX)
    soon = threading.Timer(0.1, os.close, (file,))
    soon.start()
    RuntimeLock.acquire(tmp_path / "run").release()
    soon.join()


def test_the_folder_is_ours_and_the_file_names_the_holder(tmp_path: Path) -> None:
    lock = RuntimeLock.acquire(tmp_path / "a" / "run")
    assert os.stat(tmp_path / "a" / "run").st_mode & 0o777 == 0o711
    assert os.stat(lock.path).st_mode & 0o777 == 0o600
    assert Path(lock.path).read_text() == f"{os.getpid()}\n"
    with pytest.raises(LockHeld):
        RuntimeLock.acquire(tmp_path / "a" / "run")
    lock.release()
    lock.release()
    RuntimeLock.acquire(tmp_path / "a" / "run").release()


def test_a_lock_file_that_was_removed_does_not_count(tmp_path: Path) -> None:
    """The directory is locked too, which keeps those away who clean up: tmpfiles.d(5)."""
    lock = RuntimeLock.acquire(tmp_path)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(fd)
    os.unlink(lock.path)
    with pytest.raises(LockHeld, match=f"it holds {tmp_path}"):
        RuntimeLock.acquire(tmp_path)
    assert lock.renew() and not lock.renew()
    assert Path(lock.path).read_text() == f"{os.getpid()}\n"
    lock.release()
    RuntimeLock.acquire(tmp_path).release()


def test_one_who_cleans_up_is_waited_for(tmp_path: Path) -> None:
    code = (
        "import fcntl, os, sys, time; fcntl.flock(os.open(sys.argv[1], 0), fcntl.LOCK_EX); "
        "print(flush=True); time.sleep(0.3)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as cleaner:
        assert cleaner.stdout is not None
        cleaner.stdout.readline()
        RuntimeLock.acquire(tmp_path).release()


def test_a_directory_that_was_made_anew_is_locked_anew_unless_another_one_has_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    lock = RuntimeLock.acquire(run)
    run.rename(tmp_path / "away")
    assert lock.renew()
    run.rename(tmp_path / "again")
    other = RuntimeLock.acquire(run)
    with pytest.raises(LockHeld):
        lock.renew()
    assert os.path.samestat(os.fstat(lock.fileno()), os.stat(tmp_path / "again" / "lock"))  # what is held is held
    other.release()
    assert lock.renew()
    lock.release()


def test_who_listens_on_the_control_socket_owns_the_service_whatever_was_removed(tmp_path: Path) -> None:
    code = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); "
        "print(flush=True); input()"
    )
    run = tmp_path / "run"
    run.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run / "ctl.sock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as one:
        assert one.stdout is not None
        one.stdout.readline()
        shutil.rmtree(run)
        with pytest.raises(
            LockHeld, match=f"the supervisor with pid {one.pid} already runs this service .it listens on {run}/ctl.sock"
        ):
            RuntimeLock.acquire(run)
        one.communicate(b"\n")
    RuntimeLock.acquire(run).release()


def test_a_file_removed_between_its_opening_and_its_locking_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = fcntl.flock
    removed = False

    def flock(fd: int, how: int) -> None:
        nonlocal removed
        if not removed:
            removed = True
            os.unlink(tmp_path / "lock")
        really(fd, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    lock = RuntimeLock.acquire(tmp_path)
    with pytest.raises(LockHeld):
        RuntimeLock.acquire(tmp_path)
    lock.release()


def test_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "all"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(LockError, match=r"cannot use .*all: every user may write"):
        RuntimeLock.acquire(open_to_all)
    (tmp_path / "file").write_text("")
    with pytest.raises(LockError, match="cannot"):
        RuntimeLock.acquire(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_or_a_link_of_somebody_else_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    with pytest.raises(LockError, match="belongs to"):
        RuntimeLock.acquire(theirs)
    link = tmp_path / "link"
    (tmp_path / "real").mkdir()
    link.symlink_to("real")
    RuntimeLock.acquire(link).release()  # our own link is fine: systemd makes such
    os.chown(link, 65534, 65534, follow_symlinks=False)
    with pytest.raises(LockError):
        RuntimeLock.acquire(link)


def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LockError, match="lock is a symbolic link; check who can write there"):
        RuntimeLock.acquire(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["lock", "ctl.sock", "instance.json", "guard.pid", "hook.pid", "gen-12.sock"])
def test_a_link_in_the_place_of_one_of_our_files_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/etc/passwd")
    with pytest.raises(LockError, match=f"{name} is a symbolic link"):
        RuntimeLock.acquire(tmp_path)
    (tmp_path / name).rename(tmp_path / "http.sock")  # not a name of ours: a listener may be there
    RuntimeLock.acquire(tmp_path).release()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.parametrize("name", ["lock", "ctl.sock", "instance.json", "guard.pid", "hook.pid", "gen-12.sock"])
def test_a_file_of_somebody_else_in_the_place_of_one_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    os.chown(tmp_path / name, 65534, 65534)
    with pytest.raises(LockError, match=f"{name} belongs to "):
        RuntimeLock.acquire(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user")
def test_a_process_of_another_user_is_no_supervisor_of_ours(tmp_path: Path) -> None:
    """It could bind that path in a namespace of its own; also not one that is not dumpable, of which /proc shows much
    as root's.
    """
    code = """
import ctypes, os, socket, sys
sock = socket.socket(socket.AF_UNIX); sock.bind(sys.argv[1]); sock.listen()
os.setgroups([]); os.setresuid(65534, 65534, 65534); ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); print(flush=True); input()
"""
    path = str(tmp_path / "ctl.sock")
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert holders.listening(path) is None
        other.communicate(b"\n")
