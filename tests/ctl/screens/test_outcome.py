"""What is said when a verb has ended."""

from __future__ import annotations

import io
from typing import Any

import pytest

from harness.refusals import REFUSED, TOLD
from releve.ctl.screens import outcome
from releve.ctl.screens.styled_lines import Piece, text_of
from releve.instance.protocol import Status

FAILED: dict[str, Any] = {
    "event": "result",
    "status": Status.FAILED,
    "message": "cannot upgrade: preflight: shop.py:1: ModuleNotFoundError: No module named 'stripe'",
    "step": "preflight",
    "traceback": f"  File 'x'\n    {'y' * 70} = z\n    {'^' * 70}\nError",
}


class Screen(io.StringIO):
    """A terminal, as far as it can be told by asking."""

    def isatty(self) -> bool:
        return True


def said(result: dict[str, Any], width: int | None = None) -> list[str]:
    return [text_of(line) for line in outcome.lines(result, width)]


def test_a_result_without_words() -> None:
    assert said({"status": 0}) == ["ended with status 0"]


def test_several_problems_are_all_shown() -> None:
    problems = "releve.yaml:1:1: cannot a\nreleve.yaml:2:1: cannot b"
    result = {"event": "result", "status": 2, "message": problems, "reason": problems, "step": "configuration"}
    assert said(result) == [
        *problems.splitlines(),
        "  step  configuration",
        "  serving  as before; nothing was changed",
    ]


def test_what_failed_in_a_release_that_was_refused_is_shown() -> None:
    shown = said(REFUSED)
    begin = shown.index("")
    assert shown[begin:-2] == ["", *(f"    {line}" for line in TOLD), ""]


def test_a_result_is_wrapped_to_a_width_but_for_the_code_of_a_traceback() -> None:
    shown = said(FAILED, 60)
    assert shown[:3] == [
        "cannot upgrade: preflight: shop.py:1: ModuleNotFoundError:",
        "  No module named 'stripe'",
        "  step  preflight",
    ]
    assert shown[5:7] == [f"        {'y' * 70} = z", f"        {'^' * 70}"]
    assert shown[-3:] == [
        "  serving  the old generation, as before",
        "  next     fix the cause and try again; `ctl history` lists",
        "           the attempts",
    ]


def test_a_sentence_that_fits_is_on_one_line_and_one_without_words_is_empty() -> None:
    assert said({"status": 0, "message": "one two three four five"}, 23) == ["one two three four five"]
    assert said({"status": 0, "message": "one two three four five"}, 22) == ["one two three four", "  five"]
    assert said({"status": 0, "message": f"one\n{' ' * 80}\ntwo"}, 40) == ["one", "", "two"]


@pytest.mark.parametrize(
    ("status", "style"),
    [
        (Status.DONE, ""),
        (Status.USAGE, ""),
        (Status.DEGRADED, "yellow"),
        (Status.FAILED, "bold red"),
        (Status.ROLLED_BACK, "bold red"),
    ],
)
def test_what_failed_stands_out(status: Status, style: str) -> None:
    [first, *_] = outcome.lines({"status": status, "message": "so it ended"}, 80)
    assert first[-1] == Piece("so it ended", style)


def test_only_a_terminal_gets_wrapped_lines_and_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TERM", "xterm-256color"), ("COLUMNS", "60")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    pipe, screen = io.StringIO(), Screen()
    outcome.say(FAILED, pipe)
    outcome.say(FAILED, screen)
    assert pipe.getvalue().splitlines() == said(FAILED)
    assert "\x1b[1;31mcannot upgrade: preflight: shop.py:1: ModuleNotFoundError:\x1b[0m\n" in screen.getvalue()
    monkeypatch.setenv("TERM", "dumb")
    dumb = Screen()
    outcome.say(FAILED, dumb)
    assert dumb.getvalue() == pipe.getvalue()
