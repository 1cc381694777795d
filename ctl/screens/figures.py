"""Figures of a worker, as words: what it uses of what it may, each ``-`` where its release does not say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from releve.ctl.screens import render
from releve.instance.thresholds import HOT_PERCENT, NEAR

STYLES = {
    "serving": "bold green",
    "ready": "green",
    "attending": "green",
    "standby": "cyan",
    "paused": "cyan",
    "operating": "yellow",
    "on trial": "yellow",
    "recovering": "yellow",
    "booting": "yellow",
    "starting": "yellow",
    "stopping": "yellow",
    "retiring": "dim",
    "leaving": "dim",
    "degraded": "bold red",
    "failed": "bold red",
}


def busy(worker: dict[str, Any]) -> str:
    """Threads in the application, of all: ``4/8``."""
    return _of(worker.get("busy"), worker.get("threads"))


def connections(worker: dict[str, Any]) -> str:
    """Open connections, of as many as it may have."""
    return _of(worker.get("connections"), worker.get("connections_max"))


def descriptors(worker: dict[str, Any]) -> str:
    """Open descriptors, of as many as it may have."""
    return _of(worker.get("descriptors"), worker.get("descriptors_max"))


def cpu(worker: dict[str, Any]) -> str:
    """Of one processor: ``12%``."""
    percent = worker.get("cpu_percent")
    return f"{percent:.0f}%" if render.is_number(percent) else render.UNKNOWN


def memory(worker: Mapping[str, Any]) -> str:
    """Its share of what it has in common with others, where the kernel tells; else all of it. A process that is about
    to end has none, which says nothing of the worker.
    """
    return render.size(worker.get("pss_bytes") or worker.get("rss_bytes") or None)


def styles(worker: dict[str, Any]) -> dict[str, str]:
    """Of the columns that show something near its limit."""
    return {
        "busy": _alarm(worker.get("busy"), worker.get("threads"), 1.0),
        "connections": _alarm(worker.get("connections"), worker.get("connections_max"), NEAR),
        "descriptors": _alarm(worker.get("descriptors"), worker.get("descriptors_max"), NEAR),
        "cpu": _alarm(worker.get("cpu_percent"), HOT_PERCENT, 1.0),
    }


def near(worker: dict[str, Any]) -> list[str]:
    """What is near its limit and has to be seen on any terminal: ``9,500 of 10,000 connections``."""
    found = []
    for name in ("connections", "descriptors"):
        used, most = worker.get(name), worker.get(f"{name}_max")
        if _alarm(used, most, NEAR):
            found.append(f"{render.count(used)} of {render.count(most)} {name}")
    return found


def restarts(worker: dict[str, Any]) -> list[str]:
    """How the one before it in its place ended, if that was unasked."""
    last, number = worker.get("last_exit"), worker.get("restarts")
    if not isinstance(last, dict) or not render.is_number(number):
        return []
    times = "restarted once" if number == 1 else f"restarted {render.count(number)} times, last"
    return [f"{times} {render.age(last.get('age_s'))} ago: {render.line(last.get('what'))}"]


def _of(used: Any, most: Any) -> str:
    known = render.is_number(used) and render.is_number(most)
    return f"{render.count(used)}/{render.count(most)}" if known else render.count(used)


def _alarm(used: Any, most: Any, share: float) -> str:
    return "bold red" if render.is_number(used) and render.is_number(most) and used >= share * most > 0 else ""
