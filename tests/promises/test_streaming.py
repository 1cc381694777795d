"""Promise: bodies of any size pass through, both ways, as they come, in flat memory, and whole across an upgrade."""

from __future__ import annotations

import hashlib
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.service import Service, eventually, serving

MIB = 1 << 20
PART = 1 * MIB
GROWTH_MAX = 8 * MIB
BUFFERS_MAX = 40 * MIB  # of the kernel, on both sides of a connection, and ours
SIZES = [64 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.soak)]

APP = """
import hashlib, os, struct, time
from urllib.parse import parse_qs

BLOCK = hashlib.shake_256(b"block").digest(65536 - 8)


def wait_for(path):
    until = time.monotonic() + 60
    while not os.path.exists(path) and time.monotonic() < until:
        time.sleep(0.01)


def blocks(total, note=None):
    for number in range(total // 65536):
        if note is not None:
            note.seek(0)
            note.write(b"%12d" % (number * 65536))
            note.flush()
        yield struct.pack("!Q", number) + BLOCK


def events(path):
    yield b"data: first\\n\\n"
    wait_for(path)
    yield b"data: second\\n\\n"


def halves(source):
    yield b"got %d" % len(source.read(1000))
    yield b", got %d" % len(source.read())


def application(environ, start_response):
    asked = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    route, source = environ["PATH_INFO"], environ["wsgi.input"]
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    if route == "/upload":
        if "after" in asked:
            wait_for(asked["after"])
        digest = hashlib.sha256()
        while piece := source.read(65536):
            digest.update(piece)
        return [digest.hexdigest().encode()]
    if route == "/download":
        note = open(asked["note"], "wb") if "note" in asked else None
        return blocks(int(asked["bytes"]), note)
    if route == "/file":
        return environ["wsgi.file_wrapper"](open(asked["path"], "rb"))
    if route == "/events":
        return events(asked["after"])
    if route == "/halves":
        return halves(source)
    return [b"ok"]
"""
BLOCK = hashlib.shake_256(b"block").digest(65536 - 8)


def blocks(total: int) -> Iterator[bytes]:
    """The same as in the application."""
    for number in range(total // 65536):
        yield struct.pack("!Q", number) + BLOCK


def digest_of(total: int) -> str:
    digest = hashlib.sha256()
    for block in blocks(total):
        digest.update(block)
    return digest.hexdigest()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path, start=False, app="streams:application", workers=1) as made:
        made.release("one", streams=APP)
        made.start()
        yield made


def connect(service: Service, receive_bytes: int = 0) -> socket.socket:
    sock = socket.socket()
    sock.settimeout(60)
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.connect(("127.0.0.1", service.port))
    return sock


def ask(sock: socket.socket, target: str, more: str = "") -> None:
    sock.sendall(
        f"{'POST' if more else 'GET'} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n".encode()
    )


class Chunks:
    """The body of a chunked response, as it comes."""

    def __init__(self, sock: socket.socket) -> None:
        self._file = sock.makefile("rb")
        assert self._file.readline().startswith(b"HTTP/1.1 200 ")
        headers = list(iter(self._file.readline, b"\r\n"))
        assert b"Transfer-Encoding: chunked\r\n" in headers, headers

    def __iter__(self) -> Iterator[bytes]:
        while size := int(self._file.readline(), 16):
            yield self._file.read(size)
            assert self._file.read(2) == b"\r\n"
        assert self._file.readline() == b"\r\n"
        assert self._file.read() == b""


class Memory:
    """How much more the workers came to need at any moment (VmHWM), in bytes."""

    def __init__(self, service: Service) -> None:
        self._pids = service.workers()
        for pid in self._pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # forget the peak: proc(5)
        self._before = {pid: self._peak(pid) for pid in self._pids}

    def growth(self) -> int:
        return max(self._peak(pid) - self._before[pid] for pid in self._pids)

    @staticmethod
    def _peak(pid: int) -> int:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")


def warm(service: Service) -> None:
    """What a first request of a kind loads is not what a large one needs."""
    for target, more, body in (
        ("/download?bytes=262144", "", b""),
        ("/upload", "Content-Length: 262144\r\n", bytes(262144)),
    ):
        with connect(service) as sock:
            ask(sock, target, more)
            sock.sendall(body)
            while sock.recv(PART):
                pass


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upload(service: Service, size: int, chunked: bool) -> None:
    warm(service)
    memory = Memory(service)
    first = service.serving()
    with connect(service) as sock:
        ask(sock, "/upload", "Transfer-Encoding: chunked\r\n" if chunked else f"Content-Length: {size}\r\n")
        for number, block in enumerate(blocks(size)):
            if number == size // 65536 // 4:
                service.do("upgrade")
            sock.sendall(b"10000\r\n%s\r\n" % block if chunked else block)
        if chunked:
            sock.sendall(b"0\r\n\r\n")
        assert memory.growth() < GROWTH_MAX
        answer = sock.makefile("rb").read()
    assert digest_of(size).encode() in answer
    assert service.serving() != first


