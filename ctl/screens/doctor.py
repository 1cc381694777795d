"""``ctl doctor``: what was found, the worst first, and what to do about it."""

from __future__ import annotations

from typing import Any, TextIO

from releve.ctl.screens import render
from releve.instance.protocol import Event

STYLES = {"problem": "bold red", "warning": "yellow", "ok": "green", "unknown": "dim"}


def findings(result: Event) -> list[dict[str, Any]]:
    """Those in a ``doctor`` result."""
    found = result.get("findings")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def show_plain(result: Event, stream: TextIO) -> None:
    """As aligned text, the advice below what it is about."""
    rows = [
        (render.line(one.get("severity")), render.line(one.get("check")), render.line(one.get("text")))
        for one in findings(result)
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    lines = []
    for row, one in zip(rows, findings(result), strict=True):
        lines.append(render.GAP.join((row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2])))
        if one.get("advice"):
            lines.append(" " * (sum(widths) + 2 * len(render.GAP)) + "do: " + render.line(one["advice"]))
    print("\n".join([*lines, render.line(result.get("message"))]), file=stream)


def show_rich(result: Event, stream: TextIO) -> None:
    """As a table, for a terminal."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    for one in findings(result):
        severity = render.line(one.get("severity"))
        text = Text(render.line(one.get("text")))
        if one.get("advice"):
            text.append("\ndo: " + render.line(one["advice"]), style="cyan")
        grid.add_row(Text(severity, style=STYLES.get(severity, "")), Text(render.line(one.get("check"))), text)
    console = render.console(stream)
    console.print(grid)
    console.print(Text(render.line(result.get("message")), style="bold"))
