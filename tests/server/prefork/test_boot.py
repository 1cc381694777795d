"""The boot of a master: what it imports and where, and every way it can fail."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path

import pytest

from harness.master import APP, Master
from harness.workers import eventually


def write(folder: Path, source: str = APP) -> Path:
    (folder / "app.py").write_text(source)
    return folder


def test_order_of_the_reports_and_service(tmp_path: Path) -> None:
    with Master(write(tmp_path)) as master:
        master.boot()
        master.expect("ready")
        kinds = [message["type"] for message in master.messages]
        assert kinds[:4] == ["hello", "phase", "imported", "phase"]
        assert kinds.count("worker") == 2 and kinds[-1] == "ready"
        assert [w.revision for w in master.workers.values()] == [1, 1]
        assert master.done("resume")["workers"] == 2
        assert sorted(master.serving(2)) == sorted(w.pid for w in master.workers.values())
        assert int(master.get().split()[1]) in master.pids("serving")


def test_hello_comes_before_boot_and_lists_the_keys(tmp_path: Path) -> None:
    with Master(write(tmp_path)) as master:
        hello = master.expect("hello")
        assert hello["pid"] == master.process.pid and hello["link"] == 1 and hello["lent"] is False
        assert {"app", "timeouts.drain", "limits.head"} <= set(hello["settings"])
        master.link.close()
        assert master.process.wait(20) == 0  # the supervisor thought better of it


def test_unknown_messages_are_passed_over(tmp_path: Path) -> None:
    with Master(write(tmp_path)) as master:
        master.send("song", [master.listener.fileno()], of="praise")
        master.boot()
        master.expect("ready")
        master.send("song", [master.listener.fileno()])
        assert master.failed("dance")["reason"] == "cannot dance: this release does not know that order"
        master.send("resume")  # no id: nobody could be answered
        master.done("resume", tempo="allegro")


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        ({"link": 99}, "cannot boot: the supervisor speaks link version 99, this release 1"),
        ({"listeners": []}, "cannot boot: 5 descriptors for 0 listeners"),
        ({"generation": None}, "cannot boot: the order is malformed (TypeError"),
    ],
)
def test_malformed_boot(tmp_path: Path, wire: dict[str, object], reason: str) -> None:
    with Master(write(tmp_path)) as master:
        master.boot(wire=wire)
        failed = master.expect("failed")
        assert failed["step"] == "boot" and failed["reason"].startswith(reason)
        assert master.exit_status() == 1


ASGI = "Relève serves WSGI: wrap it (as a2wsgi.ASGIMiddleware does), or keep it on an ASGI server"


@pytest.mark.parametrize("preload", [None, False], ids=["preload", "in the workers"])
@pytest.mark.parametrize(
    ("source", "app", "reason", "last_line"),
    [
        (
            "def f(:\n",
            "app",
            "cannot import app: SyntaxError: invalid syntax (app.py, line 1)",
            "SyntaxError: invalid syntax",
        ),
        ("import lost_thing\n", "app", "cannot import app: ModuleNotFoundError: No module named 'lost_thing'", None),
        ("", "app", "cannot find 'application' in app", ""),
        ("", "gone.wsgi:x", "cannot import gone.wsgi: ModuleNotFoundError: No module named 'gone'", None),
        ("application = 3", "app", "cannot use 'application' of app: not callable (it is an int)", ""),
        (
            "async def application(scope, receive, send): ...",
            "app",
            f"cannot serve app: it is an ASGI application; {ASGI}",
            "",
        ),
        (
            "class A:\n    async def __call__(self, scope, receive, send): ...\na = A()",
            "app:a",
            f"cannot serve app:a: it is an ASGI application; {ASGI}",
            "",
        ),
        (
            "def make(config=None): ...",
            "app:make",
            "cannot serve app:make: it is a function of no arguments; if it makes the application, write app:make()",
            "",
        ),
        ("import sys; sys.exit(3)", "app", "cannot import app: it called sys.exit(3)", "SystemExit: 3"),
        ("", "a b", "cannot import 'a b': not of the form module:object (as in mysite.wsgi:application)", ""),
    ],
)
def test_imports_that_fail(
    tmp_path: Path, preload: bool | None, source: str, app: str, reason: str, last_line: str | None
) -> None:
    with Master(write(tmp_path, source)) as master:
        master.boot(app, preload)
        failed = master.expect("failed")
        assert "id" not in failed and failed["step"] == "import" and failed["reason"] == reason
        lines = failed["traceback"].splitlines()
        assert (lines[-1] if lines else "") == (reason.partition(": ")[2] if last_line is None else last_line)
        assert "releve" not in failed["traceback"]
        assert master.exit_status() == 1
        assert master.left_over() == []


EXIT = "import os; os._exit(5)"
KILL = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize(("source", "status"), [(EXIT, 5), (KILL, -signal.SIGKILL)])
def test_imports_that_end_the_master(tmp_path: Path, source: str, status: int) -> None:
    with Master(write(tmp_path, source)) as master:
        master.boot()
        assert master.exit_status() == status
        assert master.messages[-1] == {"type": "phase", "phase": "import"}


@pytest.mark.parametrize(("source", "words"), [(EXIT, "exited with status 5"), (KILL, "was killed by SIGKILL")])
def test_imports_that_end_a_worker(tmp_path: Path, source: str, words: str) -> None:
    with Master(write(tmp_path, source)) as master:
        master.boot(preload=False)
        failed = master.expect("failed")
        assert failed["step"] == "workers" and failed["reason"].endswith(f"{words} before it was ready")
        assert master.exit_status() == 1
        assert master.left_over() == []


@pytest.mark.parametrize("preload", [None, False])
def test_an_import_that_hangs_leaves_its_stack_at_sigabrt(tmp_path: Path, preload: bool | None) -> None:
    source = (
        "import os, time\ndef wait_for_the_database(): open('hung', 'w').close(); time.sleep(600)\n"
        "wait_for_the_database()\n"
    )
    with Master(write(tmp_path, source)) as master:
        master.boot(preload=preload, workers=1)
        deadline = time.monotonic() + 20
        while not (tmp_path / "hung").exists():
            assert time.monotonic() < deadline
            select.select([], [], [], 0.02)
        if preload is None:
            master.process.send_signal(signal.SIGABRT)
            assert master.exit_status() == -signal.SIGABRT
        else:
            master.expect("worker")
            signal.pidfd_send_signal(master.workers[1].pidfd, signal.SIGABRT)
            assert "was killed by SIGABRT before it was ready" in master.expect("failed")["reason"]
            assert master.exit_status() == 1
        assert "in wait_for_the_database" in master.stack()


UNSAFE = """
import socket, threading
threading.Thread(target=threading.Event().wait, name="poller", daemon=False).start()
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
"""


def test_unsafe_preload_is_found_and_ends_the_master(tmp_path: Path) -> None:
    with Master(write(tmp_path, UNSAFE + APP)) as master:
        master.boot()
        found = master.expect("unsafe")["found"]
        assert found[0] == 'thread "poller"'
        assert any(text.startswith("socket listening on 127.0.0.1:") for text in found)
        assert any(text.startswith("socket to 127.0.0.1:") for text in found)
        assert master.exit_status() == 0  # in spite of the thread
        assert master.workers == {}


@pytest.mark.parametrize("preload", [True, False])
def test_unsafe_import_goes_on_as_told(tmp_path: Path, preload: bool) -> None:
    with Master(write(tmp_path, UNSAFE + APP)) as master:
        master.boot(preload=preload)
        master.expect("ready")
        master.done("resume")
        assert master.get().startswith("one ")
        assert ('preloaded because of preload: true, but the import left thread "poller"' in master.log) is preload
        assert ("imported" in [message["type"] for message in master.messages]) is preload


def test_preloaded_once_or_imported_by_each(tmp_path: Path) -> None:
    source = (
        "import os\nos.write(os.open('imports', os.O_CREAT | os.O_APPEND | os.O_WRONLY), b'%d\\n' % os.getpid())\n"
        + APP
    )
    for preload, imports in ((None, 1), (False, 2)):
        with Master(write(tmp_path, source)) as master:
            master.boot(preload=preload)
            master.expect("ready")
            pids = [int(line) for line in (tmp_path / "imports").read_text().split()]
            assert len(pids) == imports
            assert set(pids) == ({master.process.pid} if preload is None else {w.pid for w in master.workers.values()})
        (tmp_path / "imports").unlink()


def test_the_release_comes_first_and_shadows_nothing_of_ours(tmp_path: Path) -> None:
    for name in ("config", "server", "supervisor", "link", "signal", "types"):
        (tmp_path / f"{name}.py").write_text("mine = True")
    source = f"""
