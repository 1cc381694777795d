"""Laws of request heads, for heads made by chance: the grammar of ``tests/fuzz`` agrees with every parser of them,
however they are cut.

The same heads each time; ``make fuzz`` looks for others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import cases, grammar, laws
from releve.config.settings.limits import Limits
from releve.server.http import fasthead, shape
from releve.server.http.fasthead import KNOWN_MAX, fast_environ
from releve.server.http.head import HTTPError, Partial, head_end, parse_head

CORPUS = Path(laws.__file__).parent / "corpus" / "head"
bounded = settings(
    max_examples=120, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)

TOKEN = "!#$%&'*+-.^`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
tokens = st.text(TOKEN, min_size=1, max_size=8).map(str.encode)
space = st.sampled_from([b"", b"", b" ", b"\t", b" \t "])
methods = st.sampled_from([b"GET", b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"get"]) | tokens
hosts = st.sampled_from(
    [b"a", b"a.b:80", b"[::1]", b"[1:2:3:4:5:6:7::]:65535", b"%41", b"a:", b"a:65536", b"a,b", b"[::1", b""]
)
paths = st.binary(max_size=12).map(
    lambda raw: b"/" + b"".join(b"%c" % byte for byte in raw if byte > 0x20 and byte not in b"#\x7f")
)
odd_targets = hosts.map(b"http://%b/a".__mod__) | st.sampled_from([b"*", b"/%41%zz", b"a"])
targets = paths | st.builds(b"%b?%b".__mod__, st.tuples(paths, tokens)) | odd_targets
versions = st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0", b"http/1.1"])
values = (
    st.text(st.characters(min_codepoint=9, max_codepoint=255), max_size=12).map(lambda text: text.encode("latin-1"))
    | tokens
)
SPECIAL = {
    b"Content-Length": (b"0", b"12", b"007", b"+1", b"1,1", b"9" * 18, b"9" * 19, b""),
    b"transfer-encoding": (b"chunked", b"Chunked", b"gzip, chunked", b"chunked,", b"chunked, chunked", b""),
    b"Connection": (b"keep-alive", b"Keep-Alive", b"close", b"x, , Close", b"Keep-Alive,x", b'"', b""),
    b"Expect": (b"100-continue", b"100-Continue,", b"a", b""),
    b"Host": (b"b", b"a:80", b"[::1]:1", b"a b", b""),
    b"Cookie": (b"a=b", b""),
    b"Content-Type": (b"a/b", b"c"),
    b"Proxy": (b"a",),
    b"X-A": (b"b",),
    b"X_A": (b"b",),
    b"X-Forwarded-For": (b"1.2.3.4",),
    b"X-Forwarded-X": (b"a",),
}
PAIRS = [(name, value) for name, several in SPECIAL.items() for value in several]
special = st.sampled_from(PAIRS)
fields = st.builds(
    lambda field, before, after: field[0] + b":" + before + field[1] + after,
    special | st.tuples(tokens, values) | st.tuples(tokens, tokens),
    space,
    space,
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Mostly good ones."""
    first = b" ".join((draw(methods), draw(targets), draw(versions)))
    host = draw(st.sampled_from([b"Host: a"] * 5 + [b"Host:b:80 ", b""]) | hosts.map(b"Host: %b".__mod__))
    lines = [line for line in (first, host, *draw(st.lists(fields, max_size=4))) if line]
    return draw(st.sampled_from([b"", b"", b"", b"\r\n"])) + b"\r\n".join(lines) + b"\r\n\r\n"


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """With a change or three, and perhaps with more behind them."""
    data = draw(heads()) + draw(st.sampled_from([b"", b"", b"body", b"\r\n"]) | heads())
    return cases.mutated(data, draw(st.randoms(use_true_random=False)))


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_the_corpus_of_the_fuzzer(path: Path) -> None:
    data = path.read_bytes()
    laws.check_head(data)
    laws.check_preface(data)


@bounded
@given(heads())
def test_a_head_is_what_the_grammar_says_in_any_pieces(data: bytes) -> None:
    laws.check_head(data)


@bounded
@given(spoiled())
def test_a_spoiled_head_is_what_the_grammar_says_in_any_pieces(data: bytes) -> None:
    laws.check_head(data)