@pytest.mark.parametrize("size", SIZES)
def test_a_download_to_a_slow_reader(service: Service, size: int) -> None:
    warm(service)
    memory = Memory(service)
    first = service.serving()
    digest = hashlib.sha256()
    with connect(service) as sock:
        ask(sock, f"/download?bytes={size}")
        for number, piece in enumerate(Chunks(sock)):
            digest.update(piece)
            if number == size // 65536 // 4:
                service.do("upgrade")  # it reads nothing for so long
                assert memory.growth() < GROWTH_MAX
    assert digest.hexdigest() == digest_of(size)
    assert service.serving() != first


@pytest.mark.parametrize("size", SIZES)
def test_a_file(service: Service, tmp_path: Path, size: int) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        for block in blocks(8 * MIB):
            file.write(block)
        file.truncate(size)  # the rest has no blocks on the disk
    warm(service)
    memory = Memory(service)
    digest = hashlib.sha256()
    left = size
    with connect(service) as sock:
        ask(sock, f"/file?path={path}")
        received = sock.makefile("rb")
        headers = list(iter(received.readline, b"\r\n"))
        assert f"Content-Length: {size}\r\n".encode() in headers, headers
        while piece := received.read(min(PART, left)):
            digest.update(piece)
            left -= len(piece)
            if left == size // 2:
                assert memory.growth() < GROWTH_MAX
                service.do("upgrade")
    assert left == 0
    expected = hashlib.sha256()
    for block in blocks(8 * MIB):
        expected.update(block)
    for _ in range((size - 8 * MIB) // PART):
        expected.update(bytes(PART))
    assert digest.digest() == expected.digest()


def test_an_event_stream_goes_on_across_an_upgrade(service: Service, tmp_path: Path) -> None:
    first = service.serving()
    with connect(service) as sock:
        ask(sock, f"/events?after={tmp_path}/go")
        events = iter(Chunks(sock))
        assert next(events) == b"data: first\n\n", "it came at once: the second one is not there yet"
        service.do("upgrade")
        assert service.serving() != first
        (tmp_path / "go").touch()
        assert list(events) == [b"data: second\n\n"]


def test_a_body_reaches_the_application_while_it_is_sent(service: Service) -> None:
    with connect(service) as sock:
        ask(sock, "/halves", "Content-Length: 3000\r\n")
        sock.sendall(b"x" * 1000)
        pieces = iter(Chunks(sock))
        assert next(pieces) == b"got 1000"
        service.do("upgrade")
        sock.sendall(b"x" * 2000)
        assert list(pieces) == [b", got 2000"]


def test_who_does_not_read_is_not_sent_more(service: Service, tmp_path: Path) -> None:
    """An application that reads nothing stops its client after what the kernel keeps; then it gets all."""
    size = 256 * MIB
    memory = Memory(service)
    with connect(service) as sock:
        ask(sock, f"/upload?after={tmp_path}/go", f"Content-Length: {size}\r\n")
        body = memoryview(b"".join(blocks(size)))
        sent = 0
        sock.setblocking(False)
        while select.select([], [sock], [], 1.0)[1]:
            sent += sock.send(body[sent : sent + PART])
            assert sent < BUFFERS_MAX, "nobody holds it back"
        assert memory.growth() < GROWTH_MAX
        (tmp_path / "go").touch()
        sock.settimeout(60)
        sock.sendall(body[sent:])
        assert digest_of(size).encode() in sock.makefile("rb").read()


def test_a_client_that_does_not_read_stops_the_application(service: Service, tmp_path: Path) -> None:
    size = 256 * MIB
    note = tmp_path / "note"
    memory = Memory(service)

    def made() -> int:
        return int(note.read_bytes() or b"0") if note.exists() else -1

    with connect(service) as sock:
        ask(sock, f"/download?bytes={size}&note={note}")
        eventually(lambda: made() > 0, "it begins")
        last = -1
        while made() != last:
            last = made()
            assert last < BUFFERS_MAX, "nobody holds it back"
            select.select([], [], [], 1.0)  # silence is what is tested
        assert memory.growth() < GROWTH_MAX
        digest = hashlib.sha256()
        for piece in Chunks(sock):
            digest.update(piece)
    assert digest.hexdigest() == digest_of(size)
