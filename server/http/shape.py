"""In the leader: the shape of a client's requests, by which the next one is read with few steps.

A client, or a proxy in front of many, repeats itself: from one request to the next only the target and a line or two
differ. A shape is a head that was checked, cut at the values that differ. A request that has the very same bytes
between them needs those values checked and nothing else: what was legal, framed, and free of repetitions is so again.

Values of credentials, and whatever decides where a message ends, are never part of a shape. A client whose requests
are all different soon has none, and is read by ``fasthead.py``.

Measured (``benchmarks/profile_worker.py``, twelve browser headers of which two differ): less than a third of the time
of ``fast_environ``.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from releve.config.settings.limits import Limits
from releve.server.http.fasthead import keeps, key_of
from releve.server.http.forwarded import concerns

CREDENTIALS = frozenset(("HTTP_COOKIE", "HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION"))
# what more than `isprintable` has checked: the same in all of a shape
_DECISIVE = frozenset(("HTTP_HOST", "HTTP_CONNECTION"))
_TARGET = ("RAW_URI", "REQUEST_URI", "PATH_INFO", "QUERY_STRING")
_END = "\r\n\r\n"

VALUES_MAX = 6  # that differ; with more it is hardly faster than `fast_environ`
LEARN_MAX = 8  # misses for one connection; then its client is taken for one that does not repeat itself
SHAPES_MAX = 64  # kept in a worker for the connections to come
HEAD_MAX = 4096  # bytes of one that has a shape

Environ = dict[str, Any]
Part = tuple[str, int, str]  # the same in every request, its length, the environ key of the value behind it

_shapes: dict[tuple[int, str, tuple[Part, ...], str], Shape] = {}  # by the identity of the base, which each keeps alive


class Shape:
    """A checked head, but for some of its values. Immutable, but for what ``environ`` says of this worker."""

    __slots__ = (
        "authorized",
        "base",
        "environ",
        "first",
        "first_length",
        "forwarded",
        "last",
        "last_length",
        "limit",
        "lines",
        "method",
        "parts",
    )

    def __init__(
        self,
        base: Environ,
        environ: Environ,
        parts: tuple[Part, ...],
        last: str,
        lines: dict[str, str | None],
        limits: Limits,
    ) -> None:
        """``environ`` is that of a request of this shape; ``lines`` its lines by their names, ``None`` where values
        differ.
        """
        self.base = base
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.first = self.method + " /"
        self.first_length = len(self.first)
        self.parts = parts
        self.last = last
        self.last_length = len(last)
        self.lines = lines
        self.authorized = "HTTP_AUTHORIZATION" in environ
        self.forwarded = concerns(environ)
        self.limit = min(limits.header, limits.request_line, limits.head)

    def read(self, text: str) -> Environ | None:
        """The environ, but for ``wsgi.input`` and the peer, of a request that is all of ``text``.

        ``None``: it has another shape.
        """
        if not text.startswith(self.first):
            return None
        at = self.first_length
        stop = text.find(" ", at)
        target = text[at - 1 : stop]
        # A value ends where the next literal begins, and is printable: so there is no line end in it either.
        if not target.isprintable() or "#" in target:
            return None
        environ = self.environ.copy()
        environ["RAW_URI"] = environ["REQUEST_URI"] = target
        path, _, environ["QUERY_STRING"] = target.partition("?")
        environ["PATH_INFO"] = unquote_to_bytes(path.encode("latin-1")).decode("latin-1") if "%" in path else path
        at = stop
        for literal, length, key in self.parts:
            if not text.startswith(literal, at):
                return None
            at += length
            stop = text.find("\r", at)
            value = text[at:stop]
            if not value.isprintable() or value.strip() is not value:
                return None
            environ[key] = value
            at = stop
        if not text.startswith(self.last, at) or at + self.last_length != len(text) or len(text) > self.limit:
            return None
        return environ


def learn(head: str, environ: Environ, base: Environ, previous: Shape | None, limits: Limits) -> Shape | None:
    """The shape of a request without a body, just read by ``fast_environ``: ``head`` to its empty line, and its
    ``environ``.

    ``previous`` is the shape that did not fit: a line that was another one there has a value that differs. ``None``:
    too many do, or the head is not one for this.
    """
    if "CONTENT_LENGTH" in environ or environ["SERVER_PROTOCOL"] != "HTTP/1.1" or len(head) > HEAD_MAX:
        return None
    if not keeps(environ):
        return None
    first, *lines = head[: -len(_END)].split("\r\n")
    known = {} if previous is None else previous.lines
    seen: dict[str, str | None] = {}
    parts: list[Part] = []
    literal = first[first.rindex(" ") :]
    for line in lines:
        name, _, value = line.partition(":")
        key = key_of(name)
        differs = key in CREDENTIALS or (key not in _DECISIVE and known.get(name, line) != line)
        seen[name] = None if differs else line
        literal += "\r\n"
        if differs:
            value = value.strip(" \t")
            # an empty one stands behind its spaces
            literal += line[: line.index(value, len(name) + 1)] if value else line
            parts.append((literal, len(literal), key))
            literal = ""
        else:
            literal += line
    if len(parts) > VALUES_MAX:
        return None
    last = literal + _END
    identity = (id(base), environ["REQUEST_METHOD"], tuple(parts), last)
    shape = _shapes.get(identity)
    if shape is None:
        if len(_shapes) >= SHAPES_MAX:
            _shapes.clear()
        # no value that differs stays
        plain = {**environ, **dict.fromkeys((*_TARGET, "wsgi.input", *(key for _, _, key in parts)))}
        shape = _shapes[identity] = Shape(base, plain, tuple(parts), last, seen, limits)
    return shape


def known_shapes() -> list[Shape]:
    """Those that are kept for connections to come."""
    return list(_shapes.values())


def forget() -> None:
    """Forget all shapes; connections keep theirs."""
    _shapes.clear()
