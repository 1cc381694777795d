"""The head of an HTTP/1.1 request: bytes in, one checked value out. Pure.

Strict and fail-closed (RFC 9110, RFC 9112): what the grammar does not allow is refused, and whatever puts the end of
the message in doubt is refused however harmless it looks. Everything is matched as bytes against explicit sets, since
``int()``, ``strip()`` and ``isdigit()`` take more than the grammar does. No pattern here can backtrack.

An empty line before the request line (RFC 9112, 2.2) is skipped by ``parse_head`` and ``Partial``, once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from releve.config.settings.limits import Limits
from releve.server.shared.native import socket

END = b"\r\n\r\n"
EMPTY_LINE = b"\r\n"
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110, 5.6.2
_TEXT = rb"[\t\x20-\x7e\x80-\xff]*"  # field content; controls and bare CR or LF are in no field (RFC 9110, 5.5)

# Bytes above 0x7f are in no URI, yet clients send raw UTF-8; they carry no framing, so they pass. A fragment does not.
_request_line = re.compile(rb"(" + _TOKEN + rb") ([\x21\x22\x24-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])").fullmatch
_field_line = re.compile(rb"(" + _TOKEN + rb"):(" + _TEXT + rb")").fullmatch
_token = re.compile(_TOKEN).fullmatch
_length = re.compile(rb"[0-9]{1,18}").fullmatch  # eighteen digits fit 63 bits
_absolute = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?]*)(.*)", re.DOTALL).fullmatch
# RFC 3986, 3.2.2, without the sub-delims: "a,b" is a joined pair of hosts, never a name.
_host = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|(?:[0-9A-Za-z._~\-]|%[0-9A-Fa-f]{2})+)(?::([0-9]{0,5}))?").fullmatch

VERSIONS = {(1, 0), (1, 1)}


class HTTPError(Exception):
    """A request that is answered with ``status`` and ``Connection: close``; ``reason`` goes to the body and the log.

    ``reason`` never quotes the client.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Head:
    """A checked request head.

    ``target`` is the raw request target and ``headers`` are the fields in their order, names as sent, values without
    the white space around them, all decoded as latin-1. At most one of ``content_length`` (bytes) and ``chunked`` is
    set.
    """

    method: str
    target: str
    version: tuple[int, int]
    headers: list[tuple[str, str]]
    keep_alive: bool
    content_length: int | None
    chunked: bool
    expect_continue: bool

    @property
    def has_body(self) -> bool:
        """Whether body bytes follow the head."""
        return self.chunked or bool(self.content_length)


def head_end(buffer: bytes | bytearray, searched: int) -> int:
    """The index just past the empty line that ends the head, or -1; the first ``searched`` bytes were looked at
    before.
    """
    index = buffer.find(END, max(0, searched - len(END) + 1))
    return index + len(END) if index >= 0 else -1


class Partial:
    """An incomplete head that arrives in pieces: each byte of it is looked at once, however small the pieces are."""

    __slots__ = ("_begun", "_fields", "_line", "_looked")

    def __init__(self) -> None:
        self._looked = 0  # bytes of the buffer in which every line end was found
        self._line = 0  # where the last line begins, which is not complete
        self._begun = 0  # where the request line begins
        self._fields = -1  # complete header lines; -1: the request line is not complete

    def look(self, buffer: bytes | bytearray, limits: Limits) -> None:
        """Refuse an incomplete head, which only grows from one look to the next, as soon as no continuation could make
        it good.

        Raises HTTPError: 414 or 431 before the terminator of an endless line arrives, and 400 for what would otherwise
        wait for an empty line that never comes (a bare LF, HTTP/0.9, the first bytes of TLS).
        """
        while (end := buffer.find(b"\n", self._looked)) >= 0:
            self._looked = end + 1
            if buffer[end - 1 : end] != b"\r":
                raise HTTPError(400, "a line ends without CR")
            if end == 1:  # an empty line before the request line
                self._begun = 2
            elif self._fields < 0:
                _parse_request_line(bytes(buffer[self._begun : end - 1]), limits)
                self._fields = 0
            else:
                self._fields += 1
            self._line = end + 1
        self._looked = len(buffer)
        if self._fields < 0:
            _check_partial_line(buffer, self._begun, limits)
            return
        if len(buffer) - self._begun > limits.head:
            raise HTTPError(431, "the request head is too long")
        if _bytes_over(buffer, self._line, limits.header):
            raise HTTPError(431, "a header field is too long")
        if self._fields > limits.headers:
            raise HTTPError(431, "too many header fields")


