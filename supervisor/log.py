"""The supervisor's log: standard error, one line per message, every line saying who.

``log.warning("…", extra={"who": "gen=8 pid=812"})`` names a generation; without
``extra`` the line speaks for the supervisor.
"""

from __future__ import annotations

import logging
import os
import sys

log = logging.getLogger("releve.supervisor")


class _Who(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "who"):
            record.who = f"pid={os.getpid()}"
        return True


def setup(level: str) -> None:
    """Send messages of at least this level to standard error."""
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(who)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        handler.addFilter(_Who())
        log.addHandler(handler)
        log.propagate = False
    log.setLevel(level.upper())
