"""What of the supervisor's own surroundings must not reach a release, and what of the release's own comes first.

The supervisor was started in some environment: an activated one perhaps, of the release of that day. Whatever a later
release starts by name (``python``, a tool) must be its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from releve.server.shared import anchor

VENV_FOLDERS = (".venv", "venv")
_OF_AN_ENVIRONMENT = ("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "__PYVENV_LAUNCHER__")
_SEARCHED = ("PATH", "PYTHONPATH")  # what programs, and modules of children, are found by


def leave(environment: dict[str, str], resolved: str) -> None:
    """Take the starter's virtual environment out, and what is of the release that it belongs to, where that is another
    one's.
    """
    homes = [environment.get("VIRTUAL_ENV", ""), sys.prefix if sys.prefix != sys.base_prefix else ""]
    homes = [home for home in homes if home]
    folders = {
        path for home in homes for path in (os.path.join(home, "bin"), os.path.realpath(os.path.join(home, "bin")))
    }
    others = {release for home in homes if (release := _release_of(home)) and release != resolved}
    others = {one for one in others if os.path.dirname(one) == os.path.dirname(resolved)}

    def stays(entry: str) -> bool:
        real = os.path.realpath(entry)
        return (
            entry.rstrip("/") not in folders
            and real not in folders
            and not any(real.startswith(f"{one}/") for one in others)
        )

    for name in _OF_AN_ENVIRONMENT:
        environment.pop(name, None)
    for name in _SEARCHED:
        _filter(environment, name, stays)


def enter(environment: dict[str, str], python: str) -> None:
    """Put the virtual environment of an interpreter first, if it is of one."""
    folder = os.path.dirname(python)
    home = os.path.dirname(folder)
    if os.path.isfile(os.path.join(home, "pyvenv.cfg")):
        environment["VIRTUAL_ENV"] = home
        environment["PATH"] = first(folder, environment.get("PATH"))


def first(folder: str, path: str | None) -> str:
    """A search path with a folder at its beginning."""
    entries = (os.defpath if path is None else path).split(":")
    return ":".join([folder, *(entry for entry in entries if entry != folder)])


def pin(environment: dict[str, str], directory: str, resolved: str) -> None:
    """Have what leads through the links of the release's folder lead where they lead now, whatever becomes of them."""
    links = anchor.Anchor(directory, resolved).links
    for name in _SEARCHED:
        if name in environment:
            environment[name] = ":".join(anchor.anchored(entry, links) for entry in environment[name].split(":"))


def _release_of(home: str) -> str:
    """The folder of the release that has a virtual environment in it; empty where it stands for itself."""
    folder, name = os.path.split(os.path.realpath(home))
    return folder if name in VENV_FOLDERS else ""


def _filter(environment: dict[str, str], name: str, stays: Callable[[str], bool]) -> None:
    if name not in environment:
        return
    kept = [entry for entry in environment[name].split(":") if not entry or stays(entry)]
    if any(kept):
        environment[name] = ":".join(kept)
    else:
        del environment[name]
