"""Fault points: places at which a process can be made to fail, so that every step's failure has a test.

Off by default, and then they cost nothing. ``RELEVE_FAULT=POINT:MODE[@TOKEN]`` arms one:
with a token (the path of a file) it fires only for who can remove that file, so exactly once, when
a test has made it. The tests under ``tests/faults`` are generated from ``POINTS``.
"""

from __future__ import annotations

import contextlib
import enum
from typing import NoReturn

from releve.config.frozen import dataclass
from releve.server.shared.native import os, signal, time

VARIABLE = "RELEVE_FAULT"
EXIT_STATUS = 99


class Process(enum.Enum):
    """Where a point lies."""

    SUPERVISOR = "supervisor"
    MASTER = "master"
    WORKER = "worker"


class Mode(enum.Enum):
    """What a process does at a point that is armed."""

    EXIT = "exit"
    EXCEPTION = "exception"
    KILL = "kill"
    HANG = "hang"


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the code that can be made to fail: in which process, and when it comes by."""

    process: Process
    when: str
    verb: str = "upgrade"  # the command that comes by it


_S, _M, _W = Process.SUPERVISOR, Process.MASTER, Process.WORKER

POINTS: dict[str, Point] = {
    "after_preflight": Point(_S, "an upgrade has chosen its release, and nothing is started"),
    "after_spawn": Point(_S, "the new master has been started"),
    "after_boot": Point(_S, "all new workers are ready"),
    "after_check": Point(_S, "all new workers have passed the check"),
    "on_canary": Point(_S, "the new generation serves the share of a canary"),
    "after_resume": Point(_S, "the new workers accept, and so do the old ones"),
    "after_pause": Point(_S, "the old workers have paused, and no role is written yet"),
    "on_trial": Point(_S, "the new generation serves, on probation"),
    "before_commit": Point(_S, "the probation is over"),
    "after_commit": Point(_S, "the new generation is committed, and not announced yet"),
    "before_exec": Point(_S, "the new program is proved, and this one still runs", "reexec"),
    "after_exec": Point(_S, "the new program runs, and has not taken over yet", "reexec"),
    "master_boot": Point(_M, "the master has received its boot order"),
    "master_imported": Point(_M, "the application is imported"),
    "master_forked": Point(_M, "the first workers are forked"),
    "master_attend": Point(_M, "the order to attend has come"),
    "master_divert": Point(_M, "the order to divert has come"),
    "master_resume": Point(_M, "the order to resume has come"),
    "master_pause": Point(_M, "the order to pause has come"),
    "master_quit": Point(_M, "the order to quit has come"),
    "worker_boot": Point(_W, "the worker is forked"),
    "worker_ready": Point(_W, "the worker has said that it is ready"),
    "worker_attend": Point(_W, "the order to attend has come"),
    "worker_divert": Point(_W, "the order to divert has come"),
    "worker_resume": Point(_W, "the order to resume has come"),
    "worker_pause": Point(_W, "the order to pause has come"),
    "worker_paused": Point(_W, "idle connections have been given away"),
    "worker_quit": Point(_W, "the order to quit has come"),
}


class Fault(Exception):
    """What a fault point raises in the mode ``exception``."""


@dataclass(frozen=True, slots=True)
class Armed:
    """A value of ``RELEVE_FAULT``, read: where to fail, how, and once only if there is a token."""

    point: str
    mode: Mode
    token: str | None


def read(text: str) -> Armed | None:
    """The fault that a value of the variable arms; None for an empty one.

    Raises ValueError with the nearest known word.
    """
    if not text:
        return None
    words, _, token = text.partition("@")
    point, _, mode = words.partition(":")
    for word, known in ((point, list(POINTS)), (mode, [one.value for one in Mode])):
        if word not in known:
            import difflib  # only a mistake needs it

            near = difflib.get_close_matches(word, known, 1) or [", ".join(known)]
            raise ValueError(f"cannot arm {VARIABLE}={text}: {word!r} is not known; did you mean {near[0]}?")
    return Armed(point, Mode(mode), token or None)


try:
    _armed = read(os.environ.get(VARIABLE, ""))
except ValueError as _error:
    _armed = None
    _trouble = str(_error)
else:
    _trouble = ""


def trouble() -> str:
    """What is wrong with the variable; empty if nothing is."""
    return _trouble


def fault(point: str) -> None:
    """Fail here, if this point is armed."""
    if _armed is not None and _armed.point == point:
        _fire(_armed)


def _fire(armed: Armed) -> None:
    if armed.token is not None:
        try:
            os.unlink(armed.token)
        except OSError:
            return
    if armed.mode is Mode.EXIT:
        os._exit(EXIT_STATUS)
    if armed.mode is Mode.KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    if armed.mode is Mode.HANG:
        _hang()
    raise Fault(f"fault point {armed.point}")


def _hang() -> NoReturn:
    while True:  # SIGABRT, with which a hung process is ended, is let through
        with contextlib.suppress(Exception):
            time.sleep(3600)
