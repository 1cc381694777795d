"""The relay: what reaches the exchange of a generation that no longer serves is passed on to the one that does.

A worker gives its connections to the generation that followed its own. A request
that takes longer than the next upgrade comes back too late: by then that one has
been followed in its turn, and nobody there receives. Its exchange is emptied from
here, until the last sender is gone (the end of the stream says so).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from releve.server.shared import closing, form
from releve.server.shared.form import Unfit
from releve.server.shared.link import ANCILLARY_BYTES, has_ended, rights
from releve.server.shared.noise import Noise
from releve.supervisor.reporting.log import log

_RETRY_S = 0.02  # the exchange is full, or there is nobody to pass on to just now
_BYTES_MAX = 65536
_BATCH = 32


Held = tuple[bytes, list[int]]  # a message and its descriptors

_live: set[Relay] = set()


def live() -> frozenset[Relay]:
    """Every relay that still passes on; one may outlive its generation."""
    return frozenset(_live)


class Relay:
    """Empties one exchange into another. Lives in the supervisor's loop; owns a duplicate of the receive end."""

    def __init__(
        self, receive_end: socket.socket, target: Callable[[], socket.socket | None], held: Held | None = None
    ) -> None:
        """``held``: what another one had taken, and not passed on."""
        self._from = receive_end.dup()
        self._from.setblocking(False)
        self._target = target
        self.held = held  # taken, and not yet passed on
        self._noise = Noise(lambda line: log.error("%s", line))
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._from.fileno(), self._pass_on)
        _live.add(self)
        if held is not None:
            self._pass_on()

    def fileno(self) -> int:
        """Descriptor of its receive end, by which the next supervisor gets what is still to be passed on."""
        return self._from.fileno()

    def close(self) -> None:
        """Pass nothing on any more; what is held goes first, if it can."""
        if self._from.fileno() < 0:
            return
        _live.discard(self)
        self._loop.remove_reader(self._from.fileno())
        if self._timer is not None:
            self._timer.cancel()
        if self.held is not None:
            self._send(self.held)
            self._drop()
        closing.close_socket(self._from)

    def _pass_on(self) -> None:
        for _ in range(_BATCH):
            if self.held is None:
                try:
                    received = self._receive()
                except BlockingIOError:
                    return
                except Unfit as error:
                    self._noise.hear(str(error))
                    continue
                except OSError as error:
                    log.error("cannot read connections between generations: %s", error)
                    received = None
                if received is None:
                    self.close()
                    return
                self.held = received
            if not self._send(self.held):
                self._loop.remove_reader(self._from.fileno())
                self._timer = self._loop.call_later(_RETRY_S, self._again)
                return
            self._drop()

    def _receive(self) -> Held | None:
        """The next connection; None at the end.

        Raises Unfit for what is none, OSError. Others share the socket: it may block.
        """
        data, ancillary, got, _ = self._from.recvmsg(
            _BYTES_MAX, ANCILLARY_BYTES, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        )
        fds, _ = rights(ancillary)
        if not data and not fds and has_ended(self._from):
            return None
        try:
            if got & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or not data or len(fds) != 1:
                raise Unfit(f"a message with {len(data)} bytes and {len(fds)} descriptors in an exchange")
            form.check(fds[0], "connection", form.is_stream)
        except Unfit:
            closing.close(fds)
            raise
        return data, fds

    def _again(self) -> None:
        self._timer = None
        self._loop.add_reader(self._from.fileno(), self._pass_on)
        self._pass_on()

    def _send(self, held: Held) -> bool:
        target = self._target()
        if target is None:
            return False
        data, fds = held
        with suppress(OSError):
            socket.send_fds(target, [data], fds, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            return True
        return False

    def _drop(self) -> None:
        """Close our copies: the connection is the receiver's now."""
        assert self.held is not None
        closing.close(self.held[1])
        self.held = None
