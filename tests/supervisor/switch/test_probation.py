"""The rules of the probation, each on both sides of its bounds, with generations that are not real."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from releve.config.settings.upgrade import Check
from releve.supervisor.generation.losses import Losses
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.generation.totals import Totals
from releve.supervisor.switch import check as checking
from releve.supervisor.switch import probation
from releve.supervisor.switch.probation import Trial, Verdict, last_minute, watch

CHECK = Check(path="/healthz")


@dataclass
class Worker:
    """One that answers pings, if it does."""

    number: int
    state: str = "serving"
    pid: int = 100
    slot: int = 0
    turns: bool = True
    heartbeat_ns: int = 0

    def tell(self, verb: str) -> bool:
        assert verb == "ping"
        if self.turns:
            self.heartbeat_ns = time.monotonic_ns()
        return True

    def record(self, board: object) -> Worker:
        return self


@dataclass
class Traffic:
    total: Totals = Totals()

    def sample(self) -> Totals:
        return self.total


@dataclass
class Generation:
    """As much of a generation as the rules look at."""

    number: int
    workers: dict[int, Worker]
    revision: int = 1
    state: GenerationState = GenerationState.SERVING
    orphaned: bool = False
    traffic: Traffic = field(default_factory=Traffic)
    losses: Losses = field(default_factory=Losses)
    passes: Callable[[int], bool] = lambda number: True
    asked: int = 0

    @property
    def roster(self) -> Generation:
        return self

    @property
    def board(self) -> Generation:
        return self

    def crash_stack(self) -> str:
        return "a stack"

    async def until(self, condition: Callable[[], bool]) -> None:
        await asyncio.sleep(60)


@pytest.fixture(autouse=True)
def ask(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask_worker(generation: Any, worker: Any, check: Check) -> None:
        generation.asked += 1
        if not generation.passes(generation.asked):
            raise checking.CheckFailed("it answered 503")

    monkeypatch.setattr(checking, "ask_worker", ask_worker)


def pair() -> tuple[Generation, Generation]:
    return Generation(2, {1: Worker(1)}), Generation(1, {1: Worker(1, "paused")})


def judge(
    new: Generation,
    old: Generation | None,
    seconds: float = 0.25,
    check: Check | None = None,
    before: Totals | None = None,
) -> Verdict:
    return asyncio.run(asyncio.wait_for(watch(new, old, seconds, check, last_minute(before or Totals())), 20))  # type: ignore[arg-type]


def broken(verdict: Verdict) -> str | None:
    return verdict.violation.rule if verdict.violation is not None else None


def test_nothing_wrong_and_nothing_to_judge_by() -> None:
    verdict = judge(*pair())
    assert verdict.violation is None
    assert verdict.notes == ["too little traffic to judge: 0 requests in 0.25 s"]


@pytest.mark.parametrize(
    ("requests", "errors", "before", "bad"),
    [
        (19, 19, Totals(), False),  # too few to say anything
        (20, 4, Totals(), False),
        (20, 5, Totals(), True),
        (100, 9, Totals(), False),  # 9 points above
        (100, 10, Totals(), True),
        (100, 29, Totals(100, 20), False),
        (100, 30, Totals(100, 20), True),
        (1000, 1000, Totals(1000, 1000), False),  # as bad as before
    ],
)
def test_errors(requests: int, errors: int, before: Totals, bad: bool) -> None:
    new, old = pair()

    async def main() -> Verdict:
        asyncio.get_running_loop().call_later(0.02, lambda: setattr(new.traffic, "total", Totals(requests, errors)))
        return await watch(new, old, 0.25, None, last_minute(before))  # type: ignore[arg-type]

    verdict = asyncio.run(main())
    assert broken(verdict) == ("errors" if bad else None)
    if bad:
        assert verdict.violation is not None and verdict.violation.evidence["new"]["errors"] == errors


@pytest.mark.parametrize(
    ("now", "before", "bad"),
    [
        (Totals(10_000, 20, polled=9_980), Totals(), True),  # every client gets an error, and every poll an answer
        (Totals(10_000, 20, polled=9_980), Totals(10_000, 20, polled=9_980), False),
        (Totals(10_000, 20, polled=9_000, polled_errors=20), Totals(), False),
        (Totals(100, 50, polled=100, polled_errors=50), Totals(100, polled=100), True),  # the check is a page like any
    ],
)
def test_errors_beside_the_polls_of_balancers(now: Totals, before: Totals, bad: bool) -> None:
    new, old = pair()

    async def main() -> Verdict:
        asyncio.get_running_loop().call_later(0.02, lambda: setattr(new.traffic, "total", now))
        return await watch(new, old, 0.25, None, last_minute(before))  # type: ignore[arg-type]

    assert broken(asyncio.run(main())) == ("errors" if bad else None)


def test_little_traffic_beside_polls() -> None:
    new, old = pair()
    new.traffic.total = Totals()

    async def main() -> Verdict:
        asyncio.get_running_loop().call_later(0.02, lambda: setattr(new.traffic, "total", Totals(103, 0, polled=100)))
        return await watch(new, old, 0.25, None, last_minute(Totals()))  # type: ignore[arg-type]

    assert asyncio.run(main()).notes == [
        "little traffic to judge: 3 requests in 0.25 s, and 100 for the path of upgrade.check"
    ]


def test_a_worker_that_ends() -> None:
    new, old = pair()
    new.losses.enter(1, "worker 1 (pid 100) was killed by SIGSEGV")
    verdict = judge(new, old)
    assert broken(verdict) == "exit" and verdict.violation is not None
    assert verdict.violation.reason == new.losses.of(1)[0] and verdict.violation.traceback == "a stack"


@pytest.mark.parametrize(("before", "bad"), [(2, False), (1, True)])
def test_workers_that_end_as_those_of_the_old_generation_did(before: int, bad: bool) -> None:
    """A request that kills its worker, whichever release it is of."""
    new, old = pair()
    new.losses.enter(1, "worker 1 (pid 100) was killed by SIGSEGV")
    new.losses.enter(1, "worker 2 (pid 101) was killed by SIGSEGV")
    for _ in range(before):
        old.losses.note(booted=True)
    verdict = judge(new, old)
    assert broken(verdict) == ("exit" if bad else None)
    assert (
        any("in the old generation too, so the new one is not judged by it: it lost" in note for note in verdict.notes)
        is not bad
    )


@pytest.mark.parametrize(("state", "bad"), [(GenerationState.SERVING, False), (GenerationState.STANDBY, True)])
def test_workers_that_end_beside_a_canary_as_those_of_the_old_generation_do(state: GenerationState, bad: bool) -> None:
    """The request that kills its worker begins to come when the canary is on: it meets both."""
    new, old = pair()
    old.state = state

    def come() -> None:
        old.losses.note(booted=True)
        new.losses.enter(1, "worker 1 (pid 100) was killed by SIGSEGV")

    async def main() -> Verdict:
        asyncio.get_running_loop().call_later(0.02, come)
        return await watch(new, old, 0.25, None, last_minute(Totals()))  # type: ignore[arg-type]

    assert broken(asyncio.run(main())) == ("exit" if bad else None)


@pytest.mark.parametrize("change", [{"orphaned": True}, {"state": GenerationState.GONE}])
def test_the_master_that_ends(change: dict[str, Any]) -> None:
    new, old = pair()
    for name, value in change.items():
        setattr(new, name, value)
    assert broken(judge(new, old)) == "master"


def clocked(trial: Trial, clock: list[float], passed_s: float) -> None:
    clock[0] += passed_s
    trial.look()


@pytest.mark.parametrize("turns", [True, False])
def test_a_worker_that_does_not_turn(turns: bool) -> None:
    new, old = pair()
    new.workers[1].turns = turns
    clock = [100.0]
    trial = Trial(new, old, last_minute(Totals()), lambda: clock[0])  # type: ignore[arg-type]
    for _ in range(19):
        clocked(trial, clock, 0.1)
    assert not trial.wedged()
    for _ in range(3):
        clocked(trial, clock, 0.1)
    assert trial.wedged() == ([] if turns else [1])


def test_a_machine_that_stood_still_is_not_held_against_the_worker() -> None:
    new, old = pair()
    new.workers[1].turns = False
    clock = [100.0]
    trial = Trial(new, old, last_minute(Totals()), lambda: clock[0])  # type: ignore[arg-type]
    clocked(trial, clock, 0.1)
    clocked(trial, clock, 3600.0)
    assert not trial.wedged()


@pytest.mark.parametrize("state", ["booting", "leaving"])
def test_a_worker_that_is_not_up_is_not_pinged(state: str) -> None:
    new, old = pair()
    new.workers[1] = Worker(1, state, turns=False)
    clock = [100.0]
    trial = Trial(new, old, last_minute(Totals()), lambda: clock[0])  # type: ignore[arg-type]
    for _ in range(40):
        clocked(trial, clock, 0.1)
    assert not trial.wedged()


def test_a_check_that_fails_twice_where_the_old_one_succeeds() -> None:
    new, old = pair()
    new.passes = lambda number: False
    verdict = judge(new, old, check=CHECK)
    assert broken(verdict) == "check"
    assert (new.asked, old.asked) == (2, 1)
    assert verdict.violation is not None and "503" in verdict.violation.reason


def test_a_check_that_fails_once() -> None:
    new, old = pair()
    new.passes = lambda number: number != 2
    assert judge(new, old, check=CHECK).violation is None
    assert new.asked > 3


def test_a_check_that_fails_everywhere() -> None:
    new, old = pair()
    new.passes = old.passes = lambda number: False
    verdict = judge(new, old, check=CHECK)
    assert verdict.violation is None
    assert sum("in the old generation too" in note for note in verdict.notes) == 1


def test_a_check_with_nobody_to_compare_with() -> None:
    new, old = pair()
    new.passes = lambda number: False
    old.workers.clear()
    assert judge(new, old, check=CHECK).violation is None
    assert judge(new, None, check=CHECK).violation is None


def test_every_rule_has_a_name_and_words() -> None:
    assert len({rule.name for rule in probation.RULES}) == len(probation.RULES)
    assert all(rule.words for rule in probation.RULES)
