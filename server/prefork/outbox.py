"""The master's side of the link for sending: nothing is lost while the supervisor is slow to read."""

from __future__ import annotations

import errno
import logging
from collections import deque
from collections.abc import Sequence

from releve.server.shared.link import Link, LinkError, Message, clip, close_all
from releve.server.shared.native import os

RETRY_S = 0.02  # ETOOMANYREFS is not announced by POLLOUT, so the queue is tried again by the clock
_LATER = {errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS}

log = logging.getLogger("releve.master")


def _file(fd: int) -> tuple[int, int] | None:
    """What a descriptor refers to; None if it is closed."""
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def send_failure(outbox: Outbox, failure: Message, **order: object) -> None:
    """Send ``failed`` for the boot, or for an order (``id``), with ``step``, ``reason`` and ``traceback`` of what a
    worker said or the master found.

    The supervisor logs it, with the operation that fails for it; where none hears it, it is logged here.
    """
    message: Message = {
        "type": "failed",
        "step": str(failure.get("step", "workers")),
        "reason": clip(str(failure.get("reason"))),
        "traceback": clip(str(failure.get("traceback") or "")),
        **order,
    }
    if not outbox.send(message):
        log_failure(message)


def log_failure(failure: Message) -> None:
    """Log what nobody is told."""
    log.error("%s", "\n".join(filter(None, (failure.get("reason"), failure.get("traceback")))))


class Waiting:
    """A message that waits, with duplicates of its descriptors: whoever sent it may close them."""

    def __init__(self, message: Message, fds: Sequence[int]) -> None:
        """As long as no descriptor is free for a duplicate, those of the sender are taken, if they are still open."""
        self.message = message
        self.fds = list(fds)
        self._files = [_file(fd) for fd in fds]
        self._owned = not fds
        self.own()

    def own(self) -> None:
        """Duplicate the descriptors, if that is still to be done and can be done."""
        if self._owned or self.stale:
            return
        own: list[int] = []
        try:
            for fd in self.fds:
                own.append(os.dup(fd))
        except OSError:  # no descriptor is free (EMFILE, ENFILE)
            close_all(own)
            return
        self.fds, self._owned = own, True

    @property
    def stale(self) -> bool:
        """Whether the sender has closed a descriptor before there was a duplicate: the process that the message tells
        of has ended.
        """
        return not self._owned and (None in self._files or [_file(fd) for fd in self.fds] != self._files)

    def close(self) -> None:
        """Close the duplicates."""
        if self._owned:
            close_all(self.fds)


class Outbox:
    """Messages in their order. Owns the link, and the descriptors of messages that wait."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._queue: deque[Waiting] = deque()
        self.broken = False

    @property
    def waiting(self) -> bool:
        """Whether ``flush`` should be called again after ``RETRY_S``."""
        return bool(self._queue)

    def send(self, message: Message, fds: Sequence[int] = ()) -> bool:
        """Send now or later; returns False if it is dropped, since the supervisor has gone."""
        if self.broken:
            return False
        if self._queue or not self._try(message, list(fds)):
            self._queue.append(Waiting(message, fds))
        return not self.broken

    def flush(self) -> None:
        """Send what waits, as far as it goes."""
        for waiting in self._queue:
            waiting.own()
        while self._queue and (self._queue[0].stale or self._try(self._queue[0].message, self._queue[0].fds)):
            self._queue.popleft().close()

    def close(self) -> None:
        """Close the link; drop what waits, and everything from now on."""
        self.broken = True
        self._link.close()
        while self._queue:
            self._queue.popleft().close()

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
