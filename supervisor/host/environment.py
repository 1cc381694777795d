"""The environment of processes that a supervisor starts: what is meant for itself alone, and what it tells its
successors.
"""

from __future__ import annotations

from collections.abc import Mapping

from releve.server.shared.revive import REVIVED

GENERATION_VARIABLE = "RELEVE_GENERATION"  # which one a process belongs to, by its number; hooks are told, too
REEXECUTED = "REEXECUTED_BY_RELEVE"  # what the program before hands over in the same process (JSON)
SENTRY = "SENTRY_OF_RELEVE"  # tells a supervisor that a sentry has started: descriptor of the link, pid of the sentry

# Addressed to one process, by pid or by descriptor number: wrong in the supervisor that a guard starts in its place.
OF_ONE_PROCESS = frozenset(
    {"LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", REVIVED, SENTRY}
)
# Meant for supervisors: wrong in any other process.
OURS_ALONE = OF_ONE_PROCESS | {"NOTIFY_SOCKET", "WATCHDOG_USEC", "FDSTORE", "MAINPID", "MANAGERPID"}


def strip(environ: Mapping[str, str]) -> dict[str, str]:
    """A copy of the environment without what systemd meant for the supervisor alone.

    What describes the unit (``INVOCATION_ID``, ``STATE_DIRECTORY``, ``CREDENTIALS_DIRECTORY``,
    ``JOURNAL_STREAM``) stays: the application may use it.
    """
    return {name: value for name, value in environ.items() if name not in OURS_ALONE}
