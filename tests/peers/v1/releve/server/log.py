"""Relève's own log lines, the same in master and worker: one line per record, on standard error.

``2026-11-23 21:38:31 INFO gen=8 worker=2 pid=812 ready``
"""

from __future__ import annotations

import logging
import sys

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
ROOT = "releve"


class OneLine(logging.Formatter):
    """The log form. Line breaks inside a message are escaped; a traceback follows on lines of its own."""

    def __init__(self, generation: int, worker: int | None) -> None:
        who = f"gen={generation}" if worker is None else f"gen={generation} worker={worker}"
        super().__init__(f"%(asctime)s %(levelname)s {who} pid=%(process)d %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line of one record, without its traceback."""
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)


def setup(level: str, generation: int, worker: int | None = None) -> None:
    """Send what ``releve`` and its children log to standard error, replacing an earlier setup.

    The application's own logging (the root logger) is left alone. ``level`` is one
    of ``LEVELS``; another (a newer supervisor's) counts as ``info``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(generation, worker))
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [handler]
    logger.setLevel(LEVELS.get(level, logging.INFO))
    logger.propagate = False
    revive()


def revive() -> None:
    """Undo what an application's logging configuration did to our loggers.

    ``logging.config.dictConfig`` and ``fileConfig`` disable every logger that exists
    already unless told otherwise (``disable_existing_loggers``), ours among them.
    """
    for name, logger in logging.Logger.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and (name == ROOT or name.startswith(ROOT + ".")):
            logger.disabled = False