import sys, config, server, supervisor
assert config.mine and server.mine and supervisor.mine
assert sys.argv[1:] == []
assert sys.path[0] == {str(tmp_path)!r}
"""
    with Master(write(tmp_path, source + APP)) as master:
        master.boot()
        master.expect("ready")


def test_an_applications_logging_and_signal_setup_does_not_silence_ours(tmp_path: Path) -> None:
    source = """
import logging.config, signal
logging.config.dictConfig({"version": 1, "disable_existing_loggers": True, "root": {"level": "CRITICAL"}})
signal.signal(signal.SIGTERM, lambda *_: None)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.signal(signal.SIGUSR1, signal.SIG_DFL)
"""
    with Master(write(tmp_path, source + APP)) as master:
        master.boot()
        master.expect("ready")
        master.process.send_signal(signal.SIGUSR1)
        assert master.kill(master.workers[1].pid)["status"] == -signal.SIGKILL
        master.process.terminate()
        eventually(lambda: "ignored SIGTERM" in master.log, "SIGTERM is heard")
        assert master.process.poll() is None
        assert "was killed by SIGKILL; starting another now" in master.log
        assert " INFO gen=7 pid=" in master.log


def test_the_supervisors_signals_do_nothing_from_the_first_moment(tmp_path: Path) -> None:
    with Master(write(tmp_path)) as master:
        for number in (signal.SIGUSR2, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGTTIN, signal.SIGTTOU):
            master.process.send_signal(number)  # blocked at its exec, handled by nothing after
        master.boot()
        master.expect("ready")
        for pid in (master.process.pid, master.workers[1].pid):
            for number in (signal.SIGUSR2, signal.SIGHUP, signal.SIGINT):
                os.kill(pid, number)
        master.done("resume")
        assert len(master.serving(2)) == 2


def test_children_of_the_import_hold_nothing_of_ours(tmp_path: Path) -> None:
    source = """
