"""In the master: what its workers are to be and to do, and the change of them that is under way."""

from __future__ import annotations

from dataclasses import dataclass

from releve.server.master.orders import Change, Posture
from releve.server.prefork.boot import Revision


@dataclass
class Plan:
    """Of one generation. The orders change it, each in the states of ``orders.TABLE``."""

    current: Revision  # that workers are forked of
    target: int  # how many of them there are to be
    posture: Posture = Posture.BOOTING
    change: Change = Change.NONE

    @property
    def settled(self) -> bool:
        """Whether the generation serves, and its workers are not in the middle of a change."""
        return self.posture is Posture.RESUMED and self.change is Change.NONE

    @property
    def kept_up(self) -> bool:
        """Whether workers that have gone are replaced."""
        return self.posture not in (Posture.BOOTING, Posture.LEAVING)
