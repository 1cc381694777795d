"""In the worker: its end, once its last connection has gone: what the application wants done, and what Python does at
the end of a process.

In the main thread: ``hooks.on_exit``, then threads that are not daemons are joined (those of executors too), the
functions of ``atexit`` run, and files are flushed. Meanwhile another thread waits, for as long as that may take, and
then ends the process by ``os._exit``: an interpreter that is taken apart while threads of ours sleep in it may crash
(docs/adr/0042-a-workers-end.md).

The steps are those of ``Py_FinalizeEx``, and called as ``multiprocessing`` calls them in its children, which end by
``os._exit`` too. The names are private to CPython: one that a later Python has not is a step that is left out.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading  # the application's, even if it is patched: its threads are waited for
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NoReturn

from releve.server.process import buffered, children, output
from releve.server.shared.link import EXIT_INTERNAL
from releve.server.shared.native import OURS, Lock, os, signal, start_thread, time
from releve.server.wsgi.hooks import Function

LEAST_S = 0.3  # where the deadline has passed already
BEAT_S = 0.1

THREADS = "threads did not exit"

log = logging.getLogger("releve.worker")


class LastSteps:
    """The steps, and which of them is under way."""

    def __init__(self, on_exit: Function | None) -> None:
        self._steps: list[tuple[str, str, Callable[[], object]]] = [
            ("hooks.on_exit", "hooks.on_exit did not return", on_exit or _nothing),
            ("joining threads", THREADS, lambda: getattr(threading, "_shutdown", _nothing)()),
            ("atexit", "an atexit function did not return", lambda: getattr(atexit, "_run_exitfuncs", _nothing)()),
            ("flushing files", "a file does not accept data", buffered.flush),
        ]
        self._trouble = "the application did not release the main thread"
        self._over = Lock()
        self._over.acquire()

    def run(self) -> None:
        """In the main thread: do it all, one step after the other. What they raise is logged."""
        me = os.getpid()
        for name, trouble, step in self._steps:
            self._trouble = trouble
            try:
                step()
            except SystemExit:
                pass  # it ends anyway
            except BaseException:
                log.exception("error while the worker exits, in %s; continuing with the next step", name)
            if os.getpid() != me:
                # a child that the step has forked, which has come back from it: it is no worker
                os._exit(EXIT_INTERNAL)
        self._over.release()

    def wait(self, until: float, why: str, beat: Callable[[], None]) -> None:
        """In another thread: until it is done, or that time (monotonic) has come. ``beat`` is called now and then."""
        begun = time.monotonic()
        while not self._over.acquire(timeout=max(0.0, min(until - time.monotonic(), BEAT_S))):
            if time.monotonic() >= until:
                log.warning(
                    "exiting although %s within %.3g s (%s)%s",
                    self._trouble,
                    max(0.0, until - begun),
                    why,
                    self._names(),
                )
                return
            beat()

    def _names(self) -> str:
        """The threads that are waited for, if it is threads."""
        if self._trouble is not THREADS:
            return ""
        main = threading.main_thread()
        names = [
            one.name for one in threading.enumerate() if not (one is main or one.daemon or one.name.startswith(OURS))
        ]
        return ": " + ", ".join(names) if names else ""


def end_after(
    last_steps: LastSteps, number: int, limit_s: float, why: str, status: int, beat: Callable[[], None]
) -> NoReturn:
    """In a thread that is not the main one: the end of the process, when the main one has done the rest, or it takes
    too long.
    """
    try:
        until = time.monotonic() + limit_s
        last_steps.wait(until, why, beat)
        children.end(children.find(os.getpid()), f"worker {number} (pid {os.getpid()})", until)
        children.settle(until)
    except Exception:
        log.exception("exiting without the remaining steps: internal error")
    finally:
        end_process(status)


def leave_unbooted(number: int, limit_s: float, status: int) -> NoReturn:
    """In the main thread, the only one of ours, when ``failed`` was said: end as any worker does, though sooner, since
    somebody waits.
    """
    last_steps = LastSteps(None)
    try:
        start_thread(f"{OURS}end", end_after, last_steps, number, limit_s, "it did not boot", status, _nothing)
    except RuntimeError:  # the system gives none
        end_process(status)
    last_steps.run()
    while True:
        signal.pause()  # the other thread ends the process


def end_process(status: int) -> NoReturn:
    """Without what the interpreter does; lines of output that were begun are written."""
    output.drain()
    os._exit(status)


def _nothing() -> None:
    pass


def inherit() -> None:
    """In a worker whose master has imported the application: leave to the master what it has made for all of them.

    A folder that the import has made is every worker's, and so are the processes that it has started; the first worker
    that ends must not take them from the others.
    """
    for one in _folders():
        one.atexit = False
    process: Any = sys.modules.get("multiprocessing.process")
    with suppress(AttributeError):
        process._children.clear()  # as multiprocessing does in its own children


def remove_temporary() -> None:
    """In the master, at its end: remove the temporary folders and files that the import has made."""
    for one in list(_folders()):
        with suppress(Exception):
            one()
    buffered.close_temporary()


def _folders() -> Iterator[weakref.finalize[Any, Any]]:
    """What would remove a ``tempfile.TemporaryDirectory`` at the end."""
    tempfile: Any = sys.modules.get("tempfile")
    cleanup = getattr(getattr(getattr(tempfile, "TemporaryDirectory", None), "_cleanup", None), "__func__", None)
    for one in list(getattr(weakref.finalize, "_registry", ())):
        seen = one.peek()
        if cleanup is not None and seen is not None and getattr(seen[1], "__func__", None) is cleanup:
            yield one
