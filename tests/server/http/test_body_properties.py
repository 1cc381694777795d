"""Laws of request bodies, for bodies made by chance: the grammar of ``tests/fuzz`` agrees with their readers, however
they are cut.

The same bodies each time; ``make fuzz`` looks for others.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import body_laws, cases, grammar
from releve.server.http.body import EXTENSIONS_MAX_BYTES, LINE_MAX_BYTES, TRAILERS_MAX_BYTES, ChunkDecoder, Input
from releve.server.http.head import Head, HTTPError

CORPUS = Path(body_laws.__file__).parent / "corpus" / "chunks"
bounded = settings(
    max_examples=120, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)

TOKEN = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
tokens = st.text(TOKEN, min_size=1, max_size=6).map(str.encode)
texts = st.text([chr(byte) for byte in range(256) if byte in grammar.FIELD_TEXT], max_size=8).map(
    lambda text: text.encode("latin-1")
)
quoted = texts.map(lambda text: b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"')
space = st.sampled_from([b"", b"", b" ", b"\t", b" \t "])
extensions = st.builds(
    lambda spaces, name, value: b"%b;%b" % spaces[:2] + name + (b"%b=%b" % spaces[2:] + value if value else b""),
    st.tuples(space, space, space, space),
    tokens,
    st.none() | tokens | quoted,
)
lists = st.lists(extensions, max_size=3).map(b"".join)
lines = st.lists(st.sampled_from([b"\n", b"a\n", b"\r\n", b"0\r\n\r\n"]), min_size=1, max_size=6).map(b"".join)
pieces = st.binary(min_size=1, max_size=40) | lines
trailers = st.lists(st.builds(lambda name, value: name + b": " + value + b"\r\n", tokens, texts), max_size=3).map(
    b"".join
)
rests = st.sampled_from([b"", b"", b"GET / HTTP/1.1\r\n", b"\r\n", b"\0"])


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """A content, one of the ways to encode it, and what follows it."""
    parts = draw(st.lists(pieces, max_size=5))
    encoded = b""
    for part in parts:
        size = draw(st.sampled_from([b"%x", b"%X", b"0%x", b"%012x"])) % len(part)
        encoded += size + draw(lists) + b"\r\n" + part + b"\r\n"
    encoded += draw(st.sampled_from([b"0", b"000"])) + draw(lists) + b"\r\n" + draw(trailers) + b"\r\n"
    return b"".join(parts), encoded, draw(rests)


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_the_corpus_of_the_fuzzer(path: Path) -> None:
    body_laws.check_chunks(path.read_bytes())


@bounded
@given(bodies())
def test_what_was_encoded_is_decoded_in_any_pieces_and_not_a_byte_more(body: tuple[bytes, bytes, bytes]) -> None:
    content, encoded, rest = body
    assert grammar.chunked_body(encoded + rest) == grammar.Body(content, finished=True, rest=rest)
    for cut in cases.cuts(encoded + rest):
        decoder = ChunkDecoder()
        assert b"".join(piece for data in cut for piece in decoder.feed(data)) == content
        assert decoder.finished and decoder.rest == rest


@bounded
@given(bodies())
def test_a_body_is_what_the_grammar_says_and_reads_like_a_file(body: tuple[bytes, bytes, bytes]) -> None:
    body_laws.check_chunks(body[1] + body[2])


@bounded
@given(bodies(), st.integers(0, 300))
def test_a_body_that_breaks_off_never_looks_like_one_that_ended(body: tuple[bytes, bytes, bytes], left: int) -> None:
    body_laws.check_chunks(body[1][: min(left, len(body[1]) - 1)])


@bounded
@given(bodies(), st.randoms(use_true_random=False))
def test_a_spoiled_body_is_what_the_grammar_says(body: tuple[bytes, bytes, bytes], chance: random.Random) -> None:
    body_laws.check_chunks(cases.mutated(body[1] + body[2], chance))


@bounded
@given(st.binary(max_size=60) | st.text('019afAF;= \t\r\n"\\:x', max_size=40).map(str.encode))
def test_any_bytes_are_a_body_or_refused_or_not_all_there(data: bytes) -> None:
    body_laws.check_chunks(data)


def test_every_byte_at_every_place() -> None:
    good = b'2;a = "b\\c" ;d=e\r\nfg\r\n0\r\nH: i\r\n\r\nj'
    for at in range(len(good) + 1):
        for byte in range(256):
            for data in (good[:at] + b"%c" % byte + good[at:], good[:at] + b"%c" % byte + good[at + 1 :]):
                body_laws.check_decoder([data], grammar.chunked_body(data))


@pytest.mark.parametrize("over", [-1, 0, 1])
@pytest.mark.parametrize(
    "make",
    [
        lambda over: b"1;" + b"a" * (LINE_MAX_BYTES - 2 + over) + b"\r\nb\r\n0\r\n\r\n",
        lambda over: b"1;" + b"a" * (LINE_MAX_BYTES - 1 + over),  # the last may be a CR
        lambda over: b"0\r\nA:" + b"a" * (LINE_MAX_BYTES - 2 + over) + b"\r\n\r\n",
        lambda over: (
            (b"1;" + b"a" * 1023 + b"\r\nb\r\n") * (EXTENSIONS_MAX_BYTES // 1024)
            + (b"0" + b";a" * max(0, over))
            + b"\r\n\r\n"
        ),
        lambda over: (
            b"0\r\n"
            + (b"A:" + b"a" * 1022 + b"\r\n") * (TRAILERS_MAX_BYTES // 1024)
            + b"A:\r\n" * max(0, over)
            + b"\r\n"
        ),
    ],
)
def test_the_limits_are_where_they_are_said_to_be(make: Callable[[int], bytes], over: int) -> None:
    data = make(over)
    assert grammar.chunked_body(data).refused == (over > 0)
    body_laws.check_chunks(data)


# Many times as long: a step for each byte takes as many times longer, a step for each pair of bytes the square of that.
TIMES = 32
SLACK = 10
LONG: dict[str, Callable[[int], bytes]] = {
    "one chunk": lambda size: b"%x\r\n" % size + b"a" * size + b"\r\n0\r\n\r\n",
    "small chunks": lambda size: b"1\r\na\r\n" * (size // 6) + b"0\r\n\r\n",
    "lines": lambda size: b"%x\r\n" % (size // 2 * 2) + b"a\n" * (size // 2) + b"\r\n0\r\n\r\n",
    "what follows": lambda size: b"0\r\n\r\n" + b"a" * size,
}


@pytest.mark.parametrize("step", [1, 64 * 1024], ids=["byte by byte", "by reads"])
@pytest.mark.parametrize("kind", LONG)
def test_the_time_grows_with_the_length_of_a_body(kind: str, step: int) -> None:
    size = 1000 if step == 1 else 20_000

    def decode(data: bytes) -> None:
        decoder = ChunkDecoder()
        for start in range(0, len(data), step):
            decoder.feed(data[start : start + step])
            if decoder.finished:
                break

    def read(data: bytes) -> None:
        channel = body_laws.Pieces([data[start : start + step] for start in range(0, len(data), step)])
        source = Input(channel, Head("POST", "/", (1, 1), [], True, None, True, False), b"", cases.LIMITS[0])
        while source.readline(100):
            pass

    for do in (decode, read):
        assert seconds(do, LONG[kind](size * TIMES)) < seconds(do, LONG[kind](size)) * TIMES * SLACK


HARD: dict[str, bytes] = {
    "spaces": b"1" + b" " * 4000 + b"!",
    "names": b"1" + b";a" * 2000 + b"!;",
    "names and spaces": b"1" + b" ; a " * 800 + b"=",
    "values": b"1" + b";a=b" * 1000 + b";",
    "quoted": b'1;a="' + b"\\\\" * 2000,
    "many quoted": b"1" + b';a="b"' * 600 + b'"',
}


@pytest.mark.parametrize("kind", HARD)
def test_no_line_makes_the_pattern_backtrack(kind: str) -> None:
    def decode(data: bytes) -> None:
        try:
            ChunkDecoder().feed(data + b"\r\n")
        except HTTPError:
            return
        raise AssertionError("it is no chunk size")

    assert len(HARD[kind]) <= LINE_MAX_BYTES
    assert seconds(decode, HARD[kind]) < SLACK * 0.001  # some 30 microseconds


def seconds(do: Callable[[bytes], None], data: bytes) -> float:
    """The best of three."""

    def once() -> float:
        start = time.process_time()
        do(data)
        return time.process_time() - start

    return max(1e-4, min(once() for _ in range(3)))
