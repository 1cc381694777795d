"""A service of root with an application that attacks whatever it can reach, and what may be left of that."""

from __future__ import annotations

import contextlib
import http.client
import pwd
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from harness.service import APPLICATION, Service, alive, eventually, serving
from harness.service import PYTHON as OURS

PYTHON = "/usr/bin/python3"
USER = "nobody"
OTHER = "www-data"

# The release of an attacker who has the master, too: at its import it rewrites what it can, and from then on it lies at
# the door as the file `how` says, and obeys nobody. Its workers do what they are asked for.
ATTACK = """
import json, os, select, signal, socket, struct, threading
from releve.server.master import controller
from before import application as honest

LOOT = {loot!r}
DOORS = []

def how():
    try:
        with open(LOOT + "/how") as file:
            return file.read()
    except OSError:
        return ""

def note(name, text):
    with open(LOOT + "/" + name, "a") as file:
        file.write(text + "\\n")

def attempt(name, do, *arguments):
    try:
        do(*arguments)
    except OSError as error:
        note("refused", name)
    else:
        note("succeeded", name)

def look(pid, what):
    for number in os.listdir(f"/proc/{{pid}}/fd"):
        path = f"/proc/{{pid}}/fd/{{number}}"
        if what in os.readlink(path):
            return os.open(path, os.O_RDWR)
    raise FileNotFoundError(what)

board, keepsake = look("self", "releve-scoreboard"), look("self", "releve-keepsake")
attempt("cut the scoreboard", os.ftruncate, board, 0)
attempt("cut the keepsake", os.ftruncate, keepsake, 0)
attempt("rewrite the keepsake", os.pwrite, keepsake, b"{{}}", 0)
note("keepsake", os.pread(keepsake, 100000, 0).decode())
for number in os.listdir("/proc/self/fd"):
    try:
        found = socket.socket(fileno=os.dup(int(number)))
        if found.type == socket.SOCK_SEQPACKET and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            DOORS.append(found)
    except OSError:
        pass

def forged_keepsake():
    pin = dict(directory=LOOT, resolved=LOOT, python=LOOT + "/python", binary=LOOT + "/python", app="app:application",
               settings={{"log.access": LOOT + "/roots.log"}}, environment={{}}, identity={{"user": None}}, lend=False,
               python_version="3.11.0", prefix="", releve=None, preload=None, revision=None)
    revive = dict(argv=[LOOT + "/python"], directory="/", environment={{}})
    said = dict(version=1, role="active", uid=0, revive=revive, pin=pin, hello={{}})
    fd = os.memfd_create("releve-keepsake")
    os.write(fd, json.dumps(said).encode())
    return fd

def other_listener():
    sock = socket.create_server(("127.0.0.1", 0))
    return sock.detach()

def other_board():
    fd = os.memfd_create("releve-scoreboard")
    os.ftruncate(fd, 9 << 20)
    os.pwrite(fd, os.pread(board, 4096, 0), 0)
    return fd

honest_stock, honest_obey = controller.Controller.take_stock, controller.Controller.obey

def inventory(self):
    boot, revision, lie = self._boot, self.plan.current, how()
    fds = [sock.fileno() for _, sock in revision.listeners]
    fds += [boot.exchange_receive, boot.exchange_send, boot.board, boot.crash, boot.keepsake]
    at, make = {{
        "keepsake": (-1, forged_keepsake),
        "listener": (0, other_listener),
        "scoreboard": (-3, other_board),
        "crash file": (-2, lambda: os.open("/etc/passwd", os.O_RDONLY)),
        "exchange": (-5, lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0].detach()),
    }}.get(lie, (-1, lambda: boot.keepsake))
    fds[at] = make()
    names = [name for name, _ in revision.listeners]
    said = dict(type="inventory", generation=boot.generation, posture="resumed", revision=2**40, listeners=names)
    if lie == "nonsense":
        said.update(generation=[], listeners="all", posture={{}})
    return said, fds

def take_stock(self):
    said, fds = inventory(self)
    self._outbox.send(said, fds)
    if how() in ("mute", "failed"):
        return self._outbox.send(dict(type="failed")) if how() == "failed" else None
    for worker in self._workers:
        self._lifecycle.report(worker)
        self._outbox.send(dict(type="state", worker=worker.number, state=worker.state.value))
    if os.path.exists(LOOT + "/stranger"):
        with open(LOOT + "/stranger") as file:
            pid = int(file.read())
        for number, (control, _) in enumerate((socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET),) * 2):
            said = dict(type="worker", worker=70 + number, pid=(pid, os.getpid())[number], slot=9, revision=1)
            self._outbox.send(said, [control.fileno(), os.pidfd_open(pid)])
    self._outbox.send(dict(type="ready"))

def obey(self, message, fds):
    if message.get("type") != "quit" or how() != "scoreboard":
        honest_obey(self, message, fds)

controller.Controller.take_stock, controller.Controller.obey = take_stock, obey

def impostor():
    os.kill(os.getppid(), signal.SIGKILL)
    while True:
        select.select(DOORS, [], [])
        client, _ = DOORS[0].accept()
        client.sendmsg([json.dumps(dict(type="hello", pid=1, link=1, features=["door"], settings=[])).encode()])
        client.sendmsg([json.dumps(dict(type="inventory", generation=1, posture="resumed", listeners=[])).encode()],
                       [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                         struct.pack("=5i", *[os.memfd_create("x")] * 4, forged_keepsake()))])

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/look":
        for what in ("releve-keepsake", "releve-scoreboard", "socket"):
            attempt("open its master's " + what, look, os.getppid(), what)
    elif path == "/impostor":
        threading.Thread(target=impostor, daemon=True).start()
    return honest(environ | {{"PATH_INFO": "/release"}} if path in ("/look", "/impostor") else environ, start_response)
"""

