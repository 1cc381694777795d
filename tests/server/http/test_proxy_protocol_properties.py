"""Laws of PROXY protocol headers, for headers made by chance: what ``tests/fuzz`` says of them, and nothing too early
or too late.
"""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import cases, laws, prefaces
from releve.server.http.proxy_protocol import V1_MAX_BYTES, V2_MAX_BYTES

bounded = settings(
    max_examples=120, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)

ipv4 = st.ip_addresses(v=4).map(str)
ipv6 = st.ip_addresses(v=6).flatmap(
    lambda address: st.sampled_from([str(address), address.exploded, f"::ffff:{address.packed[0]}.2.3.4"])
)
hosts = ipv4 | ipv6 | st.sampled_from(["01.2.3.4", "1.2.3", "::1%a", "::", "1::2::3", ""])
ports = st.integers(0, 65535).map(str) | st.sampled_from(["65536", "01", "+1", "", "1 "])
families = st.sampled_from(["TCP4", "TCP6", "UNKNOWN", "tcp4", ""])
lines = st.builds(lambda *words: f"PROXY {' '.join(words)}\r\n".encode(), families, hosts, hosts, ports, ports)
good_lines = st.builds("PROXY TCP4 {} {} {} 1\r\n".format, ipv4, ipv4, st.integers(0, 65535)).map(str.encode)
good_lines_6 = st.builds("PROXY TCP6 {} {} {} 1\r\n".format, ipv6, ipv6, st.integers(0, 65535)).map(str.encode)
extensions = st.lists(st.binary(max_size=9).map(lambda data: b"\x04\0%c" % len(data) + data), max_size=3).map(b"".join)


@st.composite
def binary(draw: st.DrawFn) -> bytes:
    """Version 2; mostly good."""
    family = draw(st.sampled_from([0x11, 0x11, 0x21, 0x21, 0x31, 0x00, 0x12, 0x41]))
    command = draw(st.sampled_from([0x21, 0x21, 0x21, 0x20, 0x22, 0x11]))
    size = {1: 12, 2: 36, 3: 216}.get(family >> 4, 0)
    zeros = draw(st.lists(st.sampled_from([0, 0, 1, 255]), min_size=size, max_size=size)) if size < 200 else bytes(size)
    body = bytes(zeros) + draw(extensions)
    length = max(0, len(body) + draw(st.sampled_from([0, 0, 0, 0, -1, 1, -13, 300])))
    return prefaces.V2_SIGNATURE + bytes((command, family)) + length.to_bytes(2) + body


every = lines | good_lines | good_lines_6 | binary()


@bounded
@given(every, st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"PROXY "]))
def test_a_preface_is_what_the_specification_says_and_no_byte_more(data: bytes, rest: bytes) -> None:
    laws.check_preface(data + rest)


@bounded
@given(every, st.randoms(use_true_random=False))
def test_a_spoiled_preface_is_what_the_specification_says(data: bytes, chance: random.Random) -> None:
    laws.check_preface(cases.mutated(data, chance))


def test_every_byte_at_every_place() -> None:
    address = bytes(range(12))
    for good in (
        b"PROXY TCP4 1.2.3.4 5.6.7.80 9 10\r\n",
        prefaces.V2_SIGNATURE + b"\x21\x11\0\x10" + address + b"\x04\0\x01a",
    ):
        for at in range(len(good)):
            for byte in range(256):
                data = good[:at] + b"%c" % byte + good[at + 1 :]
                assert laws.preface_of(data) == prefaces.preface(data)


def test_every_two_addresses_of_every_family() -> None:
    odd = (
        "1.2.3.4",
        "01.2.3.4",
        "1.2.3",
        "1.2.3.256",
        "::",
        "::1%a",
        "1::2::3",
        "1:2:3:4:5:6:7::",
        "1:2:3:4:5:6:7:8",
        "::1.2.3.4",
        "::12345",
        "",
    )
    for family in ("TCP4", "TCP6", "UNKNOWN", "tcp4"):
        for source in odd:
            for destination in odd:
                laws.check_preface(f"PROXY {family} {source} {destination} 0 65535\r\n".encode())


def test_the_limits_are_where_they_are_said_to_be() -> None:
    for over in (-1, 0, 1):
        line = b"PROXY UNKNOWN " + b"a" * (V1_MAX_BYTES - 16 + over) + b"\r\n"
        length = V2_MAX_BYTES - 16 + over
        header = prefaces.V2_SIGNATURE + b"\x20\0" + length.to_bytes(2) + bytes(length)
        endless = b"PROXY UNKNOWN " + b"a" * (V1_MAX_BYTES - 15 + over)
        for data in (line, endless, header):
            assert (laws.preface_of(data) == "refused") == (over > 0)
            laws.check_preface(data)
