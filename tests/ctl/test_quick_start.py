"""``ctl`` is quick to start: it imports what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

START_S = 0.150
EMPTY_STARTS = 5
HEAVY = ("rich", "yaml", "asyncio", "psutil", "watchdog", "releve.config.settings")


def test_what_is_imported(fake: Callable[..., Any], environ: dict[str, str]) -> None:
    server = fake({"send": {"event": "result", "status": 0, "message": "fine", "service": {}, "generations": []}})
    code = f"""
import sys
from releve.ctl.main import run
run(["--socket", {str(server.path)!r}, "status"])
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, env=environ, check=True
    )
    assert ended.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [["--version"], ["status"]])
def test_it_starts_in_under_150_ms(fake: Callable[..., Any], environ: dict[str, str], arguments: list[str]) -> None:
    """Of processor time, which is what other processes on this machine take least of; the best of several.

    A machine on which an empty program takes more than a fifth of that is too busy for it: there it is five empty
    programs.
    """
    server = fake({"send": {"event": "result", "status": 0, "message": "fine", "service": {}, "generations": []}})
    taken, empty = [], []
    for _ in range(8):
        taken.append(cpu_s(["-m", "releve.ctl.main", "--socket", str(server.path), *arguments], environ))
        if taken[-1] < START_S:
            return
        empty.append(cpu_s(["-c", "pass"], environ))
    assert min(taken) < EMPTY_STARTS * min(empty), (
        f"the quickest of {len(taken)} starts took {min(taken) * 1000:.0f} ms"
    )


def cpu_s(arguments: list[str], environ: dict[str, str]) -> float:
    """Processor time of a run of this interpreter, which succeeds."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environ)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime
