"""The settings of the block ``hooks``, and of the block that one of its commands may be."""

from __future__ import annotations

from typing import Any

from releve.config.frozen import dataclass
from releve.config.settings.key import key


@dataclass(frozen=True, slots=True)
class Command:
    """A command in ``hooks``: a text for ``/bin/sh -c``, or a list that is run as it is; and how long it may take."""

    run: str | tuple[str, ...] = key(
        "", "run", "Text for the shell, or a list: a program and its arguments.", required=True, upgrade=True
    )
    timeout: float = key(60.0, "duration", "After which it is ended.", upgrade=True)


def _command(text: str) -> Any:
    return key(None, "command", text, off="off", upgrade=True, supervisor=True)


def _function(text: str) -> Any:
    return key(None, "function", text, off="off", upgrade=True)


@dataclass(frozen=True, slots=True)
class Hooks:
    """``hooks``: what is run at the turns of an upgrade (commands), and in each worker (functions)."""

    before: Command | None = _command(
        "Before a new generation is started; migrations, say. If it fails, nothing is touched."
    )
    after_ready: Command | None = _command(
        "When the new workers are ready and checked. If it fails, they get no traffic, ever."
    )
    after_switch: Command | None = _command("When they serve, beside the probation. Its failure is noted.")
    after_commit: Command | None = _command("When the new generation is committed. Its failure is noted.")
    on_failure: Command | None = _command("When an upgrade has failed before it served. Its failure is noted.")
    on_rollback: Command | None = _command("When the old generation serves again. Its failure is noted.")
    after_fork: str | None = _function("In each new worker before it is ready. If it fails, the worker has not booted.")
    on_pause: str | None = _function("In a worker that has paused, and whose last request has ended.")
    on_resume: str | None = _function("In a worker that had paused, before it accepts again.")
    on_exit: str | None = _function(
        "In each worker that leaves, when its last connection has gone; before its functions of atexit."
    )
