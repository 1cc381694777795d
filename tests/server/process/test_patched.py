"""An application, or a library of its, patches the standard library: ours is as it was, and who did it is told."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

from harness.master import APP, Master
from releve.server.process import hazards

# What gevent and eventlet replace or remove, by what they would not survive in our threads.
LIBRARY = """
import _thread, logging, os, select, selectors, signal, socket, threading, time

saved = {}

def no(*arguments, **keys):
    raise AssertionError("this is the application's")

class Socket(socket.socket):
    def __init__(self, *arguments, **keys): no()

class RLock:  # no lock; of a handler it must not be asked for
    def __enter__(self): pass
    def __exit__(self, *arguments): pass
    def acquire(self, *arguments, **keys): no()
    def release(self): no()
    def _at_fork_reinit(self): pass

def patch_all():
    for module, names in {
        _thread: ["start_new_thread"],
        os: ["fork", "waitpid", "read", "write", "open", "fdopen"],
        select: ["poll", "epoll", "select"],
        signal: ["signal", "getsignal"],
        socket: ["socketpair", "fromfd", "create_connection"],
        threading: ["_start_new_thread", "_start_joinable_thread"],
        time: ["sleep"],
    }.items():
        for name in names:
            if hasattr(module, name):
                saved.setdefault(module.__name__, {})[name] = getattr(module, name)
                setattr(module, name, no)
    socket.socket = socket.SocketType = Socket
    threading.get_ident = lambda: 7  # asked by logging
    threading.RLock = RLock
    threading._shutdown = lambda: None  # theirs knows the main thread after a fork
    for reference in logging._handlerList:
        if reference() is not logging.lastResort:  # nobody's, and asked for at the end of a process
            reference().lock = RLock()
    del select.poll, select.epoll
"""


@pytest.mark.parametrize("preload", [None, False])
@pytest.mark.parametrize("threads", [1, 4])
def test_a_patched_standard_library_is_the_applications_alone(
    tmp_path: Path, preload: bool | None, threads: int
) -> None:
    (tmp_path / "gevent").mkdir()
    (tmp_path / "gevent" / "__init__.py").touch()
    (tmp_path / "gevent" / "monkey.py").write_text(LIBRARY)
    (tmp_path / "shop.py").write_text("from gevent import monkey as curious; curious.patch_all()")
    (tmp_path / "app.py").write_text("import shop\n" + APP)
    with Master(tmp_path) as master:
        pids = master.up(preload=preload, threads=threads)
        remarks = [message["text"] for message in master.messages if message["type"] == "remark"]
        assert len(remarks) == 1
        assert remarks[0].startswith("gevent has patched os, select, signal, socket, threading, time")
        assert "(imported by shop)" in remarks[0] and "remove monkey.patch_all() and the like" in remarks[0]
        assert ("threads: 1" in remarks[0]) is (threads > 1)
        assert all(master.get().startswith("one ") for _ in range(6))
        assert master.done("scale", workers=3)["workers"] == 3
        assert master.kill(pids[0])["status"] == -signal.SIGKILL
        assert len(master.serving(3)) == 3
        assert master.answer(master.reload(threads=threads))["type"] == "done"
        master.done("cancel", revision=2)
        master.pause()
        master.done("quit", deadline_s=5.0, linger_s=0.1)
        assert master.exit_status() == 0
        assert "this is the application's" not in master.log


def test_who_has_asked_for_patches_is_told_of_eventlet_too(monkeypatch: pytest.MonkeyPatch) -> None:
    patcher, shop, other = ModuleType("eventlet.patcher"), ModuleType("shop"), ModuleType("other")
    patcher.already_patched = {"socket": True, "os": True, "_thread": True}  # type: ignore[attr-defined]
    shop.patcher = patcher  # type: ignore[attr-defined]
    for one in (ModuleType("eventlet"), patcher, shop, other):
        monkeypatch.setitem(sys.modules, one.__name__, one)
    (said,) = hazards.patches(threads=4)
    assert said.startswith("eventlet has patched os, socket (imported by shop): ")
    assert said.endswith(
        "remove eventlet.monkey_patch(), or set threads: 1, because its locks do not work between threads"
    )
