"""``ctl``, ``releve`` and our own clients in a fork of the process of the tests, which imports them once: starting
interpreters took a tenth of the time.

Everything else is as it is for a user: a process of its own, with its arguments, folder, environment and streams. What
is about a command's start, its terminal or its signals starts the command itself; so does all of Relève that goes on: a
service is started as users do.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

MODULES = {"ctl": "releve.ctl.main", "releve": "releve.supervisor.cli"}


def run(
    name: str, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run`` for that command with these arguments, its output captured as text.

    Raises subprocess.TimeoutExpired.
    """
    _import_all(MODULES[name].rpartition(".")[0])
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        pid = os.fork()
        if pid == 0:
            _become(name, arguments, cwd, environment, output.fileno(), errors.fileno())
        pidfd = os.pidfd_open(pid)
        try:
            ended = select.select([pidfd], [], [], timeout_s)[0]
            if not ended:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        finally:
            os.close(pidfd)
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode())
    command = [name, *arguments]
    if not ended:
        raise subprocess.TimeoutExpired(command, timeout_s, *texts)
    return subprocess.CompletedProcess(command, status, *texts)


@functools.cache
def _import_all(package: str) -> None:
    """What the command imports when it is needed."""
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        importlib.import_module(module.name)
    importlib.import_module("releve.config.reading.load")


def _become(
    name: str, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], output: int, errors: int
) -> None:
    """In the child: be that command, and end. Never returns."""

    def command() -> int:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(cwd)
        sys.argv = sys.orig_argv = [name, *arguments]
        return int(importlib.import_module(MODULES[name]).run(arguments))

    _leave(command, os.open(os.devnull, os.O_RDONLY), output, errors)


def _leave(main: Callable[[], int], *streams: int) -> None:
    """In the child: run that with these descriptors as standard streams and no others, and end with its status. Never
    returns.
    """
    status = 1
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (signal.SIGALRM, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for fd, source in enumerate(streams):
            os.dup2(source, fd)
        _let_go_of_descriptors()
        sys.stdin, sys.stdout, sys.stderr = (
            open(fd, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            for fd, mode in enumerate("rww")
        )
        status = main()
    except BaseException:
        sys.__excepthook__(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _let_go_of_descriptors() -> None:
    """In the child: close what the tests have open, and leave each number taken.

    Objects of the tests are collected here too, and close their descriptor by its number: that must not be one that
    was opened since.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for fd in sorted(map(int, os.listdir("/proc/self/fd"))):
        if fd > 2 and fd != null:
            os.dup2(null, fd, inheritable=False)


class Process:
    """A function of ours as a process that goes on, and is talked to over pipes: lines of text. Its errors go where
    those of the tests do.
    """

    def __init__(self, main: Callable[[], int]) -> None:
        theirs, ours = os.pipe(), os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _leave(main, theirs[0], ours[1], 2)
        self._pidfd = os.pidfd_open(self.pid)
        os.close(theirs[0])
        os.close(ours[1])
        self.stdin, self.stdout = os.fdopen(theirs[1], "w"), os.fdopen(ours[0])

    def poll(self) -> int | None:
        """As that of subprocess.Popen."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout_s: float) -> int:
        """Its exit status. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._pidfd], [], [], timeout_s)[0]:
                raise subprocess.TimeoutExpired("a fork of the tests", timeout_s)
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._pidfd)
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
