"""Why an operation did not happen: one exception per different reaction."""

from __future__ import annotations

from typing import Any


class StepFailed(Exception):
    """A step of an operation failed; the operation is undone and what served goes on serving.

    ``step`` is the user's word for where, ``reason`` one line that says what and
    what to do, ``traceback`` the last lines of the application's own, if any; ``evidence`` is for the history.
    ``logged``: the log has the traceback already, line by line.
    """

    def __init__(
        self,
        step: str,
        reason: str,
        traceback: str = "",
        evidence: dict[str, Any] | None = None,
        *,
        logged: bool = False,
    ) -> None:
        super().__init__(reason)
        self.step = step
        self.reason = reason
        self.traceback = traceback
        self.logged = logged
        self.evidence = dict(evidence or {})


class RolledBack(StepFailed):
    """The new generation served, was judged bad, and the old one serves again."""


class UnsafePreload(Exception):
    """The import left threads or connected sockets, which a fork would break: start anew without preload."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(", ".join(found))
        self.found = found
