"""Re-exec: the supervisor replaces itself by the program that is installed now.

Same pid, same children, same listeners.

The new program is proved first: started beside us with everything that it will be handed
(`succession`), it has to decode that and say so. Then execve(2) in place, signals blocked
until the new program's handlers stand; the descriptors keep their numbers. Whoever waits
for the operation goes on waiting, and is answered by the new program.

If that fails after the proof, its process ends, and the guard starts another one
(`adoption`): no client notices that either.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, NoReturn, Protocol

import releve
from releve.config.frozen import dataclass
from releve.server.shared.faults import fault
from releve.supervisor.host import children, program, system
from releve.supervisor.host.environment import REEXECUTED
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.lock import RuntimeLock
from releve.supervisor.service.service import Service
from releve.supervisor.takeover import succession
from releve.supervisor.takeover.succession import Bequest, Succession

PROOF_S = 20.0  # how long the new program may take to start and decode
QUIET_S = 2.0  # how long conversations that are not about this operation may take to end
_MARK = "releve-proof "


class Conversations(Protocol):
    """The control socket, with those who wait for an answer."""

    async def start(self) -> None:
        """Take conversations, again after ``quiet``."""

    async def quiet(self, operation: Operation, seconds: float) -> None:
        """Take no more, and let those end that do not wait for ``operation``."""

    def fileno(self) -> int:
        """Of the listening socket."""

    def waiting_for(self, operation: Operation) -> list[int]:
        """The descriptors of those who wait for its result."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a supervisor hands over beside its generations."""

    service: Service
    lock: RuntimeLock
    control: Conversations
    stopping: Callable[[], bool]


async def reexec(outgoing: Outgoing, operation: Operation) -> str:
    """Become the program that is installed now. Raises StepFailed; on success it does not return.

    Only beside a master in service that lives: should the new program fail, its guard is all that could start another
    one.
    """
    with operation.step("prove"):
        _need_guard(outgoing, "prove")
        operation.say(f"asking {sys.executable}")
        said = await _prove(outgoing, operation)
        operation.say(f"releve {said['releve']} with Python {said['python']} can take over")
    fault("before_exec")
    with operation.step("exec"):
        operation.committed = True  # from here on nobody can hear of an interruption
        await outgoing.control.quiet(operation, QUIET_S)
        system.hold_signals()
        try:
            await _hear_out()
            if outgoing.stopping():
                raise StepFailed("exec", "cannot replace the supervisor: the service is stopping")
            _need_guard(outgoing, "exec")
            _exec(outgoing, operation)
        finally:
            system.let_signals_in()
            await outgoing.control.start()
    raise AssertionError("execve returned")


def _need_guard(outgoing: Outgoing, step: str) -> None:
    """Raises StepFailed where nobody would start another supervisor, should the new program fail."""
    active = outgoing.service.active
    if active is None or not active.led:
        why = (active and active.trouble) or "the generation in service lost its master"
        raise StepFailed(
            step, f"cannot replace the supervisor: {why}; try again once its successor serves (ctl status)"
        )


async def _hear_out() -> None:
    """Signals that came before they were held back are in the loop's pipe: let it see to them, or they would be
    lost.
    """
    for _ in range(3):
        await asyncio.sleep(0)


def _exec(outgoing: Outgoing, operation: Operation) -> NoReturn:
    fd = _write(outgoing, operation)
    try:
        log.info("replacing the supervisor's program with %s", " ".join(_argv()))
        system.replace(_argv(), _environment(fd, prove=False), [fd, *succession.read(fd).descriptors])
    except OSError as error:
        raise StepFailed(
            "exec", f"cannot start {sys.executable}: {error.strerror}; this supervisor keeps running"
        ) from error
    finally:
        os.close(fd)


def arrived(environ: MutableMapping[str, str]) -> Succession | None:
    """What was handed to this program; None for one that was started as usual. Exits if it was only to prove itself.

    Raises SuccessionError.
    """
    told = environ.pop(REEXECUTED, None)
    if told is None:
        return None
    said = json.loads(told)
    fd = int(said["fd"])
    found = succession.read(fd)
    if said.get("prove"):
        answer = {
            "releve": releve.__version__,
            "python": ".".join(map(str, sys.version_info[:3])),
            "generations": found.generations,
        }
        print(_MARK + json.dumps(answer), flush=True)
        sys.exit(0)
    fault("after_exec")
    for number in (fd, *found.descriptors):
        os.set_inheritable(number, False)
    os.close(fd)
    return found


async def _prove(outgoing: Outgoing, operation: Operation) -> dict[str, Any]:
    """Have the new program decode what it would be handed. Raises StepFailed: it is not to be trusted with it."""
    refused = f"cannot replace the supervisor: {sys.executable} "
    fd = _write(outgoing, operation)
    try:
        ended = await program.run(
            _argv(), PROOF_S, directory=os.getcwd(), environment=_environment(fd, prove=True), pass_fds=(fd,)
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StepFailed("prove", f"{refused}does not start: {error}; this supervisor keeps running") from error
    finally:
        os.close(fd)
    for line in ended.output.splitlines():
        if line.startswith(_MARK):
            said: dict[str, Any] = json.loads(line.removeprefix(_MARK))
            return said
    how = f"did not answer within {PROOF_S:g} s" if ended.status is None else children.describe_status(ended.status)
    raise StepFailed(
        "prove", f"{refused}{how} when asked to take over; this supervisor keeps running", ended.errors[-4000:]
    )


def _write(outgoing: Outgoing, operation: Operation) -> int:
    folders = outgoing.service.folders
    bequest = Bequest(
        runtime=str(folders.runtime),
        state=str(folders.state),
        lock=outgoing.lock.fileno(),
        control=outgoing.control.fileno(),
        conversations=tuple(outgoing.control.waiting_for(operation)),
        number=operation.number,
        by=operation.by,
        attempt=operation.number if operation.recorded else None,
        began=operation.started,
        times=operation.times,
        control_group=folders.control_group,
    )
    return succession.write(succession.pack(outgoing.service, bequest))


def _argv() -> list[str]:
    return [sys.executable, *sys.orig_argv[1:]]


def _environment(fd: int, *, prove: bool) -> dict[str, str]:
    # the sockets are handed over
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LISTEN_")}
    return {**kept, REEXECUTED: json.dumps({"fd": fd, "prove": prove})}
