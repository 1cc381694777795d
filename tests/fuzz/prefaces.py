"""The PROXY protocol, as HAProxy's doc/proxy-protocol.txt has it: what ``server/http/proxy_protocol.py`` has to take
and refuse.

Slow and obvious.
"""

from __future__ import annotations

import socket

from fuzz.grammar import DIGIT, Refused, is_dec_octet, is_ipv6, need
from releve.server.http.proxy_protocol import Preface

V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def preface(data: bytes) -> Preface | str | None:
    """What stands at the beginning of ``data``; ``None``: not all there; or "refused"."""
    try:
        if data[:12] == V2_SIGNATURE[: len(data)] and data:
            return preface_2(data)
        need(data[:6] == b"PROXY "[: len(data)])
        return preface_1(data)
    except Refused:
        return "refused"


def preface_1(data: bytes) -> Preface | None:
    """Section 2.1. Its longest line has 107 bytes."""
    line, end, _ = data[:107].partition(b"\r\n")
    if not end:
        need(len(data) < 107)
        return None
    length = len(line) + 2
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return Preface(length)
    parts = line.split(b" ")
    need(len(parts) == 6 and parts[1] in (b"TCP4", b"TCP6"))
    is_address = is_ipv4 if parts[1] == b"TCP4" else is_ipv6
    need(is_address(parts[2]) and is_address(parts[3]) and is_port(parts[4]) and is_port(parts[5]))
    family = socket.AF_INET if parts[1] == b"TCP4" else socket.AF_INET6
    return Preface(length, source_text(socket.inet_pton(family, parts[2].decode("ascii")), int(parts[4])))


def preface_2(data: bytes) -> Preface | None:
    """Section 2.2. At most 4096 bytes are read; extensions must end where the header ends."""
    if len(data) < 16:
        return None
    command, family, transport = data[12], data[13] >> 4, data[13] & 15
    length = 16 + data[14] * 256 + data[15]
    need(command in (0x20, 0x21) and length <= 4096)
    if command == 0x20:
        return Preface(length, local=True) if len(data) >= length else None
    need(family <= 3 and transport <= 1)
    addresses = (0, 12, 36, 216)[family] if transport == 1 else 0
    need(length - 16 >= addresses)
    if len(data) < length:
        return None
    if not addresses:
        return Preface(length)
    extensions = data[16 + addresses : length]
    while extensions:
        need(len(extensions) >= 3)
        size = 3 + extensions[1] * 256 + extensions[2]
        need(len(extensions) >= size)
        extensions = extensions[size:]
    host_bytes = (0, 4, 16, 0)[family]
    port = 16 + 2 * host_bytes
    return Preface(
        length, source_text(data[16 : 16 + host_bytes], data[port] * 256 + data[port + 1]) if host_bytes else ""
    )


def source_text(host: bytes, port: int) -> str:
    if len(host) == 16 and host[:12] == bytes(10) + b"\xff\xff":
        host = host[12:]
    if len(host) == 4:
        return f"{'.'.join(str(byte) for byte in host)}:{port}"
    return f"[{shortest_ipv6(host)}]:{port}"


def shortest_ipv6(host: bytes) -> str:
    """RFC 5952, 4: the first of the longest runs of two zero groups or more is "::"."""
    groups = [host[index] * 256 + host[index + 1] for index in range(0, 16, 2)]
    runs = [
        (length, -start)
        for length in range(2, 9)
        for start in range(9 - length)
        if not any(groups[start : start + length])
    ]
    if not runs:
        return ":".join(f"{group:x}" for group in groups)
    length, start = max(runs)
    left, right = groups[:-start], groups[length - start :]
    return ":".join(f"{group:x}" for group in left) + "::" + ":".join(f"{group:x}" for group in right)


def is_ipv4(address: bytes) -> bool:
    numbers = address.split(b".")
    return len(numbers) == 4 and all(is_dec_octet(number) for number in numbers)


def is_port(digits: bytes) -> bool:
    """Decimal, without a zero in front (section 2.1)."""
    plain = 1 <= len(digits) <= 5 and all(byte in DIGIT for byte in digits)
    return plain and (digits == b"0" or digits[0] != 0x30) and int(digits) <= 65535
