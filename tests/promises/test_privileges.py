"""Started as root, it binds port 80; what serves may then do nothing that its user may not, and a ``kill -9`` still
costs nothing.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import reach
from harness.customized import impatiently
from harness.load import strictly
from harness.pythons import usable
from harness.service import Service, eventually, serving
from harness.site import SYSTEM_PYTHON, lent

NAME = "www-data"

NOTHING = {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapAmb": 0}
BIND = 1 << 10  # CAP_NET_BIND_SERVICE

NOTED = (
    "with open({notes!r}, 'a') as _notes:\n    "
    "_notes.write(open('/proc/self/status').read().partition('Uid:')[2].split()[1] + '\\n')\n"
)

USER_ID, GROUP_ID = next(((one.pw_uid, one.pw_gid) for one in pwd.getpwall() if one.pw_name == NAME), (-1, -1))

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user"),
    pytest.mark.skipif(USER_ID < 0, reason=f"there is no user {NAME} here"),
    pytest.mark.skipif(not usable(SYSTEM_PYTHON), reason=f"{SYSTEM_PYTHON} is not Python 3.11 or later"),
]


def standing(pid: int) -> dict[str, Any]:
    """What the kernel says of a process: its user, its groups, its capabilities."""
    lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    return {
        "users": set(map(int, lines["Uid"].split())),
        "groups": set(map(int, lines["Gid"].split())) | set(map(int, lines["Groups"].split())),
        "capabilities": {name: int(lines[name], 16) for name in NOTHING},
        "no_new_privileges": lines["NoNewPrivs"] == "1",
        "umask": int(lines["Umask"], 8),
    }


def serves(service: Service) -> set[int]:
    """Master and workers."""
    return {service.generation()["pid"], *service.workers()}


def sentries(service: Service) -> list[psutil.Process]:
    found = []
    for process in service.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "releve.supervisor.sentry" in process.cmdline():
                found.append(process)
    return found


def sentry(service: Service) -> psutil.Process | None:
    return next(iter(sentries(service)), None)


def own_port_80() -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.80", 80))
        return True
    return False


@pytest.mark.skipif(not own_port_80(), reason="port 80 is taken, or not root's to bind here")
def test_port_80_and_nothing_else(open_folder: Path) -> None:
    expected = set(os.getgrouplist(NAME, GROUP_ID))
    with serving(open_folder, python=SYSTEM_PYTHON, user=NAME, umask="0027", listen=["127.0.0.80:80"]) as service:
        for _ in range(2):
            with socket.create_connection(("127.0.0.80", 80), 10) as client:
                client.sendall(b"GET /release HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 200")
            for pid in serves(service):
                now = standing(pid)
                assert now["users"] == {USER_ID} and now["groups"] == expected
                assert now["capabilities"] == NOTHING
                assert now["no_new_privileges"] and now["umask"] == 0o27
            service.do("upgrade")
        assert os.stat(service.control_socket).st_mode & 0o777 == 0o600
        assert os.stat(service.control_socket.parent).st_mode & 0o777 == 0o711


PEEP = """
import os, sys
for pid in sys.argv[1:]:
    for look in (lambda: os.listdir(f"/proc/{pid}/fd"), lambda: open(f"/proc/{pid}/mem"),
                 lambda: open(f"/proc/{pid}/environ")):
        try:
            look()
        except PermissionError:
            continue
        sys.exit(f"{pid} can be looked into")
