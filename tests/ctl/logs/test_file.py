"""A log file: read from its end, and followed."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from releve.ctl.logs import file as module
from releve.ctl.logs.file import LONGEST_BYTES, NO_FURTHER, TOO_LONG, LogFile, backwards, end_of_lines
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


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_line_without_end_is_not_read(tmp_path: Path, end: str) -> None:
    path = tmp_path / "log"
    path.write_text(line(1))
    os.truncate(path, 1 << 40)  # sparse: a terabyte of zeros
    with path.open("a") as writer:
        writer.write(end)
    assert messages(LogFile(str(path)), Selection(lines=5)) == [NO_FURTHER]
    with path.open("a") as writer:
        writer.write((end or "\n") + line(2))
    assert [one.rstrip() for one in messages(LogFile(str(path)), Selection(lines=5))] == [NO_FURTHER, "2"]


def test_an_entry_of_endless_lines_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(line(1) + (" " * 99 + "\n") * (LONGEST_BYTES // 25))
    file = LogFile(str(path))
    read = [one.text for one in file.last(Selection())]
    followed = [one.text for one in LogFile(str(path)).news()]
    for found in (read, followed):
        assert len(found) > 1 and max(map(len, found)) <= LONGEST_BYTES + 100
        assert "\n".join(found) + "\n" == path.read_text()


def test_a_line_that_grows_is_read_once_and_left_out_when_it_is_too_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_text("")
    file = LogFile(str(path))
    monkeypatch.setattr(module, "LONGEST_BYTES", 10)
    with path.open("a") as writer:
        for part, news in [
            ("12345678", []),
            ("9\n", ["123456789"]),
            ("12345678", []),
            ("9abc", [TOO_LONG]),
            ("more of it", []),
            ("its end\nwhole\nbeg", ["whole"]),
            ("un\n", ["begun"]),
        ]:
            writer.write(part)
            writer.flush()
            assert [one.text for one in file.news()] == news, part


def test_a_link_leads_to_no_file_of_another_user(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "log").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic link"):
        LogFile(str(folder / "log"))
    (folder / "log").unlink()
    (folder / "log").write_text(line(1))
    (folder / "log.1").symlink_to("/etc/passwd")
    file = LogFile(str(folder / "log"))
    assert messages(file, Selection()) == ["1"]
    (folder / "log").unlink()
    (folder / "log").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic link"):
        list(file.news())


def test_a_link_leads_to_a_file_of_whoever_made_it(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "1").mkdir()
    (folder / "1" / "log").write_text(line(1))
    (folder / "current").symlink_to("1")
    if os.geteuid() == 0:  # the release folders of an application, read by root
        for made in (folder, folder / "current", folder / "1", folder / "1" / "log"):
            os.lchown(made, 65534, 65534)
    assert messages(LogFile(str(folder / "current" / "log")), Selection()) == ["1"]


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a file"):
        LogFile(str(tmp_path / "fifo"))
    (tmp_path / "log").write_text(line(1))
    os.mkfifo(tmp_path / "log.1")
    assert messages(LogFile(str(tmp_path / "log")), Selection()) == ["1"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_the_file_before_a_rotation_is_of_the_same_user(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(line(2))
    (tmp_path / "log.1").write_text(line(1))
    os.chown(tmp_path / "log", 65534, 65534)
    assert messages(LogFile(str(tmp_path / "log")), Selection()) == ["2"]
    os.chown(tmp_path / "log.1", 65534, 65534)
    assert messages(LogFile(str(tmp_path / "log")), Selection()) == ["1", "2"]


def test_a_file_that_vanishes_before_it_is_opened_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_text("")
    file = LogFile(str(path))
    path.rename(tmp_path / "log.1")
    path.write_text(line(1))
    opened = module._open

    def vanished(at: str) -> object:
        raise FileNotFoundError(at)

    monkeypatch.setattr(module, "_open", vanished)
    assert list(file.news()) == []
    monkeypatch.setattr(module, "_open", opened)
    assert [one.message for one in file.news()] == ["1"]
