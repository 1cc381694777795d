"""Hooks: commands of the configuration, run at the turns of an upgrade (docs/hooks.md).

They run in the new release, as its user, with its interpreter first in PATH. Up to the
switch a hook that fails ends the upgrade; from then on its failure is noted, and undoes
nothing. A hook whose outcome changes nothing can be ended at any time.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from releve.config.frozen import dataclass
from releve.config.settings.hooks import Command
from releve.config.settings.hooks import Hooks as Commands
from releve.instance import paths
from releve.server.shared.runtime import HOOK_NAME
from releve.supervisor.generation.generation import Generation
from releve.supervisor.host import children, proc, program, system
from releve.supervisor.host.environment import GENERATION_VARIABLE
from releve.supervisor.release.environment import first
from releve.supervisor.release.release import Pin
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log
from releve.supervisor.reporting.operation import Operation

VERBS = ("start", "upgrade")  # whose turns have hooks; a rollback has only its own
GRACE_S = 2.0  # between SIGTERM and SIGKILL
TAIL_BYTES = 65536  # of what a hook writes, so much is kept
TAIL_LINES = 20  # and of these, so many are shown
_LINE_MAX_BYTES = 2000
_SAY_EVERY_S = 1.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of an operation: when its hook runs, and what becomes of the upgrade if that fails."""

    when: str
    failing: str


_ENDS, _NOTED = "fails the upgrade: the old generation keeps serving, exit status 4", "a note; nothing is undone"

TURNS: dict[str, Turn] = {
    "before": Turn("the release is resolved; nothing is started yet", _ENDS),
    "after_ready": Turn("all new workers are ready and passed the check; they get no traffic yet", _ENDS),
    "after_switch": Turn(
        "the new generation serves; the hook runs during the probation, and a rollback kills it", _NOTED
    ),
    "after_commit": Turn("the new generation is committed; the command waits for it", _NOTED),
    "on_failure": Turn("the upgrade failed, or was aborted, before the new generation served, and is undone", _NOTED),
    "on_rollback": Turn(
        "the old generation serves again, after a canary, a probation, `ctl abort` or `ctl rollback`", _NOTED
    ),
}

VARIABLES: dict[str, str] = {
    "RELEVE_HOOK": "the hook: `before`, …",
    "RELEVE_VERB": "`start`, `upgrade` or `rollback`",
    "RELEVE_BY": "the user who started it",
    "RELEVE_PYTHON": "the interpreter of the new release",
    GENERATION_VARIABLE: "number of the new generation; empty in `before`",
    "RELEVE_NEW_RELEASE": "name of the new release's folder",
    "RELEVE_NEW_DIRECTORY": "path of that folder, symlinks resolved",
    "RELEVE_NEW_REVISION": "its git commit, if it is a work tree",
    "RELEVE_OLD_GENERATION": (
        "number of the generation that served before; empty at the first start, as are the next three"
    ),
    "RELEVE_OLD_RELEASE": "name of its folder",
    "RELEVE_OLD_DIRECTORY": "path of that folder, symlinks resolved",
    "RELEVE_OLD_REVISION": "its git commit, if it is a work tree",
    "RELEVE_STEP": "in `on_failure` and `on_rollback`: the step that failed; otherwise empty",
    "RELEVE_REASON": "why it failed; otherwise empty",
    "RELEVE_HOOK_ID": "an identifier of this run of the hook",
}
_ID = "RELEVE_HOOK_ID"


