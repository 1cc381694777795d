"""In the leader: whether a newcomer is left to a sibling, so that workers have equal shares of the connections.

A newcomer wakes every worker that waits, and the first one to run would take it: of 64 that came at once, one of two
workers took 50, and of many that came one after the other, the same one almost all. So a worker that has more
connections than a sibling, or as many and was the first of the two several times, leaves its listeners out of epoll
for a moment. The newcomer stays where it is, in the accept queue, and the sibling has a wake-up of its own: nothing
depends on who dies now. Whatever still waits after the moment is taken in. A sibling that has not come then is not
waited for until it has turned again.

Where newcomers come faster than that, a lead of a batch is allowed.
"""

from __future__ import annotations

from typing import NamedTuple

from releve.server.scoreboard.siblings import Sibling, Siblings

BATCH = 16  # connections taken per wake-up
MOMENT_S = 0.001  # that a newcomer is left to a sibling
LEAD = 4  # connections accepted more than a sibling that has as many open
LEAD_MAX = 16  # nobody makes up for more: a sibling may have been away
CROWD_S = 0.02  # after a sibling did not take them in a moment, or several came at once: too many for that
PATIENCE = 3  # moments that a sibling has to come
VAIN_S = 0.005  # until the next wait for one that did not; twice as long each time
VAIN_MAX_S = 1.0


class Vain(NamedTuple):
    """A sibling that was waited for in vain."""

    sibling: Sibling  # as it was then
    until: float  # monotonic
    wait_s: float


class Precedence:
    """That of one worker among its siblings."""

    def __init__(self, siblings: Siblings) -> None:
        self._siblings = siblings
        self._accepted = siblings.accepted  # by this worker, when it last looked
        self._leads: dict[int, tuple[int, int]] = {}  # slot -> accepted by it, and how many more here, of late
        self._vain: dict[int, Vain] = {}  # by the slot
        self._waits_for: Sibling | None = None
        self._missed = 0  # moments in a row, in which it has not come
        self._crowd_until = 0.0

    def most(self, connections: int, now: float) -> int:
        """How many newcomers this worker may take, which has so many ``connections``; 0: none for ``MOMENT_S``, then
        call ``over``.
        """
        siblings = self._siblings.with_room(now)
        if not siblings:
            return BATCH
        crowd = now < self._crowd_until
        if self._count(siblings) > 1 and crowd:
            self._crowd_until = now + CROWD_S
        first: Sibling | None = None
        for sibling in siblings:
            if (first is None or self._before(sibling, first)) and self._comes(sibling, now):
                first = sibling
        if first is None:
            return BATCH
        if crowd:
            most = first.connections + BATCH - connections
        elif first.connections == connections:
            most = int(self._leads[first.slot][1] < LEAD)
        else:
            most = first.connections - connections
        if most > 0:
            return min(BATCH, most)
        self._waits_for = first
        return 0

    def over(self, waits: bool, now: float) -> None:
        """The moment is over; ``waits``: somebody does."""
        sibling, self._waits_for = self._waits_for, None
        if not waits or sibling is None:
            return
        self._crowd_until = now + CROWD_S
        for found in self._siblings.with_room(now):
            if found.slot == sibling.slot and found.accepted == sibling.accepted:
                self._missed += 1
                if self._missed >= PATIENCE:
                    self._missed = 0
                    self._give_up(found, now)
                return
        self._missed = 0

    def _give_up(self, sibling: Sibling, now: float) -> None:
        before = self._vain.get(sibling.slot)
        wait_s = VAIN_S
        if before is not None and before.sibling.accepted == sibling.accepted:
            wait_s = min(VAIN_MAX_S, 2 * before.wait_s)
        self._vain[sibling.slot] = Vain(sibling, now + wait_s, wait_s)

    def _before(self, one: Sibling, other: Sibling) -> bool:
        """Whether a newcomer belongs to the one rather than to the other."""
        if one.connections != other.connections:
            return one.connections < other.connections
        return self._leads[one.slot][1] > self._leads[other.slot][1]

    def _comes(self, sibling: Sibling, now: float) -> bool:
        vain = self._vain.get(sibling.slot)
        return vain is None or (now >= vain.until and vain.sibling.heartbeat_ns != sibling.heartbeat_ns)

    def _count(self, siblings: list[Sibling]) -> int:
        """Note what was accepted since the last look, here and there; how many that were here."""
        accepted = self._siblings.accepted
        more, self._accepted = accepted - self._accepted, accepted
        for sibling in siblings:
            before, lead = self._leads.get(sibling.slot, (sibling.accepted, -more))
            lead = 0 if sibling.accepted < before else lead + more - (sibling.accepted - before)
            self._leads[sibling.slot] = sibling.accepted, max(-LEAD_MAX, min(LEAD_MAX, lead))
        return more
