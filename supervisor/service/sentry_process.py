"""The sentry's process (``sentry.py``), kept for as long as no master could start another supervisor."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any

from releve.server.shared.link import Link, LinkError, close_all, pair
from releve.supervisor.host import capabilities, children, memory, system
from releve.supervisor.host.environment import SENTRY
from releve.supervisor.host.identity import Identity
from releve.supervisor.reporting.log import log

INIT = 1  # the pid whose death ends every process of its container: pid_namespaces(7)
_FIRST_S, _LAST_S = 1.0, 60.0  # until a sentry that has died is followed by another one


class SentryProcess:
    """In the supervisor: owns the link to the sentry, if there is one."""

    def __init__(self) -> None:
        self.pid = 0  # of the sentry; 0: there is none
        self.on_terminated: Callable[[], None] = lambda: None  # somebody means to end the service by it
        self.on_replaced: Callable[[], None] = lambda: None  # one that has ended has a successor
        self._link: Link | None = None
        self._told = False  # whom to watch
        self._what: dict[str, Any] | None = None  # None: no sentry is wanted
        self._since = 0.0  # monotonic: when the sentry was set up
        self._delay_s = _FIRST_S

    def take_over(self, environ: MutableMapping[str, str]) -> None:
        """Keep the sentry that has started this process, if one has."""
        words = environ.pop(SENTRY, "").split()
        with suppress(ValueError, OSError):
            fd, pid = map(int, words)
            os.set_inheritable(fd, False)
            self._link, self.pid = Link(socket.socket(fileno=fd)), pid

    def keep_watched(self, identity: Identity, what: dict[str, Any]) -> None:
        """Have a sentry if masters of this identity need one; ``what``: how to start another supervisor."""
        self._what = what if capabilities.exceeds(identity) and os.getpid() != INIT else None
        if self._what is None:
            self.dismiss()
        elif self._link is None:
            self._set_up()
        elif not self._told:
            self._tell(self._link, self._what)

    def assure(self, within_s: float) -> None:
        """Tell the sentry that we are alive, and will say so again within that time."""
        if self._told and self._link is not None:
            with suppress(LinkError):
                self._link.send({"type": "alive", "within_s": within_s})

    def dismiss(self, *, ending: bool = False) -> None:
        """Send the sentry away: this process needs none, or it is ``ending`` as it was told to; then the sentry goes
        after it.
        """
        self._what = None
        if self._link is not None:
            with suppress(LinkError):
                self._link.send({"type": "goodbye", "ending": ending})
            self._close()

    def _set_up(self) -> None:
        assert self._what is not None
        self._since = time.monotonic()
        ours, theirs = pair()
        try:
            fd = theirs.fileno()
            self.pid = children.spawn(
                [sys.executable, "-P", "-m", "releve.supervisor.sentry", "--link", str(fd)],
                directory=self._what["directory"],
                environment=self._what["environment"],
                pass_fds=(fd,),
                equal=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            ours.close()
            log.error("cannot start a sentry: %s; if this supervisor is killed, no other starts", error)
            self._again()
            return
        finally:
            theirs.close()
        self._tell(ours, self._what)

    def _tell(self, link: Link, what: dict[str, Any]) -> None:
        """Have it watch this process."""
        self._link, self._told = link, True
        asyncio.get_running_loop().add_reader(link.fileno(), self._read)
        pidfd, told = system.open_pidfd(os.getpid()), memory.written("releve-revival", what)
        try:
            link.send({"type": "watch"}, [pidfd, told])
        except LinkError:
            pass  # it has died, which is about to be read
        finally:
            os.close(pidfd)
            os.close(told)

    def _read(self) -> None:
        link = self._link
        for message, fds in link.messages() if link is not None else ():
            close_all(fds)
            if message.get("type") == "terminated":
                self.on_terminated()
        if link is not None and link.ended:
            log.warning("the sentry (pid %d) exited; starting another", self.pid)
            self._close()
            self._again()

    def _again(self) -> None:
        if time.monotonic() - self._since > _LAST_S:
            self._delay_s = _FIRST_S
        asyncio.get_running_loop().call_later(self._delay_s, self._replace)
        self._delay_s = min(self._delay_s * 2, _LAST_S)

    def _replace(self) -> None:
        if self._what is not None and self._link is None:
            self._set_up()
            if self._link is not None:
                self.on_replaced()

    def _close(self) -> None:
        assert self._link is not None
        if self._told:
            asyncio.get_running_loop().remove_reader(self._link.fileno())
        self._link.close()
        children.disown(self.pid)
        self._link, self._told, self.pid = None, False, 0