class Hooks:
    """The hooks of one operation. Lives in the supervisor's loop."""

    def __init__(self, operation: Operation, old: Generation | None, runtime: Path | None = None) -> None:
        """``old``: what serves before the operation."""
        self._operation = operation
        self._old = old
        self._runtime = runtime
        self._new = ""  # number of the new generation
        self._pin: Pin | None = None
        self._commands: Commands | None = None  # as the settings have them
        self._beside: asyncio.Task[None] | None = None

    async def before(self, pin: Pin, commands: Commands) -> None:
        """The release is chosen, and its settings. Raises StepFailed."""
        self._pin, self._commands = pin, commands
        await self._must("before")

    async def after_ready(self, new: Generation) -> None:
        """The new generation is proved. Raises StepFailed."""
        self._new = str(new.number)
        await self._must("after_ready")

    def after_switch(self) -> None:
        """The new generation serves; the hook runs beside what follows, until ``ended``."""
        if self._command("after_switch") is not None:
            self._beside = asyncio.get_running_loop().create_task(self._noted("after_switch"))

    async def ended(self) -> None:
        """Until what runs beside has ended."""
        if self._beside is not None:
            await asyncio.wait([self._beside])

    async def after_commit(self) -> None:
        """The new generation is committed."""
        await self._aside("after_commit")

    def drop(self) -> None:
        """The operation is to be undone: end what runs beside it, without waiting."""
        if self._beside is not None:
            self._beside.cancel()

    async def undone(self, error: BaseException, active: Generation | None) -> None:
        """The operation was undone because of this; ``active`` is in service now."""
        await self.ended()
        operation = self._operation
        if active is not self._old:
            return  # there was no way back
        step = error.step if isinstance(error, StepFailed) else operation.phase
        reason = operation.stop_reason if isinstance(error, asyncio.CancelledError) else str(error)
        await self._aside("on_rollback" if operation.switched else "on_failure", step, reason)
        operation.phase = step  # where it failed, for the outcome

    async def rolled_back(self, rejected: Generation) -> None:
        """A rollback is done, from this generation to ``old``, whatever its way was."""
        self._pin, self._commands, self._new = rejected.pin, rejected.settings.hooks, str(rejected.number)
        if self._commands.on_rollback is not None:
            await self._aside("on_rollback", "rollback", f"rolled back by {self._operation.by}")

    def left_out(self, commands: Commands) -> None:
        """Say which hooks a dry run leaves out."""
        names = [name for name in TURNS if getattr(commands, name) is not None]
        if names:
            self._operation.note(f"a dry run skips hooks: {', '.join(names)}")

    # ---------------------------------------------------------------- one hook

    def _command(self, name: str) -> Command | None:
        if self._commands is None or not (self._operation.verb in VERBS or name == "on_rollback"):
            return None
        found: Command | None = getattr(self._commands, name)
        return found

    async def _must(self, name: str) -> None:
        if self._command(name) is not None:
            with self._operation.step(name):
                await self._run(name)

    async def _aside(self, name: str, step: str = "", reason: str = "") -> None:
        """Run one that may be ended at any time, since nothing depends on it; none once the service is being
        stopped.
        """
        operation = self._operation
        if self._command(name) is None or operation.final:
            return
        operation.aside = asyncio.get_running_loop().create_task(self._noted(name, step, reason))
        try:
            await asyncio.wait([operation.aside])
        finally:
            operation.aside = None

    async def _noted(self, name: str, step: str = "", reason: str = "") -> None:
        operation = self._operation
        try:
            with operation.step(name, beside=name == "after_switch"):
                await self._run(name, step, reason)
        except StepFailed as error:
            log.warning("%s %d: %s", operation.verb, operation.number, error.reason)
            before = " | ".join(line.strip() for line in error.traceback.splitlines())
            operation.note(f"{error.reason}; before that: {before}" if before else error.reason, logged=True)
        except asyncio.CancelledError:
            operation.note(f"the hook {name} was killed")

    async def _run(self, name: str, step: str = "", reason: str = "") -> None:
        """Raises StepFailed."""
        command, pin = self._command(name), self._pin
        assert command is not None and pin is not None
        output = Output(name, self._operation)
        identifier = os.urandom(16).hex()
        self._note_start(identifier)  # before there is a process: the supervisor may be killed at any moment
        try:
            status = await program.follow(
                ["/bin/sh", "-c", command.run] if isinstance(command.run, str) else command.run,
                command.timeout,
                directory=pin.resolved,
                environment={**self._environment(name, pin, step, reason), _ID: identifier},
                identity=pin.identity,
                grace_s=GRACE_S,
                hear=output.hear,
                started=lambda pid: self._note_start(identifier, pid),
            )
        except (OSError, subprocess.SubprocessError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise StepFailed(
                name, f"cannot run the hook {name} in {pin.resolved}: {why.lower()}; change hooks.{name}"
            ) from error
        finally:
            output.flush()
            self._remove_note()
        if status is None:
            late = f"the hook {name} was killed after {command.timeout:g} s; fix it, or raise hooks.{name}.timeout"
            raise StepFailed(name, late, output.tail(), logged=True)
        if status != 0:
            ended = f"the hook {name} {children.describe_status(status)}{output.last_words}"
            raise StepFailed(name, ended, output.tail(but=1), logged=True)

    def _environment(self, name: str, pin: Pin, step: str, reason: str) -> dict[str, str]:
        old = self._old
        values = {
            "RELEVE_HOOK": name,
            "RELEVE_VERB": self._operation.verb,
            "RELEVE_BY": self._operation.by,
            "RELEVE_PYTHON": pin.python,
            GENERATION_VARIABLE: self._new,
            **_release("NEW", pin),
            "RELEVE_OLD_GENERATION": "" if old is None else str(old.number),
            **_release("OLD", None if old is None else old.pin),
            "RELEVE_STEP": step,
            "RELEVE_REASON": reason.replace("\0", ""),
        }
        return {**pin.environment, "PATH": first(os.path.dirname(pin.python), pin.environment.get("PATH")), **values}

    def _note_start(self, identifier: str, pid: int = 0) -> None:
        """Write down which hook runs, for ``end_left_over``; pid 0 while it is being started."""
        if self._runtime is not None:
            with suppress(OSError), paths.folder(self._runtime) as folder:
                started = proc.started_at(pid) if pid else 0
                folder.write(HOOK_NAME, f"{pid} {started} {identifier}\n".encode(), 0o600)

    def _remove_note(self) -> None:
        if self._runtime is not None:
            with suppress(OSError):
                paths.remove(self._runtime / HOOK_NAME)


def _release(side: str, pin: Pin | None) -> dict[str, str]:
    name, directory, revision = (
        ("", "", "") if pin is None else (os.path.basename(pin.resolved), pin.resolved, pin.revision or "")
    )
    return {f"RELEVE_{side}_RELEASE": name, f"RELEVE_{side}_DIRECTORY": directory, f"RELEVE_{side}_REVISION": revision}


def end_left_over(runtime: Path) -> None:
    """End a hook that a supervisor which was killed has left: its operation is undone, as when a hook is
    interrupted.
    """
    with suppress(OSError, ValueError), paths.folder(runtime) as folder:
        said = folder.read_ours(HOOK_NAME, _LINE_MAX_BYTES).decode("ascii")
        folder.remove(HOOK_NAME)
        pid, started, *identifier = said.split()  # no identifier: an older release has written it
        if pid == "0":
            pid, started = _find(*identifier)
        group = int(pid)
        # A hook leads a session of its own; nothing else is ever ended by this file, whatever it says.
        if group > 1 and started == proc.started_at(group) and os.getsid(group) == group != os.getsid(0):
            log.warning("killed pid %d, a hook that the previous supervisor left running", group)
            system.kill_group(group, signal.SIGKILL)


def _find(identifier: str) -> tuple[str, str]:
    """The process of a hook whose supervisor was killed while it started it, and when it was started (``proc``): the
    first that leads a session and has the identifier in its environment. Raises ValueError.
    """
    mark, found, until = f"{_ID}={identifier}".encode("ascii"), [], time.monotonic() + proc.EXEC_S
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with suppress(OSError):
            if os.getsid(pid) == pid and mark in proc.environment(pid, until):
                found.append((int(proc.started_at(pid) or 0), str(pid)))
    if not found:
        raise ValueError("no such process")
    started, first_pid = min(found)
    return first_pid, str(started)


class Output:
    """What a hook writes: every line is logged, the last ones are kept, and now and then one is shown to
    whoever waits.
    """

    def __init__(self, name: str, operation: Operation) -> None:
        self._name = name
        self._operation = operation
        self._lines: deque[str] = deque()
        self._kept = 0  # characters in them
        self._rest = b""  # of a line whose end has not come
        self._said_at = float("-inf")  # monotonic

    def hear(self, data: bytes) -> None:
        """Take what has come."""
        *lines, self._rest = re.split(rb"[\r\n]+", self._rest + data)
        for line in lines:
            self._take(line)
        if len(self._rest) > _LINE_MAX_BYTES:
            self.flush()

    def flush(self) -> None:
        """Take what has come of a line without an end."""
        self._take(self._rest)
        self._rest = b""

    def tail(self, *, but: int = 0) -> str:
        """The last lines, ``but`` for so many at the end."""
        lines = [*self._lines]
        return "\n".join(lines[: len(lines) - but][-TAIL_LINES:])

    @property
    def last_words(self) -> str:
        """The last line, for the end of a sentence."""
        return f": {self._lines[-1]}" if self._lines else " and printed nothing"

    def _take(self, line: bytes) -> None:
        text = _ESCAPES.sub("", line[:_LINE_MAX_BYTES].decode("utf-8", "replace")).rstrip()
        text = "".join(character if character.isprintable() else " " for character in text)
        if not text:
            return
        log.info("hook %s: %s", self._name, text)
        self._lines.append(text)
        self._kept += len(text)
        while self._kept > TAIL_BYTES:
            self._kept -= len(self._lines.popleft())
        now = time.monotonic()
        if now - self._said_at >= _SAY_EVERY_S:
            self._said_at = now
            self._operation.emit({"event": "phase", "phase": self._name, "state": "doing", "text": text})
