"""What holds for every sequence of bytes, as functions that raise when it does not: ``grammar`` is the judge.

The property tests and the fuzzers (``tests/fuzz``) call the same ones. Where chance is needed (cuts, the reads of an
application) it follows from the bytes, so that a file of the corpus is a case.
"""

from __future__ import annotations

import io
import random
import zlib
from typing import Any

from harness import grammar
from releve.config.settings import Limits
from releve.server import fasthead
from releve.server.body import BodyRefused, ChunkDecoder, Input
from releve.server.environ import base_environ, build_environ
from releve.server.fasthead import fast_environ, usual
from releve.server.head import Head, HTTPError, check_partial, head_end, parse_head

LIMITS = (Limits(), Limits(request_line=64, headers=3, header=64, head=256, body=1000))
BASE = base_environ("127.0.0.1:80", ("127.0.0.1", 80), "10.0.0.1:1", multithread=True)
STATUSES = {400, 413, 414, 417, 431, 501, 505}
EACH_BYTE = 300  # bytes of a case that is also fed byte by byte; more would take a time that grows with its square
# What may be missing of a head that is not all there.
COMPLETIONS = (b"\r\n\r\n", b"\n\r\n", b"\r\nHost: a\r\n\r\n", b" / HTTP/1.1\r\nHost: a\r\n\r\n", b": b\r\n\r\n")


def cuts(data: bytes) -> list[list[bytes]]:
    """Ways to take ``data`` apart: whole, somehow, and byte by byte."""
    chance = chance_of(data)
    marks = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 8)))
    ways = [[data], [data[start:end] for start, end in zip([0, *marks], [*marks, len(data)], strict=True)]]
    if len(data) <= EACH_BYTE:
        ways.append([data[index : index + 1] for index in range(len(data))])
    return ways


def chance_of(data: bytes) -> random.Random:
    return random.Random(zlib.crc32(data))


# ---------------------------------------------------------------- heads


def check_head(data: bytes) -> None:
    """Every law about heads, for ``data`` at the beginning of a connection."""
    for limits in LIMITS:
        message = judge(data, limits)
        for pieces in cuts(data):
            fed = feed_head(pieces, limits)
            if isinstance(message, grammar.Message):
                assert isinstance(fed, tuple), f"refused, but it is a request: {fed}"
                assert_same(fed[0], message)
                assert fed[1] == message.end, "the end of the head"
            elif message is not None:
                assert isinstance(fed, HTTPError), "accepted, but it is no request"
        if isinstance(message, grammar.Message):
            check_again(message, limits)
        check_fast(data, limits)
    if b"\r\n\r\n" not in data and len(data) <= EACH_BYTE:
        for completion in COMPLETIONS:
            check_prefix(data + completion)


def judge(data: bytes, limits: Limits) -> grammar.Message | grammar.Refused | None:
    try:
        return grammar.request(data, limits)
    except grammar.Refused as refused:
        return refused


def feed_head(pieces: list[bytes], limits: Limits) -> tuple[Head, int] | HTTPError | None:
    """What a connection makes of ``pieces``: the head and where it ends, the refusal, or nothing yet. Lets no other exception pass."""
    buffer = bytearray()
    searched = 0
    try:
        for piece in pieces:
            buffer += piece
            end = head_end(buffer, searched)
            if end >= 0:
                return parse_head(bytes(buffer[:end]), limits), end
            searched = len(buffer)
            check_partial(buffer, limits)
    except HTTPError as error:
        assert error.status in STATUSES
        return error
    return None


def assert_same(head: Head, message: grammar.Message) -> None:
    assert (head.method, head.target, head.version) == (text(message.method), text(message.target), message.version)
    assert head.headers == [(text(name), text(value)) for name, value in message.fields]
    assert (head.content_length, head.chunked) == (message.content_length, message.chunked), "the framing"
    assert head.has_body == (message.chunked or message.content_length not in (None, 0))
    assert (head.keep_alive, head.expect_continue) == (message.keep_alive, message.expect_continue)


def check_again(message: grammar.Message, limits: Limits) -> None:
    """A head that was accepted means the same when it is written anew."""
    again = parse_head(message.serialised(), limits)
    assert_same(again, message)


def check_prefix(data: bytes) -> None:
    """No prefix of an accepted head is refused."""
    for limits in LIMITS:
        message = judge(data, limits)
        if isinstance(message, grammar.Message):
            for length in range(message.end):
                assert head_end(data[:length], 0) == -1
                check_partial(data[:length], limits)


def check_fast(data: bytes, limits: Limits) -> bool:
    """The cache of known lines says nothing that the strict parser would not, with what it knows from before and with all of these lines.

    Returns whether it had an answer.
    """
    end = head_end(data, 0)
    if end < 0:
        return False
    answers = [fast_environ(data, end, BASE, limits) for _ in range(2)]
    assert answers[0] == answers[1], "with every line known, it says something else"
    environ = answers[0]
    assert len(fasthead._lines) <= fasthead.LINES_MAX and len(fasthead._names) <= fasthead.NAMES_MAX
    if environ is None:
        return False
    try:
        head = parse_head(
            data[:end], Limits(limits.request_line, limits.headers, limits.header, limits.head)
        )  # its caller knows limits.body
    except HTTPError as error:
        raise AssertionError("taken by the cache, refused by the strict parser") from error
    expected = build_environ(head, BASE, None)
    del expected["wsgi.input"]
    assert environ == expected
    assert not head.chunked and not head.expect_continue and head.version == (1, 1)
    short = usual(environ)
    assert short is None or (short.method, short.target, short.keep_alive) == (head.method, head.target, head.keep_alive)
    return True


