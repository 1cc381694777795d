"""A finding of the doctor, and how bad it is."""

from __future__ import annotations

from releve.config.frozen import dataclass

OK, UNKNOWN, WARNING, PROBLEM = "ok", "unknown", "warning", "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check has found, and what to do."""

    check: str
    severity: str
    text: str
    advice: str = ""
