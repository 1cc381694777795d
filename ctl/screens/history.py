"""``ctl history``: the attempts, the newest last."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from releve.ctl.screens import render
from releve.instance import symptoms
from releve.instance.protocol import Event

if TYPE_CHECKING:
    from rich.console import Console

HEAD = ("id", "began", "verb", "by", "generation", "outcome", "took", "why")
NUMBERS = (0, 6)
BELOW = (HEAD.index("by"), HEAD.index("why"))  # of each row, where a terminal is too narrow for all of them
WHY_MIN = 30  # characters; the reason of a failure in a narrower column is hard to read
GOOD = ("done", "committed", "degraded")
FRAMES_SHOWN = 3  # of a crash
NONE = "no attempts"
UNDECIDED = ("running", "interrupted", "aborted")


def entries(result: Event) -> list[dict[str, Any]]:
    """The attempts in a ``history`` result."""
    found = result.get("entries")
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def newest(result: Event, since: datetime, limit: int | None) -> Event:
    """The result with those attempts only that began at ``since`` or later, and at most ``limit`` of them."""
    if "entries" not in result:
        return result
    found = [entry for entry in entries(result) if (began := _moment(entry.get("began"))) is None or began >= since]
    return {**result, "entries": found[-limit:] if limit else found}


def row(entry: dict[str, Any]) -> tuple[str, ...]:
    """The texts of one line of the table."""
    return (
        render.line(entry.get("id")),
        _when(entry.get("began")),
        render.line(entry.get("verb")),
        render.line(entry.get("by")),
        _step(entry),
        render.line(entry.get("outcome") or "running"),
        render.age(entry.get("seconds")),
        _why(entry),
    )


def sentence(entry: dict[str, Any]) -> str:
    """One attempt in one line, empty for none."""
    if not entry:
        return ""
    why = _why(entry, frames=False)
    outcome = render.line(entry.get("outcome") or "running")
    took = f" in {render.age(entry['seconds'])}" if entry.get("seconds") is not None else ""
    end = f": {why}" if why != render.UNKNOWN else ""
    # said, since everywhere else it is the number of the attempt that follows the verb
    generation = f" (generation {_step(entry)})" if _step(entry) != render.UNKNOWN else ""
    return (
        f"#{render.line(entry.get('id'))} {render.line(entry.get('verb'))}{generation} {outcome}{took}, "
        f"{_when(entry.get('began'))}{end}"
    )


def show_plain(result: Event, stream: TextIO) -> None:
    """The table as aligned text."""
    rows = [row(entry) for entry in entries(result)]
    print("\n".join([*render.table(HEAD, rows, NUMBERS), *_symptoms(result)]) if rows else NONE, file=stream)


def show_rich(result: Event, stream: TextIO) -> None:
    """The table, for a terminal."""
    from rich.table import Table
    from rich.text import Text

    rows = [row(entry) for entry in entries(result)]
    console = render.console(stream)
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column, name in enumerate(HEAD):
        grid.add_column(name, justify="right" if column in NUMBERS else "left", no_wrap=column < len(HEAD) - 1)
    for cells in rows:
        grid.add_row(*(Text(cell, style=_style(cells[5]) if column == 5 else "") for column, cell in enumerate(cells)))
    if rows and _width(rows) > console.width:
        _show_narrow(rows, console)
    else:
        console.print(grid if rows else NONE)
    for line in _symptoms(result):
        console.print(line)


def _width(rows: list[tuple[str, ...]]) -> int:
    """Of the table, in characters, with as much of the reasons as has to be."""
    widths = [max(len(cells[column]) for cells in (HEAD, *rows)) for column in range(len(HEAD))]
    return sum(widths[:-1]) + len(render.GAP) * (len(HEAD) - 1) + min(widths[-1], WHY_MIN)


def _show_narrow(rows: list[tuple[str, ...]], console: Console) -> None:
    """The table without its widest columns, which stand below each row."""
    from rich.padding import Padding
    from rich.text import Text

    kept = [column for column in range(len(HEAD)) if column not in BELOW]
    numbers = [kept.index(column) for column in NUMBERS]
    head, *lines = render.table(
        [HEAD[column] for column in kept], [[cells[column] for column in kept] for cells in rows], numbers
    )
    console.print(Text(head, style="dim"))
    for text, cells in zip(lines, rows, strict=True):
        shown = Text(text)
        shown.highlight_words([cells[5]], _style(cells[5]))
        console.print(shown)
        by, why = (cells[column] for column in BELOW)
        below = ": ".join([f"by {by}"] * (by != render.UNKNOWN) + [why] * (why != render.UNKNOWN))
        if below:
            console.print(Padding(Text(below), (0, 0, 0, 4)))


def _symptoms(result: Event) -> list[str]:
    """Of the last attempt: which requests failed, and what the workers wrote last."""
    last = entries(result)[-1:]
    found = [line for entry in last for line in symptoms.words(entry.get("evidence"))]
    return ["", f"#{render.line(last[0].get('id'))}", *(f"  {line}" for line in found)] if found else []


def _style(outcome: str) -> str:
    return "green" if outcome in GOOD else "yellow" if outcome in UNDECIDED else "red"


def _step(entry: dict[str, Any]) -> str:
    old, new = _generation(entry.get("from")), _generation(entry.get("to"))
    return new if old in (render.UNKNOWN, new) else f"{old} → {new}"


def _generation(described: Any) -> str:
    """The number of a generation that is described in the history."""
    return render.line(described.get("generation") if isinstance(described, dict) else described)


def _why(entry: dict[str, Any], *, frames: bool = True) -> str:
    step, reason = render.line(entry.get("step")), render.line(entry.get("reason"))
    why = "" if reason == render.UNKNOWN else reason if step == render.UNKNOWN else f"{step}: {reason}"
    failed = symptoms.brief(entry.get("evidence"))
    return "; ".join(filter(None, (why, failed and render.line(failed), _since(entry, frames)))) or render.UNKNOWN


def _since(entry: dict[str, Any], frames: bool) -> str:
    """The crashes of what it has brought into service; why something did not get there is said already."""
    crashes, count = entry.get("crashes"), entry.get("crashed")
    last = crash(crashes[-1]) if isinstance(crashes, list) and crashes and isinstance(crashes[-1], dict) else []
    if not last or entry.get("outcome") not in GOOD:
        return ""
    said = "; ".join(last if frames else last[:1])
    return f"{'a crash since' if count == 1 else f'{render.line(count)} crashes since, the last'}: {said}"


def crash(found: dict[str, Any]) -> list[str]:
    """One crash: when and what, and the innermost calls of its thread; nothing for none."""
    if not found:
        return []
    frames = [line.strip() for line in str(found.get("stack") or "").splitlines() if line.startswith("  ")]
    return [f"{_when(found.get('when'))}: {render.line(found.get('what'))}", *map(render.line, frames[-FRAMES_SHOWN:])]


def _when(stamp: Any) -> str:
    """A time stamp (ISO 8601) in the reader's own time zone."""
    found = _moment(stamp)
    return render.line(stamp) if found is None else found.strftime("%Y-%m-%d %H:%M:%S")


def _moment(stamp: Any) -> datetime | None:
    """The same as a time; None for what is none."""
    try:
        return datetime.fromisoformat(str(stamp)).astimezone()
    except (ValueError, OverflowError):
        return None
