"""Promise: what serves no more is not listed, and what nobody answers is not accepted, whatever processes have become
of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from harness.service import Service, alive, eventually, serving

APPLICATION = (Path(__file__).parents[1] / "harness" / "application.py").read_text()

APP = """
import os, socket, subprocess
import release_app as before

def becomes_another():
    os.execv("/bin/sleep", ["sleep", "300"])

def listeners():
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as sock:
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and sock.family == socket.AF_INET:
                    yield int(name)
        except OSError:
            pass

def keeps_a_listener():  # as a child that a library has forked; it ends by SIGKILL only
    command = ["/bin/sh", "-c", "trap '' TERM; exec sleep 300"]
    return subprocess.Popen(command, pass_fds=list(listeners()), start_new_session=True).pid

def pretends():  # to be of another generation: a process may write that into its environment at any time
    environment = {{**os.environ, "RELEVE_GENERATION": "99"}}
    return subprocess.Popen(["sleep", "300"], pass_fds=list(listeners()), start_new_session=True, env=environment).pid

def starts_a_session():
    return subprocess.Popen(["sleep", "300"], env={{}}, start_new_session=True, close_fds=True).pid

WAYS = {{"/" + way.__name__: way for way in (becomes_another, keeps_a_listener, pretends, starts_a_session)}}
{at_import}

def application(environ, start_response):
    way = WAYS.get(environ["PATH_INFO"])
    if way is None:
        return before.application(environ, start_response)
    body = str(way()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@contextmanager
def starts(tmp_path: Path, at_import: str = "", **settings: Any) -> Iterator[Service]:
    with serving(tmp_path, start=False, workers=1, **settings) as service:
        service.release("one", app=APP.format(at_import=at_import), release_app=APPLICATION)
        service.start()
        yield service


@pytest.mark.parametrize("orphaned", [False, True], ids=["by its master", "by the supervisor"])
def test_a_worker_that_has_become_another_program_is_ended(tmp_path: Path, orphaned: bool) -> None:
    with starts(tmp_path) as service:
        (pid,) = service.workers()
        if orphaned:
            (service.releases / "one" / "app.py").write_text("raise RuntimeError('no successor')\n")
            os.kill(service.generation()["pid"], signal.SIGKILL)
            eventually(lambda: service.generation()["orphaned"], "its master is gone")
        with suppress(OSError, Exception):  # nobody answers
            service.get("/becomes_another")
        eventually(lambda: not alive(pid), "what it has become is ended")
        assert (
            f"worker 1 (pid {pid}) closed its control pair or became another program; terminating it" in service.log()
        )
        if orphaned:
            service.release("one", app=APP.format(at_import=""), release_app=APPLICATION)
        eventually(lambda: _serve(service) - {pid}, "another one serves")
        assert service.get("/echo") == b""


def _serve(service: Service) -> set[int]:
    found = [g for g in service.status()["generations"] if g["state"] == "serving"]
    return {worker["pid"] for g in found for worker in g["workers"] if worker["state"] == "serving"}


def test_a_child_that_keeps_a_listener_is_found_by_the_next_supervisor_too(tmp_path: Path) -> None:
    with starts(tmp_path) as service:
        child = int(service.get("/keeps_a_listener"))
        service.kill_supervisor()
    assert not alive(child)
    assert (
        f"pid {child} (sleep): generation 1 left it behind, and it still holds 127.0.0.1:{service.port}"
        in service.log()
    )


def test_a_child_that_names_a_generation_that_does_not_live_is_found_all_the_same(tmp_path: Path) -> None:
    with starts(tmp_path) as service:
        child = int(service.get("/pretends"))
        service.stop()
        assert not alive(child)


@pytest.mark.parametrize("where", ["worker", "import"])
def test_a_child_that_keeps_a_listener_ends_with_its_generation(tmp_path: Path, where: str) -> None:
    """Also one that has left its group, and passes SIGTERM over. Who holds no listener may stay."""
    keeps = tmp_path / "child"
    at_import = f"open({str(keeps)!r}, 'w').write(str(keeps_a_listener()))" if where == "import" else ""
    with starts(tmp_path, at_import=at_import) as service:
        child = int(keeps.read_text() if where == "import" else service.get("/keeps_a_listener"))
        free = int(service.get("/starts_a_session"))
        try:
            service.release("two")
            service.flip("two")
            service.do("upgrade")
            assert alive(child) and os.getsid(child) == child  # its generation stands by
            if where == "worker":
                service.stop()
                assert not alive(child)
            else:
                os.kill(service.generation("standby")["pid"], signal.SIGKILL)  # it retires
                eventually(lambda: not alive(child), "the child is ended")
                assert service.get("/echo") == b""  # the other generation, which has the same listener, serves on
            assert (
                f"pid {child} (sleep): generation 1 left it behind, and it still holds 127.0.0.1:{service.port}"
                in service.log()
            )
            assert alive(free)
        finally:
            os.kill(free, signal.SIGKILL)
