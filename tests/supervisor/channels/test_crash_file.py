"""The crash file: crash by crash, and what was asked for, which is none."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from releve.server.shared.link import ELSEWHERE, WANTS_ALL
from releve.supervisor.channels import crash_file
from releve.supervisor.channels.crash_file import CrashFile

CRASH = """Fatal Python error: {why}

Current thread 0x00007f02 (most recent call first):
  File "/srv/app.py", line 3 in parse_image

"""
STACKS = b"Thread 0x1 (most recent call first):\n"


@pytest.fixture
def file() -> Iterator[CrashFile]:
    one = CrashFile()
    yield one
    one.close()


def write(file: CrashFile, text: str | bytes) -> None:
    os.write(file.fileno(), text if isinstance(text, bytes) else text.encode())


def test_nothing_crashed(file: CrashFile) -> None:
    assert (file.next(), file.last, file.wants_all, file.elsewhere) == ("", "", False, False)


def test_a_crash_of_nobody_does_not_shift_those_to_come(file: CrashFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that no process of ours has ended by is taken for the next one's, and only for that."""
    for why in ("Bus error", "Segmentation fault"):
        os.write(file.fileno(), CRASH.format(why=why).encode())
    assert "Bus error" in file.next()
    monkeypatch.setattr(crash_file, "_UNTOLD_S", 0.0)
    os.write(file.fileno(), CRASH.format(why="Illegal instruction").encode())
    assert "Illegal instruction" in file.next()


def test_what_crashed_before_is_no_evidence_against_what_is_tried_next(file: CrashFile) -> None:
    os.write(file.fileno(), CRASH.format(why="Bus error").encode())
    file.forget()
    assert file.last == "" and "Bus error" in file.next()  # whose end is told later


def test_each_crash_is_told_once_and_of_those_before_us_none(file: CrashFile) -> None:
    for why in ("Segmentation fault", "Bus error"):
        os.write(file.fileno(), CRASH.format(why=why).encode())
    assert [file.next().splitlines()[0] for _ in range(2)] == [
        "Fatal Python error: Segmentation fault",
        "Fatal Python error: Bus error",
    ]
    assert file.next() == "" and "Bus error" in file.last
    adopted = CrashFile(os.dup(file.fileno()))
    assert adopted.next() == "" and "Bus error" in adopted.last


def test_what_was_asked_for_is_no_crash_and_may_be_cut_off_again(file: CrashFile) -> None:
    os.write(file.fileno(), b"Thread 0x1 (most recent call first):\n")
    assert file.next() == ""
    file.take(0)
    os.write(file.fileno(), CRASH.format(why="Bus error").encode())
    assert "Bus error" in file.next()


def test_the_file_stays_small_and_keeps_what_the_application_asked_for(
    file: CrashFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crash_file, "_KEPT_BYTES", 1000)
    os.write(file.fileno(), WANTS_ALL)
    for _ in range(10):
        os.write(file.fileno(), CRASH.format(why="Bus error").encode())
        assert "Bus error" in file.next()
    assert file.written_bytes() < 2000 and file.wants_all and not file.elsewhere
    os.write(file.fileno(), ELSEWHERE)
    assert file.elsewhere
    for _ in range(10):
        os.write(file.fileno(), CRASH.format(why="Bus error").encode())
        file.next()
    assert file.wants_all and file.elsewhere


def test_a_crash_that_is_half_written_when_it_is_looked_at_is_told_whole(file: CrashFile) -> None:
    """faulthandler writes line by line, and somebody else's end may be told meanwhile."""
    whole = CRASH.format(why="Bus error")
    for half in (whole[:30], whole[30:60], whole[60:]):
        write(file, half)
        file.look()
    write(file, CRASH.format(why="Aborted"))
    assert file.next() == whole.rstrip() and "Aborted" in file.last
    assert "Aborted" in file.next() and file.next() == ""


def test_what_was_forgotten_is_not_remembered_when_the_rest_of_it_comes(file: CrashFile) -> None:
    whole = CRASH.format(why="Bus error")
    write(file, whole[:40])
    file.forget()
    write(file, whole[40:])
    file.look()
    assert file.last == "" and file.next() == whole.rstrip()


def test_stacks_that_were_asked_for_are_cut_off_and_a_crash_beside_them_is_not(file: CrashFile) -> None:
    write(file, STACKS)
    assert file.take(0) == STACKS.decode() and file.written_bytes() == 0
    write(file, STACKS + CRASH.format(why="Aborted").encode())
    assert "Aborted" in file.take(0)
    assert file.next().startswith("Fatal Python error: Aborted")


def test_a_crash_goes_on_behind_stacks_that_were_asked_for(file: CrashFile) -> None:
    whole = CRASH.format(why="Bus error")
    write(file, whole[:40])
    begin = file.written_bytes()
    write(file, STACKS)
    write(file, whole[40:])
    file.take(begin)
    assert "parse_image" in file.next()


def test_a_crash_of_nobody_does_not_keep_for_ever_what_is_asked_for(
    file: CrashFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(file, CRASH.format(why="Bus error"))
    file.look()
    begin = file.written_bytes()
    write(file, STACKS)
    monkeypatch.setattr(crash_file, "_UNTOLD_S", 0.0)
    assert file.take(begin) == STACKS.decode() and file.written_bytes() == begin


def test_marks_that_cannot_be_written_again_are_kept(file: CrashFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    write(file, WANTS_ALL + CRASH.format(why="Bus error").encode())
    monkeypatch.setattr(crash_file, "_KEPT_BYTES", 10)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert "Bus error" in file.next()
    assert file.written_bytes() == 0 and file.wants_all and not file.elsewhere


def test_a_closed_one_keeps_what_it_has_read() -> None:
    file = CrashFile()
    write(file, CRASH.format(why="Bus error") + STACKS.decode())
    file.close()
    assert (file.fileno(), file.written_bytes(), file.take(0)) == (-1, 0, "")
    file.look()
    assert "Bus error" in file.last and "Bus error" in file.next()
    file.close()
