"""A Relève that every user may read: below /root the one under test is root's alone, and it is lent to masters of other
users.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import os
import shutil
import tempfile
from pathlib import Path

import releve

PARTS = ("config", "ctl", "importer", "instance", "pages", "server", "supervisor")


def readable(path: Path) -> bool:
    """Whether every user may read a file: by its mode, and those of all folders above it."""
    return bool(path.stat().st_mode & 0o004) and all(folder.stat().st_mode & 0o001 for folder in path.parents)


@functools.cache
def packages() -> Path | None:
    """A folder for PYTHONPATH, with a copy of the Relève under test, until these tests end; None where every user may
    read that itself.
    """
    server = Path(str(importlib.import_module("releve.server").__file__)).resolve()
    if readable(server):
        return None
    made = Path(tempfile.mkdtemp(prefix="releve-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    lay_out(made)
    for path in (made, *made.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return made


def lay_out(folder: Path) -> None:
    """The package under test, in a folder for PYTHONPATH, as an installation has it: with its bytecode, which whoever
    may not write there would else compile at each start: 0.26 s for a supervisor and a master.
    """
    ours = folder / "releve"
    ours.mkdir()
    for file in Path(str(releve.__file__)).resolve().parent.glob("*.py"):
        shutil.copy(file, ours)
    for part in PARTS:
        found = Path(str(importlib.import_module(f"releve.{part}").__file__)).resolve().parent
        # with the times of the files, which the bytecode names; some may be written at this moment, under such names
        shutil.copytree(found, ours / part, ignore=shutil.ignore_patterns("*.pyc.*"))


def open_to_all(environment: dict[str, str]) -> None:
    """Have a service with this environment run a Relève that its user may read: before its start, if ``user`` comes
    later only.
    """
    found, folders = packages(), [one for one in environment.get("PYTHONPATH", "").split(os.pathsep) if one]
    if found and str(found) not in folders:
        environment["PYTHONPATH"] = os.pathsep.join([*folders, str(found)])
