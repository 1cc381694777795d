"""Fixtures for ``ctl``: scripted supervisors, and the command itself as a process."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import forked
from harness.terminal import Terminal

SCRIPT = Path(__file__).with_name("fake_supervisor.py")
WAIT_S = 20.0


class Fake:
    """A running scripted supervisor."""

    def __init__(self, path: Path, steps: list[dict[str, Any]]) -> None:
        self.path = path
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.go(json.dumps(steps))
        assert self.said() == "listening"

    def said(self) -> Any:
        """The next thing it says, waited for."""
        assert self.process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], WAIT_S)
            assert ready, "the scripted supervisor says nothing"
            byte = os.read(self.process.stdout.fileno(), 1)
            assert byte, "the scripted supervisor has ended"
            line += byte
        return json.loads(line)

    def go(self, name: str) -> None:
        """Let it pass an ``await`` step."""
        assert self.process.stdin is not None
        self.process.stdin.write(name.encode() + b"\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Callable[..., Fake]]:
    """Start a scripted supervisor: ``fake(step, …, path=…)``."""
    started: list[Fake] = []

    def start(*steps: dict[str, Any], path: Path | None = None) -> Fake:
        started.append(Fake(path or tmp_path / "ctl.sock", list(steps)))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing of this machine's own services is found by name."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RELEVE_", "XDG_"))}
    for name in (
        "RUNTIME_DIRECTORY",
        "STATE_DIRECTORY",
        "PORT",
        "WEB_CONCURRENCY",
        "PWD",
        "TERM",
        "COLUMNS",
        "NO_COLOR",
    ):
        kept.pop(name, None)
    return kept


@pytest.fixture
def ctl(tmp_path: Path, environ: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``ctl`` to its end: ``ctl("status", env={…}, cwd=…)``."""

    def run(
        *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return forked.run("ctl", arguments, cwd or tmp_path, {**environ, **(env or {})}, WAIT_S)

    return run


@pytest.fixture
def on_terminal(environ: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    """Start ``ctl`` on a terminal."""
    started: list[Terminal] = []

    def start(*arguments: str, term: str = "xterm-256color") -> Terminal:
        started.append(Terminal([sys.executable, "-m", "releve.ctl.main", *arguments], environ, term))
        return started[-1]

    yield start
    for one in started:
        one.end()
