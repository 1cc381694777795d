"""A table, laid out to a width: columns that do not fit are dropped by rank, and long texts are wrapped.

Nothing is shortened: a pid, a worker's name and a generation's number are there as a whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from releve.config.frozen import dataclass
from releve.ctl.screens import render
from releve.ctl.screens.styled_lines import Line, Piece, wrap

BELOW = "    "  # before what stands below a row


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    ``rank``: of those that do not fit, the highest is dropped first; 0 never is. ``below``: how its text stands below
    its row when it is dropped (``by {}``); empty: not at all. ``least``: of a last column whose text may be wrapped,
    how many characters it gets at least; 0 if it may not.
    """

    name: str
    right: bool = False
    rank: int = 0
    below: str = ""
    least: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A text for each column, and a style for some of them (by column name); and what stands on lines below."""

    cells: tuple[str, ...]
    styles: dict[str, str]
    below: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns of a table are shown, how wide each of them is, and which ones are dropped (by their places)."""

    columns: tuple[Column, ...]
    indent: str
    shown: tuple[int, ...]
    widths: tuple[int, ...]
    dropped: tuple[int, ...]

    @property
    def wraps(self) -> int | None:
        """The place of the column whose text is wrapped, if there is one."""
        return self.shown[-1] if self.columns[self.shown[-1]].least else None

    @property
    def before(self) -> int:
        """Characters before the last column."""
        return len(self.indent) + sum(self.widths[:-1]) + len(render.GAP) * (len(self.widths) - 1)

    def line(self, texts: Sequence[str], styles: Sequence[str]) -> Line:
        """One line, of a text and a style for each column."""
        pieces = [Piece(self.indent)]
        for at, width in zip(self.shown, self.widths, strict=True):
            padded = texts[at].rjust(width) if self.columns[at].right else texts[at].ljust(width)
            pieces += [Piece(padded, styles[at]), Piece(render.GAP)]
        return tuple(pieces[:-1])

    def below(self, row: Row) -> list[Piece]:
        """What of a row's dropped columns is told below it, in one piece."""
        told = [at for at in self.dropped if self.columns[at].below and row.cells[at] != render.UNKNOWN]
        short = ", ".join(self.columns[at].below.format(row.cells[at]) for at in told if not self.columns[at].least)
        long = [self.columns[at].below.format(row.cells[at]) for at in told if self.columns[at].least]
        text = ": ".join(filter(None, (short, *long)))
        return [Piece(text)] if text else []


def fit(
    columns: Sequence[Column], rows: Sequence[Row], width: int | None, indent: str = "", *, head: bool = True
) -> Layout:
    """The layout for a terminal of that width. ``head``: the columns' names are shown too."""
    names = [len(column.name) if head else 0 for column in columns]
    longest = [max([name, *(len(row.cells[at]) for row in rows)]) for at, name in enumerate(names)]
    shown = list(range(len(columns)))
    if width is None:
        return Layout(tuple(columns), indent, tuple(shown), tuple(longest), ())
    least = [min(longest[at], column.least) if column.least else longest[at] for at, column in enumerate(columns)]

    def room() -> int:
        """What is left of the width; less than 0: they do not fit."""
        return width - len(indent) - sum(least[at] for at in shown) - len(render.GAP) * (len(shown) - 1)

    by_rank = sorted((at for at in shown if columns[at].rank), key=lambda at: columns[at].rank)
    while room() < 0 and (droppable := [at for at in by_rank if at in shown]):
        shown.remove(droppable[-1])
    for at in by_rank:  # a narrow column may fit where a wider one of more importance did not
        if at not in shown and room() >= least[at] + len(render.GAP):
            shown = sorted((*shown, at))
    last = shown[-1]
    if columns[last].least:
        least[last] = min(longest[last], least[last] + max(0, room()))
    dropped = tuple(at for at in range(len(columns)) if at not in shown)
    return Layout(tuple(columns), indent, tuple(shown), tuple(least[at] for at in shown), dropped)


def lay_out(
    columns: Sequence[Column],
    rows: Sequence[Row],
    width: int | None,
    *,
    indent: str = "",
    head: bool = True,
    mark: str = "",
    others: Sequence[Row] = (),
) -> list[Line]:
    """The lines of a table. ``mark`` stands before what is below a row. ``others``: rows of tables with the same
    columns, with which this one is aligned.
    """
    layout = fit(columns, [*rows, *others], width, indent, head=head)
    last, names = layout.wraps, [column.name for column in columns]
    below = indent + (render.GAP if mark else BELOW) if last is None else " " * layout.before
    lines = [layout.line(names, ["dim"] * len(names))] if head else []
    for row in rows:
        texts, styles, more = list(row.cells), [row.styles.get(name, "") for name in names], []
        if last is not None:
            (_, text), *more = wrap(texts[last], width, styles[last], " " * layout.before)
            texts[last] = text.text
        lines += [layout.line(texts, styles), *more]
        for piece in (*layout.below(row), *row.below):
            lines += wrap(piece.text, width, piece.style, below + mark)
    return lines


def left_out(columns: Sequence[Column], rows: Sequence[Row], width: int | None, indent: str = "") -> list[str]:
    """The names of columns that are neither shown nor told below their rows."""
    return [columns[at].name for at in fit(columns, rows, width, indent).dropped if not columns[at].below]


def narrow(names: Sequence[str], width: int | None) -> list[Line]:
    """That these columns are left out; nothing if none is."""
    return wrap(f"not shown at {width} columns: {', '.join(names)}", width, "dim") if names else []
