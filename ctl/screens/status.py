"""``ctl status``: the service, its generations, their workers.

The result is first made into a ``Picture`` of plain texts, which is then laid out to the terminal.
"""

from __future__ import annotations

from typing import Any, TextIO

from releve.config.frozen import dataclass
from releve.ctl.screens import figures, history, render
from releve.ctl.screens import styled_lines as screen
from releve.ctl.screens.figures import STYLES
from releve.ctl.screens.styled_lines import Line, Piece, fact_lines, wrap
from releve.ctl.screens.table import Column, Row, lay_out, left_out, narrow
from releve.instance.protocol import Event

COLUMNS = (
    Column("worker"),
    Column("pid", right=True),
    Column("state"),
    Column("age", right=True, rank=8),
    Column("busy", right=True, rank=1),
    Column("cpu", right=True, rank=2),
    Column("memory", right=True, rank=3),
    Column("connections", right=True, rank=5),
    Column("descriptors", right=True, rank=9),
    Column("requests", right=True, rank=7),
    Column("restarts", right=True, rank=6),
)
REVISION = Column("revision", rank=4)  # only in the middle of a reload
INDENT = "  "
MARK = "└ "
PRESSED = ("saturated", "failing")  # what a service may be beside its state, each with its reason
COMMIT_SHOWN = 12  # signs of a commit's name
ALARMS = ("draining", "not upgraded", "history", "orphaned", "losses", "crash", "mixed code", "answers 503")


@dataclass(frozen=True, slots=True)
class Part:
    """A generation: its title and state, facts about it, and its workers."""

    title: str
    state: str
    facts: list[tuple[str, str]]
    columns: tuple[Column, ...]
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Picture:
    """What is shown of a service: its title, its state and the style of that, what is told of the whole, and one part
    for each generation.
    """

    title: str
    state: str
    style: str
    facts: list[tuple[str, str]]
    parts: list[Part]


def picture(result: Event) -> Picture:
    """What to show of a ``status`` result; whatever is missing in it (another release answered) is left out."""
    service = _mapping(result.get("service"))
    words = [render.line(service.get("name")), render.line(service.get("app"))]
    named: list[tuple[str, Any]] = [
        ("config", service.get("config")),
        ("listen", _listeners(service)),
        ("workers", _workers(service)),
        ("busy", _busy(_mapping(service.get("load")))),
        ("watch", None if service.get("watch") in (None, "off") else service.get("watch")),
        ("operation", _operation(_mapping(service.get("operation")))),
        ("you may", _may(_mapping(result.get("may")))),
        ("draining", _draining(_mapping(service.get("draining")))),
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
        state=headline(service),
        style="bold red" if any(service.get(name) for name in PRESSED) else STYLES.get(str(service.get("state")), ""),
        facts=_told(named),
        parts=[_part(_mapping(generation)) for generation in _list(result.get("generations"))],
    )


def lines(result: Event, width: int | None) -> list[Line]:
    """The picture, to a width."""
    shown = picture(result)
    found = [*_titled(shown.title, shown.state, shown.style, width), *fact_lines(shown.facts, width, INDENT, ALARMS)]
    dropped: dict[str, None] = {}
    for part in shown.parts:
        alike = [row for other in shown.parts if other.columns == part.columns for row in other.rows]
        found += [(Piece(""),), *_titled(part.title, part.state, STYLES.get(part.state, ""), width)]
        found += fact_lines(part.facts, width, INDENT, ALARMS)
        found += (
            lay_out(part.columns, part.rows, width, indent=INDENT, mark=MARK, others=alike)
            if part.rows
            else [(Piece(f"{INDENT}no workers", "dim"),)]
        )
        dropped |= dict.fromkeys(left_out(part.columns, alike, width, INDENT))
    return [*found, *([(Piece(""),)] if dropped else []), *narrow(list(dropped), width)]


def show_plain(result: Event, stream: TextIO) -> None:
    """The picture as aligned text."""
    screen.show_plain(lines(result, None), stream)


def show_rich(result: Event, stream: TextIO) -> None:
    """The picture for a terminal, to its width."""
    screen.show_rich(lines(result, render.console(stream).width), stream)


def _titled(title: str, state: str, style: str, width: int | None) -> list[Line]:
    """A title with its state, on one line if there is room for both."""
    if width is None or len(title) + len(state) + 2 <= width:
        return [(Piece(f"{title}: ", "bold"), Piece(state, style))]
    return [*wrap(f"{title}:", width, "bold"), *wrap(state, width, style, INDENT)]


def headline(service: dict[str, Any]) -> str:
    """The state in a sentence: ``serving``; ``serving, saturated: all 16 threads busy for 12 s, 37 waiting``;
    ``degraded: 3 of 4 workers``.
    """
    state = render.line(service.get("state"))
    why = "; ".join(map(render.line, _list(service.get("degraded"))))
    told = f"{state}: {why}" if why and state == "degraded" else f"{state}, degraded: {why}" if why else state
    for name in PRESSED:
        if service.get(name):
            told, why = f"{told}{';' if why else ','} {name}: {render.line(service[name])}", told
    return told


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
    return Part(
        title=(
            f"generation {number} (master {render.line(generation.get('pid'))}, {render.age(generation.get('age_s'))})"
        ),
        state=render.line(generation.get("state")),
        facts=_told(named),
        columns=(*COLUMNS, REVISION) if differ else COLUMNS,
        rows=[_row(number, worker, [revision] * differ) for worker, revision in zip(workers, revisions, strict=True)],
    )


def _row(number: str, worker: dict[str, Any], more: list[str]) -> Row:
    state = render.line(worker.get("state"))
    cells = (
        f"{number}.{render.line(worker.get('worker'))}",
        render.line(worker.get("pid")),
        state,
        render.age(worker.get("age_s")),
        figures.busy(worker),
        figures.cpu(worker),
        figures.memory(worker),
        figures.connections(worker),
        figures.descriptors(worker),
        render.count(worker.get("requests")),
        render.count(worker.get("restarts")),
        *more,
    )
    below = [Piece(text, "bold red") for text in figures.near(worker)]
    below += [Piece(text, "yellow") for text in figures.restarts(worker)]
    return Row(cells, {"state": STYLES.get(state, ""), **figures.styles(worker)}, tuple(below))


def _listeners(service: dict[str, Any]) -> str:
    """Each with its queue, as far as it is known."""
    known = {queue.get("listener"): queue for queue in map(_mapping, _list(service.get("queues")))}
    told = []
    for name in _list(service.get("listeners")):
        queue = known.get(name) if isinstance(name, str) else None
        lengths = f" (queue {render.count(queue.get('waiting'))}/{render.count(queue.get('most'))})" if queue else ""
        told.append(render.line(name) + lengths)
    return ", ".join(told)


def _workers(service: dict[str, Any]) -> Any:
    """How many serve, of how many there should be."""
    serving, wanted = service.get("workers_serving"), service.get("workers_wanted")
    told = f"{render.count(serving)}/{render.count(wanted)}" if render.is_number(serving) else wanted
    return f"{told} (scaled; `ctl scale --reset` goes back to the configuration)" if service.get("scaled") else told


def _busy(load: dict[str, Any]) -> str:
    """Threads of all workers, and clients that wait."""
    if not render.is_number(load.get("threads")):
        return ""
    waiting = f", {render.count(load.get('waiting'))} waiting" if load.get("waiting") else ""
    return f"{render.count(load.get('busy'))}/{render.count(load.get('threads'))} threads{waiting}"


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