def test_every_byte_at_every_place() -> None:
    good = b"GET /a?b%41 HTTP/1.1\r\nHost: a\r\nX-Y:\tb c\r\n\r\n"
    for at in range(len(good) + 1):
        for byte in range(256):
            for data in (good[:at] + b"%c" % byte + good[at:], good[:at] + b"%c" % byte + good[at + 1 :]):
                check_once(data)


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1", b"POST / HTTP/1.0", b"GET http://c HTTP/1.1"])
def test_every_two_fields_that_matter(first: bytes) -> None:
    for host in (b"", b"Host: a\r\n"):
        for one in PAIRS:
            for two in PAIRS:
                check_once(first + b"\r\n" + host + b"%b: %b\r\n" % one + b"%b:%b\r\n\r\n" % two)


def check_once(data: bytes) -> None:
    """The laws that do not need it cut."""
    message = laws.judge(data, Limits())
    fed = laws.feed_head([data], Limits())
    if isinstance(message, grammar.Message):
        assert isinstance(fed, tuple), (data, fed)
        laws.assert_same(fed[0], message)
        laws.check_again(message, Limits())
    elif message is None:
        assert not isinstance(fed, tuple), data
    else:
        assert isinstance(fed, HTTPError), data
    laws.check_fast(data, Limits())


SMALL = cases.LIMITS[1]


@pytest.mark.parametrize("over", [-1, 0, 1])
@pytest.mark.parametrize(
    "make",
    [
        lambda over: b"GET /" + b"a" * (SMALL.request_line - 14 + over) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        lambda over: b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"a" * (SMALL.header - 3 + over) + b"\r\n\r\n",
        lambda over: b"GET / HTTP/1.1\r\nHost: a\r\nA:" + b" " * (SMALL.header - 2 + over) + b"\r\n\r\n",
        lambda over: b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: a\r\n" * (SMALL.headers - 1 + over) + b"\r\n",
        lambda over: (
            b"GET /%b HTTP/1.1\r\nHost: %b\r\nA: %b\r\nB:%b\r\n\r\n"
            % (b"a" * 50, b"a" * 56, b"a" * 59, b"b" * (56 + over))
        ),
        lambda over: b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % ((SMALL.body or 0) + over),
    ],
)
def test_the_limits_are_where_they_are_said_to_be(make: Callable[[int], bytes], over: int) -> None:
    data = make(over)
    good = isinstance(laws.judge(data, SMALL), grammar.Message)
    assert good == (over <= 0)
    laws.check_head(data)
    laws.check_head(b"\r\n" + data)
    laws.check_prefix(data)
    laws.check_prefix(b"\r\n" + data)


@bounded
@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from((*cases.HOSTILE, b"GET /", b" HTTP/1.1", b"Host: a")), max_size=12).map(b"".join)
)
def test_any_bytes_are_a_head_or_refused_or_not_all_there(data: bytes) -> None:
    laws.check_head(data)
    laws.check_preface(data)


@bounded
@given(heads())
def test_no_prefix_of_a_good_head_is_refused(data: bytes) -> None:
    laws.check_prefix(data)


@bounded
@given(st.lists(heads() | spoiled(), min_size=2, max_size=8))
def test_the_cache_says_nothing_else_whatever_it_has_seen(requests: list[bytes]) -> None:
    fasthead.forget()
    for data in requests * 2:
        end = head_end(data, 0)
        environ = fast_environ(data, end, laws.BASE, Limits()) if end >= 0 else None
        if environ is not None:
            laws.assert_strict(data[:end], environ, Limits())


def test_the_cache_stays_small_and_right_when_it_overflows() -> None:
    fasthead.forget()
    for number in range(3 * KNOWN_MAX):
        data = b"GET /%d HTTP/1.1\r\nHost: a%d\r\nX-%d: y\r\n\r\n" % (number, number, number % (KNOWN_MAX * 2))
        environ = fast_environ(data, len(data), laws.BASE, Limits())
        assert environ is not None
        laws.assert_strict(data, environ, Limits())
        assert max(len(fasthead._names), len(fasthead._hosts)) <= KNOWN_MAX


@bounded
@given(heads(), st.randoms(use_true_random=False))
def test_a_shape_reads_as_the_strict_parser_does_or_not_at_all(data: bytes, chance: object) -> None:
    for limits in cases.LIMITS:
        laws.check_shape(data + data, limits)


