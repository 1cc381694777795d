"""Lines that are wrapped, and printed with and without styles."""

from __future__ import annotations

import io

import pytest

from releve.ctl.screens.styled_lines import Piece, fact_lines, show_plain, show_rich, text_of, wrap

PATH = "/srv/shop/releases/42/.venv/bin/python"


def test_a_text_is_wrapped_between_its_words_and_no_word_is_cut() -> None:
    assert [text_of(line) for line in wrap("one two three four five", 22, first="└ ")] == [
        "└ one two three four",
        "  five",
    ]
    assert [text_of(line) for line in wrap(f"3.12 ({PATH})", 30)] == ["3.12", f"({PATH})"]
    assert wrap("one two", None, "red") == [(Piece(""), Piece("one two", "red"))]
    assert [text_of(line) for line in wrap("", 10)] == [text_of(line) for line in wrap(" " * 40, 10)] == [""]
    assert len(wrap("one two three four", 1)) == 1, "it gets a few characters, however narrow it is"


def test_facts_are_aligned_and_alarms_are_red() -> None:
    lines = fact_lines([("up", "one two three four five six"), ("crash", "bad")], 30, "  ", ["crash"])
    assert [text_of(line) for line in lines] == ["  up     one two three four", "         five six", "  crash  bad"]
    assert [line[1].style for line in lines] == ["", "", "bold red"]
    assert fact_lines([], 30, "") == []


def test_what_is_shown_is_the_same_with_and_without_styles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    lines = [(Piece("[bold] :smile: ", "red"), Piece(PATH)), (Piece(""),), (Piece("x  "),)]
    plain, rich = io.StringIO(), io.StringIO()
    show_plain(lines, plain)
    show_rich(lines, rich)
    assert plain.getvalue() == rich.getvalue() == f"[bold] :smile: {PATH}\n\nx\n"
