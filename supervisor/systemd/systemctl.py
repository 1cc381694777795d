"""systemctl(1), asked about the unit that this process runs in."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from releve.supervisor.host import program

SYSTEMCTL_S = 5.0
JOBS_S = 2.0  # while it is awaited everything goes on
USERS = "/user@"  # in the control group of all that a user's own manager runs
_UNIT = re.compile(r"/([^/]+\.service)(?:/|$)")


def unit_name(environ: Mapping[str, str] = os.environ) -> str | None:
    """The unit's; None outside of systemd."""
    found = _UNIT.findall(_group())
    # the innermost: a user's units are below the unit of the user's own manager
    return found[-1] if found and "INVOCATION_ID" in environ else None


def of_user() -> bool:
    """Whether the manager that runs this process is a user's own."""
    return USERS in _group()


async def ask(*words: str, timeout_s: float = SYSTEMCTL_S, environ: Mapping[str, str] = os.environ) -> str | None:
    """What it says, asked of the manager that runs us; None if it fails."""
    argv = ["systemctl", *(["--user"] if of_user() else []), *words]
    try:
        ended = await program.run(argv, timeout_s, directory="/", environment=dict(environ))
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.output if ended.status == 0 else None


async def stops_for_good(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether systemd stops the unit and starts nothing in its place: False in a restart, and where it does not say.

    Its job says so (org.freedesktop.systemd1(5)), to whoever asks, as long as there is a D-Bus that knows the user. A
    unit whose ``FileDescriptorStorePreserve=`` keeps its sockets over a stop (254 and later) is one that comes back.
    """
    name = unit_name(environ)
    if name is None:
        return False
    jobs = await ask("list-jobs", "--no-legend", "--no-pager", "--plain", "--full", timeout_s=JOBS_S, environ=environ)
    if jobs is None or job_of(name, jobs) != "stop":
        return False
    kept = await ask("show", "--property=FileDescriptorStorePreserve", name, timeout_s=JOBS_S, environ=environ)
    return kept is not None and kept.strip() != "FileDescriptorStorePreserve=yes"


def job_of(unit: str, listed: str) -> str | None:
    """The type of a unit's job in what ``systemctl list-jobs`` printed; None if it has none."""
    for line in listed.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1] == unit:
            return words[2]
    return None


def _group() -> str:
    try:
        return Path("/proc/self/cgroup").read_text()
    except OSError:
        return ""
