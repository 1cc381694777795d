"""In the worker: its posture, and which order leads to which.

What is not in the table is illegal, and changes nothing.
"""

from __future__ import annotations

import enum


class Posture(enum.Enum):
    """What the worker does, or the last thing it will."""

    READY = "ready"
    ATTENDING = "attending"  # it serves what comes by its exchange, and accepts nothing: a canary
    SERVING = "serving"
    PAUSED = "paused"
    LEAVING = "leaving"


# posture, order -> the next posture
POSTURES = {
    (Posture.READY, "attend"): Posture.ATTENDING,
    (Posture.READY, "divert"): Posture.READY,  # from its first connection on, once it is resumed
    (Posture.READY, "resume"): Posture.SERVING,
    (Posture.READY, "pause"): Posture.PAUSED,
    (Posture.READY, "quit"): Posture.LEAVING,
    (Posture.ATTENDING, "attend"): Posture.ATTENDING,
    (Posture.ATTENDING, "resume"): Posture.SERVING,
    (Posture.ATTENDING, "pause"): Posture.PAUSED,
    (Posture.ATTENDING, "quit"): Posture.LEAVING,
    (Posture.SERVING, "divert"): Posture.SERVING,
    (Posture.SERVING, "resume"): Posture.SERVING,
    (Posture.SERVING, "pause"): Posture.PAUSED,
    (Posture.SERVING, "quit"): Posture.LEAVING,
    (Posture.PAUSED, "resume"): Posture.SERVING,
    (Posture.PAUSED, "pause"): Posture.PAUSED,
    (Posture.PAUSED, "quit"): Posture.LEAVING,
    (Posture.LEAVING, "quit"): Posture.LEAVING,  # an earlier deadline counts
}
AT_WORK = frozenset({Posture.ATTENDING, Posture.SERVING})  # new connections come in


class IllegalOrder(Exception):
    """An order that cannot be carried out in this posture, or makes no sense; nothing changed."""