print("nothing")
"""


def test_no_process_of_the_same_user_looks_into_a_master_or_a_worker(open_folder: Path) -> None:
    """Their descriptors are links, listeners and memory files, which a process of the same user could take and
    rewrite.
    """
    with serving(open_folder, python=SYSTEM_PYTHON, user=NAME, preload=True) as service:
        service.must("upgrade")
        told = [str(pid) for pid in serves(service)]
        look = [SYSTEM_PYTHON, "-c", PEEP, *told]
        done = subprocess.run(
            look, user=USER_ID, group=GROUP_ID, extra_groups=[], capture_output=True, text=True, timeout=30
        )
        assert done.stdout == "nothing\n", done.stderr
        dump = service.ask("dump", all=True)
        assert len(dump["processes"]) == 6 and not any(one["trouble"] for one in dump["processes"]), dump
        assert all(one["pss_bytes"] for one in service.ask("workers")["workers"])


def test_no_interpreter_of_a_release_ever_runs_as_root(open_folder: Path) -> None:
    """Not for the question what it is, nor for a hook: its start-up files are the release's, and run before anything of
    ours.
    """
    notes = open_folder / "notes"
    notes.touch()
    notes.chmod(0o666)
    packages = open_folder / "packages"
    packages.mkdir()
    (packages / "sitecustomize.py").write_text(NOTED.format(notes=str(notes)))
    hooks = {"before": f"{SYSTEM_PYTHON} -c pass", "after_commit": f"{SYSTEM_PYTHON} -c pass"}
    with serving(
        open_folder, start=False, python=SYSTEM_PYTHON, user=NAME, env={"PYTHONPATH": str(packages)}, hooks=hooks
    ) as service:
        service.release("one", app=NOTED.format(notes=str(notes)) + (service.releases / "one" / "app.py").read_text())
        service.start()
        service.must("upgrade", "--dry-run")
        service.must("check")
        service.do("upgrade")
        service.do("reload")
    noted = notes.read_text().split()
    assert len(noted) >= 12
    assert set(noted) == {str(USER_ID)}


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv, of util-linux")
def test_a_capability_of_the_supervisor_is_not_inherited(open_folder: Path) -> None:
    """As under the unit that is made for port 80: the supervisor has one, masters and workers have none, and the next
    one has it again.
    """
    os.chown(open_folder, USER_ID, GROUP_ID)
    with serving(open_folder, start=False, python=SYSTEM_PYTHON) as service:
        service.environment |= {"PYTHONPATH": str(lent()), "HOME": str(open_folder)}
        bounds = [
            "--reuid=www-data",
            "--regid=www-data",
            "--init-groups",
            "--inh-caps=+net_bind_service",
            "--ambient-caps=+net_bind_service",
        ]
        for path in open_folder.rglob("*"):
            os.lchown(path, USER_ID, GROUP_ID)
        with service.log_file.open("ab") as log:
            service.process = subprocess.Popen(
                ["setpriv", *bounds, SYSTEM_PYTHON, "-P", "-m", "releve", "-c", str(service.file)],
                cwd=open_folder,
                env=service.environment,
                stdout=log,
                stderr=log,
            )
        eventually(service.is_serving, "it serves")
        for _ in range(2):
            assert standing(service.supervisor())["capabilities"] == dict.fromkeys(NOTHING, BIND)
            for pid in serves(service):
                assert standing(pid)["capabilities"] == NOTHING
            before = service.workers()
            service.kill_supervisor()
            assert service.workers() == before


def test_a_supervisor_of_root_is_followed_by_one_of_root(open_folder: Path) -> None:
    with (
        serving(open_folder, python=SYSTEM_PYTHON, user=NAME) as service,
        strictly(*service.addresses, serving=1, clients=12) as load,
    ):
        workers, master, descriptors = service.workers(), service.generation()["pid"], 0
        for number in range(3):
            pid = service.kill_supervisor()
            load.wait(40)
            assert standing(pid)["users"] == {0}
            assert (service.workers(), service.generation()["pid"]) == (workers, master)
            if number == 1:
                descriptors = len(service.descriptors(pid))
        assert len(service.descriptors(service.supervisor())) <= descriptors + 1
        service.release("two")
        service.flip("two")
        load.begin(2)
        service.do("upgrade")
        load.done(2)
        for pid in serves(service):
            assert standing(pid)["capabilities"] == NOTHING


def test_a_sentry_that_is_killed_is_followed_by_another_one(open_folder: Path) -> None:
    with serving(open_folder, python=SYSTEM_PYTHON, user=NAME) as service:
        first = eventually(lambda: sentry(service), "there is a sentry")
        first.send_signal(signal.SIGTERM)  # which is not for it to obey
        first.send_signal(signal.SIGKILL)
        # the first may be seen for a moment yet
        eventually(lambda: not {first, None} & {sentry(service)}, "another one")
        before = service.workers()
        service.kill_supervisor()
        assert service.workers() == before
        assert sentry(service) is not None


def test_one_that_replaces_itself_keeps_a_sentry_and_one_that_hangs_is_ended_by_it(open_folder: Path) -> None:
    with (
        impatiently(open_folder, python=SYSTEM_PYTHON, user=NAME) as service,
        strictly(*service.addresses, serving=1, clients=10) as load,
    ):
        before, first, workers = service.supervisor(), sentry(service), service.workers()
        service.must("reexec")
        assert service.supervisor() == before
        second = eventually(
            lambda: next((p for p in sentries(service) if p != first), None), "the program that follows has its own"
        )
        eventually(lambda: sentries(service) == [second], "the one that was given up leaves", 60)
        os.kill(before, signal.SIGSTOP)
        service.killed = True
        assert service.process is not None
        assert service.process.wait(60) == -signal.SIGKILL

        def followed() -> bool:
            with contextlib.suppress(OSError):
                return service.supervisor() != before and service.status()["service"]["operation"] is None
            return False

        eventually(followed, "another one follows")
        load.wait(30)
        assert service.workers() == workers


def test_a_sentry_stands_only_where_it_is_needed(open_folder: Path) -> None:
    with serving(open_folder, start=False, python=SYSTEM_PYTHON) as service:
        reach.open_to_all(service.environment)
        service.start()
        assert sentry(service) is None
        service.configure(user=NAME, no_new_privileges=False)
        service.do("upgrade")
        for pid in serves(service):  # an application that needs a set-user-ID program may say so
            now = standing(pid)
            assert (now["no_new_privileges"], now["capabilities"]) == (False, NOTHING)
        eventually(lambda: sentry(service), "a sentry for masters that could not start a supervisor")
        service.configure(user=None)
        service.do("upgrade")
        eventually(lambda: sentry(service) is None, "nobody needs it any more")


def test_supervisor_and_sentry_killed_at_once(open_folder: Path) -> None:
    """Then the workers serve on until they are found, or leave after a while."""
    with serving(open_folder, python=SYSTEM_PYTHON, user=NAME) as service:
        guard = sentry(service)
        assert guard is not None and service.process is not None
        victims = [guard.pid, service.process.pid]
        before = service.workers()
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        service.process.wait(10)
        assert service.who()["release"] == "one"
        service.start()  # by hand, or by a service manager: it adopts
        assert service.workers() == before
        service.killed = True


def test_a_folder_that_the_user_may_not_read_is_refused_and_one_of_the_user_harms_nobody(open_folder: Path) -> None:
    with serving(open_folder, python=SYSTEM_PYTHON, user=NAME) as service:
        hidden = service.release("two")
        hidden.chmod(0o700)
        service.flip("two")
        refused = service.ctl("upgrade")
        assert refused.returncode == 4
        assert f"cannot use the directory {hidden}: {NAME} may not read it; change its mode" in refused.stderr
        assert service.who()["release"] == "one"
        service.flip("one")  # whose folder may be the user's, who puts a FIFO there: it holds up nobody
        (service.releases / "one" / ".git").mkdir()
        os.mkfifo(service.releases / "one" / ".git" / "HEAD")
        service.do("upgrade")


def test_the_access_log_is_roots_and_no_link_of_the_user_leads_elsewhere(open_folder: Path) -> None:
    logs = open_folder / "logs"
    logs.mkdir()
    os.chown(logs, USER_ID, GROUP_ID)
    access = logs / "access.log"
    with serving(open_folder, python=SYSTEM_PYTHON, user=NAME, log={"access": str(access)}) as service:
        assert service.who()["release"] == "one"
        eventually(access.read_text, "a worker has written what it could not have opened")
        seen = os.stat(access)
        assert (seen.st_uid, seen.st_mode & 0o777) == (0, 0o640)
        access.unlink()
        precious = open_folder / "precious"
        precious.touch(mode=0o600)
        access.symlink_to(precious)
        refused = service.ctl("upgrade")
        assert refused.returncode == 4 and "cannot open the access log" in refused.stderr
        assert precious.read_text() == ""


def test_a_log_folder_that_the_user_exchanges_for_a_link_leads_nowhere(open_folder: Path) -> None:
    """The user may not write in the folder of the logs, but in the one around it."""
    site, precious = open_folder / "site", open_folder / "precious"
    (site / "logs").mkdir(parents=True)
    precious.mkdir(mode=0o700)
    os.chown(site, USER_ID, GROUP_ID)
    with serving(
        open_folder, python=SYSTEM_PYTHON, user=NAME, log={"access": str(site / "logs" / "access.log")}
    ) as service:
        assert service.who()["release"] == "one"
        subprocess.run(
            ["sh", "-c", f"mv logs old && ln -s {precious} logs"], cwd=site, user=NAME, group=GROUP_ID, check=True
        )
        reopened = service.ctl("reopen")
        assert reopened.returncode == 4
        assert (
            f"cannot open the access log {site}/logs/access.log: a symbolic link, in a folder that another user may"
            in reopened.stderr
        )
        assert service.who()["release"] == "one"
        eventually((site / "old" / "access.log").read_text, "until then the old file is written to")
    assert list(precious.iterdir()) == []


def test_what_somebody_else_has_put_there_is_refused(open_folder: Path) -> None:
    service = Service(open_folder, python=SYSTEM_PYTHON)
    service.release("one")
    service.flip("one")
    runtime = service.control_socket.parent
    runtime.mkdir(mode=0o755)

    def refusal() -> str:
        service.log_file.unlink(missing_ok=True)
        service.start(wait=False)
        assert service.process is not None
        assert service.process.wait(30) == 2
        return service.log()

    planted = runtime / "ctl.sock"
    planted.symlink_to("/etc/passwd")
    assert f"cannot use {runtime}: {planted} is a symbolic link; check who can write there, and remove it" in refusal()
    planted.unlink()
    planted.touch()
    os.chown(planted, 65534, 65534)
    assert f"{planted} belongs to nobody (uid 65534)" in refusal()
    planted.unlink()
    assert not list(runtime.iterdir())
