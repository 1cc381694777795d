"""Forking so that a failure in the child can never run the parent's code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

from releve.server.shared.link import EXIT_INTERNAL
from releve.server.shared.native import os, signal


def fork(child: Callable[[], object]) -> tuple[int, int]:
    """Run ``child`` in a forked process; returns its pid and a pidfd (close-on-exec, owned by the caller).

    Every signal is blocked in the child until it unblocks them itself: none can
    reach it while it still has its parent's handlers. However ``child`` ends, the
    process ends with it, by ``os._exit``. Raises OSError; no process is left then.
    """
    for stream in (sys.stdout, sys.stderr):
        _flush(stream)  # else both processes would write what is buffered
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _be(child)
        try:
            return pid, os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
            os.waitpid(pid, 0)
            raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _be(child: Callable[[], object]) -> None:
    status = EXIT_INTERNAL
    try:
        child()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)
        os._exit(status)


def _flush(stream: object) -> None:
    try:
        stream.flush()  # type: ignore[attr-defined]  # None, or closed, or the application's own
    except Exception:
        pass
