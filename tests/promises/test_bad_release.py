"""Promise: a bad release cannot hurt the running one.

Every way in which a release can be bad, one after the other against the same
service under load. Each time ``ctl upgrade`` says what failed and exits with 4 (2
for the configuration), the same workers go on without a failed request, and
nothing of the attempt is left: no process, socket, file or descriptor.

All of them run in one process of pytest: the service is one, and the good release comes after every bad one.
"""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.load import Load, strictly
from harness.pythons import find_python, make_venv
from harness.service import PYTHON, Service, eventually, serving

HANG_BOOT_S = 4.0  # a start that hangs in nothing takes a part of it on a busy machine


def bad_app(text: str) -> Callable[[Service], None]:
    """A release whose app.py is this text."""

    def arrange(service: Service) -> None:
        service.release("bad", app=text)
        service.flip("bad")

    return arrange


def gone_directory(service: Service) -> None:
    shutil.rmtree(service.release("bad"))
    service.flip("bad")


def gone_interpreter(service: Service) -> None:
    service.configure(python=str(service.root / "venv-that-was-removed" / "bin" / "python"))


def broken_venv(service: Service) -> None:
    folder = service.release("bad")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to("/nonexistent/python3.11")
    service.flip("bad")


def no_python(service: Service) -> None:
    script = service.release("bad") / "python"
    script.write_text("#!/bin/sh\necho 'no python here' >&2\nexit 7\n")
    script.chmod(0o755)
    service.configure(python=str(script))


def old_python(service: Service) -> None:
    for version in ("3.10", "3.9", "3.8", "3.7", "3.6", "2.7"):
        found = find_python(version)
        if found:
            service.configure(python=found)
            return
    pytest.skip("no Python older than 3.11 here")


def foreign_server(service: Service) -> None:
    """The release's environment has a releve of another age, which speaks another version of the link."""
    folder = service.release("bad")
    package = folder / "vendored" / "releve" / "server"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("__version__ = '9.0'\n")
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import json, socket, sys\n"
        "link = socket.socket(fileno=int(sys.argv[2]))\n"
        "link.send(json.dumps({'type': 'hello', 'link': 99, 'releve': '9.0'}).encode())\n"
        "link.recv(65536)\n"
    )
    make_venv(PYTHON, folder / ".venv", package.parent.parent)
    service.flip("bad")


def failing_check(service: Service) -> None:
    text = Path(service.root / "releases" / "one" / "app.py").read_text()
    bad_app(
        text.replace(
            "def application(environ, start_response):",
            'def application(environ, start_response):\n    raise RuntimeError("broken inside")\n',
        )
    )(service)
    service.configure(upgrade={"check": "/healthz"})


def taken_address(service: Service) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    service.configure(listen=[*service.settings["listen"], f"127.0.0.1:{taken.getsockname()[1]}"])
    KEPT.append(taken)


def taken_socket(service: Service) -> None:
    taken = socket.socket(socket.AF_UNIX)
    taken.bind(str(service.root / "taken.sock"))
    taken.listen()
    service.configure(listen=[*service.settings["listen"], f"unix:{service.root / 'taken.sock'}"])
    KEPT.append(taken)


def broken_yaml(service: Service) -> None:
    service.file.write_text("app: [unclosed\nworkers: 2\n")


def full_disk(service: Service) -> None:
    """The history cannot be written: /dev/full says ENOSPC to every write."""
    history = next(Path(service.settings["state_directory"]).rglob("history.jsonl"))
    history.rename(history.with_suffix(".kept"))
    history.symlink_to("/dev/full")


def mend_disk(service: Service) -> None:
    kept = next(Path(service.settings["state_directory"]).rglob("history.kept"))
    kept.rename(kept.with_suffix(".jsonl"))


def unwritable_state(service: Service) -> None:
    """What a read-only file system does, also for root: the folder cannot be made or written."""
    state = Path(service.settings["state_directory"])
    state.rename(state.with_suffix(".kept"))
    state.write_text("a file where the folder was\n")