import os, signal
ready, told = os.pipe()
child = os.fork()
if not child:
    os.write(told, b"x")
    while True: signal.pause()
os.read(ready, 1)
open("child", "w").write(str(child))
"""
    with Master(write(tmp_path, source + APP)) as master:
        master.boot()
        master.expect("ready")
        child = int((tmp_path / "child").read_text())
        held = {os.stat(f"/proc/{child}/fd/{fd}").st_ino for fd in os.listdir(f"/proc/{child}/fd")}
        ours = {os.fstat(end.fileno()).st_ino for end in (*master.exchange, master.listener)}
        assert held and not held & ours
        pidfd = os.pidfd_open(child)
        os.kill(child, signal.SIGUSR2)  # a default action again
        assert select.select([pidfd], [], [], 20)[0]
        os.close(pidfd)


def test_a_worker_holds_its_own_and_nothing_of_its_siblings(tmp_path: Path) -> None:
    with Master(write(tmp_path)) as master:
        master.boot(workers=3)
        master.expect("ready")
        assert master.answer(master.reload())["type"] == "done"

        def sockets(pid: int) -> list[str]:
            targets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            return sorted(target for target in targets if target.startswith("socket:"))

        counts = {len(sockets(worker.pid)) for worker in master.workers.values()}
        assert counts == {4}  # listener, two ends of the exchange, its end of the control pair
        masters = set(sockets(master.process.pid))
        for worker in master.workers.values():
            shared = set(sockets(worker.pid)) & masters
            assert len(shared) == 3


EARLY = """
import threading
def start(): threading.Thread(target=threading.Event().wait, name="agent", daemon=True).start()
start()
"""
AGAIN = "import os; os.register_at_fork(after_in_child=start)\n"


@pytest.mark.parametrize("preload", [None, False])
@pytest.mark.parametrize("again", [False, True], ids=["gone", "started again"])
def test_threads_of_sitecustomize_are_told_as_what_they_are(tmp_path: Path, preload: bool | None, again: bool) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(EARLY + AGAIN * again)
    with Master(write(tmp_path), PYTHONPATH=str(site)) as master:
        master.boot(preload=preload)
        master.expect("ready")
        kinds = [message["type"] for message in master.messages]
        assert "unsafe" not in kinds and ("imported" in kinds) is (preload is None)
        remarks = [message["text"] for message in master.messages if message["type"] == "remark"]
        assert len(remarks) == (0 if again else 1)  # once, not by each worker
        assert all(one.startswith('thread "agent" was started before the import (by sitecustomize') for one in remarks)


@pytest.mark.parametrize("preload", [None, False])
def test_an_import_finds_the_command_line_and_workers_have_their_title_then(
    tmp_path: Path, preload: bool | None
) -> None:
    look = 'import shutil; shutil.copyfile("/proc/self/cmdline", f"{os.path.dirname(__file__)}/{os.getpid()}.seen")'
    with Master(write(tmp_path, APP + look)) as master:
        master.boot(preload=preload)
        master.expect("ready")
        seen = [file.read_bytes().split(b"\0") for file in tmp_path.glob("*.seen")]
        assert len(seen) == (1 if preload is None else 2)
        assert all(b"--link" in words and b"releve.server" in words for words in seen)
        for number, worker in master.workers.items():
            title = Path(f"/proc/{worker.pid}/cmdline").read_bytes().rstrip(b"\0").decode()
            assert title.startswith(f"releve: worker 7.{number}")


NATIVE = """
import ctypes
libc = ctypes.CDLL(None)
def start(): libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, libc.pause, None)
start()
"""


@pytest.mark.parametrize("preload", [None, False])
@pytest.mark.parametrize("again", [False, True], ids=["gone", "started again"])
def test_threads_of_native_code_have_no_name_to_be_told_by(tmp_path: Path, preload: bool | None, again: bool) -> None:
    """One that is started again shows the name of another process than the one before."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(NATIVE + AGAIN * again)
    with Master(write(tmp_path), PYTHONPATH=str(site)) as master:
        master.boot(preload=preload)
        master.expect("ready")
        remarks = [message["text"] for message in master.messages if message["type"] == "remark"]
        assert len(remarks) == (0 if again else 1)
        assert all(one.startswith("a thread without a name was started before the import") for one in remarks)


def test_what_sitecustomize_opens_is_told(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import socket; server = socket.create_server(('127.0.0.1', 0))")
    with Master(write(tmp_path), PYTHONPATH=str(site)) as master:
        master.boot()
        assert "was opened before the import" in master.expect("remark")["text"]
        master.expect("ready")


@pytest.mark.parametrize("threads", [1, 4])
def test_a_worker_without_threads_is_not_ready_and_the_limits_are_named(tmp_path: Path, threads: int) -> None:
    source = """
import threading
def start(self): raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
    with Master(write(tmp_path, source + APP)) as master:
        master.boot(threads=threads)
        failed = master.expect("failed")
        assert failed["step"] == "workers"
        assert failed["reason"].startswith(
            f"cannot start the {threads + 1} threads of a worker: can't start new thread; raise ulimit -u"
        )
        assert all(limit in failed["reason"] for limit in ("TasksMax=", "--pids-limit"))
        # nobody has said that it is ready
        assert not [message for message in master.messages if message["type"] == "state"]
        assert master.exit_status() == 1
