"""The chunked decoder, and ``wsgi.input`` over a real socket."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from harness.pair import PairChannel
from releve.config.settings.limits import Limits
from releve.server.http.body import (
    CONTINUE,
    EXTENSIONS_MAX_BYTES,
    LINE_MAX_BYTES,
    BodyRefused,
    ChunkDecoder,
    ClientGone,
    ClientTooSlow,
    Input,
)
from releve.server.http.head import Head, HTTPError, parse_head

GOOD: list[tuple[bytes, bytes]] = [
    (b"0\r\n\r\n", b""),
    (b"000\r\n\r\n", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"5\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\n\r\n", b"hello 0123456789"),
    (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    (b"000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    (b"5;a\r\nhello\r\n0;b=c\r\n\r\n", b"hello"),
    (b"5 ; a = b ;c\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b'5;a="b;c\\"d"\r\nhello\r\n0\r\n\r\n', b"hello"),
    (b"5\r\nhello\r\n0\r\nA: b\r\nContent-Length: 7\r\nHost: evil\r\n\r\n", b"hello"),
]

BAD: list[bytes] = [
    b"\r\n",
    b"\n",
    b"x\r\n",
    b"-1\r\n",
    b"+5\r\nhello\r\n",
    b"0x5\r\nhello\r\n",
    b"5_0\r\n",
    b" 5\r\nhello\r\n",
    b"5 \r\nhello\r\n",
    b"5\t\r\nhello\r\n",
    b"5\nhello\n0\n\n",
    b"5\r\r\nhello",
    b"5\rhello\r\n",
    b"\xb2\r\n",
    "٥\r\nhello".encode(),
    b"0000000000000005\r\nhello\r\n",
    b"FFFFFFFFFFFFFFFF\r\n",
    b"5,5\r\nhello",
    b"5;\r\nhello",
    b"5;a=\r\nhello",
    b"5;=b\r\nhello",
    b"5;a b\r\nhello",
    b'5;a="b\r\nhello',
    b"5;a\x00\r\nhello",
    b"5;a\nb\r\nhello",
    b"5;a\rb\r\nhello",
    b"5\r\nhelloX\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello\rX",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhello!\r\n0\r\n\r\n",
    b"0\r\n\n",
    b"0\r\nX\r\n\r\n",
    b"0\r\nA : b\r\n\r\n",
    b"0\r\n A: b\r\n\r\n",
    b"0\r\nA: b\r\n c\r\n\r\n",
    b"0\r\nA: \x00\r\n\r\n",
    b"0\r\nA: b\n\r\n",
    b"0\r\n: b\r\n\r\n",
    b"0\r\nGET / HTTP/1.1\r\n\r\n",
    b"1" * (LINE_MAX_BYTES + 100),
    b"5;" + b"a" * (LINE_MAX_BYTES + 100) + b"\r\n",
    (b"1;" + b"a" * 4000 + b"\r\nx\r\n") * (EXTENSIONS_MAX_BYTES // 4000 + 1),
    b"0\r\n" + b"A: b\r\n" * 20_000,
]


def cut(data: bytes, how: int) -> list[bytes]:
    """Whole, in two pieces at every place's choice of one, or byte by byte."""
    return [data] if how == 0 else [data[i : i + how] for i in range(0, len(data), how)]


