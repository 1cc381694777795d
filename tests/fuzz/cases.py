"""A case of the laws: its bytes, the ways to take them apart, the limits, and the chance that follows from them."""

from __future__ import annotations

import random
import zlib

from releve.config.settings.limits import Limits

LIMITS = (Limits(), Limits(request_line=64, headers=3, header=64, head=256, body=1000))
EACH_BYTE = 300  # bytes of a case that is also fed byte by byte; more would take a time that grows with its square


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


HOSTILE = (
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b"#", b"%0d%0a", b"\x7f", b"\x85", b"\xa0", b"\xad", b"_", b",",
    b"\r\n\r\n",
    b"\r\n folded", b"\r\nHost: b", b"\r\nContent-Length: 5", b"\r\nTransfer-Encoding: chunked",
    b"\r\nExpect: 100-continue",
    b"\r\nConnection: close", b"\r\nX_A: b", b"\r\nProxy: b", b"\r\nContent-Type: a", b" HTTP/1.1", b"a" * 300,
)  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    """``data`` with one to three changes, none of them sure to be harmless."""
    for _ in range(chance.randrange(1, 4)):
        if chance.random() < 0.2:  # a line twice, or not at all
            lines = data.split(b"\r\n")
            line = chance.randrange(len(lines))
            data = b"\r\n".join((*lines[:line], *chance.choice(((), (lines[line],) * 2)), *lines[line + 1 :]))
            continue
        at = chance.randrange(len(data) + 1)
        cut = at + chance.choice((0, 0, 1, 1, 2, 5))
        put = chance.choice((b"", chance.choice(HOSTILE), chance.choice(HOSTILE), bytes((chance.randrange(256),))))
        data = data[:at] + put + data[cut:]
    return data
