"""The PROXY protocol, versions 1 and 2: what a proxy says of a connection before its first byte. Pure.

The rules are those of HAProxy's specification (doc/proxy-protocol.txt). The preface must be whole, and nothing
but a preface may stand there: who accepts a connection with or without one lets the client write its own.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable
from dataclasses import dataclass

Host = ipaddress.IPv4Address | ipaddress.IPv6Address

V1_MAX_BYTES = 107  # with its line end; section 2.1
V2_MAX_BYTES = 4096  # far above the 536 of section 2.2 and any set of extensions in use

_V1 = b"PROXY "
_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_V2_HEAD = struct.Struct("!12sBBH")  # signature, version and command, family and transport, length of the rest
_TLV = struct.Struct("!BH")

_LOCAL, _PROXY = 0, 1
_UNSPEC, _INET, _INET6, _UNIX = 0, 1, 2, 3
_STREAM = 1
_ADDRESSES_BYTES = {_INET: 12, _INET6: 36, _UNIX: 216}


class PrefaceError(Exception):
    """What a connection began with is no preface."""


@dataclass(frozen=True, slots=True)
class Preface:
    """A whole preface of ``length_bytes``.

    ``source`` is the client as ``host:port`` (IPv6 in brackets), empty if it is not named. ``local``: there is no
    client, the proxy speaks for itself.
    """

    length_bytes: int
    source: str = ""
    local: bool = False


def read_preface(data: bytes | bytearray) -> Preface | None:
    """The preface that ``data`` begins with; ``None`` while more bytes are needed.

    Raises PrefaceError as soon as it can be none.
    """
    if _V2.startswith(data[: len(_V2)]) and data:
        return _read_v2(data) if len(data) >= _V2_HEAD.size else None
    if _V1.startswith(data[: len(_V1)]):
        return _read_v1(data)
    raise PrefaceError("it does not begin with a PROXY protocol header")


def _read_v1(data: bytes | bytearray) -> Preface | None:
    end = data.find(b"\r\n", 0, V1_MAX_BYTES)
    if end < 0:
        if len(data) >= V1_MAX_BYTES:
            raise PrefaceError("the line of version 1 is too long")
        return None
    length = end + 2
    words = bytes(data[len(_V1) : end]).split(b" ")
    if words[0] == b"UNKNOWN":
        return Preface(length)  # whatever else is in the line is to be ignored
    try:
        protocol, source, destination, source_port, destination_port = (word.decode("ascii") for word in words)
        host = _V1_HOSTS[protocol](source)
        _V1_HOSTS[protocol](destination)
        _v1_port(destination_port)
        return Preface(length, _text(host, _v1_port(source_port)))
    except (ValueError, KeyError):
        raise PrefaceError("the line of version 1 is malformed") from None


def _v1_ipv6(text: str) -> Host:
    if "%" in text:
        raise ValueError("a scope has a meaning on the other machine only")
    return ipaddress.IPv6Address(text)


_V1_HOSTS: dict[str, Callable[[str], Host]] = {"TCP4": ipaddress.IPv4Address, "TCP6": _v1_ipv6}


def _v1_port(text: str) -> int:
    if not text.isdecimal() or len(text) > 5 or (text[0] == "0" and text != "0") or int(text) > 0xFFFF:
        raise ValueError("not a port")
    return int(text)


def _read_v2(data: bytes | bytearray) -> Preface | None:
    _, version_command, family_transport, rest_bytes = _V2_HEAD.unpack_from(data)
    version, command = divmod(version_command, 16)
    family, transport = divmod(family_transport, 16)
    length = _V2_HEAD.size + rest_bytes
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise PrefaceError(f"version {version} with command {command} is unknown")
    if length > V2_MAX_BYTES:
        raise PrefaceError(f"the header of version 2 has {length} bytes, the limit is {V2_MAX_BYTES}")
    if command == _PROXY and (family > _UNIX or transport > _STREAM):
        raise PrefaceError(f"family {family} with transport {transport} is not a stream")
    named = command == _PROXY and family != _UNSPEC and transport == _STREAM
    if named and rest_bytes < _ADDRESSES_BYTES[family]:
        raise PrefaceError("the addresses of version 2 are cut off")
    if len(data) < length:
        return None
    if not named:
        return Preface(length, local=command == _LOCAL)
    body = bytes(data[_V2_HEAD.size : length])
    _check_extensions(body, _ADDRESSES_BYTES[family])
    if family == _INET:
        return Preface(length, _text(ipaddress.IPv4Address(body[:4]), int.from_bytes(body[8:10])))
    if family == _INET6:
        return Preface(length, _text(ipaddress.IPv6Address(body[:16]), int.from_bytes(body[32:34])))
    return Preface(length)  # a path on the proxy's machine tells us nothing


def _check_extensions(body: bytes, at: int) -> None:
    """None of them is used, but they must end where the header ends (section 2.2.1)."""
    while at < len(body):
        if at + _TLV.size > len(body):
            raise PrefaceError("an extension is cut off")
        at += _TLV.size + _TLV.unpack_from(body, at)[1]
    if at != len(body):
        raise PrefaceError("an extension is cut off")


def _text(host: Host, port: int) -> str:
    if isinstance(host, ipaddress.IPv6Address):
        return f"{host.ipv4_mapped}:{port}" if host.ipv4_mapped else f"[{host}]:{port}"
    return f"{host}:{port}"