@pytest.mark.parametrize("how", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(("data", "body"), GOOD, ids=range(len(GOOD)))
def test_good_chunks(data: bytes, body: bytes, how: int) -> None:
    decoder = ChunkDecoder()
    pieces = []
    for piece in cut(data, how):
        assert not decoder.finished
        pieces += decoder.feed(piece)
    assert decoder.finished and b"".join(pieces) == body and decoder.rest == b""


@pytest.mark.parametrize(("data", "body"), GOOD, ids=range(len(GOOD)))
def test_a_pipelined_request_stays_whole(data: bytes, body: bytes) -> None:
    follower = b"GET / HTTP/1.1\r\n"
    decoder = ChunkDecoder()
    assert b"".join(decoder.feed(data + follower)) == body
    assert decoder.finished and decoder.rest == follower


@pytest.mark.parametrize("how", [0, 1])
@pytest.mark.parametrize("data", BAD, ids=lambda data: repr(data)[:40])
def test_bad_chunks(data: bytes, how: int) -> None:
    decoder = ChunkDecoder()
    with pytest.raises(HTTPError) as caught:
        for piece in cut(data, how):
            decoder.feed(piece)
    assert caught.value.status == 400
    assert not decoder.finished


def test_no_part_of_a_good_body_is_finished() -> None:
    for data, _ in GOOD:
        for n in range(len(data)):
            decoder = ChunkDecoder()
            decoder.feed(data[:n])
            assert not decoder.finished


# wsgi.input


def make_head(*lines: bytes) -> Head:
    return parse_head(b"\r\n".join((b"POST / HTTP/1.1", b"Host: a", *lines)) + b"\r\n\r\n", Limits())


def length(count: int) -> Head:
    return make_head(b"Content-Length: %d" % count)


CHUNKED = make_head(b"Transfer-Encoding: chunked")

MakeInput = Callable[..., Input]


@pytest.fixture
def channels() -> Iterator[list[PairChannel]]:
    made: list[PairChannel] = []
    yield made
    for channel in made:
        channel.close()


@pytest.fixture
def make_input(channels: list[PairChannel]) -> MakeInput:
    def make(
        head: Head,
        *sent: bytes,
        buffered: bytes = b"",
        close: bool = False,
        limits: Limits | None = None,
        **more: float,
    ) -> Input:
        channels.append(PairChannel(*sent, close=close))
        return Input(channels[-1], head, buffered, limits or Limits(), timeout_s=more.get("timeout_s", 5))

    return make


TEXT = b"one\ntwo\n\nfour, and no end"
FOLLOWER = b"GET /next"

USES: dict[str, tuple[Callable[[Input], object], object]] = {
    "read": (lambda body: body.read(), TEXT),
    "read-1": (lambda body: body.read(-1), TEXT),
    "read None": (lambda body: body.read(None), TEXT),
    "read 0": (lambda body: (body.read(0), body.read()), (b"", TEXT)),
    "read 5": (lambda body: [body.read(5) for _ in range(6)], [TEXT[i : i + 5] for i in range(0, 30, 5)]),
    "read more": (lambda body: (body.read(10_000), body.read(10_000), body.read()), (TEXT, b"", b"")),
    "readline": (
        lambda body: [body.readline() for _ in range(6)],
        [b"one\n", b"two\n", b"\n", b"four, and no end", b"", b""],
    ),
    "readline 2": (lambda body: [body.readline(2) for _ in range(4)], [b"on", b"e\n", b"tw", b"o\n"]),
    "readline 0": (lambda body: (body.readline(0), body.readline(100)), (b"", b"one\n")),
    "readline 4": (lambda body: (body.readline(4), body.readline(None)), (b"one\n", b"two\n")),
    "readlines": (lambda body: body.readlines(), TEXT.splitlines(keepends=True)),
    "readlines 5": (lambda body: body.readlines(5), [b"one\n", b"two\n"]),
    "readlines 0": (lambda body: body.readlines(0), TEXT.splitlines(keepends=True)),
    "iter": (lambda body: list(body), TEXT.splitlines(keepends=True)),
    "mixed": (
        lambda body: (body.read(2), body.readline(), next(iter(body)), body.read()),
        (b"on", b"e\n", b"two\n", TEXT[8:]),
    ),
}


@pytest.mark.parametrize("arrival", ["buffered", "later", "split", "bytes"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("use", USES)
def test_methods(make_input: MakeInput, use: str, chunked: bool, arrival: str) -> None:
    head = CHUNKED if chunked else length(len(TEXT))
    data = b"6\r\n%b\r\n%x;x\r\n%b\r\n0\r\nA: b\r\n\r\n" % (TEXT[:6], len(TEXT) - 6, TEXT[6:]) if chunked else TEXT
    data += FOLLOWER
    if arrival == "buffered":
        body = make_input(head, buffered=data)
    elif arrival == "later":
        body = make_input(head, data)
    elif arrival == "split":
        body = make_input(head, data[4:], buffered=data[:4])
    else:
        body = make_input(head)
        body._channel = OneByOne(data)  # type: ignore[assignment]
    act, expected = USES[use]
    assert act(body) == expected
    body.read()
    assert body.read() == body.read(1) == body.readline() == b""
    assert body.finished and body.failure is None
    if arrival == "buffered" or chunked:
        assert FOLLOWER.startswith(body.rest) and (arrival == "bytes" or body.rest == FOLLOWER)
    else:
        assert body.rest == b"", "a body of known length is never read past its end"


class OneByOne:
    def __init__(self, data: bytes) -> None:
        self.data = iter(data)

    def read(self, limit: int, timeout_s: float) -> bytes:
        return bytes(itertools.islice(self.data, 1))


@pytest.mark.parametrize(
    "lines", [[], [b"Content-Length: 0"], [b"Expect: 100-continue"], [b"Content-Length: 0", b"Expect: 100-continue"]]
)
def test_no_body_reads_nothing(make_input: MakeInput, channels: list[PairChannel], lines: list[bytes]) -> None:
    body = make_input(make_head(*lines), FOLLOWER, buffered=FOLLOWER)
    assert body.read() == b"" == body.readline() and list(body) == []
    assert body.finished and body.rest == FOLLOWER and body.drain()
    assert channels[0].reads == 0 and channels[0].writes == []


READS: dict[str, Callable[[Input], object]] = {
    "read": lambda body: body.read(),
    "read n": lambda body: body.read(100),
    "readline": lambda body: body.readline(),
    "readlines": lambda body: body.readlines(),
    "iter": lambda body: list(body),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_client_that_leaves_is_no_end_of_the_body(make_input: MakeInput, chunked: bool, read: str) -> None:
    body = make_input(
        CHUNKED if chunked else length(100), b"99\r\nincomplete" if chunked else b"incomplete", close=True
    )
    for _ in range(2):
        with pytest.raises(ClientGone):
            READS[read](body)
    assert isinstance(body.failure, ClientGone) and isinstance(body.failure, ConnectionError)
    assert not body.drain() and not body.droppable()


@pytest.mark.parametrize("read", READS)
def test_a_client_that_sends_nothing_is_too_slow(make_input: MakeInput, read: str) -> None:
    body = make_input(length(100), b"incomplete", timeout_s=0.05)
    for _ in range(2):
        with pytest.raises(ClientTooSlow):
            READS[read](body)
    assert isinstance(body.failure, TimeoutError) and not body.drain()


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("buffered", [False, True])
def test_a_chunk_error_is_no_end_of_the_body(make_input: MakeInput, read: str, buffered: bool) -> None:
    data = b"3\r\nabc\r\nzz\r\n0\r\n\r\n"
    body = make_input(CHUNKED, buffered=data) if buffered else make_input(CHUNKED, data)
    for _ in range(2):
        with pytest.raises(BodyRefused) as caught:
            READS[read](body)
    assert caught.value.status == 400 and isinstance(caught.value, OSError)
    assert not body.finished and body.rest == b"" and not body.drain()


def test_the_limit_of_the_body(make_input: MakeInput) -> None:
    exact = make_input(CHUNKED, b"5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", limits=Limits(body=10))
    assert exact.read() == b"hellohello"
    over = make_input(CHUNKED, b"5\r\nhello\r\n6\r\nhello!\r\n0\r\n\r\n", limits=Limits(body=10))
    with pytest.raises(BodyRefused) as caught:
        over.read()
    assert caught.value.status == 413


EXPECT = make_head(b"Content-Length: 5", b"Expect: 100-continue")


def test_continue_is_sent_once_and_at_the_first_read(make_input: MakeInput, channels: list[PairChannel]) -> None:
    body = make_input(EXPECT)
    assert channels[0].writes == []
    channels[0].client.sendall(b"h")
    assert body.read(1) == b"h"
    channels[0].client.sendall(b"ello")
    assert body.read() == b"ello"
    assert channels[0].writes == [CONTINUE] and channels[0].reads == 2


def test_no_continue_when_the_body_is_on_its_way_or_the_response_has_begun(
    make_input: MakeInput, channels: list[PairChannel]
) -> None:
    assert make_input(EXPECT, b"llo", buffered=b"he").read() == b"hello"
    late = make_input(EXPECT, b"hello")
    late.forget_continue()
    assert late.read() == b"hello"
    assert [channel.writes for channel in channels] == [[], []]


def test_an_expectation_that_was_not_met_ends_the_connection(
    make_input: MakeInput, channels: list[PairChannel]
) -> None:
    body = make_input(EXPECT, b"hello")
    assert not body.droppable()
    body.forget_continue()
    assert not body.drain()
    assert channels[0].reads == 0, "whether the client sends the body is its own choice"


def test_on_first_read_is_called_once_and_only_to_wait(channels: list[PairChannel]) -> None:
    channels.append(PairChannel(b"llo!"))
    calls: list[int] = []
    body = Input(channels[0], length(6), b"he", Limits(), lambda: calls.append(channels[0].reads), timeout_s=5)
    assert body.read(2) == b"he" and calls == []
    assert body.read() == b"llo!" and calls == [0]
    assert body.read() == b"" and calls == [0]


@pytest.mark.parametrize(("count", "drained"), [(0, True), (65536, True), (65537, False), (10**9, False)])
def test_drain_of_a_known_length(make_input: MakeInput, channels: list[PairChannel], count: int, drained: bool) -> None:
    body = make_input(length(count), b"x" * min(count, 65536) + FOLLOWER)
    assert body.droppable() is drained
    assert body.drain() is drained
    assert body.finished is drained
    if not drained:
        assert channels[0].reads == 0


@pytest.mark.parametrize(("chunks", "drained"), [(1, True), (4, True), (9, False)])
def test_drain_of_chunks(channels: list[PairChannel], chunks: int, drained: bool) -> None:
    channels.append(PairChannel())
    data = (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * chunks + b"0\r\n\r\n" + FOLLOWER
    thread = threading.Thread(target=channels[0].client.sendall, args=(data,))
    thread.start()
    body = Input(channels[0], CHUNKED, b"", Limits(), timeout_s=5)
    assert body.droppable()
    assert body.drain() is drained
    while thread.is_alive():
        channels[0].server.settimeout(0.1)
        try:
            channels[0].server.recv(65536)
        except TimeoutError:
            thread.join(0.1)
    assert body.rest == (FOLLOWER if drained else b"")


def test_drain_has_one_deadline_for_all_bytes(make_input: MakeInput, channels: list[PairChannel]) -> None:
    body = make_input(length(1000))
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.02):
            channels[0].client.send(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    began = time.monotonic()
    assert not body.drain(timeout_s=0.2)
    elapsed = time.monotonic() - began
    stop.set()
    thread.join(5)
    assert 0.1 < elapsed < 2


def test_a_read_after_the_request_touches_no_channel(make_input: MakeInput, channels: list[PairChannel]) -> None:
    done = make_input(length(5), b"hello")
    assert done.drain() and done.read() == b""
    left = make_input(length(500), b"hello")
    left.abandon()
    with pytest.raises(OSError, match="the request has ended"):
        left.read()
    assert channels[1].reads == 0


def test_many_small_lines_cost_linear_time(make_input: MakeInput) -> None:
    data = b"a\n" * 500_000
    began = time.thread_time()  # nothing is waited for
    assert len(make_input(length(len(data)), buffered=data).readlines()) == 500_000
    assert time.thread_time() - began < 10
