"""The head of a usual request, made into an environ with few steps, each over all of its lines. Pure but for the names
of fields, and the hosts, that it has seen.

Whatever is not plain in every respect (a repeated field, a transfer coding, an expectation, a length limit that may be
near, a byte out of the ordinary) makes ``fast_environ`` return ``None``: then the strict parser decides. So nothing is
accepted here that it would refuse.

Measured (``benchmarks/profile_worker.py``, twelve browser headers): a third of the time of ``parse_head`` and
``build_environ``, whether the lines were seen before or not.
"""

from __future__ import annotations

import re
from itertools import repeat
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from releve.config.settings.limits import Limits
from releve.server.http.forwarded import FAMILY, FORWARDED
from releve.server.http.head import EMPTY_LINE

KNOWN_MAX = 512  # names, and hosts, that are kept; then they are learned again
KNOWN_LENGTH_MAX = 160  # characters of one that is kept

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# version -> value of Connection -> whether the client stays (RFC 9112, 9.3)
_KEEP = {
    "HTTP/1.1": {None: True, "": True, "keep-alive": True, "Keep-Alive": True, "close": False},
    "HTTP/1.0": {None: False, "": False, "keep-alive": True, "Keep-Alive": True, "close": False},
}
_VERSIONS = {"HTTP/1.1": (1, 1), "HTTP/1.0": (1, 0)}
# For the strict parser.
_STRICT = frozenset(("HTTP_TRANSFER_ENCODING", "HTTP_EXPECT", "HTTP_PROXY"))
# What is not among them may still be legal (a tab, the odd byte above 0x7f): rare enough for the strict parser.
_PRINTABLE = bytes(byte for byte in range(256) if chr(byte).isprintable())

_token = re.compile(r"[!#$%&'*+\-.^`|~0-9A-Za-z]+").fullmatch  # without the underscore
_host = re.compile(
    r"[0-9A-Za-z.\-]+(?::(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
).fullmatch
_split, _strip = str.split, str.strip
_COLON_AND_SPACE, _COLON, _ONCE = repeat(": "), repeat(":"), repeat(1)  # arguments of `_split`, for each line

_names: dict[str, str] = {}  # a field name as sent -> its environ key
_hosts: set[str] = set()  # values of Host


class Usual(NamedTuple):
    """The short form of a head for what sends its response (``response.Asked``)."""

    method: str
    target: str
    keep_alive: bool
    version: tuple[int, int] = (1, 1)


def fast_environ(data: bytes, end: int, base: dict[str, Any], limits: Limits) -> dict[str, Any] | None:
    """The environ, but for ``wsgi.input``, of the request whose head is ``data[:end]``, its empty line included.

    ``base`` is that of the connection. ``None``: the strict parser decides, and nothing else follows from it.
    The target is in origin form, ``keeps`` says whether the client stays, and the body, if there is one, has a
    ``CONTENT_LENGTH`` within ``limits.body``.
    """
    if end > limits.header or end > limits.request_line or end > limits.head:
        return None
    head = data[:end]
    first, *lines, _, _ = str(head, "latin-1").split("\r\n")
    # Without what is printable, line ends are left: as many as there are lines, so no CR and no LF is elsewhere.
    if len(lines) > limits.headers or head.translate(None, _PRINTABLE) != EMPTY_LINE * (len(lines) + 2):
        return None
    try:
        method, target, version = first.split(" ")
        connections = _KEEP[version]
    except (ValueError, KeyError):
        return None
    if method not in _METHODS or target[:1] != "/" or "#" in target:
        return None
    try:
        fields: dict[str, str] = dict(map(_split, lines, _COLON_AND_SPACE, _ONCE))
    except ValueError:  # a line without: its value is empty, or stands right behind the colon, or it is none
        if not all(map(str.__contains__, lines, _COLON)):
            return None
        fields = dict(map(_split, lines, _COLON, _ONCE))
    environ = base.copy()
    environ.update(zip(map(_names.get, fields), map(_strip, fields.values()), strict=True))  # type: ignore[arg-type]
    if None in environ:  # a name that was not seen before
        keys = list(map(key_of, fields))
        if "" in keys:
            return None
        environ = base.copy()
        environ.update(zip(keys, map(_strip, fields.values()), strict=True))
    if len(environ) != len(base) + len(lines) or environ.get("HTTP_CONNECTION") not in connections:
        return None  # a field is repeated, or the strict parser reads its Connection
    host = environ.get("HTTP_HOST")
    if host not in _hosts and (host is None or not _read_host(host)):
        return None
    if "CONTENT_LENGTH" in environ and not _plain_length(environ["CONTENT_LENGTH"], limits.body):
        return None
    path, _, query = target.partition("?")
    environ["REQUEST_METHOD"] = method
    environ["RAW_URI"] = environ["REQUEST_URI"] = target
    environ["PATH_INFO"] = unquote_to_bytes(path.encode("latin-1")).decode("latin-1") if "%" in path else path
    environ["QUERY_STRING"] = query
    environ["SERVER_PROTOCOL"] = version
    return environ


def keeps(environ: dict[str, Any]) -> bool:
    """Whether the client of an environ just made by ``fast_environ`` stays for another request."""
    return _KEEP[environ["SERVER_PROTOCOL"]][environ.get("HTTP_CONNECTION")]


def usual(environ: dict[str, Any]) -> Usual:
    """The short form for an environ just made by ``fast_environ``."""
    return Usual(environ["REQUEST_METHOD"], environ["RAW_URI"], keeps(environ), _VERSIONS[environ["SERVER_PROTOCOL"]])


def forget() -> None:
    """Forget names and hosts."""
    _names.clear()
    _hosts.clear()


def key_of(name: str) -> str:
    """The environ key of a field name, "" if the strict parser decides."""
    return _names.get(name) or _read_name(name)


def _read_name(name: str) -> str:
    if not _token(name):
        return ""
    key = name.upper().replace("-", "_")
    key = key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else "HTTP_" + key
    if key in _STRICT or (key.startswith(FAMILY) and key not in FORWARDED):
        return ""
    if len(_names) >= KNOWN_MAX:
        _names.clear()
    if len(name) <= KNOWN_LENGTH_MAX:
        _names[name] = key
    return key


def _read_host(host: str) -> bool:
    if not _host(host):
        return False
    if len(_hosts) >= KNOWN_MAX:
        _hosts.clear()
    if len(host) <= KNOWN_LENGTH_MAX:
        _hosts.add(host)
    return True


def _plain_length(length: str, most: int | None) -> bool:
    """A number as it is written again; ``most`` is in bytes."""
    if not length.isdecimal() or len(length) > 18 or (length[0] == "0" and length != "0"):
        return False
    return most is None or int(length) <= most
