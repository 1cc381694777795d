"""The news of a generation: what each report of its master changes, and what is known by them. Their forms are in
``reports.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from releve.server.shared.link import STACKS_SIGNAL, Message
from releve.supervisor.channels.master import Master
from releve.supervisor.channels.observer import known_signal
from releve.supervisor.generation.boot import Boot
from releve.supervisor.generation.crash import Crashes
from releve.supervisor.generation.roster import Roster
from releve.supervisor.release import compatibility
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log

REMARKS_MAX = 20  # kept of one generation
LATE_MAX = 20  # workers that a line of the log names


class News:
    """What the master of one generation has reported. Lives in the supervisor's loop."""

    def __init__(self, master: Master, boot: Boot, roster: Roster, crashes: Crashes) -> None:
        self.preloaded: bool | None = None  # its master has imported the application; None: nobody knows yet
        self.remarks: list[str] = []  # of its master and workers, for who operates them
        self.broken: list[str] = []  # mounted applications that answer 503, each with its reason
        self.mixed: list[str] = []  # files that had changed when a worker was started from them
        self.astray: list[str] = []  # files that its application has loaded through a link that deploys move
        self.stacks_signal = STACKS_SIGNAL  # by which its master is asked for stacks where it does not answer
        self.on_terminated: Callable[[], None] = lambda: None
        self._master = master
        self._boot = boot
        self._roster = roster
        self._crashes = crashes

    def take_over(self, broken: Iterable[str], mixed: Iterable[str], astray: Iterable[str], stacks_signal: int) -> None:
        """Know what another one was told before."""
        self.broken, self.mixed, self.astray = list(broken), list(mixed), list(astray)
        self.stacks_signal = stacks_signal

    def hear(self, message: Message, fds: list[int]) -> None:
        """One report, which has its form. Takes those of the descriptors that it keeps out of the list.

        Raises Unfit for what cannot be true.
        """
        self.EFFECTS[message["type"]](self, message, fds)

    def observe(self) -> None:
        """Have the workers answer for the stacks of their threads, if their release can."""
        if compatibility.can(self._boot.hello, "stacks"):
            self._roster.observe()

    def _imported(self, message: Message, fds: list[int]) -> None:
        self.preloaded = message.get("preloaded", False)
        self.broken = message.get("broken", [])
        self.stacks_signal = known_signal(message.get("signal"))

    def _worker(self, message: Message, fds: list[int]) -> None:
        self._roster.enter(message, fds)
        self.observe()

    def _mixed(self, message: Message, fds: list[int]) -> None:
        files = message.get("files", [])
        if message.get("astray"):
            self.astray = files
        else:
            self.mixed = files

    def _remark(self, message: Message, fds: list[int]) -> None:
        if len(self.remarks) < REMARKS_MAX:
            self.remarks.append(message["text"])

    def _done(self, message: Message, fds: list[int]) -> None:
        late = message.get("late", [])
        if self._master.answer(message, None) and late:
            more = f" and {len(late) - LATE_MAX} more" if len(late) > LATE_MAX else ""
            names = ", ".join(map(str, late[:LATE_MAX]))
            log.warning("no answer yet from worker %s%s", names, more, extra=self._master.tag)

    def _failed(self, message: Message, fds: list[int]) -> None:
        step, trace = message.get("step", "boot"), message.get("traceback", "")
        if not trace and ("id" not in message or step == "workers"):  # a boot, or workers that replace others
            trace = self._crashes.stack()
        failure = StepFailed(step, message.get("reason", ""), trace)
        if "id" in message:
            self._master.answer(message, failure)
        else:
            self._boot.fail(failure)

    # By the type of the report. Each takes those of the descriptors that it keeps out of the list.
    EFFECTS: ClassVar[Mapping[str, Callable[[News, Message, list[int]], None]]] = {
        "hello": lambda self, message, fds: self._boot.greet(message),
        "phase": lambda self, message, fds: self._boot.enter(message["phase"]),
        "imported": _imported,
        "unsafe": lambda self, message, fds: self._boot.unsafe(message.get("found", [])),
        "worker": _worker,
        "state": lambda self, message, fds: self._roster.note_state(message, fds),
        "gone": lambda self, message, fds: self._roster.leave(message, fds),
        "unfilled": lambda self, message, fds: self._roster.lack(message, fds),
        "mixed": _mixed,
        "remark": _remark,
        "terminated": lambda self, message, fds: self.on_terminated(),
        "ready": lambda self, message, fds: self._boot.complete(),
        "done": _done,
        "failed": _failed,
    }
