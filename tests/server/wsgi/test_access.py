"""The access log: what a line says, what it cannot be made to say, and what writing it survives."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import socket
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releve.server.shared import system
from releve.server.wsgi import access
from releve.server.wsgi.access import AccessLog
from releve.server.wsgi.access_line import COMBINED, COMMON, clock, iso_clock

ENVIRON = {
    "REMOTE_ADDR": "192.0.2.7",
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/a%20b?x=1",
    "PATH_INFO": "/a b",
    "QUERY_STRING": "x=1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_REFERER": "https://www.example.org/",
    "HTTP_USER_AGENT": "curl/8.0 (x86_64)",
    "HTTP_X_REQUEST_ID": "abc-1",
    "CONTENT_TYPE": "text/plain",
    "wsgi.url_scheme": "http",
}
TIME = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"


class Sink(AccessLog):
    """An access log into a file that the test reads."""

    def __init__(self, format_: str) -> None:
        self.fd = os.memfd_create("access")
        weakref.finalize(self, os.close, self.fd)
        super().__init__(self.fd, format_)

    def text(self) -> str:
        self.flush()
        text = os.pread(self.fd, 1 << 20, 0).decode()
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)
        return text

    def line(
        self,
        environ: dict[str, Any],
        status: int = 200,
        sent: int = 12,
        duration_s: float = 1.234567,
        headers: Any = (),
    ) -> str:
        self.add(environ, status, sent, duration_s, headers)
        text = self.text()
        assert text.endswith("\n") and text.count("\n") == 1
        return text[:-1]


def basic(user: bytes) -> str:
    return "Basic " + base64.b64encode(user).decode()


# What a line says


def test_the_presets() -> None:
    assert re.fullmatch(rf'192\.0\.2\.7 - - {TIME} "GET /a%20b\?x=1 HTTP/1\.1" 200 12', Sink("common").line(ENVIRON))
    combined = Sink("combined").line(ENVIRON, 304, 0)
    assert re.fullmatch(
        rf'192\.0\.2\.7 - - {TIME} "GET .* HTTP/1\.1" 304 - "https://www.example.org/" "curl/8\.0 \(x86_64\)"', combined
    )
    record = json.loads(Sink("json").line(ENVIRON))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", record.pop("time"))
    assert record == {
        "remote": "192.0.2.7",
        "user": None,
        "method": "GET",
        "target": "/a%20b?x=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 12,
        "duration_s": 1.234567,
        "referer": "https://www.example.org/",
        "agent": "curl/8.0 (x86_64)",
        "id": "abc-1",
        "pid": os.getpid(),
    }


VALUES = st.text(
    st.characters(max_codepoint=0xFF, exclude_categories=["Cc", "Zs", "Cf"]) | st.sampled_from(' "\\'), max_size=8
)


@pytest.mark.parametrize("preset", ["common", "combined"])
@given(st.lists(st.tuples(VALUES, VALUES, VALUES, st.booleans(), st.integers(0, 2)), max_size=5))
def test_the_short_way_makes_the_same_lines(preset: str, requests: list[tuple[str, str, str, bool, int]]) -> None:
    """Whatever is mixed in one batch, and whatever has to be escaped."""
    one, other = Sink(preset), Sink(preset)
    for target, referer, agent, short, sent in requests:
        environ = ENVIRON | {"RAW_URI": "/" + target, "HTTP_REFERER": referer, "HTTP_USER_AGENT": agent}
        one.add(environ, 200, sent, 0.0)
        if short:
            other.usual(environ["REMOTE_ADDR"], environ["REQUEST_METHOD"], "/" + target, 200, sent, referer, agent)
        else:
            other.add(environ, 200, sent, 0.0)
    one_text, other_text = one.text(), other.text()
    assert re.sub(TIME, "", one_text) == re.sub(TIME, "", other_text) and one_text.count("\n") == len(requests)


def test_the_path_is_the_one_that_was_asked_for_also_of_a_mounted_application() -> None:
    sink = Sink("%(U)s")
    sink.add(ENVIRON | {"RAW_URI": "/api/x?y", "SCRIPT_NAME": "/api", "PATH_INFO": "/x"}, 200, 0, 0.0)
    assert sink.text() == "/api/x\n"


@pytest.mark.parametrize(
    ("atom", "shows"),
    [
        ("%(h)s", "192.0.2.7"),
        ("%(l)s", "-"),
        ("%(u)s", "-"),
        ("%(r)s", "GET /a%20b?x=1 HTTP/1.1"),
        ("%(m)s", "GET"),
        ("%(U)s", "/a\\x20b"),
        ('"%(U)s"', '"/a b"'),
        ("%(q)s", "x=1"),
        ("%(H)s", "HTTP/1.1"),
        ("%(s)s", "200"),
        ("%(B)s", "0"),
        ("%(b)s", "-"),
        ("%(f)s", "https://www.example.org/"),
        ('"%(a)s"', '"curl/8.0 (x86_64)"'),
        ("%(T)s", "1"),
        ("%(D)s", "1234567"),
        ("%(M)s", "1234"),
        ("%(L)s", "1.234567"),
        ("%(p)s", "<PID>"),
        ("%(id)s", "abc-1"),
        ("%({X-Request-Id}i)s", "abc-1"),
        ("%({content-type}i)s", "text/plain"),
        ("%({missing}i)s", "-"),
        ("%({Vary}o)s", "a,\\x20b"),
        ("%({wsgi.url_scheme}e)s", "http"),
        ("%(newer)s", "-"),
        ("100%% %(s)s%%", "100% 200%"),
    ],
)
def test_the_atoms(atom: str, shows: str) -> None:
    assert Sink(atom).line(ENVIRON, sent=0, headers=[("vary", "a"), ("VARY", "b"), ("x", "c")]) == shows.replace(
        "PID", str(os.getpid())
    )


@pytest.mark.parametrize(
    ("authorization", "user"),
    [
        (basic(b"ann:secret"), "ann"),
        (basic(b"ann:secret").lower().replace("basic", "BASIC"), None),
        (basic(b'a b"\n:secret'), "a\\x20b\\x22\\x0a"),
        (basic(b"ann"), "-"),
        (basic(b":secret"), "-"),
        ("Basic !!!", "-"),
        ("Basic", "-"),
        ("Bearer YW5uOnNlY3JldA==", "-"),
        (7, "-"),
    ],
)
def test_the_user_but_never_the_password(authorization: Any, user: str | None) -> None:
    line = Sink("combined").line({**ENVIRON, "HTTP_AUTHORIZATION": authorization})
    assert "secret" not in line
    if user is not None:
        assert line.startswith(f"192.0.2.7 - {user} [")


def test_the_time_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        for zone, text, iso in (
            ("UTC", "+0000", "+00:00"),
            ("XXX+3:30", "-0330", "-03:30"),
            ("XXX-5:45", "+0545", "+05:45"),
        ):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            moment = time.localtime(1_800_000_000)
            assert re.fullmatch(TIME, clock(moment)) and clock(moment).endswith(f"{text}]")
            assert iso_clock(moment).endswith(iso)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_request_that_never_got_an_environ() -> None:
    for format_ in ("common", "combined", "json"):
        sink = Sink(format_)
        sink.refuse("[2001:db8::1]:4711", 400, 9, request_line='GET / "\r\n')
        line = sink.text()
        assert "2001:db8::1" in line and "400" in line and line.count("\n") == 1
    sink = Sink("common")
    sink.refuse("", 408)
    assert re.fullmatch(rf'- - - {TIME} "-" 408 -\n', sink.text())


# What it cannot be made to say

TEXTS = st.text(st.one_of(st.characters(), st.sampled_from('\r\n\t"\\ \x00\x1b\x7f\x85\xff\u2028\ud800'))) | st.text(
    'ab/"\\ ', max_size=8
)
GIVEN = [
    "REMOTE_ADDR",
    "REQUEST_METHOD",
    "RAW_URI",
    "SERVER_PROTOCOL",
    "HTTP_REFERER",
    "HTTP_USER_AGENT",
    "HTTP_X_REQUEST_ID",
    "PATH_INFO",
]
COMBINED_LINE = re.compile(rf'[!#-~]+ - [!#-~]+ {TIME} "[^"]*" 200 12 "[^"]*" "[^"]*"')
SINKS = {
    name: Sink(name)
    for name in ("common", "combined", "json", '%(h)s %(id)s %(U)s "%(r)s" %({x}o)s %({HTTP_REFERER}e)s')
}


class Rude:
    """What an application may put into its environ."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    def __format__(self, spec: str) -> str:
        return '"\n'


