"""What is said when a verb has ended."""

from __future__ import annotations

from harness.refusals import REFUSED, TOLD
from releve.ctl.screens import outcome


def test_a_result_without_words() -> None:
    assert outcome.lines({"status": 0}) == ["ended with status 0"]


def test_several_problems_are_all_shown() -> None:
    problems = "releve.yaml:1:1: cannot a\nreleve.yaml:2:1: cannot b"
    lines = outcome.lines(
        {"event": "result", "status": 2, "message": problems, "reason": problems, "step": "configuration"}
    )
    assert lines == [problems, "  step  configuration", "  serving  as before; nothing was changed"]


def test_what_failed_in_a_release_that_was_refused_is_shown() -> None:
    said = outcome.lines(REFUSED)
    begin = said.index("")
    assert said[begin:-2] == ["", *(f"    {line}" for line in TOLD), ""]
