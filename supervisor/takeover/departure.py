"""A departure: a generation that is not taken over is told to leave, and is ended where it has not left in time.

Ended are the process that has answered at its door, and what the kernel says was started by it or by the recorded
master; nothing that it has named itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress

from releve.config.settings.timeouts import Timeouts
from releve.server.shared import closing
from releve.server.shared.link import Link, LinkError
from releve.supervisor.channels.door import Door
from releve.supervisor.host import evidence, system
from releve.supervisor.host.readable import readable

GRACE_S = 2.0  # after its deadline


class Departure:
    """Of one generation. Lives in the supervisor's loop.

    Owns the link, without which the generation would go on alone, and the pidfds.
    """

    def __init__(
        self,
        door: Door,
        timeouts: Timeouts,
        user: int,
        masters: set[int],
        *,
        link: Link | None = None,
        pidfd: int = -1,
        workers: Iterable[int] = (),
    ) -> None:
        """``user``: whom it runs as; ``masters``: pids, of the recorded one and of who has answered.

        ``link``: None if its master has died. ``pidfd``: of who has answered; -1: nobody has, or it is not known for
        certain. ``workers``: pidfds, of one without a master: nobody else tells them.
        """
        self.door = door
        self.over = False
        self._timeouts = timeouts
        self._user = user
        self._masters = masters
        self._link = link
        self._pidfd = pidfd
        self._workers = list(workers)
        self._task: asyncio.Task[None] | None = None  # seeing it off

    def begin(self) -> None:
        """Tell it to leave."""
        for pidfd in self._workers:
            system.send_signal(pidfd, signal.SIGTERM)
        if self._link is not None:
            deadline_s, linger_s = self._timeouts.drain, self._timeouts.linger
            with suppress(LinkError):
                self._link.send({"type": "quit", "id": 1, "deadline_s": deadline_s, "linger_s": linger_s})
        self._task = asyncio.get_running_loop().create_task(self._see_off())

    async def ended(self) -> None:
        """Until it has left, or was ended at its deadline, if it has begun to."""
        if self._task is not None:
            await self._task

    async def _see_off(self) -> None:
        """Until all of it has left, or its time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeouts.drain
        with suppress(TimeoutError):
            if self._pidfd >= 0:
                async with asyncio.timeout_at(deadline):
                    await readable(self._pidfd)
            elif not self._workers:  # nobody is known to wait for; the link stays, so that its master does not go on
                await asyncio.sleep(self._timeouts.drain + GRACE_S)  # alone
        # Who should have told them has died before them, or obeys nobody: then it would start others where workers
        # leave, and clients would be with those when their time is over. Each worker finishes what it has begun.
        for pidfd in sorted(self._members(), key=self._is_no_master):
            system.send_signal(pidfd, signal.SIGTERM if self._is_no_master(pidfd) else signal.SIGKILL)
            self._workers.append(pidfd)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline + GRACE_S):
                for pidfd in self._workers:
                    await readable(pidfd)
        self._end()

    def _is_no_master(self, pidfd: int) -> bool:
        return evidence.pid_of(pidfd) not in self._masters

    def _members(self) -> Iterator[int]:
        """Pidfds of what its masters have started, owned by the caller; of root's there is none that we would know for
        its own.
        """
        return (pidfd for pid in self._masters for pidfd in evidence.members(pid, pid, self._user) if self._user)

    def _end(self) -> None:
        for pidfd in [*self._workers, *self._members(), self._pidfd]:
            if pidfd >= 0:
                system.send_signal(pidfd, signal.SIGKILL)
                os.close(pidfd)
        if self._link is not None:
            closing.close_socket(self._link.socket)
        self.door.close()
        self.over = True
