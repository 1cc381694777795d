"""What holds for every sequence of bytes behind a head, as functions that raise when it does not."""

from __future__ import annotations

import io
import random
from typing import Any

from fuzz import grammar
from fuzz.cases import LIMITS, chance_of, cuts
from releve.config.settings.limits import Limits
from releve.server.http.body import BodyRefused, ChunkDecoder, Input
from releve.server.http.head import Head, HTTPError


def check_chunks(data: bytes) -> None:
    """Every law about chunked bodies, for ``data`` behind a head."""
    body = grammar.chunked_body(data)
    for pieces in cuts(data):
        check_decoder(pieces, body)
        for limits in LIMITS:
            check_input(pieces, body, limits)
        check_length(pieces)


def check_length(pieces: list[bytes]) -> None:
    """The same bytes as those of a body with a Content-Length, and what follows it."""
    data = b"".join(pieces)
    length = chance_of(data).randrange(len(data) * 5 // 4 + 2)
    body = grammar.Body(data[:length], finished=len(data) >= length, rest=data[length:])
    check_input(pieces, body, Limits(), length)


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
    """A ``Channel`` that has ``pieces`` and then ends; it notes how much was taken, and ``wanted`` is the most that may
    be.
    """

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

    def finish_file(self, file: int, offset: int, count: int) -> int:
        raise AssertionError("wsgi.input sends no file")

    def finish(self, data: bytes | memoryview, before: bytes = b"") -> None:
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
            raise AssertionError("a body that failed once reads as one that ended") from error
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
        lambda file: [line for _, line in zip(range(2), file, strict=False)],
    )
    return [chance.choice(known) for _ in range(chance.randrange(6))]
