"""Bodies that are kept in files: read in their order, in the folder that was told, within the limit."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from releve.config.settings.limits import Limits
from releve.config.settings.settings import Settings
from releve.server.http.body import Input
from releve.server.http.head import parse_head
from releve.server.http.spool import Spool, Spools, spool_directory
from releve.server.loop.socket_channel import SocketChannel
from releve.server.shared import native


@pytest.mark.parametrize("how", ["read", "pieces", "lines"])
@pytest.mark.parametrize(("spilled", "tail"), [(70_000, 0), (70_000, 10), (1, 3000), (200_000, 99_999)])
def test_a_body_is_read_from_file_memory_and_client_in_its_order(
    how: str, spilled: int, tail: int, tmp_path: Path
) -> None:
    lines = b"".join(b"%d\n" % number for number in range(60_000))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        head = parse_head(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(lines), Limits())
        body = Input(SocketChannel(ours, Settings().timeouts), head, lines[:1], Limits())
        body.take(lines[1:spilled])
        spool = Spool(str(tmp_path))
        body.spill(spool)
        body.take(lines[spilled : spilled + tail])
        body.rewind()
        theirs.setblocking(False)
        sent = theirs.send(lines[spilled + tail : spilled + tail + 40_000])
        rest = lines[spilled + tail + sent :]
        got = b"".join(_read(body, how, spilled + tail + sent))
        assert got == lines[: spilled + tail + sent]
        assert not body.finished
        theirs.close()
        if rest:
            with pytest.raises(ConnectionError):
                body.read()


def _read(body: Input, how: str, count: int) -> Iterator[bytes]:
    while count:
        data = (
            body.read(count)
            if how == "read"
            else body.read(min(count, 1000))
            if how == "pieces"
            else body.readline(count)
        )
        count -= len(data)
        yield data


def test_where_the_files_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert spool_directory("/srv/spool") == "/srv/spool"
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert spool_directory(None) == str(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    assert spool_directory(None) == "/var/tmp"


def test_the_files_of_a_worker_hold_no_more_than_the_limit(tmp_path: Path) -> None:
    spools = Spools(str(tmp_path), 100)
    assert spools.take(60)
    assert not spools.take(41)
    assert spools.take(40)
    spools.release(60)
    assert spools.take(60)


def test_on_a_file_system_without_unnamed_files_the_name_is_taken_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened = native.os.open
    modes: list[int] = []

    def open_(path: str, flags: int, mode: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        fd: int = opened(path, flags, mode)
        modes.append(stat.S_IMODE(os.fstat(fd).st_mode))
        return fd

    monkeypatch.setattr(native.os, "open", open_)
    one, other = Spool(str(tmp_path)), Spool(str(tmp_path))
    one.write(b"one")
    other.write(b"other")
    assert (one.read(10), other.read(10), modes, os.listdir(tmp_path)) == (b"one", b"other", [0o600, 0o600], [])
