"""``ctl status``: the service, its generations, their workers.

The result is first made into a ``Picture`` of plain texts; both renderings show all of it.
"""

from __future__ import annotations

from typing import Any, TextIO

from releve.config.frozen import dataclass
from releve.ctl.screens import history, render
from releve.instance.protocol import Event

HEAD = ("worker", "pid", "state", "age", "requests", "connections", "busy", "memory")
NUMBERS = (1, 3, 4, 5, 6, 7)
COMMIT_SHOWN = 12  # signs of a commit's name
ALARMS = ("degraded", "draining", "not upgraded", "history", "orphaned", "losses", "crash", "mixed code", "answers 503")
STYLES = {
    "serving": "bold green",
    "ready": "green",
    "attending": "green",
    "standby": "cyan",
    "paused": "cyan",
    "booting": "yellow",
    "starting": "yellow",
    "stopping": "yellow",
    "retiring": "dim",
    "leaving": "dim",
    "degraded": "bold red",
    "failed": "bold red",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A generation: its title and state, facts about it, and of its workers a table (empty without workers)."""

    title: str
    state: str
    facts: list[tuple[str, str]]
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Picture:
    """What is shown of a service: its title and state, what is told of the whole, and one part for each generation."""

    title: str
    state: str
    facts: list[tuple[str, str]]
    parts: list[Part]


def picture(result: Event) -> Picture:
    """What to show of a ``status`` result; whatever is missing in it (another release answered) is left out."""
    service = _mapping(result.get("service"))
    words = [render.line(service.get("name")), render.line(service.get("app"))]
    named: list[tuple[str, Any]] = [
        ("config", service.get("config")),
        ("listen", ", ".join(map(render.line, _list(service.get("listeners"))))),
        ("workers", _wanted(service)),
        ("watch", None if service.get("watch") in (None, "off") else service.get("watch")),
        ("operation", _operation(_mapping(service.get("operation")))),
        ("you may", _may(_mapping(result.get("may")))),
        ("draining", _draining(_mapping(service.get("draining")))),
        *(("degraded", reason) for reason in _list(service.get("degraded"))),
        *(("not upgraded", error) for error in _list(service.get("syntax_errors"))),
        (
            "history",
            f"{service['history_pending']} lines wait for the disk" if service.get("history_pending") else None,
        ),
        ("last", history.sentence(_mapping(result.get("last")))),
    ]
    up = f"pid {render.line(service.get('pid'))}, up {render.age(service.get('uptime_s'))}"
    return Picture(
        title=f"{' '.join(word for word in words if word != render.UNKNOWN) or 'service'} ({up})",
        state=render.line(service.get("state")),
        facts=_told(named),
        parts=[_part(_mapping(generation)) for generation in _list(result.get("generations"))],
    )


def show_plain(result: Event, stream: TextIO) -> None:
    """The picture as aligned text."""
    shown = picture(result)
    lines = [f"{shown.title}: {shown.state}", *render.facts(shown.facts, "  ")]
    for part in shown.parts:
        lines += ["", f"{part.title}: {part.state}", *render.facts(part.facts, "  ")]
        lines += render.table(part.head, part.rows, NUMBERS, "  ") if part.rows else ["  no workers"]
    print("\n".join(lines), file=stream)


def show_rich(result: Event, stream: TextIO) -> None:
    """The picture as a tree, for a terminal."""
    from rich.console import Group
    from rich.text import Text
    from rich.tree import Tree

    shown = picture(result)
    tree = Tree(Group(_headline(shown.title, shown.state, "bold"), *_fact_lines(shown.facts)), guide_style="dim")
    for part in shown.parts:
        branch = tree.add(Group(_headline(part.title, part.state, "bold"), *_fact_lines(part.facts)))
        branch.add(_workers(part) if part.rows else Text("no workers", style="dim"))
    render.console(stream).print(tree)


def _headline(title: str, state: str, style: str) -> Any:
    from rich.text import Text

    return Text.assemble((title, style), "  ", (state, STYLES.get(state, "")))


def _fact_lines(facts: list[tuple[str, str]]) -> list[Any]:
    from rich.table import Table
    from rich.text import Text

    if not facts:
        return []
    grid = Table.grid(padding=(0, 2))
    for name, value in facts:
        grid.add_row(Text(name, style="dim"), Text(value, style="bold red" if name in ALARMS else ""))
    return [grid]


def _workers(part: Part) -> Any:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column, name in enumerate(part.head):
        grid.add_column(name, justify="right" if column in NUMBERS else "left", no_wrap=column != 2)
    for row in part.rows:
        grid.add_row(
            *(Text(cell, style=STYLES.get(cell, "") if column == 2 else "") for column, cell in enumerate(row))
        )
    return grid


def _part(generation: dict[str, Any]) -> Part:
    number = render.line(generation.get("generation"))
    directory, resolved = generation.get("directory"), generation.get("resolved")
    release = render.line(generation.get("releve"))
    python = f"{render.line(generation.get('python_version'))} ({render.line(generation.get('python'))})"
    named: list[tuple[str, Any]] = [
        (
            "release",
            resolved
            if directory in (resolved, None)
            else f"{render.line(resolved)} (through {render.line(directory)})",
        ),
        ("commit", render.line(generation.get("revision"))[:COMMIT_SHOWN] if generation.get("revision") else None),
        ("python", python if generation.get("python_version") else generation.get("python")),
        ("releve", f"{release}, lent by the supervisor" if generation.get("lent") else generation.get("releve")),
        (
            "orphaned",
            "its master exited; its workers keep serving under the supervisor" if generation.get("orphaned") else None,
        ),
        ("code", "not preloaded: each worker imports it" if generation.get("preloaded") is False else None),
        ("losses", generation.get("losses")),
        *(("crash", line) for line in history.crash(_mapping((_list(generation.get("crashes")) or [None])[-1]))),
        ("mixed code", ", ".join(map(render.line, _list(generation.get("mixed"))))),
        *(("answers 503", render.line(reason)) for reason in _list(generation.get("broken"))),
    ]
    workers = [_mapping(worker) for worker in _list(generation.get("workers"))]
    revisions = [render.line(worker.get("revision")) for worker in workers]
    differ = len(set(revisions)) > 1  # in the middle of a reload
    rows = [_row(number, worker) for worker in workers]
    return Part(
        title=(
            f"generation {number} (master {render.line(generation.get('pid'))}, {render.age(generation.get('age_s'))})"
        ),
        state=render.line(generation.get("state")),
        facts=_told(named),
        head=(*HEAD, "revision") if differ else HEAD,
        rows=[(*row, revision) for row, revision in zip(rows, revisions, strict=True)] if differ else rows,
    )


def _row(number: str, worker: dict[str, Any]) -> tuple[str, ...]:
    memory = worker.get("pss_bytes") if worker.get("pss_bytes") is not None else worker.get("rss_bytes")
    return (
        f"{number}.{render.line(worker.get('worker'))}",
        render.line(worker.get("pid")),
        render.line(worker.get("state")),
        render.age(worker.get("age_s")),
        render.count(worker.get("requests")),
        render.count(worker.get("connections")),
        render.count(worker.get("busy")),
        render.size(memory),
    )


def _wanted(service: dict[str, Any]) -> Any:
    wanted = service.get("workers_wanted")
    return f"{wanted} (scaled; `ctl scale --reset` goes back to the configuration)" if service.get("scaled") else wanted


def _operation(operation: dict[str, Any]) -> str:
    if not operation:
        return ""
    by = f", by {render.line(operation['by'])}" if operation.get("by") else ""
    doing = f": {render.line(operation['doing'])}" if operation.get("doing") else ""
    return (
        f"{render.line(operation.get('verb'))}: {render.line(operation.get('phase'))} for "
        f"{render.age(operation.get('since_s'))}{by}{doing}"
    )


def _may(may: dict[str, Any]) -> str | None:
    """What whoever asks is kept to, if to anything."""
    if not may:
        return None
    folders = _list(may.get("directories"))
    where = f"; upgrade only to releases in {', '.join(map(render.line, folders))}" if folders else ""
    return f"{', '.join(map(render.line, _list(may.get('verbs'))))}{where}"


def _draining(draining: dict[str, Any]) -> str:
    if not draining:
        return ""
    deaf = ", ".join(map(render.line, _list(draining.get("unheard"))))
    but = f"; generation {deaf} cannot tell load balancers: its releve is too old" if deaf else ""
    return (
        f"since {render.age(draining.get('since_s'))}: load balancers send no new clients; `ctl undrain` ends it{but}"
    )


def _told(pairs: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(name, render.line(value)) for name, value in pairs if value not in (None, "")]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
