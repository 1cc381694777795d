"""Promise: a master or worker that speaks nonsense hurts its own generation and nothing else; the service comes back to
health.

The application has the user of its master and may take the link from it (pidfd_getfd(2), where nothing forbids it).
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.load import strictly
from harness.service import Service, eventually, serving
from releve.instance.protocol import Status

HARNESS = Path(__file__).parents[1] / "harness"
HOSTILE = (HARNESS / "application.py").read_text() + "\nfrom hostile import attack\n\nRESPONSES['/link'] = attack\n"

# In the import: waits for as long as a file is there.
HELD = """
import os, time
while os.path.exists({hold!r}):
    time.sleep(0.01)
from hostile_app import application
"""

# In the import, as the master itself: has more workers than a process may have files open by default.
CROWD = """
import array, json, os, socket
with open("/proc/self/cmdline") as file:
    link = socket.socket(fileno=os.dup(int(file.read().split("\\0")[-2])))
for slot in range(300):
    pid = os.fork()
    if not pid:
        os.execv("/bin/sleep", ["sleep", "60"])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    said = json.dumps({"type": "worker", "worker": 100 + slot, "pid": pid, "slot": slot, "revision": 1}).encode()
    pidfd = os.pidfd_open(pid)
    link.sendmsg([said], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [ours.fileno(), pidfd]))])
    for one in (ours, theirs):
        one.close()
    os.close(pidfd)
from before import application
"""

# In the import, as the master itself: says that a process is its worker, and fails, so that the supervisor ends its
# workers.
CLAIM = """
import array, json, os, socket
with open("/proc/self/cmdline") as file:
    link = socket.socket(fileno=os.dup(int(file.read().split("\\0")[-2])))
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
victim = {victim}
said = json.dumps({{"type": "worker", "worker": 77, "pid": {said}, "slot": 0, "revision": 1}}).encode()
link.sendmsg([said], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [ours.fileno(), {fd}]))])
raise SystemExit("and the boot fails")
"""


def healthy(service: Service, number: int) -> bool:
    """Whether this generation serves, alone, and nothing is the matter."""
    status = service.status()
    found = [(g["state"], g["generation"]) for g in status["generations"]]
    return found == [("serving", number)] and status["status"] == 0 and not status["service"]["operation"]


@pytest.mark.parametrize("does", ["junk", "flood", "end"])
def test_a_link_that_is_spoilt_is_mended(tmp_path: Path, does: str) -> None:
    hold = tmp_path / "hold"  # while it is there, no master that follows is ready
    with serving(tmp_path, start=False) as service:
        hostile = (HARNESS / "hostile.py").read_text()
        service.release("one", app=HELD.format(hold=str(hold)), hostile_app=HOSTILE, hostile=hostile)
        service.start()
        with strictly(*service.addresses, clients=6, think=1.0, think_mean=0.05) as load:
            before = service.generation()
            descriptors = len(service.descriptors())
            hold.touch()
            assert service.get(f"/link?do={does}") == does.encode()
            # Junk is passed over. A link that has ended, or brings nothing else, is given up with its master: another
            # one follows.
            if does != "junk":
                lost = f"generation {before['generation']} lost its master; its workers keep serving"
                eventually(
                    lambda: service.status()["service"]["degraded"] == [lost], "it is said while the master is replaced"
                )
                shown = service.ctl("status")
                assert shown.returncode == Status.DEGRADED and "): degraded: " in shown.stdout and lost in shown.stdout
            hold.unlink()
            eventually(lambda: healthy(service, before["generation"] + (does != "junk")), "the service is healthy")
            assert service.log().count("link of the master: ignored") <= 3
            eventually(lambda: len(service.descriptors()) <= descriptors + 4, "what came with the messages is closed")
            service.do("scale", workers="3")
            service.do("reload")
            service.release("two")
            service.flip("two")
            service.do("upgrade")
            service.settled()
            load.wait(20)


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with the service."""
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], start_new_session=True)
    yield child
    child.kill()
    child.wait()


@pytest.mark.parametrize(
    ("said", "fd"),
    [
        ("victim", "os.pidfd_open(victim)"),
        ("os.getpid()", "os.pidfd_open(victim)"),
        ("victim", "os.pidfd_open(os.getpid())"),
    ],
    ids=["another", "another-by-its-pidfd", "another-by-its-number"],
)
def test_no_process_is_ended_because_a_master_calls_it_its_worker(
    tmp_path: Path, victim: subprocess.Popen[bytes], said: str, fd: str
) -> None:
    with serving(tmp_path) as service:
        service.release("two", app=CLAIM.format(victim=victim.pid, said=said, fd=fd))
        service.flip("two")
        assert service.ctl("upgrade").returncode == 4
        eventually(lambda: len(service.status()["generations"]) == 1, "the bad one has gone")
        assert victim.poll() is None
        assert service.who()["release"] == "one"


def test_a_crowd_of_workers_leaves_the_supervisor_descriptors(tmp_path: Path) -> None:
    """It holds some for each: at the usual soft limit, no ctl was answered any more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        with serving(tmp_path, start=False, workers=1) as service:
            service.release("one", app=CROWD, before=(HARNESS / "application.py").read_text())
            service.start()
            service.release("two")
            service.flip("two")
            service.do("upgrade")
            assert service.who()["release"] == "two"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_what_an_exception_says_forges_no_line_of_the_log(tmp_path: Path) -> None:
    said = "no\\n2026-11-23 21:38:31 INFO pid=1 all is well\\r\\x1b[2J\\x9b2J\\u202etxt"
    with serving(tmp_path) as service:
        service.release("two", app=f"def broken():\n    raise RuntimeError('{said}')\n\n\nbroken()\n")
        service.flip("two")
        shown = service.ctl("upgrade")
        assert shown.returncode == 4
        told = shown.stdout + shown.stderr + service.ctl("history").stdout + service.ctl("history", "--json").stdout
        for text in (service.log(), told):
            assert "all is well" in text
            assert not [mark for mark in "\r\x1b\x9b\u202e" if mark in text]
        lines = service.log().splitlines()
        assert not [line for line in lines if line.startswith("2026-11-23")]
        at = next(number for number, line in enumerate(lines) if "in broken" in line)
        assert lines[at + 1].strip() == "raise RuntimeError('" + said.replace("\\\\", "\\") + "')"
