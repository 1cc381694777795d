"""Tables and screens laid out to a width: what is dropped, what is wrapped, and what is never shortened."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from harness.results import DOCTOR, FULL, HISTORY, WORKERS
from releve.ctl.screens import doctor, history, status, workers
from releve.ctl.screens.styled_lines import Piece, text_of
from releve.ctl.screens.table import Column, Row, fit, lay_out, left_out, narrow

COLUMNS = (Column("id", right=True), Column("state", rank=2), Column("by", rank=1, below="by {}"))
ROWS = (Row(("1", "serving", "root"), {"state": "green"}), Row(("20", "paused", "-"), {}, (Piece("a b c", "red"),)))
REASONS = (*COLUMNS, Column("why", rank=3, below="{}", least=20))
WHY = "one two three four five six seven eight nine ten"


def laid_out(
    width: int | None, columns: tuple[Column, ...] = COLUMNS, rows: tuple[Row, ...] = ROWS, **more: Any
) -> list[str]:
    return [text_of(line) for line in lay_out(columns, rows, width, **more)]


def test_what_does_not_fit_is_dropped_by_rank_and_told_below_where_it_can_be() -> None:
    whole = ["id  state    by", " 1  serving  root", "20  paused   -", "    a b c"]
    assert laid_out(None) == laid_out(17) == whole
    assert laid_out(16) == ["id  by", " 1  root", "20  -", "    a b c"]
    assert laid_out(7) == ["id", " 1", "    by root", "20", "    a b c"], "there is nobody to tell of in the last row"
    assert laid_out(1)[:2] == ["id", " 1"], "what has no rank stays"
    assert (left_out(COLUMNS, ROWS, 16), left_out(COLUMNS, ROWS, 17), left_out(COLUMNS, ROWS, 7)) == (
        ["state"],
        [],
        ["state"],
    )
    assert [text_of(line) for line in narrow(["state", "age"], 16)] == ["not shown at 16", "columns: state, age"]
    assert narrow([], 16) == []


def test_a_mark_stands_before_what_is_below_a_row_and_an_indent_before_all() -> None:
    assert laid_out(None, indent="  ", mark="└ ", head=False) == [
        "   1  serving  root",
        "  20  paused   -",
        "    └ a b c",
    ]


def test_a_long_text_is_wrapped_in_its_column_if_that_has_room_and_else_below() -> None:
    rows = (Row(("1", "serving", "root", WHY), {}, (Piece("do it"),)),)
    assert laid_out(None, REASONS, rows) == ["id  state    by    why", f" 1  serving  root  {WHY}", f"{' ' * 19}do it"]
    assert laid_out(45, REASONS, rows) == [
        "id  state    by    why",
        " 1  serving  root  one two three four five",
        f"{' ' * 19}six seven eight nine ten",
        f"{' ' * 19}do it",
    ]
    assert laid_out(38, REASONS, rows) == [
        "id  state    by",
        " 1  serving  root",
        "    one two three four five six seven",
        "    eight nine ten",
        "    do it",
    ]
    assert laid_out(7, REASONS, rows)[2:4] == ["    by root: one two", "    three four five six"]
    assert sum(fit(REASONS, rows, 45).widths) + 6 <= 45


def test_a_narrow_column_takes_the_room_that_a_wider_one_of_more_importance_leaves() -> None:
    columns = (Column("id"), Column("connections", rank=1), Column("cpu", rank=2))
    rows = (Row(("1", "10", "5%"), {}),)
    assert laid_out(10, columns, rows) == ["id  cpu", "1   5%"]
    assert laid_out(15, columns, rows) == ["id  connections", "1   10"]


def test_a_table_is_aligned_with_others_and_leaves_out_what_they_leave_out() -> None:
    others = (Row(("300", "serving", "somebody"), {}),)
    assert laid_out(None, rows=ROWS[:1], others=others) == [" id  state    by", "  1  serving  root"]
    assert laid_out(21, rows=ROWS[:1], others=others) == [" id  by", "  1  root"], "it alone would fit"


def test_styles_are_those_of_the_cells() -> None:
    head, first, *_ = lay_out(COLUMNS, ROWS, None)
    assert {piece.style for piece in head if piece.text.strip()} == {"dim"}
    assert [(piece.text.strip(), piece.style) for piece in first if piece.style] == [("serving", "green")]
    assert lay_out(COLUMNS, ROWS, None)[-1][-1] == Piece("a b c", "red")


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize(
    ("screen", "result", "kept"),
    [
        (status, FULL, ["8.1", "8.2", "821", "90822", "8", "7", "/srv/shop/releases/42", "1/8"]),
        (workers, WORKERS, ["8.2", "7.1", "812", "701", "/report?\\x1b[2J", "31s"]),
        (history, HISTORY, ["10", "32399)", "7", "→", "8", "(30.0%),"]),
        (doctor, DOCTOR, ["problem", "0.0.0.0/0", "only"]),
    ],
)
def test_a_screen_fits_its_terminal_and_shortens_nothing(
    screen: ModuleType, result: dict[str, Any], kept: list[str], width: int
) -> None:
    """But for one word that is longer than there is room, which a terminal wraps itself, so that it can be copied."""
    shown = [text_of(line) for line in screen.lines(result, width)]
    words = " ".join(shown).replace(":", " ").replace(",", ", ").split()
    assert {word.rstrip(",") for word in kept} <= {word.rstrip(",") for word in words}
    assert "…" not in " ".join(shown)
    assert all(len(line) <= width or len(line.split()) == 1 for line in shown), shown
    assert len(shown) >= len(list(screen.lines(result, 200)))


@pytest.mark.parametrize(
    ("screen", "result", "first"),
    [(status, FULL, ["age", "requests", "descriptors"]), (workers, WORKERS, ["memory", "waiting", "connections"])],
)
def test_a_wide_terminal_shows_more_and_a_narrow_one_says_what_it_leaves_out(
    screen: ModuleType, result: dict[str, Any], first: list[str]
) -> None:
    def said(width: int | None) -> str:
        return " ".join(" ".join(text_of(line) for line in screen.lines(result, width)).split())

    for width in (None, 120, 200):
        assert "not shown" not in said(width)
    left = said(80).partition("not shown at 80 columns: ")[2]
    assert set(first) <= set(left.split(", "))
    assert len(said(40).partition("not shown at 40 columns: ")[2]) > len(left)
