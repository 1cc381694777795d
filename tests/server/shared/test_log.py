"""The forms of a log line, and where lines go when their reader is slow, gone or back again."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from releve.config.settings.log import Log
from releve.server.shared import log as logs
from releve.server.shared.journal import Journal
from releve.server.shared.log import Entry, Handler, Sink, Who
from releve.server.shared.lost_lines import Lost

NOON = 1_790_000_000.25
ENTRY = Entry("error", "gen=8 worker=2 pid=812", "it\nfailed", "worker", "/srv/42", "Traceback\n  x", created=NOON)
PRINTED = Entry("info", "gen=8 pid=811", "hello", "master", "/srv/42", stream="stdout", created=NOON)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with_suppressed_close(end)


def with_suppressed_close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass


def test_text() -> None:
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(NOON))
    assert logs.text(ENTRY).decode() == f"{clock} ERROR gen=8 worker=2 pid=812 it\\nfailed\n  Traceback\n    x\n"
    assert logs.text(PRINTED).decode() == f"{clock} STDOUT gen=8 pid=811 hello\n"


FORGED = "2026-11-23 21:38:31 INFO pid=1 all is well"
HOSTILE = f"no\n{FORGED}\r{FORGED}\x1b[2J\x1b]0;title\x07\x9b2J\x85{FORGED}\u2028{FORGED}\u202etxt.exe\udcff\x00"


@pytest.mark.parametrize("form", [logs.text, logs.prioritized, logs.as_json], ids=["text", "prioritized", "json"])
def test_no_text_of_an_exception_does_more_than_show_itself(form: Callable[[Entry], bytes]) -> None:
    entry = Entry(
        "error", "gen=8 pid=811", HOSTILE, trace=f"Traceback (most recent call last):\n  File x\nValueError: {HOSTILE}"
    )
    written = form(entry).decode()
    assert not [mark for mark in "\r\x1b\x07\x9b\x85\u2028\u202e\x00" if mark in written]
    lines = written.removesuffix("\n").split("\n")
    assert not [line for line in lines if line.removeprefix("<3>").startswith(FORGED)]
    assert lines[0].count(FORGED) == (8 if form is logs.as_json else 4)
    if form is not logs.as_json:  # the lines of a traceback stay lines, and none of them looks like an entry
        below = [line.removeprefix("<3>") for line in lines[1:]]
        assert below[:3] == ["  Traceback (most recent call last):", "    File x", "  ValueError: no"]
        assert all(line.startswith("  ") for line in below)


def test_a_line_that_nobody_would_read_to_its_end_is_cut() -> None:
    written = logs.text(Entry("error", "pid=1", "x" * 1_000_000, trace="y" * 1_000_000 + "\nthe end")).decode()
    assert len(written) < 100_000 and "characters)" in written and written.endswith("the end\n")


def test_the_journal_gets_the_same_text() -> None:
    message = str(logs.fields(Entry("error", "pid=1", HOSTILE))["MESSAGE"])
    assert "\x1b" not in message and "\\x1b[2J" in message


def test_json() -> None:
    line = logs.as_json(ENTRY)
    assert line.isascii() and line.count(b"\n") == 1
    said = json.loads(line)
    assert said.pop("time").startswith(time.strftime("%Y-%m-%dT%H:%M:%S.250", time.localtime(NOON)))
    assert said == {
        "level": "error",
        "process": "worker",
        "generation": 8,
        "worker": 2,
        "pid": 812,
        "release": "/srv/42",
        "message": "it\nfailed",
        "exception": "Traceback\n  x",
    }
    assert json.loads(logs.as_json(PRINTED))["stream"] == "stdout" and "worker" not in json.loads(logs.as_json(PRINTED))


def test_priorities_for_a_stream_to_the_journal() -> None:
    assert logs.prioritized(ENTRY) == b"<3>gen=8 worker=2 pid=812 it\\nfailed\n<3>  Traceback\n<3>    x\n"
    assert logs.prioritized(PRINTED) == b"<6>gen=8 pid=811 hello\n"


def test_fields_of_the_journal() -> None:
    assert logs.fields(ENTRY) == {
        "MESSAGE": "gen=8 worker=2 it\nfailed\n  Traceback\n    x",
        "PRIORITY": 3,
        "SYSLOG_IDENTIFIER": "releve",
        "PROCESS": "worker",
        "GENERATION": "8",
        "WORKER": "2",
        "RELEASE": "/srv/42",
    }
    assert logs.fields(PRINTED)["MESSAGE"] == "hello" and logs.fields(PRINTED)["STREAM"] == "stdout"


def stream_of(fd: int) -> dict[str, str]:
    return {"JOURNAL_STREAM": f"{os.fstat(fd).st_dev}:{os.fstat(fd).st_ino}"}


def test_the_journal_is_spoken_to_if_that_is_where_it_goes_and_prefixed_if_it_cannot_be_reached(
    pipe: tuple[int, int], tmp_path: Path
) -> None:
    reader, writer = pipe
    sent: list[object] = []

    class Reached(Journal):
        def send(self, fields: object) -> bool:
            sent.append(fields)
            return True

    Sink(writer, "auto", stream_of(writer), Reached()).write(ENTRY, PRINTED)
    assert sent == [logs.fields(ENTRY), logs.fields(PRINTED)]
    Sink(writer, "auto", stream_of(writer), Journal(str(tmp_path / "none"))).write(ENTRY)
    assert os.read(reader, 4096) == logs.prioritized(ENTRY)
    Sink(writer, "text", stream_of(writer)).write(ENTRY)
    Sink(writer, "auto", {}).write(ENTRY)
    assert os.read(reader, 4096) == 2 * logs.text(ENTRY)
    Sink(writer, "json", stream_of(writer)).write(ENTRY)
    assert os.read(reader, 4096) == logs.as_json(ENTRY)
    Sink(writer, "of a newer release", {}).write(ENTRY)
    assert os.read(reader, 4096) == logs.text(ENTRY)


def test_a_reader_that_does_not_read_costs_lines_and_a_second_and_is_told_how_many(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "SLOW_S", 0.05)
    reader, writer = pipe
    sink, written = Sink(writer, "text", {}), 0
    while not sink._lost:
        sink.put(b"%07d\n" % written * 64)
        written += 1
    begun = time.monotonic()
    for _ in range(1000):
        sink.put(b"never\n")
    assert time.monotonic() - begun < 20  # 1,000 times the wait would be 50 s
    lost = sink._lost
    assert lost >= 1000
    got = os.read(reader, 1 << 20)
    sink.put(b"again\n")
    got += os.read(reader, 1 << 20)
    lines = got.splitlines()
    assert lines[-1] == b"again" and f" {lost} lines were lost".encode() in lines[-2]
    assert all(len(line) == 7 for line in lines[:-2])


def test_what_was_lost_is_told_once_it_can_be_though_nothing_is_to_be_said(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "SLOW_S", 0.05)
    reader, writer = pipe
    sink, told = Sink(writer, "text", {}), Lost()
    monkeypatch.setattr(logs, "lost", told)
    seen: list[int] = []
    told.tell(seen.append)
    while not sink._lost:
        sink.put(b"%07d\n" % 0 * 64)
    for _ in range(3):
        told.retry()
    assert told.some and seen[-1] == told.lines == sink._lost
    os.read(reader, 1 << 20)
    lost = sink._lost
    told.retry()
    got = os.read(reader, 1 << 20)
    assert got.endswith(b"%d lines were lost: the log could not be written\n" % lost)
    assert (told.some, told.lines, seen[-1]) == (False, 0, 0)
    told.retry()
    sink.put(b"again\n")
    assert os.read(reader, 1 << 20) == b"again\n"


def test_what_was_lost_before_a_fork_is_the_parents() -> None:
    told, sink = Lost(), Sink(2, "text", {})
    told.note(sink, 5)
    seen: list[int] = []
    told.tell(seen.append)
    assert (seen, told.lines, told.some) == ([0], 0, False)
    told.note(sink, 6)  # it has its own copy, which goes on
    assert (seen, told.lines) == ([0, 6], 6)
    del sink  # another has taken its place
    told.retry()
    assert (seen[-1], told.some) == (0, False)


def test_a_reader_that_has_gone_costs_nothing_but_lines(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    sink = Sink(writer, "text", {})
    sink.write(ENTRY)
    os.close(writer)
    sink.write(ENTRY)


def test_processes_and_threads_do_not_tear_the_lines_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    sink = Sink(fd, "text", {})

    def write() -> None:
        for number in range(200):
            sink.write(Entry("info", f"pid={os.getpid()}", f"{number:05} " + "x" * (number * 60)))

    children = []
    for _ in range(3):
        pid = os.fork()
        if not pid:
            try:
                write()
            finally:
                os._exit(0)
        children.append(pid)
    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
    os.close(fd)
    lines = path.read_text().splitlines()
    assert len(lines) == 6 * 200
    for line in lines:
        number, _, rest = line.partition(" pid=")[2].partition(" ")[2].partition(" ")
        assert rest == "x" * (int(number) * 60)


def test_a_record_with_a_traceback_a_stack_or_wrong_arguments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    logger = logging.Logger("releve.worker")
    logger.addHandler(Handler(Sink(fd, "json", {}), lambda record: Who(8, 2).tag(), "/srv/42"))
    try:
        raise ValueError("boom")
    except ValueError:
        logger.exception("it failed")
    logger.error("here", stack_info=True)
    logger.error("%d", "no number")
    os.close(fd)
    first, second = map(json.loads, path.read_text().splitlines())
    assert (
        first["exception"].endswith("ValueError: boom") and first["pid"] == os.getpid() and first["process"] == "worker"
    )
    assert second["exception"].startswith("Stack (most recent call last)")
    assert "Logging error" in capsys.readouterr().err


def test_the_level_of_a_newer_release_counts_as_info() -> None:
    logger, before = logging.getLogger("releve"), logging.getLogger("releve").handlers[:]
    propagate, level = logger.propagate, logger.level
    try:
        logs.setup(Log(level="loud"), Who(1))
        assert logger.level == logging.INFO
    finally:
        logger.handlers[:], logger.propagate = before, propagate
        logger.setLevel(level)
