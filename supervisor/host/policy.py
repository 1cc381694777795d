"""The policy: what members of ``control_group`` may do, who are neither root nor the supervisor's user (``control``).

docs/adr/0034-what-members-may-do.md
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from releve.config.frozen import dataclass
from releve.config.settings.control import CONTROL_VERBS, Control
from releve.instance import ownership

BOUNDS = "bounds"  # argument of an upgrade, which only the supervisor gives it


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one upgrade is held to: the real paths of folders in which its release must lie, and its interpreter if that
    was named.
    """

    folders: tuple[str, ...]
    python: bool

    def refusal(self, resolved: str, python: str) -> str | None:
        """Why a release (its folder resolved, and that of its interpreter) is none of those; None if it is."""
        if not _inside(resolved, self.folders):
            return _outside(resolved, self.folders)
        # the name in it may be a link out of there, as that of a virtual environment's is
        folder = os.path.dirname(python)
        return _outside(python, self.folders) if self.python and not _inside(folder, self.folders) else None


@dataclass(frozen=True, slots=True)
class Policy:
    """For members of ``group``, a number; ``uid`` is whom releases run as, who needs no trick to run code as itself."""

    control: Control
    group: int
    uid: int

    def refusal(self, name: str, verb: str, arguments: Mapping[str, Any]) -> str | None:
        """Why a member of that name may not do this; None if it may, as far as that can be told before it is done."""
        denied = f"permission denied: {name} may not use ctl {verb}"
        if self.control.may is not None and verb not in self.control.may:
            return f"{denied}; allowed: {words(self.control.may)}"
        if self.control.directories is None or verb != "upgrade":
            return None
        folders, reasons = self._sound()
        if not folders and reasons:
            return f"{denied}: {reasons[0]}"
        directory, python = arguments.get("directory"), _named(arguments)
        if directory and not _inside(os.path.realpath(str(directory)), folders):
            return f"{denied}: {_outside(str(directory), folders)}"
        if python and not (os.path.isabs(python) and _inside(os.path.realpath(os.path.dirname(python)), folders)):
            return f"{denied}: {_outside(python, folders)}"
        return None

    def bound(self, verb: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of what a member may do, with what it is held to while it is done."""
        if verb != "upgrade" or self.control.directories is None:
            return dict(arguments)
        return {**arguments, BOUNDS: Bounds(self._sound()[0], _named(arguments) is not None)}

    def picture(self) -> dict[str, Any] | None:
        """For ``ctl status``: what whoever asks may do; None for everything."""
        if self.control == Control():
            return None
        verbs = [verb for verb in CONTROL_VERBS if self.control.may is None or verb in self.control.may]
        return {
            "verbs": verbs,
            "directories": None if self.control.directories is None else list(self.control.directories),
        }

    def troubles(self) -> list[str]:
        """Which of the folders admit nothing, and why."""
        return self._sound()[1]

    def _sound(self) -> tuple[tuple[str, ...], list[str]]:
        """The real paths of folders that no member can put another one in the place of; and why others are none of
        them.
        """
        folders, reasons = [], []
        for folder in self.control.directories or ():
            reason = self._exchangeable(folder)
            if reason is None:
                folders.append(os.path.realpath(folder))
            else:
                reasons.append(f"control.directories: {folder} is ignored: {reason}")
        return tuple(folders), reasons

    def _exchangeable(self, folder: str) -> str | None:
        try:
            ends = (Path(folder), Path(os.path.realpath(folder, strict=True)))
            if not ends[1].is_dir():
                return "it is not a folder"
            for end in ends:
                for one, above in zip((end, *end.parents), end.parents, strict=False):
                    if (reason := self._open_to_members(one, above)) is not None:
                        return reason
        except OSError as error:
            return (error.strerror or str(error)).lower()
        return None

    def _open_to_members(self, folder: Path, above: Path) -> str | None:
        """Whether ``folder`` can be renamed in ``above`` by somebody who need not be trusted, and why."""
        inside, seen = os.lstat(folder), os.stat(above)
        if not self._trusted(seen):
            return f"{above} belongs to {ownership.user(seen.st_uid)}"
        if seen.st_mode & stat.S_ISVTX and self._trusted(inside):
            return None
        if seen.st_mode & stat.S_IWOTH:
            return f"every user may write in {above}"
        if seen.st_mode & stat.S_IWGRP and (seen.st_gid == self.group or seen.st_gid not in (0, os.getegid())):
            return f"its group may write in {above}"
        return None

    def _trusted(self, seen: os.stat_result) -> bool:
        return ownership.ours(seen) or seen.st_uid == self.uid


def words(names: tuple[str, ...]) -> str:
    """Names in a row; ``nothing`` where there are none."""
    return ", ".join(names) or "nothing"


def _named(arguments: Mapping[str, Any]) -> str | None:
    """The interpreter that was named for one upgrade."""
    python = str(arguments.get("python") or "auto")
    return None if python == "auto" else python


def _inside(real: str, folders: tuple[str, ...]) -> bool:
    return any(real == folder or real.startswith(folder.rstrip("/") + "/") for folder in folders)


def _outside(path: str, folders: tuple[str, ...]) -> str:
    return f"{path} is not in {' or '.join(folders) or 'any usable folder'} (control.directories)"
