"""Figures of a worker in words, and which of them are near a limit."""

from __future__ import annotations

from typing import Any

import pytest

from releve.ctl.screens import figures
from releve.supervisor.service.states import ServiceState

CALM: dict[str, Any] = {
    "busy": 4,
    "threads": 8,
    "connections": 3,
    "connections_max": 10_000,
    "descriptors": 25,
    "descriptors_max": 1024,
    "cpu_percent": 12.4,
    "rss_bytes": 99 << 20,
    "pss_bytes": 43 << 20,
}


def test_what_is_used_of_what_may_be() -> None:
    assert (figures.busy(CALM), figures.connections(CALM), figures.descriptors(CALM)) == ("4/8", "3/10,000", "25/1,024")
    assert (figures.cpu(CALM), figures.memory(CALM)) == ("12%", "43 MiB")
    assert figures.memory({"rss_bytes": 99 << 20, "pss_bytes": None}) == "99 MiB"
    assert figures.memory({"rss_bytes": 0, "pss_bytes": 0}) == "-", "it has freed all, and ends"


@pytest.mark.parametrize("value", [None, "x", [], True])
def test_what_is_not_known_is_not_shown(value: Any) -> None:
    told = dict.fromkeys(CALM, value)
    every = (figures.busy, figures.connections, figures.descriptors, figures.cpu, figures.memory)
    shown = [words(told) for words in every]
    assert shown == ["-"] * 5
    assert figures.near(told) == [] and set(figures.styles(told).values()) == {""}
    assert figures.busy({"busy": 3}) == "3", "an older release does not say how many threads it has"
    assert figures.restarts({"restarts": value, "last_exit": value}) == []


@pytest.mark.parametrize(
    ("figure", "value", "near"),
    [
        ("busy", 8, []),
        ("connections", 9_000, ["9,000 of 10,000 connections"]),
        ("descriptors", 1000, ["1,000 of 1,024 descriptors"]),
        ("cpu_percent", 97.0, []),
    ],
)
def test_what_is_near_its_limit_stands_out(figure: str, value: float, near: list[str]) -> None:
    """Two of them also below the row, since their columns are dropped on a narrow terminal."""
    assert set(figures.styles(CALM).values()) == {""} and figures.near(CALM) == []
    told = {**CALM, figure: value}
    assert figures.styles(told)[figure.removesuffix("_percent")] == "bold red"
    assert figures.near(told) == near


def test_restarts() -> None:
    last = {"what": "worker 3 (pid 7) was killed", "age_s": 75.0}
    assert figures.restarts({"restarts": 1, "last_exit": last}) == [
        "restarted once 1m15s ago: worker 3 (pid 7) was killed"
    ]
    assert figures.restarts({"restarts": 11, "last_exit": last}) == [
        "restarted 11 times, last 1m15s ago: worker 3 (pid 7) was killed"
    ]
    assert figures.restarts({"restarts": 0, "last_exit": None}) == []


def test_each_state_of_a_service_has_a_color() -> None:
    assert {state.value for state in ServiceState} <= set(figures.STYLES)
