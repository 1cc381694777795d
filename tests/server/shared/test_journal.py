"""The native protocol of systemd's journal, against a socket that records what a journald would get."""

from __future__ import annotations

import array
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from releve.server.shared import journal
from releve.server.shared.journal import Journal, encode, leads_there, open_stream


def parse(data: bytes) -> dict[str, str]:
    """The fields of an entry, read as the protocol's page says."""
    found = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + size], rest[8 + size :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        found[name.decode()] = value.decode()
        data = rest
    return found


class Fake:
    """A journald that only keeps what comes."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(10)

    def entry(self) -> dict[str, str]:
        """The next entry, from its datagram or from the file that came with it."""
        data, ancillary, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
        if not ancillary:
            return parse(data)
        assert not data
        (fd,) = array.array("i", ancillary[0][2])
        try:
            with pytest.raises(PermissionError):  # sealed: the sender can change nothing while it is read
                os.write(fd, b"more")
            return parse(os.pread(fd, os.fstat(fd).st_size, 0))
        finally:
            os.close(fd)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    made = Fake(tmp_path / "socket")
    yield made
    made.socket.close()


def test_the_form_of_an_entry() -> None:
    assert encode({"MESSAGE": "ready", "PRIORITY": 6}) == b"MESSAGE=ready\nPRIORITY=6\n"
    assert encode({"MESSAGE": "two\nlines"}) == b"MESSAGE\n" + struct.pack("<Q", 9) + b"two\nlines\n"
    assert parse(encode({"A": "", "B": "=\n=\n", "C": "ü"})) == {"A": "", "B": "=\n=\n", "C": "ü"}
    assert encode({"A": "\udcff"}) == b"A=\\udcff\n"


def test_entries_short_and_long_arrive(fake: Fake) -> None:
    sender = Journal(fake.path)
    long = "x" * 3_000_000 + "\nend"
    assert sender.send({"MESSAGE": "short"}) and sender.send({"MESSAGE": long, "WORKER": 2})
    assert fake.entry() == {"MESSAGE": "short"}
    assert fake.entry() == {"MESSAGE": long, "WORKER": "2"}


def test_a_journald_that_is_not_there_is_said_and_one_that_comes_back_is_found(fake: Fake, tmp_path: Path) -> None:
    sender = Journal(fake.path)
    assert sender.send({"MESSAGE": "one"})
    fake.socket.close()
    assert not sender.send({"MESSAGE": "two"})
    os.unlink(fake.path)
    assert not sender.send({"MESSAGE": "three"})
    again = Fake(Path(fake.path))
    assert sender.send({"MESSAGE": "four"}) and again.entry() == {"MESSAGE": "four"}
    again.socket.close()


def test_a_journald_that_hangs_holds_nobody_up_for_long(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SEND_S", 0.05)
    sender = Journal(fake.path)
    begun = time.monotonic()
    while not sender.lost:
        assert sender.send({"MESSAGE": "x"}) and time.monotonic() - begun < 30
    assert fake.entry() == {"MESSAGE": "x"}  # it wakes up
    assert sender.send({"MESSAGE": "y"}) and sender.lost == 1


def test_a_fork_sends_by_the_same_socket(fake: Fake) -> None:
    sender = Journal(fake.path)
    sender.send({"MESSAGE": "parent"})
    pid = os.fork()
    if not pid:
        os._exit(0 if sender.send({"MESSAGE": "child"}) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert [fake.entry()["MESSAGE"], fake.entry()["MESSAGE"]] == ["parent", "child"]


def test_where_a_descriptor_leads() -> None:
    one, other = os.pipe()
    try:
        found = os.fstat(other)
        environ = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert leads_there(other, environ) and leads_there(one, environ)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, other)
        os.close(null)
        assert not leads_there(other, environ)  # redirected since
        assert (
            not leads_there(other, {})
            and not leads_there(other, {"JOURNAL_STREAM": "nonsense"})
            and not leads_there(-1, environ)
        )
    finally:
        os.close(one)
        os.close(other)


def test_a_stream_says_first_what_its_lines_are_called(tmp_path: Path) -> None:
    address = str(tmp_path / "stdout")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as journald:
        journald.bind(address)
        journald.listen()
        fd = open_stream("releve-access", 6, address)
        try:
            assert not os.get_inheritable(fd) and not os.get_blocking(fd)
            os.write(fd, b"GET /\n")
        finally:
            os.close(fd)
        taken, _ = journald.accept()
        with taken, taken.makefile("rb") as lines:
            assert lines.read().split(b"\n") == [b"releve-access", b"", b"6", b"0", b"0", b"0", b"0", b"GET /", b""]
    with pytest.raises(OSError):
        open_stream("releve-access", 6, str(tmp_path / "nobody"))
