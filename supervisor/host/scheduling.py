"""How the scheduler of the kernel treats processes: as usual, or so that they give way to others. sched(7).

What gives way runs by SCHED_BATCH, and asks for long slices. It gets its share of the processors all the same, but when
it wakes up it interrupts nobody, and whoever wakes up interrupts it. Everybody may leave that policy again, which is
not so of SCHED_IDLE and of nice values.

What a process starts, and each of its threads, inherits both. So whoever is brought back is brought back with all of
its threads and descendants.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress

from releve.supervisor.host import children, proc

SLICE_NS = 100_000_000  # the longest that the kernel takes
PASSES_MAX = 10  # over processes that start others meanwhile
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274, "ppc64le": 355, "s390x": 345}  # numbers of the call
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")  # struct sched_attr as it was at first: sched_setattr(2)
_DEFAULT = os.sched_param(0)

_libc = ctypes.CDLL(None, use_errno=True)


def lower(pid: int) -> bool:
    """Have a process that has just been started give way; whether it does.

    It does not where a container or the kernel refuses it, nor if it runs by another policy than the usual one, which
    it has from us: then somebody has chosen that for the whole service.
    """
    try:
        if os.sched_getscheduler(pid) != os.SCHED_OTHER:
            return False
        os.sched_setscheduler(pid, os.SCHED_BATCH, _DEFAULT)
        with suppress(OSError):  # the policy alone is something
            _set(pid, os.SCHED_BATCH, SLICE_NS)
    except OSError:
        return False
    return True


def restore(pid: int) -> int:
    """Have a process and all that it has started run as usual, with their threads; returns how many threads gave way.

    Whose parent has ended is looked for among our own children. What runs as another user by now, as a program with a
    set-user-ID bit does, may have to stay as it is.
    """
    found = 0
    for _ in range(PASSES_MAX):
        adopted = set(proc.children(os.getpid())) - children.started()
        brought = sum(map(_restore, _with_descendants({pid, *adopted})))
        found += brought
        if not brought:  # then nothing was started by one that gave way, behind our back
            break
    return found


def _restore(task: int) -> bool:
    """Whether one thread gave way, and does no more."""
    with suppress(OSError):  # it has ended
        if os.sched_getscheduler(task) == os.SCHED_BATCH:
            try:
                _set(task, os.SCHED_OTHER, 0)
            except OSError:
                os.sched_setscheduler(task, os.SCHED_OTHER, _DEFAULT)
            return True
    return False


def _set(task: int, policy: int, slice_ns: int) -> None:
    """Give a thread a policy and slices of some length, 0 for the usual one; its nice value stays.

    Raises OSError. Kernels before Linux 6.12 take no notice of the slices.
    """
    number = _SCHED_SETATTR.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    nice = os.getpriority(os.PRIO_PROCESS, task)
    wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, policy, 0, nice, 0, slice_ns, 0, 0)
    if _libc.syscall(ctypes.c_long(number), ctypes.c_long(task), wanted, ctypes.c_long(0)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _with_descendants(roots: Iterable[int]) -> Iterator[int]:
    """The threads of some processes and of all of their descendants, each before what it has started is looked for.

    Where the kernel does not tell whose children they are (CONFIG_PROC_CHILDREN), only those of the processes.
    """
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        with suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                yield int(task)
                with suppress(OSError), open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                    waiting += map(int, file.read().split())