def mend_state(service: Service) -> None:
    state = Path(service.settings["state_directory"])
    state.unlink()
    state.with_suffix(".kept").rename(state)


KEPT: list[socket.socket] = []
AFTER_FORK = (
    "import os, threading, time\n{how}\ndef application(environ, start_response):\n    start_response('200 "
    "OK', []); return [b'']\n"
)


@dataclass(frozen=True)
class Case:
    """One bad release: how it comes about, and what ctl must say."""

    arrange: Callable[[Service], None]
    step: str
    says: tuple[str, ...]
    status: int = 4
    mend: Callable[[Service], None] = field(default=lambda service: None)
    settings: dict[str, Any] = field(default_factory=dict)
    found_by: str = "file"


CASES = {
    "release directory gone": Case(gone_directory, "directory", ("does not exist", "current")),
    "interpreter gone": Case(gone_interpreter, "interpreter", ("venv-that-was-removed", "does not exist")),
    "virtual environment broken": Case(broken_venv, "interpreter", (r"\.venv/bin/python", "/nonexistent/python3.11")),
    "no interpreter at all": Case(no_python, "interpreter", ("not a working Python", "no python here")),
    "an incompatible interpreter": Case(old_python, "interpreter", (r"it is Python [23]\.\d+", r"3\.11 or later")),
    "an incompatible releve": Case(
        foreign_server, "boot", ("releve 9.0 of the release speaks link version 99", "this supervisor speaks 1")
    ),
    "syntax error": Case(bad_app("def application(:\n"), "import", ("SyntaxError", r"app\.py", r"def application\(:")),
    "ImportError": Case(
        bad_app("def load():\n    import no_such_module_at_all\n\nload()\n"),
        "import",
        ("ModuleNotFoundError", "no_such_module_at_all", r"app\.py.*line 4", "Traceback"),
    ),
    "application object missing": Case(bad_app("app = None\n"), "import", ("application", "app")),
    "application not callable": Case(bad_app("application = 3\n"), "import", ("application", "callable")),
    "import hangs": Case(
        bad_app("import time\n\ndef wait_for_the_moon():\n    time.sleep(600)\n\nwait_for_the_moon()\n"),
        "boot",
        (r"\b4\b", "wait_for_the_moon"),
        settings={"timeouts": {"boot": f"{HANG_BOOT_S:g}s"}},
    ),
    "import calls sys.exit": Case(bad_app("import sys\nsys.exit(3)\n"), "import", (r"sys\.exit\(3\)|SystemExit",)),
    "import calls os._exit": Case(bad_app("import os\nos._exit(5)\n"), "boot|import", ("status 5",)),
    "import killed by a signal": Case(
        bad_app("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"), "boot|import", ("SIGKILL",)
    ),
    "import crashes": Case(
        bad_app("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"), "boot|import", ("SIGSEGV", r"app\.py")
    ),
    "import fails in the workers": Case(
        bad_app("raise LookupError('only when imported')\n"),
        "import",
        ("LookupError: only when imported",),
        settings={"preload": False},
    ),
    "import hangs in the workers": Case(
        bad_app("import time\ntime.sleep(600)\n"),
        "boot",
        (r"\b4\b",),
        settings={"preload": False, "timeouts": {"boot": f"{HANG_BOOT_S:g}s"}},
    ),
    "check answers 500": Case(failing_check, "check", ("/healthz", "500")),
    "worker dies in the check": Case(
        bad_app("import os\ndef application(environ, start_response):\n    os._exit(9)\n"),
        "check",
        (),
        settings={"upgrade": {"check": "/healthz"}},
    ),
    "worker dies right after ready": Case(
        bad_app(
            AFTER_FORK.format(
                how="os.register_at_fork(after_in_child=lambda: threading.Timer(0.1, os._exit, (9,)).start())"
            )
        ),
        "check|switch|boot|workers",  # the last two if the time runs out before it has said that it is ready
        ("status 9",),
    ),
    "address in use": Case(
        taken_address, "listen", ("cannot listen on 127.0.0.1", "in use"), mend=lambda service: KEPT.pop().close()
    ),
    "Unix socket in use": Case(taken_socket, "listen", ("taken.sock",), mend=lambda service: KEPT.pop().close()),
    "broken YAML": Case(broken_yaml, "configuration", (r"releve\.yaml:\d+:\d+: cannot",), status=2, found_by="socket"),
    "unknown key": Case(
        lambda service: service.configure(wrokers=3),
        "configuration",
        (r"releve\.yaml:\d+:\d+: cannot", "workers"),
        status=2,
    ),
    "disk full": Case(full_disk, "history|record|preflight", ("cannot record", "(?i)no space left"), mend=mend_disk),
    "state directory not writable": Case(
        unwritable_state, "history|record|preflight", ("cannot record",), mend=mend_state
    ),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("bad"), workers=2) as running:
        yield running


