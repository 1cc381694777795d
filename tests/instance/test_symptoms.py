"""What of the failures and of the output of a refused release is shown, and how."""

from __future__ import annotations

from typing import Any

import pytest

from releve.instance import protocol, symptoms
from releve.server.scoreboard.recorder import Kind, Line, Sample


def sample(
    worker: int = 1,
    when: float = 1.0,
    kind: Kind = Kind.ANSWERED,
    request: str = "GET / HTTP/1.1",
    trace: str = "",
    status: int = 500,
) -> Sample:
    return Sample(worker, when, kind, status, request, trace)


def lines(worker: int, *texts: str, when: float = 1.0) -> list[Line]:
    return [Line(worker, number, when + number, text) for number, text in enumerate(texts)]


def test_three_failures_are_shown_and_different_ones_first() -> None:
    same = [sample(worker, when, trace="ValueError: one") for worker, when in ((1, 1.0), (1, 2.0), (1, 3.0), (2, 1.5))]
    other = sample(2, 9.0, trace="File\nKeyError: 'two'")
    shown = symptoms.select([*same, other], [])["failures"]
    assert [(one["worker"], one["trace"]) for one in shown] == [
        (1, "ValueError: one"),
        (2, "File\nKeyError: 'two'"),
        (2, "ValueError: one"),
    ]
    assert symptoms.select(same[:1], [])["failures"] == [
        {"worker": 1, "request": "GET / HTTP/1.1", "status": 500, "trace": "ValueError: one"}
    ]


def test_what_clients_got_comes_before_what_we_asked() -> None:
    kinds = [sample(kind=kind, when=5.0 - kind) for kind in (Kind.ASKED, Kind.BROKEN, Kind.ANSWERED)]
    assert [one.get("how") for one in symptoms.select(kinds, [])["failures"]] == [None, *symptoms.HOW[1:]]
    assert len(symptoms.HOW) == len(Kind)


def test_the_last_lines_of_those_that_wrote_last_are_shown() -> None:
    written = [
        *lines(1, "early", when=0.0),
        *lines(2, *(f"line {number}" for number in range(50)), when=10.0),
        *lines(3, "late", when=90.0),
    ]
    assert symptoms.select([], written)["output"] == [
        {"worker": 2, "lines": [f"line {number}" for number in range(50 - symptoms.LINES_MAX, 50)]},
        {"worker": 3, "lines": ["late"]},
    ]
    (one,) = symptoms.select([], lines(1, *["x" * 400] * 20))["output"]
    assert len(one["lines"]) == symptoms.TEXT_MAX // 400


def test_nothing_that_an_application_writes_moves_a_cursor_or_passes_for_another_line() -> None:
    bad = "\x1b[2J\u202e\r\x85"
    evidence = symptoms.select(
        [sample(request=f"GET /{bad}\n HTTP/1.1", trace=f"a\r\n{bad}\nb")], lines(1, f"{bad}\nforged")
    )
    shown = symptoms.words(evidence)
    assert all(line.isprintable() for line in shown), shown
    assert shown[1:4] == ["  a", "  \\x1b[2J\\u202e\\x0d\\x85", "  b"] and shown[
        -1
    ] == "  \\x1b[2J\\u202e\\x0d\\x85\\x0aforged".replace("\\x0a", "\\n").replace("\\x0d", "\\r")


@pytest.mark.parametrize(
    "evidence",
    [
        None,
        "text",
        {},
        {"failures": 3, "output": {}},
        {"failures": [1, None], "output": [[]]},
        {"output": [{"worker": 1, "lines": 7}]},
    ],
)
def test_what_another_release_has_written_is_shown_as_far_as_it_goes(evidence: Any) -> None:
    assert symptoms.brief(evidence) == "" and len(symptoms.words(evidence)) <= 1


def test_few_words_for_the_history() -> None:
    found = symptoms.select([sample(request="GET /sse HTTP/1.1", trace="  File x\nValueError: no")], [])
    assert symptoms.brief(found) == "GET /sse HTTP/1.1: 500 (ValueError: no)"
    assert symptoms.brief(symptoms.select([sample(status=503)], [])) == "GET / HTTP/1.1: 503"


def test_an_answer_has_room_for_the_symptoms_of_some_attempts() -> None:
    long = symptoms.select([sample(trace="x" * 2000)] * 3, lines(1, *["y" * 480] * 20))
    attempts: list[dict[str, Any]] = [{"id": number, "evidence": {"rule": "errors", **long}} for number in range(100)]
    kept = symptoms.thinned(attempts)
    assert [one["id"] for one in kept] == list(range(100)) and all(one["evidence"]["rule"] == "errors" for one in kept)
    assert [one["id"] for one in kept if "failures" in one["evidence"]] == list(range(100 - symptoms.REPLY_MAX, 100))
    assert "failures" in attempts[0]["evidence"], "what is in the history stays there"
    assert symptoms.thinned([{"id": 1}, {"id": 2, "evidence": None}]) == [{"id": 1}, {"id": 2, "evidence": None}]


def test_an_answer_has_room_for_the_crashes_of_the_last_attempts() -> None:
    crashes = [{"when": "now", "what": f"worker {number} was killed", "stack": "x" * 5000} for number in range(5)]
    attempts: list[dict[str, Any]] = [{"id": number, "crashed": 9, "crashes": crashes} for number in range(1000)]
    kept = symptoms.thinned(attempts)
    assert len(protocol.encode(protocol.result(protocol.Status.DONE, "", entries=kept))) < protocol.LINE_MAX_BYTES
    assert (
        kept[0]["crashed"] == 9
        and kept[0]["crashes"] == [{**crashes[-1], "stack": ""}]
        and kept[-1]["crashes"] == crashes
    )


def test_the_newest_attempts_that_fit_into_one_answer() -> None:
    attempts = [{"id": number, "reason": "é" * 1000} for number in range(1000)]
    assert symptoms.fitting(attempts[:10]) == attempts[:10]
    fitting = symptoms.fitting(attempts)
    assert fitting == attempts[-len(fitting) :] and 100 < len(fitting) < 1000
    assert len(protocol.encode({"entries": fitting})) < protocol.LINE_MAX_BYTES
    assert symptoms.fitting([{"reason": "x" * protocol.LINE_MAX_BYTES}]) == []
