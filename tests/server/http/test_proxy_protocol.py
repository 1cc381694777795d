"""The PROXY protocol: what is a preface, what is none, and that it is never read past its end."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releve.server.http.proxy_protocol import V1_MAX_BYTES, V2_MAX_BYTES, Preface, PrefaceError, read_preface

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = socket.inet_aton("203.0.113.9") + socket.inet_aton("10.0.0.1") + struct.pack("!HH", 4711, 80)
V6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "::1")
    + struct.pack("!HH", 4711, 80)
)
MAPPED = socket.inet_pton(socket.AF_INET6, "::ffff:203.0.113.9") + bytes(16) + struct.pack("!HH", 4711, 80)
UNIX = b"/tmp/a".ljust(108, b"\0") + b"/tmp/b".ljust(108, b"\0")


def v2(version_command: int = 0x21, family_transport: int = 0x11, body: bytes = V4, length: int | None = None) -> bytes:
    return (
        SIGNATURE
        + struct.pack("!BBH", version_command, family_transport, len(body) if length is None else length)
        + body
    )


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


GOOD = [
    (b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n", "203.0.113.9:4711"),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535"),
    (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0"),
    (b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n", "[2001:db8::1]:4711"),
    (b"PROXY TCP6 2001:DB8:0:0:0:0:0:1 ::1 4711 80\r\n", "[2001:db8::1]:4711"),
    (b"PROXY TCP6 ::ffff:203.0.113.9 ::1 4711 80\r\n", "203.0.113.9:4711"),
    (
        b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n",
        "[" + "ffff:" * 7 + "ffff]:65535",
    ),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", ""),
    (b"PROXY UNKNOWN what ever it says\r\n", ""),
    (v2(), "203.0.113.9:4711"),
    (v2(body=V4 + tlv(4, b"") + tlv(0x20, b"abc")), "203.0.113.9:4711"),
    (v2(body=V4 + tlv(0xEA, bytes(500))), "203.0.113.9:4711"),
    (v2(family_transport=0x21, body=V6), "[2001:db8::1]:4711"),
    (v2(family_transport=0x21, body=MAPPED), "203.0.113.9:4711"),
    (v2(family_transport=0x21, body=V6 + tlv(3, b"crc1")), "[2001:db8::1]:4711"),
    (v2(family_transport=0x31, body=UNIX), ""),
    (v2(family_transport=0x00, body=b""), ""),
    (v2(family_transport=0x01, body=b"anything"), ""),
    (v2(family_transport=0x10, body=V4), ""),
    (v2(0x20, 0x00, b""), ""),
    (v2(0x20, 0x11, V4), ""),
    (v2(0x20, 0x00, bytes(100)), ""),
    (v2(0x20, 0xFF, b"x"), ""),
    (v2(body=V4 + tlv(4, bytes(V2_MAX_BYTES - 16 - 12 - 3))), "203.0.113.9:4711"),
]

BAD = [
    b"GET / HTTP/1.1\r\n",
    b"P GET",
    b"proxy TCP4 203.0.113.9 10.0.0.1 4711 80\r\n",
    b" PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n",
    b"PROXY\r\n",
    b"PROXY \r\n",
    b"PROXY  TCP4 203.0.113.9 10.0.0.1 4711 80\r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP4 \r\n",
    b"PROXY TCP4 203.0.113.9\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 4711\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80 \r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80 1\r\n",
    b"PROXY TCP4 203.0.113.9  10.0.0.1 4711 80\r\n",
    b"PROXY TCP4 203.0.113.9\t10.0.0.1 4711 80\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 04711 80\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 65536 80\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 99999999\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 -1 80\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 +1 80\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 1_0 80\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1  80\r\n",
    "PROXY TCP4 203.0.113.9 10.0.0.1 ٣ 80\r\n".encode(),
    b"PROXY TCP4 203.0.113.09 10.0.0.1 4711 80\r\n",
    b"PROXY TCP4 203.0.113.256 10.0.0.1 4711 80\r\n",
    b"PROXY TCP4 203.0.113 10.0.0.1 4711 80\r\n",
    b"PROXY TCP4 2001:db8::1 ::1 4711 80\r\n",
    b"PROXY TCP4 localhost 10.0.0.1 4711 80\r\n",
    b"PROXY TCP4 203.0.113.9 here 4711 80\r\n",
    b"PROXY TCP6 203.0.113.9 10.0.0.1 4711 80\r\n",
    b"PROXY TCP6 [2001:db8::1] ::1 4711 80\r\n",
    b"PROXY TCP6 2001:db8::1%eth0 ::1 4711 80\r\n",
    b"PROXY TCP6 2001:db8:::1 ::1 4711 80\r\n",
    b"PROXY UDP4 203.0.113.9 10.0.0.1 4711 80\r\n",
    b"PROXY tcp4 203.0.113.9 10.0.0.1 4711 80\r\n",
    b"PROXY TCP5 203.0.113.9 10.0.0.1 4711 80\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\nGET / HTTP/1.1\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\r\n",
    b"PROXY TCP4 203.0.113.9\0 10.0.0.1 4711 80\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY UNKNOWN " + b"x" * V1_MAX_BYTES + b"\r\n",
    b"PROXY TCP4 " + b"0" * V1_MAX_BYTES,
    b"\r\n\r\nGET / HTTP/1.1\r\n",
    b"\r\n\r\n\0\r\nQUIT\r",
    v2(0x11),
    v2(0x31),
    v2(0x22),
    v2(0x2F),
    v2(0x01),
    v2(family_transport=0x41),
    v2(family_transport=0xF1),
    v2(family_transport=0x12),
    v2(family_transport=0x13),
    v2(family_transport=0x22, body=V6),
    v2(body=V4[:-1]),
    v2(body=b""),
    v2(family_transport=0x21, body=V4),
    v2(family_transport=0x31, body=UNIX[:-1]),
    v2(body=V4 + b"\x04"),
    v2(body=V4 + b"\x04\0"),
    v2(body=V4 + b"\x04\0\x01"),
    v2(body=V4 + tlv(4, b"abc")[:-1]),
    v2(length=V2_MAX_BYTES),
    v2(0x20, length=0xFFFF),
]


def fed(data: bytes, step: int) -> Preface | None:
    """What comes of it piece by piece; nothing may change once it is known."""
    for end in range(step, len(data) + step, step):
        preface = read_preface(bytearray(data[:end]))
        if preface is not None:
            return preface
    return None


@pytest.mark.parametrize(("data", "source"), GOOD)
@pytest.mark.parametrize("follower", [b"", b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 9.9.9.9 9.9.9.9 9 9\r\n", SIGNATURE])
def test_a_preface_is_read_to_its_end_and_no_further(data: bytes, source: str, follower: bytes) -> None:
    expected = Preface(len(data), source, local=data[12:13] == b"\x20")
    assert read_preface(data + follower) == expected
    assert fed(data + follower, 1) == fed(data + follower, 7 if len(data) > 7 else 1) == expected
    for end in range(len(data)):
        assert not end or read_preface(data[:end]) is None, "it asks for more until it is whole"


@pytest.mark.parametrize("data", BAD)
@pytest.mark.parametrize("step", [1, 5, 10_000])
def test_what_is_no_preface_is_refused(data: bytes, step: int) -> None:
    with pytest.raises(PrefaceError):
        fed(data, step)


def test_nothing_yet_is_nothing_yet() -> None:
    assert read_preface(b"P") is None
    assert read_preface(b"\r") is None


@given(
    st.one_of(
        st.binary(max_size=300),
        st.builds(lambda tail: b"PROXY " + tail, st.binary(max_size=120)),
        st.builds(
            v2,
            st.sampled_from([0x20, 0x21]),
            st.integers(0, 255),
            st.binary(max_size=250),
            st.none() | st.integers(0, 300),
        ),
    )
)
def test_any_bytes_give_the_same_at_once_or_in_pieces(data: bytes) -> None:
    def outcome(step: int) -> object:
        try:
            return fed(data, step)
        except PrefaceError:
            return PrefaceError

    whole = outcome(max(1, len(data)))
    assert outcome(1) == outcome(3) == whole
    if isinstance(whole, Preface):
        assert whole.length_bytes <= min(len(data), V2_MAX_BYTES)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_every_address_comes_through_both_versions(address: object, port: int) -> None:
    four = ":" not in str(address)
    text = f"PROXY {'TCP4' if four else 'TCP6'} {address} {address} {port} 80\r\n".encode()
    packed = address.packed * 2 + struct.pack("!HH", port, 80)  # type: ignore[attr-defined]
    one, two = read_preface(text), read_preface(v2(0x21, 0x11 if four else 0x21, packed))
    assert one is not None and two is not None
    assert one.source == two.source
    assert one.source.endswith(f":{port}")
