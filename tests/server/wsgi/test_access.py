"""The access log is written: by many threads, to a slow reader, to none, to a full disk."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.sink import ENVIRON, TIME, Sink
from releve.server.shared import system
from releve.server.wsgi import access
from releve.server.wsgi.access import AccessLog, stream


def test_when_it_is_time_to_flush() -> None:
    sink = Sink("common")
    assert not sink.pending
    for _ in range(access.FULL_LINES):
        assert not sink.full
        sink.add(ENVIRON, 200, 12, 0.0)
    assert sink.full and sink.pending
    sink.text()
    assert not sink.full and not sink.pending
    sink.add({**ENVIRON, "RAW_URI": "/" * 5000}, 200, 12, 0.0)
    assert sink.full


def test_threads_add_while_one_flushes() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    sink, each = Sink("common"), 3000

    def serve(name: str) -> None:
        for number in range(each):
            sink.add({**ENVIRON, "RAW_URI": f"/{name}/{number}"}, 200, 12, 0.0)

    threads = [threading.Thread(target=serve, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sink.flush()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    sink.flush()
    with open(f"/proc/self/fd/{sink.fd}") as file:
        lines = file.read().splitlines()
    assert len(lines) == 4 * each
    for name in "abcd":
        assert [line.split("/")[4].split(" ")[0] for line in lines if f" /{name}/" in line] == [
            str(number) for number in range(each)
        ]


def wide(log: AccessLog, lines: int, first: int = 0) -> None:
    for number in range(first, first + lines):
        log.add({**ENVIRON, "RAW_URI": f"/{number:08}"}, 200, 12, 0.0)


def numbers(data: bytes) -> list[int]:
    found = []
    for line in data.decode().splitlines():
        match = re.fullmatch(rf'192\.0\.2\.7 - - {TIME} "GET /(\d{{8}}) HTTP/1\.1" 200 12', line)
        assert match, line
        found.append(int(match[1]))
    return found


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_slow_reader_gets_all_and_holds_nobody_up(kind: str) -> None:
    if kind == "pipe":
        reader, writer = os.pipe()
    else:
        reader, writer = (end.detach() for end in socket.socketpair())
    try:
        log = AccessLog(writer, "common")
        wide(log, 5000)
        log.flush()
        assert log.kept and log.pending and os.get_blocking(writer)
        data = b""
        while log.kept:
            data += os.read(reader, 1 << 16)
            log.flush()
        os.close(writer)
        writer = -1
        while more := os.read(reader, 1 << 16):
            data += more
        assert numbers(data) == list(range(5000))
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def test_the_last_lines_wait_for_a_slow_reader_but_not_for_ever() -> None:
    reader, writer = os.pipe()
    got: list[bytes] = []
    try:
        log = AccessLog(writer, "common")
        wide(log, 3000)
        log.flush()
        begun = time.monotonic()
        log.close(0.05)
        assert log.kept and time.monotonic() - begun < 5

        def read() -> None:
            while more := os.read(reader, 1 << 16):
                got.append(more)

        thread = threading.Thread(target=read)
        thread.start()
        log.close(20.0)
        assert not log.pending
        os.close(writer)
        thread.join(20)
        assert numbers(b"".join(got)) == list(range(3000))
    finally:
        os.close(reader)


def test_a_reader_that_never_reads_costs_whole_lines_and_one_complaint(caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = os.pipe()
    try:
        log = AccessLog(writer, "common")
        for round_ in range(20):
            wide(log, 1000, round_ * 1000)
            log.flush()
        assert len(caplog.records) == 1 and "its reader is too slow; lines are dropped" in caplog.text
        assert access.KEPT_MAX_BYTES / 2 < len(log._kept) <= access.KEPT_MAX_BYTES
        data = b""
        while log.kept:
            data += os.read(reader, 1 << 16)
            log.flush()
        os.close(writer)
        while more := os.read(reader, 1 << 16):
            data += more
        kept = numbers(data)
        assert kept == list(range(len(kept))) and 5000 < len(kept) < 20_000
        assert f"{20_000 - len(kept)} lines were lost" in caplog.records[-1].getMessage() and len(caplog.records) == 2
    finally:
        os.close(reader)


def test_a_closed_pipe_and_a_closed_descriptor(caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    log = AccessLog(writer, "common")
    for _ in range(3):
        wide(log, 3)
        log.flush()
        assert log._kept.count(b"\n") == 1  # by which it tries again
    os.close(writer)
    begun = time.monotonic()
    log.close(wait_s=60)  # waiting is for who reads slowly
    assert time.monotonic() - begun < 30
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "cannot write the access log: Broken pipe; lines are dropped" in caplog.text


def test_a_full_disk_in_the_middle_of_a_line(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, room = Sink("common"), [250]

    def write(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        written = os.write(fd, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(system, "write_now", write)
    wide(sink, 10)
    sink.flush()
    wide(sink, 2, 10)
    sink.flush()
    room[0] = 1 << 20
    sink.retry()  # nothing has to be said meanwhile
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]
    wide(sink, 2, 20)
    lines = sink.text().splitlines()
    whole, torn = [*lines[:-4], *lines[-3:]], lines[-4]
    assert numbers("\n".join(whole).encode()) == [*range(len(whole) - 3), 11, 20, 21] and torn not in whole
    assert f"{12 - (len(whole) - 2)} lines were lost" in caplog.text


def test_partial_writes_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink("common")
    monkeypatch.setattr(system, "write_now", lambda fd, data: os.write(fd, data[:7]))
    wide(sink, 100)
    assert numbers(sink.text().encode()) == list(range(100))


def test_workers_share_a_pipe_without_mixing_lines(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    got: list[bytes] = []
    logs = [AccessLog(writer, "common") for _ in range(3)]

    def read() -> None:
        while more := os.read(reader, 777):
            got.append(more)

    def work(log: AccessLog) -> None:
        wide(log, 2000)
        log.close(20.0)

    threads = [threading.Thread(target=read), *(threading.Thread(target=work, args=(log,)) for log in logs)]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join(30)
    os.close(writer)
    threads[0].join(30)
    os.close(reader)
    assert sorted(numbers(b"".join(got))) == sorted(3 * list(range(2000)))


def test_in_the_journal_it_has_a_stream_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where standard output is the journal's, and nobody has asked for plain lines."""
    opened: list[tuple[str, int]] = []

    def open_stream(identifier: str, priority: int) -> int:
        opened.append((identifier, priority))
        return 99

    monkeypatch.setattr("releve.server.wsgi.access.open_stream", open_stream)
    with (tmp_path / "output").open("wb") as output:
        seen = os.fstat(output.fileno())
        journal = {"JOURNAL_STREAM": f"{seen.st_dev}:{seen.st_ino}"}
        assert stream(output.fileno(), "auto", journal) == 99 and opened == [("releve-access", 6)]
        assert stream(output.fileno(), "text", journal) == stream(output.fileno(), "auto", {}) == -1

        def refuse(*_: object) -> int:
            raise FileNotFoundError

        monkeypatch.setattr("releve.server.wsgi.access.open_stream", refuse)
        assert stream(output.fileno(), "auto", journal) == -1


