"""The environment of processes that a supervisor starts: what is meant for itself alone, and what it tells its
successors.
"""

from __future__ import annotations

from collections.abc import Mapping

from releve.server.shared.revive import REVIVED

REEXECUTED = "REEXECUTED_BY_RELEVE"  # what the program before hands over in the same process (JSON)
SENTRY = "SENTRY_OF_RELEVE"  # tells a supervisor that a sentry has started: descriptor of the link, pid of the sentry

# Addressed to the process that systemd started, by pid or by descriptor number: wrong in any other process.
OURS_ALONE = frozenset(
    {
        "NOTIFY_SOCKET",
        "LISTEN_PID",
        "LISTEN_PIDFDID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "FDSTORE",
        "MAINPID",
        "MANAGERPID",
        REVIVED,
        SENTRY,
    }
)


def strip(environ: Mapping[str, str]) -> dict[str, str]:
    """A copy of the environment without what systemd meant for the supervisor alone.

    What describes the unit (``INVOCATION_ID``, ``STATE_DIRECTORY``, ``CREDENTIALS_DIRECTORY``,
    ``JOURNAL_STREAM``) stays: the application may use it.
    """
    return {name: value for name, value in environ.items() if name not in OURS_ALONE}
