"""``ctl config``: the settings in force, and where each was written."""

from __future__ import annotations

from typing import Any, TextIO

from releve.ctl.screens import render
from releve.ctl.screens import styled_lines as screen
from releve.ctl.screens.styled_lines import Line
from releve.ctl.screens.table import Column, Row, lay_out
from releve.instance.protocol import Event

COLUMNS = (Column("setting"), Column("from", rank=1, below="{}"), Column("value", least=20))
DEFAULT = "default"


def settings(result: Event) -> list[dict[str, Any]]:
    """Those in a ``config`` result."""
    found = result.get("settings")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def written(result: Event) -> Event:
    """The result without the settings that are the default."""
    if "settings" not in result:
        return result
    return {**result, "settings": [one for one in settings(result) if one.get("from") != DEFAULT]}


def lines(result: Event, width: int | None) -> list[Line]:
    """The table, to a width."""
    rows = [
        Row(tuple(render.line(one.get(name)) for name in ("key", "from", "value")), {"setting": "bold", "from": "dim"})
        for one in settings(result)
    ]
    return lay_out(COLUMNS, rows, width)


def show_plain(result: Event, stream: TextIO) -> None:
    """The table as aligned text."""
    screen.show_plain(lines(result, None), stream)


def show_rich(result: Event, stream: TextIO) -> None:
    """The table for a terminal, to its width."""
    screen.show_rich(lines(result, render.console(stream).width), stream)
