"""Whether a client keeps up: how many bytes it has to move in the time that we wait for it."""

from __future__ import annotations


def min_bytes(window_s: float, min_rate: int | None) -> int:
    """What a client has to move in a window."""
    return 0 if min_rate is None else max(1, int(min_rate * window_s))


class Pace:
    """Whether a client keeps up: in every ``window_s`` that we spend waiting for it, it must move its share of
    bytes.
    """

    __slots__ = ("_min_bytes", "_moved_bytes", "_waited_s", "_window_s")

    def __init__(self, window_s: float, min_rate: int | None) -> None:
        """``min_rate`` is in bytes per second; ``None``: any pace will do."""
        self._window_s = window_s
        self._min_bytes = min_bytes(window_s, min_rate)
        self._waited_s = 0.0
        self._moved_bytes = 0

    def too_slow(self, waited_s: float, moved_bytes: int) -> bool:
        """We have waited, and so much has come of it."""
        self._waited_s += waited_s
        self._moved_bytes += moved_bytes
        if self._waited_s < self._window_s:
            return False
        slow = self._moved_bytes < self._min_bytes
        self._waited_s, self._moved_bytes = 0.0, 0
        return slow
