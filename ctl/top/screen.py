"""The screen of ``ctl top``: a frame as rich draws it, within the rows and columns of the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from releve.ctl.screens import history, render
from releve.ctl.screens.figures import STYLES, memory
from releve.ctl.screens.status import headline
from releve.ctl.screens.workers import sentence
from releve.ctl.top import words
from releve.ctl.top.sample import FAST, SLOW, Frame, GenerationFrame, WorkerFrame, mappings, number

if TYPE_CHECKING:
    from rich.console import RenderableType

HEAD = ("worker", "pid", "state", "req/s", "5xx", "p50", "p99", "busy", "conns", "memory")
NUMBERS = (1, *range(3, len(HEAD)))
# What is left out where there is no room, the first first; worker and busy never are: a full worker is the trouble that
# top is opened for, and its name is what `ctl dump` and `ctl restart` take.
DROPPED = ("memory", "conns", "p50", "pid", "p99", "5xx", "req/s", "state")
BESIDE = 150  # columns from which two generations stand side by side
BAR = 20  # characters
GAP = 2  # between two columns
KEYS = "q quits"
AROUND = 10  # rows that are neither a worker nor a request
DONE, DOING = ("✓", "green"), ("›", "bold cyan")


def draw(frame: Frame, clock: str, width: int, height: int, trouble: str = "") -> RenderableType:
    """The whole screen. ``trouble``: why this is not what there is now."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [_headline(frame, clock), _numbers(frame)]
    if trouble:
        parts.append(Text(trouble, style="bold red"))
    parts += [_operation(frame, width), Text("")]
    rows = max(2, (height - AROUND) // 2)
    beside = len(frame.generations) > 1 and width >= BESIDE
    room = rows if beside else max(1, rows // max(1, len(frame.generations)))
    across = (width - 4) // 2 if beside else width
    drawn = [_generation(one, frame, across, room) for one in frame.generations]
    parts += _side_by_side(drawn) if beside else drawn
    kept = _kept(frame.workers, across)
    if missing := [name for name in DROPPED if HEAD.index(name) not in kept]:
        parts.append(Text(f"no room for {', '.join(missing)}", style="dim"))
    return Group(*parts, *_requests(frame, width, max(1, rows)))


def _headline(frame: Frame, clock: str) -> RenderableType:
    from rich.text import Text

    service = frame.service
    named = " ".join(render.line(service[name]) for name in ("name", "app") if service.get(name))
    state = headline(dict(service))
    style = STYLES.get(render.line(service.get("state")) if state == service.get("state") else "degraded", "")
    up = f"up {render.age(service.get('uptime_s'))}  {clock}  {KEYS}"
    return Text.assemble((named or "service", "bold"), "  ", (state, style), "  ", (up, "dim"))


def _numbers(frame: Frame) -> RenderableType:
    from rich.text import Text

    traffic = frame.traffic
    bad = bool(traffic.errors)
    # those that take requests: a standby has as many again
    threads = sum(number(one.said.get("threads")) for one in frame.workers if one.said.get("state") == "serving")
    return Text.assemble(
        (words.rate(traffic), "bold"),
        " req/s   ",
        (words.errors(traffic), "bold red" if bad else "bold"),
        " 5xx   p50 ",
        (words.duration(traffic, FAST), "bold"),
        "   p99 ",
        (words.duration(traffic, SLOW), "bold"),
        "   busy ",
        (words.busy(frame.total("busy"), threads), "bold"),
        "   connections ",
        (str(frame.total("connections")), "bold"),
    )


def _operation(frame: Frame, width: int) -> RenderableType:
    """What is under way, phase by phase; else the last attempt. The first phases make room for the last ones."""
    from rich.text import Text

    found = frame.operation
    if not found:
        last = history.sentence(dict(frame.last))
        return Text(f"last: {last}" if last else "", style="dim")
    phase = render.line(found.get("phase"))
    head = Text(f"{render.line(found.get('verb'))} {render.line(found.get('number'))}", style="bold")
    done = found.get("phases")
    before = [
        Text(f"  {DONE[0]} {render.line(name)} {render.age(seconds)}", style=DONE[1])
        for name, seconds in (done.items() if isinstance(done, dict) else ())
        if name != phase
    ]
    doing = f": {render.line(found['doing'])}" if found.get("doing") else ""
    so_far = f"  ({render.age(found.get('since_s'))} so far)"
    now = Text.assemble((f"  {DOING[0]} {phase}", DOING[1]), doing, (so_far, "dim"))
    while before and len(head) + sum(map(len, before)) + len(now) > width:
        del before[0]
    return Text.assemble(head, *before, now)


def _generation(one: GenerationFrame, frame: Frame, width: int, rows: int) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    state = render.line(one.said.get("state"))
    share = one.traffic.requests / frame.traffic.requests if frame.traffic.requests else 0.0
    title = Text.assemble(
        (f"generation {render.line(one.said.get('generation'))}", "bold"),
        "  ",
        (state, STYLES.get(state, "")),
        (f"  {render.line(one.said.get('release'))}", "dim"),
    )
    if frame.traffic.requests:
        title.append(f"  {_bar(share)}", style="green" if share else "dim").append(f" {share:.0%} of the requests")
    title.truncate(width, overflow="ellipsis")
    busiest = sorted(one.workers, key=lambda worker: -worker.traffic.requests)[:rows]
    shown = [worker for worker in one.workers if worker in busiest]
    more = len(one.workers) - len(shown)
    table = _table(shown, frame.workers, width) if shown else Text("no workers yet", style="dim")
    parts: list[RenderableType] = [title, table]
    if more:
        parts.append(Text(f"and {more} more that answered fewer requests", style="dim"))
    return Group(*parts, Text(""))


def _bar(share: float) -> str:
    full = round(share * BAR)
    return "█" * full + "░" * (BAR - full)


def _table(workers: list[WorkerFrame], every: Sequence[WorkerFrame], width: int) -> RenderableType:
    """A row for each of the ``workers``; aligned with the tables of ``every`` other one."""
    from rich.table import Table
    from rich.text import Text

    rows = [_row(worker) for worker in workers]
    kept = _kept(every, width)
    grid = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for column, least in kept.items():
        grid.add_column(HEAD[column], justify="right" if column in NUMBERS else "left", no_wrap=True, min_width=least)
    for cells, worker in zip(rows, workers, strict=True):
        bad = bool(worker.traffic.errors)
        grid.add_row(*(Text(cells[column], style=_style(HEAD[column], cells[column], bad)) for column in kept))
    return grid


def _kept(workers: Sequence[WorkerFrame], width: int) -> dict[int, int]:
    """The columns for which there is room, each with its width."""
    longest = [HEAD, *map(_row, workers)]
    kept = {column: max(len(cells[column]) for cells in longest) for column in range(len(HEAD))}
    for name in DROPPED:
        if sum(kept.values()) + GAP * (len(kept) - 1) > width:
            del kept[HEAD.index(name)]
    return kept


def _row(worker: WorkerFrame) -> tuple[str, ...]:
    said, traffic = worker.said, worker.traffic
    return (
        worker.name,
        render.line(said.get("pid")),
        render.line(said.get("state")),
        words.rate(traffic),
        words.errors(traffic),
        words.duration(traffic, FAST),
        words.duration(traffic, SLOW),
        words.busy(said.get("busy"), said.get("threads")),
        render.count(said.get("connections")),
        memory(said),
    )


def _style(name: str, cell: str, bad: bool) -> str:
    if name == "state":
        return STYLES.get(cell, "")
    return "bold red" if name == "5xx" and bad else ""


def _side_by_side(drawn: list[RenderableType]) -> list[RenderableType]:
    """The generations two by two: the one that serves, and the one that comes or stands by."""
    from rich.table import Table

    grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    for at in range(0, len(drawn), 2):
        grid.add_row(*drawn[at : at + 2])
    return [grid]


def _requests(frame: Frame, width: int, rows: int) -> list[RenderableType]:
    """What the threads do: the longest requests first."""
    from rich.text import Text

    found: list[tuple[float, str, Mapping[str, Any]]] = [
        (float(one.get("age_s") or 0), worker.name, one)
        for worker in frame.workers
        for one in mappings(worker.said.get("requests_now"))
    ]
    if not found:
        return [Text("no request in the application now", style="dim")]
    found.sort(key=lambda one: -one[0])
    lines: list[RenderableType] = [Text(f"requests now: {len(found)}, the longest first", style="dim")]
    for _, name, one in found[:rows]:
        line = Text(f"  {name:>6}  {sentence(dict(one))}", style="cyan")
        line.truncate(width, overflow="ellipsis")
        lines.append(line)
    return lines
