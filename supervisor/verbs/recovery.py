"""Recovery: finding a successor for a generation in service that lost its master.

The first try follows at once: until the successor serves, nobody but this supervisor could start another one. Where masters
die again and again, and where a try fails, the next one waits, twice as long each time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from releve.supervisor.generation.generation import Generation
from releve.supervisor.verbs import work

if TYPE_CHECKING:
    from releve.supervisor.supervisor import Supervisor

AGAIN_S, LAST_S = 0.5, 60.0
CALM_S = 10.0  # without a try


class Recovery:
    """Of one supervisor's service. Lives in its loop."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._delay_s = 0.0
        self._tried = float("-inf")  # when the last try began, of the loop's clock

    def look(self) -> None:
        """See whether the generation in service needs a successor; then try to find one as soon as nothing else is under way."""
        supervisor = self._supervisor
        active, operation = supervisor.service.active, supervisor.operation
        if active is None or not supervisor.service.lost:
            self._delay_s = 0.0
            return
        if not supervisor.holding.is_set():
            return  # looked at again after the first operation
        if operation is not None and (operation.dry or operation.verb == "reexec"):
            operation.interrupt(f"generation {active.number} has lost its master, and a successor goes first")
        if supervisor.idle:
            loop = asyncio.get_running_loop()
            delay_s = max(self._delay_s, AGAIN_S if loop.time() - self._tried < CALM_S else 0.0)
            loop.call_later(delay_s, self._try, active)
            self._delay_s = min(max(delay_s * 2, AGAIN_S), LAST_S)

    def _try(self, lost: Generation) -> None:
        supervisor = self._supervisor
        if supervisor.service.active is lost and supervisor.service.lost and supervisor.idle:
            self._tried = asyncio.get_running_loop().time()
            supervisor.begin("recover", "supervisor", work.recovering(supervisor.service, lost))