OWN = {"log", "run", "run/lock", "state", "state/history.jsonl"}  # what a service makes, and leaves
PROOF = "#!/bin/sh\nid -u >> {loot}/proof\nexec sleep 1\n"

# In the import of a release, on its master's link: a process of root's is its worker, each time told in another way,
# and its master; and the boot fails, so that what it has is ended.
CLAIM = """
import array, json, os, socket

with open("/proc/self/cmdline") as file:
    link = socket.socket(fileno=os.dup(int(file.read().split("\\0")[-2])))
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
victim, me = {victim}, os.getpid()
link.send(json.dumps(dict(type="hello", pid=victim, link=1, exchange=1, scoreboard=1)).encode())
for number, (said, process) in enumerate(((victim, victim), (me, victim), (victim, me))):
    message = dict(type="worker", worker=77 + number, pid=said, slot=number, revision=1)
    rights = array.array("i", [ours.fileno(), os.pidfd_open(process)])
    link.sendmsg([json.dumps(message).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
raise SystemExit("and the boot fails")
"""

# A process that takes no signal, so that each one that it is sent stays to be seen.
STRANGER = (
    "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
    "print(flush=True)\ntime.sleep(300)"
)


@contextlib.contextmanager
def stranger() -> Iterator[int]:
    """A process of root's that has nothing to do with it, and is sent no signal."""
    process = subprocess.Popen([sys.executable, "-S", "-c", STRANGER], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None and process.stdout.readline()
        yield process.pid
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        assert process.poll() is None and status["State"].startswith("S"), (
            f"a process that a release has named was signalled: {status['State']}"
        )
        assert not int(status["ShdPnd"], 16) | int(status["SigPnd"], 16), (
            "a process that a release has named was signalled"
        )
    finally:
        process.kill()
        process.communicate()


def about(folder: Path) -> Iterator[psutil.Process]:
    """The processes that run in a folder, or were started with its name."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and str(folder) in " ".join(
                (process.cwd(), process.exe(), *process.cmdline())
            ):
                yield process


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """What is in a folder, links not followed: whose each is, and when anything about it was changed."""
    found = {str(path.relative_to(folder)): path.lstat() for path in folder.rglob("*")}
    return {name: (seen.st_uid, seen.st_ctime_ns) for name, seen in found.items()}


@contextlib.contextmanager
def attacked(folder: Path, **settings: Any) -> Iterator[tuple[Service, Path]]:
    """A service of root whose application is the attacker's, and where that puts what it finds.

    In the end there is no process, no file and no signal but the service's and the release's own.
    """
    loot = folder / "loot"
    loot.mkdir()
    loot.chmod(0o777)
    for name in ("refused", "succeeded", "keepsake"):
        (loot / name).touch()
        (loot / name).chmod(0o666)
    (loot / "how").touch()
    (loot / "python").write_text(PROOF.format(loot=loot))
    (loot / "python").chmod(0o755)
    how: dict[str, Any] = {"timeouts": {"drain": "500ms"}, "log": {"access": "off"}, **settings}
    with stranger() as pid:
        (loot / "stranger").write_text(str(pid))
        with serving(folder, start=False, python=PYTHON, user=USER, preload=True, **how) as service:
            service.release("one", app=ATTACK.format(loot=str(loot)), before=APPLICATION.read_text())
            service.release("two", app=CLAIM.format(victim=pid))
            before, releases = files(folder), files(service.releases)
            service.start()
            yield service, loot
            everybody_is_the_user(service)
        assert not list(about(folder)), "a process is left"
    left = {name: uid for name, (uid, _) in files(folder).items() if name not in before and name not in OWN}
    assert set(left.values()) <= {pwd.getpwnam(USER).pw_uid}, "a file of root's is left that is not the service's own"
    assert all(name.startswith("loot/") for name in left), "the release has made a file where it may not"
    assert files(service.releases) == releases
    assert not (loot / "proof").exists(), "the supervisor did what an attacker had written"


@contextlib.contextmanager
def clients(service: Service) -> Iterator[None]:
    """One after the other, each on a connection of its own; every one is answered."""
    failures: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            began = time.time()
            try:
                assert service.request("GET", "/release")[0] == 200
            except (OSError, http.client.HTTPException, AssertionError) as error:
                failures.append(f"{error!r} after {time.time() - began:.3f} s, at {time.strftime('%H:%M:%S')}")
            over.wait(0.01)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()
    assert not failures, failures[:5]


def noted(loot: Path, name: str) -> set[str]:
    return set((loot / name).read_text().splitlines())


def dead(pid: int) -> bool:
    return not alive(pid)


def everybody_is_the_user(service: Service) -> None:
    """Nothing of a release runs as root, whatever a release says: root's are the supervisor and its sentry."""
    for process in about(service.root):
        eventually(partial(is_right, process), f"{process} is the user's, ours, or has ended")


def is_right(process: psutil.Process) -> bool:
    """Of the user, or the supervisor or its sentry, or ended. False also in the middle of an exec."""
    with contextlib.suppress(psutil.Error):
        command = process.cmdline()  # first: what is being started is still the supervisor
        if set(process.uids()) <= {pwd.getpwnam(name).pw_uid for name in (USER, OTHER)}:
            return True
        return bool(command) and (
            command[0].startswith("releve: supervisor ")
            or (command[0] == OURS and bool({"releve", "releve.supervisor.sentry"} & set(command)))
        )
    return True
