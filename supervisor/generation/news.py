"""The news of a generation: what each report of its master changes. Their forms are in ``reports.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from releve.server.shared.link import Message
from releve.supervisor.channels.observer import known_signal
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log

if TYPE_CHECKING:
    from releve.supervisor.generation.generation import Generation

REMARKS_MAX = 20  # kept of one generation

# Each takes those of the descriptors that it keeps out of the list.
Effect = Callable[["Generation", Message, list[int]], None]


def _imported(generation: Generation, message: Message, fds: list[int]) -> None:
    generation.preloaded = message.get("preloaded", False)
    generation.broken = message.get("broken", [])
    generation.stacks_signal = known_signal(message.get("signal"))


def _worker(generation: Generation, message: Message, fds: list[int]) -> None:
    generation.roster.enter(message, fds)
    generation.observe()


def _mixed(generation: Generation, message: Message, fds: list[int]) -> None:
    files = message.get("files", [])
    if message.get("astray"):
        generation.astray = files
    else:
        generation.mixed = files


def _remark(generation: Generation, message: Message, fds: list[int]) -> None:
    if len(generation.remarks) < REMARKS_MAX:
        generation.remarks.append(message["text"])


def _done(generation: Generation, message: Message, fds: list[int]) -> None:
    if message.get("late"):
        log.warning("workers %s have not answered yet", message["late"], extra=generation.tag)
    generation.master.answer(message, None)


def _failed(generation: Generation, message: Message, fds: list[int]) -> None:
    step, trace = message.get("step", "boot"), message.get("traceback", "")
    if not trace and ("id" not in message or step == "workers"):  # a boot, or workers that replace others
        trace = generation.crash_stack()
    failure = StepFailed(step, message.get("reason", ""), trace)
    if "id" in message:
        generation.master.answer(message, failure)
    else:
        generation.booting.fail(failure)


EFFECTS: dict[str, Effect] = {
    "hello": lambda generation, message, fds: generation.booting.greet(message),
    "phase": lambda generation, message, fds: generation.booting.enter(message["phase"]),
    "imported": _imported,
    "unsafe": lambda generation, message, fds: generation.booting.unsafe(message.get("found", [])),
    "worker": _worker,
    "state": lambda generation, message, fds: generation.roster.note_state(message, fds),
    "gone": lambda generation, message, fds: generation.roster.leave(message, fds),
    "unfilled": lambda generation, message, fds: generation.roster.lack(message, fds),
    "mixed": _mixed,
    "remark": _remark,
    "terminated": lambda generation, message, fds: generation.on_terminated(),
    "ready": lambda generation, message, fds: generation.booting.complete(),
    "done": _done,
    "failed": _failed,
}
