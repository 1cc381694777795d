"""Services whose processes die at a moment of an operation: its hooks, and the application itself, strike."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.service import Service, eventually, serving

DEATHS = {  # which files of pids it strikes
    "new-master": "2-master",
    "old-master": "1-master",
    "both-masters": "?-master",
    "old-whole": "1-*",
    "new-whole": "2-*",
    "both-whole": "?-*",
}

TRUE = {0: {"done"}, 8: {"done"}, 4: {"failed"}, 5: {"rolled back"}}  # exit status -> outcomes in the history

STRIKE = """
cd {root}
[ "$(cat plan 2>/dev/null)" = "$1" ] || exit 0
rm plan
kill -9 $(cat pids/{pids})
exit 0
"""

APP = """
import glob, os, subprocess
from before import application as inner

def note(name):
    with open({root!r} + f"/pids/{{os.environ['RELEVE_GENERATION']}}-{{name}}", "w") as file:
        file.write(f"{{os.getpid()}}\\n")

def strike(moment):
    subprocess.run(["/bin/sh", {root!r} + "/strike.sh", moment])

class Last:
    def __init__(self, body):
        self.body = body
    def __iter__(self):
        return iter(self.body)
    def close(self):
        strike("settle")

def application(environ, start_response):
    if environ["PATH_INFO"] != "/healthz":
        if os.environ["RELEVE_GENERATION"] == "2":
            strike("request")
        return inner(environ, start_response)
    strike("check")
    return Last(inner(environ, start_response))

def born():
    note(f"worker-{{os.getpid()}}")
    if len(glob.glob({root!r} + "/pids/2-worker-*")) == 2:
        strike("second")

note("master")
os.register_at_fork(after_in_child=born)
strike("boot")
"""


@contextlib.contextmanager
def doomed(root: Path, death: str, *, workers: int = 2, **upgrade: Any) -> Iterator[Service]:
    """A service whose releases strike as told by the file ``plan``."""
    (root / "pids").mkdir()
    (root / "strike.sh").write_text(STRIKE.format(root=root, pids=DEATHS[death]))
    hooks = {
        name: f"/bin/sh {root}/strike.sh {name}" for name in ("before", "after_ready", "after_switch", "after_commit")
    }
    how = {"check": "/healthz", "probation": "300ms", "standby": "2s", "retire": "3s", **upgrade}
    with serving(
        root, start=False, hooks=hooks, upgrade=how, workers=workers, timeouts={"boot": "10s"}, log={"access": "off"}
    ) as service:
        source = (service.releases / "one" / "app.py").read_text()
        for name in ("one", "two"):
            service.release(name, before=source, app=APP.format(root=str(root)))
        service.start()
        service.flip("two")
        yield service


def in_service(service: Service) -> bool:
    """One generation, which serves with both its workers, has a master, and is the only one that serves; nothing is
    under way.
    """
    with contextlib.suppress(OSError):
        status = service.status()
        states = [g["state"] for g in status["generations"]]
        (active,) = [g for g in status["generations"] if g["active"]] or [None]
        return (
            active is not None
            and status["service"]["operation"] is None
            and states.count("serving") == 1
            and set(states) <= {"serving", "standby"}
            and not active["orphaned"]
            and [w["state"] for w in active["workers"]] == ["serving"] * 2
        )
    return False


def judge(service: Service, status: int, said: str) -> None:
    """What the command said, what the history says and what serves are one and the same."""
    assert status in TRUE, said
    eventually(lambda: in_service(service), f"one generation is in service; {said}")
    (attempt,) = [entry for entry in service.ask("history")["entries"] if entry["verb"] == "upgrade"]
    assert attempt["outcome"] in TRUE[status], (attempt, said)
    assert service.who()["release"] == ("two" if attempt["outcome"] == "done" else "one"), (attempt, said)
    assert "unexpected error" not in service.log()
