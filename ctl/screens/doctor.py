"""``ctl doctor``: what was found, the worst first, and what to do about it."""

from __future__ import annotations

from typing import Any, TextIO

from releve.ctl.screens import render
from releve.ctl.screens import styled_lines as screen
from releve.ctl.screens.styled_lines import Line, Piece, wrap
from releve.ctl.screens.table import Column, Row, lay_out
from releve.instance.protocol import Event

COLUMNS = (Column("severity"), Column("check"), Column("text", rank=1, below="{}", least=30))

STYLES = {"problem": "bold red", "warning": "yellow", "ok": "green", "unknown": "dim"}


def findings(result: Event) -> list[dict[str, Any]]:
    """Those in a ``doctor`` result."""
    found = result.get("findings")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def lines(result: Event, width: int | None) -> list[Line]:
    """The findings, the advice below what it is about, and the sum of it."""
    rows = [_row(one) for one in findings(result)]
    table = lay_out(COLUMNS, rows, width, head=False) if rows else []
    return [*table, *wrap(render.line(result.get("message")), width, "bold")]


def show_plain(result: Event, stream: TextIO) -> None:
    """As aligned text."""
    screen.show_plain(lines(result, None), stream)


def show_rich(result: Event, stream: TextIO) -> None:
    """For a terminal, to its width."""
    screen.show_rich(lines(result, render.console(stream).width), stream)


def _row(one: dict[str, Any]) -> Row:
    severity = render.line(one.get("severity"))
    advice = (Piece("do: " + render.line(one["advice"]), "cyan"),) if one.get("advice") else ()
    cells = (severity, render.line(one.get("check")), render.line(one.get("text")))
    return Row(cells, {"severity": STYLES.get(severity, "")}, advice)
