"""A log file: read from its end, and followed."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from releve.ctl.logs import file as module
from releve.ctl.logs.file import LogFile, backwards, end_of_lines
from releve.ctl.logs.selection import Selection


def line(number: int, worker: int = 1) -> str:
    return f"2026-11-23 21:{number // 60:02}:{number % 60:02} INFO gen=8 worker={worker} pid=812 {number}\n"


def messages(file: LogFile, wanted: Selection) -> list[str]:
    return [one.message or one.text for one in file.last(wanted)]


@pytest.mark.parametrize("block", [1, 3, 7, 1 << 16])
@pytest.mark.parametrize("data", [b"", b"\n", b"a\n", b"a\n\nbc\n", b"abc\ndef\nunfinished", b"unfinished"])
def test_lines_backwards(monkeypatch: pytest.MonkeyPatch, block: int, data: bytes) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", block)
    file = io.BytesIO(data)
    end = end_of_lines(file)
    assert end == data.rfind(b"\n") + 1
    assert [*backwards(file, end)][::-1] == data[:end].decode().split("\n")


def test_the_last_ones(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(line(n, worker=n % 2) for n in range(100)) + "2026-11-23 21:59:00 INFO pid=1 unfin")
    file = LogFile(str(path), "+0000")
    assert messages(file, Selection(lines=2)) == ["98", "99"]
    assert messages(file, Selection(lines=2, worker=0)) == ["96", "98"]
    assert messages(file, Selection(lines=0)) == []
    since = datetime(2026, 11, 23, 21, 1, 37, tzinfo=UTC)
    assert messages(file, Selection(since=since)) == ["97", "98", "99"]
    assert messages(file, Selection(since=since, lines=1)) == ["99"]
    assert len(messages(file, Selection())) == 100
    file.close()


def test_a_traceback_belongs_to_its_message(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(f"{line(1)}  Traceback:\n\n  ValueError\n{line(2)}")
    assert [one.text for one in LogFile(str(path)).last(Selection())] == [
        f"{line(1)}  Traceback:\n\n  ValueError",
        line(2).rstrip(),
    ]


def test_the_file_before_a_rotation_counts(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(line(3))
    (tmp_path / "log.1").write_text(line(1) + line(2))
    file = LogFile(str(tmp_path / "log"))
    assert messages(file, Selection(lines=2)) == ["2", "3"]
    assert messages(file, Selection()) == ["1", "2", "3"]
    assert messages(file, Selection(lines=1)) == ["3"]


def test_what_is_added_is_followed_over_a_rotation_and_a_truncation(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(line(1) + "2026-11-23 21:00:02 INFO pid=1 un")
    file = LogFile(str(path))

    def news() -> list[str]:
        return [one.message for one in file.news()]

    assert messages(file, Selection()) == ["1"]
    with path.open("a") as writer:
        assert news() == []
        writer.write("finished\n")
        writer.flush()
        assert news() == ["unfinished"]
        path.rename(tmp_path / "log.1")
        assert news() == []
        writer.write(line(3))
        writer.flush()
        path.write_text(line(4))
        assert news() == ["3", "4"]
    os.truncate(path, 0)
    assert news() == []
    path.write_text("")
    with path.open("a") as writer:
        writer.write(line(5).replace("INFO", "WARNING") + "  more\n")
    assert news() == ["5\n  more"]
