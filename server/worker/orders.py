"""In the worker: its orders, and from which state to which each one leads.

What is not in the table is illegal, and changes nothing.
"""

from __future__ import annotations

from releve.server.shared.states import WorkerState

_S = WorkerState

# state, order -> the next state
AFTER = {
    (_S.READY, "attend"): _S.ATTENDING,
    (_S.READY, "divert"): _S.READY,  # from its first connection on, once it is resumed
    (_S.READY, "resume"): _S.SERVING,
    (_S.READY, "pause"): _S.PAUSED,
    (_S.READY, "quit"): _S.LEAVING,
    (_S.ATTENDING, "attend"): _S.ATTENDING,
    (_S.ATTENDING, "resume"): _S.SERVING,
    (_S.ATTENDING, "pause"): _S.PAUSED,
    (_S.ATTENDING, "quit"): _S.LEAVING,
    (_S.SERVING, "divert"): _S.SERVING,
    (_S.SERVING, "resume"): _S.SERVING,
    (_S.SERVING, "pause"): _S.PAUSED,
    (_S.SERVING, "quit"): _S.LEAVING,
    (_S.PAUSED, "resume"): _S.SERVING,
    (_S.PAUSED, "pause"): _S.PAUSED,
    (_S.PAUSED, "quit"): _S.LEAVING,
    (_S.LEAVING, "quit"): _S.LEAVING,  # an earlier deadline counts
}


class IllegalOrder(Exception):
    """An order that cannot be carried out in this state, or makes no sense; nothing changed."""
