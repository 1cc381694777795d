"""``ctl history``: the attempts, the newest last; ``ctl history ID``: one of them in full."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TextIO

from releve.ctl.screens import attempt, render
from releve.ctl.screens import styled_lines as screen
from releve.ctl.screens.styled_lines import Line, Piece
from releve.ctl.screens.table import Column, Row, lay_out
from releve.instance import symptoms
from releve.instance.protocol import Event

COLUMNS = (
    Column("id", right=True),
    Column("began", rank=1, below="{}"),
    Column("verb"),
    Column("by", rank=4, below="by {}"),
    Column("generation", rank=2, below="generation {}"),
    Column("outcome"),
    Column("took", right=True, rank=3, below="took {}"),
    Column("details", rank=5, below="{}", least=30),
)
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


def row(entry: dict[str, Any]) -> Row:
    """One attempt."""
    outcome = render.line(entry.get("outcome") or "running")
    cells = (
        render.line(entry.get("id")),
        _when(entry.get("began")),
        render.line(entry.get("verb")),
        render.line(entry.get("by")),
        _step(entry),
        outcome,
        render.age(entry.get("seconds")),
        _details(entry),
    )
    return Row(cells, {"outcome": _style(outcome)})


def sentence(entry: dict[str, Any]) -> str:
    """One attempt in one line, empty for none."""
    if not entry:
        return ""
    # which release a generation serves is said elsewhere
    details = _details(entry, frames=False, result=" → " not in _step(entry))
    outcome = render.line(entry.get("outcome") or "running")
    took = f" in {render.age(entry['seconds'])}" if entry.get("seconds") is not None else ""
    end = f": {details}" if details != render.UNKNOWN else ""
    # said, since everywhere else it is the number of the attempt that follows the verb
    generation = f" (generation {_step(entry)})" if _step(entry) != render.UNKNOWN else ""
    return (
        f"#{render.line(entry.get('id'))} {render.line(entry.get('verb'))}{generation} {outcome}{took}, "
        f"{_when(entry.get('began'))}{end}"
    )


def lines(result: Event, width: int | None) -> list[Line]:
    """The table, and what is known of the last attempt; or all of the one that was asked for."""
    if result.get("whole"):
        return [line for entry in entries(result) for line in _whole(entry, width)]
    rows = [row(entry) for entry in entries(result)]
    table = lay_out(COLUMNS, rows, width) if rows else [(Piece(NONE),)]
    return [*table, *((Piece(line),) for line in _symptoms(result))]


def _whole(entry: dict[str, Any], width: int | None) -> list[Line]:
    outcome = render.line(entry.get("outcome") or "running")
    title = f"#{render.line(entry.get('id'))} {render.line(entry.get('verb'))}: {outcome}"
    return attempt.lines(entry, title, _when(entry.get("began")), _style(outcome), width)


def show_plain(result: Event, stream: TextIO) -> None:
    """The table as aligned text."""
    screen.show_plain(lines(result, None), stream)


def show_rich(result: Event, stream: TextIO) -> None:
    """The table for a terminal, to its width."""
    screen.show_rich(lines(result, render.console(stream).width), stream)


def _symptoms(result: Event) -> list[str]:
    """Of the last attempt: which requests failed, and what the workers wrote last."""
    last = entries(result)[-1:]
    found = [line for entry in last for line in symptoms.words(entry.get("evidence"))]
    return ["", f"#{render.line(last[0].get('id'))}", *(f"  {line}" for line in found)] if found else []


def _style(outcome: str) -> str:
    return "green" if outcome in GOOD else "yellow" if outcome in UNDECIDED else "red"


def _step(entry: dict[str, Any]) -> str:
    """From which generation to which; the one that there is, where nothing was before or came after."""
    found = [_generation(entry.get(name)) for name in ("from", "to")]
    return " → ".join(dict.fromkeys(one for one in found if one != render.UNKNOWN)) or render.UNKNOWN


def _generation(described: Any) -> str:
    """The number of a generation that is described in the history."""
    return render.line(described.get("generation") if isinstance(described, dict) else described)


def _details(entry: dict[str, Any], *, frames: bool = True, result: bool = True) -> str:
    """Why it failed, and what it has done. ``frames``: with the calls of a crash; ``result``: also of one that is done.

    Records of an older supervisor have no ``message``.
    """
    step, reason = render.line(entry.get("step")), render.line(entry.get("reason"))
    why = "" if reason == render.UNKNOWN else reason if step == render.UNKNOWN else f"{step}: {reason}"
    failed = symptoms.brief(entry.get("evidence"))
    message = str(entry.get("message") or "")
    if message in why or (entry.get("outcome") in GOOD and not result):
        message = ""
    done = message.partition("; ")[0]  # what follows was news for the user who asked for it
    parts = (why, failed and render.line(failed), done and render.line(done), _since(entry, frames))
    return "; ".join(filter(None, parts)) or render.UNKNOWN


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