def test_every_byte_at_every_place_of_a_shape() -> None:
    rest = b" HTTP/1.1\r\nHost: a\r\nA: b\r\nCookie: c=%d\r\n\r\n"
    good = b"GET /d" + rest % 1
    environ = fast_environ(good, len(good), laws.BASE, Limits())
    assert environ is not None
    known = shape.learn(laws.text(good), environ, laws.BASE, None, Limits())
    assert known is not None
    for at in range(len(good) + 1):
        for byte in range(256):
            for data in (good[:at] + b"%c" % byte + good[at:], good[:at] + b"%c" % byte + good[at + 1 :]):
                environ = known.read(laws.text(data))
                if environ is not None:
                    laws.assert_strict(data, environ, Limits())


def test_shapes_are_put_to_the_test_at_all() -> None:
    """The laws above hold for a parser that never answers, too: this one does."""
    lines = b"Host: a\r\nAccept: */*\r\nCookie: a=%d\r\nX-Id: %d\r\n\r\n"
    found = [
        laws.check_shape(b"GET /%d HTTP/1.1\r\n" % number + lines % (number, number), Limits()) for number in range(50)
    ]
    assert sum(found) > 100


# Many times as long: a step for each byte takes as many times longer, a step for each pair of bytes the square of that.
TIMES = 32
SLACK = 10
WIDE = Limits(request_line=1 << 24, headers=1 << 24, header=1 << 24, head=1 << 24)
LONG: dict[str, Callable[[int], bytes]] = {
    "target": lambda size: b"GET /" + b"a" * size + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "percent": lambda size: b"GET /" + b"%41" * (size // 3) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "method": lambda size: b"G" * size + b"\r\n\r\n",
    "authority": lambda size: b"GET http://" + b"%61" * (size // 3) + b"! HTTP/1.1\r\nHost: a\r\n\r\n",
    "host": lambda size: b"GET / HTTP/1.1\r\nHost: " + b"a.%61" * (size // 5) + b"!\r\n\r\n",
    "white space": lambda size: b"GET / HTTP/1.1\r\nHost: a\r\nA:" + b" \t" * (size // 2) + b"\x01\r\n\r\n",
    "name": lambda size: b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a" * size + b" : b\r\n\r\n",
    "connection": lambda size: b"GET / HTTP/1.1\r\nHost: a\r\nConnection: " + b"a, " * (size // 3) + b'"\r\n\r\n',
    "codings": lambda size: (
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: " + b"a , " * (size // 4) + b"chunked\r\n\r\n"
    ),
    "lines": lambda size: b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * (size // 6) + b"\r\n",
    "repeated": lambda size: b"GET / HTTP/1.1\r\n" + b"Host: a\r\n" * (size // 9) + b"\r\n",
}


@pytest.mark.parametrize("kind", LONG)
def test_the_time_grows_with_the_length_of_a_head(kind: str) -> None:
    def parse(data: bytes) -> None:
        end = head_end(data, 0)
        fasthead.forget()
        fast_environ(data, end, laws.BASE, WIDE)
        for step in (lambda: Partial().look(data[:-4], WIDE), lambda: parse_head(data[:end], WIDE)):
            try:
                step()
            except HTTPError:
                pass

    short, long = LONG[kind](20_000), LONG[kind](20_000 * TIMES)
    assert seconds(parse, long) < seconds(parse, short) * TIMES * SLACK


def test_a_head_that_drips_is_looked_at_from_where_the_last_look_ended() -> None:
    def dripping(data: bytes) -> float:
        buffer, partial = bytearray(data), Partial()
        partial.look(buffer, WIDE)  # at what is there; how long that takes is another matter

        def drip(more: bytes) -> None:
            for _ in range(3000):
                buffer.extend(more)
                partial.look(buffer, WIDE)

        return seconds(drip, b"x")

    start = b"GET / HTTP/1.1\r\nHost: a\r\n"
    assert dripping(start + b"a: b\r\n" * 20_000 + b"c: ") < dripping(start + b"c: ") * 10


def seconds(do: Callable[[bytes], None], data: bytes) -> float:
    """The best of three."""

    def once() -> float:
        start = time.process_time()
        do(data)
        return time.process_time() - start

    return max(1e-4, min(once() for _ in range(3)))
