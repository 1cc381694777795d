"""Requests in flight: what each thread of a worker serves, on the scoreboard, for whoever asks and for when it is
killed.

A record for each thread, and a first one for the leader: it calls the application inline a hundred thousand times a
second, so all that is written for such a call is its time, its peer and the beginning of its head, by one
``pack_into``, and nothing at its end: it is over when the heartbeat is younger (``docs/adr/0028-what-workers-do.md``
has the price). A call that lasts is copied to the record of its thread when that loses the lead.
"""

from __future__ import annotations

import math
import struct

from releve.config.frozen import dataclass
from releve.server.shared.native import time

RECORDS = 64  # of one worker: the leader's, and of as many threads; those beyond are not shown
RECORD_BYTES = 256
BYTES = RECORDS * RECORD_BYTES
LEADER = 0

_PEER, _HEAD = 56, 184
_THREAD = struct.Struct("=Q")  # its identifier, as faulthandler names it; 0: none
# CLOCK_MONOTONIC (seconds) of its beginning, 0: idle; the peer; the beginning of the head
_CALL = struct.Struct(f"=d{_PEER}s{_HEAD}s")
_CALL_AT = _THREAD.size
_BEGAN = struct.Struct("=d")


@dataclass(frozen=True, slots=True)
class InflightCall:
    """One thread of a worker, and the request that it serves, if it serves one."""

    number: int  # ``LEADER``: of whoever leads; the same thread has a number of its own too
    thread: int  # its identifier
    began: float = 0.0  # CLOCK_MONOTONIC; 0: idle
    method: str = ""
    target: str = ""  # as far as there is room
    peer: str = ""  # host and port, or the host that a proxy named; empty for a Unix socket


class Inflight:
    """In the worker: the writer.

    Record ``LEADER`` belongs to the thread that leads; each other one to its thread, but for the moment in which
    somebody takes the lead from it, and then notes its call there.
    """

    __slots__ = ("_size", "pack", "place", "view")

    def __init__(self, view: memoryview, size: int) -> None:
        view[:] = bytes(len(view))
        self.view = view
        self._size = size
        # with `view` and `place`: what `begin` does for the leader, for who cannot afford to call it
        self.pack = _CALL.pack_into
        self.place = _CALL_AT

    def assign(self, number: int, thread: int) -> None:
        """A record is that thread's from now on."""
        if number < len(self.view) // self._size:
            _THREAD.pack_into(self.view, number * self._size, thread)

    def begin(self, number: int, began: float, peer: bytes, words: bytes) -> None:
        """A thread begins a call. ``words``: method, target, and an end of line if that is all."""
        if number < len(self.view) // self._size:
            _CALL.pack_into(self.view, number * self._size + _CALL_AT, began, peer, words)

    def end(self, number: int) -> None:
        """The call of a thread has ended."""
        if number < len(self.view) // self._size:
            _BEGAN.pack_into(self.view, number * self._size + _CALL_AT, 0.0)

    def hand_over(self, number: int, peer: bytes | None) -> None:
        """The leader's call is that thread's from now on, since it lasts; ``peer``, if something better is known by
        now.
        """
        began, known, words = _CALL.unpack_from(self.view, _CALL_AT)
        self.begin(number, began, known if peer is None else peer, words)
        self.end(LEADER)


def read(data: bytes, size: int, heartbeat_ns: int) -> list[InflightCall]:
    """What stands in records of that size. What the leader has is over if the worker's heartbeat is younger.

    A call that has no beginning on the clock (a future one, no number) is none: who may write here may write anything.
    """
    requests = []
    now = time.monotonic()
    for number, at in enumerate(range(0, len(data) - size + 1, size)):
        (thread,) = _THREAD.unpack_from(data, at)
        began, peer, head = _CALL.unpack_from(data, at + _CALL_AT)
        if not thread:
            continue
        if not (math.isfinite(began) and 0 < began <= now) or (number == LEADER and began * 1e9 <= heartbeat_ns):
            requests.append(InflightCall(number, thread))
            continue
        line, whole, _ = head.partition(b"\r")
        method, _, target = _text(line).partition(" ")
        target = target.partition(" ")[0] + ("" if whole or b" " in line[len(method) + 1 :] else "…")
        requests.append(InflightCall(number, thread, began, method, target, _text(peer)))
    return requests


def serving(requests: list[InflightCall]) -> list[InflightCall]:
    """Those that serve a request, the oldest first."""
    return sorted((request for request in requests if request.began), key=lambda request: request.began)


def _text(data: bytes) -> str:
    text = data.rstrip(b"\0").decode("latin-1")
    return "".join(sign if sign.isprintable() else "?" for sign in text)
