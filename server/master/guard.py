"""The guard: a master that misses its supervisor starts another one, which adopts the generations.

It also ends one that hangs. A supervisor says every few seconds that it is alive, and
for how long its silence is to be borne; the master in service ends one that is silent
for longer, and then misses it like any other.

What to start is in the keepsake, a memory file that the supervisor has given to the
master and replaces as things change. The master in service starts one at once; any
other one that has served does after a while, in case that one has gone too. Of two
that were started, the lock of the runtime directory keeps the second from running.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from releve.server.master import door
from releve.server.process.output import standard
from releve.server.shared import system
from releve.server.shared.native import os, select, signal
from releve.server.shared.revive import REVIVED, Silence, revive
from releve.server.shared.runtime import LOCK_NAME

IN_SERVICE = ("active", "trial")  # roles of the generation that clients are served by
OTHERS_S = 5.0  # how long a master that is not in service waits for the one that is
FIRST_S, LAST_S = 2.0, 30.0  # between two tries, doubled each time
LOOK_S = 0.05  # until a supervisor that is about to end is looked at again, doubled each time

log = logging.getLogger("releve.master")


class Guard:
    """In the master: when to start a supervisor. Owns the keepsake."""

    def __init__(self, keepsake: int, door: int = -1) -> None:
        self._keepsake = keepsake  # -1: there is none
        self._door = door  # where the next supervisor finds this generation; -1: nowhere
        self.due: float | None = None  # monotonic
        self._delay_s = FIRST_S
        self._look_s = LOOK_S
        self._supervisor = -1  # its pidfd
        self._silence = Silence()

    def meet(self, link: int) -> None:
        """There is a supervisor, at the other end of a link."""
        self._forget()
        try:
            self._supervisor = system.open_peer(link)
        except OSError as error:
            log.warning("cannot watch whether the supervisor hangs: %s", error)

    def hear(self, now: float, within_s: float) -> None:
        """It is alive, and will say so again within that time."""
        self._silence.hear(now, within_s)

    def keep(self, fd: int) -> None:
        """Take what is in ``fd``, which stays the caller's, for the keepsake from now on."""
        if self._keepsake >= 0:
            os.dup2(fd, self._keepsake, inheritable=False)

    def alarm(self, now: float) -> None:
        """The supervisor has gone without a goodbye; or it lives, and only its link has ended."""
        self._silence.forget()
        self._delay_s = FIRST_S
        self._look_s = LOOK_S
        self.due = now + (0.0 if self._read().get("role") in IN_SERVICE else OTHERS_S)

    def calm(self) -> None:
        """There is one again, or none is needed any more."""
        self.due = None
        self._forget()

    def disown(self) -> None:
        """In a child: it has nothing to do with the supervisor."""
        self._forget()

    def next_due(self) -> float | None:
        """When ``step`` must be called next (monotonic)."""
        return min((due for due in (self.due, self._silence.until) if due is not None), default=None)

    def step(self, now: float) -> None:
        """End one that hangs, or start another one, if it is time to."""
        if self._silence.broken(now):
            self._end_supervisor()
        if self.due is None or now < self.due:
            return
        kept = self._read()
        if self._lives(kept):
            self.due = now + self._look_s
            self._look_s = min(self._look_s * 2, LAST_S)
            return
        self.due = now + self._delay_s
        self._delay_s = min(self._delay_s * 2, LAST_S)
        if kept.get("uid") != os.geteuid():
            log.warning(
                "the supervisor exited; this process may not start another one: the "
                "sentry or the service manager has to"
            )
            self.due = None
            return
        door.renew(self._door)
        try:
            # its output goes where it did, not to a log file of ours
            revive(kept["revive"], before=lambda: standard.lead(-1))
        except (KeyError, TypeError, OSError) as error:
            log.error("cannot start another supervisor: %r", error)
            return
        log.warning("started another supervisor")

    def _end_supervisor(self) -> None:
        if self._supervisor < 0 or self._read().get("role") not in IN_SERVICE:
            return
        log.error("the supervisor hangs: killing it and starting another one")
        try:
            signal.pidfd_send_signal(self._supervisor, signal.SIGKILL)
        except OSError as error:
            log.error("cannot kill the supervisor: %s; the sentry or the service manager has to", error.strerror)

    def _lives(self, kept: dict[str, Any]) -> bool:
        """Whether there is a supervisor, which has hung up on this generation, or never found it: no other one is of
        use.
        """
        if self._supervisor >= 0:
            ended = select.poll()
            ended.register(self._supervisor, select.POLLIN)
            if not ended.poll(0):
                return True
            os.close(self._supervisor)
            self._supervisor = -1
        try:
            runtime = json.loads(kept["revive"]["environment"][REVIVED])["runtime"]
            return bool(system.lock_holders(os.path.join(runtime, LOCK_NAME)))
        except (KeyError, TypeError, ValueError):
            return False

    def _forget(self) -> None:
        if self._supervisor >= 0:
            os.close(self._supervisor)
        self._supervisor = -1
        self._silence.forget()

    def _read(self) -> dict[str, Any]:
        if self._keepsake < 0:
            return {}
        try:
            kept = json.loads(os.pread(self._keepsake, os.fstat(self._keepsake).st_size, 0))
        except (OSError, ValueError) as error:
            log.error("cannot read the keepsake: %s", error)
            return {}
        return kept if isinstance(kept, dict) else {}
