"""The dismissal of a generation: by when it is to leave, and whether its workers accept meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

KILL_MARGIN_S = 3.0  # how long after its deadline a generation is killed


class Dismissal:
    """That of one generation; empty until it is dismissed. Lives in the supervisor's loop."""

    def __init__(self, kill: Callable[[], None]) -> None:
        """``kill``: ends what has not left in time."""
        self.order: dict[str, Any] = {}  # what ``quit`` says to master or workers
        self._kill = kill
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, deadline_s: float, linger_s: float | None, *, serve_on: bool) -> None:
        """Dismissed, perhaps once more: of two deadlines the earlier one holds."""
        if self._timer is not None:
            left_s = self._timer.when() - asyncio.get_running_loop().time() - KILL_MARGIN_S
            deadline_s = min(deadline_s, max(0.0, left_s))
        self._kill_after(deadline_s + KILL_MARGIN_S)
        self.order = {"deadline_s": deadline_s, "linger_s": linger_s, **({"serve_on": True} if serve_on else {})}

    def go_on(self, seconds: float) -> None:
        """It was dismissed by the program before us, and so long is left until it is killed."""
        self._kill_after(seconds)
        self.order = {"deadline_s": max(0.0, seconds - KILL_MARGIN_S), "linger_s": None}

    @property
    def serves_on(self) -> bool:
        """Whether its workers accept until the last of them has finished what it had."""
        return "serve_on" in self.order

    def end_service(self) -> None:
        """The last of them has."""
        self.order.pop("serve_on", None)

    def _kill_after(self, seconds: float) -> None:
        self.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._kill)

    @property
    def kills_at(self) -> float | None:
        """When what is left of it is killed, monotonic; None if it was not dismissed."""
        return None if self._timer is None else self._timer.when()

    def cancel(self) -> None:
        """It has left."""
        if self._timer is not None:
            self._timer.cancel()
