"""The head of a response: the application's status and headers checked, the framing decided, the bytes made.

Pure, but for a line of the log on each header that is dropped.
"""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from releve.server.shared.native import time

Headers = list[tuple[str, str]]

SERVER = "releve"


class Asked(Protocol):
    """What a response must know of its request; a ``Head``, or the short form of a usual one."""

    @property
    def method(self) -> str: ...  # noqa: D102
    @property
    def target(self) -> str: ...  # noqa: D102
    @property
    def version(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def keep_alive(self) -> bool: ...  # noqa: D102


# PEP 3333, "Other HTTP features"; RFC 9110, 7.6.1. The connection is ours, and so is the framing: what applications say
# of them is dropped, as gunicorn does, but for the wish to close. Proxy-Authenticate and Proxy-Authorization are for
# the next recipient that asks or answers (RFC 9110, 11.7), which may be an application, so they pass.
HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "trailers", "transfer-encoding", "upgrade")
)
_unsaid = dict.fromkeys(HOP_BY_HOP, True)  # of which no line of the log has told yet; `pop` decides which thread tells
VALUE_LOGGED = 100  # characters

log = logging.getLogger("releve.worker")

_status = re.compile(r"([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?").fullmatch
_name = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_value = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
_length = re.compile(r"[0-9]{1,18}").fullmatch

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Start:
    """What ``start_response`` was given, checked and written out.

    Shared by responses that begin alike, and never changed once made.

    ``line`` is the status line and ``fields`` the header fields but for Content-Length, each with its line end;
    ``dated`` and ``named``: the application gave a Date, a Server; ``closing``: it wants the connection to end.
    ``content_length`` is in bytes. ``plain``: any body may follow, and the next request, and nobody has to be told of
    it.
    """

    __slots__ = ("_written", "closing", "content_length", "dated", "fields", "line", "named", "plain", "status")

    def __init__(self, status: int, line: str) -> None:
        self.status = status
        self.line = line
        self.fields = ""
        self.content_length: int | None = None
        self.dated = False
        self.named = False
        self.closing = False
        self.plain = 200 <= status < 500 and status not in (204, 205, 304)
        self._written = ("", -1, True, (1, 1), b"")

    def head(self, length: int, keep: bool = True, version: tuple[int, int] = (1, 1)) -> bytes:
        """The head of a response with ``length`` bytes, on a connection that stays or not; the last one is kept as long
        as its date is right.
        """
        date = date_line()
        written, size, kept, of, head = self._written  # replaced as a whole, so that any thread may read it
        if written is not date or size != length or kept is not keep or of != version:
            head = response_head(self, Framing(True, length, False, keep), version)
            self._written = (date, length, keep, version, head)
        return head

    def headers(self, length: int | None) -> Headers:
        """The header fields as pairs, with a Content-Length where the length is known."""
        lines = (line.partition(": ") for line in self.fields.split("\r\n")[:-1])
        pairs = [(name, value) for name, _, value in lines]
        return pairs if length is None else [*pairs, ("Content-Length", str(length))]


class Framing(NamedTuple):
    """How a response ends: after ``length`` bytes, or (``None``) with the last chunk or the end of the connection.

    ``body`` is false where no byte may follow the head, whatever the application gives (RFC 9112, 6.3).
    """

    body: bool
    length: int | None
    chunked: bool
    keep: bool


# Applications repeat themselves: a status, and a header with its value, that was checked once is looked up. Bounded;
# what identifies a client or changes with each response is not kept. Saves 4 µs of 5 with three headers.
KEPT_MAX = 1024
KEPT_LINE_MAX = 200
START_MAX = 1000
_AUTHENTICATION = ("www-authenticate", "authorization", "proxy-authenticate", "proxy-authorization")
_UNKEPT = frozenset(("set-cookie", "location", "etag", "content-length", *_AUTHENTICATION))
_statuses: dict[str, tuple[int, str]] = {}  # "200 OK" -> 200 and the status line
_fields: dict[tuple[str, str], str] = {}  # name and value -> the line
_starts: dict[tuple[Any, ...], Start] = {}  # status and headers, all of them of the kind that is kept -> all of it


def check_start(status: str, headers: Headers) -> Start:
    """The status and headers of an application (PEP 3333, "The start_response() Callable").

    Hop-by-hop headers are dropped. Raises ValueError for whatever is not of the form ``200 OK``, is no list of pairs of
    latin-1 strings, has a CR, LF or other control character, or gives a bad Content-Length, or two that differ.
    """
    key = None
    if type(headers) is list and type(status) is str:
        try:
            key = (status, *headers)
            start = _starts.get(key)
            if start is not None:
                return start
        except TypeError:  # a pair that is a list
            key = None
    known = _statuses.get(status) if type(status) is str else None
    number, line = known or _read_status(status)
    start = Start(number, line)
    if not isinstance(headers, (list, tuple)):
        raise ValueError(f"cannot send headers: they must be a list, not {type(headers).__name__}")
    fields = ""
    unkept = 0
    for pair in headers:
        try:
            field = _fields.get(pair)
        except TypeError:
            field = None
        if field is None:
            field = _read_field(pair, start)
            unkept += field != "" and (type(pair) is not tuple or pair not in _fields)
        fields += field
    start.fields = fields
    if key is not None and not unkept and len(fields) <= START_MAX:
        if len(_starts) >= KEPT_MAX:
            _starts.clear()
        _starts[key] = start
    return start


