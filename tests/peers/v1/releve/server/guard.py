"""The guard: a master that misses its supervisor starts another one, which adopts the generations.

What to start is in the keepsake, a memory file that the supervisor has given to the
master and replaces as things change. The master in service starts one at once; any
other one that has served does after a while, in case that one has gone too. Of two
that were started, the lock of the runtime directory keeps the second from running.
"""

from __future__ import annotations

import json
import logging
import os
import signal
from typing import Any

from releve.server import system

IN_SERVICE = ("active", "trial")  # roles of the generation that clients are served by
OTHERS_S = 5.0  # how long a master that is not in service waits for the one that is
FIRST_S, LAST_S = 2.0, 30.0  # between two tries, doubled each time

log = logging.getLogger("releve.master")


class Guard:
    """In the master: when to start a supervisor. Owns the keepsake."""

    def __init__(self, keepsake: int) -> None:
        self._keepsake = keepsake  # -1: there is none
        self.due: float | None = None  # monotonic
        self._delay_s = FIRST_S

    def keep(self, fd: int) -> None:
        """Take what is in ``fd``, which stays the caller's, for the keepsake from now on."""
        if self._keepsake >= 0:
            os.dup2(fd, self._keepsake, inheritable=False)

    def alarm(self, now: float) -> None:
        """The supervisor has gone without a goodbye."""
        self._delay_s = FIRST_S
        self.due = now + (0.0 if self._read().get("role") in IN_SERVICE else OTHERS_S)

    def calm(self) -> None:
        """There is one again."""
        self.due = None

    def step(self, now: float) -> None:
        """Start one, if it is time to."""
        if self.due is None or now < self.due:
            return
        self.due = now + self._delay_s
        self._delay_s = min(self._delay_s * 2, LAST_S)
        kept = self._read()
        if kept.get("uid") != os.geteuid():
            log.error("cannot start another supervisor: it ran as another user; start it by hand, or have the service manager do so")
            self.due = None
            return
        try:
            revive(kept["revive"])
        except (KeyError, TypeError, OSError) as error:
            log.error("cannot start another supervisor: %r", error)
            return
        log.warning("started another supervisor")

    def _read(self) -> dict[str, Any]:
        if self._keepsake < 0:
            return {}
        try:
            kept = json.loads(os.pread(self._keepsake, os.fstat(self._keepsake).st_size, 0))
        except (OSError, ValueError) as error:
            log.error("cannot read the keepsake: %s", error)
            return {}
        return kept if isinstance(kept, dict) else {}


def revive(what: dict[str, Any]) -> None:
    """Start a supervisor that is nobody's child here: ``argv``, ``directory``, ``environment``. Raises OSError, KeyError, TypeError.

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
            os.chdir(directory)
            os.execve(argv[0], argv, environment)
    finally:
        os._exit(0)
