"""Reviving a supervisor: when it has been silent for too long, and how another one is started.

For guards and the sentry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from releve.server.shared import system
from releve.server.shared.form import WAIT_MAX_S, number
from releve.server.shared.native import os, signal

REVIVED = "REVIVED_BY_RELEVE"  # in the environment of the next supervisor: where the one before lived (JSON)
DOUBT_S = 5.0  # after a silence that was too long: it may be us who were stopped, and its word may be on its way

within = number(0.001, WAIT_MAX_S)  # seconds in which a supervisor says again that it lives. Raises Unfit


class Silence:
    """How long a supervisor has said nothing, and whether that is too long."""

    def __init__(self) -> None:
        # monotonic: when ``broken`` must be asked next; None: it has never said anything
        self.until: float | None = None
        self._doubting = False

    def hear(self, now: float, within_s: float) -> None:
        """It is alive, and will say so again within that time."""
        self.until, self._doubting = now + within_s, False

    def forget(self) -> None:
        """Nothing is expected of it any more."""
        self.until, self._doubting = None, False

    def broken(self, now: float) -> bool:
        """Whether it hangs: silent for too long, and through a moment of doubt. Says so once."""
        if self.until is None or now < self.until:
            return False
        if not self._doubting:
            self.until, self._doubting = now + DOUBT_S, True
            return False
        self.forget()
        return True


def revive(what: dict[str, Any], before: Callable[[], object] = lambda: None) -> None:
    """Start a supervisor that is nobody's child here: ``argv``, ``directory``, ``environment``.

    Raises OSError, KeyError, TypeError.

    ``before`` is done in that process, before it becomes one.
    Two forks: under systemd it must be a child of PID 1 to become the main process.
    """
    argv = [str(word) for word in what["argv"]]
    environment = {str(name): str(value) for name, value in what["environment"].items()}
    directory = str(what["directory"])
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            system.forget_signals(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            before()
            os.chdir(directory)
            os.execve(argv[0], argv, environment)
    finally:
        os._exit(0)
