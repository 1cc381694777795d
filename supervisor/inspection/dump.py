"""The stacks of a process, whatever it is doing, each thread with the request that it serves: ``ctl dump``.

A worker is asked by its observer, a master over its link. Only who has not answered is asked by a signal, whose handler
in C needs no turn of a loop, and not the interpreter's lock, but may end the process (``server/process/stacks.py``). It
writes to the crash file of its generation, one process at a time; it has finished when no thread of it is in the
handler any more, as ``/proc`` says (proc(5): ``SigBlk``).
"""

from __future__ import annotations

import asyncio
import re
import signal
import time
from contextlib import suppress
from typing import Any

from releve.config.frozen import dataclass
from releve.server.scoreboard.inflight import LEADER, InflightCall, serving
from releve.server.shared.link import STACKS_SIGNAL
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.inflight import describe
from releve.supervisor.host import proc
from releve.supervisor.reporting.failure import StepFailed

ASKED_S = 2.0  # for an answer; then the signal
ANSWER_S = 3.0  # for the whole answer to the signal
OLD_SIGNAL = signal.SIGURG  # of releases that can only be asked by signal (the feature `dump`)
LOOK_S = 0.005
STILL_S = 0.2  # without another byte: it has finished, where /proc does not tell
FRAMES_MAX = 60  # of one thread
TEXT_MAX_BYTES = 600_000  # of all stacks in one answer; a line of the control protocol holds a little more

