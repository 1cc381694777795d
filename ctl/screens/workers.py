"""``ctl workers``: each worker of each generation, and below it the requests that it serves now, the oldest first."""

from __future__ import annotations

from typing import Any, TextIO

from releve.ctl.screens import render
from releve.ctl.screens.status import STYLES
from releve.instance.protocol import Event

HEAD = (
    "worker",
    "pid",
    "state",
    "age",
    "turned",
    "connections",
    "busy",
    "requests",
    "2xx",
    "3xx",
    "4xx",
    "5xx",
    "memory",
)
NUMBERS = (1, *range(3, len(HEAD)))
LATE_S = 2.0  # a loop that has not turned for so long hangs
ARROW = "└ "
# columns that ``ctl status`` has too: left out first where a terminal is narrow
ELSEWHERE = ("memory", "age", "connections", "busy")


def workers(result: Event) -> list[dict[str, Any]]:
    """Those in a ``workers`` result."""
    found = result.get("workers")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def row(worker: dict[str, Any]) -> tuple[str, ...]:
    """The texts of one line of the table."""
    statuses = worker.get("statuses")
    statuses = statuses if isinstance(statuses, dict) else {}
    memory = worker.get("pss_bytes") if worker.get("pss_bytes") is not None else worker.get("rss_bytes")
    heartbeat = worker.get("heartbeat_age_s")
    return (
        f"{render.line(worker.get('generation'))}.{render.line(worker.get('worker'))}",
        render.line(worker.get("pid")),
        render.line(worker.get("state")),
        render.age(worker.get("age_s")),
        "now" if isinstance(heartbeat, (int, float)) and heartbeat < LATE_S else render.age(heartbeat),
        *(render.count(worker.get(name)) for name in ("connections", "busy", "requests")),
        *(render.count(statuses.get(name)) for name in ("2xx", "3xx", "4xx", "5xx")),
        render.size(memory),
    )


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


def show_plain(result: Event, stream: TextIO) -> None:
    """The table as aligned text."""
    known = workers(result)
    head, *rows = render.table(HEAD, [row(one) for one in known], NUMBERS)
    lines = [head] if known else ["no workers"]
    for text, worker in zip(rows, known, strict=True):
        lines += [text, *(f"  {ARROW}{request}" for request in requests(worker))]
    print("\n".join(lines), file=stream)


def show_rich(result: Event, stream: TextIO) -> None:
    """The table, for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    console = render.console(stream)
    known = workers(result)
    rows = [row(one) for one in known]
    widths = {column: max(len(cells[column]) for cells in (HEAD, *rows)) for column in range(len(HEAD))}
    for name in ELSEWHERE:
        if sum(widths.values()) + len(render.GAP) * (len(widths) - 1) > console.width:
            del widths[HEAD.index(name)]
    parts: list[Any] = []
    for cells, worker in [(HEAD, {}), *zip(rows, known, strict=True)]:
        grid = Table.grid(padding=(0, 2, 0, 0))
        for column, width in widths.items():
            grid.add_column(justify="right" if column in NUMBERS else "left", width=width, no_wrap=True)
        style = "dim" if not worker else ""
        grid.add_row(
            *(Text(cells[column], style=style or (_style(column, cells[column], worker))) for column in widths)
        )
        parts += [grid, *(Text(f"  {ARROW}{request}", style="cyan") for request in requests(worker))]
    console.print(Group(*parts) if known else "no workers")


def _style(column: int, cell: str, worker: dict[str, Any]) -> str:
    if column == HEAD.index("turned") and cell not in ("now", render.UNKNOWN):
        return "bold red"
    return STYLES.get(cell, "") if column == HEAD.index("state") else ""
