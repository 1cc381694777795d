"""What has come of the body of one request that is still to come (``collecting.py``)."""

from __future__ import annotations

from releve.server.http.spool import Spool

FAST_BYTES = 1024 * 1024  # a client that has sent so much,
FAST_RATE = 1024 * 1024  # and so many bytes a second, is fast
FIRST_S = 0.5  # what comes later than that does not come with the head


class Gathering:
    """What has come of one body."""

    __slots__ = ("bytes", "kept_bytes", "late", "looked", "since", "spool", "stuck_bytes", "waits")

    def __init__(self, since: float) -> None:
        self.since = since  # monotonic: its head was read
        self.bytes = 0
        self.spool: Spool | None = None
        self.kept_bytes = 0  # in that file
        self.late = False  # something came after `FIRST_S`
        self.looked = False  # at that, after `QUIET_S` of `collecting.py`
        self.waits = False  # for room, or for a thread: nothing is read meanwhile
        self.stuck_bytes = 0  # what is in that file while it waits for room alone

    def take(self, count: int, now: float) -> None:
        """So many bytes more have come, at a monotonic time."""
        self.bytes += count
        self.late = self.late or now - self.since > FIRST_S

    def is_fast(self, now: float) -> bool:
        """Whether its client sends so fast that a thread may wait for it."""
        return self.bytes >= FAST_BYTES and self.bytes >= FAST_RATE * (now - self.since)
