"""The states of a worker, by its own word: the one table of them that worker, master and supervisor have.

The words travel in ``state`` messages (``docs/protocol.md``), and ``ctl`` shows them: they do not change. Where a
worker may be of another release, as in the supervisor, its state is kept as the word that came: one that is not listed
here compares equal to none of these.
"""

from __future__ import annotations

import enum


class WorkerState(enum.StrEnum):
    """What a worker does, or the last thing it will."""

    BOOTING = "booting"  # it was forked, and has not said anything yet
    READY = "ready"  # booted; it has not been told to serve
    ATTENDING = "attending"  # it serves what comes by its exchange, and accepts nothing: a canary
    SERVING = "serving"  # it accepts
    PAUSED = "paused"  # it stands by, warm
    LEAVING = "leaving"  # it finishes what it has, and exits
    GONE = "gone"  # its process has ended: the kernel's word, which no worker says


# Booted, and not on its way out.
UP = frozenset({WorkerState.READY, WorkerState.ATTENDING, WorkerState.SERVING, WorkerState.PAUSED})
AT_WORK = frozenset({WorkerState.ATTENDING, WorkerState.SERVING})  # new connections come to it
HEARING = UP | {WorkerState.LEAVING}  # it runs its loop, and reads orders