@pytest.fixture(scope="module")
def load(service: Service) -> Iterator[Load]:
    with strictly(*service.addresses, serving=1, clients=12, think=2.0, think_mean=0.12) as herd:
        yield herd


@dataclass(frozen=True)
class Picture:
    """What must be the same before and after."""

    generation: int
    workers: frozenset[int]
    processes: frozenset[int]
    descriptors: tuple[str, ...]
    files: frozenset[str]
    listeners: tuple[str, ...]

    @classmethod
    def of(cls, service: Service) -> Picture:
        return cls(
            service.serving(),
            frozenset(service.workers()),
            frozenset(service.pids()),
            tuple(service.descriptors()),
            frozenset(service.files()) - {"taken.sock", "state.kept"},
            tuple(service.status()["service"]["listeners"]),
        )


@pytest.mark.parametrize("name", CASES)
def test_bad_release(service: Service, load: Load, name: str) -> None:
    case = CASES[name]
    good = dict(service.settings)
    before, logged = Picture.of(service), len(service.log())
    try:
        shutil.rmtree(service.releases / "bad", ignore_errors=True)
        service.configure(**case.settings)
        case.arrange(service)
        load.wait(12)
        done = service.ctl("upgrade", found_by=case.found_by)
        load.wait(12)
        said = done.stdout + done.stderr
        history = service.status()["last"]
    finally:
        case.mend(service)
        service.settings = good
        service.configure()
        service.flip("one")
    assert done.returncode == case.status, said
    for pattern in case.says:
        assert re.search(pattern, said), f"{pattern!r} is not in:\n{said}"
    assert re.search(case.step, said), f"the step {case.step} is not in:\n{said}"
    assert re.search(r"generation 1 is serving|generation 1\b.*serv", said), f"what serves now is not in:\n{said}"
    if case.status == 4 and "history" not in case.step:
        assert history["outcome"] == "failed", history
        assert re.fullmatch(case.step, history["step"]), history
    if case.step == "import":
        assert service.log()[logged:].count(" ERROR ") == 1, "the reason is logged once, with what failed for it"
    eventually(lambda: Picture.of(service) == before, f"all is as before: {Picture.of(service)} is {before}", 5.0)
    report = load.report()
    assert report["failed"] == 0, report["failures"]


def test_and_then_a_good_one(service: Service, load: Load) -> None:
    """After all of that an upgrade works, and the history has every attempt once."""
    load.stop()  # nobody can say beforehand which number the new generation gets
    service.release("two")
    service.flip("two")
    service.do("upgrade")
    assert service.who()["release"] == "two"
    numbers = [e["id"] for e in service.ask("history")["entries"]]
    assert numbers == sorted(set(numbers))
    with strictly(*service.addresses, serving=service.serving(), clients=8):
        pass
