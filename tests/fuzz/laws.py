"""What holds for every sequence of bytes at the beginning of a connection, as functions that raise when it does not:
``grammar`` is the judge. Behind a head: ``body_laws``.

The property tests (``tests/server``) and the fuzzers call the same ones. Where chance is needed (cuts, the reads of an
application) it follows from the bytes, so that a file of the corpus is a case.
"""

from __future__ import annotations

import random
from typing import Any

from fuzz import grammar, prefaces
from fuzz.cases import EACH_BYTE, LIMITS, chance_of, cuts, mutated
from releve.config.settings.limits import Limits
from releve.server.http import fasthead, shape
from releve.server.http.fasthead import fast_environ, usual
from releve.server.http.head import Head, HTTPError, Partial, head_end, parse_head
from releve.server.http.proxy_protocol import Preface, PrefaceError, read_preface
from releve.server.wsgi.environ import base_environ, build_environ

BASE = base_environ("127.0.0.1:80", ("127.0.0.1", 80), "10.0.0.1:1", multithread=True)
STATUSES = {400, 413, 414, 417, 431, 501, 505}

# What may be missing of a head that is not all there.
COMPLETIONS = (b"\r\n\r\n", b"\n\r\n", b"\r\nHost: a\r\n\r\n", b" / HTTP/1.1\r\nHost: a\r\n\r\n", b": b\r\n\r\n")


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
            else:
                assert not isinstance(fed, tuple), "accepted, but its empty line is missing"
        if isinstance(message, grammar.Message):
            check_again(message, limits)
        check_fast(data, limits)
        check_shape(data, limits)
    if b"\r\n\r\n" not in data and len(data) <= EACH_BYTE:
        for completion in COMPLETIONS:
            check_prefix(data + completion)


def judge(data: bytes, limits: Limits) -> grammar.Message | grammar.Refused | None:
    try:
        return grammar.request(data, limits)
    except grammar.Refused as refused:
        return refused


def feed_head(pieces: list[bytes], limits: Limits) -> tuple[Head, int] | HTTPError | None:
    """What a connection makes of ``pieces``: the head and where it ends, the refusal, or nothing yet.

    Lets no other exception pass.
    """
    buffer = bytearray()
    searched, partial = 0, Partial()
    try:
        for piece in pieces:
            buffer += piece
            end = head_end(buffer, searched)
            if end >= 0:
                return parse_head(bytes(buffer[:end]), limits), end
            searched = len(buffer)
            partial.look(buffer, limits)
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
                Partial().look(data[:length], limits)


def check_fast(data: bytes, limits: Limits) -> dict[str, Any] | None:
    """The short way to read a head says nothing that the strict parser would not: knowing nothing, knowing all that it
    has kept of this head, and knowing all that it keeps of these lines in other heads. Returns its answer.
    """
    end = head_end(data, 0)
    if end < 0:
        return None
    fasthead.forget()
    cold = fast_environ(data, end, BASE, limits)
    answers = [fast_environ(data, end, BASE, limits)]
    for line in data[:end].split(b"\r\n"):
        alone = b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n"
        fast_environ(alone, len(alone), BASE, limits)
        fast_environ(alone, alone.index(b"\r\n\r\n") + 4, BASE, limits)
    answers.append(fast_environ(data, end, BASE, limits))
    assert answers == [cold, cold], "with more names known, it says something else"
    assert max(len(fasthead._names), len(fasthead._hosts)) <= fasthead.KNOWN_MAX
    if cold is None:
        return None
    head = assert_strict(data[:end], cold, limits)
    assert not head.chunked and not head.expect_continue
    assert usual(cold) == (head.method, head.target, head.keep_alive, head.version)
    return cold


