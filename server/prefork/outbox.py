"""The master's side of the link for sending: nothing is lost while the supervisor is slow to read."""

from __future__ import annotations

import errno
import logging
from collections import deque
from collections.abc import Sequence

from releve.server.shared.link import Link, LinkError, Message
from releve.server.shared.native import os

RETRY_S = 0.02  # ETOOMANYREFS is not announced by POLLOUT, so the queue is tried again by the clock
_LATER = {errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS}

log = logging.getLogger("releve.master")


class Outbox:
    """Messages in their order. Owns the link; keeps duplicates of the descriptors of messages that wait."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._queue: deque[tuple[Message, list[int]]] = deque()
        self.broken = False

    @property
    def waiting(self) -> bool:
        """Whether ``flush`` should be called again after ``RETRY_S``."""
        return bool(self._queue)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send now or later; quietly dropped once the supervisor has gone."""
        if self.broken:
            return
        if self._queue or not self._try(message, list(fds)):
            self._queue.append((message, [os.dup(fd) for fd in fds]))

    def flush(self) -> None:
        """Send what waits, as far as it goes."""
        while self._queue and self._try(*self._queue[0]):
            _, fds = self._queue.popleft()
            for fd in fds:
                os.close(fd)

    def close(self) -> None:
        """Close the link; drop what waits, and everything from now on."""
        self.broken = True
        self._link.close()
        while self._queue:
            for fd in self._queue.popleft()[1]:
                os.close(fd)

    def attach(self, link: Link) -> None:
        """Send over another link from now on, to a supervisor that has come after the one that went."""
        self._link = link
        self.broken = False

    def _try(self, message: Message, fds: list[int]) -> bool:
        """Whether the message needs no further care: it went, or never will."""
        try:
            self._link.send(message, fds)
        except LinkError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno in _LATER:
                return False
            if cause is None:
                log.error("%s", error)
            else:
                self.broken = True  # the end of the link is read by whoever polls it
        return True
