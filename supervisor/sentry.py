"""The sentry: a small process with the supervisor's own rights, which starts another supervisor when that one is
killed.

Where masters may do less than the supervisor (it was started as root, they run as
``user``; or it holds a capability), none of them can be the guard (``server/master/guard.py``).
So the supervisor keeps this one (``sentry_process.py``), which does the same and nothing else, and ends one that hangs:
``python -P -m releve.supervisor.sentry --link FD``. It never sees a client, a
release or the configuration.
"""

from __future__ import annotations

import json
import logging
import math
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from releve.server.shared import form
from releve.server.shared.form import Form, Unfit, flag, is_memory, is_pidfd
from releve.server.shared.link import Link, LinkError, Message, close_all, pair
from releve.server.shared.revive import Silence, revive, within
from releve.supervisor.host.environment import SENTRY

log = logging.getLogger("releve.sentry")

TRIES = 6  # then whoever watches over the sentry (systemd) shall take over
FIRST_S, LAST_S = 1.0, 16.0  # between two tries, doubled each time
DEATH_S = 10.0  # from the end of a link to that of its process; one that lives on has no use for a sentry any more
REPEAT_S = 10.0  # how long a SIGTERM counts: the next supervisor may be the first to hear of it
FORMS: dict[str, Form] = {
    "watch": Form(brings=[("process", is_pidfd), ("memory file", is_memory())]),
    "alive": Form(needs={"within_s": within}),
    "goodbye": Form(may={"ending": flag}),
}
_IGNORED = (
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
)


class Sentry:
    """One ward at a time: the supervisor whose pidfd came last."""

    def __init__(self, link: Link, signals: int) -> None:
        self._link: Link | None = link
        self._signals = signals
        self._pidfd = -1  # of the ward; -1: it has died, and the next one has not said anything yet
        self._what: dict[str, Any] = {}  # how to start another one
        self._due: float | None = None  # monotonic
        self._silence = Silence()
        self._delay_s = FIRST_S
        self._tries = 0
        self._terminated = -math.inf  # monotonic: when SIGTERM came
        self._status: int | None = None  # to exit with

    def run(self) -> int:
        """Watch until told to leave, or nothing can be done any more; the exit status."""
        while self._status is None:
            poll = select.poll()
            for fd in (self._signals, self._pidfd, -1 if self._link is None else self._link.fileno()):
                if fd >= 0:
                    poll.register(fd, select.POLLIN)
            due = min((due for due in (self._due, self._silence.until) if due is not None), default=None)
            ready = {fd for fd, _ in poll.poll(None if due is None else max(0.0, due - time.monotonic()) * 1000)}
            if self._signals in ready and signal.SIGTERM in os.read(self._signals, 4096):
                self._told_to_end()
            if self._link is not None and self._link.fileno() in ready:
                self._listen()
            if self._status is None and self._pidfd in ready:
                self._ward_died()
            if self._silence.broken(time.monotonic()):
                self._end_ward()
            if self._status is None and self._due is not None and time.monotonic() >= self._due:
                self._act()
        return self._status

    def _listen(self) -> None:
        link = self._link
        for message, fds in link.messages() if link is not None else ():
            try:
                said = form.read(FORMS, message, fds)
                if said is not None:
                    self.ORDERS[said["type"]](self, said, fds)
            except Unfit as error:
                log.error("ignored an invalid message of the supervisor: %s", error)
            finally:
                close_all(fds)
            if self._status is not None:
                return
        if link is not None and link.ended:
            self._hang_up()
            self._silence.forget()
            self._due = time.monotonic() + (DEATH_S if self._pidfd >= 0 else self._delay_s)

    def _watch(self, message: Message, fds: list[int]) -> None:
        """This one is the ward from now on, and started like that. Raises Unfit."""
        try:
            what = json.loads(os.pread(fds[1], os.fstat(fds[1]).st_size, 0))
        except (ValueError, RecursionError, OSError) as error:
            raise Unfit(f"watch with an unreadable file: {error}") from error
        if self._pidfd >= 0:
            os.close(self._pidfd)
        self._pidfd, self._what = fds.pop(0), what
        self._due, self._delay_s, self._tries = None, FIRST_S, 0
        self._silence.forget()
        if time.monotonic() - self._terminated < REPEAT_S:  # whoever it was told to may have died meanwhile
            self._tell_terminated()

    def _alive(self, message: Message, fds: list[int]) -> None:
        """It will say so again within a time."""
        self._silence.hear(time.monotonic(), message["within_s"])

    def _end_ward(self) -> None:
        """It hangs."""
        if self._pidfd >= 0:
            log.error("the supervisor hangs: killing it, and starting another")
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _goodbye(self, message: Message, fds: list[int]) -> None:
        """It leaves as it was told to, and is not to be outrun (a main process ends last); or it has no use for a
        sentry.
        """
        self._what = {}
        self._silence.forget()
        if not message.get("ending"):
            self._status = 0

    def _ward_died(self) -> None:
        os.close(self._pidfd)
        self._pidfd = -1
        self._silence.forget()
        self._hang_up()
        self._due = time.monotonic()  # at which there is nothing to do after a goodbye but to leave

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _act(self) -> None:
        if self._pidfd >= 0 or not self._what:  # it lives, and has given this one up; or never had a word for it
            self._status = 0
            return
        self._tries += 1
        if self._tries > TRIES:
            log.error("started %d supervisors, and each exited: giving up", TRIES)
            self._status = 1
            return
        self._due = None
        ours, theirs = pair()
        try:
            os.set_inheritable(theirs.fileno(), True)
            told = {SENTRY: f"{theirs.fileno()} {os.getpid()}"}
            revive({**self._what, "environment": {**self._what["environment"], **told}})
        except (KeyError, TypeError, OSError) as error:
            log.error("cannot start another supervisor: %r", error)
            ours.close()
            self._due = time.monotonic() + self._delay_s
        else:
            log.warning("the supervisor exited unexpectedly: started another")
            self._link = ours
        finally:
            theirs.close()
        self._delay_s = min(self._delay_s * 2, LAST_S)

    def _told_to_end(self) -> None:
        """SIGTERM: from systemd, which may take this for the main process while there is no other (``PIDFile=``)."""
        if self._link is None and self._pidfd < 0:
            log.warning("SIGTERM without a supervisor: exiting")
            self._status = 0
            return
        self._terminated = time.monotonic()
        if self._pidfd >= 0:
            self._tell_terminated()

    def _tell_terminated(self) -> None:
        try:
            if self._link is not None:
                self._link.send({"type": "terminated"})
        except LinkError as error:
            log.warning("%s", error)

    ORDERS: dict[str, Callable[[Sentry, Message, list[int]], None]] = {
        "watch": _watch,
        "alive": _alive,
        "goodbye": _goodbye,
    }


def hear_signals() -> int:
    """Record SIGTERM, ignore what is meant for supervisors, let through what was blocked; a descriptor to read numbers
    from.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(write_end)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return read_end


def main(arguments: list[str]) -> int:
    """``--link FD``; returns the exit status."""
    logging.basicConfig(
        format="%(asctime)s %(levelname)s pid=%(process)d sentry: %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
    )
    fd = int(arguments[arguments.index("--link") + 1])
    os.set_inheritable(fd, False)
    return Sentry(Link(socket.socket(fileno=fd)), hear_signals()).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
