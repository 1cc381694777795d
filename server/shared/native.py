"""The standard library as it was when this process began, for all that is ours.

gevent and eventlet put functions of their own in the place of the standard library's (``monkey.patch_all()``), by the
application or by a library that it imports. Those wait by turning an event loop: ours would wait in theirs, and its
threads would be none. So what is imported from here is a copy, made before the application is: whatever is patched
later is patched for the application alone.

``tests/test_layering.py`` has the server import these modules from here.
"""

from __future__ import annotations

import os as os
import select as select
import signal as signal
import socket as socket
import threading
import time as time
from _thread import RLock as RLock
from _thread import allocate_lock as Lock  # as `threading.Lock`
from _thread import get_ident as get_ident
from _thread import start_new_thread
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

import releve.server

__all__ = ["FOLDER", "OURS", "Lock", "RLock", "get_ident", "os", "select", "signal", "socket", "start_thread", "time"]

FOLDER = os.path.join(os.path.abspath(next(iter(releve.server.__path__))), "")  # what lies below is ours
OURS = "releve-"  # the names of our threads begin so
# of `threading`, by which a thread starts
_STARTS = ("_start_new_thread", "_start_joinable_thread", "_allocate_lock", "get_ident")


def _copied(module: ModuleType) -> ModuleType:
    """A module with the same functions, under the same names for ever."""
    copy = ModuleType(module.__name__, module.__doc__)
    vars(copy).update(vars(module))
    return copy


def _rebound(function: FunctionType, copy: ModuleType) -> FunctionType:
    """A function that finds in the copy what it calls."""
    made = FunctionType(function.__code__, vars(copy), function.__name__, function.__defaults__, function.__closure__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _copied_socket(module: ModuleType) -> ModuleType:
    """Its functions, and ``accept``, make sockets: those of the copy."""
    copy = _copied(module)
    vars(copy).update(
        {name: _rebound(one, copy) for name, one in vars(module).items() if isinstance(one, FunctionType)}
    )
    vars(copy)["socket"] = type(
        "socket", (module.socket,), {"__slots__": (), "accept": _rebound(module.socket.accept, copy)}
    )
    return copy


if not TYPE_CHECKING:
    os, select, signal, time = map(_copied, (os, select, signal, time))
    socket = _copied_socket(socket)

_starts = {name: getattr(threading, name, None) for name in _STARTS}


def start_thread(name: str, function: Callable[..., object], *arguments: object, calls: bool = False) -> None:
    """Start a daemon thread of the system. Raises RuntimeError if the system gives none.

    It has its name for the application too, unless ``threading`` is patched: that starts no threads of the system any
    more. ``calls``: it calls the application. What that starts there is no daemon unless it says so, though a thread
    inherits it: the end of the worker waits for it. For this one nobody waits, since it was a daemon when it began.
    """
    if all(getattr(threading, one, None) is start for one, start in _starts.items()):
        thread = threading.Thread(target=function, args=arguments, name=name, daemon=True)
        thread.start()
        if calls:
            thread._daemonic = False  # type: ignore[attr-defined]
    else:
        start_new_thread(function, arguments)
