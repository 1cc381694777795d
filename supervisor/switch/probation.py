"""The probation: a generation that has just been switched to, or serves as a canary, is watched, and judged by a table
of rules.

Only what is certainly the new release's fault counts: where the old generation has
the same trouble (its check fails too, its own requests ended in 5xx as often), nothing
is held against the new one. How long requests take is reported and never judged: a
cold process is always slower.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import field
from functools import partial
from typing import Any

from releve.config.frozen import dataclass
from releve.config.grammar import counted
from releve.config.settings.upgrade import Check
from releve.server.shared.states import AT_WORK, UP, WorkerState
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.losses import REMEMBERED_S, unexcused
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.generation.totals import Totals
from releve.supervisor.reporting.failure import RolledBack
from releve.supervisor.switch import check as checking

TICK_S = 0.1
PING_S = 0.5  # between an answered ping and the next
WEDGED_S = 2.0  # without a turn of its loop, a worker is wedged
CHECK_S = 1.0  # at most so long between two checks
CHECKS = 5  # at least, in the time of the probation
REQUESTS_LEAST = 20  # fewer say nothing
ERRORS_LEAST = 5
SHARE_ABOVE = 0.10  # of errors in all requests, above that of the old generation


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken, and what a person needs to believe it."""

    rule: str
    reason: str
    traceback: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)

    def failure(self, step: str, new: Generation, figures: dict[str, Any]) -> RolledBack:
        """The end of the operation; the caller goes back."""
        evidence = {"rule": self.rule, **self.evidence, "figures": figures}
        return RolledBack(step, f"generation {new.number} failed its {step}: {self.reason}", self.traceback, evidence)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the probation has come to. ``violation`` is None for a good generation."""

    violation: Violation | None
    notes: list[str]
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the new generation's traffic is compared with."""

    name: str  # in the figures
    words: str
    look: Callable[[], Totals]


def last_minute(before: Totals) -> Comparison:
    """Of the old generation, which has paused since."""
    return Comparison("old_last_minute", "the old generation in its last minute", lambda: before)


