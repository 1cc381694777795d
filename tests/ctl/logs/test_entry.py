"""Entries of a log file, read back from what the log writes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from releve.ctl.logs.entry import Entry, belongs_to_the_line_before, entry
from releve.server.shared import log

AT = datetime(2026, 11, 23, 21, 38, 31, tzinfo=UTC)
WRITTEN = [
    log.Entry("info", "pid=7", "ready", process="supervisor", created=AT.timestamp()),
    log.Entry("error", "gen=8 pid=70", "it failed", trace="Traceback:\n\n  x", created=AT.timestamp()),
    log.Entry("info", "gen=8 worker=2 pid=812", "  4711 accepted", stream="stdout", created=AT.timestamp()),
]


@pytest.mark.parametrize("form", [log.text, log.as_json])
def test_what_the_log_writes_is_read_back(form: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for written in WRITTEN:
        lines = form(written).decode().removesuffix("\n").split("\n")  # type: ignore[operator]
        assert [belongs_to_the_line_before(line) for line in lines] == [False, *[True] * (len(lines) - 1)]
        found = entry(lines, datetime.now().astimezone().strftime("%z"))
        assert found.text == "\n".join(lines)
        assert (found.time, found.stream) == (AT, written.stream)
        assert found.level == ("" if written.stream else written.level)
        tag = dict(part.split("=") for part in written.who.split())
        who = (found.generation, found.worker, found.pid)
        assert who == tuple(int(tag[name]) if name in tag else None for name in ("gen", "worker", "pid"))
        assert found.message.startswith(written.message) and found.tagged
        assert found.as_json()["message"].startswith(written.message)


def test_the_zone_is_the_supervisors() -> None:
    assert entry(["2026-11-23 22:38:31 INFO pid=7 ready"], "+0100").time == AT


@pytest.mark.parametrize(
    "line",
    [
        '192.0.2.7 - - [23/Nov/2026:22:38:31 +0100] "GET / HTTP/1.1" 200 2 "-" "-"',
        '{"time": "2026-11-23T21:38:31+00:00", "remote": "192.0.2.7", "status": 200}',
    ],
)
def test_an_access_line_has_a_time_and_no_tag(line: str) -> None:
    found = entry([line])
    assert found.time == AT and not found.tagged


@pytest.mark.parametrize(
    "line",
    [
        "",
        "plain",
        "{not json",
        '{"level": 5, "stream": [], "pid": true, "time": 1}',
        "2026-13-45 99:99:99 INFO pid=1 x",
        f"2026-11-23 21:38:31 INFO pid={'9' * 5000} more digits than int() reads",
        "2026-11-23 21:38:31 INFO gen=\u0665 pid=1 a digit of another script",
        f'{{"pid": {"9" * 5000}}}',
        f'{{"message": {"[" * 100_000}{"]" * 100_000}}}',
        f'{{"message": {"[" * 900}{"]" * 900}}}',  # json reads it, and as a text it is too deep
    ],
)
def test_whatever_else_stands_there_is_an_entry(line: str) -> None:
    assert entry([line]).text == line
    assert entry([line]).time is None
    entry([line]).as_json()


def test_one_that_says_nothing_of_itself_is_its_text() -> None:
    assert Entry("plain").as_json() == {"message": "plain"}
