"""``ctl workers``: each worker of each generation, and below it the requests that it serves now, the oldest first."""

from __future__ import annotations

from typing import Any, TextIO

from releve.ctl.screens import figures, render
from releve.ctl.screens import styled_lines as screen
from releve.ctl.screens.figures import STYLES
from releve.ctl.screens.styled_lines import Line, Piece
from releve.ctl.screens.table import Column, Row, lay_out, left_out, narrow
from releve.instance.protocol import Event

COLUMNS = (
    Column("worker"),
    Column("pid", right=True),
    Column("state"),
    Column("age", right=True, rank=9),
    Column("heartbeat", right=True),
    Column("busy", right=True, rank=1),
    Column("waiting", right=True, rank=10),
    Column("connections", right=True, rank=7),
    Column("requests", right=True, rank=6),
    Column("2xx", right=True, rank=3),
    Column("3xx", right=True, rank=5),
    Column("4xx", right=True, rank=4),
    Column("5xx", right=True, rank=2),
    Column("cpu", right=True, rank=8),
    Column("memory", right=True, rank=11),
)
LATE_S = 2.0  # an event loop that has not run for so long is stuck
MARK = "└ "


def workers(result: Event) -> list[dict[str, Any]]:
    """Those in a ``workers`` result."""
    found = result.get("workers")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def row(worker: dict[str, Any]) -> Row:
    """One worker, and below it what it serves now."""
    statuses = worker.get("statuses")
    statuses = statuses if isinstance(statuses, dict) else {}
    heartbeat = worker.get("heartbeat_age_s")
    late = isinstance(heartbeat, (int, float)) and heartbeat >= LATE_S
    state = render.line(worker.get("state"))
    cells = (
        f"{render.line(worker.get('generation'))}.{render.line(worker.get('worker'))}",
        render.line(worker.get("pid")),
        state,
        render.age(worker.get("age_s")),
        render.age(heartbeat) if late or heartbeat is None else "now",
        figures.busy(worker),
        render.count(worker.get("waiting")),
        figures.connections(worker),
        render.count(worker.get("requests")),
        *(render.count(statuses.get(name)) for name in ("2xx", "3xx", "4xx", "5xx")),
        figures.cpu(worker),
        figures.memory(worker),
    )
    styles = {"state": STYLES.get(state, ""), "heartbeat": "bold red" if late else "", **figures.styles(worker)}
    return Row(cells, styles, tuple(Piece(request, "cyan") for request in requests(worker)))


def requests(worker: dict[str, Any]) -> list[str]:
    """What it serves now, a line each."""
    found = worker.get("requests_now")
    return [sentence(one) for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def sentence(request: dict[str, Any]) -> str:
    """One request: its age, what it is, who wants it."""
    peer = f"  {render.line(request['peer'])}" if request.get("peer") else ""
    return (
        f"{render.age(request.get('age_s'))}  {render.line(request.get('method'))} "
        f"{render.line(request.get('target'))}{peer}"
    )


def lines(result: Event, width: int | None) -> list[Line]:
    """The table, and what it leaves out."""
    rows = [row(one) for one in workers(result)]
    if not rows:
        return [(Piece("no workers"),)]
    return [*lay_out(COLUMNS, rows, width, mark=MARK), *narrow(left_out(COLUMNS, rows, width), width)]


def show_plain(result: Event, stream: TextIO) -> None:
    """The table as aligned text."""
    screen.show_plain(lines(result, None), stream)


def show_rich(result: Event, stream: TextIO) -> None:
    """The table for a terminal, to its width."""
    screen.show_rich(lines(result, render.console(stream).width), stream)
