"""Gunicorn's configuration file, which is Python code: run in a process of its own, it says what it has set."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from releve.config.errors import nearest
from releve.importer.document.failure import ImportFailure
from releve.importer.settings import values
from releve.importer.settings.table import SETTINGS

USUAL_FILE = "gunicorn.conf.py"
_EXECUTE = Path(__file__).with_name("execute.py")
_TIMEOUT_S = 60.0


def execute(location: str, folder: str, environ: Mapping[str, str], python: str) -> dict[str, Any]:
    """Run the file by itself, in a process of its own, and return what it says. Raises ImportFailure."""
    target = location.removeprefix("file:")
    name = short(location)
    if not target.startswith("python:"):
        target = os.path.join(folder, target)
        if not os.path.isfile(target):
            raise ImportFailure(f"cannot read {name}: no such file")
    out = os.memfd_create("configuration")
    try:
        ended = subprocess.run(
            [python, str(_EXECUTE), target, str(out)],
            pass_fds=[out], cwd=folder, env=dict(environ), stdin=subprocess.DEVNULL, stdout=2,
            timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
        size = os.fstat(out).st_size
        said: dict[str, Any] = (
            json.loads(os.pread(out, size, 0)) if size else {"error": f"Python exited with status {ended.returncode}"}
        )
    except subprocess.TimeoutExpired:
        raise ImportFailure(f"cannot read {name}: it did not finish in {_TIMEOUT_S:g} s") from None
    except OSError as error:
        raise ImportFailure(
            f"cannot run {name} with {python}: {_why(python, environ, error)}; choose another with --python"
        ) from None
    finally:
        os.close(out)
    if "error" in said:
        lines = "".join(f"\n  {line}" for line in said.get("lines", ()))
        advice = ""
        if "ImportError" in said["error"] or "ModuleNotFoundError" in said["error"]:
            advice = f"; it ran with {python}; choose the interpreter of the site with --python PATH"
        raise ImportFailure(f"cannot read {name}: {said['error']}{advice}{lines}")
    return said


def _why(python: str, environ: Mapping[str, str], error: OSError) -> str:
    """Why an interpreter did not start.

    For a bare name execvp(3) says EACCES if any folder of PATH may not be searched, though the program is in none.
    """
    named = "/" in python or any(os.path.lexists(os.path.join(one, python)) for one in os.get_exec_path(environ))
    if isinstance(error, PermissionError) and not named:
        return os.strerror(errno.ENOENT).lower()
    return (error.strerror or str(error)).lower()


def notes_on(found: Mapping[str, Any], name: str) -> list[str]:
    """What gunicorn passes over in a file without a word, and what its author may not have meant."""
    notes = []
    for word, value in found["values"].items():
        if word not in SETTINGS and isinstance(value, (bool, int, str, list)):
            meant = nearest(word, SETTINGS, likeness=0.85)
            if meant and not word.isupper():
                notes.append(
                    f"{word} = {values.shown(value)} ({name}): not a setting of gunicorn, which ignores "
                    f"it; did you mean {meant}?"
                )
    if found["unset"]:
        notes.append(f"{name} removes {', '.join(found['unset'])} from the environment: start releve without")
    return notes


def short(location: str) -> str:
    """A file in a message: its name without the folder, or the module."""
    return location if location.startswith("python:") else os.path.basename(location.removeprefix("file:"))
