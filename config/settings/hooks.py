"""The settings of the block ``hooks``, and of the block that one of its commands may be."""

from __future__ import annotations

from typing import Any

from releve.config.frozen import dataclass
from releve.config.settings.key import key


@dataclass(frozen=True, slots=True)
class Command:
    """A command in ``hooks``: a text for ``/bin/sh -c``, or a list that is run as it is; and how long it may take."""

    run: str | tuple[str, ...] = key(
        "", "run", "Command line for the shell, or a list: a program and its arguments.", required=True, upgrade=True
    )
    timeout: float = key(60.0, "duration", "Time limit of the command; it is killed after that.", upgrade=True)


def _command(text: str) -> Any:
    return key(None, "command", text, off="off", upgrade=True, supervisor=True)


def _function(text: str) -> Any:
    return key(None, "function", text, off="off", upgrade=True)


@dataclass(frozen=True, slots=True)
class Hooks:
    """``hooks``: what is run at the turns of an upgrade (commands), and in each worker (functions)."""

    before: Command | None = _command(
        "Runs before a new generation starts; for example migrations. If it fails, nothing is started."
    )
    after_ready: Command | None = _command(
        "Runs when the new workers are ready and passed the check. If it fails, they never get traffic."
    )
    after_switch: Command | None = _command(
        "Runs when the new workers serve, during the probation. If it fails, nothing is undone.",
    )
    after_commit: Command | None = _command(
        "Runs when the new generation is committed. If it fails, nothing is undone.",
    )
    on_failure: Command | None = _command(
        "Runs when an upgrade failed before the new generation served. If it fails, nothing is undone.",
    )
    on_rollback: Command | None = _command("Runs when the old generation serves again. If it fails, nothing is undone.")
    after_fork: str | None = _function(
        "Runs in each new worker before it is ready. If it fails, the worker does not boot.",
    )
    on_pause: str | None = _function("Runs in a worker that paused, after its last request.")
    on_resume: str | None = _function("Runs in a worker that paused, before it accepts connections again.")
    on_exit: str | None = _function(
        "Runs in each worker that exits, after its last connection and before its atexit functions."
    )
