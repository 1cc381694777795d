"""The head of a response: the application's status and headers checked, the framing decided, the bytes made. Pure."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from http import HTTPStatus

from releve.server.head import Head

Headers = list[tuple[str, str]]

SERVER = "releve"

# PEP 3333, "Other HTTP features"; RFC 9110, 7.6.1. The connection is ours, and so is the framing.
HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    )
)

_status = re.compile(r"([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?").fullmatch
_name = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_value = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
_length = re.compile(r"[0-9]{1,18}").fullmatch

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Start:
    """What ``start_response`` was given, checked: ``content_length`` (bytes) and ``names`` are taken from ``headers``."""

    status: int
    reason: str
    headers: Headers
    names: frozenset[str]
    content_length: int | None


@dataclass(frozen=True, slots=True)
class Framing:
    """How a response ends: after ``length`` bytes, or (``None``) with the last chunk or the end of the connection.

    ``body`` is false where no byte may follow the head, whatever the application gives (RFC 9112, 6.3).
    """

    body: bool
    length: int | None
    chunked: bool
    keep: bool


def check_start(status: object, headers: object) -> Start:
    """The status and headers of an application (PEP 3333, "The start_response() Callable").

    Raises ValueError for whatever is not of the form ``200 OK``, is no list of pairs of latin-1 strings, has a CR, LF or
    other control character, is hop-by-hop, or gives more than one or a bad Content-Length.
    """
    match = _status(status) if isinstance(status, str) else None
    if match is None:
        raise ValueError(f"cannot send status {status!r}: it must be a str of the form '200 OK'")
    if not isinstance(headers, (list, tuple)):
        raise ValueError(f"cannot send headers: they must be a list, not {type(headers).__name__}")
    checked: Headers = []
    names: list[str] = []
    content_length: int | None = None
    for pair in headers:
        name, value, lower = _check_header(pair)
        if lower == "content-length":
            if content_length is not None or not _length(value):
                raise ValueError(f"cannot send header Content-Length {value!r}: it must be one decimal number")
            content_length = int(value)
        checked.append((name, value))
        names.append(lower)
    return Start(int(match[1]), match[2] or "", checked, frozenset(names), content_length)


def frame(start: Start, head: Head, known_length: int | None, keep: bool) -> Framing:
    """Decide how the response to ``head`` is framed.

    ``known_length``: bytes of the body where they are known before it is sent. ``keep``: whether the connection may be kept
    otherwise. RFC 9112, 6.3 and 9.3.
    """
    if start.status < 200:
        return Framing(body=False, length=None, chunked=False, keep=False)  # no final response: only the end can follow
    if start.status in (204, 304):
        return Framing(body=False, length=start.content_length, chunked=False, keep=keep)
    if head.method == "HEAD":  # an application that gives no body to HEAD does not say that GET has none
        length = known_length or None if start.content_length is None else start.content_length
        return Framing(body=False, length=length, chunked=False, keep=keep)
    if start.status == 205:
        return Framing(body=False, length=0, chunked=False, keep=keep)  # RFC 9110, 15.3.6
    length = known_length if start.content_length is None else start.content_length
    chunked = length is None and head.version == (1, 1)
    return Framing(body=True, length=length, chunked=chunked, keep=keep and (chunked or length is not None))


def response_head(start: Start, framing: Framing, version: tuple[int, int]) -> bytes:
    """Status line and header block, to the empty line. Date and Server are added unless the application gave them."""
    lines = [f"HTTP/1.1 {start.status} {start.reason}"]
    lines += [f"{name}: {value}" for name, value in start.headers if name.lower() != "content-length"]
    if "date" not in start.names:
        lines.append("Date: " + http_date())
    if "server" not in start.names:
        lines.append("Server: " + SERVER)
    length = _length_sent(start, framing)
    if length is not None:
        lines.append(f"Content-Length: {length}")
    if framing.chunked:
        lines.append("Transfer-Encoding: chunked")
    if not framing.keep:
        lines.append("Connection: close")
    elif version == (1, 0):
        lines.append("Connection: keep-alive")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1")


def simple_response(status: int, reason: str, *, head: bool = False) -> bytes:
    """A whole answer of our own, in plain text, with ``Connection: close``; ``head``: to a HEAD request."""
    phrase = _phrase(status)
    body = f"{status} {phrase}\n{reason}\n".encode("ascii", "backslashreplace")
    lines = (
        f"HTTP/1.1 {status} {phrase}",
        "Content-Type: text/plain; charset=us-ascii",
        f"Content-Length: {len(body)}",
        "Date: " + http_date(),
        "Server: " + SERVER,
        "Connection: close",
        "\r\n",
    )
    return "\r\n".join(lines).encode("ascii") + (b"" if head else body)


_dated = (0, "")  # second and its text; replaced as a whole, so that any thread may read it


def http_date() -> str:
    """Now, as RFC 9110, 5.6.7 wants it (in English whatever the locale); made once a second."""
    global _dated
    now = int(time.time())
    if _dated[0] != now:
        t = time.gmtime(now)
        day = f"{_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year}"
        _dated = now, f"{day} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"
    return _dated[1]


def _check_header(pair: object) -> tuple[str, str, str]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        raise ValueError(f"cannot send header {pair!r}: it must be a tuple of two str")
    name, value = pair
    if not _name(name):
        raise ValueError(f"cannot send header {name!r}: its name is invalid")
    if not _value(value):
        raise ValueError(f"cannot send header {name}: its value has a control character or one outside latin-1")
    lower = name.lower()
    if lower in HOP_BY_HOP:
        raise ValueError(f"cannot send header {name}: hop-by-hop headers are the server's (PEP 3333)")
    return name, value, lower


def _length_sent(start: Start, framing: Framing) -> int | None:
    if start.status < 200 or start.status == 204:
        return None  # RFC 9110, 8.6
    return framing.length


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