@given(st.dictionaries(st.sampled_from(GIVEN), TEXTS | st.sampled_from([None, 7, b"x", Rude()])), TEXTS)
def test_no_value_ends_a_line_or_leaves_its_field(given_: dict[str, Any], header: str) -> None:
    environ = {**ENVIRON, **given_}
    for name, sink in SINKS.items():
        line = sink.line(environ, headers=[("x", header)])
        assert line.isascii() and (name == "json" or line.isprintable())
        if name == "combined":
            assert COMBINED_LINE.fullmatch(line)
        elif name == "json":
            assert not any(ord(character) < 32 for character in line)
            record = json.loads(line)
            if isinstance(environ["HTTP_REFERER"], str):
                assert json.dumps(record["referer"]) == json.dumps(environ["HTTP_REFERER"])
        elif name != "common":
            assert re.fullmatch(r'[!#-~]+ [!#-~]* [!#-~]* "[^"]*" [!#-~]+ [!#-~]*', line)


@pytest.mark.parametrize("character", [*map(chr, range(32)), '"', "\\", "\x7f", "\x85", "\xa0", "\u2028"])
def test_one_odd_character_in_one_field(character: str) -> None:
    for name in GIVEN[:6]:
        line = Sink("combined").line({**ENVIRON, name: f"a{character}b"})
        assert COMBINED_LINE.fullmatch(line) and "a\\x" in line


@given(st.dictionaries(st.sampled_from(GIVEN), TEXTS), st.sampled_from([COMMON, COMBINED]))
def test_the_short_way_writes_what_the_long_way_writes(given_: dict[str, Any], format_: str) -> None:
    environ = {**ENVIRON, **given_}
    short, long = Sink(format_), Sink(format_ + "%(s)s")
    # else a second may end between the two
    with mock.patch("releve.server.wsgi.access.time.time", return_value=1_700_000_000.0):
        assert short.line(environ) + "200" == long.line(environ)


def test_a_line_is_made_at_once_and_nothing_is_kept() -> None:
    sink, environ = Sink("common"), dict(ENVIRON)
    sink.add(environ, 200, 12, 0.0)
    environ["RAW_URI"] = "/later"
    assert "/later" not in sink.text()


# Writing


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