def parse_head(data: bytes, limits: Limits) -> Head:
    """The head in ``data``, which ends with the empty line.

    Raises HTTPError with 400 (the grammar, the framing, Host), 413 (longer than ``limits.body``), 414 and 431 (limits),
    417 (an expectation other than 100-continue), 501 (CONNECT, a transfer coding) or 505 (a version other than 1.0 and
    1.1).
    """
    start = 2 if data.startswith(b"\r\n") else 0
    lines = data[start : -len(END)].split(b"\r\n")
    method, target, version = _parse_request_line(lines[0], limits)
    if len(data) - start > limits.head:
        raise HTTPError(431, "the request head is too long")
    if len(lines) - 1 > limits.headers:
        raise HTTPError(431, "too many header fields")
    headers: list[tuple[str, str]] = []
    special: dict[str, list[bytes]] = {}
    for line in lines[1:]:
        match = _field_line(line)
        if match is None or len(line) > limits.header:
            _refuse_field(line, limits)
        name, value = match[1].decode("ascii"), match[2].strip(b" \t")
        headers.append((name, value.decode("latin-1")))
        lower = name.lower()
        if lower in _SPECIAL:
            special.setdefault(lower, []).append(value)
    _check_host(special.get("host", []), target, version)
    content_length, chunked = _framing(special.get("content-length", []), special.get("transfer-encoding", []), version)
    if content_length is not None and limits.body is not None and content_length > limits.body:
        raise HTTPError(413, "the request body is too long")
    return Head(
        method=method,
        target=target.decode("latin-1"),
        version=version,
        headers=headers,
        keep_alive=_keep_alive(special.get("connection", []), version),
        content_length=content_length,
        chunked=chunked,
        expect_continue=_expect_continue(special.get("expect", []), version),
    )


def split_absolute(target: bytes) -> tuple[bytes, bytes] | None:
    """Authority and the rest of a target in absolute form (RFC 9112, 3.2.2); ``None`` for any other form."""
    match = _absolute(target)
    return (match[1], match[2]) if match else None


_SPECIAL = frozenset(("host", "content-length", "transfer-encoding", "connection", "expect"))


def _bytes_over(buffer: bytes | bytearray, start: int, limit: int) -> bool:
    # A trailing CR may be the first half of the line's end: it does not count yet.
    length = len(buffer) - start
    return length > limit + 1 or (length == limit + 1 and not buffer.endswith(b"\r"))


def _check_partial_line(buffer: bytes | bytearray, start: int, limits: Limits) -> None:
    if _bytes_over(buffer, start, limits.request_line):
        raise HTTPError(414, "the request line is too long")
    first = bytes(buffer[start : start + 2])
    if first and first != b"\r" and not _token(first[:1]):
        raise HTTPError(400, "this is not an HTTP request")


def _parse_request_line(line: bytes, limits: Limits) -> tuple[str, bytes, tuple[int, int]]:
    if len(line) > limits.request_line:
        raise HTTPError(414, "the request line is too long")
    match = _request_line(line)
    if match is None:
        raise HTTPError(400, "the request line is invalid")
    method, target = match[1].decode("ascii"), match[2]
    version = (match[3][0] - 48, match[4][0] - 48)
    if version not in VERSIONS:
        raise HTTPError(505, "only HTTP/1.1 and HTTP/1.0 are supported")
    if method == "CONNECT":
        raise HTTPError(501, "CONNECT is not supported")
    # RFC 9112, 3.2: origin form, asterisk form for OPTIONS alone, absolute form.
    if target[:1] == b"/" or (target == b"*" and method == "OPTIONS"):
        return method, target, version
    absolute = split_absolute(target)
    if absolute is None or not _valid_host(absolute[0]):
        raise HTTPError(400, "the request target is invalid")
    return method, target, version


