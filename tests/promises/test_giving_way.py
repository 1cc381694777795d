"""A generation that boots beside one that serves gives way to it, and serves as usual."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.pythons import usable
from harness.service import APPLICATION, Service, eventually, serving

SYSTEM_PYTHON = "/usr/bin/python3"

# Each import says how it runs, and leaves a thread, a process, and one that has left its family.
APP = """
import os, subprocess, sys, threading
from pathlib import Path
import release

def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv("/bin/sleep", ["sleep", "60"])
        os._exit(0)
    os.wait()

said = Path(__file__).parents[1] / release.RELEASE
with said.with_suffix(".said").open("a") as file:
    file.write(f"{os.sched_getscheduler(0)}\\n")
subprocess.Popen(["sleep", "60"])
daemon()
threading.Thread(target=threading.Event().wait, daemon=True).start()

def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]
"""
WAITS = "import os, time\nwhile os.sched_getscheduler(0) == os.SCHED_BATCH:\n    time.sleep(0.01)\n"
REFUSES = """
import os
def refuse(*_):
    raise PermissionError(1, "as a container does")
os.sched_setscheduler = refuse
"""


def said(service: Service, release: str) -> list[int]:
    """By which policy each import of a release has run."""
    return list(map(int, service.releases.joinpath(release).with_suffix(".said").read_text().split()))


def policies(service: Service) -> dict[str, int]:
    """Of every thread of every process of the service, with words that say which."""
    found = {}
    for process in service.processes():
        for thread in process.threads():
            found[f"{' '.join(process.cmdline())} {thread.id}"] = os.sched_getscheduler(thread.id)
    return found


@pytest.mark.parametrize("preload", [True, False], ids=["preload", "each worker imports"])
def test_a_boot_gives_way_to_what_serves_and_nothing_of_it_stays_low(tmp_path: Path, preload: bool) -> None:
    with serving(tmp_path, start=False, preload=preload, workers=2) as service:
        service.release("one", app=APP)
        service.start()
        service.release("two", app=APP)
        service.flip("two")
        service.do("upgrade")
        imports = 1 if preload else 2
        assert said(service, "one") == [os.SCHED_OTHER] * imports  # nobody served
        assert said(service, "two") == [os.SCHED_BATCH] * imports
        service.settled()
        now = policies(service)
        assert sum("sleep" in words for words in now) >= 2 * imports
        assert set(now.values()) == {os.SCHED_OTHER}, now
        before = service.workers()
        os.kill(min(before), 9)
        eventually(lambda: len(service.workers() - {min(before)}) == 2, "another worker serves")
        if not preload:
            assert said(service, "two") == [*[os.SCHED_BATCH] * imports, os.SCHED_OTHER]  # one in service does not
        assert set(policies(service).values()) == {os.SCHED_OTHER}
        service.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user")
@pytest.mark.skipif(not usable(SYSTEM_PYTHON), reason=f"{SYSTEM_PYTHON} is not Python 3.11 or later")
def test_a_boot_as_another_user_gives_way_and_comes_back(open_folder: Path) -> None:
    with serving(open_folder, start=False, preload=True, python=SYSTEM_PYTHON, user="nobody") as service:
        service.releases.chmod(0o777)
        service.release("one", app=APP)
        service.start()
        service.do("upgrade")
        assert said(service, "one") == [os.SCHED_OTHER, os.SCHED_BATCH]
        assert set(policies(service).values()) == {os.SCHED_OTHER}
        service.kill()


def test_a_boot_does_not_give_way_for_ever(tmp_path: Path) -> None:
    """For a third of the time that it has, at most: an import that waits for the end of that is in time."""
    with serving(tmp_path, timeouts={"boot": "6s"}) as service:
        service.release("two", app=WAITS + APPLICATION.read_text())
        service.flip("two")
        service.do("upgrade")
        assert set(policies(service).values()) == {os.SCHED_OTHER}


def test_a_boot_that_fails_leaves_nothing_that_gives_way(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, preload=True) as service:
        service.start()
        service.release("two", app=APP + "\nraise SystemError\n")
        service.flip("two")
        assert service.ask("upgrade")["status"] == 4
        assert said(service, "two") == [os.SCHED_BATCH]
        now = policies(service)
        assert any("sleep" in words for words in now)
        assert set(now.values()) == {os.SCHED_OTHER}, now
        service.kill()


def test_where_the_host_refuses_it_an_upgrade_is_as_usual(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, preload=True) as service:
        modules = tmp_path / "modules"
        modules.mkdir()
        modules.joinpath("sitecustomize.py").write_text(REFUSES)
        service.environment["PYTHONPATH"] = str(modules)
        service.start()
        service.release("two", app=APP)
        service.flip("two")
        service.do("upgrade")
        assert said(service, "two") == [os.SCHED_OTHER]
        service.kill()
