"""The short way to read a head says nothing that the strict parser would not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releve.config.settings.limits import Limits
from releve.server.http import fasthead
from releve.server.http.fasthead import KNOWN_MAX, fast_environ, usual
from releve.server.http.head import head_end, parse_head
from releve.server.wsgi.environ import base_environ, build_environ

BASE = base_environ("127.0.0.1:80", ("127.0.0.1", 80), "10.0.0.1:1", multithread=True)
LIMITS = Limits()


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    fasthead.forget()
    yield
    fasthead.forget()


def head(*lines: bytes, first: bytes = b"GET /a?b HTTP/1.1", host: bytes = b"Host: example.org") -> bytes:
    return b"\r\n".join((first, *((host,) if host else ()), *lines)) + b"\r\n\r\n"


def fast(data: bytes, limits: Limits = LIMITS) -> dict[str, object] | None:
    return fast_environ(data, head_end(data, 0), BASE, limits)


def agrees(data: bytes, limits: Limits = LIMITS) -> bool:
    """Whether it had an answer; if so, it is that of the strict parser."""
    environ = fast(data, limits)
    if environ is None:
        return False
    strict = parse_head(data[: head_end(data, 0)], limits)
    expected = build_environ(strict, BASE, None)
    del expected["wsgi.input"]
    assert environ == expected
    assert not strict.chunked and not strict.expect_continue
    assert usual(environ) == (strict.method, strict.target, strict.keep_alive, strict.version)
    return True


USUAL = [
    head(b"Accept: */*", b"Connection: keep-alive", b"X-Empty:", b"Cookie: a=b; c=d"),
    head(b"Content-Length: 12", b"Content-Type: text/plain", first=b"POST /%C3%A4/x?y=%20 HTTP/1.1"),
    head(b"Authorization: Basic eDp5", b"connection: close", first=b"HEAD / HTTP/1.1"),
    head(b"X-Name:  padded  ", b"X-Latin: \xe4\xf6", b"X-Colons: a: b:c", host=b"hOsT: localhost:8000"),
    head(b"Content-Length: 0", first=b"DELETE //x//../y? HTTP/1.1"),
    head(b"Connection: Keep-Alive"),
    head(b"Connection:"),
    head(b"X-Empty: ", first=b"GET / HTTP/1.0"),
    head(b"Connection: close", b"Content-Length: 3", first=b"POST / HTTP/1.0"),
    head(b"Connection: keep-alive", first=b"GET / HTTP/1.0"),
    head(b"Connection: Keep-Alive", first=b"GET / HTTP/1.0"),
]
# For the strict parser, whatever it says.
UNUSUAL = [
    head(b"Accept: a", b"Accept: b"),
    head(b"Host: other"),
    head(host=b""),
    head(host=b"Host: a,b"),
    head(host=b"Host:"),
    head(host=b"Host: [::1]:80"),
    head(b"Content-Length: 1", b"Content-Length: 1"),
    head(b"Content-Length: +1"),
    head(b"Content-Length: 01"),
    head(b"Content-Length: \xb2"),
    head(b"Content-Length: 1, 1"),
    head(b"Content-Length: " + b"1" * 19),
    head(b"Content-Length:"),
    head(b"Transfer-Encoding: chunked"),
    head(b"Expect: 100-continue"),
    head(b"Proxy: evil"),
    head(b"X_Real_IP: 1"),
    head(b"X-Bad : 1"),
    head(b" folded"),
    head(b"no colon"),
    head(b"nocolon"),
    head(b": no name"),
    head(b"X-Nul: \x00"),
    head(b"X-CR: a\rb"),
    head(b"X-LF: a\nb"),
    head(b"X-DEL: \x7f"),
    head(b"X-C1: \x85"),
    head(b"Connection: x, close"),
    head(b"Connection: keep-alive, x"),
    head(b"X-Name:\t padded \t"),
    head(b"Connection: Close"),
    head(b"Connection: upgrade", b"Upgrade: websocket"),
    head(b"X-Tab: a\tb"),
    head(b"X-Colons:a: b:c"),
    head(b"X-Padded:\ta"),
    head(b"A: b\rc\nd"),
    head(first=b"GET / HTTP/1.0", host=b""),
    head(b"Transfer-Encoding: chunked", first=b"GET / HTTP/1.0"),
    head(first=b"GET / HTTP/2.0"),
    head(first=b"GET  / HTTP/1.1"),
    head(first=b"GET /#f HTTP/1.1"),
    head(first=b"GET /\x7f HTTP/1.1"),
    head(first=b"GET http://a/ HTTP/1.1"),
    head(first=b"OPTIONS * HTTP/1.1"),
    head(first=b"CONNECT a:1 HTTP/1.1"),
    head(first=b"get / HTTP/1.1"),
    head(first=b""),
]


@pytest.mark.parametrize("data", USUAL)
def test_usual_requests_are_read_as_the_strict_parser_does(data: bytes) -> None:
    assert agrees(data)
    assert agrees(data), "with every name known"


@pytest.mark.parametrize("data", UNUSUAL)
def test_whatever_is_not_plain_is_left_to_the_strict_parser(data: bytes) -> None:
    assert fast(data) is None
    assert fast(data) is None, "nothing of it was kept that changes the answer"


def test_a_body_that_is_too_long_is_left_to_the_strict_parser() -> None:
    data = head(b"Content-Length: 101", first=b"POST / HTTP/1.1")
    assert agrees(data, Limits(body=101)) and agrees(data, Limits(body=None))
    assert fast(data, Limits(body=100)) is None


@pytest.mark.parametrize(
    "limits", [Limits(header=64), Limits(request_line=64), Limits(head=256, header=300), Limits(headers=2)]
)
def test_no_limit_is_passed_over(limits: Limits) -> None:
    data = head(b"X-Long: " + b"x" * 240, b"X-Other: 1")
    assert fast(data) is not None, "and the lines are known"
    assert fast(data, limits) is None


def test_what_is_kept_is_bounded_and_no_value_but_hosts() -> None:
    for number in range(KNOWN_MAX + 50):
        assert agrees(head(b"X-%d: 1" % number, host=b"Host: a%d" % number))
        assert len(fasthead._names) <= KNOWN_MAX and len(fasthead._hosts) <= KNOWN_MAX
    fasthead.forget()
    long = b"X-%b: a" % (b"y" * 500)
    assert agrees(head(b"Cookie: secret", b"Authorization: secret", long, host=b"Host: " + b"z" * 500))
    assert fasthead._names.keys() == {"Host", "Cookie", "Authorization"}, "and no long ones"
    assert not fasthead._hosts


_names = st.sampled_from(
    [
        b"Host",
        b"Cookie",
        b"Content-Length",
        b"Content-Type",
        b"Connection",
        b"Transfer-Encoding",
        b"Expect",
        b"X-A",
        b"X_A",
        b"x-a",
        b"Proxy",
    ]
)
_values = st.one_of(
    st.sampled_from([b"a", b"1", b"close", b"keep-alive", b"chunked", b"example.org:80", b""]), st.binary(max_size=6)
)
_lines = st.one_of(
    st.builds(
        lambda name, gap, value: name + b":" + gap + value, _names, st.sampled_from([b"", b" ", b"\t", b"  "]), _values
    ),
    st.binary(max_size=12),
)
_firsts = st.one_of(
    st.builds(
        lambda method, target, version: b" ".join((method, target, version)),
        st.sampled_from([b"GET", b"POST", b"HEAD", b"get", b"CONNECT"]),
        st.one_of(
            st.sampled_from([b"/", b"/a%41?b", b"*", b"http://a/b"]),
            st.binary(max_size=8).map(lambda tail: b"/" + tail),
        ),
        st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2"]),
    ),
    st.binary(max_size=20),
)


@given(st.lists(st.tuples(_firsts, st.booleans(), st.lists(_lines, max_size=5)), min_size=1, max_size=4))
def test_it_never_differs_from_the_strict_parser(requests: list[tuple[bytes, bool, list[bytes]]]) -> None:
    """One after the other, so that each finds what the ones before have left."""
    for first, with_host, lines in requests:
        agrees(head(*lines, first=first, host=b"Host: example.org" if with_host else b""))
