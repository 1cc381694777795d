"""A shape says nothing that the strict parser would not, keeps no secret, and gives up on a client without one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from releve.config.settings.limits import Limits
from releve.server.http import fasthead, shape
from releve.server.http.fasthead import fast_environ
from releve.server.http.head import HTTPError, head_end, parse_head
from releve.server.http.shape import SHAPES_MAX, VALUES_MAX, Shape, learn
from releve.server.wsgi.environ import base_environ, build_environ

BASE = base_environ("127.0.0.1:80", ("127.0.0.1", 80), "10.0.0.1:1", multithread=True)
LIMITS = Limits()
BROWSER = [
    b"Host: example.org",
    b"User-Agent: Browser/1.0 (X11)",
    b"Accept: */*",
    b"Connection: keep-alive",
    b"Cookie: session=%d",
    b"X-Empty:",
    b"X-Request-ID: %d",
]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    fasthead.forget()
    shape.forget()
    yield
    fasthead.forget()
    shape.forget()


def head(*lines: bytes, first: bytes = b"GET /a?b HTTP/1.1") -> bytes:
    return b"\r\n".join((first, *lines)) + b"\r\n\r\n"


def numbered(number: int, first: bytes = b"GET /page/%d HTTP/1.1") -> bytes:
    return head(*BROWSER, first=first).replace(b"%d", b"%d" % number)


def taught(*requests: bytes, limits: Limits = LIMITS) -> Shape | None:
    """What a connection has after these requests."""
    found: Shape | None = None
    for data in requests:
        if found is not None and found.read(data.decode("latin-1")) is not None:
            continue
        environ = fast_environ(data, len(data), BASE, limits)
        assert environ is not None
        found = learn(data.decode("latin-1"), environ, BASE, found, limits)
    return found


def agrees(known: Shape, data: bytes, limits: Limits = LIMITS) -> bool:
    """Whether the shape had an answer; if so, it is that of the strict parser."""
    environ = known.read(data.decode("latin-1"))
    if environ is None:
        return False
    assert head_end(data, 0) == len(data), "and to the last byte"
    strict = parse_head(data, limits)
    assert strict.keep_alive and not strict.has_body and not strict.expect_continue and strict.version == (1, 1)
    assert {**environ, "wsgi.input": None} == build_environ(strict, BASE, None)
    return True


def test_the_third_request_of_a_client_is_read_by_the_shape_of_the_first_two() -> None:
    known = taught(numbered(1), numbered(2))
    assert known is not None
    for number in range(3, 9):
        assert agrees(known, numbered(number))
    assert agrees(known, numbered(3, b"GET /%%C3%%A4/%d?x=/ HTTP/1.1".replace(b"%%", b"%")))
    assert agrees(known, numbered(4).replace(b"session=4", b"")), "an empty value"
    assert agrees(known, numbered(5).replace(b"session=5", b"\xe4\xf6"))


GOOD = numbered(7)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:-1],
        GOOD + b"G",
        GOOD + GOOD,
        GOOD[: GOOD.index(b"X-Request")],
        GOOD[: GOOD.index(b" HTTP")],
        GOOD.replace(b"GET", b"PUT"),
        GOOD.replace(b"GET /", b"GET  /"),
        GOOD.replace(b"/page", b"page"),
        GOOD.replace(b"/page", b"/pa#ge"),
        GOOD.replace(b"/page", b"/pa\x7fge"),
        GOOD.replace(b"/page", b"/pa\tge"),
        GOOD.replace(b"/page/7", b"http://a/"),
        GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"),
        GOOD.replace(b"HTTP/1.1", b"HTTP/1.1 "),
        GOOD.replace(b"example.org", b"example.com"),
        GOOD.replace(b"keep-alive", b"close"),
        GOOD.replace(b"session=7", b" 7"),
        GOOD.replace(b"session=7", b"7 "),
        GOOD.replace(b"session=7", b"7\t"),
        GOOD.replace(b"session=7", b"7\r"),
        GOOD.replace(b"session=7", b"7\n"),
        GOOD.replace(b"session=7", b"7\x00"),
        GOOD.replace(b"session=7", b"7\r\nContent-Length: 5"),
        GOOD.replace(b"session=7", b"7\r\nTransfer-Encoding: chunked"),
        GOOD.replace(b"session=7", b"7\r\nHost: example.org"),
        GOOD.replace(b"session=7", b"7\r\n folded"),
        GOOD.replace(b"session=7", b"7\nX: y"),
        GOOD.replace(b"X-Empty:", b"X-Empty: x"),
        GOOD.replace(b"\r\n", b"\n"),
    ],
)
def test_whatever_is_not_of_the_shape_is_left_to_others(data: bytes) -> None:
    known = taught(numbered(1), numbered(2))
    assert known is not None and agrees(known, GOOD)
    assert known.read(data.decode("latin-1")) is None


@pytest.mark.parametrize("limits", [Limits(header=200), Limits(request_line=200), Limits(head=200)])
def test_no_limit_is_passed_over(limits: Limits) -> None:
    known = taught(numbered(1), numbered(2), limits=limits)
    assert known is not None and agrees(known, numbered(3), limits)
    assert known.read(numbered(4).replace(b"session=4", b"x" * 250).decode()) is None


def test_a_shape_keeps_no_credentials() -> None:
    lines = (b"Host: a", b"Cookie: secret", b"Authorization: secret", b"Proxy-Authorization: secret", b"X: plain")
    known = taught(head(*lines, first=b"GET /secret HTTP/1.1"), head(*lines))
    assert known is not None and known.authorized
    for kept in (known.environ, known.parts, known.last, known.lines):
        assert "secret" not in repr(kept)
    assert agrees(known, head(*lines))


@pytest.mark.parametrize("line", [b"Content-Length: 0", b"Connection: close"])
def test_what_may_have_a_body_or_end_the_connection_has_no_shape(line: bytes) -> None:
    assert taught(head(b"Host: a", line)) is None


def test_a_client_that_never_repeats_itself_has_no_shape() -> None:
    requests = [
        head(b"Host: a", *(b"X-%d: %d" % (name, number) for name in range(VALUES_MAX + 1))) for number in range(2)
    ]
    assert taught(*requests) is None


def test_shapes_are_shared_and_few() -> None:
    one, other = taught(numbered(1), numbered(2)), taught(numbered(3), numbered(4))
    assert one is other
    for number in range(SHAPES_MAX + 5):
        taught(head(b"Host: a", b"X-%d: 1" % number))
    assert len(shape._shapes) <= SHAPES_MAX


_lines = st.lists(
    st.one_of(
        st.sampled_from(BROWSER[1:]),
        st.builds(
            lambda name, gap, value: name + b":" + gap + value,
            st.sampled_from(
                [
                    b"Cookie",
                    b"Content-Length",
                    b"Connection",
                    b"Transfer-Encoding",
                    b"X-A",
                    b"x-a",
                    b"X_A",
                    b"Host",
                    b"Expect",
                ]
            ),
            st.sampled_from([b"", b" ", b"  ", b"\t"]),
            st.one_of(
                st.sampled_from([b"a", b"1", b"close", b"keep-alive", b"a\r\nX-A: b", b"\r\n"]), st.binary(max_size=5)
            ),
        ),
    ),
    max_size=5,
)
_targets = st.one_of(st.sampled_from([b"/", b"/a%41?b", b"/x y"]), st.binary(max_size=6).map(lambda tail: b"/" + tail))


@example([(b"/", [b"Cookie: "])])
@given(st.lists(st.tuples(_targets, _lines), min_size=1, max_size=5))
def test_it_never_differs_from_the_strict_parser(requests: list[tuple[bytes, list[bytes]]]) -> None:
    known: Shape | None = None
    for target, lines in requests:
        data = head(b"Host: example.org", *lines, first=b"GET " + target + b" HTTP/1.1")
        if known is None or not agrees(known, data):
            end = head_end(data, 0)
            environ = fast_environ(data, end, BASE, LIMITS)
            if environ is None or end < len(data):
                continue
            known = learn(data.decode("latin-1"), environ, BASE, known, LIMITS)
            if known is not None:
                try:
                    assert agrees(known, data) or b"  " in data or b"\t" in data, "the one that it was made of"
                except HTTPError as error:
                    raise AssertionError(data) from error
