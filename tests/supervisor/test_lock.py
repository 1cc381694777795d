"""Two supervisors never own one service: the lock between real processes."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from releve.supervisor.lock import LockError, LockHeld, RuntimeLock

_HOLD = """
import subprocess, sys
from releve.supervisor.lock import RuntimeLock
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
            with pytest.raises(LockHeld, match=f"the supervisor with pid {one.pid} already runs this service.*ctl upgrade") as caught:
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
    lock = RuntimeLock.acquire(tmp_path)
    os.unlink(lock.path)
    other = RuntimeLock.acquire(tmp_path)
    with pytest.raises(LockHeld):
        RuntimeLock.acquire(tmp_path)
    other.release()
    lock.release()


def test_a_file_removed_between_its_opening_and_its_locking_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    with pytest.raises(LockError, match=r"cannot use .*all: everybody may write"):
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
    with pytest.raises(LockError, match="lock is a symbolic link; see who can write there"):
        RuntimeLock.acquire(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["lock", "ctl.sock", "instance.json", "guard.pid", "gen-12.sock"])
def test_a_link_in_the_place_of_one_of_our_files_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/etc/passwd")
    with pytest.raises(LockError, match=f"{name} is a symbolic link"):
        RuntimeLock.acquire(tmp_path)
    (tmp_path / name).rename(tmp_path / "http.sock")  # not a name of ours: a listener may be there
    RuntimeLock.acquire(tmp_path).release()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.parametrize("name", ["lock", "ctl.sock", "instance.json", "guard.pid", "gen-12.sock"])
def test_a_file_of_somebody_else_in_the_place_of_one_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    os.chown(tmp_path / name, 65534, 65534)
    with pytest.raises(LockError, match=f"{name} belongs to "):
        RuntimeLock.acquire(tmp_path)
