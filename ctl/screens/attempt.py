"""``ctl history ID``: one attempt in full, as the user who started it has seen it."""

from __future__ import annotations

from typing import Any

from releve.ctl.screens import render
from releve.ctl.screens.styled_lines import Line, Piece, fact_lines, wrap
from releve.instance import symptoms

INDENT = "  "


def lines(entry: dict[str, Any], title: str, began: str, style: str, width: int | None) -> list[Line]:
    """Its title, facts, and what the application said. ``began``: in the reader's own time zone."""
    took = f" (took {render.age(entry['seconds'])})" if entry.get("seconds") is not None else ""
    before, after = _served(entry.get("from")), _served(entry.get("to"))
    pairs = [
        ("began", f"{began}{took}"),
        ("by", render.line(entry.get("by"))),
        ("release", _release(entry.get("target"))),
        *([("serving", after)] if before == after else [("before", before), ("after", after)]),
        ("step", render.line(entry.get("step"))),
        ("reason", render.line(entry.get("reason"))),
        ("result", render.line(entry.get("message"))),
        *(("note", render.line(note)) for note in _list(entry.get("notes"))),
        ("phases", _phases(entry.get("phases"))),
    ]
    told = [(name, value) for name, value in pairs if value not in ("", render.UNKNOWN)]
    traceback = render.clean(entry.get("traceback") or "").rstrip().splitlines()
    # never wrapped: the marks below a line of code point at what is above them
    quoted = [f"{INDENT * 2}{line}".rstrip() for line in [*traceback, *symptoms.words(entry.get("evidence"))]]
    return [
        *wrap(title, width, style),
        *fact_lines(told, width, INDENT),
        *((Piece(text),) for text in (["", *quoted] if quoted else [])),
    ]


def _release(described: Any) -> str:
    """A release: its folder, and the commit if it is known."""
    if not isinstance(described, dict) or not described.get("directory"):
        return ""
    commit = f", commit {render.line(described['revision'])}" if described.get("revision") else ""
    return f"{render.line(described['directory'])}{commit}"


def _served(described: Any) -> str:
    """What was in service: the generation and its release."""
    if not isinstance(described, dict) or described.get("generation") is None:
        return ""
    release = _release(described)
    return f"generation {render.line(described['generation'])}{f', {release}' if release else ''}"


def _phases(found: Any) -> str:
    """The phases with their times."""
    known = found.items() if isinstance(found, dict) else ()
    return ", ".join(f"{render.line(name)} {render.age(seconds)}" for name, seconds in known)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
