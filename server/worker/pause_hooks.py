"""In the worker: what is done while it is paused, and before it accepts again.

When a pause is complete and the last request has ended, ``hooks.on_pause`` runs, and
each thread that runs requests closes its Django connections, so that a generation
that stands by holds none. Nothing of it runs in the loop: threads that run the
application do it, when they have nothing else to do. So does ``hooks.on_resume``; the
worker accepts when that has returned, or has taken too long.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from releve.server.loop.loop import Loop
from releve.server.wsgi import django as databases
from releve.server.wsgi.hooks import Functions

HOLD_S = 2.0  # how long hooks may keep a worker from accepting again: whoever switches back waits for it

log = logging.getLogger("releve.worker")


class PauseHooks:
    """The steps of one pause at a time. Belongs to the leader."""

    def __init__(self, functions: Functions, loop: Loop, accept: Callable[[], None]) -> None:
        """``accept`` has the worker accept again."""
        self._functions = functions
        self._loop = loop
        self._accept = accept
        self._paused = False
        self._held = False  # to accept again, and not before a hook has returned
        self._told = False  # on_pause has begun, so that on_resume is due
        self._swept_at = -1  # answers so far, when connections were last closed
        self._steps: deque[tuple[Callable[[], object], bool]] = deque()  # what to do, and whether in every thread

    @property
    def active(self) -> bool:
        """Whether a step may be due."""
        return self._paused or self._held

    def pause(self) -> None:
        """The worker accepts no more."""
        self._release()
        self._paused = True

    def leave(self) -> None:
        """Nor will it again."""
        self._release()
        self._paused = False

    def resume(self) -> None:
        """It is to accept again."""
        if self._held:
            return  # it will
        hooks = self._functions
        self._steps.clear()  # what has not begun
        if self._told and hooks.on_resume is not None:
            self._steps.append((hooks.on_resume, False))
        self._held = self._told and (hooks.on_pause is not None or hooks.on_resume is not None)
        self._paused = self._told = False
        self._swept_at = -1
        if self._held:
            self._loop.at("hold", self._loop.now() + HOLD_S, self._late)
        else:
            self._accept()

    def step(self) -> None:
        """In each turn while it is ``active``, unless a pause is still to be completed: do what is next, once nobody is
        in the application.
        """
        executor = self._loop.executor
        if executor.tasks or (self._paused and executor.busy):
            return
        if self._paused and not self._steps and self._swept_at != executor.answered:
            # once more if there was a request since: a check, on its private connection
            self._swept_at = executor.answered
            self._plan()
        if self._steps:
            executor.run(*self._steps.popleft())
        elif self._held:
            self._release()
            self._accept()

    def _plan(self) -> None:
        if not self._told and self._functions.on_pause is not None:
            self._steps.append((self._functions.on_pause, False))
        self._told = True
        if databases.in_use():
            self._steps += [(databases.close, True), (databases.close_pools, False)]

    def _release(self) -> None:
        if self._held:
            self._held = False
            self._loop.cancel("hold")

    def _late(self) -> None:
        log.warning("accepting connections although hooks (on_pause, on_resume) did not return for %g s", HOLD_S)
        self._held = False
        self._accept()
