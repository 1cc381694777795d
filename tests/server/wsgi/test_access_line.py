"""Lines of the access log: what they say, and what they cannot be made to say."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sink import ENVIRON, TIME, Sink
from releve.server.wsgi.access import LONG_LINE, AccessLog
from releve.server.wsgi.access_line import COMBINED, COMMON, clock, iso_clock


def basic(user: bytes) -> str:
    return "Basic " + base64.b64encode(user).decode()


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
            words = (environ["REQUEST_METHOD"], "/" + target, environ["SERVER_PROTOCOL"])
            other.usual(environ["REMOTE_ADDR"], *words, 200, sent, referer, agent)
        else:
            other.add(environ, 200, sent, 0.0)
    one_text, other_text = one.text(), other.text()
    assert re.sub(TIME, "", one_text) == re.sub(TIME, "", other_text) and one_text.count("\n") == len(requests)


@pytest.mark.parametrize("which", ["target", "referer", "agent"])
def test_a_long_line_is_to_be_flushed_at_once(which: str) -> None:
    """However it was made: what 512 long ones hold has no bound but this."""
    with open(os.devnull, "wb") as sink:
        for size, long in ((10, False), (LONG_LINE, True)):
            words = {"target": "/", "referer": "-", "agent": "-", which: "x" * size}
            log = AccessLog(sink.fileno(), "combined")
            log.usual("192.0.2.7", "GET", words["target"], "HTTP/1.1", 200, 1, words["referer"], words["agent"])
            assert log.full is long


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
