"""Promise: kill anything.

What somebody removes from the runtime directory (a clean-up, the last logout) is made again.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from harness import peers
from harness.service import PYTHON, Service, eventually, serving

NAMES = ("ctl.sock", "instance.json", "lock", "gen-1.sock")


def second_start(service: Service) -> None:
    """Is refused with the pid of the first one, and ends nobody."""
    workers, supervisor = service.workers() if service.control_socket.exists() else None, service.pid
    argv = [PYTHON, "-m", "releve", "-c", str(service.file)]
    second = subprocess.run(argv, cwd=service.root, env=service.environment, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert f"cannot start: the supervisor with pid {supervisor} already runs this service" in second.stderr
    assert service.who()["release"] == "one"
    if workers is not None:
        assert service.workers() == workers


def all_there(service: Service) -> bool:
    return all((service.control_socket.parent / name).exists() for name in NAMES)


def look(service: Service) -> None:
    """The supervisor looks every few seconds, and whenever an operation begins: begin one."""
    os.kill(service.supervisor() if service.control_socket.exists() else service.pid, signal.SIGTTIN)
    eventually(lambda: all_there(service), "everything is made again")
    eventually(lambda: service.status()["service"]["operation"] is None, "the operation has ended")


def test_a_second_start_ends_nobody_whatever_was_removed(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1) as service:
        runtime = service.control_socket.parent
        for removed in (
            ["lock", "instance.json"],
            ["lock", "ctl.sock"],
            ["gen-1.sock", "lock", "ctl.sock", "instance.json"],
        ):
            for name in removed:
                (runtime / name).unlink()
            second_start(service)
            look(service)
        shutil.rmtree(runtime)
        second_start(service)  # it has made and locked a new directory, and left it again
        look(service)
        assert runtime.stat().st_mode & 0o777 == 0o711


def test_what_was_removed_is_made_again_and_works(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1) as service:
        workers, runtime = service.workers(), service.control_socket.parent
        for names in (NAMES[:2], NAMES[2:]):
            for name in names:
                (runtime / name).unlink()
            look(service)
        assert f"recreated missing files in {runtime}: the lock, the door of generation 1" in service.log()
        shutil.rmtree(runtime)
        shown = service.ctl("status")  # waits for the socket, which its supervisor makes again by itself
        assert shown.returncode == 0 and "serving" in shown.stdout
        assert all_there(service)
        assert workers <= service.workers()
        follower = service.kill_supervisor()  # finds the lock and the door
        assert workers <= service.workers()
        service.must("reexec")
        (runtime / "gen-1.sock").unlink()
        (runtime / "lock").unlink()
        look(service)
        assert service.supervisor() == follower


def test_a_directory_that_goes_with_the_supervisor_comes_with_the_next_one(tmp_path: Path) -> None:
    """One is started, not one after the other: the master hangs its door again first."""
    with serving(tmp_path, workers=1) as service:
        workers = service.workers()
        shutil.rmtree(service.control_socket.parent)
        os.kill(service.pid, signal.SIGKILL)
        service.killed = True
        eventually(service.control_socket.exists, "another supervisor follows")
        eventually(lambda: service.status()["service"]["operation"] is None, "it has taken over")
        assert service.workers() == workers
        assert "gen-1.sock: it was missing" in service.log()
        assert "the service was stopped" not in service.log()


def test_ctl_names_who_holds_the_port(tmp_path: Path) -> None:
    """Another service, or a master without a supervisor."""
    with serving(tmp_path, workers=1) as service:
        service.file = tmp_path / "other.yaml"
        service.configure(runtime_directory=str(tmp_path / "other"))
        missing = service.ctl("status")
        assert missing.returncode == 3
        assert f"listens on its port {service.port}: " in missing.stderr
        service.file = tmp_path / "releve.yaml"
        service.configure(runtime_directory=str(tmp_path / "run"))


def test_an_old_release_that_cannot_take_another_door_is_named(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1, env={"PYTHONPATH": str(peers.peer("v1"))}, upgrade={"standby": "off"}) as service:
        (service.control_socket.parent / "gen-1.sock").unlink()
        service.must("scale", "2")
        assert "its door was deleted and it cannot take another; a new supervisor will not find it" in service.log()
        service.configure(env=None)
        service.do("upgrade")
        (service.control_socket.parent / "gen-2.sock").unlink()
        service.must("scale", "1")
        service.kill_supervisor()
        assert service.serving() == 2
