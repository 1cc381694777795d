"""Upgrades by themselves: what the supervisor has in memory when the settings ask for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# A supervisor as it is after its start; then the settings of another generation turn `watch` on.
LATE = """
import asyncio, sys
from types import SimpleNamespace
import releve.supervisor.startup
from releve.supervisor.verbs.autoupgrade import AutoUpgrade

def ours():
    return {name for name in sys.modules if name.partition(".")[0] == "releve"}

async def main(folder):
    before = ours()
    assert "watchdog" not in sys.modules, "it costs every start what few services use"
    settings = SimpleNamespace(watch="code", directory=folder)
    pin = SimpleNamespace(resolved=folder, python_version=sys.version)
    configuration = SimpleNamespace(path=None)
    active = SimpleNamespace(pin=pin, settings=settings)
    service = SimpleNamespace(active=active, configuration=configuration)
    asked = asyncio.Event()
    auto = AutoUpgrade(service, lambda code: asked.set() or True)
    auto.follow()
    with open(folder + "/saved.py", "w") as file:
        file.write("x = 1")
    await asyncio.wait_for(asked.wait(), 20)
    auto.stop()
    assert ours() == before, ours() - before

asyncio.run(main(sys.argv[1]))
"""


def test_nothing_of_ours_is_imported_when_watching_begins(tmp_path: Path) -> None:
    """By then another Relève may be installed than the one that runs."""
    done = subprocess.run([sys.executable, "-c", LATE, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
