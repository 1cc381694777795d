"""The doctor's checks of what a service does at this moment: whether it keeps up, and which worker is at a limit."""

from __future__ import annotations

from collections.abc import Iterator

from releve.supervisor.inspection.facts import Facts
from releve.supervisor.inspection.finding import PROBLEM, WARNING, Finding


def load(facts: Facts) -> Iterator[Finding]:
    """Every thread is busy, or many requests are answered with 5xx."""
    if facts.saturated:
        yield Finding(
            "load",
            PROBLEM,
            f"saturated: {facts.saturated}",
            "ctl workers shows which requests take so long, ctl dump WORKER where their threads wait",
        )
    if facts.failing:
        yield Finding(
            "load",
            PROBLEM,
            f"failing: {facts.failing}",
            "ctl logs --level error shows why, ctl logs --access which requests, ctl history what changed",
        )


def limits(facts: Facts) -> Iterator[Finding]:
    """A worker has nearly all connections or descriptors that it may have, or computes all the time."""
    for one in facts.crew:
        who = f"worker {one.name} (pid {one.pid})"
        if one.crowded:
            yield Finding(
                "limits",
                WARNING,
                f"{who} has {one.connections} of {one.connections_max} connections (limits.connections)",
                "ss -tn shows which clients; raise limits.connections, or run more workers",
            )
        if one.short:
            yield Finding(
                "limits",
                WARNING,
                f"{who} has {one.descriptors} of {one.descriptors_max} descriptors open",
                f"ls -l /proc/{one.pid}/fd shows what they are; ctl upgrade starts with none of them",
            )
        if one.hot:
            yield Finding(
                "limits",
                WARNING,
                f"{who} uses {one.cpu_percent:.0f}% of a processor",
                f"ctl dump {one.name} shows what it computes",
            )
