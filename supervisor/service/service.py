"""The service: which generation serves, which one stands by, which ones retire; and what follows from a change of that.

At most two generations matter at a time: the *active* one, which serves, and one
*standing by*, warm for a rollback. Others are *retiring*: they finish and leave.
Nothing here waits; operations do (`upgrade`, `reload`, `rollback`), and call in
when something is decided.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from releve.config.grammar import counted
from releve.config.settings.settings import Settings
from releve.supervisor.channels.door import open_door
from releve.supervisor.channels.exchange import Exchange
from releve.supervisor.condition.condition import Condition, Subject
from releve.supervisor.condition.error_rate import WINDOW_S, ErrorRate
from releve.supervisor.condition.saturation import Load, Saturation, load_of
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host import environment, system
from releve.supervisor.host.usage import CpuMeter
from releve.supervisor.keepsake.keepsake import Role
from releve.supervisor.keepsake.revival import Folders
from releve.supervisor.listeners.listener import Listener, close_listener
from releve.supervisor.release.release import Pin, release_of
from releve.supervisor.reporting.history import History
from releve.supervisor.reporting.log import log, own
from releve.supervisor.service.announcer import Announcer
from releve.supervisor.service.archive import Standing
from releve.supervisor.service.configuration import Configuration
from releve.supervisor.service.continuity import Continuity
from releve.supervisor.service.drain import Drain
from releve.supervisor.service.held_listeners import HeldListeners
from releve.supervisor.service.sentry_process import SentryProcess
from releve.supervisor.service.standby import Standby
from releve.supervisor.systemd.notify import Notifier


class Service:
    """What the supervisor owns. Lives in its loop; one per process."""

    def __init__(
        self,
        configuration: Configuration,
        configured: Settings,
        history: History,
        notifier: Notifier,
        folders: Folders,
        inherited: dict[str, socket.socket],
        sentry: SentryProcess,
    ) -> None:
        """``configured``: the settings that this program has read at its start.

        ``inherited``: the sockets that systemd passed to this program, or to the one before it.
        """
        self.configuration = configuration
        self.configured = configured
        self.history = history
        self.notifier = notifier
        self.started = time.monotonic()
        self.wall_offset = system.wall_offset()
        self.active: Generation | None = None
        self.candidate: Generation | None = None  # of the upgrade under way
        self.on_trial = False  # the candidate has been switched to, and is not committed yet
        self.retiring: list[Generation] = []
        self.scaled: int | None = None  # workers, as told by `ctl scale`
        self.last_number = 0  # of the newest generation there ever was
        self.listeners = HeldListeners(inherited, notifier)
        self.condition = Condition(self._subject)
        self.cpu = CpuMeter()  # of the workers
        self.saturation = Saturation()
        self.errors = ErrorRate()
        self.drain = Drain(self.generations)
        self.announcer = Announcer(notifier, self.condition, self.serving_words)
        self.folders = folders
        self.continuity = Continuity(folders, notifier, sentry)
        self.base_environment = environment.strip(os.environ)
        self.passed_over = ""  # why the cold start took another release than the configured one, if it did
        self.on_lost: Callable[[Generation], None] = lambda generation: None
        self._standby = Standby(self.retire_standby)

    # ---------------------------------------------------------------- generations

    def new_generation(self, pin: Pin, settings: Settings, listeners: Iterable[Listener]) -> Generation:
        """The next generation, not yet spawned."""
        self.last_number += 1
        generation = Generation(self.last_number, pin, settings, list(listeners))
        generation.booting.service = self.configuration.title
        try:
            generation.door = open_door(self.folders.runtime, generation.number)
        except OSError as error:
            log.warning(
                "cannot make a door for generation %d: %s; it exits if this supervisor is killed",
                generation.number,
                error,
            )
        self.candidate = generation
        self._enlist(generation)
        return generation

    def _enlist(self, generation: Generation) -> None:
        generation.on_lost = self._lost
        generation.on_report = self._hear
        generation.crashes.on_crash = lambda crash: self.history.crashed(generation.number, crash.picture())
        self.continuity.listen_to(generation)
        self.drain.tell(generation)

    # ---------------------------------------------------------------- what the next supervisor must know

    def tell_opening(self, opening: list[Listener]) -> None:
        """An operation has opened listeners: whoever follows this supervisor shall know of their files."""
        self.listeners.opening = opening
        self.tell_roles()

    def tell_roles(self) -> None:
        """Have each master keep what its generation now is to the service. Waits for nothing."""
        self.continuity.tell(self.standing())

    def standing(self) -> Standing:
        """How the service stands now, for whoever follows this supervisor."""
        roles = [(self.active, Role.ACTIVE), (self.standby, Role.STANDBY)]
        if self.on_trial:
            roles.insert(0, (self.candidate, Role.TRIAL))  # first: from here on it is the one in service
        return Standing(
            roles=tuple((generation, role) for generation, role in roles if generation is not None),
            opening=tuple(self.listeners.opening),
            standby_until=self._standby.until,
            scaled=self.scaled,
            last_number=self.last_number,
            drained_ns=self.drain.since_ns,
        )

    def restore(
        self,
        active: Generation,
        standby: Generation | None,
        trial: Generation | None,
        listeners: list[Listener],
        last: int,
        drained_ns: int | None = None,
    ) -> None:
        """Take over generations that another supervisor has left."""
        self.active, self.candidate, self.on_trial = active, trial, trial is not None
        self.listeners.in_service = listeners
        self.number_after(last)
        found = [generation for generation in (active, standby, trial) if generation is not None]
        self.drain.recall(found, drained_ns)
        for generation in found:
            self._enlist(generation)
        if trial is not None:
            active.exchange.relay_to(self.serving_exchange)
        self.listeners.store.keep(self.listeners.in_service)

    def restore_standby(self, standby: Generation, seconds: float, set_aside: list[Listener]) -> None:
        """Have a generation of another supervisor stand by for the rest of its time."""
        assert self.active is not None
        standby.exchange.relay_to(self.serving_exchange)
        self.listeners.put_aside(standby, set_aside)
        self._standby.begin(standby, seconds)

    def restore_retiring(self, generation: Generation, set_aside: list[Listener]) -> None:
        """Follow a generation of the program before us until it has left."""
        self._enlist(generation)
        self.retiring.append(generation)
        self.listeners.close_after(generation, set_aside)
        self._follow(generation)

    @property
    def standby(self) -> Generation | None:
        """The generation that stands by, warm for a rollback."""
        return self._standby.generation

    def number_after(self, last: int) -> None:
        """There has been a generation of that number."""
        self.last_number = max(self.last_number, last)

    @property
    def lost(self) -> bool:
        """Whether the generation in service needs a successor: it has lost its master, or does not serve."""
        return (
            self.active is not None
            and not self.on_trial
            and bool(self.active.trouble or self.active.state is not GenerationState.SERVING)
        )

    @property
    def tried(self) -> bool:
        """Whether a generation that is not committed serves clients: the candidate, on trial or as a canary."""
        return self.on_trial or (self.candidate is not None and self.candidate.state is GenerationState.ATTENDING)

    @property
    def serving(self) -> Generation | None:
        """The generation that clients are served by: the one in service, or the one on trial."""
        return self.candidate if self.on_trial else self.active

    def generations(self) -> list[Generation]:
        """Those that live, oldest first."""
        known = [self.active, self.standby, self.candidate, *self.retiring]
        return sorted(
            (g for g in known if g is not None and g.state is not GenerationState.GONE), key=lambda g: g.number
        )

    @property
    def release_uid(self) -> int:
        """Whom the release in service runs as."""
        return os.geteuid() if self.serving is None else self.serving.pin.identity.uid

    def serving_exchange(self) -> Exchange | None:
        """Where a connection that comes late is passed on to."""
        return self.serving.exchange if self.serving is not None else None

    @property
    def settings(self) -> Settings:
        """What the service goes by: the settings of the generation in service; before the first, what was configured
        at the start.
        """
        return self.configured if self.active is None else self.active.settings

    @property
    def wanted_workers(self) -> int:
        """How many workers the service shall have now."""
        return self.workers_for(self.settings)

    def workers_for(self, settings: Settings) -> int:
        """How many workers a generation with these settings gets: what `ctl scale` said, else the settings."""
        return self.scaled if self.scaled is not None else settings.workers

    def begin_trial(self, new: Generation) -> None:
        """The switch to a generation is complete; it serves, and is not committed yet."""
        self.candidate, self.on_trial = new, True
        if self.active is not None:
            self.tell_roles()
            self.active.exchange.relay_to(self.serving_exchange)

    def end_trial(self) -> None:
        """The generation in service serves again."""
        self.on_trial = False

    def drop_candidate(self) -> None:
        """The upgrade under way has come to nothing, and what it opened is closed."""
        self.candidate, self.on_trial = None, False
        self.listeners.opening = []

    def commit(self, new: Generation, listeners: list[Listener], *, standby_s: float | None) -> None:
        """The new generation is the one in service from here on; the old one stands by or retires."""
        old = self.active
        self.active, self.candidate, self.on_trial = new, None, False
        dropped = self.listeners.commit(listeners)
        if old is not None:
            old.exchange.relay_to(self.serving_exchange)
            self.listeners.put_aside(old, dropped)
            if standby_s is None or old.orphaned or old.state is not GenerationState.STANDBY:
                self.retire(old)
            else:
                self._standby.begin(old, standby_s)
        self._committed(anew=True)

    def commit_reload(self, generation: Generation) -> None:
        """The generation in service has new settings, and perhaps other listeners."""
        dropped = self.listeners.commit(generation.listeners)
        wanted = [one for one in dropped if self.standby is not None and one in self.standby.listeners]
        if self.standby is not None:
            self.listeners.put_aside(self.standby, wanted)
        for listener in dropped:
            if listener not in wanted:  # no rollback goes back to it
                close_listener(listener)
        self._committed(anew=False)

    def commit_rollback(self) -> None:
        """The generation that stood by serves again; the other one retires."""
        assert self.standby is not None and self.active is not None
        back, rejected = self.standby, self.active
        self._standby.end()
        self.active = back
        dropped = self.listeners.commit(back.listeners)
        self.listeners.take_back(back)
        rejected.exchange.relay_to(self.serving_exchange)
        self.listeners.put_aside(rejected, dropped)
        self.retire(rejected)
        self._committed(anew=True)

    def _committed(self, *, anew: bool) -> None:
        """What follows from a commit, in this order. ``anew``: another generation is in service than before."""
        assert self.active is not None
        subject, standing = self._subject(), self.standing()
        if anew:
            self.condition.begin_anew(self.active)
        own.change(subject.log)
        self.continuity.tell(standing)
        self.listeners.store.keep(self.listeners.in_service)
        self.condition.judge(subject)
        if anew:
            self.announcer.ready()

    def call_back(self) -> None:
        """A rollback begins: until it is over, neither its time nor the end of its master sends away the generation
        that stands by.
        """
        self._standby.call_back()

    def send_back(self) -> None:
        """The rollback has failed: that generation stands by for the rest of its time, if it can be relied upon."""
        if self.standby is None or not self._standby.fit:
            self.retire_standby()
            return
        self.listeners.put_back(self.standby)
        self._standby.send_back()

    def retire_standby(self) -> None:
        """Send the generation that stands by away: after its time, or because a newer one needs the room."""
        old = self._standby.end()
        if old is not None:
            log.info("standby of generation %d ended", old.number)
            self.retire(old)

    def retire(self, generation: Generation) -> None:
        """Let a generation finish what it has, for at most ``upgrade.retire``."""
        if generation is self.standby:
            self._standby.end()
        self.listeners.retire(generation)
        if generation.state is GenerationState.GONE:
            self._forget(generation)
            return
        self.retiring.append(generation)
        generation.dismiss(generation.settings.upgrade.retire)
        self._follow(generation)

    def _follow(self, generation: Generation) -> None:
        task = asyncio.get_running_loop().create_task(generation.ended.wait())
        task.add_done_callback(lambda _: self._forget(generation))

    def _forget(self, generation: Generation) -> None:
        log.info("generation %d exited", generation.number)
        with suppress(ValueError):
            self.retiring.remove(generation)
        self.listeners.forget(generation)

    # ---------------------------------------------------------------- condition

    def _subject(self) -> Subject:
        return Subject(self.active, self.candidate, self.settings.log, self.wanted_workers)

    def _hear(self, generation: Generation) -> None:
        if generation is self.active:
            self.condition.judge()

    def _lost(self, generation: Generation) -> None:
        """A generation lost its master unasked."""
        if generation is self.standby:
            if self._standby.called_back:
                return  # the rollback sees to it
            log.warning("the standby generation lost its master; it retires", extra=generation.tag)
            self.retire(generation)
        elif generation is self.active:
            self.condition.lose_master(generation)
            self.on_lost(generation)

    def announce(self) -> None:
        """Tell systemd who serves: it ends a start or a reload."""
        if self.active is not None:
            self.condition.judge(self._subject())
            self.announcer.ready()

    def load(self) -> Load:
        """How busy the workers in service are now."""
        return load_of(self.serving, self.listeners.in_service)

    def saturated(self) -> str | None:
        """How long every thread has been busy, for people; None: one is free."""
        load = self.load()
        return load.words if self.saturation.look(load) else None

    def failing(self) -> str | None:
        """How many requests were answered with 5xx, for people; None: few."""
        serving = self.serving
        return None if serving is None else self.errors.look(*serving.traffic.recent(WINDOW_S))

    def serving_words(self) -> str:
        """What is serving now, for the end of an error message."""
        serving = self.serving
        if serving is None or serving.state is GenerationState.GONE:
            return "nothing is serving"
        workers = serving.roster.serving() if serving.state is GenerationState.SERVING else len(serving.workers)
        shown = counted(workers, "worker")
        return f"generation {serving.number} is serving {serving.pin.resolved} with {shown}{self.drain.words}"

    def describe(self, generation: Generation | None) -> dict[str, Any] | None:
        """A generation as the history keeps it."""
        if generation is None:
            return None
        how = {"settings_revision": generation.revision, "workers": self.wanted_workers}
        return {"generation": generation.number, **how, **release_of(generation.pin)}