def _refuse_field(line: bytes, limits: Limits) -> NoReturn:
    if len(line) > limits.header:
        raise HTTPError(431, "a header field is too long")
    if line[:1] in (b" ", b"\t"):
        raise HTTPError(400, "a header field is folded over two lines")  # RFC 9112, 5.2
    name, colon, _ = line.partition(b":")
    if colon and name.rstrip(b" \t") != name:
        raise HTTPError(400, "there is white space before a colon")  # RFC 9112, 5.1
    raise HTTPError(400, "a header field is invalid")


def _valid_host(value: bytes) -> bool:
    match = _host(value)
    if match is None or int(match[2] or b"0") > 65535:
        return False
    if match[1] is None:
        return True
    try:
        socket.inet_pton(socket.AF_INET6, match[1].decode("ascii"))
    except OSError:
        return False
    return True


def _check_host(values: list[bytes], target: bytes, version: tuple[int, int]) -> None:
    # RFC 9112, 3.2: exactly one in HTTP/1.1, and a valid one wherever there is one, in the absolute form too.
    if len(values) > 1:
        raise HTTPError(400, "Host is repeated")
    if not values and version == (1, 1):
        raise HTTPError(400, "Host is missing")
    if values and not _valid_host(values[0]):
        raise HTTPError(400, "Host is invalid")


def _framing(lengths: list[bytes], codings: list[bytes], version: tuple[int, int]) -> tuple[int | None, bool]:
    """Content length and whether the body is chunked, by RFC 9112, 6.3, with every recoverable conflict refused."""
    if codings:
        if lengths:
            raise HTTPError(400, "Content-Length and Transfer-Encoding are both given")
        if version == (1, 0):
            raise HTTPError(400, "HTTP/1.0 has no Transfer-Encoding")  # RFC 9112, 6.1
        if len(codings) > 1:
            raise HTTPError(400, "Transfer-Encoding is repeated")
        return None, _chunked(codings[0])
    if not lengths:
        return None, False
    if len(lengths) > 1:
        raise HTTPError(400, "Content-Length is repeated")
    if not _length(lengths[0]):
        raise HTTPError(400, "Content-Length is invalid")
    return int(lengths[0]), False


def _chunked(coding: bytes) -> bool:
    names = [name.strip(b" \t").lower() for name in coding.split(b",")]
    if names == [b"chunked"]:
        return True
    if not all(_token(name) for name in names) or names[-1] != b"chunked" or b"chunked" in names[:-1]:
        raise HTTPError(400, "Transfer-Encoding is invalid")  # the end of the body is unknown: RFC 9112, 6.3
    raise HTTPError(501, "the only supported transfer coding is chunked")


def _tokens(values: list[bytes]) -> list[bytes]:
    """The members of a list, in lower case. Empty ones do not count (RFC 9110, 5.6.1.2)."""
    return [token for value in values for part in value.split(b",") if (token := part.strip(b" \t").lower())]


def _keep_alive(values: list[bytes], version: tuple[int, int]) -> bool:
    """RFC 9112, 9.3: any ``close`` on any line wins; a list that is no list of tokens closes too."""
    tokens = _tokens(values)
    if b"close" in tokens or not all(_token(token) for token in tokens):
        return False
    return version == (1, 1) or b"keep-alive" in tokens


def _expect_continue(values: list[bytes], version: tuple[int, int]) -> bool:
    """RFC 9110, 10.1.1: ignored in HTTP/1.0, refused if it is anything but ``100-continue``."""
    if not values or version == (1, 0):
        return False
    tokens = _tokens(values)
    if any(token != b"100-continue" for token in tokens):
        raise HTTPError(417, "the only supported expectation is 100-continue")
    return bool(tokens)


def skip_empty_lines(buffer: bytearray) -> None:
    """Old clients send one behind the body of a POST (RFC 9112, 2.2).

    It is not yet a request, and no deadline follows from it.
    """
    while buffer.startswith(EMPTY_LINE):
        del buffer[: len(EMPTY_LINE)]
