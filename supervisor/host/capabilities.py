"""The capabilities of this process, and how what it starts inherits none of them: capabilities(7).

A process that changes from root to another user loses its permitted and effective
capabilities by that; inheritable and ambient ones stay, and a service manager may have
given those (``AmbientCapabilities=``). Which of them a release gets is not left to
chance: none.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from releve.supervisor.host.identity import Identity

_VERSION_3 = 0x20080522  # of capget(2): two words for each set
_PR_CAP_AMBIENT = 47  # prctl(2)
_IS_SET, _RAISE, _LOWER = 1, 2, 3

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def exceeds(identity: Identity) -> bool:
    """Whether this process may do more than one that it starts as ``identity``: such a one cannot start another like
    this.
    """
    uid = os.geteuid()
    if identity.user not in (None, uid):
        return True
    return uid != 0 and any(word.permitted for word in _get())


@contextmanager
def kept_back() -> Iterator[None]:
    """What this thread starts meanwhile inherits no capability, unless it runs as root."""
    sets = _get()
    if not any(word.inheritable for word in sets):  # then there is no ambient one either
        yield
        return
    ambient = [
        number
        for number in range(64)
        if sets[number // 32].inheritable >> number % 32 & 1 and _ambient(_IS_SET, number) == 1
    ]
    for number in ambient:
        _ambient(_LOWER, number)
    # Where a filter of system calls forbids this, they are still inherited, and of no effect in a program that has none
    # of its own.
    _inherit(sets, [0, 0])
    try:
        yield
    finally:
        # One that was inheritable and not permitted cannot be had back, and is of no use.
        _inherit(sets, [word.inheritable & word.permitted for word in sets])
        for number in ambient:
            _ambient(_RAISE, number)


def _get() -> ctypes.Array[_Data]:
    sets = (_Data * 2)()
    if _libc.capget(ctypes.byref(_Header(_VERSION_3, 0)), sets) != 0:
        return (_Data * 2)()  # forbidden by a filter of system calls: as if there were none
    return sets


def _inherit(sets: ctypes.Array[_Data], inheritable: list[int]) -> bool:
    """Change the inheritable ones only; whether that was allowed."""
    wanted = (_Data * 2)(
        *(_Data(word.effective, word.permitted, some) for word, some in zip(sets, inheritable, strict=True))
    )
    return bool(_libc.capset(ctypes.byref(_Header(_VERSION_3, 0)), wanted) == 0)


def _ambient(what: int, number: int) -> int:
    return int(_libc.prctl(_PR_CAP_AMBIENT, what, number, 0, 0))
