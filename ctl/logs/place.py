"""Where a service's lines go, as its supervisor says: in words, and what can be done where nobody keeps them."""

from __future__ import annotations

from typing import Any

from releve.config.frozen import dataclass
from releve.ctl.screens import render

FILE, JOURNAL = "file", "journal"
NOT_KEPT = {
    "terminal": "the supervisor's terminal",
    "pipe": "a pipe or socket of the program that started the supervisor",
    "nowhere": "nowhere: its standard streams are /dev/null",
    "closed": "nowhere: its standard streams are closed",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Of messages (``key`` log.file) or of access lines (log.access)."""

    key: str
    to: str
    path: str | None = None
    unit: str | None = None
    of_user: bool = False

    def words(self) -> str:
        """It in a few words."""
        if self.to == FILE:
            return f"file {render.line(self.path)}"
        if self.to == JOURNAL:
            return f"systemd's journal, {render.line(self.unit or 'releve')}"
        if self.to == "off":
            return f"off ({self.key})"
        more = f" ({render.line(self.path)})" if self.to == "terminal" and self.path else ""
        return f"{NOT_KEPT.get(self.to, render.line(self.to))}{more}"

    def refusal(self) -> str | None:
        """Why its lines cannot be read; None where they can."""
        if self.to in (FILE, JOURNAL):
            return None
        if self.to == "off":
            return "cannot read the access log: log.access is off; set it to a file, then `ctl reload`"
        what = "the log" if self.key == "log.file" else "the access log"
        example = "/var/log/mysite/mysite.log" if self.key == "log.file" else "/var/log/mysite/access.log"
        return f"cannot read {what}: it goes to {self.words()}; set {self.key}, as {example}, then `ctl reload`"


def place(key: str, said: Any) -> Place:
    """What a supervisor says of one; whatever it leaves out is unknown."""
    said = said if isinstance(said, dict) else {}
    path, unit = said.get("path"), said.get("unit")
    return Place(
        key,
        str(said.get("to") or "an unknown place"),
        path if isinstance(path, str) else None,
        unit if isinstance(unit, str) else None,
        said.get("user") is True,
    )
