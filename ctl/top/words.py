"""The numbers of a frame in words, for the screen and for lines; and as JSON."""

from __future__ import annotations

from typing import Any

from releve.ctl.screens import render
from releve.ctl.top.sample import FAST, SLOW, Frame, Traffic, number

HEAD = ("time", "state", "gen", "req/s", "5xx", "p50", "p99", "busy", "connections", "workers", "operation")
WIDTHS = (8, 9, 4, 8, 6, 7, 7, 5, 11, 7, 0)
NUMBERS = range(2, 10)


def rate(traffic: Traffic) -> str:
    """Requests a second; unknown before the second look."""
    if traffic.seconds <= 0:
        return render.UNKNOWN
    return f"{traffic.rate:,.0f}" if traffic.rate >= 100 else f"{traffic.rate:.1f}"


def errors(traffic: Traffic) -> str:
    """The share of answers of 500 and above."""
    share = traffic.error_share
    return render.UNKNOWN if share is None else f"{share:.1%}"


def duration(traffic: Traffic, share: float) -> str:
    """Below what that share of the requests was answered, as ``<2ms``: known to a power of two."""
    seconds = traffic.quantile_s(share)
    if seconds is None:
        return render.UNKNOWN
    if seconds < 0.001:
        return f"<{seconds * 1e6:.0f}µs"
    if seconds < 1:
        return f"<{seconds * 1e3:.0f}ms"
    return f"<{seconds:.1f}s"


def busy(said: Any, threads: Any) -> str:
    """Threads in the application, of how many."""
    return f"{number(said)}/{threads}" if number(threads) else str(number(said))


def operation(frame: Frame) -> str:
    """What is under way: its verb, number and phase; empty for nothing."""
    found = frame.operation
    if not found:
        return ""
    return f"{render.line(found.get('verb'))} {render.line(found.get('number'))}: {render.line(found.get('phase'))}"


def serving(frame: Frame) -> str:
    """The number of the generation in service."""
    active = [one.said.get("generation") for one in frame.generations if one.said.get("active")]
    return render.line(active[0] if active else None)


def cells(clock: str, frame: Frame) -> tuple[str, ...]:
    """A line of the table that grows by one row each time."""
    return (
        clock,
        render.line(frame.service.get("state")),
        serving(frame),
        rate(frame.traffic),
        errors(frame.traffic),
        duration(frame.traffic, FAST),
        duration(frame.traffic, SLOW),
        str(frame.total("busy")),
        str(frame.total("connections")),
        str(len(frame.workers)),
        operation(frame) or render.UNKNOWN,
    )


def aligned(row: tuple[str, ...]) -> str:
    """A row of that table; its columns have fixed widths, since nobody knows what is to come."""
    return "  ".join(
        cell.rjust(width) if column in NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, WIDTHS, strict=True))
    ).rstrip()


def as_json(clock: str, frame: Frame) -> dict[str, Any]:
    """A frame for programs."""
    return {
        "time": clock,
        "state": frame.service.get("state"),
        "seconds": round(frame.traffic.seconds, 3),
        **_traffic(frame.traffic),
        "busy": frame.total("busy"),
        "connections": frame.total("connections"),
        "operation": dict(frame.operation) or None,
        "generations": [
            {
                "generation": one.said.get("generation"),
                "state": one.said.get("state"),
                "active": one.said.get("active"),
                **_traffic(one.traffic),
                "workers": [
                    {"worker": worker.name, "pid": worker.said.get("pid"), **_traffic(worker.traffic)}
                    for worker in one.workers
                ],
            }
            for one in frame.generations
        ],
    }


def _traffic(traffic: Traffic) -> dict[str, Any]:
    share = traffic.error_share
    return {
        "requests": traffic.requests,
        "requests_per_s": round(traffic.rate, 2),
        "share_5xx": None if share is None else round(share, 4),
        "p50_s": traffic.quantile_s(FAST),
        "p99_s": traffic.quantile_s(SLOW),
    }
