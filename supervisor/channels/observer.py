"""The observer of a worker: the supervisor's end of a pair on which a thread of the worker says where all its threads
are.

The worker gets its end when it is forked, so that it can be asked later even when its loop takes no orders.
"""

from __future__ import annotations

import asyncio
import signal

from releve.server.shared import closing
from releve.server.shared.link import STACKS_SIGNAL, LinkError, pair

TEXT_MAX = 1_000_000  # of one answer; what comes beyond is dropped
_SIGNALS = range(signal.SIGRTMIN, signal.SIGRTMAX + 1)  # what a worker may name: no signal that means something else


def known_signal(number: object) -> int:
    """The signal that a process of a release wants to be asked by, if it may be one; 0: it has none."""
    return number if isinstance(number, int) and number in _SIGNALS else 0


class Observer:
    """Asks one worker. Lives in the supervisor's loop; owns both ends until the worker has its own."""

    def __init__(self) -> None:
        """Raises OSError where no descriptor is free."""
        self._link, self.theirs = pair()
        self._link.discard = closing.close
        # by which it is asked where it does not answer; it says so if it is another one, 0 if there is none
        self.signal = STACKS_SIGNAL
        self._asked = 0
        self._lock = asyncio.Lock()
        self._closed = False

    async def ask(self, within_s: float) -> str:
        """The stacks of its threads, as faulthandler writes them; empty if it does not answer in time."""
        async with self._lock:
            self._asked += 1
            if self._closed:
                return ""
            try:
                self._link.send({"type": "stacks", "id": self._asked})
                async with asyncio.timeout(within_s):
                    return await self._hear()
            except (LinkError, OSError, TimeoutError):
                return ""

    async def _hear(self) -> str:
        """Until the last piece of the last answer. Raises LinkError, OSError."""
        readable, loop = asyncio.Event(), asyncio.get_running_loop()
        text = ""
        loop.add_reader(self._link.fileno(), readable.set)
        try:
            while not self._closed:
                try:
                    received = self._link.receive()
                except BlockingIOError:
                    readable.clear()
                    await readable.wait()
                    continue
                if received is None:
                    break
                message, fds = received
                closing.close(fds)  # none is expected
                await asyncio.sleep(0)  # who says more and more is not heard for longer than the rest
                if message.get("type") == "observed":
                    self.signal = known_signal(message.get("signal"))
                elif message.get("id") == self._asked:
                    text += str(message.get("text"))[: TEXT_MAX - len(text)]
                    if not message.get("more"):
                        return text
            return ""
        finally:
            if not self._closed:
                loop.remove_reader(self._link.fileno())

    def close(self) -> None:
        """Ask no more: the worker has gone."""
        self._closed = True
        if self._link.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._link.fileno())
        closing.close_socket(self._link.socket)
        self.theirs.close()
