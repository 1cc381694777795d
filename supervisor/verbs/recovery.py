"""Recovery: finding a successor for a generation in service that lost its master.

The first try follows at once: until the successor serves, nobody but this supervisor could start another one. Where
masters die again and again, and where a try fails, the next one waits, twice as long each time.
"""

from __future__ import annotations

import asyncio

from releve.supervisor.generation.generation import Generation
from releve.supervisor.verbs import jobs
from releve.supervisor.verbs.dispatcher import Dispatcher

AGAIN_S, LAST_S = 0.5, 60.0
CALM_S = 10.0  # without a try


class Recovery:
    """Of one supervisor's service. Lives in its loop."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._delay_s = 0.0
        self._tried = float("-inf")  # when the last try began, of the loop's clock

    def look(self) -> None:
        """See whether the generation in service needs a successor; then try to find one as soon as nothing else is
        under way.
        """
        dispatcher = self._dispatcher
        active, operation = dispatcher.service.active, dispatcher.operation
        if active is None or not dispatcher.service.lost:
            self._delay_s = 0.0
            return
        if not dispatcher.holding.is_set():
            return  # looked at again after the first operation
        if operation is not None and (operation.dry or operation.verb == "reexec"):
            operation.interrupt(f"generation {active.number} lost its master, and its successor starts first")
        if dispatcher.idle:
            loop = asyncio.get_running_loop()
            delay_s = max(self._delay_s, AGAIN_S if loop.time() - self._tried < CALM_S else 0.0)
            loop.call_later(delay_s, self._try, active)
            self._delay_s = min(max(delay_s * 2, AGAIN_S), LAST_S)

    def _try(self, lost: Generation) -> None:
        dispatcher = self._dispatcher
        if dispatcher.service.active is lost and dispatcher.service.lost and dispatcher.idle:
            self._tried = asyncio.get_running_loop().time()
            dispatcher.begin(jobs.recovering(dispatcher.service, lost), "supervisor")
