"""In the master and in the worker: where each thread is, for ``ctl dump`` and in a crash.

Who is asked answers under the interpreter's lock, when no frame can change: the master in its loop, a worker in a
thread that does nothing else, so that it answers whatever its loop and its calls do. Only who has not answered is asked
by a signal: a handler in C needs neither a turn nor the lock, but it reads frames that may be changing, and can end the
process by that.
"""

from __future__ import annotations

import contextlib
import faulthandler
import sys
from _thread import start_new_thread
from types import FrameType
from typing import Any

from releve.server.shared import system
from releve.server.shared.link import ELSEWHERE, STACKS_SIGNAL, WANTS_ALL, Link, LinkError, close_all
from releve.server.shared.native import get_ident, os, select, signal

FRAMES_MAX = 100  # of one thread, the most recent ones
TEXT_MAX = 600_000  # of one answer
_PIECE = 12_000  # of one message, which has room for that in whatever script

_DEFAULT = 0  # SIG_DFL
# Before we put ours in their place.
_enable, _disable, _is_enabled = faulthandler.enable, faulthandler.disable, faulthandler.is_enabled
_crash = -1  # where crashes are written to
_asked_at_start = faulthandler.is_enabled()  # PYTHONFAULTHANDLER, or -X faulthandler
_wanted = False  # the application has enabled it
_elsewhere = False  # for another file than standard error
_taken: tuple[int, int] = (0, _DEFAULT)  # the signal that is ours, and our handler's address


def text(*, without: int = 0, limit: int = TEXT_MAX) -> str:
    """The stacks of all threads but one, as faulthandler writes them."""
    # Quick, and only then put into words: the lock may be taken from us in between.
    found = {ident: _frames(frame) for ident, frame in sys._current_frames().items() if ident != without}
    said = ""
    for ident, frames in found.items():
        lines = [f'  File "{_printable(file)}", line {line} in {_printable(name)}' for file, line, name in frames]
        said += "\n".join([f"Thread {ident:#018x} (most recent call first):", *lines, "", ""])
    return said[:limit]


def arm(fd: int) -> None:
    """From now on, also in children, a fatal signal has the stacks of all threads written to ``fd``, and so has
    ``armed()``.

    Call it again after code that may have taken either away. A signal that has another handler by then is left to it.
    """
    global _taken, _crash
    if _crash < 0:
        faulthandler.enable = _enable_for_the_application
        faulthandler.disable = _disable_for_the_application  # type: ignore[assignment]  # it does return something
        faulthandler.is_enabled = lambda: _wanted
        if _asked_at_start:
            _note(fd, WANTS_ALL)
    _crash = fd
    if not _elsewhere:
        _enable(fd, all_threads=True)
    if armed():
        return
    # Ours stays registered with faulthandler: to take it back would take the other's handler away.
    number = next((one for one in range(STACKS_SIGNAL, signal.SIGRTMIN, -1) if system.handler_of(one) == _DEFAULT), 0)
    if number:
        faulthandler.register(number, file=fd, all_threads=True, chain=False)
    _taken = number, system.handler_of(number) if number else _DEFAULT


def armed() -> int:
    """The signal that has our handler; 0: none has."""
    number, handler = _taken
    return number if number and system.handler_of(number) == handler else 0


def disarm() -> None:
    """In a child that the application forked: the signal does what it does by default."""
    global _taken
    if number := armed():
        faulthandler.unregister(number)
    _taken = (0, _DEFAULT)
    faulthandler.enable, faulthandler.disable, faulthandler.is_enabled = _enable, _disable, _is_enabled
    if not _elsewhere:  # a crash of the child is none of the worker's
        if _wanted:
            _enable(2)
        else:
            _disable()


def _enable_for_the_application(file: Any = None, all_threads: bool = True, **more: Any) -> None:
    """``faulthandler.enable``: there is one handler in a process, and one place that it writes to.

    For standard error that stays ours: the supervisor puts into the log what the handler wrote. Any other file gets it,
    and then the supervisor does not.
    """
    global _elsewhere
    if file is None:
        _enable(all_threads=all_threads, **more)  # refuses as it always does
    else:
        _enable(file, all_threads, **more)
    fd = file if isinstance(file, int) else (sys.stderr if file is None else file).fileno()
    _elsewhere = not os.path.sameopenfile(fd, 2)
    if not _elsewhere:
        _enable(_crash, all_threads=True)
    _note(_crash, ELSEWHERE if _elsewhere else WANTS_ALL)


def _disable_for_the_application() -> bool:
    """``faulthandler.disable``: what the application has enabled ends, ours goes on. Whether it had enabled any."""
    global _elsewhere, _wanted
    was, _elsewhere, _wanted = _wanted, False, False
    _enable(_crash, all_threads=True)
    return was


def _note(fd: int, mark: bytes) -> None:
    global _wanted
    _wanted = True
    with contextlib.suppress(OSError):
        if mark not in os.pread(fd, len(mark) * 2 + 65536, 0):
            os.write(fd, mark)


def answer(link: Link) -> None:
    """In the worker: start the thread that answers on a pair, until its other end is closed. Owns the link."""
    try:
        link.send({"type": "observed", "signal": armed()})
        start_new_thread(_answer, (link,))
    except (LinkError, RuntimeError):  # nobody is there any more; no thread can be started (RLIMIT_NPROC, pids.max)
        link.close()  # who asks hears that at once


def _answer(link: Link) -> None:
    try:
        while not link.ended:
            _await(link, select.POLLIN)
            for message, fds in link.messages(lambda garbled: None):
                close_all(fds)
                if message.get("type") == "stacks":
                    _tell(link, message.get("id"), text(without=get_ident()))
    except (LinkError, OSError):
        pass  # nobody hears us any more; who comes next brings another pair
    finally:
        link.close()


def _tell(link: Link, number: object, said: str) -> None:
    """Send an answer in as many messages as it takes."""
    for at in range(0, max(1, len(said)), _PIECE):
        _await(link, select.POLLOUT)
        piece = said[at : at + _PIECE]
        link.send({"type": "stacks", "id": number, "text": piece, "more": at + _PIECE < len(said)})


def _await(link: Link, event: int) -> None:
    ready = select.poll()
    ready.register(link, event)
    ready.poll()


def _frames(frame: FrameType | None) -> list[tuple[str, int, str]]:
    found: list[tuple[str, int, str]] = []
    while frame is not None and len(found) < FRAMES_MAX:
        code = frame.f_code
        found.append((code.co_filename, frame.f_lineno or 0, code.co_name))
        frame = frame.f_back
    return found


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)
