"""The revival: how a guard starts this supervisor again, and how that one knows where the old one lived.

The command line, folder and environment are those of this process, less what systemd
addressed to it by its pid.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from releve.config.frozen import dataclass
from releve.server.shared.revive import REVIVED
from releve.supervisor.host.environment import OF_ONE_PROCESS


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a supervisor lives, and whoever follows it, whatever the configuration says by then."""

    runtime: Path
    state: Path
    control_group: str | None = None


def command(lives: Folders) -> dict[str, Any]:
    """What a guard or a sentry needs (``server/master/guard.py``, ``sentry.py``)."""
    environment = {name: value for name, value in os.environ.items() if name not in OF_ONE_PROCESS}
    lived = {"runtime": str(lives.runtime), "state": str(lives.state), "control_group": lives.control_group}
    environment[REVIVED] = json.dumps(lived)
    return {"argv": [sys.executable, *sys.orig_argv[1:]], "directory": os.getcwd(), "environment": environment}


def folders(environ: Mapping[str, str]) -> Folders | None:
    """Where the one that has gone lived; None for a supervisor that was not started by a guard."""
    try:
        said = json.loads(environ.get(REVIVED, ""))
        return Folders(Path(said["runtime"]), Path(said["state"]), said.get("control_group"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