class Trial:
    """One probation under way: what has been seen of the new generation so far."""

    def __init__(
        self, new: Generation, old: Generation | None, before: Comparison, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.new = new
        self.old = old
        self.before = before
        self.check_failed: Violation | None = None
        self.before_crashes = 0 if old is None else old.roster.losses.count()[0]
        self.notes: list[str] = []
        self._now = now
        self._begin = new.traffic.sample()
        self._began = self._looked = now()
        self._pings: dict[int, Ping] = {}  # by the worker's number

    @property
    def traffic(self) -> Totals:
        """What the new generation has answered in its probation."""
        return self.new.traffic.sample() - self._begin

    def crashes_excused(self) -> int:
        """How many workers the old generation would have lost in the time of the probation: it lost some shortly
        before.

        Beside a canary it serves on, and may lose some meanwhile.
        """
        if self.old is not None and self.old.state is GenerationState.SERVING:
            self.before_crashes = max(self.before_crashes, self.old.roster.losses.count()[0])
        return math.ceil(self.before_crashes * max(1.0, (self._now() - self._began) / REMEMBERED_S))

    def figures(self) -> dict[str, Any]:
        """Of both generations, for the outcome."""
        return {name: _figures(one) for name, one in (("new", self.traffic), (self.before.name, self.before.look()))}

    def look(self) -> None:
        """Ping the workers, and see which have turned since their last ping."""
        now = self._now()
        # Our own sleep does not count: where the whole machine stood still, nobody can have answered.
        passed_s, self._looked = min(now - self._looked, 2 * TICK_S), now
        for worker in self.new.workers.values():
            if worker.state not in UP:
                continue
            ping = self._pings.get(worker.number)
            record = worker.record(self.new.board)
            if record is None:  # of another release, which does not know our scoreboard: nobody can tell
                continue
            if ping is None or (record.heartbeat_ns > ping.sent_ns and ping.waited_s >= PING_S):
                sent_ns = time.monotonic_ns()  # before it is sent: the answer may be quicker than we are
                if worker.tell("ping"):
                    self._pings[worker.number] = Ping(sent_ns)
            else:
                ping.waited_s += passed_s
                ping.answered = record.heartbeat_ns > ping.sent_ns

    def note(self, words: str) -> None:
        """What is worth saying in the outcome, once."""
        if words not in self.notes:
            self.notes.append(words)

    def wedged(self) -> list[int]:
        """Numbers of the workers that have not turned for too long."""
        late = (number for number, ping in self._pings.items() if not ping.answered and ping.waited_s >= WEDGED_S)
        return [number for number in late if number in self.new.workers]

    async def keep_checking(self, check: Check, every_s: float) -> None:
        """Ask the check of one new worker after the other, for as long as nothing is wrong."""
        turn = 0
        while self.check_failed is None:
            await asyncio.sleep(every_s)
            workers = [worker for worker in self.new.workers.values() if worker.state in AT_WORK]
            if not workers:
                continue
            worker = workers[turn % len(workers)]
            turn += 1
            try:
                await checking.ask_worker(self.new, worker, check)
            except checking.CheckFailed:
                try:
                    await checking.ask_worker(self.new, worker, check)  # once may be an accident
                except checking.CheckFailed as error:
                    await self._hold_against(worker.number, str(error), check)

    async def _hold_against(self, worker: int, reason: str, check: Check) -> None:
        """The check has failed twice in a row; it is the new release's fault if the old one passes."""
        able = (WorkerState.SERVING, WorkerState.PAUSED)
        olds = [] if self.old is None else [one for one in self.old.workers.values() if one.state in able]
        try:
            if not olds:
                raise checking.CheckFailed("the old generation has no worker left")
            assert self.old is not None
            await checking.ask_worker(self.old, olds[0], check)
        except checking.CheckFailed as error:
            self.note(f"the check fails in the old generation too, so the new one is not judged by it: {error}")
            return
        evidence = {"worker": worker, "path": check.path}
        self.check_failed = Violation(
            "check", f"worker {worker}: {reason}; the old generation passes", evidence=evidence
        )


def _has_news(new: Generation, lost: int) -> bool:
    return len(new.roster.losses.of(new.revision)) > lost or new.orphaned


@dataclass(slots=True)
class Ping:
    """The last one that a worker was sent."""

    sent_ns: int  # CLOCK_MONOTONIC
    waited_s: float = 0.0
    answered: bool = False


def _master(trial: Trial) -> Violation | None:
    if trial.new.orphaned or trial.new.state is GenerationState.GONE:
        return Violation("master", f"the master of generation {trial.new.number} exited", trial.new.crash_stack())
    return None


def _exit(trial: Trial) -> Violation | None:
    losses = trial.new.roster.losses.of(trial.new.revision)
    if unexcused(losses, trial.crashes_excused()):
        return Violation("exit", losses[0], trial.new.crash_stack(), {"workers": losses})
    if losses:
        before = f"it lost {counted(trial.before_crashes, 'worker')} in {REMEMBERED_S:g} s"
        trial.note(f"workers exit unexpectedly in the old generation too, so the new one is not judged by it: {before}")
    return None


def _heartbeat(trial: Trial) -> Violation | None:
    wedged = trial.wedged()
    if not wedged:
        return None
    who = f"worker {wedged[0]} (pid {trial.new.workers[wedged[0]].pid})"
    reason = f"{who}: event loop stuck for {WEDGED_S:g} s"
    return Violation("heartbeat", reason, evidence={"workers": wedged})


def _check(trial: Trial) -> Violation | None:
    return trial.check_failed


def _errors(trial: Trial) -> Violation | None:
    now, before = trial.traffic, trial.before.look()
    # Without the polls of load balancers, which may be many and say nothing of the others; and with them: `check` may
    # be a page like any.
    for one, other in ((now.unpolled, before.unpolled), (now, before)):
        if (
            one.requests >= REQUESTS_LEAST
            and one.errors >= ERRORS_LEAST
            and round(one.share - other.share, 6) >= SHARE_ABOVE
        ):
            return Violation(
                "errors", f"{one.words()}; {trial.before.words}: {other.words()}", evidence=trial.figures()
            )
    return None


def _figures(traffic: Totals) -> dict[str, Any]:
    polled = {"polled": traffic.polled} if traffic.polled else {}
    return {
        "requests": traffic.requests,
        **polled,
        "errors": traffic.errors,
        "share": round(traffic.share, 4),
        "p99_s": traffic.p99_s,
    }


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table."""

    name: str
    words: str
    judge: Callable[[Trial], Violation | None]


RULES = (
    Rule("master", "its master exits", _master),
    Rule(
        "exit",
        "a worker exits unexpectedly (not by recycling or scaling), and the old generation lost none, or fewer, "
        "in the time before (or during a canary)",
        _exit,
    ),
    Rule("heartbeat", f"the event loop of a worker is stuck for {WEDGED_S:g} s", _heartbeat),
    Rule(
        "check",
        "`upgrade.check` fails twice in a row, and passes in the old generation, asked on a private socket",
        _check,
    ),
    Rule(
        "errors",
        f"at least {REQUESTS_LEAST} requests of clients were answered, at least {ERRORS_LEAST} of them with 5xx, and "
        "the "
        f"share of 5xx is {SHARE_ABOVE * 100:.0f} points above that of the old generation (in its last minute, or "
        "during the canary)",
        _errors,
    ),
)


async def watch(
    new: Generation,
    old: Generation | None,
    seconds: float,
    check: Check | None,
    before: Comparison,
    over: Callable[[], bool] = lambda: False,
) -> Verdict:
    """Watch a generation that serves for so many seconds, until it breaks a rule, or until it is ``over``, asked at
    each look.
    """
    trial = Trial(new, old, before)
    until = time.monotonic() + seconds
    asking = None
    if check is not None:
        asking = asyncio.get_running_loop().create_task(trial.keep_checking(check, min(CHECK_S, seconds / CHECKS)))
    try:
        while True:
            trial.look()
            for rule in RULES:
                if (violation := rule.judge(trial)) is not None:
                    return Verdict(violation, trial.notes, trial.figures())
            rest_s = until - time.monotonic()
            if over() or rest_s <= 0:
                break
            with suppress(TimeoutError):  # a report of the master wakes us too
                async with asyncio.timeout(min(TICK_S, rest_s)):
                    await new.until(partial(_has_news, new, len(new.roster.losses.of(new.revision))))
    finally:
        if asking is not None:
            asking.cancel()
    traffic = trial.traffic
    if traffic.requests < REQUESTS_LEAST:
        trial.note(f"too little traffic to judge: {counted(traffic.requests, 'request')} in {seconds:g} s")
    elif traffic.unpolled.requests < REQUESTS_LEAST:
        few = f"{counted(traffic.unpolled.requests, 'request')} in {seconds:g} s"
        trial.note(f"little traffic to judge: {few}, and {traffic.polled} for the path of upgrade.check")
    return Verdict(None, trial.notes, trial.figures())
