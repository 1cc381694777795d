"""A generation, as the supervisor holds it: one pin, one master process, its workers.

Theory of operation. The supervisor starts the master (`spawn`), hands it
everything over the link (`boot`), and from then on gives orders and reads
reports, which change the picture of the workers. If the master dies and that was
not meant, its workers serve on, *orphaned*: the same orders then go straight to
the workers' control pairs, and `on_lost` tells the supervisor to find a successor.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from releve.config.settings.settings import Settings
from releve.instance import symptoms
from releve.server.shared.link import EXTRAS, Message
from releve.supervisor.channels.board import Board
from releve.supervisor.channels.crash_file import CrashFile
from releve.supervisor.channels.door import Door
from releve.supervisor.channels.exchange import Exchange
from releve.supervisor.channels.master import ORDER_S, Master
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation import boot
from releve.supervisor.generation.boot import Boot, Phase
from releve.supervisor.generation.crash import SIGNALS, Crashes
from releve.supervisor.generation.dismissal import Dismissal
from releve.supervisor.generation.handed_over import Descriptors, HandedOver
from releve.supervisor.generation.leftovers import Leftovers
from releve.supervisor.generation.life import Life
from releve.supervisor.generation.news import News
from releve.supervisor.generation.orders import Orders
from releve.supervisor.generation.roster import Roster
from releve.supervisor.generation.states import GenerationEvent, GenerationState
from releve.supervisor.generation.totals import RunningTotals
from releve.supervisor.host import children
from releve.supervisor.host.environment import GENERATION_VARIABLE
from releve.supervisor.host.evidence import Process
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.release import compatibility
from releve.supervisor.release.release import Pin
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log
from releve.supervisor.reporting.logfiles import LentFiles

_RELIED_ON = (GenerationState.SERVING, GenerationState.STANDBY)


class Generation:
    """One generation, from its spawn to the end of its last process. Lives in the supervisor's loop."""

    def __init__(
        self,
        number: int,
        pin: Pin,
        settings: Settings,
        listeners: Sequence[Listener],
        found: HandedOver | None = None,
    ) -> None:
        """``found``: one that lives already, and was another supervisor's."""
        self.number = number
        self.pin = pin
        self.settings = settings  # of its revision: what it runs with, whatever is configured by now
        self.listeners = list(listeners)
        self.revision = 1
        self.started = time.monotonic()
        self._uid = pin.identity.uid
        self._last_revision = 1
        # What its processes have, too.
        self.exchange = Exchange() if found is None else Exchange((found.receive, found.send))
        self.board = Board(-1 if found is None else found.board)
        self.crashes = Crashes(CrashFile(-1 if found is None else found.crash))
        self.door: Door | None = None  # where its master is found by the next supervisor
        self.files = LentFiles()
        # Who does the rest.
        self.life = Life(number)
        self.roster = Roster(f"gen={number}", self._is_ours, lambda one: one.calls(self.board), self._crashed)
        self.master = Master(number, self._uid, self._hear, self._notice, self._master_ended, self._master_spoilt)
        self.orders = Orders(self.life, self.master, self.roster)
        self.booting = Boot(settings.app)
        self.news = News(self.master, self.booting, self.roster, self.crashes)
        self.news.preloaded = False if pin.preload is False else None
        self.traffic = RunningTotals(lambda: [(slot, self.board.read(slot)) for slot in self.roster.slots])
        self.dismissal = Dismissal(self.kill)
        # Its end, and who hears of that.
        self.ended = asyncio.Event()
        self.on_lost: Callable[[Generation], None] = lambda generation: None
        self.on_report: Callable[[Generation], None] = lambda generation: None
        self.leftovers = Leftovers(number, pin.resolved, self._uid, self.ended.set, adopted=found is not None)
        self._symptoms: symptoms.Evidence = {}
        self._relied_on = False  # when it ended, and not because it was sent away
        self._killed = False  # by us: what is left of it is not lost
        if found is not None:
            self._take_over(found)

    # ---------------------------------------------------------------- birth

    def _take_over(self, found: HandedOver) -> None:
        """Hold a generation that was another supervisor's; its master tells us the rest."""
        self.revision, self.news.preloaded, self.door = found.revision, found.preloaded, found.door
        self.life.state, self.orders.diverts = found.state, found.diverts
        self.files.adopt(self.revision, self.settings.log)
        self.booting.greet(found.hello)
        if found.counted:
            self.booting.complete()
        self.master.take_over(found.master)

    def descriptors(self) -> Descriptors:
        """For whoever is to hold it next."""
        return Descriptors(
            self.master.fileno(),
            self.master.pidfd,
            self.exchange.receive.fileno(),
            self.exchange.send.fileno(),
            self.board.fileno(),
            self.crashes.file.fileno(),
        )

    def command_alone(self) -> None:
        """Its master has gone: its workers are commanded from here."""
        self.life.orphaned = True
        self.roster.adopt(self._orphans_changed, self.life.fate)

    async def counted(self, timeout_s: float = ORDER_S) -> None:
        """Until the master of a generation that was taken over has told of all its workers.

        Raises StepFailed, TimeoutError.
        """
        async with asyncio.timeout(timeout_s):
            await self.booting.ready()

    def spawn(self, *, low: bool = False) -> None:
        """Start the master process; ``low``: until all its workers are ready, it gives way to what serves.

        Raises StepFailed; the caller still calls ``kill`` or lets it end.
        """
        try:
            self.master.spawn(self.pin, {**self.pin.environment, GENERATION_VARIABLE: str(self.number)})
        except StepFailed:
            self._finish()
            raise
        if low:
            self.booting.give_way(self.pid, self.settings.timeouts.boot)

    async def boot(self, workers: int, on_phase: Phase, keepsake: int = -1) -> None:
        """Have the master import the application and start its workers; returns when all are ready.

        Raises StepFailed, or UnsafePreload when the generation must be started
        anew without preload. ``timeouts.boot`` bounds the whole.
        """
        self.booting.on_phase = on_phase
        limit_s = self.settings.timeouts.boot
        try:
            async with asyncio.timeout(limit_s):
                hello = await self.booting.greeted()
                if reason := compatibility.objection(hello, self.settings):
                    raise StepFailed("boot", reason)
                self._send_boot(workers, keepsake)
                await self.booting.ready()
                self.booting.run_as_usual()
        except TimeoutError:
            reason = f"cannot boot: not ready after {limit_s:g} s (timeouts.boot) while {self.booting.doing}"
            await boot.abort_hung(self.life, self.master, self.roster)
            raise StepFailed("boot", reason, self.crash_stack()) from None

    def _send_boot(self, workers: int, keepsake: int) -> None:
        self.leftovers.note(self.listeners)
        given = self.descriptors()
        fds = [*(one.socket.fileno() for one in self.listeners), given.receive, given.send, given.board, given.crash]
        extras: dict[str, int] = {}
        if self.door is not None and self.door.socket is not None and keepsake >= 0 and self.can("door"):
            extras = {"door": self.door.socket.fileno(), "keepsake": keepsake}
        told = self.pin, self.settings, self.number, self.revision, workers, self.listeners
        message = boot.order(*told, self.booting.service)
        with self.files.lent(self.revision, self.settings.log, self.hello.get("settings", [])) as files:
            extras |= files
            announced = [key for key in EXTRAS if key in extras]
            self.master.send({**message, **dict.fromkeys(announced, True)}, [*fds, *(extras[key] for key in announced)])
        if self.door is not None:
            self.door.shut()

    def keep(self, keepsake: int) -> None:
        """Have the master keep what the next supervisor must know: a memory file, which stays the caller's.

        Waits for nothing.
        """
        if self.can("door"):
            with suppress(StepFailed):
                self.master.tell("keep", [keepsake])

    @property
    def takes_door(self) -> bool:
        """Whether the master can be given another door: it has not had one yet, or its release knows how."""
        return self.door is not None and (self.door.socket is not None or self.can("new_door"))

    def rehang(self, door: Door) -> None:
        """Give the master another door in place of one whose file has gone. Raises StepFailed."""
        assert self.door is not None and door.socket is not None
        if self.door.socket is None:
            self.master.tell("door", [door.socket.fileno()])
            door.shut()
        self.door.shut()
        self.door = door

    def assure(self, within_s: float) -> None:
        """Tell the master that its supervisor is alive."""
        self.master.assure(within_s)

    def knows(self, key: str) -> bool:
        """Whether the release of this generation has a setting (dotted key); asked once it has said hello."""
        return compatibility.knows(self.hello, key)

    def can(self, feature: str) -> bool:
        """Whether the release of this generation has a feature; asked once it has said hello."""
        return compatibility.can(self.hello, feature)

    def crash_stack(self) -> str:
        """The stack of the last process of this generation that crashed; empty if none did."""
        return self.crashes.stack()

    def _crashed(self, words: str) -> None:
        self.crashes.note(words, self.tag, booting=self.state is GenerationState.BOOTING)

    def explain(self) -> symptoms.Evidence:
        """Which requests its workers have failed to answer, and what they wrote last, the dead ones too."""
        return self._symptoms if self.board.fileno() < 0 else self.board.evidence(self.roster.slots)

    # ---------------------------------------------------------------- life

    def dismiss(self, deadline_s: float, linger_s: float | None = None, *, serve_on: bool = False) -> None:
        """Have everything finish and leave; what has not after ``deadline_s`` is killed. Does not wait.

        Of two deadlines the earlier one holds. ``serve_on``: its workers accept until each has finished what it has
        now; an older release does not know that.
        """
        if self.state is GenerationState.GONE:
            return
        self.leftovers.note(self.listeners)
        serve_on = serve_on and self.state is GenerationState.SERVING
        self.life.take(GenerationEvent.DISMISSED)
        if self.door is not None:
            self.door.forget()  # it leaves, whoever follows us
        self.dismissal.begin(deadline_s, linger_s, serve_on=serve_on)
        if self.orphaned:
            self._dismiss_workers()
            return
        try:
            self.master.tell("quit", **self.dismissal.order)
        except StepFailed:
            self.master.signal(signal.SIGKILL)  # it hangs, or has just died: its workers hear it from us, when it has

    def _dismiss_workers(self) -> None:
        self.roster.tell("quit", **self.dismissal.order)

    def kill(self) -> None:
        """End every process of it now."""
        if self.state is GenerationState.GONE or not self.pid:
            self._finish()
            return
        if self.state is not GenerationState.RETIRING:
            self.life.take(GenerationEvent.DISMISSED)
        self._killed = True
        self._name_strays()
        self.master.kill_group()
        self.roster.kill()

    def proved(self) -> None:
        """Booted and checked. Raises StepFailed, IllegalEvent."""
        self.life.take(GenerationEvent.PROVED)

    def new_revision(self) -> int:
        """A number for the next set of workers; never one that has been tried, whose losses would be held
        against them.
        """
        self.crashes.forget()
        self._last_revision = max(self._last_revision, self.revision, *(of for of, _ in self.roster.losses.listed)) + 1
        return self._last_revision

    def reload(self, revision: int, settings: Settings, listeners: Sequence[Listener]) -> None:
        """Its master has replaced all workers: this is what they run with."""
        self.revision, self.settings, self.listeners = revision, settings, list(listeners)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a report makes the condition true."""
        await self.life.until(condition)

    async def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """The same, for so long; whether it came true."""
        return await self.life.wait(condition, timeout_s)

    # ---------------------------------------------------------------- reports

    def _hear(self, message: Message, fds: list[int]) -> None:
        self.news.hear(message, fds)

    def _notice(self) -> None:
        self.life.notice()
        self.on_report(self)

    def _is_ours(self, process: Process) -> bool:
        """Whether a process can be one of this generation. A release that runs as root may become anybody."""
        return process.belongs_to(self.pid) and (self._uid == 0 or process.runs_as(self._uid))

    # ---------------------------------------------------------------- death

    def _master_spoilt(self, why: str) -> None:
        """Nothing good comes over its link any more: it is ended as one that hangs is, and costs as little."""
        log.error("killing the master: %s", why, extra=self.tag)
        self.booting.fail(StepFailed("boot", f"cannot follow the master of generation {self.number}: {why}"))
        self.master.signal(signal.SIGKILL)

    def _master_ended(self, status: int) -> None:
        words = children.describe_status(status)
        step = "boot" if self.state is GenerationState.BOOTING else "master"
        while_ = f" while {self.booting.doing}" if step == "boot" else ""
        self.life.fate = f"the master of generation {self.number} {words}"
        if -status in SIGNALS:
            self._crashed(self.life.fate)
        failure = StepFailed(step, f"{self.life.fate}{while_}", self.crash_stack())
        self.master.fail(failure)
        self.booting.fail(failure)
        if self.workers and self.state is not GenerationState.BOOTING and not self._killed:
            self.command_alone()
            if self.state is GenerationState.RETIRING:
                self._dismiss_workers()
        else:
            self._finish()
        self._notice()
        if self.state in _RELIED_ON or (self.state is GenerationState.GONE and self._relied_on):
            self.on_lost(self)

    def _orphans_changed(self) -> None:
        if not self.workers:
            lost = self.state is GenerationState.SERVING
            self._finish()
            if lost:
                self.on_lost(self)
        elif self.dismissal.serves_on and all(worker.spent for worker in self.workers.values()):
            self.dismissal.end_service()
            self._dismiss_workers()
        self._notice()

    def _finish(self) -> None:
        """Nothing of it serves any more: kill what its application left, reap, close everything."""
        if self.state is GenerationState.GONE:
            return
        self._relied_on = self.state in _RELIED_ON
        self.life.take(GenerationEvent.ENDED)
        self.dismissal.cancel()
        self.booting.run_as_usual()  # what a boot that failed has left may outlive it
        if not self._killed:  # else they were named
            self._name_strays()
        self.master.reap()
        self.roster.close()
        if self.door is not None:
            self.door.close()
        self.exchange.close()
        self.crashes.close()
        self._symptoms = self.explain()
        self.board.close()
        self.leftovers.note(self.listeners)
        self.leftovers.end(self.pid)

    def _name_strays(self) -> None:
        if self.master.running:
            self.leftovers.name_strays(self.pid, [worker.pid for worker in self.workers.values()])

    # ---------------------------------------------------------------- words

    @property
    def pid(self) -> int:
        """Of its master; 0 before there is one."""
        return self.master.pid

    @property
    def workers(self) -> dict[int, Worker]:
        """Its workers, by number."""
        return self.roster.workers

    @property
    def state(self) -> GenerationState:
        """Where it stands in its life."""
        return self.life.state

    @property
    def orphaned(self) -> bool:
        """Whether its master is gone and its workers serve on."""
        return self.life.orphaned

    @property
    def led(self) -> bool:
        """Whether its master lives, at this very moment."""
        return not self.trouble and not self.master.has_ended

    @property
    def trouble(self) -> str:
        """Why nobody can rely on it: its master has ended, or all of it. Empty while its master commands it."""
        return self.life.trouble

    @property
    def hello(self) -> Message:
        """What its master said of itself; empty before."""
        return self.booting.hello

    @property
    def tag(self) -> dict[str, str]:
        """Identity for a log line."""
        return {"who": f"gen={self.number} pid={self.pid}"}