_THREAD = re.compile(r"(?:Current thread|Thread) (0x[0-9a-f]+)")
_FRAME = re.compile(r'  File ".*", line .*')
# the thread that would have answered is not worth a line
_WATCHES = re.compile(r'/server/(?:process/)?stacks\.py", line \d+ in _answer$')
_STATES = {
    "T": "it is stopped (SIGSTOP, or a frozen group): SIGCONT resumes it",
    "t": "it is stopped by a debugger",
    "Z": "it exited",
    "X": "it exited",
    "": "it exited",
}


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a generation: a worker, or the master."""

    generation: Generation
    worker: Worker | None

    @property
    def name(self) -> str:
        """``8.2`` or ``8.master``: what ``ctl dump`` takes for it."""
        return f"{self.generation.number}.{'master' if self.worker is None else self.worker.number}"

    @property
    def pid(self) -> int:
        """Its pid; 0 where there is none."""
        return self.generation.pid if self.worker is None else self.worker.pid


def processes(generations: list[Generation]) -> list[Process]:
    """Everyone who can be asked: the masters that live, and all workers."""
    found = []
    for generation in generations:
        if generation.master.running:
            found.append(Process(generation, None))
        found += [Process(generation, worker) for _, worker in sorted(generation.workers.items())]
    return found


def choose(name: str, known: list[Process], serving_number: int | None) -> Process | None:
    """The process that a user means: ``8.2``, ``8.master``; ``2`` or ``master`` of the generation in service;
    or a pid.
    """
    short = f"{serving_number}.{name}"
    ways = (lambda one: one.name == name, lambda one: one.name == short, lambda one: str(one.pid) == name)
    return next((one for way in ways for one in known if way(one)), None)


async def dump(process: Process) -> dict[str, Any]:
    """What the threads of a process do, for ``--json``; ``trouble`` where it does not say, ``note`` how it came to say
    so.
    """
    generation, worker = process.generation, process.worker
    text, note, trouble = "", "", _objection(process.pid)
    if not trouble:
        text = await _ask(process)
    if not trouble and not text:
        text, note, trouble = await _ask_by_signal(process)
    requests = [] if worker is None else worker.calls(generation.board) or []
    return {
        "process": process.name,
        "pid": process.pid,
        "state": generation.state.value if worker is None else worker.state,
        "trouble": trouble,
        "note": note,
        "threads": _threads(text, requests, time.monotonic()),
    }


def fit(answers: list[dict[str, Any]]) -> None:
    """Leave stacks out, the last first, until an answer has room for the rest."""
    left = TEXT_MAX_BYTES
    for answer in answers:
        for thread in answer["threads"]:
            left -= sum(map(len, thread["stack"]))
            if left < 0:
                thread["stack"] = ["(left out: the answer is too long; ask for this process alone)"]


def _objection(pid: int) -> str:
    """Why a process need not be asked; empty if it can be."""
    state = proc.process_state(pid)
    if state in _STATES:
        return _STATES[state]
    return ""


def _silence(pid: int, otherwise: str) -> str:
    """Why a process says nothing."""
    state = proc.process_state(pid)
    if state == "D":
        return f"{otherwise}: it waits in the kernel, where no signal reaches it (a disk, or a network file system?)"
    return _STATES.get(state, otherwise)


async def _ask(process: Process) -> str:
    """Its own word; empty if it does not answer in time, or cannot."""
    if process.worker is not None:
        return "" if process.worker.observer is None else await process.worker.observer.ask(ASKED_S)
    if not process.generation.can("stacks"):
        return ""
    with suppress(StepFailed):
        return str((await process.generation.orders.give("stacks", timeout_s=ASKED_S)).get("text", ""))
    return ""


async def _ask_by_signal(process: Process) -> tuple[str, str, str]:
    """What it writes when it is signalled, a note on that, and why it writes nothing."""
    can = process.generation.can("stacks")
    number = _signal_of(process) if can else int(OLD_SIGNAL)
    silent = f"it did not answer within {ASKED_S:g} s"
    caught = proc.signal_set(process.pid, "SigCgt")
    if not number or (caught is not None and not caught >> (number - 1) & 1):
        why = f"{silent}, and it has" if can else "its release cannot dump stacks, or it has"
        return (
            "",
            "",
            _silence(
                process.pid,
                f"{why} no handler for the signal: it is still starting, or the application took the signal",
            ),
        )
    async with process.generation.crashes.file.reading:
        text = await _signal(process, number)
    if text:
        return text, f"{silent if can else 'its release answers signals only'}: its stacks were taken by signal", ""
    return "", "", _silence(process.pid, f"it did not answer within {ANSWER_S + ASKED_S * can:g} s")


def _signal_of(process: Process) -> int:
    if process.worker is None:
        return process.generation.news.stacks_signal
    return STACKS_SIGNAL if process.worker.observer is None else process.worker.observer.signal


async def _signal(process: Process, number: int) -> str:
    """Signal it and wait for what it writes; empty if that is nothing."""
    file, worker = process.generation.crashes.file, process.worker
    if file.fileno() < 0 or (worker is not None and process.generation.workers.get(worker.number) is not worker):
        return ""  # it has gone meanwhile, and its descriptors with it
    begin = size = file.written_bytes()
    deaf = proc.blocking(process.pid, number)  # threads of some library may block every signal for ever
    (process.generation.master.signal if worker is None else worker.kill)(number)
    until = grown = time.monotonic()
    until += ANSWER_S
    while time.monotonic() < until:
        await asyncio.sleep(LOOK_S)
        if file.fileno() < 0:
            return ""  # it has gone meanwhile
        before, size = size, file.written_bytes()
        if size != before:
            grown = time.monotonic()
        elif size > begin and _finished(process.pid, number, deaf, grown) or proc.process_state(process.pid) in _STATES:
            break
    return file.take(begin) if size > begin else ""


def _finished(pid: int, number: int, deaf: set[int] | None, grown: float) -> bool:
    """Whether no thread is in the handler any more, for which it would hold the signal back."""
    handling = proc.blocking(pid, number)
    return time.monotonic() - grown > STILL_S if handling is None or deaf is None else handling <= deaf


def _threads(text: str, requests: list[InflightCall], now: float) -> list[dict[str, Any]]:
    """The threads that were written, each with its request; those that serve come first, the longest of them
    foremost.
    """
    busy = {request.thread: request for request in serving(requests)}
    numbers = {request.thread: request.number for request in requests if request.number != LEADER}
    leads = next((request.thread for request in requests if request.number == LEADER), 0)
    found = []
    for ident, stack in _stacks(text):
        request = busy.pop(ident, None)
        found.append(_thread(ident, numbers.get(ident), request, leads == ident, stack, now))
    found += [_thread(ident, numbers.get(ident), request, leads == ident, [], now) for ident, request in busy.items()]
    return sorted(found, key=lambda one: (-one["request"]["age_s"] if one["request"] else 1, one["role"] == "idle"))


def _thread(
    ident: int, number: int | None, request: InflightCall | None, leads: bool, stack: list[str], now: float
) -> dict[str, Any]:
    if request is not None:
        role = "serving"
    elif leads:
        role = "leading"
    elif number is not None:
        role = "idle"
    else:
        role = "other"  # the main thread, or one of the application's own
    return {
        "thread": f"{ident:#x}",
        "number": number,
        "role": role,
        "request": None if request is None else describe(request, now),
        "stack": stack[-1:] if role == "idle" else stack,
    }


def _stacks(text: str) -> list[tuple[int, list[str]]]:
    """Thread identifiers, and their frames as in a traceback: the most recent call last."""
    found: list[tuple[int, list[str]]] = []
    for line in text.splitlines():
        thread = _THREAD.match(line)
        if thread:
            found.append((int(thread[1], 16), []))
        elif found and _FRAME.fullmatch(line) and len(found[-1][1]) < FRAMES_MAX:
            found[-1][1].append(line.strip())
    return [(ident, frames[::-1]) for ident, frames in found if not any(_WATCHES.search(line) for line in frames)]