def test_a_stream_that_breaks_is_opened_again_and_else_what_was_given_is_written_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As journald's does when it is started anew without its old streams."""
    opened: list[socket.socket] = []

    def connect() -> int:
        if len(opened) == 2:
            return -1  # journald is not to be reached any more
        reader, writer = socket.socketpair()
        opened.append(reader)
        return writer.detach()

    with (tmp_path / "output").open("wb") as output:
        log = AccessLog(output.fileno(), "common", connect)
        descriptors = len(os.listdir("/proc/self/fd"))
        got: list[int] = []
        for first in range(0, 6, 2):
            wide(log, 2, first)
            log.flush()
            if first < 4:
                got += numbers(opened[-1].recv(65536))
                opened[-1].close()
        assert not log.kept
    assert got == [0, 1, 2, 3] and numbers((tmp_path / "output").read_bytes()) == [4, 5]
    assert len(os.listdir("/proc/self/fd")) == descriptors - 3, "the broken streams, and what was given"
    assert not caplog.records, "nothing was lost"


def test_a_stream_that_breaks_at_once_each_time_is_not_opened_for_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = 0

    def connect() -> int:
        nonlocal opened
        opened += 1
        reader, writer = socket.socketpair()
        reader.close()
        return writer.detach()

    with (tmp_path / "output").open("wb") as output:
        log = AccessLog(output.fileno(), "common", connect)
        wide(log, 3)
        log.flush()
    assert opened == 2 and log.kept and "cannot write the access log: Broken pipe" in caplog.text