def frame(start: Start, head: Asked, known_length: int | None, keep: bool) -> Framing:
    """Decide how the response to ``head`` is framed.

    ``known_length``: bytes of the body where they are known before it is sent. ``keep``: whether the connection may be
    kept otherwise. RFC 9112, 6.3 and 9.3.
    """
    keep = keep and not start.closing
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
    text = start.line + start.fields
    if not start.dated:
        text += date_line()
    if not start.named:
        text += SERVER_LINE
    if framing.length is not None and start.status >= 200 and start.status != 204:  # RFC 9110, 8.6
        text += f"Content-Length: {framing.length}\r\n"
    if framing.chunked:
        text += "Transfer-Encoding: chunked\r\n"
    if not framing.keep:
        text += "Connection: close\r\n"
    elif version == (1, 0):
        text += "Connection: keep-alive\r\n"
    return (text + "\r\n").encode("latin-1")


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


def body_bytes(answer: bytes) -> int:
    """The length of the body of a whole answer."""
    return len(answer) - answer.index(b"\r\n\r\n") - 4


SERVER_LINE = f"Server: {SERVER}\r\n"
_dated = (-1, "")  # second and its line; replaced as a whole, so that any thread may read it


def date_line() -> str:
    """The Date header with its line end; made once a second."""
    global _dated
    now, line = _dated
    second = int(time.time())
    if now != second:
        line = f"Date: {_date(second)}\r\n"
        _dated = second, line
    return line


def http_date() -> str:
    """Now, as RFC 9110, 5.6.7 wants it (in English whatever the locale)."""
    return date_line()[6:-2]


def _date(second: int) -> str:
    t = time.gmtime(second)
    day = f"{_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year}"
    return f"{day} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"


def _read_status(status: object) -> tuple[int, str]:
    match = _status(status) if isinstance(status, str) else None
    if match is None:
        raise ValueError(f"cannot send status {status!r}: it must be a str of the form '200 OK'")
    known = int(match[1]), f"HTTP/1.1 {match[1]} {match[2] or ''}\r\n"
    if len(_statuses) < KEPT_MAX and len(match[0]) <= KEPT_LINE_MAX and type(status) is str:
        _statuses[status] = known
    return known


def _read_field(pair: object, start: Start) -> str:
    """Check one header and note in ``start`` what it means; returns its line, empty where the line is ours.

    Keeps it if it may be kept.
    """
    if type(pair) is tuple and len(pair) == 2 and pair[0] == "Content-Length" and type(pair[1]) is str:
        # in nearly every response, and never the same: the short way
        name, value, lower = pair[0], pair[1], "content-length"
    else:
        name, value, lower = _check_header(pair)
    if lower == "content-length":
        # spaces around it mean nothing (RFC 9110, 5.5)
        if not _length(value) and not _length(value := value.strip(" \t")):
            raise ValueError(f"cannot send header Content-Length {value!r}: it must be one decimal number")
        length = int(value)
        if start.content_length is not None and start.content_length != length:
            raise ValueError(f"cannot send header Content-Length {value!r}: another one says {start.content_length}")
        start.content_length = length
        return ""
    if lower in HOP_BY_HOP:
        _drop(name, lower, value, start)
        return ""
    line = f"{name}: {value}\r\n"
    if lower == "date":
        start.dated = True
    elif lower == "server":
        start.named = True
    elif (
        lower not in _UNKEPT and len(line) <= KEPT_LINE_MAX and type(pair) is tuple and type(name) is type(value) is str
    ):
        if len(_fields) >= KEPT_MAX:
            _fields.clear()
        _fields[pair] = line
    return line


def _check_header(pair: object) -> tuple[str, str, str]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        raise ValueError(f"cannot send header {pair!r}: it must be a tuple of two str")
    name, value = pair
    if not _name(name):
        raise ValueError(f"cannot send header {name!r}: its name is invalid")
    if not _value(value):
        raise ValueError(f"cannot send header {name}: its value has a control character or one outside latin-1")
    return name, value, name.lower()


def _drop(name: str, lower: str, value: str, start: Start) -> None:
    """A header that says how the connection goes on, or how the body is framed; a wish to close is granted (RFC 9112,
    9.6).
    """
    if lower == "connection" and "close" in (option.strip(" \t").lower() for option in value.split(",")):
        start.closing = True
        start.plain = False
    elif _unsaid.pop(lower, False):
        shown = value[:VALUE_LOGGED]
        log.warning(
            "the response header %s: %s is dropped, here and from now on: it is the server's (PEP 3333)", name, shown
        )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def check_piece(data: object) -> None:
    """Raises TypeError for a piece of a body that is not bytes."""
    if not isinstance(data, bytes):
        raise TypeError(f"cannot send {type(data).__name__}: the body is made of bytes")


def length_hint(iterable: Any) -> int | None:
    """``len()`` of what the application returned, if it has one (PEP 3333, "Handling the Content-Length Header")."""
    try:
        return len(iterable)
    except Exception:
        return None
