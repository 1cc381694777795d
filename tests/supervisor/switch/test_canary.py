"""A canary's figures and words, and where there is none; with generations that are not real."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from releve.config.settings.upgrade import Canary
from releve.supervisor.generation.totals import Totals
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.switch import canary


@dataclass
class Traffic:
    total: Totals = Totals()
    minute: Totals = Totals()

    def sample(self) -> Totals:
        return self.total

    def last_minute(self) -> Totals:
        return self.minute


@dataclass
class Generation:
    number: int
    features: tuple[str, ...] = ("door", "canary")
    hello: dict[str, Any] = field(default_factory=lambda: {"releve": "0.0.9"})
    traffic: Traffic = field(default_factory=Traffic)
    attended: bool = False

    def can(self, feature: str) -> bool:
        return feature in self.features

    async def attend(self) -> None:
        self.attended = True


NOTHING = Totals()


def count(old: Totals, new: Totals, minute: Totals = NOTHING) -> canary.Count:
    one, other = Generation(1), Generation(2)
    one.traffic.total = Totals(1000, 10, accepted=500)  # what was before counts for nothing
    made = canary.Count(one, other, Canary(0.1, 30.0))  # type: ignore[arg-type]
    one.traffic.total, other.traffic.total, one.traffic.minute = one.traffic.total + old, new, minute
    return made


@pytest.mark.parametrize(("lacking", "which"), [(1, "old"), (2, "new")])
def test_no_canary_where_a_release_does_not_know_it(lacking: int, which: str) -> None:
    old, new = Generation(1), Generation(2)
    (old if lacking == 1 else new).features = ("door",)

    async def main() -> Operation:
        operation = Operation("upgrade", "test", 1)
        await canary.run(None, operation, old, new, Canary())  # type: ignore[arg-type]
        return operation

    operation = asyncio.run(main())
    assert operation.notes == [
        f"no canary, switched at once: releve 0.0.9 of the {which} release does not know canaries"
    ]
    assert not new.attended and not operation.switched and not operation.figures


def test_both_shares_are_told() -> None:
    figures = count(Totals(9000, accepted=200, diverted=20), Totals(1000)).figures()
    assert figures["connections"] == {"accepted": 200, "diverted": 20, "undiverted": 0, "share": 0.1}
    assert figures["requests"] == {"answered": 10_000, "diverted": 1000, "share": 0.1}
    assert (
        canary.words({"canary": figures})
        == "asked 10%, served 10.0% of 200 new connections and 10.0% of 10000 requests"
    )


def test_what_could_not_be_passed_on_is_told() -> None:
    figures = count(Totals(10, accepted=40, diverted=1, undiverted=3), Totals(0)).figures()
    assert canary.words({"canary": figures}).endswith(
        "served 2.5% of 40 new connections and 0.0% of 10 requests; 3 connections could not be passed on"
    )


def test_nobody_came() -> None:
    figures = count(Totals(), Totals()).figures()
    assert (
        canary.words({"canary": figures}) == "asked 10%, served nothing of 0 new connections and nothing of 0 requests"
    )
    assert canary.words({}) == ""


def test_it_is_compared_with_what_is_answered_beside_it_unless_that_says_nothing() -> None:
    assert count(Totals(20, 15), Totals(), Totals(600, 15)).comparison() == Totals(20, 15)
    assert count(Totals(19, 15), Totals(), Totals(600, 15)).comparison() == Totals(600, 15)
