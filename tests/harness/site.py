"""A service in a box: its unit, its release on disk, its socket; clients that keep asking; Relève for the system's
Python.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.client
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.box import Box

APP = """
import os, time

RELEASE = {release!r}

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1.0)
    body = RELEASE.encode()
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("X-Process", str(os.getpid()))]
    start_response("200 OK", headers)
    return [body]
"""
BROKEN = "import a_module_that_nobody_has\n" + APP


class Client(http.client.HTTPConnection):
    """HTTP over a Unix socket, which is the same inside and outside of the box."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))

    def ask(self, target: str = "/") -> tuple[str, str]:
        """The body, and the pid of the worker that made it."""
        self.request("GET", target)
        answer = self.getresponse()
        body = answer.read().decode()
        assert answer.status == 200, body
        return body, answer.headers["X-Process"]


class Site:
    """One service in the box: its unit, its release on disk, its socket."""

    def __init__(self, box: Box, unit: str, folder: Path) -> None:
        self.box = box
        self.unit = unit
        self.folder = folder
        self.socket = folder / "http.sock"
        self.cursor = box.cursor()

    def configure(self, name: str, more: str = "") -> None:
        if "\nupgrade:" not in "\n" + more:
            more += "upgrade: {probation: 500ms}\n"  # what is promised of the switch is seen at once
        text = f"app: app:app\ndirectory: {self.folder}\nlisten:\n- unix:{self.socket}\n{more}"
        self.box.write(f"/etc/releve/{name}.yaml", text)

    def release(self, text: str) -> None:
        # Python takes compiled code for fresh if the source has the same size and was written in the same second.
        shutil.rmtree(self.folder / "__pycache__", ignore_errors=True)
        (self.folder / "app.py").write_text(textwrap.dedent(text))

    def ask(self, target: str = "/") -> tuple[str, str]:
        with contextlib.closing(Client(self.socket)) as client:
            return client.ask(target)

    def workers(self) -> set[str]:
        """The pids of all workers, inside."""
        found = self.box.run("ps", "-o", "pid=", "--ppid", ",".join(map(str, self.masters())))
        return set(found.stdout.split())

    def masters(self) -> list[int]:
        """Their pids, inside."""
        found = self.box.run("pgrep", "-f", "^releve: master ")
        return [int(word) for word in found.stdout.split()]

    def systemctl(self, verb: str) -> tuple[int, str]:
        done = self.box.run("systemctl", verb, self.unit)
        return done.returncode, done.stdout + done.stderr

    def show(self, name: str) -> str:
        return self.box.show(self.unit, name)

    def must(self, verb: str) -> None:
        status, said = self.systemctl(verb)
        assert status == 0, f"systemctl {verb} {self.unit}: {said}\n{self.journal()}"

    def journal(self) -> str:
        """What the unit said since this object was made."""
        return self.box.journal(self.unit, self.cursor)

    def must_have_said(self, text: str) -> None:
        """The journal of the unit holds a text."""
        journal = self.journal()
        assert text in journal, journal

    def wait_for(self, name: str, value: str, within_s: float = 30.0) -> None:
        """Until a property of the unit has a value. Asked ever less often: each time two processes start."""
        begun = time.monotonic()
        while (seen := self.show(name)) != value:
            waited = time.monotonic() - begun
            assert waited < within_s, f"{name} is {seen}, not {value}\n{self.journal()}"
            time.sleep(min(0.3, max(0.02, waited / 10)))


class Load:
    """Clients that keep asking, half of them over kept-alive connections, and never retry."""

    def __init__(self, path: Path, clients: int = 4) -> None:
        self.path = path
        self.answered = 0
        self.lost: list[str] = []
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._ask, args=(number % 2 == 0,)) for number in range(clients)]

    def _ask(self, keep: bool) -> None:
        client = Client(self.path)
        while not self.ending.is_set():
            try:
                client.ask()
                self.answered += 1
            except Exception as error:
                self.lost.append(repr(error))
                client.close()
            if not keep:
                client.close()
            self.ending.wait(0.03)
        client.close()

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join()


SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGES = ("releve", "click", "yaml", "psutil", "watchdog", "rich", "markdown_it", "mdurl", "pygments")
PARTS = ("config", "ctl", "importer", "instance", "pages", "server", "supervisor")


def lend_packages(folder: Path) -> None:
    """Relève and what it needs, in a folder that the system's Python may be pointed to.

    Skips the test if that is of another version.
    """
    asked = [SYSTEM_PYTHON, "-c", "import sys; print(sys.version_info[:2])"]
    version = (
        subprocess.run(asked, capture_output=True, text=True, check=False) if os.path.exists(SYSTEM_PYTHON) else None
    )
    if version is None or version.stdout.strip() != str(sys.version_info[:2]):
        pytest.skip(
            "needs a system Python of the version of this one, to lend it psutil: it is "
            f"{version and version.stdout.strip()}"
        )
    for name in (*PACKAGES, *(f"releve.{part}" for part in PARTS)):  # of an editable install, the parts are elsewhere
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            for found in spec.submodule_search_locations:
                # with their bytecode: made anew at each start, where a unit may write nothing, it is most of what a
                # start costs
                shutil.copytree(Path(found).resolve(), folder / name.replace(".", "/"), dirs_exist_ok=True)


@functools.cache
def lent() -> Path:
    """The same in a folder that everybody may read, for as long as the tests run."""
    folder = Path(tempfile.mkdtemp(prefix="releve-lent-"))
    atexit.register(shutil.rmtree, folder)
    folder.chmod(0o755)
    lend_packages(folder)
    return folder


def lend_system_python(box: Box) -> Path:
    """Relève in ``/opt/made`` of a box, run by the system's Python, where every user may read it; the box's root."""
    root = Path(box.outside("root"))
    lend_packages(root / "opt/made/lib")
    for name, module in {"releve": "releve.supervisor.cli", "ctl": "releve.ctl.main"}.items():
        code = f"import sys; sys.argv[0] = '/opt/made/bin/{name}'; from {module} import main; main()"
        box.write(
            f"/opt/made/bin/{name}",
            f'#!/bin/sh\nPYTHONPATH=/opt/made/lib exec {SYSTEM_PYTHON} -P -c "{code}" "$@"\n',
            0o755,
        )
    return root


@contextlib.contextmanager
def drop_in(site: Site, text: str) -> Iterator[None]:
    """The unit with some lines changed."""
    path = f"/etc/systemd/system/{site.unit}.d/test.conf"
    site.box.write(path, text)
    site.box.must("systemctl", "daemon-reload")
    try:
        yield
    finally:
        site.box.run("systemctl", "stop", site.unit)
        site.box.must("rm", path)
        site.box.must("systemctl", "daemon-reload")