def assert_strict(data: bytes, environ: dict[str, Any], limits: Limits) -> Head:
    """The strict parser says the same as ``environ``, but for ``wsgi.input``.

    ``limits.body`` is not looked at: callers do that.
    """
    unlimited = Limits(request_line=limits.request_line, headers=limits.headers, header=limits.header, head=limits.head)
    assert head_end(data, 0) == len(data), "the end of the head"
    try:
        head = parse_head(data, unlimited)
    except HTTPError as error:
        raise AssertionError("taken by the cache, refused by the strict parser") from error
    assert {**environ, "wsgi.input": None} == build_environ(head, BASE, None)
    return head


def check_shape(data: bytes, limits: Limits) -> int:
    """A shape learned from the head at the beginning of ``data``, and one from it and its like, read what is behind it,
    all of it, and all that chance makes of it as the strict parser does, or not at all. Returns how many were read.
    """
    end = head_end(data, 0)
    fasthead.forget()
    shape.forget()
    environ = fast_environ(data, end, BASE, limits) if end >= 0 else None
    if environ is None:
        return 0
    chance = chance_of(data)
    first, rest = data[:end], data[end:]
    before = dict(environ)
    known = shape.learn(text(first), environ, BASE, None, limits)
    assert environ == before, "learning changes nothing"
    shapes = [known] if known is not None else []
    others = [renewed(first, chance) for _ in range(2)]
    for like in others:
        environ = fast_environ(like, len(like), BASE, limits) if head_end(like, 0) == len(like) else None
        if environ is None:
            continue
        known = shape.learn(text(like), environ, BASE, known, limits)
        if known is not None:
            shapes.append(known)
    others += [first, data, rest, rest[: head_end(rest, 0)] if head_end(rest, 0) >= 0 else b""]
    others += [mutated(chance.choice((first, *others[:2])), chance) for _ in range(6)]
    found = 0
    for number, known in enumerate(shapes):
        for other in others:
            environ = known.read(text(other))
            if environ is not None:
                found += 1
                head = assert_strict(other, environ, limits)
                assert head.keep_alive and not head.has_body and not head.expect_continue and head.version == (1, 1)
        # of a value that differs: it is in no shape
        trailing = any(line.endswith((b" ", b"\t")) for line in first.split(b"\r\n"))
        assert number or trailing or known.read(text(first)) is not None, (
            "it does not know the head that it was learned from"
        )
    return found


def renewed(head: bytes, chance: random.Random) -> bytes:
    """The next request of the same client: another target, and other values in some lines."""
    first, *lines = head[:-4].split(b"\r\n")
    first = first.replace(b"/", b"/%d" % chance.randrange(100), 1)
    number = b"%d" % chance.randrange(10 ** chance.randrange(1, 12))
    for index in range(len(lines)):
        name, colon, _ = lines[index].partition(b":")
        if chance.random() < 0.3:
            lines[index] = name + colon + chance.choice((b"", b" ", b"\t")) + number
        elif chance.random() < 0.2:
            lines[index] += number
    return b"\r\n".join((first, *lines)) + b"\r\n\r\n"


# ---------------------------------------------------------------- prefaces


def check_preface(data: bytes) -> None:
    """A preface is the same however much follows it; nothing is said too early, and what is refused is refused for
    good.
    """
    said = preface_of(data)
    assert said == prefaces.preface(data)
    whole = isinstance(said, Preface)
    assert preface_of(bytearray(data)) == said
    lengths = (
        range(len(data))
        if len(data) <= EACH_BYTE
        else sorted({*range(40), *chance_of(data).sample(range(len(data)), 20)})
    )
    refused = False
    for length in lengths:
        early = preface_of(data[:length])
        if isinstance(said, Preface) and length >= said.length_bytes:
            assert early == said
        elif whole or said is None:
            assert early is None, "a prefix of a good one is refused, or taken for all of it"
        else:
            assert early in (None, "refused") and (early or not refused), "refused, and then not"
            refused = early is not None


def preface_of(data: bytes | bytearray) -> Preface | str | None:
    try:
        return read_preface(data)
    except PrefaceError:
        return "refused"


def text(data: bytes) -> str:
    return data.decode("latin-1")
