"""``ctl top``: asks, waits, asks again, and shows what happened between; a supervisor that goes and comes is found."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from types import FrameType
from typing import Any

from releve.config.frozen import dataclass
from releve.ctl.conversation.client import ConversationLost, TimedOut, converse
from releve.ctl.conversation.find import FindError, connect
from releve.ctl.screens import render
from releve.ctl.top import words
from releve.ctl.top.sample import Sample, frame, sample
from releve.instance.protocol import Event, Status

ANSWER_S = 10.0
QUIT = b"qQ"


class Away(Exception):
    """Nobody answers: the supervisor has ended, or is being replaced."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How often, how many times (None: until somebody quits), and whether for programs."""

    interval_s: float
    count: int | None
    json: bool


def ask(path: str) -> Sample:
    """A sample of the service at a control socket. Raises Away.

    An older supervisor knows no durations; one that this user may not ask for workers tells what its status does.
    """
    status = _ask(path, "status")
    workers = _ask(path, "workers", durations=True)
    if workers.get("status") == Status.USAGE:
        workers = _ask(path, "workers")
    if "service" not in status:
        raise Away(render.line(status.get("message")))
    return sample(time.monotonic(), status, workers)


def _ask(path: str, verb: str, **arguments: Any) -> Event:
    try:
        sock = connect(path)
        if sock is None:
            raise Away("no supervisor answers")
        with sock:
            return converse(sock, verb, arguments, lambda event: None, ANSWER_S)
    except (ConversationLost, TimedOut, FindError) as error:
        raise Away(str(error)) from error


def watch(path: str, manner: Manner) -> int:
    """Show the service at a control socket until somebody quits; the exit status."""
    try:
        first = ask(path)
    except Away as error:
        render.say(f"cannot watch the service: {error}")
        return Status.UNEXPECTED
    live = render.on_terminal(sys.stdout) and not manner.json
    try:
        if live:
            _live(path, first, manner)
        else:
            _lines(path, first, manner)
    except (KeyboardInterrupt, BrokenPipeError):
        if not live:
            render.mute(sys.stdout)
    return Status.DONE


def _lines(path: str, before: Sample, manner: Manner) -> None:
    """A line each time, for a file or a pipe."""
    if not manner.json:
        print(words.aligned(words.HEAD))
    for _ in _times(manner.count):
        time.sleep(manner.interval_s)
        now = datetime.now().astimezone()
        try:
            after = ask(path)
        except Away as error:
            told = {"time": now.isoformat(timespec="seconds"), "message": str(error)}
            print(json.dumps(told) if manner.json else f"{now:%H:%M:%S}  {error}", flush=True)
            continue
        found, before = frame(before, after), after
        if manner.json:
            print(json.dumps(words.as_json(now.isoformat(timespec="seconds"), found)), flush=True)
        else:
            print(words.aligned(words.cells(f"{now:%H:%M:%S}", found)), flush=True)


def _live(path: str, before: Sample, manner: Manner) -> None:
    """On the alternate screen, which leaves the terminal as it was."""
    from rich.live import Live

    from releve.ctl.top.screen import draw

    console = render.console(sys.stdout)
    with _keys() as pressed, _ended_by_term(), Live(console=console, screen=True, auto_refresh=False) as live:
        found, since, trouble = frame(before, before), time.monotonic(), ""
        for number in _times(None if manner.count is None else manner.count + 1):
            if number and pressed(manner.interval_s):
                return
            if number:
                try:
                    after = ask(path)
                    found, before, since, trouble = frame(before, after), after, time.monotonic(), ""
                except Away as error:
                    gone = render.age(time.monotonic() - since)
                    trouble = f"{error} (for {gone}); this is the last that was known, and it is asked again"
            width, height = console.size
            live.update(draw(found, f"{datetime.now():%H:%M:%S}", width, height, trouble), refresh=True)


def _times(count: int | None) -> Iterator[int]:
    number = 0
    while count is None or number < count:
        yield number
        number += 1


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """A function that waits so many seconds and says whether somebody wants to quit; keys are not shown meanwhile."""
    fd = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else -1
    if fd < 0:

        def wait(seconds: float) -> bool:
            time.sleep(seconds)
            return False

        yield wait
        return

    def pressed(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([fd], [], [], left)[0]:
                key = os.read(fd, 16)
                if not key or any(byte in QUIT for byte in key):
                    return True
        return False

    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        quiet = termios.tcgetattr(fd)
        quiet[6][termios.VSUSP] = b"\0"  # suspended, it would leave its screen to the shell
        termios.tcsetattr(fd, termios.TCSANOW, quiet)
        yield pressed
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextmanager
def _ended_by_term() -> Iterator[None]:
    """SIGTERM and SIGHUP end it as Ctrl-C does, so that the terminal is left as it was."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