def text(data: bytes) -> str:
    return data.decode("latin-1")


# ---------------------------------------------------------------- bodies


def check_chunks(data: bytes) -> None:
    """Every law about chunked bodies, for ``data`` behind a head."""
    body = grammar.chunked_body(data)
    for pieces in cuts(data):
        check_decoder(pieces, body)
        for limits in LIMITS:
            check_input(pieces, body, limits)


def check_decoder(pieces: list[bytes], body: grammar.Body) -> None:
    """However it is cut: the same content and the same rest, never a byte more, and nothing but HTTPError."""
    decoder = ChunkDecoder()
    content = b""
    fed = 0
    try:
        for piece in pieces:
            content += b"".join(decoder.feed(piece))
            fed += len(piece)
            assert not decoder.rest or decoder.finished
            if decoder.finished:
                break
    except HTTPError as error:
        assert error.status == 400
        assert body.refused, f"refused, but it is a body: {error}"
        assert not decoder.finished and body.content.startswith(content)
        return
    assert not body.refused, "accepted, but it is no body"
    assert decoder.finished == body.finished
    assert content == body.content
    if body.finished:
        assert decoder.rest + b"".join(pieces)[fed:] == body.rest


class Pieces:
    """A ``Channel`` that has ``pieces`` and then ends; it notes how much was taken, and ``wanted`` is the most that may be."""

    def __init__(self, pieces: list[bytes], most: int | None = None) -> None:
        self.pieces = [piece for piece in pieces if piece]
        self.most = most
        self.written = b""

    def read(self, limit: int, timeout_s: float) -> bytes:
        assert limit > 0 and timeout_s > 0
        if self.most is not None:
            assert limit <= self.most, "it asks for bytes behind the body"
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if len(piece) > limit:
            self.pieces.insert(0, piece[limit:])
        piece = piece[:limit]
        if self.most is not None:
            self.most -= len(piece)
        return piece

    def write(self, data: bytes | memoryview) -> None:
        self.written += bytes(data)

    def sendfile(self, file: int, offset: int, count: int) -> int:
        raise AssertionError("wsgi.input sends no file")

    def finish(self, data: bytes) -> None:
        raise AssertionError("wsgi.input ends no response")

    @property
    def unread(self) -> bytes:
        return b"".join(self.pieces)


def check_input(pieces: list[bytes], body: grammar.Body, limits: Limits, length: int | None = None) -> None:
    """``wsgi.input`` is a file with the content of ``body``, or raises OSError; the connection goes on right behind it.

    ``length``: the body has a Content-Length, and is chunked otherwise. The first piece came with the head.
    """
    head = Head("POST", "/", (1, 1), [], True, length, length is None, False)
    buffered, later = (pieces[0], pieces[1:]) if pieces else (b"", [])
    channel = Pieces(later, None if length is None else max(0, length - len(buffered)))
    source = Input(channel, head, buffered, limits)
    too_long = length is None and limits.body is not None and len(body.content) > limits.body
    good = body.finished and not too_long
    model = io.BytesIO(body.content)
    chance = chance_of(body.content + body.rest)
    given = b""
    try:
        for operation in operations(chance):
            said = operation(source)
            if good:
                assert said == operation(model)
            given += said if isinstance(said, bytes) else b"".join(said)
            assert body.content.startswith(given), "it gives what is not of the body"
        given += source.read()
    except OSError as error:
        assert not good, f"a good body is refused: {error}"
        assert source.failure is error and not source.finished and body.content.startswith(given)
        if body.refused and not too_long and not channel.pieces:
            assert isinstance(error, BodyRefused), "the client did not go away: it broke the rules"
        for again in (source.read, source.readline, source.readlines):
            try:
                again()
            except OSError:
                continue
            raise AssertionError("a body that failed once reads as one that ended")
        assert not source.drain()
        return
    assert good, "a body that broke off, or broke the rules, reads as one that ended"
    assert given == body.content and source.finished and source.read() == source.readline() == b""
    assert source.rest + channel.unread == body.rest, "the next request begins elsewhere"
    assert source.drain()


def operations(chance: random.Random) -> list[Any]:
    """What an application may do with ``wsgi.input``, a few times."""
    size = chance.choice((None, -1, 0, 1, 2, 3, 7, 100))
    known = (
        lambda file: file.read(size),
        lambda file: file.readline(size),
        lambda file: file.readlines(size),
        lambda file: file.readline(),
        lambda file: file.read(5),
        lambda file: [line for line, _ in zip(file, range(2), strict=False)],
    )
    return [chance.choice(known) for _ in range(chance.randrange(6))]
